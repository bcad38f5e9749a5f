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
health() {
	until [ "$(docker inspect -f '{{.State.Health.Status}}' well)" = "$1" ]; do sleep 0.1; done
	echo "$1"
}
LIMITS='cd /sys/fs/cgroup; grep -H . memory.max memory.low memory.swap.max cpu.max cpu.weight cpuset.cpus pids.max'
