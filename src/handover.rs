//! Giving an fd to whoever listens at a socket of the host: a terminal, a pidfd, a seccomp listener.

use crate::fault::{During, Fault, words};
use crate::launch::channel::send_fd;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::stat::Mode;
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

const STAGE: &str = "handover";

/// How long a listener whose queue is full may take to accept somebody, in seconds.
const PATIENCE: i64 = 30;

/// Connects to the stream socket at `path`, of any length. `what` names the option that holds the path.
pub fn reach(path: &Path, what: &str) -> Result<OwnedFd, Fault> {
    attempt(path, SockType::Stream).map_err(|errno| refusal(path, what, errno))
}

/// Whether somebody holds the socket at `path`, found out without a connection that the listener would have to serve:
/// a socket of another type is refused with EPROTOTYPE where there is one, and with ECONNREFUSED where there is none.
pub fn probe(path: &Path, what: &str) -> Result<(), Fault> {
    match attempt(path, SockType::Datagram) {
        Err(Errno::EPROTOTYPE) => Ok(()),
        Ok(_) => Err(refusal(path, what, Errno::EPROTOTYPE)),
        Err(errno) => Err(refusal(path, what, errno)),
    }
}

/// Through an fd of the socket's file: a unix socket's address holds 107 bytes, and a path may be longer.
fn attempt(path: &Path, kind: SockType) -> nix::Result<OwnedFd> {
    let file = nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let address = UnixAddr::new(format!("/proc/self/fd/{}", file.as_raw_fd()).as_str())?;
    let socket = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE))?;
    loop {
        match connect(socket.as_raw_fd(), &address) {
            Err(Errno::EINTR) => continue,
            result => return result.map(|()| socket),
        }
    }
}

fn refusal(path: &Path, what: &str, errno: Errno) -> Fault {
    let at = path.display();
    let fault = Fault::new(STAGE, format!("{what}: cannot connect to {at}: {}", words(errno))).errno(errno).path(at);
    match errno {
        Errno::ENOENT => fault.hint("nobody has made the socket"),
        Errno::ECONNREFUSED => fault.hint("nobody listens there (any more)"),
        Errno::EPROTOTYPE => fault.hint("it must be a stream socket"),
        Errno::EAGAIN => fault.hint(format!("the listener has accepted nobody for {PATIENCE} s")),
        _ => fault,
    }
}

/// Sends `fd` with `data`, in one message.
pub fn send(socket: impl AsFd, data: &[u8], fd: impl AsFd, what: &str) -> Result<(), Fault> {
    send_fd(socket.as_fd().as_raw_fd(), data, &[fd.as_fd().as_raw_fd()])
        .during(STAGE, || format!("{what}: cannot send"))
}
