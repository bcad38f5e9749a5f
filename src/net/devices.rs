//! Moving network devices into the container's network namespace, and back where its creation fails.
//!
//! A device takes its addresses and routes to nowhere: the kernel drops them on the move, so they are read before, and
//! added after; the routes on the host alone, since those inside are the container's own affair. A virtual device dies
//! with its network namespace: one that was moved is returned before the namespace may go, which the socket in it holds.

use super::netlink::{Kind, Message, Netlink};
use super::plan::Device;
use super::routes;
use crate::fault::{During, Fault, words};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{Mode, fstat};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const STAGE: &str = "network";

/// Attributes of links (`IFLA_*`).
const NAME: u16 = 3;
const NAMESPACE_FD: u16 = 28;
/// The index that the device is to have in its new namespace (Linux 5.13).
const NEW_INDEX: u16 = 49;
/// Attributes of addresses that are the address itself (`IFA_ADDRESS`, `_LOCAL`, `_BROADCAST`, `_FLAGS`, `_RT_PRIORITY`);
/// a label holds the old name, and a permanent address has no lifetimes.
const ADDRESS: [u16; 5] = [1, 2, 4, FLAGS, 9];
const FLAGS: u16 = 8;
const PERMANENT: u32 = 0x80;

/// A network namespace, and a socket in it.
struct Side {
    namespace: OwnedFd,
    link: Netlink,
}

/// A device as it was on the host.
struct Moved {
    name: String,
    field: String,
    index: i32,
    index_inside: i32,
    up: bool,
    addresses: Vec<Message>,
    routes: Vec<Message>,
}

/// Takes devices to a container, and remembers which.
pub struct Mover {
    host: Side,
    inside: Side,
    moved: Vec<Moved>,
}

impl Mover {
    /// Reaches both network namespaces: ours, and that of the process `init`. `proc` is the host's /proc.
    pub fn reach(init: BorrowedFd, proc: BorrowedFd) -> Result<Mover, Fault> {
        let host = Side::here(proc)?;
        setns(init, CloneFlags::CLONE_NEWNET)
            .during(STAGE, || "linux.netDevices: cannot enter the container's network namespace".to_owned())?;
        let inside = Side::here(proc);
        setns(&host.namespace, CloneFlags::CLONE_NEWNET)
            .during(STAGE, || "linux.netDevices: cannot return to our own network namespace".to_owned())?;
        Ok(Mover { host, inside: inside?, moved: Vec::new() })
    }

    /// Moves all of `devices`, after a look at each: what can be known to fail moves none.
    pub fn take(&mut self, devices: &[Device]) -> Result<(), Fault> {
        if self.host.is_same(&self.inside) {
            let what = "linux.netDevices: the container's network namespace is the host's own";
            return Err(Fault::new(STAGE, what).hint("its path in linux.namespaces must be that of another one"));
        }
        let mut inside = self.inside.links()?;
        let mut found = Vec::with_capacity(devices.len());
        for device in devices {
            if !device.is_template() && inside.iter().any(|(_, name)| *name == device.inside) {
                return Err(taken(device));
            }
            let mut one = self.host.find(device)?;
            let free = |index: i32| inside.iter().all(|(other, _)| *other != index);
            if !free(one.index) {
                one.index_inside = inside.iter().map(|(index, _)| *index).max().unwrap_or(0) + 1;
            }
            inside.push((one.index_inside, device.inside.clone()));
            found.push((device, one));
        }
        found.into_iter().try_for_each(|(device, one)| self.take_one(device, one))
    }

    fn take_one(&mut self, device: &Device, one: Moved) -> Result<(), Fault> {
        let sent = self.host.send_off(one.index, one.index_inside, &device.inside, &self.inside);
        // A move that fails may have been done all the same: a name is refused only after it.
        let is_gone = sent.is_ok() || !self.host.has(one.index);
        let result = match sent {
            Ok(()) => self.inside.furnish(one.index_inside, &one.addresses, true, &one.field),
            Err(errno) => Err(refusal(device, errno)),
        };
        if is_gone {
            self.moved.push(one);
        }
        result
    }

    /// Returns what was moved, with name, addresses, state and routes. The answer is what could not be returned.
    pub fn give_back(self) -> Vec<Fault> {
        self.moved.iter().rev().filter_map(|moved| self.give_back_one(moved).err()).collect()
    }

    fn give_back_one(&self, moved: &Moved) -> Result<(), Fault> {
        let Moved { field, .. } = moved;
        self.inside.send_off(moved.index_inside, moved.index, &moved.name, &self.host).map_err(|errno| {
            let what = format!("{field}: cannot be returned to the host: {}", words(errno));
            Fault::new(STAGE, what).errno(errno).path(&moved.name)
        })?;
        self.host.furnish(moved.index, &moved.addresses, moved.up, field)?;
        // One that is refused keeps no other one away.
        let add = |all: nix::Result<()>, route| routes::add(&self.host.link, route).and(all);
        moved.routes.iter().fold(Ok(()), add).during(STAGE, || format!("{field}: cannot add its route again"))
    }
}

impl Side {
    /// The namespace that we are in.
    fn here(proc: BorrowedFd) -> Result<Side, Fault> {
        let what = || "linux.netDevices: cannot open a network namespace".to_owned();
        let namespace = openat(proc, "self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        Ok(Side { namespace: namespace.during(STAGE, what)?, link: Netlink::open().during(STAGE, what)? })
    }

    fn is_same(&self, other: &Side) -> bool {
        let inode = |side: &Side| fstat(side.namespace.as_fd()).map(|stat| (stat.st_dev, stat.st_ino));
        inode(self) == inode(other)
    }

    /// Index and name of each device here.
    fn links(&self) -> Result<Vec<(i32, String)>, Fault> {
        let all = self.link.dump(&Message::new(Kind::GetLink, &link(0, 0)));
        let all = all.during(STAGE, || "linux.netDevices: cannot list the container's network devices".to_owned())?;
        let name = |value: &[u8]| String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
        Ok(all.iter().map(|one| (index_of(one), one.attribute(NAME).map(name).unwrap_or_default())).collect())
    }

    fn has(&self, index: i32) -> bool {
        self.link.ask(&Message::new(Kind::GetLink, &link(index, 0))).is_ok()
    }

    /// A device by its name, with its routes, and its addresses: permanent ones of global scope (RT_SCOPE_UNIVERSE, 0).
    fn find(&self, device: &Device) -> Result<Moved, Fault> {
        let field = device.field();
        let ask = Message::new(Kind::GetLink, &link(0, 0)).with(NAME, &terminated(&device.host));
        let answers = self.link.ask(&ask).map_err(|errno| {
            let what = match errno {
                Errno::ENODEV => format!("{field}: there is no network device {:?} on the host", device.host),
                _ => format!("{field}: cannot be found: {}", words(errno)),
            };
            Fault::new(STAGE, what).errno(errno).path(&device.host)
        })?;
        let index = answers.first().map_or(0, index_of);
        let up = answers.first().is_some_and(|one| one.word(8) & libc::IFF_UP as u32 != 0);
        let all = self.link.dump(&Message::new(Kind::GetAddress, &[0; 8]));
        let mut addresses = all.during(STAGE, || format!("{field}: cannot list its addresses"))?;
        addresses.retain(|one| {
            let flags = one.attribute(FLAGS).and_then(|value| value.try_into().ok()).map(u32::from_ne_bytes);
            let flags = flags.unwrap_or(u32::from(one.fixed()[2]));
            one.word(4) as i32 == index && flags & PERMANENT != 0 && one.fixed()[3] == 0
        });
        let routes = routes::over(&self.link, index).during(STAGE, || format!("{field}: cannot list its routes"))?;
        let name = device.host.clone();
        Ok(Moved { name, field, index, index_inside: index, up, addresses, routes })
    }

    /// Sends a device from here to `to` in one request: namespace, index and name.
    fn send_off(&self, index: i32, new_index: i32, name: &str, to: &Side) -> nix::Result<()> {
        let message = Message::new(Kind::NewLink, &link(index, 0))
            .with(NAMESPACE_FD, &to.namespace.as_raw_fd().to_ne_bytes())
            .with(NEW_INDEX, &new_index.to_ne_bytes())
            .with(NAME, &terminated(name));
        self.link.ask(&message).map(drop)
    }

    /// Gives a device its addresses, and sets it up.
    fn furnish(&self, index: i32, addresses: &[Message], up: bool, field: &str) -> Result<(), Fault> {
        for address in addresses {
            let mut fixed = address.fixed().to_vec();
            fixed[4..8].copy_from_slice(&index.to_ne_bytes());
            let kept = address.attributes().filter(|(kind, _)| ADDRESS.contains(kind));
            let message = kept.fold(Message::new(Kind::NewAddress, &fixed), |all, (kind, value)| all.with(kind, value));
            match self.link.ask(&message) {
                // The kernel has made it by itself.
                Err(Errno::EEXIST) => {}
                result => drop(result.during(STAGE, || format!("{field}: cannot add its address again"))?),
            }
        }
        if up {
            let message = Message::new(Kind::NewLink, &link(index, libc::IFF_UP as u32));
            self.link.ask(&message).during(STAGE, || format!("{field}: cannot be set up"))?;
        }
        Ok(())
    }
}

fn refusal(device: &Device, errno: Errno) -> Fault {
    let what = format!("{}: cannot be moved to the container: {}", device.field(), words(errno));
    let fault = Fault::new(STAGE, what).errno(errno).path(&device.host);
    match errno {
        Errno::EEXIST => taken(device),
        Errno::EPERM => fault.hint("this takes CAP_NET_ADMIN in the host's network namespace"),
        Errno::EINVAL => fault.hint("the kernel binds some kinds of device, such as bridges, to their namespace"),
        _ => fault,
    }
}

fn taken(device: &Device) -> Fault {
    let what = format!("{}: the container has a network device {:?} already", device.field(), device.inside);
    Fault::new(STAGE, what)
        .errno(Errno::EEXIST)
        .path(&device.inside)
        .hint("a name such as \"eth%d\" takes the next free one")
}

fn terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

/// `struct ifinfomsg`: family and type unspecified, then index, flags, and which flags are meant.
fn link(index: i32, flags: u32) -> [u8; 16] {
    let mut message = [0; 16];
    message[4..8].copy_from_slice(&index.to_ne_bytes());
    message[8..12].copy_from_slice(&flags.to_ne_bytes());
    message[12..16].copy_from_slice(&flags.to_ne_bytes());
    message
}

fn index_of(link: &Message) -> i32 {
    link.word(4) as i32
}
