//! The terminal of a process: a pty of the container's own devpts.
//!
//! The process that will run the program opens the pty, since only it is in the container's mounts, and sends the
//! master to its parent over their channel. The parent hands it on to `--console-socket`, or keeps it and relays
//! between it and its own terminal.
//!
//! No path of the container is trusted (CVE-2025-52565): the master is opened through an fd that has been checked to
//! be the pty multiplexer, the other end comes from the master itself (TIOCGPTPEER) and is checked to be on a devpts,
//! and /dev/console is bound from fd to fd.

mod relay;

pub use relay::{Relay, fit};

use crate::fault::{During, Fault, words};
use crate::sys::fs::{RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, filesystem_magic, openat2};
use crate::sys::tty::{self, Size};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, major, makedev};
use nix::unistd::Uid;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

const STAGE: &str = "terminal";

/// The majors of the slave ends of ptys (Linux allocated devices).
const SLAVES: std::ops::RangeInclusive<u64> = 136..=143;

/// The end of a pty that the program gets.
pub struct Slave(OwnedFd);

/// A pty of a container.
pub struct Pty {
    pub master: OwnedFd,
    pub slave: Slave,
    /// The slave's path inside the container.
    pub name: PathBuf,
}

impl Pty {
    /// Opens a pty below `root`, for the user `uid`. `proc` is the host's /proc.
    pub fn open(root: BorrowedFd, proc: BorrowedFd, uid: u32, size: Option<Size>) -> Result<Pty, Fault> {
        let what = || "cannot open a pty".to_owned();
        let master = open_master(root, proc)?;
        tty::unlock(&master).during(STAGE, what)?;
        let name = format!("/dev/pts/{}", tty::number(&master).during(STAGE, what)?).into();
        let slave = tty::peer(&master).during(STAGE, what)?;
        let device = fstat(&slave).during(STAGE, what)?.st_rdev;
        let on_devpts = filesystem_magic(&slave).during(STAGE, what)? == tty::DEVPTS_MAGIC;
        if !on_devpts || !SLAVES.contains(&major(device)) {
            return Err(Fault::new(STAGE, "the container's pty is not one of a devpts").path("/dev/pts"));
        }
        nix::unistd::fchown(&slave, Some(Uid::from_raw(uid)), None)
            .during(STAGE, || format!("cannot give the terminal to user {uid}"))?;
        if let Some(size) = size {
            tty::set_size(&slave, size).during(STAGE, || "process.consoleSize: cannot be set".to_owned())?;
        }
        Ok(Pty { master, slave: Slave(slave), name })
    }
}

impl Slave {
    /// Becomes the terminal of our session, and standard input, output and error.
    pub fn enter(self) -> Result<(), Fault> {
        let what = || "cannot make the pty the terminal of the session".to_owned();
        tty::make_controlling(&self.0).during(STAGE, what)?;
        nix::unistd::dup2_stdin(&self.0).during(STAGE, what)?;
        nix::unistd::dup2_stdout(&self.0).during(STAGE, what)?;
        nix::unistd::dup2_stderr(&self.0).during(STAGE, what)
    }
}

impl AsFd for Slave {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The container's pty multiplexer: that of its devpts, or, where that one is closed to us (`ptmxmode=000` on a devpts
/// of the host), /dev/ptmx beside it.
fn open_master(root: BorrowedFd, proc: BorrowedFd) -> Result<OwnedFd, Fault> {
    let mut refused = None;
    for path in ["dev/pts/ptmx", "dev/ptmx"] {
        let found = openat2(root, path, libc::O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
        match found.and_then(|found| open_checked(found, proc)) {
            Ok(master) => return Ok(master),
            Err(errno) => _ = refused.get_or_insert(errno),
        }
    }
    let refused = refused.unwrap_or(Errno::ENOENT);
    let what = format!("cannot open a pty: /dev/pts/ptmx: {}", words(refused));
    let fault = Fault::new(STAGE, what).errno(refused).path("/dev/pts/ptmx");
    Err(match refused {
        Errno::ENOENT | Errno::ENXIO => fault.hint("process.terminal needs a mount of type devpts at /dev/pts"),
        Errno::EACCES | Errno::EPERM => fault.hint("is 5:2 allowed by linux.resources.devices, and ptmxmode not 000?"),
        Errno::ENOSPC => fault.hint("no pty is left: see kernel.pty.max and the devpts option max="),
        _ => fault,
    })
}

/// Opens what `found` refers to, if it is the multiplexer, by no path that could have changed since.
fn open_checked(found: OwnedFd, proc: BorrowedFd) -> nix::Result<OwnedFd> {
    let stat = fstat(&found)?;
    if stat.st_mode & libc::S_IFMT != SFlag::S_IFCHR.bits() || stat.st_rdev != makedev(5, 2) {
        return Err(Errno::ENXIO);
    }
    let path = format!("self/fd/{}", found.as_fd().as_raw_fd());
    openat(proc, path.as_str(), OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty())
}
