//! `tmpcopyup`: a tmpfs starts with what it covers.

use anyhow::{Context, Result, bail};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

/// Copies all that is in the directory `from` into the directory `to`, with modes and owners.
pub fn copy(from: BorrowedFd, to: BorrowedFd) -> Result<()> {
    let readable = openat(from, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut dir = Dir::from_fd(readable)?;
    let names: Vec<_> =
        dir.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect::<Result<_, _>>()?;
    for name in names.iter().filter(|name| !matches!(name.as_bytes(), b"." | b"..")) {
        copy_one(from, to, name).with_context(|| name.to_string_lossy().into_owned())?;
    }
    Ok(())
}

fn copy_one(from: BorrowedFd, to: BorrowedFd, name: &CStr) -> Result<()> {
    let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    let mode = Mode::from_bits_truncate(stat.st_mode);
    let nofollow = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match kind {
        SFlag::S_IFDIR => {
            mkdirat(to, name, Mode::S_IRWXU)?;
            let open =
                |dir: BorrowedFd| openat(dir, name, OFlag::O_PATH | OFlag::O_DIRECTORY | nofollow, Mode::empty());
            copy(open(from)?.as_fd(), open(to)?.as_fd())?;
        }
        SFlag::S_IFREG => {
            // Whoever shares the directory may put a fifo there, or a device, since it was looked at.
            let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | nofollow;
            let mut source = File::from(openat(from, name, flags, Mode::empty())?);
            if !source.metadata()?.is_file() {
                bail!("is not the file any more that it was");
            }
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | nofollow;
            std::io::copy(&mut source, &mut File::from(openat(to, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?))?;
        }
        SFlag::S_IFLNK => symlinkat(readlinkat(from, name)?.as_os_str(), to, name)?,
        _ => match mknodat(to, name, kind, mode, stat.st_rdev) {
            // A user namespace may not make devices. Nor could one be opened there: its filesystems are nodev.
            Err(Errno::EPERM) if matches!(kind, SFlag::S_IFCHR | SFlag::S_IFBLK) => return Ok(()),
            result => result?,
        },
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if kind != SFlag::S_IFLNK {
        fchmodat(to, name, mode, FchmodatFlags::FollowSymlink)?;
    }
    Ok(())
}
