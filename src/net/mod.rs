//! The container's network namespace: its loopback interface, and the host's devices that are moved into it.

mod devices;
mod netlink;
mod plan;
mod routes;

pub use devices::Mover;
pub use plan::{Device, plan};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::AsFd;

/// Brings up `lo` of the network namespace that the caller is in (netdevice(7)).
pub fn loopback_up() -> nix::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    crate::sys::net::interface_up(socket.as_fd(), c"lo")
}
