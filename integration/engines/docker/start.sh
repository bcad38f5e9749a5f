sed "s/\"default-runtime\": \"rt\"/\"default-runtime\": \"$RUNTIME\"/" "$CONFIG/docker/daemon.json" >daemon.json
if [ "${DRIVER:-}" ]; then
	sed -i "s/cgroupdriver=systemd/cgroupdriver=$DRIVER/" daemon.json
fi
if [ "$NATIVE" ]; then
	sed -i 's/cgroupdriver=systemd/cgroupdriver=cgroupfs/' daemon.json
	set -- --iptables=false --ip6tables=false --bridge=none --data-root "$WORK/data"
fi
DOCKER_BUILDKIT_RUNC_COMMAND=$RUNTIME_PATH setsid dockerd --config-file "$WORK/daemon.json" "$@" </dev/null >dockerd.log 2>&1 &
echo $! >dockerd.pid
until docker version >version 2>&1; do
	kill -0 "$(cat dockerd.pid)" || { cat dockerd.log >&2; exit 1; }
	sleep 0.1
done
docker import busybox.tar base >id
