# rt: `make demo` first, then `make test`. `make help` lists the rest.

ARCH := $(shell uname -m)
MUSL := $(ARCH)-unknown-linux-musl
GNU := $(ARCH)-unknown-linux-gnu

# Static musl where rustup (or the distribution) has that target, else static glibc. Asked once, when first needed.
TRIPLE = $(eval TRIPLE := $(shell \
	if rustup target add $(MUSL) >/dev/null 2>&1 || [ -d "$$(rustc --print target-libdir --target $(MUSL) 2>/dev/null)" ] \
		|| [ -x target/$(MUSL)/release/rt ]; \
	then echo $(MUSL); else echo $(GNU); fi))$(TRIPLE)
export CARGO_TARGET_$(shell echo $(GNU) | tr a-z- A-Z_)_RUSTFLAGS := -C target-feature=+crt-static

RT = target/$(TRIPLE)/release/rt
RT_DEV = target/$(TRIPLE)/debug/rt
PROBE = target/$(TRIPLE)/debug/probe

PREFIX ?= /usr/local
BINDIR = $(DESTDIR)$(PREFIX)/bin
MANDIR = $(DESTDIR)$(PREFIX)/share/man/man8
BASHDIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSHDIR = $(DESTDIR)$(PREFIX)/share/zsh/site-functions
FISHDIR = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d

# A profile that lets rt make user namespaces where AppArmor restricts them; older parsers do not know its words.
APPARMOR ?= $(if $(wildcard /etc/apparmor.d/abi/4.0),yes,no)
APPARMORDIR = $(DESTDIR)/etc/apparmor.d

# Each test is one thread that waits for processes most of the time; more than this only makes kernel waits longer.
TEST_THREADS ?= $(shell nproc)

# Kernels and images of the test machines, kept between runs.
export VM_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rt-vm
export MAKE TEST_THREADS

.PHONY: help demo build test test-native test-attacks test-vm test-faults test-engines test-engines-native fuzz-smoke lint hot bench validation man completions install uninstall clean linker busybox observers protoc

help:
	@echo 'make demo       build rt and run a container that says what it sees'
	@echo 'make build      build the static binary, release profile'
	@echo 'make test       unit and black-box tests, here and in virtual machines (as root for all of them)'
	@echo 'make test-native  those of this machine alone'
	@echo 'make test-attacks  published attacks on container runtimes alone (as root)'
	@echo 'make test-vm    those in virtual machines with every cgroup controller alone (as root)'
	@echo 'make test-faults  kill rt, and fail it, at every system call of every command (as root)'
	@echo 'make test-engines  Docker, Podman and the others with rt and with runc, side by side (as root; ENGINES=docker, WHOLE=1)'
	@echo 'make test-engines-native  those that are installed here, without what needs such a machine (as root)'
	@echo 'make fuzz-smoke  feed rt\'s parsers with made-up input, a minute each (FUZZ_SECONDS=N); takes a nightly compiler'
	@echo 'make lint       formatting and clippy'
	@echo 'make hot        put what the common commands run side by side again, after changes to it (as root)'
	@echo 'make bench      time rt and the runtimes installed beside it (as root; ROUNDS=N)'
	@echo 'make validation  run the OCI validation suite (RT_VALIDATION_SUITE: its folder, built)'
	@echo 'make install    binary, man pages and completions below PREFIX ($(PREFIX)), DESTDIR in front'
	@echo '                an AppArmor profile too, where AppArmor 4 is installed (APPARMOR=yes or no decides)'
	@echo 'make uninstall  remove these'
	@echo 'make completions  regenerate the checked-in completion scripts'
	@echo 'make clean      remove all that was built'

# A shell is enough to see: as root a container with everything, as anyone else one in a user namespace.
demo: build busybox
	@bundles/make-rootfs
	@if [ "$$(id -u)" = 0 ]; then \
		echo "+ cd bundles/hello && rt run hello"; \
		cd bundles/hello && ../../$(RT) run "hello-$$$$"; \
	else \
		echo "+ rt run --bundle bundles/rootless --config bundles/rootless/config.own.json rootless"; \
		bundles/rootless/own-ids > bundles/rootless/config.own.json; \
		$(RT) run --bundle bundles/rootless --config "$$PWD/bundles/rootless/config.own.json" "rootless-$$$$"; \
	fi

# $(call whole,FROM,TO): a program, written in one piece. What a linker writes lies in small pages of the page cache, with
# which every start takes longer (ARCHITECTURE.md, "Few pages").
whole = dd if=$(1) of=$(2).new bs=16M status=none && chmod 755 $(2).new && mv -f $(2).new $(2)

build: linker
	@if command -v cargo >/dev/null; then cargo build --release --target $(TRIPLE) -p rt --bin rt && \
		$(call whole,$(RT),$(RT)); \
	elif [ -x $(RT) ]; then echo 'no cargo here; taking $(RT) as it is'; \
	else echo 'cargo is needed to build rt: see https://rustup.rs' >&2; exit 1; fi

# Rust links with the C compiler's driver.
linker:
	@command -v cc >/dev/null || $(call apt,gcc libc6-dev,a linker)

busybox:
	@command -v busybox >/dev/null || [ -x bundles/rootfs/bin/busybox ] || $(call apt,busybox-static,busybox)

# The tests that count system calls, one of a user's network, and those of a user's ranges of ids are skipped without them.
# Each is a package, with what it brings where that is not its name.
observers:
	@for tool in strace slirp4netns uidmap/newuidmap; do \
		command -v $${tool#*/} >/dev/null || [ "$$(id -u)" != 0 ] || ($(call apt,$${tool%/*},$${tool#*/})) || true; \
	done

# $(call apt,PACKAGES,WHAT FOR)
apt = { \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "$(2) is missing: install $(1) (apt-get install $(1))" >&2; exit 1; \
	fi; \
	echo "installing $(1)"; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get install -qq -y --no-install-recommends $(1) >/dev/null 2>&1 || \
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $(1) >/dev/null; }; }

# The tests run a development build: the same code, quicker to build, its checks on. First on this machine, then in
# virtual ones: a stock kernel that has every controller in cgroup v2, nsdelegate and a shared /.
test: linker observers
	@integration/run-tests $(TRIPLE) native vm

test-native: linker observers
	@integration/run-tests $(TRIPLE) native

test-vm: linker observers
	@integration/run-tests $(TRIPLE) vm

# SIGKILL and an error at every system call of each command, as root and as a user.
test-faults: linker observers
	cargo build --target $(TRIPLE) -p rt -p rt-integration --bin rt --bin probe --bin faults
	@integration/run-faults $(TRIPLE)

# Real engines, in virtual machines that have them: each operation on rt and on runc, and where they differ.
test-engines: linker protoc
	@ENGINES='$(ENGINES)' WHOLE='$(WHOLE)' integration/run-engines $(TRIPLE)

test-engines-native: linker busybox
	@integration/run-engines-native $(TRIPLE)

# Each parser and planner, held against an oracle (src/fuzzing). Their seeds are inputs of `make test` too.
fuzz-smoke: linker
	@fuzz/smoke

vm-tools: busybox
	@(for tool in qemu-system-x86_64 cpio depmod xz zstd ip mmdebstrap mke2fs; do command -v $$tool >/dev/null || exit 1; done) \
		|| $(call apt,qemu-system-x86 cpio kmod xz-utils zstd iproute2 mmdebstrap e2fsprogs,the virtual machine)

# What asks a CRI service is made from its protocol's description.
protoc:
	@command -v protoc >/dev/null || $(call apt,protobuf-compiler,protoc)

# Each attack on rt, then on rt with a protective step left out, where it must succeed.
test-attacks: linker
	cargo build --target $(TRIPLE) -p rt -p rt-integration --bins
	@integration/run-attacks $(TRIPLE)

lint: protoc
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --target $(TRIPLE) -- -D warnings

# tools/hot-text.py says what for.
hot: busybox
	@bundles/make-rootfs
	RT_LINK_MAP=$$PWD/target/rt.map cargo build --release --target $(TRIPLE) -p rt --bin rt
	unshare -m sh -c 'mount --make-rprivate / && umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && \
		mount -t tmpfs none /run && python3 tools/hot-text.py $(RT) target/rt.map bundles/hello bundles/docker' > target/hot.ld
	mv target/hot.ld src/sys/hot.ld

# The timer, its floor program and the containers' image need no release build: they do little but system calls.
bench: build
	cargo build --target $(TRIPLE) -p rt-integration --bins
	@RT_BIN="$$PWD/$(RT)" RT_PROBE="$$PWD/$(PROBE)" target/$(TRIPLE)/debug/bench $(ROUNDS)

# RT_VALIDATION_SUITE names the folder of a built copy of the OCI validation suite.
validation: build
	cargo run -q --target $(TRIPLE) -p rt-integration --bin validation

man: linker
	@if command -v cargo >/dev/null; then cargo run -q --target $(TRIPLE) -p rt-integration --bin docs -- man target/man; \
	else [ -f target/man/rt.8 ]; fi

completions: linker
	cargo run -q --target $(TRIPLE) -p rt-integration --bin docs -- completions completions

install: build man
	install -d $(BINDIR)
	$(call whole,$(RT),$(BINDIR)/rt)
	install -d $(MANDIR)
	install -m 644 target/man/*.8 $(MANDIR)
	install -D -m 644 completions/rt.bash $(BASHDIR)/rt
	install -D -m 644 completions/_rt $(ZSHDIR)/_rt
	install -D -m 644 completions/rt.fish $(FISHDIR)/rt.fish
	if [ '$(APPARMOR)' = yes ]; then \
		install -d $(APPARMORDIR) && sed 's|@BINDIR@|$(PREFIX)/bin|' docs/apparmor > $(APPARMORDIR)/rt; \
	fi

uninstall:
	rm -f $(APPARMORDIR)/rt $(BINDIR)/rt $(MANDIR)/rt.8 $(MANDIR)/rt-*.8 $(BASHDIR)/rt $(ZSHDIR)/_rt $(FISHDIR)/rt.fish

clean:
	rm -rf target fuzz/target fuzz/corpus bundles/rootfs bundles/.rootfs-stamp bundles/rootless/config.own.json
