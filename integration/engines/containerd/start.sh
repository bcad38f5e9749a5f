# An archive as `docker save` writes it: the file system of busybox.tar with this entry point.
archive() {
	mkdir -p "$1.image"
	ln -f busybox.tar "$1.image/layer.tar"
	printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"Entrypoint":[%s]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{}]}' \
		"$2" "$(sha256sum busybox.tar | cut -d' ' -f1)" >"$1.image/config.json"
	printf '[{"Config":"config.json","RepoTags":["%s:latest"],"Layers":["layer.tar"]}]' "$1" >"$1.image/manifest.json"
	tar -C "$1.image" -cf "$1.tar" .
}
archive base ''
archive pause '"sh","-c","trap '"'exit 0'"' TERM INT; while :; do sleep 1000 & wait; done"'
# Without the controllers and the privileges of a real host there are no limits and no better score for the sandbox.
{
	sed "s|/usr/local/bin/rt|$RUNTIME_PATH|; ${NATIVE:+/SystemdCgroup/d}" "$CONFIG/containerd/config.toml"
	cat <<END
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:latest"
  ${NATIVE:+disable_cgroup = true}
  ${NATIVE:+restrict_oom_score_adj = true}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$WORK/cni"
END
	cat patience.toml
} >containerd.toml
mkdir -p cni
cat >cni/net.conf <<END
{"cniVersion": "0.4.0", "name": "pods", "type": "ptp",
 "ipam": {"type": "host-local", "subnet": "10.88.77.0/24", "dataDir": "$WORK/addresses"}}
END
# ctr forgets the name of the runtime's binary where it is asked for users of a namespace.
mkdir -p bin
ln -sf "$RUNTIME_PATH" bin/runc
cat >serve <<'END'
PATH=$WORK/bin:$PATH "$SELF" daemon containerd --config containerd.toml --root "$WORK/root" --state "$WORK/state" --address "$WORK/containerd.sock"
END
. ./serve
for image in base pause; do ctr -a "$WORK/containerd.sock" -n k8s.io image import $image.tar; done
ctr -a "$WORK/containerd.sock" image import base.tar
