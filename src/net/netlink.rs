//! rtnetlink(7), as much of it as moves a device: requests that are acknowledged, and dumps.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt,
};
use std::os::fd::{AsRawFd, OwnedFd};

const HEADER: usize = 16;
/// A message of a dump is at most this large (netlink(7) asks for 8 KiB or more; the kernel fills up to 32 KiB).
const LARGEST: usize = 32 << 10;
/// A dump that other changes disturbed is asked for again.
const TRIES: usize = 16;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
/// In an answer: the dump was disturbed.
const DUMP_INTERRUPTED: u16 = 0x10;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const EXCL: u16 = 0x200;
const APPEND: u16 = 0x800;

const ERROR: u16 = 2;
const DONE: u16 = 3;

/// A dump holds what is asked for alone, where it holds all otherwise (netlink(7), Linux 4.20).
#[derive(Clone)]
struct FilteredDumps;
nix::setsockopt_impl!(FilteredDumps, libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, bool, sockopt::SetBool);

/// `RTM_*` of rtnetlink(7).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    NewLink = 16,
    GetLink = 18,
    NewAddress = 20,
    GetAddress = 22,
    NewRoute = 24,
    GetRoute = 26,
}

/// A message: the fixed part of its kind (`ifinfomsg`, `ifaddrmsg`, `rtmsg`), and attributes.
pub struct Message {
    kind: u16,
    body: Vec<u8>,
    fixed: usize,
}

impl Message {
    pub fn new(kind: Kind, fixed: &[u8]) -> Message {
        Message { kind: kind as u16, body: fixed.to_vec(), fixed: fixed.len() }
    }

    /// Adds an attribute (rtnetlink(7), `struct rtattr`): length and type, the value, padding to four bytes.
    pub fn with(mut self, attribute: u16, value: &[u8]) -> Message {
        self.body.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
        self.body.extend_from_slice(&attribute.to_ne_bytes());
        self.body.extend_from_slice(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    /// The four bytes at `at` of the fixed part.
    pub fn word(&self, at: usize) -> u32 {
        self.body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
    }

    pub fn fixed(&self) -> &[u8] {
        &self.body[..self.fixed]
    }

    /// Type and value of each attribute.
    pub fn attributes(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut rest = &self.body[self.fixed..];
        std::iter::from_fn(move || {
            let half = |at: usize| Some(u16::from_ne_bytes(rest.get(at..at + 2)?.try_into().ok()?));
            let (length, kind) = (usize::from(half(0)?), half(2)?);
            let value = rest.get(4..length)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            /// Flags in the type's upper bits: nested, network byte order.
            const TYPE: u16 = 0x3fff;
            Some((kind & TYPE, value))
        })
    }

    pub fn attribute(&self, wanted: u16) -> Option<&[u8]> {
        self.attributes().find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    }

    fn packet(&self, flags: u16) -> Vec<u8> {
        let mut packet = ((HEADER + self.body.len()) as u32).to_ne_bytes().to_vec();
        packet.extend_from_slice(&self.kind.to_ne_bytes());
        packet.extend_from_slice(&flags.to_ne_bytes());
        // Sequence and sender: one request at a time needs neither.
        packet.extend_from_slice(&[0; 8]);
        packet.extend_from_slice(&self.body);
        packet
    }
}

/// A socket that speaks for the network namespace in which it was opened, wherever its owner goes after.
pub struct Netlink(OwnedFd);

impl Netlink {
    pub fn open() -> nix::Result<Netlink> {
        let protocol = SockProtocol::NetlinkRoute;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        // A host may have a million routes: the kernel picks those that are asked for.
        setsockopt(&socket, FilteredDumps, &true)?;
        Ok(Netlink(socket))
    }

    /// Asks for one thing, or for a change.
    ///
    /// # Errors
    /// The kernel's answer: ENODEV and EEXIST for names, EPERM without CAP_NET_ADMIN over the namespace.
    pub fn ask(&self, message: &Message) -> nix::Result<Vec<Message>> {
        const NEW_ADDRESS: u16 = Kind::NewAddress as u16;
        const NEW_ROUTE: u16 = Kind::NewRoute as u16;
        let flags = match message.kind {
            NEW_ADDRESS => CREATE | EXCL,
            // After those to the same destination, which were told before it.
            NEW_ROUTE => CREATE | APPEND,
            _ => 0,
        };
        self.exchange(message, flags | ACK).map(|(messages, _)| messages)
    }

    /// Asks for all of a kind.
    pub fn dump(&self, message: &Message) -> nix::Result<Vec<Message>> {
        for _ in 0..TRIES {
            if let (messages, false) = self.exchange(message, DUMP)? {
                return Ok(messages);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// The answers to a request, up to its end; and whether they are of one moment.
    fn exchange(&self, message: &Message, flags: u16) -> nix::Result<(Vec<Message>, bool)> {
        send(self.0.as_raw_fd(), &message.packet(REQUEST | flags), MsgFlags::empty())?;
        let mut buffer = vec![0; LARGEST];
        let (mut answers, mut disturbed) = (Vec::new(), false);
        loop {
            let length = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            let mut rest = &buffer[..length];
            while let Some((kind, flags, body, after)) = split(rest) {
                rest = after;
                disturbed |= flags & DUMP_INTERRUPTED != 0;
                match kind {
                    ERROR | DONE => return end(body).map(|()| (answers, disturbed)),
                    _ => answers.push(Message { kind, fixed: message.fixed.min(body.len()), body: body.to_vec() }),
                }
            }
        }
    }
}

/// The first message of what was received: type, flags, body, and what comes after.
fn split(data: &[u8]) -> Option<(u16, u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(data.get(..4)?.try_into().ok()?) as usize;
    let half = |at: usize| Some(u16::from_ne_bytes(data.get(at..at + 2)?.try_into().ok()?));
    let body = data.get(HEADER..length)?;
    Some((half(4)?, half(6)?, body, data.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The last message's verdict: a negative errno, or zero.
fn end(body: &[u8]) -> nix::Result<()> {
    match body.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_ne_bytes) {
        0 => Ok(()),
        error => Err(Errno::from_raw(error.wrapping_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_found_again() {
        let message = Message::new(Kind::NewLink, &[0; 16]).with(3, b"eth0\0").with(28, &7_u32.to_ne_bytes());
        assert_eq!(message.body.len(), 16 + 12 + 8);
        assert_eq!(message.attribute(3), Some(b"eth0\0".as_slice()));
        assert_eq!(message.attribute(28), Some(7_u32.to_ne_bytes().as_slice()));
        assert_eq!(message.attribute(1), None);
        let packet = message.packet(REQUEST | ACK);
        let (kind, flags, body, rest) = split(&packet).unwrap();
        assert_eq!((kind, flags, body, rest), (16, 5, message.body.as_slice(), [].as_slice()));
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        let packet = Message::new(Kind::GetLink, &[0; 16]).packet(REQUEST);
        assert!(split(&packet[..packet.len() - 1]).is_none());
        assert!(split(&[]).is_none());
        let cut = Message { kind: 16, body: vec![9, 0, 3, 0, b'x'], fixed: 0 };
        assert_eq!(cut.attributes().count(), 0);
        let looping = Message { kind: 16, body: vec![0; 8], fixed: 0 };
        assert_eq!(looping.attributes().count(), 0);
    }
}
