//! The other side of terminals: the test's own pty, and sockets that fds arrive at.

use crate::sys::{self, check};
use crate::time_limit;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Instant;

/// A pty of the host of this size: master and slave.
pub fn pair(rows: u16, columns: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (-1, -1);
    let size = winsize(rows, columns);
    let (name, modes) = (std::ptr::null_mut(), std::ptr::null());
    // SAFETY: the pointers are to live values, and null where the call takes null.
    check(unsafe { libc::openpty(&mut master, &mut slave, name, modes, &size) })?;
    let own = |fd| {
        // SAFETY: openpty has just returned this fd to us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: no pointers.
        check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) }).map(|_| fd)
    };
    Ok((own(master)?, own(slave)?))
}

fn winsize(rows: u16, columns: u16) -> libc::winsize {
    libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

pub fn resize(terminal: &OwnedFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = winsize(rows, columns);
    // SAFETY: the pointer is to a live winsize.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ as _, &size) }).map(drop)
}

/// Has the command start as a terminal emulator starts its shell: with this terminal as its session's, and as its input
/// and output.
///
/// # Panics
/// If this process has no descriptor left.
pub fn attach(command: &mut Command, slave: &OwnedFd) {
    let copy = || slave.try_clone().expect("dup");
    command.stdin(copy()).stdout(copy());
    let lead = || {
        // SAFETY: integers only. Standard input is the terminal by now.
        check(unsafe { libc::setsid() })?;
        // SAFETY: integers only.
        check(unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) }).map(drop)
    };
    // SAFETY: between fork and exec it does nothing but two system calls, which is async-signal-safe.
    unsafe { command.pre_exec(lead) };
}

/// The flags that raw mode changes.
pub fn local_modes(terminal: &OwnedFd) -> io::Result<(libc::tcflag_t, libc::tcflag_t)> {
    // SAFETY: a zeroed termios is a valid one; the call fills it.
    let mut modes: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live termios.
    check(unsafe { libc::tcgetattr(terminal.as_raw_fd(), &mut modes) })?;
    Ok((modes.c_lflag, modes.c_oflag))
}

/// Sets these, as a shell does for itself while a job of its is stopped.
pub fn set_local_modes(terminal: &OwnedFd, flags: (libc::tcflag_t, libc::tcflag_t)) -> io::Result<()> {
    // SAFETY: a zeroed termios is a valid one; the call fills it.
    let mut modes: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live termios.
    check(unsafe { libc::tcgetattr(terminal.as_raw_fd(), &mut modes) })?;
    (modes.c_lflag, modes.c_oflag) = flags;
    // SAFETY: as before.
    check(unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &modes) }).map(drop)
}

pub fn write(terminal: &OwnedFd, data: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length are of one slice.
    let written = check(unsafe { libc::write(terminal.as_raw_fd(), data.as_ptr().cast(), data.len()) } as libc::c_int)?;
    assert_eq!(written as usize, data.len());
    Ok(())
}

/// Adds to `seen` until it contains `text`.
pub fn read_until(terminal: &OwnedFd, seen: &mut String, text: &str) -> io::Result<()> {
    let until = Instant::now() + time_limit();
    while !seen.contains(text) {
        if !sys::poll(&[terminal], until)?[0] {
            return Err(io::Error::other(format!("no {text:?} in time; seen {seen:?}")));
        }
        let mut chunk = [0_u8; 4096];
        // SAFETY: pointer and length are of one array.
        let n = check(unsafe { libc::read(terminal.as_raw_fd(), chunk.as_mut_ptr().cast(), chunk.len()) } as i32)?;
        seen.push_str(&String::from_utf8_lossy(&chunk[..n as usize]));
    }
    Ok(())
}

/// The first message of the next connection, with all its fds. The connection must end after it.
pub fn receive(listener: &UnixListener) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let until = Instant::now() + time_limit();
    let waiting = listener.as_fd().try_clone_to_owned()?;
    if !sys::poll(&[&waiting], until)?[0] {
        return Err(io::Error::other("nobody connected in time"));
    }
    let (mut connection, _) = listener.accept()?;
    connection.set_read_timeout(Some(time_limit()))?;
    let (data, fds) = message(&connection)?;
    let mut rest = Vec::new();
    io::Read::read_to_end(&mut connection, &mut rest)?;
    if !rest.is_empty() {
        return Err(io::Error::other(format!("more than one message: {:?}", String::from_utf8_lossy(&rest))));
    }
    Ok((data, fds))
}

/// The next message of a socket that has a read time limit, with all its fds.
pub fn message(socket: &impl AsRawFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut data, mut space) = (vec![0_u8; 64 << 10], [0_u64; 32]);
    let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: a zeroed msghdr is a valid one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&space) as _;
    // SAFETY: the message points at live buffers of the lengths it names.
    let n = check(unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) } as i32)?;
    data.truncate(n as usize);
    Ok((data, rights(&message)))
}

fn rights(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: recvmsg has filled the message's control buffer, which is still alive.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !at.is_null() {
        // SAFETY: `at` points at a header inside of the control buffer; its data are `cmsg_len` bytes with it.
        let (kind, data, length) = unsafe { ((*at).cmsg_type, libc::CMSG_DATA(at).cast::<i32>(), (*at).cmsg_len) };
        if kind == libc::SCM_RIGHTS {
            // SAFETY: no pointers.
            let header = unsafe { libc::CMSG_LEN(0) } as usize;
            for i in 0..(length as usize - header) / size_of::<i32>() {
                // SAFETY: the fds lie one after the other, each fresh and ours.
                fds.push(unsafe { OwnedFd::from_raw_fd(data.add(i).read_unaligned()) });
            }
        }
        // SAFETY: as for the first.
        at = unsafe { libc::CMSG_NXTHDR(message, at) };
    }
    fds
}

/// The process that a pidfd refers to.
pub fn pid_of(pidfd: BorrowedFd) -> Option<i32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
}
