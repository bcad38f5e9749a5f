//! The last call: execve(2) and execveat(2).

use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A NULL-terminated array of C strings, made before the calls that must not allocate.
pub struct Strings<'a> {
    pointers: Vec<*const libc::c_char>,
    _owner: std::marker::PhantomData<&'a CStr>,
}

impl<'a> Strings<'a> {
    pub fn new(strings: &'a [CString]) -> Strings<'a> {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Strings { pointers, _owner: std::marker::PhantomData }
    }
}

/// execve(2). Returns only on failure; makes no other system call.
pub fn execve(path: &CStr, args: &Strings, env: &Strings) -> Errno {
    // SAFETY: all three end in NUL or NULL and outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.pointers.as_ptr(), env.pointers.as_ptr()) };
    Errno::last()
}

/// execveat(2) of the file that `file` is open on.
pub fn execve_fd(file: BorrowedFd, args: &Strings, env: &Strings) -> Errno {
    let (args, env) = (args.pointers.as_ptr(), env.pointers.as_ptr());
    // SAFETY: as above; the path is a static empty string.
    unsafe { libc::syscall(libc::SYS_execveat, file.as_raw_fd(), c"".as_ptr(), args, env, libc::AT_EMPTY_PATH) };
    Errno::last()
}

/// exit_group(2), without running anything of ours.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(code) }
}
