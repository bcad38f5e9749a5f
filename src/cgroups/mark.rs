//! The mark on a cgroup that rt has made: which container it was made for, should that container's record be lost.
//!
//! It is an extended attribute: whether it is the container's own cgroup or one on the way to it, the file system that
//! holds the container's directory, and the path of that directory. File system and path mean one directory of this host
//! and no other, also where a container has an rt and a /run/rt of its own.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use nix::sys::statvfs::fstatvfs;

use super::cgroup::Cgroup;
use super::hierarchy::Hierarchy;
use super::tree::{self, Visit};
use crate::sys::fs::{attribute, open, set_attribute};

const NAME: &CStr = c"user.rt";

/// What a mark says, but for which of its two kinds it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    file_system: FileSystem,
    directory: PathBuf,
}

/// Which file system something lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileSystem {
    /// st_dev. The kernel gives the number of a tmpfs that is gone to the next one.
    device: u64,
    /// f_fsid (statvfs(3)): random for each tmpfs. Of two overlays it may be the same.
    id: u64,
}

impl FileSystem {
    fn of(dir: BorrowedFd) -> nix::Result<FileSystem> {
        Ok(FileSystem { device: fstat(dir)?.st_dev, id: fstatvfs(dir)?.filesystem_id() })
    }
}

impl Mark {
    /// Of the container whose directory this is; `directory` is absolute.
    pub fn new(dir: BorrowedFd, directory: &Path) -> nix::Result<Mark> {
        Ok(Mark { file_system: FileSystem::of(dir)?, directory: directory.to_path_buf() })
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
        let FileSystem { device, id } = self.file_system;
        let start = format!("{} {device} {id:x} ", if own { "own" } else { "above" });
        [start.as_bytes(), self.directory.as_os_str().as_bytes()].concat()
    }

    fn parse(bytes: &[u8]) -> Option<(Mark, bool)> {
        let mut words = bytes.splitn(4, |byte| *byte == b' ');
        let own = match words.next()? {
            b"own" => true,
            b"above" => false,
            _ => return None,
        };
        let device = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let id = u64::from_str_radix(std::str::from_utf8(words.next()?).ok()?, 16).ok()?;
        let directory = PathBuf::from(OsStr::from_bytes(words.next()?));
        Some((Mark { file_system: FileSystem { device, id }, directory }, own))
    }

    /// The container's name, if its directory is one of `root`'s.
    fn id_below(&self, file_system: FileSystem, root: &Path) -> Option<&str> {
        let name = self.directory.file_name()?.to_str()?;
        (self.file_system == file_system && self.directory.parent() == Some(root)).then_some(name)
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
        let file_system = open(root, OFlag::O_RDONLY | OFlag::O_DIRECTORY).and_then(|dir| FileSystem::of(dir.as_fd()));
        let file_system = file_system.with_context(|| format!("--root {}", root.display()))?;
        let mut find = Find { file_system, root, mount: &self.mount, found: Vec::new() };
        let failed = || format!("cannot go through {}", self.mount.display());
        tree::walk(self.root.as_fd(), &mut find).with_context(failed)?;
        find.found.reverse();
        Ok(find.found)
    }
}

struct Find<'a> {
    file_system: FileSystem,
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
        if let Some(id) = mark.id_below(self.file_system, self.root) {
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
        Cgroup::open_planned(std::slice::from_ref(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_means_one_directory() {
        let file_system = FileSystem { device: 26, id: 0xabcd_0123_4567_89ef };
        let mark = Mark { file_system, directory: "/run/rt/a b".into() };
        for own in [true, false] {
            assert_eq!(Mark::parse(&mark.bytes(own)), Some((mark.clone(), own)));
        }
        assert_eq!(mark.id_below(file_system, Path::new("/run/rt")), Some("a b"));
        assert_eq!(mark.id_below(file_system, Path::new("/run")), None);
        for other in [FileSystem { device: 27, ..file_system }, FileSystem { id: 1, ..file_system }] {
            assert_eq!(mark.id_below(other, Path::new("/run/rt")), None);
        }
        for bytes in
            ["", "own", "own 26", "own 26 /run/rt/a", "own x 1 /run/rt/a", "own 26 x /run/rt/a", "26 1 /run/rt/a"]
        {
            assert_eq!(Mark::parse(bytes.as_bytes()), None);
        }
    }
}
