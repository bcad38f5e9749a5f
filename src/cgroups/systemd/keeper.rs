//! The process that a scope is started with: systemd takes none that is empty, and ends one that becomes so.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read};

use crate::sys::clone::{Child, Cloned, clone3, pidfd_send_signal, wait};
use crate::sys::exec::exit_now;

/// A process of ours that waits for our end of a pipe to be closed, and so ends with us too, however we end.
#[derive(Debug)]
pub struct Keeper {
    _hold: OwnedFd,
    pid: i32,
    pidfd: OwnedFd,
}

impl Keeper {
    pub fn new() -> Result<Keeper, Errno> {
        let (held, hold) = pipe2(OFlag::O_CLOEXEC)?;
        match clone3(0, None)? {
            Cloned::Child => {
                drop(hold);
                while read(&held, &mut [0]) == Err(Errno::EINTR) {}
                exit_now(0)
            }
            Cloned::Parent(Child { pid, pidfd }) => Ok(Keeper { _hold: hold, pid: pid.as_raw(), pidfd }),
        }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Not by closing the pipe: an init that was born meanwhile has that end too.
        // One that cannot be killed is not waited for: it ends with us.
        if pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL).is_ok() {
            let _ = wait(self.pidfd.as_fd());
        }
    }
}
