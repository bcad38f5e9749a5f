//! Going through the sub-cgroups that a container may have made.
//!
//! A container with a writable cgroup can nest them as deep as it likes, so the walk holds one descriptor and no stack
//! frame per level, and climbs by "..", which in a cgroup file system cannot be moved away.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// What a walk does at each cgroup.
pub trait Visit {
    /// At the top and at each sub-cgroup, before those below it. `path` is relative to the top.
    fn enter(&mut self, dir: BorrowedFd, path: &[CString]);
    /// After all below the sub-cgroup `name` of `parent` have been seen.
    fn leave(&mut self, _parent: BorrowedFd, _name: &CStr) {}
}

/// Visits `top` and all below it. What vanishes meanwhile is passed over.
pub fn walk(top: BorrowedFd, visit: &mut impl Visit) -> Result<(), Errno> {
    let mut here = openat(top, c".", DIRECTORY, Mode::empty())?;
    let mut path: Vec<CString> = Vec::new();
    visit.enter(here.as_fd(), &path);
    let mut left = vec![children(&here)?];
    while let Some(names) = left.last_mut() {
        if let Some(name) = names.pop() {
            let Ok(child) = openat(&here, name.as_c_str(), DIRECTORY, Mode::empty()) else {
                continue;
            };
            here = child;
            path.push(name);
            visit.enter(here.as_fd(), &path);
            left.push(children(&here).unwrap_or_default());
        } else {
            left.pop();
            if let Some(name) = path.pop() {
                here = openat(&here, c"..", DIRECTORY, Mode::empty())?;
                visit.leave(here.as_fd(), &name);
            }
        }
    }
    Ok(())
}

/// The names of the sub-cgroups: the only directories there are.
fn children(dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::openat(dir, c".", DIRECTORY, Mode::empty())?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        let is_directory = entry.file_type() == Some(nix::dir::Type::Directory);
        if is_directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// A relative path of sub-cgroups, for people.
pub fn display(path: &[CString]) -> String {
    let path: PathBuf = path
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    path.display().to_string()
}
