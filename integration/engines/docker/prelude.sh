run() { docker run --rm --network none --runtime "$RUNTIME" "$@"; }
# detached NAME ARGUMENTS…: one that lasts as long as the operation.
detached() {
	detached=$1
	shift
	trap 'docker rm -f "$detached" >removed' EXIT
	docker run -d --name "$detached" --network none --runtime "$RUNTIME" "$@" >id
}
# The container that many operations share.
shared() {
	test -e shared || docker run -d --name shared --network none --runtime "$RUNTIME" base \
		sh -c 'trap "exit 143" TERM; echo ready; while :; do sleep 1000 & wait $!; done' >shared
}
state() { docker inspect -f '{{.State.Status}}' "$1"; }
ended() { docker wait "$1"; }
# words WORDS COMMAND…: of what a failing command says only these words: the rest is each runtime's own.
words() {
	words=$1
	shift
	"$@" >said 2>&1 || code=$?
	grep -o "$words" said || cat said
	return "${code:-0}"
}
health() {
	until [ "$(docker inspect -f '{{.State.Health.Status}}' well)" = "$1" ]; do sleep 0.1; done
	echo "$1"
}
# The engine tells a terminal's size after the start.
SIZE='until stty size 2>/dev/null | grep -x "20 70"; do sleep 0.1; done'
# terminal COMMAND: on a terminal of 20 rows at which nobody types.
terminal() {
	test -p typing || mkfifo typing
	SHELL=/bin/sh script -qec "stty rows 20 cols 70; $1" /dev/null 0<>typing
}
LIMITS='cd /sys/fs/cgroup; grep -H . memory.max memory.low memory.swap.max cpu.max cpu.weight cpuset.cpus pids.max'
