//! A user namespace that is made for its maps alone, as idmapped mounts take them.

use super::idmap::{IdMap, write_maps};
use crate::fault::{During, Fault, words};
use crate::sys::clone::{Cloned, clone3, wait};
use crate::sys::exec::exit_now;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const STAGE: &str = "idmap";

/// Makes a user namespace with these maps. A process holds it until they are written, and ends with our end of a
/// pipe, so also with us. `proc` is the host's /proc.
pub fn with_maps(proc: BorrowedFd, uid_map: &[IdMap], gid_map: &[IdMap]) -> Result<OwnedFd, Fault> {
    let what = || "cannot make a user namespace".to_owned();
    let (held, hold) = pipe2(OFlag::O_CLOEXEC).during(STAGE, what)?;
    match clone3(super::USER, None).map_err(refused)? {
        Cloned::Child => {
            drop(hold);
            while read(&held, &mut [0]) == Err(Errno::EINTR) {}
            exit_now(0)
        }
        Cloned::Parent(holder) => {
            let namespace = write_maps(proc, holder.pid, uid_map, gid_map, true).and_then(|()| {
                let path = format!("{}/ns/user", holder.pid);
                openat(proc, path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).during(STAGE, what)
            });
            drop(hold);
            wait(holder.pidfd.as_fd()).during(STAGE, what)?;
            namespace
        }
    }
}

fn refused(errno: Errno) -> Fault {
    let fault = Fault::new(STAGE, format!("cannot make a user namespace: {}", words(errno))).errno(errno);
    match errno {
        Errno::ENOSPC | Errno::EUSERS => fault.hint("raise user.max_user_namespaces"),
        _ => fault,
    }
}
