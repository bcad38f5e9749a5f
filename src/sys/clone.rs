//! clone3(2), pidfds and waiting.

use super::{check, fd};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// `CLONE_NEWTIME`: only clone3(2) and unshare(2) take it; in clone(2) its bit belongs to the exit signal.
pub const CLONE_NEWTIME: u64 = 0x80;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of the clone this is.
pub enum Cloned {
    Child,
    Parent(Child),
}

/// A process of ours, held by its pidfd.
pub struct Child {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Signaled(i32),
}

impl Ended {
    /// The status that a shell reports: the exit code, or 128 + the signal's number.
    pub fn code(self) -> i32 {
        match self {
            Ended::Exited(code) => code,
            Ended::Signaled(signal) => 128 + signal,
        }
    }
}

/// Copies this process (clone3(2), copy on write) with `flags`, born in `cgroup` where one is given.
/// The child gets SIGCHLD as exit signal unless `flags` holds `CLONE_PARENT`, which takes the caller's.
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd>) -> nix::Result<Cloned> {
    let mut pidfd: i32 = -1;
    // SAFETY: all-zero is a valid clone_args (every field is an integer).
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    if flags & libc::CLONE_PARENT as u64 == 0 {
        args.exit_signal = libc::SIGCHLD as u64;
    }
    if let Some(dir) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = dir.as_raw_fd() as u64;
    }
    let size = size_of::<libc::clone_args>();
    // SAFETY: without CLONE_VM the child runs on its own copy of this stack. rt has one thread, so no lock is held
    // by a thread that the child lacks.
    match unsafe { check(libc::syscall(libc::SYS_clone3, &args, size))? } {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent(Child {
            pid: Pid::from_raw(pid as i32),
            // SAFETY: the kernel stored a new fd of ours there, as CLONE_PIDFD asks.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })),
    }
}

/// pidfd_open(2).
pub fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: no pointers.
    fd(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })
}

/// pidfd_send_signal(2); `signal` 0 only probes.
pub fn pidfd_send_signal(pidfd: BorrowedFd, signal: i32) -> nix::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is what kill(2) would send.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0) }).map(drop)
}

/// Waits until our child behind `pidfd` has ended, and reaps it.
pub fn wait(pidfd: BorrowedFd) -> nix::Result<Ended> {
    loop {
        // SAFETY: siginfo_t is plain data, and waitid only writes into it.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let id = pidfd.as_raw_fd() as libc::id_t;
        // SAFETY: `info` outlives the call.
        let ret = unsafe { libc::waitid(libc::P_PIDFD, id, &mut info, libc::WEXITED) };
        match Errno::result(ret) {
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno),
            Ok(_) => {}
        }
        // SAFETY: waitid succeeded, so the child's part of the union is filled in.
        let status = unsafe { info.si_status() };
        return Ok(match info.si_code {
            libc::CLD_EXITED => Ended::Exited(status),
            _ => Ended::Signaled(status),
        });
    }
}

/// How long a killed process may take to be gone.
pub const KILL_WAIT: Duration = Duration::from_secs(10);

/// Kills our child behind `pidfd`, which is reaped then; false if it is still there after [`KILL_WAIT`], in a call of the
/// kernel that nothing interrupts.
pub fn end(pidfd: BorrowedFd) -> bool {
    let _ = pidfd_send_signal(pidfd, libc::SIGKILL);
    matches!(ends_within(pidfd, KILL_WAIT), Ok(true)) && matches!(wait(pidfd), Ok(_) | Err(Errno::ECHILD))
}

/// Whether the process behind `pidfd` ends within this time: poll(2).
pub fn ends_within(pidfd: BorrowedFd, time: Duration) -> nix::Result<bool> {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let limit = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], limit) {
            Err(Errno::EINTR) => {}
            Ok(0) if Instant::now() < until => {}
            result => return result.map(|ready| ready > 0),
        }
    }
}

/// Whether the process behind `pidfd` has ended (a zombie has).
pub fn has_ended(pidfd: impl AsFd) -> nix::Result<bool> {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut fds, PollTimeout::ZERO)? > 0)
}
