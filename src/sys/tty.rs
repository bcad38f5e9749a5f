//! Terminals: ioctl_tty(2), pts(4).

use super::fd;
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The filesystem magic of devpts.
pub const DEVPTS_MAGIC: i64 = 0x1cd1;

/// Rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

/// TIOCSPTLCK: lets the other end of this pty master be opened.
pub fn unlock(master: impl AsFd) -> nix::Result<()> {
    let locked: libc::c_int = 0;
    // SAFETY: the kernel reads one int, which outlives the call.
    Errno::result(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCSPTLCK as _, &raw const locked) })
        .map(drop)
}

/// TIOCGPTN: the pty's number, its name in its own devpts.
pub fn number(master: impl AsFd) -> nix::Result<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the kernel writes one unsigned int, which outlives the call.
    Errno::result(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPTN as _, &raw mut number) })?;
    Ok(number)
}

/// TIOCGPTPEER: opens the other end of this pty master, without the help of any path.
pub fn peer(master: impl AsFd) -> nix::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the argument is an integer; the answer is a new fd.
    fd(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPTPEER as _, flags) }.into())
}

/// TIOCGWINSZ; `ENOTTY` if this is no terminal.
pub fn size(terminal: impl AsFd) -> nix::Result<Size> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes one winsize, which outlives the call.
    Errno::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ as _, &raw mut size) })?;
    Ok(Size { rows: size.ws_row, columns: size.ws_col })
}

/// TIOCSWINSZ.
pub fn set_size(terminal: impl AsFd, size: Size) -> nix::Result<()> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one winsize, which outlives the call.
    Errno::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) })
        .map(drop)
}

/// TIOCSCTTY: the terminal becomes that of our session.
pub fn make_controlling(terminal: impl AsFd) -> nix::Result<()> {
    // SAFETY: the argument is an integer.
    Errno::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY as _, 0) }).map(drop)
}
