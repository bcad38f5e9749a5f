//! seccomp(2).

use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use seccompiler::sock_filter;

const SET_MODE_FILTER: libc::c_uint = 1;

/// Log every answer but ALLOW that the administrator has not turned off (Linux 4.14).
pub(crate) const FLAG_LOG: u64 = 1 << 1;
/// Leave speculative store bypass as it is (Linux 4.17).
pub(crate) const FLAG_SPEC_ALLOW: u64 = 1 << 2;
/// Answer with a listener for USER_NOTIF (Linux 5.0).
pub(crate) const FLAG_NEW_LISTENER: u64 = 1 << 3;
/// Once the listener has received a notification, only a fatal signal interrupts the waiting call (Linux 5.19).
pub(crate) const FLAG_WAIT_KILLABLE_RECV: u64 = 1 << 5;

/// Loads `program` for the calling thread with seccomp(2) and makes no other system call. The result is the listener
/// (close-on-exec) when `flags` has `FLAG_NEW_LISTENER`.
///
/// # Errors
/// EINVAL for a program the kernel refuses, a flag it does not know or more than 65535 instructions; EACCES without
/// no_new_privs and CAP_SYS_ADMIN; EBUSY when a listener is asked for and an outer filter has one; ENOMEM when all
/// filters of the thread together exceed 32768 instructions.
pub(crate) fn install(program: &[sock_filter], flags: u64) -> nix::Result<Option<OwnedFd>> {
    let fprog = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?,
        // The kernel only reads the instructions; the field is not const for historical reasons.
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: fprog points at `len` instructions of the kernel's layout (8 bytes, repr(C)), alive during the call.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags as libc::c_uint, &raw const fprog) };
    let answer = Errno::result(answer)?;
    if flags & FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with NEW_LISTENER a successful call returns a new descriptor that nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(answer as libc::c_int) }))
}

/// Whether the kernel knows all of `flags`. It looks at the flags before it reads the program, so without one it says
/// EFAULT if it knows them and EINVAL if not; nothing is loaded either way.
pub(crate) fn flags_known(flags: u64) -> bool {
    let none = ptr::null::<libc::sock_fprog>();
    // SAFETY: the null program makes the call fail before it changes anything.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags as libc::c_uint, none) };
    answer == -1 && Errno::last() == Errno::EFAULT
}
