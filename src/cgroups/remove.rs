//! Removing a container's cgroup and nothing else.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::Cgroup;
use super::cgroup::Made;
use super::events::Events;
use super::systemd::Unit;
use super::tree::{self, Visit};
use crate::sys::bpf;

/// How long what was killed may take to be gone.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// Names in an error: enough to act on, and still one line.
const NAMED: usize = 8;

impl Cgroup {
    /// Removes the cgroup with all below it, and those of its parents that rt made and nobody else uses by now. Waits
    /// for the last process to be gone, `limit` at most; the error then names what remains.
    ///
    /// Of a cgroup that existed before, only rt's device program is taken off.
    pub fn remove(mut self, limit: Duration) -> Result<()> {
        self.opening = None;
        if let Some(unit) = self.record.unit.take() {
            self.leave_to(&unit, limit)?;
        }
        self.remove_directories(limit)
    }

    /// systemd removes the cgroup of a unit itself, and should: it does not hear of the end of one that somebody else has
    /// removed. Where it cannot be asked, what is left is removed as without it.
    fn leave_to(&self, unit: &Unit, limit: Duration) -> Result<()> {
        let empty = match Events::open(&self.dir) {
            Ok(events) => events.wait("populated", 0, Instant::now() + limit).with_context(|| self.failed("remove"))?,
            Err(_) => true,
        };
        if !empty {
            bail!("{} within {limit:?}: {}", self.failed("remove"), self.remains());
        }
        self.remove_below()?;
        // Whatever went wrong the first time: without the directory systemd would keep the unit for ever.
        let _ = unit.stop().or_else(|_| unit.stop());
        Ok(())
    }

    fn remove_directories(self, limit: Duration) -> Result<()> {
        if !self.record.is_made() {
            self.detach_program();
            remove_parents(&self.record.made);
            return Ok(());
        }
        let deadline = Instant::now() + limit;
        let mut events = None;
        let mut late = false;
        // The first try is all it takes when the processes are gone and made no sub-cgroups.
        while let Err(errno) = remove_directory(self.path()) {
            let failed = || self.failed("remove");
            if errno != Errno::EBUSY {
                return Err(errno).with_context(failed);
            }
            if events.is_none() {
                events = match Events::open(&self.dir) {
                    Ok(events) => Some(events),
                    Err(Errno::ENODEV | Errno::ENOENT) => break,
                    Err(errno) => return Err(errno).with_context(failed),
                };
            }
            let Some(events) = &events else { break };
            let empty = events.wait("populated", 0, deadline).with_context(failed)?;
            if !empty || late {
                bail!("{} within {limit:?}: {}", self.failed("remove"), self.remains());
            }
            self.remove_below()?;
            // One more try belongs to what was just removed below, then the limit holds, whoever keeps making more.
            late = Instant::now() >= deadline;
        }
        remove_parents(&self.record.made[..self.record.made.len() - 1]);
        Ok(())
    }

    /// Removes all sub-cgroups, innermost first. One that is busy stays: somebody came, or made another below it.
    fn remove_below(&self) -> Result<()> {
        struct Remove(Option<(String, Errno)>);
        impl Visit for Remove {
            fn enter(&mut self, _dir: BorrowedFd, _path: &[CString]) {}
            fn leave(&mut self, parent: BorrowedFd, name: &CStr) {
                match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
                    Ok(()) | Err(Errno::ENOENT | Errno::EBUSY) => {}
                    Err(errno) => self.0 = Some((name.to_string_lossy().into_owned(), errno)),
                }
            }
        }
        let mut remove = Remove(None);
        tree::walk(self.fd(), &mut remove).with_context(|| self.failed("remove what is below"))?;
        match remove.0 {
            None => Ok(()),
            Some((name, errno)) => {
                Err(errno).with_context(|| format!("{}: its sub-cgroup {name}", self.failed("remove")))
            }
        }
    }

    /// Who is still there.
    fn remains(&self) -> String {
        struct Names(Vec<String>);
        impl Visit for Names {
            fn enter(&mut self, _dir: BorrowedFd, path: &[CString]) {
                if !path.is_empty() {
                    self.0.push(tree::display(path));
                }
            }
        }
        let mut below = Names(Vec::new());
        let _ = tree::walk(self.fd(), &mut below);
        let processes = describe(&self.procs().unwrap_or_default());
        match below.0.is_empty() {
            true => format!("processes: {processes}"),
            false => format!("processes: {processes}; sub-cgroups: {}", shorten(below.0)),
        }
    }

    /// Takes rt's device program off a cgroup that existed before the container. Should it be gone, so much the better.
    pub(super) fn detach_program(&self) {
        if let Some(program) = self.record.program.and_then(|id| bpf::program_by_id(id).ok()) {
            let _ = bpf::detach_device_program(self.fd(), program.as_fd());
        }
    }
}

/// Gone already is as good as removed.
fn remove_directory(path: &Path) -> Result<(), Errno> {
    match unlinkat(nix::fcntl::AT_FDCWD, path, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Removes directories that rt made on the way to a cgroup, innermost first, each only while it is the one that was made
/// and nobody uses it: another container may live there by now.
pub(super) fn remove_parents(made: &[Made]) {
    for made in made.iter().rev() {
        let same = std::fs::symlink_metadata(&made.path).is_ok_and(|found| found.ino() == made.inode);
        if !same || remove_directory(&made.path).is_err() {
            return;
        }
    }
}

/// Processes by number and name: `12 (sh), 15 (sleep)`.
pub fn describe(pids: &[i32]) -> String {
    if pids.is_empty() {
        return "none seen".into();
    }
    let named = pids.iter().map(|pid| match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{pid} ({})", name.trim_end().escape_debug()),
        Err(_) => pid.to_string(),
    });
    shorten(named.collect())
}

fn shorten(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let list = names.join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stay_short() {
        assert_eq!(shorten(vec!["a".into(), "b".into()]), "a, b");
        let many = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(shorten(many), "0, 1, 2, 3, 4, 5, 6, 7 and 12 more");
        assert_eq!(describe(&[]), "none seen");
    }
}
