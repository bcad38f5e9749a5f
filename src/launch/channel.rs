//! What the process that makes a container and the container's init tell each other.
//!
//! ```text
//! parent                       joiner (only where something must be joined first)         init
//!   |  clone3 ------------------>|                                                          |
//!   |<----- NeedMaps ------------|  (in a new user namespace of its own)                    |
//!   |------ Mapped ------------->|                                                          |
//!   |<----- Init + pidfd --------|  clone3(CLONE_PARENT) ---------------------------------->|
//!   |------ Mapped ------------------------------------------------------------------------>|  new user namespace
//!   |<----- NeedDevices -------------------------------------------------------------------|  linux.netDevices
//!   |------ DevicesMoved ----------------------------------------------------------------->|
//!   |<----- RunHooks -----------------------------------------------------------------------|  mounts are made
//!   |------ HooksDone --------------------------------------------------------------------->|
//!   |<----- Terminal + master --------------------------------------------------------------|  process.terminal
//!   |<----- Warn, Ready --------------------------------------------------------------------|  all but execve
//!   |------ Go (run) or Wait (create: wait at the rendezvous) ----------------------------->|
//!   |<----- Listener + fd -------------------------------------------------------------------|  SCMP_ACT_NOTIFY
//!   |------ Delivered --------------------------------------------------------------------->|
//!   |<===== end of file: execve closed its end, or it died ================================|
//! ```
//!
//! At any point init may send `Failed`. When the parent dies, init reads end-of-file and exits: until `Go` or `Wait`
//! no record on disk names it.

use crate::fault::{During, Fault};
use crate::sys::clone::Child;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, recv, recvmsg, send,
    sendmsg, socketpair,
};
use nix::unistd::Pid;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// From the container's side to the parent.
pub enum Up {
    NeedMaps,
    Init(Child),
    /// Init is in its network namespace and waits for `DevicesMoved`.
    NeedDevices,
    RunHooks,
    Warn(String),
    /// The listener of the filter that the process has loaded; it waits for `Delivered`.
    Listener(OwnedFd),
    /// The master of the process's pty, and the name of the other end inside.
    Terminal(OwnedFd, PathBuf),
    Ready,
    Failed(Fault),
    /// The other side is gone: it has executed the container's program, or died.
    Closed,
    /// The other side is gone with a word of ours unread: it died.
    Lost,
}

/// From the parent to the container's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Down {
    Mapped = b'M',
    DevicesMoved = b'N',
    HooksDone = b'H',
    Go = b'G',
    Wait = b'W',
    Delivered = b'D',
}

/// The data of [`Up::Listener`], which `start` gets too.
pub const LISTENER: &[u8] = b"L";
/// Stands before a fault.
pub const FAILED: u8 = b'F';

/// Larger than any message: a fault is one line.
pub const LARGEST: usize = 16 << 10;

/// One end of the channel.
pub struct Channel {
    socket: OwnedFd,
    /// Made once: a page of it that is never written costs nothing.
    inbox: RefCell<Vec<u8>>,
}

/// Both ends; the second is the container's.
pub fn pair() -> nix::Result<(Channel, Channel)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((Channel::new(ours), Channel::new(theirs)))
}

impl Channel {
    fn new(socket: OwnedFd) -> Channel {
        Channel { socket, inbox: RefCell::new(Vec::new()) }
    }

    /// From now on [`Channel::listen`] gives up with EAGAIN when nothing has come for so long.
    pub fn limit_silence(&self, limit: Duration) -> nix::Result<()> {
        limit_silence(&self.socket, limit)
    }

    fn send(&self, data: &[u8]) -> nix::Result<()> {
        send(self.socket.as_raw_fd(), data, MsgFlags::MSG_NOSIGNAL).map(drop)
    }

    /// Parent: tells the other side to go on.
    pub fn tell(&self, message: Down) -> Result<(), Fault> {
        tell(self.socket.as_raw_fd(), message).during("channel", || "cannot tell init to go on".to_owned())
    }

    /// Container's side: waits for `expected`. `false` when the parent is gone.
    pub fn wait_for(&self, expected: Down) -> bool {
        self.hear() == Some(expected)
    }

    /// Container's side: the next message, or nothing when the parent is gone.
    pub fn hear(&self) -> Option<Down> {
        let mut byte = [0];
        loop {
            return match recv(self.socket.as_raw_fd(), &mut byte, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                Ok(1) => [Down::Mapped, Down::DevicesMoved, Down::HooksDone, Down::Go, Down::Wait]
                    .into_iter()
                    .find(|down| *down as u8 == byte[0]),
                _ => None,
            };
        }
    }

    /// Container's side: reports.
    pub fn report(&self, message: &Up) -> nix::Result<()> {
        match message {
            Up::NeedMaps => self.send(b"M"),
            Up::NeedDevices => self.send(b"N"),
            Up::RunHooks => self.send(b"H"),
            Up::Ready => self.send(b"R"),
            Up::Listener(listener) => send_fd(self.socket.as_raw_fd(), LISTENER, &[listener.as_raw_fd()]),
            Up::Terminal(master, name) => {
                let data = tagged(b'T', name.as_os_str().as_bytes());
                send_fd(self.socket.as_raw_fd(), &data, &[master.as_raw_fd()])
            }
            Up::Warn(text) => self.send(&tagged(b'W', text.as_bytes())),
            Up::Failed(fault) => self.send(&tagged(FAILED, &fault.to_send())),
            Up::Init(child) => {
                let data = tagged(b'I', &child.pid.as_raw().to_ne_bytes());
                let fds = [child.pidfd.as_raw_fd()];
                send_fd(self.socket.as_raw_fd(), &data, &fds)
            }
            Up::Closed | Up::Lost => Ok(()),
        }
    }

    /// Parent: the next report.
    pub fn listen(&self) -> nix::Result<Up> {
        let mut data = self.inbox.borrow_mut();
        if data.is_empty() {
            *data = vec![0; LARGEST];
        }
        let (n, fd) = match receive_fd(self.socket.as_raw_fd(), &mut data) {
            Err(Errno::ECONNRESET) => return Ok(Up::Lost),
            result => result?,
        };
        let Some((tag, rest)) = data[..n].split_first() else { return Ok(Up::Closed) };
        Ok(match *tag {
            b'M' => Up::NeedMaps,
            b'N' => Up::NeedDevices,
            b'H' => Up::RunHooks,
            b'R' => Up::Ready,
            b'W' => Up::Warn(String::from_utf8_lossy(rest).into_owned()),
            b'L' => Up::Listener(fd.ok_or(Errno::EPROTO)?),
            b'T' => Up::Terminal(fd.ok_or(Errno::EPROTO)?, OsStr::from_bytes(rest).into()),
            FAILED => Up::Failed(Fault::received(rest)),
            b'I' => {
                let pid = rest.try_into().map(i32::from_ne_bytes).map_err(|_| Errno::EPROTO)?;
                Up::Init(Child { pid: Pid::from_raw(pid), pidfd: fd.ok_or(Errno::EPROTO)? })
            }
            _ => return Err(Errno::EPROTO),
        })
    }

    /// The fd, to be kept when the others are closed.
    pub fn raw(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// From now on a receive gives up with EAGAIN when nothing has come for so long.
pub fn limit_silence(socket: &OwnedFd, limit: Duration) -> nix::Result<()> {
    let limit = nix::sys::time::TimeVal::new(limit.as_secs() as i64, limit.subsec_micros().into());
    nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::ReceiveTimeout, &limit)
}

pub(super) fn tagged(tag: u8, rest: &[u8]) -> Vec<u8> {
    let rest = &rest[..rest.len().min(LARGEST - 1)];
    [&[tag], rest].concat()
}

/// Tells the container's side to go on. One that is gone is found out, with its reason, by whoever listens next; one that
/// lives would wait for ever for what was not sent.
pub(super) fn tell(socket: RawFd, message: Down) -> nix::Result<()> {
    match send(socket, &[message as u8], MsgFlags::MSG_NOSIGNAL) {
        Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ECONNREFUSED | Errno::ENOTCONN) => Ok(()),
        sent => sent.map(drop),
    }
}

/// Sends `data` with `fds` (unix(7), SCM_RIGHTS).
pub fn send_fd(socket: RawFd, data: &[u8], fds: &[RawFd]) -> nix::Result<()> {
    let rights = [ControlMessage::ScmRights(fds)];
    sendmsg::<UnixAddr>(socket, &[IoSlice::new(data)], &rights, MsgFlags::MSG_NOSIGNAL, None).map(drop)
}

/// The helper thread of a process with a listener: hands it to the other end of `socket`, and waits for `Delivered`. False
/// where it never comes; a failure has been told.
pub fn hand_listener(socket: RawFd, listener: RawFd) -> bool {
    let handed = send_fd(socket, LISTENER, &[listener]);
    if let Err(fault) = handed.during("seccomp", || "cannot hand over the listener of the filter".to_owned()) {
        let _ = send(socket, &tagged(FAILED, &fault.to_send()), MsgFlags::MSG_NOSIGNAL);
        return false;
    }
    let mut answer = [0];
    loop {
        match recv(socket, &mut answer, MsgFlags::empty()) {
            Err(Errno::EINTR) => continue,
            result => return result == Ok(1) && answer[0] == Down::Delivered as u8,
        }
    }
}

/// As many fds as one message may have (`SCM_MAX_FD`, include/net/scm.h).
const MOST_FDS: usize = 253;

/// Receives into `data`, with at most one fd; what came beside it is closed.
pub fn receive_fd(socket: RawFd, data: &mut [u8]) -> nix::Result<(usize, Option<OwnedFd>)> {
    // With less space the kernel would have opened some of them, and nix would not say which.
    let mut space = nix::cmsg_space!([RawFd; MOST_FDS]);
    let mut slices = [IoSliceMut::new(data)];
    let message = loop {
        match recvmsg::<UnixAddr>(socket, &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(Errno::EINTR) => continue,
            result => break result?,
        }
    };
    let mut received = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            let owned: Vec<OwnedFd> = fds.into_iter().map(crate::sys::own).collect();
            received = owned.into_iter().next();
        }
    }
    Ok((message.bytes, received))
}

/// The channel's end as an fd, for poll(2).
impl std::os::fd::AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    #[test]
    fn no_second_fd_stays_open() {
        let (watch, sent) = std::io::pipe().unwrap();
        let (parent, inside) = pair().unwrap();
        for fds in [2, MOST_FDS] {
            send_fd(inside.raw(), b"R", &vec![sent.as_raw_fd(); fds]).unwrap();
            assert!(matches!(parent.listen(), Ok(Up::Ready)));
        }
        drop(sent);
        let mut fds = [PollFd::new(watch.as_fd(), PollFlags::empty())];
        assert_eq!(poll(&mut fds, PollTimeout::from(2000_u16)), Ok(1));
    }
}
