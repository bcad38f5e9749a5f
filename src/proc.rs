//! procfs through a handle that was checked once (CVE-2019-16884, CVE-2025-52881): no path of the container, and no
//! mount over a file of /proc, can redirect what rt reads and writes there.

use crate::fault::{During, Fault};
use crate::sys::fs::*;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const STAY: u64 = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;

/// Opens the host's /proc and checks that it is one.
pub fn open() -> Result<OwnedFd, Fault> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let what = || "cannot open /proc".to_owned();
    let proc = crate::sys::fs::open("/proc", flags).during("proc", what)?;
    match filesystem_magic(&proc).during("proc", || "cannot ask what is at /proc".to_owned())? {
        PROC_SUPER_MAGIC => Ok(proc),
        _ => Err(Fault::new("proc", "/proc is not a procfs").path("/proc").hint("mount -t proc proc /proc")),
    }
}

/// Opens a file below `proc` for writing.
pub fn open_for_writing(proc: impl AsFd, path: &str) -> nix::Result<OwnedFd> {
    openat2(proc, path, libc::O_WRONLY, 0, STAY)
}

/// Writes `data` to a file below `proc` in one write(2), as the kernel's files want it.
pub fn write(proc: BorrowedFd, path: &str, data: &[u8]) -> nix::Result<()> {
    let file = open_for_writing(proc, path)?;
    match nix::unistd::write(&file, data)? {
        n if n == data.len() => Ok(()),
        _ => Err(Errno::EIO),
    }
}

/// A field of /proc/PID/stat by its number in proc_pid_stat(5), from the third on: the second is the command's name,
/// which may hold anything, closing brackets too.
pub fn stat_field(stat: &str, number: usize) -> Option<&str> {
    stat[stat.rfind(')')? + 1..].split_ascii_whitespace().nth(number.checked_sub(3)?)
}

/// Whether process `pid` has executed a program since its clone; of one that has ended this can be asked until it is reaped.
/// `None` when there is no such process any more.
pub fn has_executed(proc: BorrowedFd, pid: i32) -> Option<bool> {
    /// include/linux/sched.h: set by the clone, cleared by execve before it closes descriptors.
    const PF_FORKNOEXEC: u64 = 0x40;
    let stat = read(proc, &format!("{pid}/stat")).ok()?;
    Some(stat_field(&stat, 9)?.parse::<u64>().ok()? & PF_FORKNOEXEC == 0)
}

/// Reads a small file below `proc`. What is bound over itself, as containers have /proc/sys to read only, is still procfs.
pub fn read(proc: BorrowedFd, path: &str) -> nix::Result<String> {
    let file = match openat2(proc, path, libc::O_RDONLY, 0, STAY) {
        Err(Errno::EXDEV) => {
            let file = openat2(proc, path, libc::O_RDONLY, 0, STAY & !RESOLVE_NO_XDEV)?;
            if filesystem_magic(&file)? == PROC_SUPER_MAGIC { file } else { return Err(Errno::EXDEV) }
        }
        file => file?,
    };
    read_text(file)
}

#[cfg(test)]
mod tests {
    use super::stat_field;

    #[test]
    fn fields_are_counted_after_the_name() {
        let stat = "12 (a) R (b) S 1 12 12 0 -1";
        assert_eq!((stat_field(stat, 3), stat_field(stat, 4), stat_field(stat, 8)), (Some("S"), Some("1"), Some("-1")));
        assert_eq!((stat_field(stat, 2), stat_field(stat, 9), stat_field("", 3)), (None, None, None));
    }
}
