//! Where the init of a created container waits for `start`.
//!
//! A listening socket in the container's directory, mode 0600: only its owner can connect. `start` sends one message;
//! the connection ends when execve closes init's end, or init dies. Before that init tells what went wrong, if anything,
//! or stores it in a shared page that came with the message, where its seccomp filter would not let it speak. A
//! connection without a message, of a `start` that was killed, changes nothing.

use super::channel::{Down, FAILED, LISTENER, limit_silence, receive_fd, send_fd, tagged, tell};
use crate::fault::{During, Fault};
use crate::sys::shared::FaultPage;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, send, socket,
};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// How long init waits before it accepts again where the host has no descriptor or memory left for it.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The socket's name in the container's directory.
pub const NAME: &str = "start";

/// A unix socket's path is short; this way in has always the same few bytes.
fn address(dir: BorrowedFd) -> nix::Result<UnixAddr> {
    UnixAddr::new(format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd()).as_str())
}

fn new_socket() -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
}

/// Makes the rendezvous in `dir`.
pub fn open(dir: BorrowedFd) -> nix::Result<OwnedFd> {
    let socket = new_socket()?;
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = bind(socket.as_raw_fd(), &address(dir)?);
    umask(before);
    bound?;
    listen(&socket, Backlog::MAXCONN)?;
    Ok(socket)
}

/// Whether an init still waits at the rendezvous of `dir`.
pub fn is_waiting(dir: BorrowedFd) -> bool {
    address(dir).is_ok_and(|address| is_held(&address))
}

/// The same for a directory that is not open.
pub fn is_waiting_below(dir: &Path) -> bool {
    match UnixAddr::new(&dir.join(NAME)) {
        Ok(address) => is_held(&address),
        Err(_) => crate::sys::fs::open(dir, OFlag::O_PATH).is_ok_and(|dir| is_waiting(dir.as_fd())),
    }
}

/// Whether somebody holds the listening end. Asked with a socket of the wrong type: the kernel refuses it otherwise than
/// where nobody does (unix(7), EPROTOTYPE), and init is not woken by the question.
fn is_held(address: &UnixAddr) -> bool {
    static WRONG: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let open = || socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok();
    let wrong = WRONG.get_or_init(open).as_ref();
    wrong.is_some_and(|wrong| connect(wrong.as_raw_fd(), address) == Err(Errno::EPROTOTYPE))
}

fn reach(dir: BorrowedFd) -> nix::Result<OwnedFd> {
    let socket = new_socket()?;
    connect(socket.as_raw_fd(), &address(dir)?)?;
    Ok(socket)
}

/// Init: waits until somebody starts the container. The connection stays open until execve.
pub fn wait(listener: &OwnedFd) -> nix::Result<(OwnedFd, Option<FaultPage>)> {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let connection = match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Ok(raw) => crate::sys::own(raw),
            // That connection is gone, and the next is waited for.
            Err(Errno::EINTR | Errno::ECONNABORTED | Errno::EPROTO) => continue,
            // The host is out of something; whoever connected still waits, and nothing tells when there is some again.
            Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                std::thread::sleep(pause);
                pause = LONGEST_PAUSE.min(pause * 2);
                continue;
            }
            Err(errno) => return Err(errno),
        };
        if let Ok((1, page)) = receive_fd(connection.as_raw_fd(), &mut [0]) {
            match page.map(FaultPage::received).transpose().during("start", || "cannot map a shared page".to_owned()) {
                Ok(page) => return Ok((connection, page)),
                // `start` ends the container then.
                Err(fault) => drop(complain(&connection, &fault)),
            }
        }
    }
}

/// Init: tells `start` what has failed, in words.
pub fn complain(connection: &OwnedFd, fault: &Fault) -> nix::Result<()> {
    send(connection.as_raw_fd(), &tagged(FAILED, &fault.to_send()), MsgFlags::MSG_NOSIGNAL).map(drop)
}

/// How a start ended, as far as init could tell.
pub enum Started {
    /// The connection ended; the page, if one was needed, tells whether by execve.
    Ended(Option<FaultPage>),
    /// Init said what went wrong.
    Failed(Fault),
}

/// `start`: lets the waiting init go on, and waits until it has executed the program or failed. A seccomp listener on
/// its way is for `deliver`. `mute` says that init's filter would not let it tell of a failed execve: then it gets a page
/// to store that in. With a limit EAGAIN says that init took longer.
pub fn start(
    dir: BorrowedFd,
    mute: bool,
    limit: Option<Duration>,
    deliver: impl FnOnce(OwnedFd) -> Result<(), Fault>,
) -> nix::Result<Started> {
    let connection = reach(dir)?;
    if let Some(limit) = limit {
        limit_silence(&connection, limit)?;
    }
    let page = match mute {
        true => {
            let (page, file) = FaultPage::sendable()?;
            send_fd(connection.as_raw_fd(), b"G", &[file.as_raw_fd()])?;
            Some(page)
        }
        false => {
            send(connection.as_raw_fd(), b"G", MsgFlags::MSG_NOSIGNAL)?;
            None
        }
    };
    // It has served, and goes while init is at work. Were we killed before, a connect would still find nobody waiting.
    let _ = unlinkat(dir, NAME, UnlinkatFlags::NoRemoveDir);
    let mut text = vec![0; 16 << 10];
    let mut deliver = Some(deliver);
    let n = loop {
        match receive_fd(connection.as_raw_fd(), &mut text) {
            Err(Errno::ECONNRESET) => break 0,
            Ok((n, Some(listener))) if text[..n] == *LISTENER => {
                if let Some(deliver) = deliver.take()
                    && let Err(fault) = deliver(listener)
                {
                    return Ok(Started::Failed(fault));
                }
                tell(connection.as_raw_fd(), Down::Delivered)?;
            }
            result => break result?.0,
        }
    };
    if n == 0 {
        return Ok(Started::Ended(page));
    }
    let text = &text[..n];
    Ok(Started::Failed(Fault::received(text.strip_prefix(&[FAILED]).unwrap_or(text))))
}
