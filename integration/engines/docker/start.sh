sed "s/\"default-runtime\": \"rt\"/\"default-runtime\": \"$RUNTIME\"/" "$CONFIG/docker/daemon.json" >daemon.json
if [ "${DRIVER:-}" ]; then
	sed -i "s/cgroupdriver=systemd/cgroupdriver=$DRIVER/" daemon.json
fi
if [ "$NATIVE" ]; then
	sed -i 's/cgroupdriver=systemd/cgroupdriver=cgroupfs/' daemon.json
	set -- --data-root "$WORK/data"
fi
# There no operation has a network.
[ ! "$NATIVE${DRIVER:-}" ] || set -- --iptables=false --ip6tables=false --bridge=none "$@"
# By itself, as its own unit starts it: one that dockerd starts has 15 seconds, which an emulated machine may not keep to.
{
	echo 'version = 2'
	echo 'disabled_plugins = ["io.containerd.grpc.v1.cri"]'
	cat patience.toml
} >containerd.toml
"$SELF" daemon containerd --config containerd.toml --root "$WORK/containerd" --state "$WORK/containerd-state" --address "$WORK/containerd.sock"
set -- --containerd "$WORK/containerd.sock" "$@"
DOCKER_BUILDKIT_RUNC_COMMAND=$RUNTIME_PATH "$SELF" daemon dockerd --config-file "$WORK/daemon.json" "$@"
docker import busybox.tar base >id
