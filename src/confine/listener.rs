//! Getting the listener of a filter with SCMP_ACT_NOTIFY out of the process that has just loaded it.
//!
//! After the load the process may call nothing but execve: any other call may be the one that waits for the agent's
//! answer, and the agent has no listener yet. Nor can the listener be fetched from outside in time: it is closed by
//! that execve, and looking into an undumpable process takes rights that a rootless caller lacks. So the process makes
//! a helper thread just before the load. The filter is the loading thread's alone (no TSYNC), and both share all fds:
//!
//! ```text
//! process                    helper thread              who starts it (run, exec: the channel; start: the rendezvous)
//!   |  clone ------------------->|                                  |  is connected to the agent already
//!   |  seccomp(NEW_LISTENER)     |                                  |
//!   |  store: the fd's number    |                                  |
//!   |  (reads memory)            |--- Listener + fd --------------->|
//!   |                            |                                  |--- state + fd ---> agent
//!   |                            |<-- Delivered --------------------|
//!   |  <- store: delivered ------|                                  |
//!   |  execve, which ends the helper                                |
//! ```
//!
//! The agent thus holds the listener before execve, which may itself be a call that it is asked about. Both waits read
//! a shared word, since one side must not call and the other cannot be called; they last as long as the load and as the
//! delivery. If the other end goes away, the helper ends the process.

use crate::launch::channel::hand_listener;
use crate::sys::exec::exit_now;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// What the two threads tell each other: nothing yet, an fd, or [`DELIVERED`].
static LISTENER: AtomicI32 = AtomicI32::new(NONE);
const NONE: i32 = -1;
const DELIVERED: i32 = -2;

/// The helper needs no more than a message's worth.
const STACK: usize = 64 << 10;

/// The connection that the helper uses.
static STARTER: AtomicI32 = AtomicI32::new(NONE);

/// Makes the helper, which will hand the listener over `to` whoever starts the process. From here the caller must not
/// allocate: the helper does, while the caller waits in [`hand_over`].
pub fn prepare(to: RawFd) -> nix::Result<()> {
    STARTER.store(to, Ordering::Release);
    crate::sys::thread::start(help, STACK)
}

extern "C" fn help(_: *mut std::ffi::c_void) -> *mut std::ffi::c_void {
    let listener = loop {
        match LISTENER.load(Ordering::Acquire) {
            NONE => drop(nix::sched::sched_yield()),
            listener => break listener,
        }
    };
    if !hand_listener(STARTER.load(Ordering::Acquire), listener) {
        exit_now(1);
    }
    LISTENER.store(DELIVERED, Ordering::Release);
    // Nothing is torn down beside the other thread, which may call nothing to join in: execve ends us.
    loop {
        nix::unistd::pause();
    }
}

/// After the load: waits, without a system call, until the agent has the listener.
pub fn hand_over(listener: OwnedFd) {
    use std::os::fd::IntoRawFd;
    LISTENER.store(listener.into_raw_fd(), Ordering::Release);
    while LISTENER.load(Ordering::Acquire) != DELIVERED {
        std::hint::spin_loop();
    }
}
