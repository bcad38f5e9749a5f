# Before every start: an image of busybox, and what else engines share.
if [ ! -e busybox.tar ]; then
	mkdir -p base/bin base/etc base/tmp base/root base/proc base/sys base/dev base/home
	chmod 1777 base/tmp
	cp "$(command -v busybox)" base/bin/busybox
	base/bin/busybox --install base/bin
	printf 'root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/home:/bin/sh\n' >base/etc/passwd
	printf 'root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n' >base/etc/group
	tar -C base --owner 0 --group 0 -cf busybox.tar .
fi
# containerd gives its shims seconds, which are few on an emulated machine.
cat >patience.toml <<END
[timeouts]
  "io.containerd.timeout.shim.load" = "1m"
  "io.containerd.timeout.shim.cleanup" = "1m"
  "io.containerd.timeout.shim.shutdown" = "1m"
  "io.containerd.timeout.task.state" = "1m"
END
