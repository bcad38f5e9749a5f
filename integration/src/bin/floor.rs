//! The yardstick of `make bench`: the container of bundles/hello made with the fewest system calls, nothing parsed and
//! nothing checked. No runtime can be faster than this by much; a runtime's time divided by this one's says what its
//! care costs, whatever the machine. The time includes musl's start, as rt's does, and one difference is left in its
//! favour: it trusts its arguments.
//!
//! ```text
//! floor run    ROOTFS CGROUP STATE PROGRAM ARG…   make, run, wait, remove
//! floor create ROOTFS CGROUP STATE PROGRAM ARG…   make up to execve; STATE keeps the pid and a fifo
//! floor start  STATE
//! floor state  STATE
//! floor exec   STATE CGROUP PROGRAM ARG…
//! floor delete STATE CGROUP
//! floor usage  PROGRAM ARG…                       run it, print the peak of its resident memory in kB, and its page faults
//! ```
//!
//! `usage` is here because a process starts with the peak of whoever forked it (getrusage(2)), and this one is small.

#![no_main]

use std::ffi::{CStr, CString};
use std::mem::zeroed;
use std::process::exit;
use std::ptr::{null, null_mut};

#[unsafe(no_mangle)]
extern "C" fn main(count: libc::c_int, arguments: *const *const libc::c_char) -> libc::c_int {
    // SAFETY: the C library passes `count` terminated strings that live as long as the process.
    let args: Vec<&CStr> = (1..count as usize).map(|i| unsafe { CStr::from_ptr(*arguments.add(i)) }).collect();
    match args.first().map(|verb| verb.to_bytes()) {
        Some(b"run") if args.len() > 4 => run(&args[1..]),
        Some(b"create") if args.len() > 4 => create(&args[1..]),
        Some(b"start") if args.len() == 2 => start(args[1]),
        Some(b"state") if args.len() == 2 => state(args[1]),
        Some(b"exec") if args.len() > 3 => exec(&args[1..]),
        Some(b"delete") if args.len() == 3 => delete(args[1], args[2]),
        Some(b"usage") if args.len() > 1 => usage(&args[1..]),
        _ => fail("the first lines of floor.rs say how it is called"),
    }
    0
}

fn fail(what: &str) -> ! {
    eprintln!("floor: {what}: {}", std::io::Error::last_os_error());
    // SAFETY: never returns; also in the child that shares our memory no handler of ours may run.
    unsafe { libc::_exit(1) }
}

/// The value of a call that must not fail.
macro_rules! must {
    ($($call:tt)+) => {{
        // SAFETY: the calls of this file take terminated strings, flags, and structures of the right size on the stack.
        let value = unsafe { $($call)+ };
        if value < 0 {
            fail(stringify!($($call)+));
        }
        value
    }};
}

/// A list as execve(2) wants it.
fn vector(args: &[&CStr]) -> Vec<*const libc::c_char> {
    args.iter().map(|arg| arg.as_ptr()).chain([null()]).collect()
}

const ENV: &CStr = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn join(dir: &CStr, name: &str) -> CString {
    let mut path = dir.to_bytes().to_vec();
    path.extend_from_slice(name.as_bytes());
    CString::new(path).unwrap_or_default()
}

/// Everything the child needs, made before the clone.
struct Setup<'a> {
    rootfs: &'a CStr,
    program: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    /// The fifo at which a created container waits, and the pipe on which it says that it does.
    rendezvous: Option<(i32, i32)>,
}

fn run(args: &[&CStr]) {
    let (rootfs, cgroup, state) = (args[0], args[1], args[2]);
    read_config(rootfs);
    let group = make_cgroup(cgroup);
    let file = join(state, "/state");
    write_state(state, &file, 0);
    let setup = Setup { rootfs, program: vector(&args[3..]), env: vector(&[ENV]), rendezvous: None };
    let (_, pidfd) = clone_vfork(NAMESPACES, group, || contain(&setup));
    let status = wait(pidfd);
    must!(libc::rmdir(cgroup.as_ptr()));
    must!(libc::unlink(file.as_ptr()));
    must!(libc::rmdir(state.as_ptr()));
    exit(status);
}

fn create(args: &[&CStr]) {
    let (rootfs, cgroup, state) = (args[0], args[1], args[2]);
    read_config(rootfs);
    let group = make_cgroup(cgroup);
    let file = join(state, "/state");
    write_state(state, &file, 0);
    let fifo = join(state, "/fifo");
    must!(libc::mkfifo(fifo.as_ptr(), 0o600));
    let wait_at = must!(libc::open(fifo.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC));
    let mut ready = [0; 2];
    must!(libc::pipe2(ready.as_mut_ptr(), libc::O_CLOEXEC));
    let rendezvous = Some((wait_at, ready[1]));
    let setup = Setup { rootfs, program: vector(&args[3..]), env: vector(&[ENV]), rendezvous };
    let (pid, _) = clone(NAMESPACES, group, || contain(&setup));
    must!(libc::close(ready[1]));
    let mut byte = 0_u8;
    if must!(libc::read(ready[0], (&raw mut byte).cast(), 1)) != 1 {
        fail("the child died");
    }
    write_state_file(&file, pid);
}

fn start(state: &CStr) {
    let fifo = join(state, "/fifo");
    let fd = must!(libc::open(fifo.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC));
    must!(libc::write(fd, c"g".as_ptr().cast(), 1));
}

fn state(state: &CStr) {
    let pid = recorded(state);
    must!(libc::syscall(libc::SYS_pidfd_open, pid, 0));
    let line = format!("{{\"pid\":{pid},\"status\":\"running\"}}\n");
    must!(libc::write(1, line.as_ptr().cast(), line.len()));
}

fn exec(args: &[&CStr]) {
    let pid = recorded(args[0]);
    let init = must!(libc::syscall(libc::SYS_pidfd_open, pid, 0)) as i32;
    let group = must!(libc::open(args[1].as_ptr(), libc::O_DIRECTORY | libc::O_CLOEXEC));
    must!(libc::setns(init, libc::CLONE_NEWPID));
    let (program, env) = (vector(&args[2..]), vector(&[ENV]));
    let (_, pidfd) = clone_vfork(0, group, || {
        must!(libc::setns(init, NAMESPACES as i32 & !libc::CLONE_NEWPID | libc::CLONE_NEWCGROUP));
        must!(libc::setsid());
        restrict();
        must!(libc::execve(program[0], program.as_ptr(), env.as_ptr()));
        fail("execve")
    });
    exit(wait(pidfd));
}

fn delete(state: &CStr, cgroup: &CStr) {
    let pid = recorded(state);
    let init = must!(libc::syscall(libc::SYS_pidfd_open, pid, 0)) as i32;
    must!(libc::syscall(libc::SYS_pidfd_send_signal, init, libc::SIGKILL, null::<u8>(), 0));
    let mut poll = libc::pollfd { fd: init, events: libc::POLLIN, revents: 0 };
    must!(libc::poll(&mut poll, 1, -1));
    must!(libc::rmdir(cgroup.as_ptr()));
    must!(libc::unlink(join(state, "/fifo").as_ptr()));
    must!(libc::unlink(join(state, "/state").as_ptr()));
    must!(libc::rmdir(state.as_ptr()));
}

fn usage(args: &[&CStr]) {
    let (program, env) = (vector(args), vector(&[ENV]));
    let (pid, _) = clone(0, -1, || {
        must!(libc::execve(program[0], program.as_ptr(), env.as_ptr()));
        fail("execve")
    });
    let mut status = 0;
    // SAFETY: plain integers.
    let mut usage: libc::rusage = unsafe { zeroed() };
    must!(libc::wait4(pid, &mut status, 0, &mut usage));
    println!("{} {}", usage.ru_maxrss, usage.ru_minflt);
    exit(i32::from(status != 0));
}

// ---- the state

fn read_config(rootfs: &CStr) {
    let mut text = [0_u8; 32768];
    let fd = must!(libc::open(join(rootfs, "/../config.json").as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC));
    must!(libc::read(fd, text.as_mut_ptr().cast(), text.len()));
    must!(libc::close(fd));
}

fn write_state(dir: &CStr, file: &CStr, pid: i32) {
    must!(libc::mkdir(dir.as_ptr(), 0o711));
    write_state_file(file, pid);
}

fn write_state_file(file: &CStr, pid: i32) {
    let text = format!("{pid}\n");
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC;
    let fd = must!(libc::open(file.as_ptr(), flags, 0o600));
    must!(libc::write(fd, text.as_ptr().cast(), text.len()));
    must!(libc::close(fd));
}

fn recorded(dir: &CStr) -> i32 {
    let mut text = [0_u8; 16];
    let fd = must!(libc::open(join(dir, "/state").as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC));
    let n = must!(libc::read(fd, text.as_mut_ptr().cast(), text.len())) as usize;
    let text = String::from_utf8_lossy(&text[..n]);
    text.trim().parse().unwrap_or_else(|_| fail("no pid in the state"))
}

// ---- the process

const NAMESPACES: u64 =
    (libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNS) as u64;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn clone_args(flags: u64, cgroup: i32, pidfd: &mut i32) -> libc::clone_args {
    // SAFETY: plain integers.
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut *pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if cgroup >= 0 {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup as u64;
    }
    args
}

/// A copy of this process that runs `child`.
fn clone(flags: u64, cgroup: i32, child: impl FnOnce() -> std::convert::Infallible) -> (i32, i32) {
    let mut pidfd = -1;
    let args = clone_args(flags, cgroup, &mut pidfd);
    let pid = must!(libc::syscall(libc::SYS_clone3, &args, size_of::<libc::clone_args>()));
    if pid == 0 {
        child();
    }
    (pid as i32, pidfd)
}

/// A child in our own memory, on our own stack, while we wait for its execve: vfork(2) with namespaces.
#[inline(never)]
fn clone_vfork(flags: u64, cgroup: i32, child: impl FnOnce() -> std::convert::Infallible) -> (i32, i32) {
    let mut pidfd = -1;
    let args = clone_args(flags | (libc::CLONE_VM | libc::CLONE_VFORK) as u64, cgroup, &mut pidfd);
    let pid: i64;
    // SAFETY: not through libc's `syscall`: its return address lies where the child's frames will. Here child and
    // parent leave the instruction in this same frame; the child never returns from it, and changes nothing in it.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") libc::SYS_clone3 => pid, in("rdi") &args,
            in("rsi") size_of::<libc::clone_args>(), lateout("rcx") _, lateout("r11") _);
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("svc 0", in("x8") libc::SYS_clone3, inlateout("x0") &args => pid,
            in("x1") size_of::<libc::clone_args>());
    }
    if pid == 0 {
        child();
    }
    if pid < 0 {
        fail("clone3");
    }
    (pid as i32, pidfd)
}

fn wait(pidfd: i32) -> i32 {
    // SAFETY: plain data.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    must!(libc::waitid(libc::P_PIDFD, pidfd as u32, &mut info, libc::WEXITED));
    // SAFETY: waitid has filled it in.
    unsafe { info.si_status() }
}

// ---- the cgroup

fn make_cgroup(path: &CStr) -> i32 {
    must!(libc::mkdir(path.as_ptr(), 0o755));
    let group = must!(libc::open(path.as_ptr(), libc::O_DIRECTORY | libc::O_CLOEXEC));
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        program: *const [u64; 21],
        license: *const libc::c_char,
        rest: [u64; 3],
    }
    const DEVICE: u32 = 15;
    let load = Load { kind: DEVICE, count: 21, program: &DEVICES, license: c"GPL".as_ptr(), rest: [0; 3] };
    let program = must!(libc::syscall(libc::SYS_bpf, 5, &load, size_of::<Load>())) as u32;
    const ATTACH_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    let attach = [group as u32, program, ATTACH_DEVICE, ALLOW_MULTI];
    must!(libc::syscall(libc::SYS_bpf, 8, &attach, size_of_val(&attach)));
    group
}

/// The default devices, and mknod of any: the shortest program that answers this.
static DEVICES: [u64; 21] = {
    const fn op(code: u8, to: u64, from: u64, jump: u64, value: u32) -> u64 {
        code as u64 | to << 8 | from << 12 | jump << 16 | (value as u64) << 32
    }
    [
        op(0x61, 2, 1, 0, 0),      // r2 = access << 16 | type
        op(0x61, 4, 1, 4, 0),      // r4 = major
        op(0x61, 5, 1, 8, 0),      // r5 = minor
        op(0xbc, 3, 2, 0, 0),      // r3 = r2
        op(0x74, 3, 0, 0, 16),     // r3 >>= 16
        op(0x54, 2, 0, 0, 0xffff), // r2 &= 0xffff
        op(0xb4, 0, 0, 0, 1),      // r0 = 1
        op(0x16, 3, 0, 12, 1),     // mknod: out
        op(0x56, 2, 0, 10, 2),     // not a character device: no
        op(0x16, 4, 0, 10, 136),   // pts: out
        op(0xb4, 6, 0, 0, 0x3a8),  // the minors of major 1, as bits
        op(0x16, 4, 0, 2, 1),
        op(0x56, 4, 0, 6, 5),
        op(0xb4, 6, 0, 0, 7), // those of major 5
        op(0x26, 5, 0, 4, 31),
        op(0x7c, 6, 5, 0, 0), // r6 >>= minor
        op(0x54, 6, 0, 0, 1), // r6 &= 1
        op(0xbc, 0, 6, 0, 0), // r0 = r6
        op(0x05, 0, 0, 1, 0), // out
        op(0xb4, 0, 0, 0, 0), // no: r0 = 0
        op(0x95, 0, 0, 0, 0), // out: exit
    ]
};

// ---- the inside

fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong, data: &CStr) {
    must!(libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()));
}

const PLAIN: libc::c_ulong = libc::MS_NOSUID | libc::MS_NOEXEC | libc::MS_NODEV;

fn contain(setup: &Setup) -> std::convert::Infallible {
    must!(libc::setsid());
    must!(libc::unshare(libc::CLONE_NEWCGROUP));
    mount(c"", c"/", c"", libc::MS_SLAVE | libc::MS_REC, c"");
    mount(setup.rootfs, setup.rootfs, c"", libc::MS_BIND | libc::MS_REC, c"");
    must!(libc::chdir(setup.rootfs.as_ptr()));
    must!(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()));
    must!(libc::umount2(c".".as_ptr(), libc::MNT_DETACH));
    must!(libc::chdir(c"/".as_ptr()));
    mounts();
    devices();
    cover();
    mount(c"", c"/", c"", libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY, c"");
    loopback();
    must!(libc::sethostname(c"hello".as_ptr(), 5));
    let limit = libc::rlimit { rlim_cur: 1024, rlim_max: 1024 };
    must!(libc::prlimit(0, libc::RLIMIT_NOFILE, &limit, null_mut()));
    must!(libc::syscall(libc::SYS_keyctl, 1, c"_ses.floor".as_ptr()));
    restrict();
    if let Some((fifo, ready)) = setup.rendezvous {
        let mut byte = 0_u8;
        must!(libc::write(ready, c"r".as_ptr().cast(), 1));
        must!(libc::close(ready));
        must!(libc::read(fifo, (&raw mut byte).cast(), 1));
    }
    must!(libc::execve(setup.program[0], setup.program.as_ptr(), setup.env.as_ptr()));
    fail("execve")
}

fn mounts() {
    mount(c"proc", c"/proc", c"proc", 0, c"");
    mount(c"tmpfs", c"/dev", c"tmpfs", libc::MS_NOSUID | libc::MS_STRICTATIME, c"mode=755,size=65536k");
    for dir in [c"/dev/pts", c"/dev/shm", c"/dev/mqueue"] {
        must!(libc::mkdir(dir.as_ptr(), 0o755));
    }
    let pts = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
    mount(c"devpts", c"/dev/pts", c"devpts", libc::MS_NOSUID | libc::MS_NOEXEC, pts);
    mount(c"shm", c"/dev/shm", c"tmpfs", PLAIN, c"mode=1777,size=65536k");
    mount(c"mqueue", c"/dev/mqueue", c"mqueue", PLAIN, c"");
    mount(c"sysfs", c"/sys", c"sysfs", PLAIN | libc::MS_RDONLY, c"");
    mount(c"cgroup", c"/sys/fs/cgroup", c"cgroup2", PLAIN | libc::MS_RELATIME | libc::MS_RDONLY, c"");
}

fn devices() {
    must!(libc::umask(0) as i32);
    let nodes = [(c"/dev/null", 1, 3), (c"/dev/zero", 1, 5), (c"/dev/full", 1, 7), (c"/dev/random", 1, 8)];
    for (path, major, minor) in nodes.into_iter().chain([(c"/dev/urandom", 1, 9), (c"/dev/tty", 5, 0)]) {
        must!(libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(major, minor)));
    }
    for (target, link) in [
        (c"/proc/self/fd", c"/dev/fd"),
        (c"/proc/self/fd/0", c"/dev/stdin"),
        (c"/proc/self/fd/1", c"/dev/stdout"),
        (c"/proc/self/fd/2", c"/dev/stderr"),
        (c"pts/ptmx", c"/dev/ptmx"),
    ] {
        must!(libc::symlink(target.as_ptr(), link.as_ptr()));
    }
    must!(libc::umask(0o22) as i32);
}

/// The masked and read-only paths of bundles/hello.
fn cover() {
    for path in [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys", c"/proc/sysrq-trigger"] {
        // SAFETY: as in `must!`; some kernels lack some of these.
        if unsafe { libc::mount(path.as_ptr(), path.as_ptr(), null(), libc::MS_BIND | libc::MS_REC, null()) } == 0 {
            mount(c"", path, c"", libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY, c"");
        }
    }
    let masked = [
        c"/proc/acpi",
        c"/proc/asound",
        c"/proc/kcore",
        c"/proc/keys",
        c"/proc/latency_stats",
        c"/proc/timer_list",
        c"/proc/timer_stats",
        c"/proc/sched_debug",
        c"/proc/scsi",
        c"/sys/firmware",
    ];
    for path in masked {
        // SAFETY: plain integers.
        let mut stat: libc::stat = unsafe { zeroed() };
        // SAFETY: as in `must!`.
        if unsafe { libc::stat(path.as_ptr(), &mut stat) } != 0 {
            continue;
        }
        if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
            mount(c"tmpfs", path, c"tmpfs", libc::MS_RDONLY, c"nr_inodes=2");
        } else {
            mount(c"/dev/null", path, c"", libc::MS_BIND, c"");
        }
    }
}

fn loopback() {
    // SAFETY: plain data.
    let mut request: libc::ifreq = unsafe { zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let socket = must!(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0));
    must!(libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &request));
    must!(libc::close(socket));
}

/// AUDIT_WRITE, KILL and NET_BIND_SERVICE remain.
fn restrict() {
    const KEPT: u32 = 1 << 29 | 1 << 5 | 1 << 10;
    for capability in (0..=40).filter(|bit| KEPT.checked_shr(*bit).unwrap_or(0) & 1 == 0) {
        must!(libc::prctl(libc::PR_CAPBSET_DROP, capability as libc::c_ulong));
    }
    const VERSION_3: u32 = 0x2008_0522;
    let (header, sets) = ([VERSION_3, 0], [KEPT, KEPT, 0, 0, 0, 0]);
    must!(libc::syscall(libc::SYS_capset, &header, &sets));
    must!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}
