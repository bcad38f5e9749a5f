//! sd_notify(3) for a container that is a service: its program says READY=1 to a socket of ours, and we say so to the
//! service manager that called us, with the container's process as the service's.
//!
//! The manager's own socket stays outside: through it a container could speak for the service of whoever called us.
//! `create` binds a directory of the container's state over /run/notify; the socket in it belongs to who starts the
//! program, and lives no longer.

use crate::fault::{During, Fault};
use crate::launch::channel::send_fd;
use crate::state::directory::{Directory, NOTIFY as DIRECTORY, NOTIFY_SOCKET as SOCKET};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, recv, send, socket};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{UnlinkatFlags, pipe2, unlinkat};
use oci_spec::runtime::{MountBuilder, Spec};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const STAGE: &str = "notify";
const VARIABLE: &str = "NOTIFY_SOCKET";
/// Where the container finds the directory.
const INSIDE: &str = "/run/notify";

/// How long the manager may take to have read what was sent, in milliseconds.
const BARRIER: u16 = 30_000;

/// The service manager's socket, where the caller has one.
pub fn manager() -> Option<OsString> {
    std::env::var_os(VARIABLE).filter(|address| !address.is_empty())
}

/// Adds to a configuration what its program needs to reach us; `state` is the container's directory.
pub fn announce(spec: &mut Spec, state: &Path) -> Result<(), Fault> {
    let Some(process) = spec.process_mut() else { return Ok(()) };
    let mut env = process.env().clone().unwrap_or_default();
    env.push(format!("{VARIABLE}={INSIDE}/notify.sock"));
    process.set_env(Some(env));
    let options = ["bind", "nosuid", "nodev", "noexec", "ro"].map(str::to_owned).to_vec();
    let mount = MountBuilder::default().destination(INSIDE).typ("bind").source(state.join(DIRECTORY)).options(options);
    let mount = mount.build().map_err(|error| Fault::new(STAGE, format!("{VARIABLE}: {error}")))?;
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    mounts.push(mount);
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// What passes on that the program is ready.
pub struct Readiness {
    ours: OwnedFd,
    manager: OwnedFd,
}

impl Readiness {
    /// Listens in a container's directory, where its `create` has prepared for it.
    pub fn listen(dir: &Directory) -> Result<Option<Readiness>, Fault> {
        let Some(address) = manager().filter(|_| dir.exists(DIRECTORY)) else { return Ok(None) };
        let datagrams = |flags| socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC | flags, None);
        let at = address.to_string_lossy();
        let reached = || datagrams(SockFlag::empty()).and_then(|ours| to(&address, &ours).map(|()| ours));
        let manager = reached().during(STAGE, || format!("{VARIABLE}: cannot connect to {at}"))?;
        let ours = datagrams(SockFlag::SOCK_NONBLOCK);
        let ours = ours.and_then(|ours| bind_in(dir.fd(), &ours).map(|()| ours));
        let ours = ours.during(STAGE, || format!("{VARIABLE}: cannot make a socket for the container"))?;
        Ok(Some(Readiness { ours, manager }))
    }

    /// Whether the program has said that it is ready, of all that it has said by now.
    pub fn is_told(&self) -> bool {
        let mut message = [0; 4096];
        while let Ok(n) = recv(self.ours.as_raw_fd(), &mut message, MsgFlags::empty()) {
            if message[..n].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return true;
            }
        }
        false
    }

    /// Waits until the program is ready, or has ended, and makes it the service's process: rt ends after this.
    pub fn hand_over(self, init: BorrowedFd, pid: i32) -> Result<(), Fault> {
        loop {
            let watch = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut fds = [watch(self.ours.as_fd()), watch(init)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).during(STAGE, || "cannot wait for READY=1".to_owned()),
            }
            // A program may say it and end at once.
            let ended = fds[1].any().unwrap_or(false);
            if self.is_told() {
                return self.tell(Some(pid));
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Tells the manager. Of a sender that has ended it could not say any more whose service it is, so who ends now waits
    /// until it has read all (sd_notify_barrier(3)).
    pub fn tell(&self, main: Option<i32>) -> Result<(), Fault> {
        let what = || format!("{VARIABLE}: cannot tell the service manager");
        let text = match main {
            Some(pid) => format!("MAINPID={pid}\nREADY=1\n"),
            None => "READY=1\n".to_owned(),
        };
        send(self.manager.as_raw_fd(), text.as_bytes(), MsgFlags::MSG_NOSIGNAL).during(STAGE, what)?;
        if main.is_none() {
            return Ok(());
        }
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).during(STAGE, what)?;
        send_fd(self.manager.as_raw_fd(), b"BARRIER=1", &[theirs.as_raw_fd()]).during(STAGE, what)?;
        drop(theirs);
        match poll(&mut [PollFd::new(ours.as_fd(), PollFlags::empty())], PollTimeout::from(BARRIER)) {
            Ok(0) => Err(Fault::new(STAGE, format!("{}: it has not answered within {} s", what(), BARRIER / 1000))),
            _ => Ok(()),
        }
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }
}

/// Of the kinds of address in sd_notify(3) the two that service managers of this machine use.
fn to(address: &OsStr, socket: &OwnedFd) -> nix::Result<()> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
        [b'/', ..] => UnixAddr::new(address)?,
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    connect(socket.as_raw_fd(), &address)
}

fn bind_in(dir: BorrowedFd, socket: &OwnedFd) -> nix::Result<()> {
    match unlinkat(dir, SOCKET, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    // An address holds 107 bytes, and the path may be longer.
    bind(socket.as_raw_fd(), &UnixAddr::new(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()).as_str())?)?;
    // Any user of the container may be the one who knows.
    fchmodat(dir, SOCKET, Mode::from_bits_truncate(0o777), FchmodatFlags::FollowSymlink)
}

/// Makes the directory, whatever the umask; those above it let nobody else in.
pub fn prepare(dir: &Directory) -> Result<(), Fault> {
    let what = || format!("{VARIABLE}: cannot make a directory for the container");
    let mode = Mode::from_bits_truncate(0o755);
    nix::sys::stat::mkdirat(dir.fd(), DIRECTORY, mode)
        .and_then(|()| fchmodat(dir.fd(), DIRECTORY, mode, FchmodatFlags::FollowSymlink))
        .during(STAGE, what)
}
