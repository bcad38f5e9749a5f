//! The mark on a cgroup that rt has made: which container it was made for, should that container's record be lost.
//!
//! It is an extended attribute: whether it is the container's own cgroup or one on the way to it, the number of the device
//! that holds the container's directory, and the path of that directory. Device and path mean one directory of this host
//! and no other, also where a container has an rt and a /run/rt of its own.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;

use super::cgroup::{Cgroup, Made, Record};
use super::hierarchy::Hierarchy;
use super::tree::{self, Visit};
use crate::sys::fs::{attribute, open, set_attribute};

const NAME: &CStr = c"user.rt";

/// What a mark says, but for which of its two kinds it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    device: u64,
    directory: PathBuf,
}

impl Mark {
    /// Of the container whose directory this is; `directory` is absolute.
    pub fn new(dir: BorrowedFd, directory: &Path) -> nix::Result<Mark> {
        Ok(Mark { device: fstat(dir)?.st_dev, directory: directory.to_path_buf() })
    }

    /// Marks what was made. It is for the day on which all else is lost, and no reason to fail.
    pub(super) fn put(&self, cgroup: &Cgroup) {
        for made in &cgroup.record.made {
            let own = made.path == cgroup.record.path;
            let _ = match own {
                true => set_attribute(cgroup, NAME, &self.bytes(own)),
                false => open(&made.path, OFlag::O_RDONLY).and_then(|dir| set_attribute(dir, NAME, &self.bytes(own))),
            };
        }
    }

    fn bytes(&self, own: bool) -> Vec<u8> {
        let start = format!("{} {} ", if own { "own" } else { "above" }, self.device);
        [start.as_bytes(), self.directory.as_os_str().as_bytes()].concat()
    }

    fn parse(bytes: &[u8]) -> Option<(Mark, bool)> {
        let mut words = bytes.splitn(3, |byte| *byte == b' ');
        let own = match words.next()? {
            b"own" => true,
            b"above" => false,
            _ => return None,
        };
        let device = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let directory = PathBuf::from(OsStr::from_bytes(words.next()?));
        Some((Mark { device, directory }, own))
    }

    /// The container's name, if its directory is one of `root`'s.
    fn id_below(&self, device: u64, root: &Path) -> Option<&str> {
        let name = self.directory.file_name()?.to_str()?;
        (self.device == device && self.directory.parent() == Some(root)).then_some(name)
    }
}

/// A marked cgroup.
pub struct Marked {
    pub id: String,
    pub path: PathBuf,
    /// It is the container's own, not one on the way to it.
    own: bool,
}

/// What became of one.
pub enum Removal {
    Done,
    /// Others use it, or it is gone.
    NotOurs,
    /// These processes are in it.
    Busy(Vec<i32>),
}

impl Hierarchy {
    /// All cgroups that are marked as made for containers of `root`, innermost first.
    pub fn marked(&self, root: &Path) -> Result<Vec<Marked>> {
        let device = std::fs::metadata(root).with_context(|| format!("--root {}", root.display()))?.dev();
        let mut find = Find { device, root, mount: &self.mount, found: Vec::new() };
        let failed = || format!("cannot go through {}", self.mount.display());
        tree::walk(self.root.as_fd(), &mut find).with_context(failed)?;
        find.found.reverse();
        Ok(find.found)
    }
}

struct Find<'a> {
    device: u64,
    root: &'a Path,
    mount: &'a Path,
    found: Vec<Marked>,
}

impl Visit for Find<'_> {
    fn enter(&mut self, dir: BorrowedFd, path: &[CString]) {
        let mut buffer = [0; libc::PATH_MAX as usize + 32];
        let Some((mark, own)) = attribute(dir, NAME, &mut buffer).ok().and_then(Mark::parse) else {
            return;
        };
        if let Some(id) = mark.id_below(self.device, self.root) {
            let names = path.iter().map(|name| OsStr::from_bytes(name.to_bytes()));
            let path = names.fold(self.mount.to_path_buf(), |path, name| path.join(name));
            self.found.push(Marked { id: id.to_owned(), path, own });
        }
    }
}

impl Marked {
    /// The processes in it and below it: a container whose record alone is lost.
    pub fn processes(&self) -> Result<Vec<i32>> {
        self.cgroup()?.map_or(Ok(Vec::new()), |cgroup| cgroup.procs())
    }

    /// Removes it: the container's own with all that the container made below, but not with a process in it.
    pub fn remove(&self) -> Result<Removal> {
        if !self.own {
            return Ok(if std::fs::remove_dir(&self.path).is_ok() { Removal::Done } else { Removal::NotOurs });
        }
        let Some(cgroup) = self.cgroup()? else { return Ok(Removal::NotOurs) };
        let processes = cgroup.procs()?;
        if !processes.is_empty() {
            return Ok(Removal::Busy(processes));
        }
        cgroup.remove(Duration::ZERO).map(|()| Removal::Done)
    }

    fn cgroup(&self) -> Result<Option<Cgroup>> {
        let inode = match std::fs::symlink_metadata(&self.path) {
            Ok(found) => found.ino(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot open cgroup {}", self.path.display())),
        };
        let made = vec![Made { path: self.path.clone(), inode }];
        Cgroup::open(&Record::new(self.path.clone(), inode, made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_means_one_directory() {
        let mark = Mark { device: 26, directory: "/run/rt/a b".into() };
        for own in [true, false] {
            assert_eq!(Mark::parse(&mark.bytes(own)), Some((mark.clone(), own)));
        }
        assert_eq!(mark.id_below(26, Path::new("/run/rt")), Some("a b"));
        assert_eq!(mark.id_below(27, Path::new("/run/rt")), None);
        assert_eq!(mark.id_below(26, Path::new("/run")), None);
        for bytes in ["", "own", "own 26", "own x /run/rt/a", "26 /run/rt/a"] {
            assert_eq!(Mark::parse(bytes.as_bytes()), None);
        }
    }
}
