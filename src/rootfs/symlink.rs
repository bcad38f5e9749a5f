//! `copy-symlink` (crun's word, which its callers use): where the source of a bind mount is a symbolic link, the container
//! gets the link itself, and where that leads is seen from inside.

use super::mount::STAGE;
use super::plan::MountPlan;
use super::resolve::{Kind, ensure};
use crate::fault::{During, Fault};
use crate::sys::fs::open;
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::symlinkat;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The link at `path`, if there is one.
pub fn find(path: &Path) -> Option<OwnedFd> {
    let found = open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW).ok()?;
    is_link(&found).then_some(found)
}

pub fn is_link(file: impl AsFd) -> bool {
    fstat(file).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK)
}

/// Makes the same link at the mount's destination, with the directories on the way to it. One that is there already and
/// says the same will do.
pub fn copy(plan: &MountPlan, link: &OwnedFd, root: BorrowedFd) -> Result<(), Fault> {
    let what = || format!("{}: cannot make the link", plan.name());
    let (Some(parent), Some(name)) = (plan.destination.parent(), plan.destination.file_name()) else {
        return Err(Fault::new(STAGE, format!("{}: copy-symlink: / cannot be a link", plan.name())));
    };
    let target = readlinkat(link, "").during(STAGE, what)?;
    let parent = ensure(root, parent, Kind::Directory).during(STAGE, what)?;
    match symlinkat(target.as_os_str(), &parent, name) {
        Err(Errno::EEXIST) if readlinkat(&parent, name).is_ok_and(|there| there == target) => Ok(()),
        made => made.during(STAGE, what),
    }
}
