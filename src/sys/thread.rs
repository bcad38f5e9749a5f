//! The one thread that rt ever makes: the helper beside a filter with a listener.

use nix::errno::Errno;
use std::ffi::c_void;

/// Starts `entry` as a detached thread with a stack of `stack` bytes. The thread's start allocates nothing of ours, as
/// std's would: the allocator is for one thread at a time.
pub fn start(entry: extern "C" fn(*mut c_void) -> *mut c_void, stack: usize) -> nix::Result<()> {
    let check = |code: i32| if code == 0 { Ok(()) } else { Err(Errno::from_raw(code)) };
    // SAFETY: both are plain data that the calls below fill in.
    let (mut attributes, mut thread): (libc::pthread_attr_t, libc::pthread_t) = unsafe { std::mem::zeroed() };
    // SAFETY: the pointers are to live values, and `entry` takes the null that it is passed.
    unsafe {
        check(libc::pthread_attr_init(&mut attributes))?;
        check(libc::pthread_attr_setstacksize(&mut attributes, stack))?;
        check(libc::pthread_create(&mut thread, &attributes, entry, std::ptr::null_mut()))
    }
}
