//! What a process is allowed to be: ids, capabilities, limits, scheduling, keyring.
//!
//! Ids go through raw system calls: libc's wrappers would stop every thread of the process first.

use super::check;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

/// Standard input, output and error, which are open from the start: see `start.rs`.
pub fn standard_fds() -> [BorrowedFd<'static>; 3] {
    // SAFETY: nothing closes them, so they outlive every use.
    [0, 1, 2].map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// setgroups(2).
pub fn setgroups(gids: &[u32]) -> nix::Result<()> {
    // SAFETY: pointer and length are of one slice.
    check(unsafe { libc::syscall(libc::SYS_setgroups, gids.len(), gids.as_ptr()) }).map(drop)
}

/// setresgid(2), all three ids alike.
pub fn setgid(gid: u32) -> nix::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// setresuid(2), all three ids alike.
pub fn setuid(uid: u32) -> nix::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

fn prctl(option: i32, a: u64, b: u64, c: u64) -> nix::Result<i64> {
    // SAFETY: the options used in this file take integers only.
    check(unsafe { libc::syscall(libc::SYS_prctl, option, a, b, c, 0) })
}

/// Does `work` while the kernel reaps our children, whoever they are. wait(2) knows none of those that end before it is
/// done; a pidfd still tells their end.
pub fn without_zombies<T>(work: impl FnOnce() -> T) -> T {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    // SAFETY: SIG_IGN is a valid disposition.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
    let done = work();
    // SAFETY: SIG_DFL is a valid disposition.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    done
}

/// PR_SET_DUMPABLE: whether other processes of the same user may look into this one.
pub fn set_dumpable(dumpable: bool) -> nix::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, u64::from(dumpable), 0, 0).map(drop)
}

/// PR_SET_KEEPCAPS: keep the permitted set across the next change of user.
pub fn set_keepcaps(keep: bool) -> nix::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), 0, 0).map(drop)
}

/// PR_SET_NO_NEW_PRIVS.
pub fn set_no_new_privs() -> nix::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0).map(drop)
}

/// PR_SET_CHILD_SUBREAPER: orphans among our descendants become our children.
pub fn set_child_subreaper() -> nix::Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0).map(drop)
}

/// PR_SET_NAME.
pub fn set_name(name: &CStr) -> nix::Result<()> {
    // SAFETY: the kernel reads at most 16 bytes of a NUL-terminated string.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) }).map(drop)
}

/// PR_CAPBSET_DROP; `EINVAL` past the kernel's last capability.
pub fn drop_bounding(capability: u32) -> nix::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, u64::from(capability), 0, 0).map(drop)
}

/// PR_CAP_AMBIENT_RAISE.
pub fn raise_ambient(capability: u32) -> nix::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, u64::from(capability), 0).map(drop)
}

/// PR_CAP_AMBIENT_CLEAR_ALL.
pub fn clear_ambient() -> nix::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0, 0).map(drop)
}

/// The three sets of capset(2), one bit per capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// capget(2) of this process.
pub fn capget() -> nix::Result<CapSets> {
    let header = CapHeader { version: LINUX_CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [0_u32; 6];
    // SAFETY: version 3 writes two structs of three u32, which is what `data` holds.
    check(unsafe { libc::syscall(libc::SYS_capget, &header, data.as_mut_ptr()) })?;
    let set = |i: usize| u64::from(data[i]) | u64::from(data[i + 3]) << 32;
    Ok(CapSets { effective: set(0), permitted: set(1), inheritable: set(2) })
}

/// capset(2) of this process.
pub fn capset(sets: &CapSets) -> nix::Result<()> {
    let header = CapHeader { version: LINUX_CAPABILITY_VERSION_3, pid: 0 };
    let half = |shift: u32| [sets.effective, sets.permitted, sets.inheritable].map(|set| (set >> shift) as u32);
    let (low, high) = (half(0), half(32));
    let data = [low[0], low[1], low[2], high[0], high[1], high[2]];
    // SAFETY: version 3 reads two structs of three u32, which is what `data` holds.
    check(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) }).map(drop)
}

/// prlimit64(2) of this process: sets soft and hard limit of `resource` (`RLIMIT_*`).
pub fn set_rlimit(resource: i32, soft: u64, hard: u64) -> nix::Result<()> {
    let limit = [soft, hard];
    let old = std::ptr::null::<u64>();
    // SAFETY: rlimit64 is two u64; the old value is not asked for.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), old) }).map(drop)
}

/// prlimit64(2) of this process: raises the hard limit of `resource` to `hard` where it is lower.
pub fn raise_hard_limit(resource: i32, hard: u64) -> nix::Result<()> {
    let mut old = [0_u64; 2];
    let none = std::ptr::null::<u64>();
    // SAFETY: rlimit64 is two u64; no new value is given.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, none, old.as_mut_ptr()) })?;
    if old[1] < hard { set_rlimit(resource, old[0], hard) } else { Ok(()) }
}

/// keyctl(KEYCTL_JOIN_SESSION_KEYRING): a new session keyring of this name.
pub fn join_session_keyring(name: &CStr) -> nix::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: `name` outlives the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }).map(drop)
}

/// Lets this process run on every CPU that its cpuset has: sched_setaffinity(2) with all of them named.
pub fn run_on_all_cpus() -> nix::Result<()> {
    // The kernel leaves out what does not exist.
    run_on_cpus(&[u64::MAX; MOST_CPUS / 64])
}

/// As many CPUs as the kernel can be built for (CONFIG_NR_CPUS).
pub const MOST_CPUS: usize = 8192;

/// Lets this process run on the CPUs of `mask` only, a bit for each: sched_setaffinity(2).
///
/// # Errors
/// EINVAL where its cpuset has none of them.
pub fn run_on_cpus(mask: &[u64]) -> nix::Result<()> {
    // SAFETY: pointer and size are of one slice, which the kernel only reads.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) }).map(drop)
}

/// set_mempolicy(2) of this process: `mode` with its flags, and a bit for each node.
///
/// # Errors
/// EINVAL where the cpuset has none of the nodes, or the kernel does not know the mode; ENOSYS without CONFIG_NUMA.
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> nix::Result<()> {
    let (mask, bits) = match nodes.len() {
        0 => (std::ptr::null(), 0),
        // The kernel takes one bit less than it is told.
        words => (nodes.as_ptr(), words * 64 + 1),
    };
    // SAFETY: the mask has as many bits as the kernel reads.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// personality(2).
pub fn set_personality(domain: u64) -> nix::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_personality, domain) }).map(drop)
}

/// ioprio_set(2) of this process.
pub fn set_io_priority(class: u32, priority: u32) -> nix::Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, class << 13 | priority) }).map(drop)
}

/// `struct sched_attr` of sched_setattr(2), with the clamps of Linux 5.3, which config.md has no fields for.
#[repr(C)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// The three times of SCHED_DEADLINE, in nanoseconds.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
    pub util_min: u32,
    pub util_max: u32,
}

impl SchedAttr {
    /// Whether a process under it may have children: sched(7), "SCHED_DEADLINE".
    pub fn may_fork(&self) -> bool {
        const RESET_ON_FORK: u64 = 0x01;
        self.policy != libc::SCHED_DEADLINE as u32 || self.flags & RESET_ON_FORK != 0
    }
}

/// sched_setattr(2) of this process.
pub fn set_scheduler(attr: &SchedAttr) -> nix::Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..attr.clone() };
    // SAFETY: `attr` names its own size and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &attr, 0) }).map(drop)
}

/// Gives the standard signals in `ignored` (bit n-1 for signal n) their default disposition: execve(2) resets what is
/// handled, but hands down what is ignored.
pub fn default_signals(ignored: u64) {
    for signal in (1..32).filter(|signal| ignored & 1 << (signal - 1) != 0) {
        // SAFETY: SIG_DFL is a valid disposition of every signal.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// umask(2).
pub fn set_umask(mask: u32) {
    // SAFETY: cannot fail, no pointers.
    unsafe { libc::umask(mask) };
}

/// setdomainname(2).
pub fn set_domainname(name: &str) -> nix::Result<()> {
    // SAFETY: pointer and length are of one string.
    check(unsafe { libc::syscall(libc::SYS_setdomainname, name.as_ptr(), name.len()) }).map(drop)
}
