//! Thin safe wrappers over the system calls that no crate wraps. The only `unsafe` of the program lives here.
//!
//! Every wrapper is one system call (or says which ones), takes borrowed fds and returns owned ones, and reports the
//! plain errno: what the failure means is known one level up, where the object is known too.

#[cfg(test)]
mod alloc;
pub mod bpf;
pub mod clone;
pub mod exec;
pub mod fs;
pub mod image;
pub mod mount;
pub mod net;
pub mod process;
pub mod seccomp;
pub mod shared;
pub mod thread;
pub mod tty;

use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// The result of a raw system call as nix reports it.
fn check(ret: libc::c_long) -> nix::Result<libc::c_long> {
    Errno::result(ret)
}

/// The fd that a raw system call returned.
fn fd(ret: libc::c_long) -> nix::Result<OwnedFd> {
    let raw = check(ret)?;
    // SAFETY: the kernel just returned this fd to us and nothing else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as i32) })
}

/// Takes ownership of an fd that the kernel has just handed us as a bare number (SCM_RIGHTS).
pub fn own(raw: std::os::fd::RawFd) -> OwnedFd {
    // SAFETY: callers pass fds fresh out of recvmsg(2), which nobody else knows.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
