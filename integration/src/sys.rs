//! The few system calls that std does not have.

pub mod bpf;
pub mod ptrace;

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn terminated(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

/// Gives the calling thread, and what it will fork, a mount namespace of its own.
pub fn unshare_mounts() -> io::Result<()> {
    // SAFETY: flags only. Without CLONE_FS a thread that shares its root with others may not leave their namespace.
    check(unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_NEWNS) }).map(drop)
}

/// Gives the calling thread, and what it will fork, a network namespace of its own.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: flags only.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

pub fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    let (source, kind) = (terminated(source.as_ref())?, terminated(kind.as_ref())?);
    let (target, data) = (terminated(target.as_os_str())?, terminated(data.as_ref())?);
    // SAFETY: four terminated strings that outlive the call.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) })
        .map(drop)
}

/// Takes away whatever is mounted here, with everything below.
pub fn detach(target: &Path) -> io::Result<()> {
    let target = terminated(target.as_os_str())?;
    // SAFETY: a terminated string that outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// As [`kill`], but for this one thread.
pub fn kill_thread(thread: i32, signal: i32) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_tkill, thread, signal) } as libc::c_int).map(drop)
}

/// Waits until a child has been stopped by a signal.
pub fn wait_stopped(pid: i32) -> io::Result<()> {
    // SAFETY: a zeroed siginfo is a valid one; the call fills it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live siginfo.
    check(unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, libc::WSTOPPED) }).map(drop)
}

pub fn effective_uid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: integers only.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as libc::c_int)?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reports each change of a file as readable bytes on the descriptor.
pub fn watch(path: &Path) -> io::Result<OwnedFd> {
    // SAFETY: flags only.
    let fd = check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let path = terminated(path.as_os_str())?;
    // SAFETY: a terminated string that outlives the call.
    check(unsafe { libc::inotify_add_watch(fd.as_raw_fd(), path.as_ptr(), libc::IN_MODIFY) })?;
    Ok(fd)
}

/// Waits until one of the descriptors is readable; says which are.
pub fn poll(fds: &[&OwnedFd], until: Instant) -> io::Result<Vec<bool>> {
    let mut list: Vec<_> =
        fds.iter().map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    let left = left.as_millis().min(i32::MAX as u128) as i32;
    // SAFETY: the list is live and as long as said.
    match check(unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, left) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(list.iter().map(|entry| entry.revents != 0).collect()),
    }
}

/// Throws away what a non-blocking descriptor holds.
pub fn drain(fd: &OwnedFd) {
    let mut buffer = [0u8; 4096];
    // SAFETY: the buffer is live and as long as said.
    while unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {}
}

/// renameat2(2): each of two names takes the other's place, at once.
///
/// # Errors
/// As the call's.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let (one, other) = (terminated(one.as_os_str())?, terminated(other.as_os_str())?);
    let (here, flags) = (libc::AT_FDCWD, libc::RENAME_EXCHANGE);
    // SAFETY: two terminated strings that outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_renameat2, here, one.as_ptr(), here, other.as_ptr(), flags) };
    check(result as libc::c_int).map(drop)
}
