//! A connection to systemd: its own socket, where there is no bus between, or a message bus.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket};

use super::wire::{self, Body, Call, Message, Value};

/// How long systemd may take for one thing: a bus that is overloaded answers late, one that is dead never.
const LIMIT: Duration = Duration::from_secs(30);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
pub const UNIT: &str = "org.freedesktop.systemd1.Unit";
pub const SCOPE: &str = "org.freedesktop.systemd1.Scope";
pub const SLICE: &str = "org.freedesktop.systemd1.Slice";

/// Where systemd can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A path, or an abstract name after "@" (unix(7)).
    pub socket: String,
    /// systemd itself is at the other end: nobody needs to be greeted, and its signals come without asking.
    pub direct: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.socket)
    }
}

/// What may be said about addresses in the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment<'a> {
    pub runtime_dir: Option<&'a str>,
    pub session_bus: Option<&'a str>,
    pub system_bus: Option<&'a str>,
    pub uid: u32,
}

/// All places where a manager may be, the shortest way first: systemd's own socket is only for its user, and absent in
/// a container that has but the bus mounted.
pub fn addresses(user: bool, environment: Environment) -> Vec<Address> {
    let direct = |socket: String| Address { socket, direct: true };
    let bus = |socket: String| Address { socket, direct: false };
    if !user {
        let named = environment.system_bus.and_then(unix_socket);
        return vec![
            direct("/run/systemd/private".into()),
            bus(named.unwrap_or_else(|| "/run/dbus/system_bus_socket".into())),
        ];
    }
    let given = environment.runtime_dir.filter(|dir| dir.starts_with('/'));
    let dir = given.map_or_else(|| format!("/run/user/{}", environment.uid), str::to_owned);
    let named = environment.session_bus.and_then(unix_socket);
    vec![direct(format!("{dir}/systemd/private")), bus(named.unwrap_or_else(|| format!("{dir}/bus")))]
}

/// The socket of the first server address that has one: `unix:path=/run/user/1000/bus,guid=…;…` (D-Bus Specification,
/// "Server Addresses").
fn unix_socket(text: &str) -> Option<String> {
    let pairs = text.split(';').filter_map(|address| address.strip_prefix("unix:"));
    pairs.flat_map(|pairs| pairs.split(',')).find_map(|pair| match pair.split_once('=')? {
        ("path", path) => Some(path.to_owned()),
        ("abstract", name) => Some(format!("@{name}")),
        _ => None,
    })
}

/// An error that systemd or the bus answered with.
#[derive(Debug)]
pub struct Refusal {
    name: String,
    text: String,
}

impl Refusal {
    /// Compares the last part of the error's name: `org.freedesktop.systemd1.UnitExists`.
    pub fn is(&self, kind: &str) -> bool {
        self.name.rsplit('.').next() == Some(kind)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.name)
    }
}

impl std::error::Error for Refusal {}

/// An open connection. One call at a time; signals that come meanwhile are kept.
pub struct Bus {
    socket: OwnedFd,
    pub address: Address,
    serial: u32,
    received: Vec<u8>,
    signals: VecDeque<(String, Body)>,
}

impl Bus {
    /// Connects to the first address that answers. The error names each with what was wrong with it.
    pub fn connect(addresses: &[Address]) -> Result<Bus> {
        let mut tried = Vec::new();
        for address in addresses {
            match Bus::open(address) {
                Ok(bus) => return Ok(bus),
                Err(error) => tried.push(format!("{address} ({error:#})")),
            }
        }
        bail!(
            "systemd cannot be reached at {}: is it running here, and for a user its manager (user@UID.service)? \
             Else use --cgroup-manager cgroupfs",
            tried.join(" or ")
        )
    }

    fn open(address: &Address) -> Result<Bus> {
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let to = match address.socket.strip_prefix('@') {
            Some(name) => UnixAddr::new_abstract(name.as_bytes()),
            None => UnixAddr::new(address.socket.as_str()),
        };
        let to = to.map_err(words)?;
        let limit = nix::sys::time::TimeVal::new(LIMIT.as_secs() as i64, 0);
        // A full backlog would hold connect(2) up for ever.
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::SendTimeout, &limit)?;
        connect(socket.as_raw_fd(), &to).map_err(words)?;
        let mut bus =
            Bus { socket, address: address.clone(), serial: 0, received: Vec::new(), signals: VecDeque::new() };
        bus.authenticate()?;
        if !address.direct {
            bus.greet()?;
        }
        Ok(bus)
    }

    /// EXTERNAL without a name: the server takes the uid that the kernel tells it, which inside of a user namespace is
    /// not the one that we see.
    fn authenticate(&mut self) -> Result<()> {
        // All in one: systemd reads what follows BEGIN together with it, and would then sit on a short call until something
        // else comes.
        self.write(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        let deadline = Instant::now() + LIMIT;
        loop {
            match accepted(&self.received) {
                Some(Ok(length)) => {
                    self.received.drain(..length);
                    return Ok(());
                }
                Some(Err(())) => bail!("it does not take this user"),
                None => self.read(deadline)?,
            }
        }
    }

    /// A bus wants to be greeted, and to hear which signals are of interest; systemd sends none to a bus before
    /// somebody subscribes.
    fn greet(&mut self) -> Result<()> {
        let (name, path) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
        let rule = format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'");
        self.call(&Call { destination: name, path, interface: name, member: "Hello", body: &[] })?;
        let body = [Value::text(rule)];
        self.call(&Call { destination: name, path, interface: name, member: "AddMatch", body: &body })?;
        self.manager("Subscribe", &[])?;
        Ok(())
    }

    /// Calls a method of systemd's manager.
    pub fn manager(&mut self, member: &str, body: &[Value]) -> Result<Body> {
        self.call(&Call { destination: SYSTEMD, path: MANAGER_PATH, interface: MANAGER, member, body })
    }

    /// A property of the manager that is text.
    pub fn manager_property(&mut self, name: &str) -> Result<String> {
        self.property(MANAGER_PATH, MANAGER, name)
    }

    /// The same of any object of systemd's; `owner` is the interface that has it.
    pub fn property(&mut self, path: &str, owner: &str, name: &str) -> Result<String> {
        let interface = "org.freedesktop.DBus.Properties";
        let body = [Value::text(owner), Value::text(name)];
        let call = Call { destination: SYSTEMD, path, interface, member: "Get", body: &body };
        Ok(self.call(&call)?.words().into_iter().next().unwrap_or_default())
    }

    fn call(&mut self, call: &Call) -> Result<Body> {
        self.serial += 1;
        let serial = self.serial;
        self.write(&call.message(serial))?;
        let deadline = Instant::now() + LIMIT;
        loop {
            match self
                .message(deadline)
                .with_context(|| format!("no answer to {} from {}", call.member, self.address))?
            {
                Message::Return { to, body } if to == serial => return Ok(body),
                Message::Error { to, name, body } if to == serial => {
                    let text = body.words().into_iter().next().unwrap_or_default();
                    return Err(Refusal { name, text }.into());
                }
                Message::Signal { member, body } => self.signals.push_back((member, body)),
                _ => {}
            }
        }
    }

    /// Waits until the job is done, and returns its result: "done", or what became of it (org.freedesktop.systemd1(5),
    /// JobRemoved).
    pub fn job(&mut self, job: &str) -> Result<String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            while let Some((member, body)) = self.signals.pop_front() {
                // (id, job, unit, result).
                let words = body.words();
                if member == "JobRemoved" && words.get(1).is_some_and(|which| which == job) {
                    return Ok(words.get(3).cloned().unwrap_or_default());
                }
            }
            if let Message::Signal { member, body } = self.message(deadline)? {
                self.signals.push_back((member, body));
            }
        }
    }

    fn message(&mut self, deadline: Instant) -> Result<Message> {
        loop {
            if let Some(length) = wire::length(&self.received)?.filter(|length| *length <= self.received.len()) {
                let message: Vec<u8> = self.received.drain(..length).collect();
                return Ok(wire::parse(&message)?);
            }
            self.read(deadline)?;
        }
    }

    /// Reads what there is, and waits for it.
    fn read(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let limit = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], limit) {
            Ok(0) => bail!("nothing came within {} s", LIMIT.as_secs()),
            Err(Errno::EINTR) => return Ok(()),
            result => result?,
        };
        let mut chunk = [0u8; 4096];
        let got = match recv(self.socket.as_raw_fd(), &mut chunk, MsgFlags::empty()) {
            Err(Errno::EINTR) => return Ok(()),
            got => got.map_err(words)?,
        };
        if got == 0 {
            bail!("the connection was closed");
        }
        self.received.extend_from_slice(&chunk[..got]);
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(words(errno)).with_context(|| format!("cannot write to {}", self.address)),
            }
        }
        Ok(())
    }
}

/// How long the answer of a server is that takes us, an error if it does not, nothing while there is more to come. Behind it
/// messages may follow at once: systemd sends its signals to whoever is connected.
fn accepted(received: &[u8]) -> Option<Result<usize, ()>> {
    let mut length = 0;
    for line in received.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\r\n")) {
        length += line.len();
        match line {
            [b'O', b'K', b' ', ..] => return Some(Ok(length)),
            _ if line.starts_with(b"REJECTED") || line.starts_with(b"ERROR") => return Some(Err(())),
            _ => {}
        }
    }
    None
}

fn words(errno: Errno) -> anyhow::Error {
    anyhow::anyhow!("{}", errno.desc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(user: bool, environment: Environment) -> Vec<String> {
        let mark = |address: &Address| if address.direct { "!" } else { "" };
        addresses(user, environment).iter().map(|address| format!("{}{address}", mark(address))).collect()
    }

    #[test]
    fn where_a_manager_may_be() {
        let none = Environment { uid: 7, ..Environment::default() };
        assert_eq!(listed(false, none), ["!/run/systemd/private", "/run/dbus/system_bus_socket"]);
        assert_eq!(listed(true, none), ["!/run/user/7/systemd/private", "/run/user/7/bus"]);
        let all = Environment {
            runtime_dir: Some("/x"),
            session_bus: Some("tcp:host=a;unix:abstract=/tmp/dbus-1,guid=0"),
            system_bus: Some("unix:path=/y,guid=0"),
            uid: 7,
        };
        assert_eq!(listed(false, all), ["!/run/systemd/private", "/y"]);
        assert_eq!(listed(true, all), ["!/x/systemd/private", "@/tmp/dbus-1"]);
    }

    #[test]
    fn what_follows_the_servers_answer_is_kept() {
        assert_eq!(accepted(b"DATA\r\nOK 0123\r\nl\x04\x01"), Some(Ok(15)));
        assert_eq!(accepted(b"DATA\r\nOK 0123\r\nl\x04\r\nERROR\r\n"), Some(Ok(15)));
        assert_eq!(accepted(b"DATA\r\nOK 01"), None);
        assert_eq!(accepted(b""), None);
        assert_eq!(accepted(b"REJECTED EXTERNAL\r\n"), Some(Err(())));
    }

    #[test]
    fn nobody_there() {
        let nowhere = |socket: &str| Address { socket: socket.into(), direct: true };
        let error = Bus::connect(&[nowhere("/proc/self/nothing"), nowhere("@rt-test-nobody")]).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("/proc/self/nothing (No such file") && text.contains("@rt-test-nobody ("), "{text}");
    }
}
