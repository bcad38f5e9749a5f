run() { podman run --rm --network none "$@"; }
# detached NAME ARGUMENTS…: one that lasts as long as the operation.
detached() {
	detached="${detached:-} $1"
	trap 'podman rm -f -t 0 $detached >removed' EXIT
	podman run -d --network none --name "$@" >id
}
# The container that many operations share.
shared() {
	test -e shared || podman run -d --name shared --network none base \
		sh -c 'trap "exit 143" TERM; echo ready; while :; do sleep 1000 & wait $!; done' >shared
}
state() { podman inspect -f '{{.State.Status}}' "$1"; }
# words WORDS COMMAND…: of what a failing command says only these words: the rest is each runtime's own.
words() {
	words=$1
	shift
	"$@" >said 2>&1 || code=$?
	grep -o "$words" said || cat said
	return "${code:-0}"
}
# The engine tells a terminal's size after the start.
SIZE='until stty size 2>/dev/null | grep -x "20 70"; do sleep 0.1; done'
# terminal COMMAND: on a terminal of 20 rows at which nobody types.
terminal() {
	test -p typing || mkfifo typing
	SHELL=/bin/sh script -qec "stty rows 20 cols 70; $1" /dev/null 0<>typing
}
LIMITS='cd /sys/fs/cgroup; grep -H . memory.max memory.low memory.swap.max cpu.max cpu.weight pids.max'
