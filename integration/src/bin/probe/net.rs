//! Interfaces and sockets.

use crate::syscalls::errno_name;
use crate::{Outcome, arg, of};
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};

const FLAGS: &[(libc::c_int, &str)] =
    &[(libc::IFF_UP, "UP"), (libc::IFF_LOOPBACK, "LOOPBACK"), (libc::IFF_RUNNING, "RUNNING")];

pub fn interfaces(_: &[String]) -> Outcome {
    // SAFETY: plain integers; the descriptor is closed below.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return of("socket", Err(io::Error::last_os_error()));
    }
    for name in names()? {
        // SAFETY: all zeroes is a valid ifreq.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(15)) {
            *to = from as libc::c_char;
        }
        // SAFETY: the request is live, its name terminated; the kernel fills the flags.
        let result = unsafe { libc::ioctl(socket, libc::SIOCGIFFLAGS as _, &mut request) };
        // SAFETY: after success the union holds flags; before it held zeroes.
        let flags = unsafe { request.ifr_ifru.ifru_flags } as libc::c_int;
        let set = FLAGS.iter().filter(|(bit, _)| result == 0 && flags & bit != 0);
        println!("{name} {}", set.map(|(_, name)| *name).collect::<Vec<_>>().join(","));
    }
    // SAFETY: opened above, used nowhere else.
    unsafe { libc::close(socket) };
    Ok(())
}

fn names() -> Result<Vec<String>, String> {
    // SAFETY: takes nothing; the list is freed below.
    let list = unsafe { libc::if_nameindex() };
    if list.is_null() {
        return of("if_nameindex", Err(io::Error::last_os_error()));
    }
    let mut names = Vec::new();
    let mut at = list;
    // SAFETY: the list ends with an entry whose name is null; until then each name is a terminated string.
    unsafe {
        while !(*at).if_name.is_null() {
            names.push(CStr::from_ptr((*at).if_name).to_string_lossy().into_owned());
            at = at.add(1);
        }
        libc::if_freenameindex(list);
    }
    names.sort();
    Ok(names)
}

pub fn addresses(_: &[String]) -> Outcome {
    let mut list = std::ptr::null_mut();
    // SAFETY: the pointer is to a live pointer, which the call fills; the list is freed below.
    if unsafe { libc::getifaddrs(&mut list) } < 0 {
        return of("getifaddrs", Err(io::Error::last_os_error()));
    }
    let mut lines = Vec::new();
    let mut at: *const libc::ifaddrs = list;
    // SAFETY: a linked list until null; names are terminated strings.
    while let Some(entry) = unsafe { at.as_ref() } {
        at = entry.ifa_next;
        // SAFETY: as above; an entry's mask is of its address's family.
        let (name, address, mask) =
            unsafe { (CStr::from_ptr(entry.ifa_name), address(entry.ifa_addr), address(entry.ifa_netmask)) };
        if let (Some(address), Some(mask)) = (address, mask) {
            let ones = match mask {
                IpAddr::V4(mask) => mask.to_bits().count_ones(),
                IpAddr::V6(mask) => mask.to_bits().count_ones(),
            };
            lines.push(format!("{} {address}/{ones}", name.to_string_lossy()));
        }
    }
    // SAFETY: made by getifaddrs, used no more.
    unsafe { libc::freeifaddrs(list) };
    lines.sort();
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// # Safety
/// Null, or a socket address as large as its family's.
unsafe fn address(at: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as the caller promises.
    unsafe {
        match i32::from(at.as_ref()?.sa_family) {
            libc::AF_INET => Some(IpAddr::from((*at.cast::<libc::sockaddr_in>()).sin_addr.s_addr.to_ne_bytes())),
            libc::AF_INET6 => Some(IpAddr::from((*at.cast::<libc::sockaddr_in6>()).sin6_addr.s6_addr)),
            _ => None,
        }
    }
}

pub fn connect(args: &[String]) -> Outcome {
    let to = arg(args, 0, "ADDRESS")?;
    let result = match to.split_once(':') {
        Some(("unix", path)) => UnixStream::connect(path).map(drop),
        Some(("tcp", address)) => TcpStream::connect(address).map(drop),
        _ => return Err(format!("{to}: neither unix: nor tcp:")),
    };
    match result {
        Ok(()) => println!("ok"),
        Err(error) => println!("{}", errno_name(error.raw_os_error().unwrap_or(0))),
    }
    Ok(())
}

pub fn notify(args: &[String]) -> Outcome {
    let path = std::env::var("NOTIFY_SOCKET").map_err(|_| "NOTIFY_SOCKET is not set".to_owned())?;
    let socket = of("socket", UnixDatagram::unbound())?;
    of(&path, socket.send_to(arg(args, 0, "TEXT")?.as_bytes(), &path)).map(drop)
}
