//! The caller's standard input, output and error, as the container's process gets them.
//!
//! Callers expect both of what is done here, as runc does it: the shim of containerd opens the /dev/null of the host for
//! reading only and gives it as output, and images of an ordinary user write to /dev/stdout by its path.

use crate::fault::{During, Fault};
use crate::sys::process::standard_fds;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, makedev};
use nix::unistd::{Uid, dup2_stderr, dup2_stdout, fchown};
use std::os::fd::OwnedFd;

/// Puts the container's /dev/null, open for writing, in the place of the host's as output and errors.
pub fn reopen_null() -> Result<(), Fault> {
    let [_, out, err] = standard_fds();
    let nulls = [out, err].map(|fd| fstat(fd).is_ok_and(|stat| is_null(&stat)));
    if nulls == [false; 2] {
        return Ok(());
    }
    // An image without one, or with something else in its place, keeps the host's.
    let Some(null) = container_null() else { return Ok(()) };
    let give = |null: &OwnedFd| {
        nulls[0].then(|| dup2_stdout(null)).transpose()?;
        nulls[1].then(|| dup2_stderr(null)).transpose()
    };
    give(&null).map(drop).during("stdio", || "cannot give /dev/null to the process".to_owned())
}

fn container_null() -> Option<OwnedFd> {
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    fstat(&null).is_ok_and(|stat| is_null(&stat)).then_some(null)
}

fn is_null(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == SFlag::S_IFCHR.bits() && stat.st_rdev == makedev(1, 3)
}

/// Gives the pipes and files among them to the user `uid`, who could otherwise not open /dev/stdout. Where the kernel
/// refuses (another's file, an owner that the user namespace does not map) they stay as the caller made them.
pub fn give_to(uid: u32) {
    // Root opens them whoever they belong to.
    if uid == 0 {
        return;
    }
    for fd in standard_fds() {
        let is_given =
            |stat: FileStat| stat.st_uid != uid && matches!(stat.st_mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFREG);
        if fstat(fd).is_ok_and(is_given) {
            let _ = fchown(fd, Some(Uid::from_raw(uid)), None);
        }
    }
}
