//! Which process it was: a pid alone may have been given to another since.

use crate::fault::{During, Fault};
use crate::sys::clone::{has_ended, pidfd_open};
use crate::sys::fs::{PID_FS_MAGIC, filesystem_magic};
use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// A process of this boot, told apart from any later one with the same pid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// The inode of its pidfd, never used twice in one boot (Linux 6.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// Its start in clock ticks after boot (proc_pid_stat(5), field 22), where there is no such inode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
}

impl Identity {
    /// The identity of the living process behind `pidfd`, which runs in the boot `boot`.
    pub fn in_boot(boot: String, pid: Pid, pidfd: BorrowedFd, proc: BorrowedFd) -> nix::Result<Identity> {
        let inode = inode(pidfd)?;
        let start = if inode.is_some() { None } else { start_time(pid, proc) };
        Ok(Identity { pid: pid.as_raw(), boot, inode, start })
    }

    /// The identity of this process.
    pub fn own(proc: BorrowedFd) -> nix::Result<Identity> {
        let pid = nix::unistd::getpid();
        Identity::in_boot(boot_id(proc)?.to_owned(), pid, pidfd_open(pid)?.as_fd(), proc)
    }

    /// A handle of the process, if it still lives; a zombie does not.
    ///
    /// That it cannot be asked is an error: a container whose init only seems dead must not be told as stopped.
    pub fn alive(&self, proc: BorrowedFd) -> Result<Option<OwnedFd>, Fault> {
        self.find(proc).during("state", || format!("cannot ask whether process {} lives", self.pid))
    }

    /// False where the host has been booted since: what else was recorded then may mean something else by now.
    pub fn is_of_this_boot(&self, proc: BorrowedFd) -> Result<bool, Fault> {
        Ok(boot_id(proc).during("state", || "cannot tell which boot this is".to_owned())? == self.boot)
    }

    fn find(&self, proc: BorrowedFd) -> nix::Result<Option<OwnedFd>> {
        let pid = Pid::from_raw(self.pid);
        let pidfd = match pidfd_open(pid) {
            Ok(pidfd) => pidfd,
            // EINVAL, and ENOENT later: a thread that leads no process has the number now.
            Err(Errno::ESRCH | Errno::EINVAL | Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let same = match self.inode {
            Some(recorded) => inode(pidfd.as_fd())? == Some(recorded),
            None => self.start.is_some() && start_time(pid, proc) == self.start,
        };
        let living = same && boot_id(proc)? == self.boot && !has_ended(&pidfd)?;
        Ok(living.then_some(pidfd))
    }
}

fn inode(pidfd: BorrowedFd) -> nix::Result<Option<u64>> {
    /// One kernel has one kind of pidfd.
    static PID_FS: OnceLock<bool> = OnceLock::new();
    let pid_fs = match PID_FS.get() {
        Some(known) => *known,
        None => {
            let found = filesystem_magic(pidfd)? == PID_FS_MAGIC;
            *PID_FS.get_or_init(|| found)
        }
    };
    if pid_fs { Ok(Some(fstat(pidfd)?.st_ino)) } else { Ok(None) }
}

/// Read once: it is the same for every container.
fn boot_id(proc: BorrowedFd) -> nix::Result<&'static str> {
    static READ: OnceLock<String> = OnceLock::new();
    if let Some(id) = READ.get() {
        return Ok(id);
    }
    let text = crate::proc::read(proc, "sys/kernel/random/boot_id")?;
    Ok(READ.get_or_init(|| text.trim_end().to_owned()))
}

fn start_time(pid: Pid, proc: BorrowedFd) -> Option<u64> {
    let stat = crate::proc::read(proc, &format!("{pid}/stat")).ok()?;
    crate::proc::stat_field(&stat, 22)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_another_with_its_pid_does_not() {
        let proc = crate::proc::open().unwrap();
        let own = Identity::own(proc.as_fd()).unwrap();
        assert!(own.alive(proc.as_fd()).unwrap().is_some());
        assert!(Identity { boot: "another".to_owned(), ..own.clone() }.alive(proc.as_fd()).unwrap().is_none());
        let start = start_time(nix::unistd::getpid(), proc.as_fd());
        assert!(start.is_some());
        let by_start = Identity { inode: None, start, ..own.clone() };
        assert!(by_start.alive(proc.as_fd()).unwrap().is_some());
        let later = Identity { inode: own.inode.map(|inode| inode + 1), start: start.map(|start| start + 1), ..own };
        assert!(later.alive(proc.as_fd()).unwrap().is_none());
    }
}
