cp "$CONFIG/podman/containers.conf" containers.conf
printf '\n[containers]\n' >>containers.conf
sed -i "s|^\[engine\]$|[engine]\nruntime = \"$RUNTIME\"|" containers.conf
if [ "$NATIVE" ]; then
	sed -i 's|^\[engine\]$|[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"|' containers.conf
	printf 'pids_limit = 0\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\nlog_driver = "k8s-file"\n' >>containers.conf
fi
podman import busybox.tar base >id 2>&1
