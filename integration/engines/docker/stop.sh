docker ps -aq | xargs -r docker rm -f >removed
for daemon in dockerd containerd; do
	kill "$(cat $daemon.pid)" && "$SELF" ended $daemon || failed=1
done
[ ! "${failed:-}" ]
