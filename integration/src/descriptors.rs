//! What a caller's descriptors look like to rt.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Higher than any number that a test passes.
const ABOVE: i32 = 800;

/// Has the command start with `file` under this number, left open for whatever it executes.
///
/// # Panics
/// If this process has no descriptor left.
pub fn pass(command: &mut Command, file: File, number: i32) {
    // Out of the way of the other numbers: where both are one, dup2(2) would leave it to be closed at the exec.
    // SAFETY: integers only.
    let high = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, ABOVE) };
    assert!(high >= 0, "{}", io::Error::last_os_error());
    // SAFETY: a new descriptor that nobody else owns.
    let file = unsafe { File::from_raw_fd(high) };
    let hand_over = move || {
        // SAFETY: integers only; `file` stays open as long as this closure, which the command owns.
        match unsafe { libc::dup2(file.as_raw_fd(), number) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: between fork and exec it does nothing but dup2(2), which is async-signal-safe.
    unsafe { command.pre_exec(hand_over) };
}

/// Has the command start without this descriptor.
pub fn close(command: &mut Command, number: i32) {
    let close = move || {
        // SAFETY: an integer only; what std still needs of the child's descriptors has other numbers.
        unsafe { libc::close(number) };
        Ok(())
    };
    // SAFETY: between fork and exec it does nothing but close(2), which is async-signal-safe.
    unsafe { command.pre_exec(close) };
}
