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

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

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
    let path: PathBuf = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records entries, and removes on the way out as the removal of a cgroup does.
    #[derive(Default)]
    struct Log(Vec<String>);

    impl Visit for Log {
        fn enter(&mut self, _dir: BorrowedFd, path: &[CString]) {
            self.0.push(display(path));
        }
        fn leave(&mut self, parent: BorrowedFd, name: &CStr) {
            nix::unistd::unlinkat(parent, name, nix::unistd::UnlinkatFlags::RemoveDir).unwrap();
        }
    }

    /// The walk knows nothing of cgroups, so plain directories will do; deeper than there are descriptors.
    #[test]
    fn a_deep_tree_is_entered_once_and_left_innermost_first() {
        let top = std::env::temp_dir().join(format!("rt-tree-{}", std::process::id()));
        let deep: PathBuf = std::iter::repeat_n("d", 1500).collect();
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::create_dir_all(top.join(&deep)).unwrap();
        let dir = std::fs::File::open(&top).unwrap();
        let mut log = Log::default();
        walk(dir.as_fd(), &mut log).unwrap();
        assert_eq!(log.0.len(), 1 + 2 + 1500);
        assert_eq!(log.0[0], "");
        assert!(log.0.contains(&"a/b".to_string()) && log.0.contains(&deep.display().to_string()));
        std::fs::remove_dir(&top).unwrap();
    }
}
