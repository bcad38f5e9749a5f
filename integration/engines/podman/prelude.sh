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
# unwarned COMMAND…: with words only if it fails. Of a cgroup that systemd has removed already runc warns, sometimes.
unwarned() { "$@" 2>said || { cat said; return 1; }; }
state() { podman inspect -f '{{.State.Status}}' "$1"; }
LIMITS='cd /sys/fs/cgroup; grep -H . memory.max memory.low memory.swap.max cpu.max cpu.weight pids.max'
