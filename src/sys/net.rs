//! Interface ioctls (netdevice(7)), and an option of netlink sockets.

use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// SIOCSIFFLAGS with IFF_UP.
pub fn interface_up(socket: BorrowedFd, name: &CStr) -> nix::Result<()> {
    // SAFETY: ifreq is plain data, valid when zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.to_bytes_with_nul()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: the kernel reads one ifreq, which outlives the call.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) }).map(drop)
}

/// NETLINK_GET_STRICT_CHK (netlink(7), Linux 4.20): a dump holds what is asked for alone, where it holds all otherwise.
pub fn ask_strictly(netlink: BorrowedFd) -> nix::Result<()> {
    let yes: libc::c_int = 1;
    let (name, value) = (libc::NETLINK_GET_STRICT_CHK, (&raw const yes).cast());
    // SAFETY: the kernel reads one int, which outlives the call.
    Errno::result(unsafe {
        libc::setsockopt(
            netlink.as_raw_fd(),
            libc::SOL_NETLINK,
            name,
            value,
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}
