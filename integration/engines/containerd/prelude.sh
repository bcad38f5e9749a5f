image=docker.io/library/base:latest
ctr() { command ctr -a "$WORK/containerd.sock" "$@"; }
# ctr asks for a weight of the processor unless told otherwise, and for a unit by its parts, the last of which is numbered.
if [ "$NATIVE" ]; then flags="--runc-binary $RUNTIME_PATH --cpu-shares 0" numbered=
else flags="--runc-binary $RUNTIME_PATH --runc-systemd-cgroup --cgroup system.slice:ctr:$$" numbered=1; fi
# run FLAG… IMAGE NAME WORD…
run() { ctr run $flags${numbered:+-$((runs += 1))} "$@"; }
# Runs in the background until it is told to end, and then ends with 7.
waits() {
	rm -f ready
	run -d --log-uri "file://$WORK/ready" "$@" sh -c "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"
	until grep -qs ready ready; do sleep 0.1; done
}
status() { ctr task ls | awk -v name="$1" '$1 == name { print $3 }'; }
# ctr says of a signal only that it was sent.
ended() { while [ "$(status "$1")" = RUNNING ]; do sleep 0.1; done; }
# The container goes, and with it its task; ctr warns of an exit code other than 0.
remove() {
	ctr task rm "$1"
	ctr container rm "$1"
}
