//! openat2(2), statx-like questions and fd ranges.

use super::{check, fd};
use nix::NixPath;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

pub const RESOLVE_NO_XDEV: u64 = 0x01;
pub const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
pub const RESOLVE_NO_SYMLINKS: u64 = 0x04;
pub const RESOLVE_BENEATH: u64 = 0x08;
pub const RESOLVE_IN_ROOT: u64 = 0x10;

pub const PROC_SUPER_MAGIC: i64 = 0x9fa0;
pub const PID_FS_MAGIC: i64 = 0x5049_4446;

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// openat2(2); `O_CLOEXEC` is always added. `EAGAIN` (a rename raced with `..`) is tried again some times, as the manual asks.
pub fn openat2<P: ?Sized + NixPath>(
    dir: impl AsFd,
    path: &P,
    flags: i32,
    mode: u32,
    resolve: u64,
) -> nix::Result<OwnedFd> {
    let how = OpenHow { flags: (flags | libc::O_CLOEXEC) as u32 as u64, mode: u64::from(mode), resolve };
    let dir = dir.as_fd().as_raw_fd();
    let call = |path: &std::ffi::CStr| {
        // SAFETY: `path` and `how` outlive the call, and the size is that of `how`.
        fd(unsafe { libc::syscall(libc::SYS_openat2, dir, path.as_ptr(), &how, size_of::<OpenHow>()) })
    };
    const TRIES: usize = 128;
    for _ in 1..TRIES {
        match path.with_nix_path(call)? {
            Err(nix::errno::Errno::EAGAIN) => {}
            result => return result,
        }
    }
    path.with_nix_path(call)?
}

/// close_range(2) of `first` to `last`, both included; with `at_exec` they are only marked close-on-exec.
pub fn close_range(first: u32, last: u32, at_exec: bool) -> nix::Result<()> {
    let flags = if at_exec { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: no pointers. Callers close only what no OwnedFd of theirs holds any more.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// open(2), close-on-exec, in one system call: musl follows its own open with an fcntl.
pub fn open<P: ?Sized + NixPath>(path: &P, flags: OFlag) -> nix::Result<OwnedFd> {
    nix::fcntl::openat(nix::fcntl::AT_FDCWD, path, flags | OFlag::O_CLOEXEC, Mode::empty())
}

/// What a link says, as far as it fits: for who compares and need not allocate (readlink(2)).
pub fn link_start<'a>(path: &std::ffi::CStr, into: &'a mut [u8]) -> nix::Result<&'a [u8]> {
    // SAFETY: pointer and length are of one slice.
    let n = unsafe { libc::readlink(path.as_ptr(), into.as_mut_ptr().cast(), into.len()) };
    let n = nix::errno::Errno::result(n)?;
    Ok(&into[..n as usize])
}

/// The text of one of the kernel's own files, in as few calls as it takes: one, if it is short.
pub fn read_text(file: OwnedFd) -> nix::Result<String> {
    let mut buffer = [0; 4096];
    let n = nix::unistd::read(&file, &mut buffer)?;
    let mut text = buffer[..n].to_vec();
    if n == buffer.len() {
        let rest = std::io::Read::read_to_end(&mut std::fs::File::from(file), &mut text);
        rest.map_err(|error| nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    }
    Ok(String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The filesystem magic of `fd` (fstatfs(2)).
pub fn filesystem_magic(fd: impl AsFd) -> nix::Result<i64> {
    Ok(nix::sys::statfs::fstatfs(fd)?.filesystem_type().0 as i64)
}

/// Gives a directory, which may be open with `O_PATH`, the SELinux context `label`: open(2) and fsetxattr(2).
pub fn set_label(dir: impl AsFd, label: &std::ffi::CStr) -> nix::Result<()> {
    let dir = nix::fcntl::openat(dir, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    set_attribute(dir, c"security.selinux", label.to_bytes())
}

/// Sets an extended attribute: fsetxattr(2).
pub fn set_attribute(file: impl AsFd, name: &std::ffi::CStr, value: &[u8]) -> nix::Result<()> {
    let file = file.as_fd().as_raw_fd();
    // SAFETY: the name is terminated; pointer and length are of one slice.
    let ret = unsafe { libc::fsetxattr(file, name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    nix::errno::Errno::result(ret).map(drop)
}

/// An extended attribute's value; ERANGE where `into` is too short for it: fgetxattr(2).
pub fn attribute<'a>(file: impl AsFd, name: &std::ffi::CStr, into: &'a mut [u8]) -> nix::Result<&'a [u8]> {
    let file = file.as_fd().as_raw_fd();
    // SAFETY: the name is terminated; pointer and length are of one slice.
    let n = unsafe { libc::fgetxattr(file, name.as_ptr(), into.as_mut_ptr().cast(), into.len()) };
    let n = nix::errno::Errno::result(n)?;
    Ok(&into[..n as usize])
}

/// flock(2), exclusively, waiting at most `seconds`. Returns whether the lock was had.
///
/// No fd tells when a lock becomes free, so an alarm ends the wait; its handler does nothing but interrupt.
pub fn lock(file: impl AsFd, seconds: u32) -> nix::Result<bool> {
    use nix::errno::Errno;
    if try_lock(&file)? {
        return Ok(true);
    }
    extern "C" fn wake(_: i32) {}
    // A foreground `run` has all signals blocked by now.
    let mut alarm = SigSet::empty();
    alarm.add(Signal::SIGALRM);
    let before = alarm.thread_swap_mask(SigmaskHow::SIG_UNBLOCK)?;
    // SAFETY: the handler is async-signal-safe, as it does nothing; without SA_RESTART it interrupts flock.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = wake as extern "C" fn(i32) as usize;
        libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
        libc::alarm(seconds);
    }
    let result = flock(&file, libc::LOCK_EX);
    // SAFETY: no pointers.
    unsafe { libc::alarm(0) };
    before.thread_set_mask()?;
    match result {
        Err(Errno::EINTR) => Ok(false),
        result => result.map(|()| true),
    }
}

/// flock(2), exclusively, without waiting. Returns whether the lock was had.
pub fn try_lock(file: impl AsFd) -> nix::Result<bool> {
    match flock(file, libc::LOCK_EX | libc::LOCK_NB) {
        Err(nix::errno::Errno::EWOULDBLOCK) => Ok(false),
        result => result.map(|()| true),
    }
}

fn flock(file: impl AsFd, how: i32) -> nix::Result<()> {
    // SAFETY: no pointers.
    nix::errno::Errno::result(unsafe { libc::flock(file.as_fd().as_raw_fd(), how) }).map(drop)
}

/// The flags of a descriptor by its number, which need not be open: fcntl(2) `F_GETFD`.
pub fn descriptor_flags(number: i32) -> nix::Result<i32> {
    // SAFETY: integers only; what is open under this number is not touched.
    nix::errno::Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })
}

/// The id of the mount that `file` lies on (`STATX_MNT_ID`, statx(2)).
pub fn mount_id(file: impl AsFd) -> nix::Result<u64> {
    // SAFETY: all zeroes is a valid statx.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let (fd, at) = (file.as_fd().as_raw_fd(), libc::AT_EMPTY_PATH);
    // SAFETY: the path is a terminated string, and `found` is a statx for the kernel to fill.
    check(unsafe { libc::statx(fd, c"".as_ptr(), at, libc::STATX_MNT_ID, &mut found) }.into())?;
    Ok(found.stx_mnt_id)
}
