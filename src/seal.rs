//! Running from a copy of rt that no container can reach back into (CVE-2019-5736).
//!
//! A process that enters a container is visible there as /proc/PID/exe, and through it the host's binary could be
//! opened for writing. So rt runs from a detached, read-only clone of its own mount, whose descriptor is closed: no one
//! can then reach the mount to clear its flag. Who may maps its image from there (`sys::image`), for the price of eight
//! system calls; else rt re-executes itself from there. A copy in memory would cost a copy of the whole binary.

use crate::fault::{During, Fault};
use crate::sys::exec::{Strings, execve_fd};
use crate::sys::image;
use crate::sys::mount::*;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

const STAGE: &str = "seal";
const SELF: &str = "/proc/self/exe";
const NAME: &CStr = c"rt";

/// Whether an argument list has to do with such a command. Asked of the bare words, before they are understood: what
/// is executed once more should not have done any work before. A container of that name is sealed for nothing.
/// The words are in the code, byte by byte: the page of a constant would be lost by the move.
pub fn is_needed<'a>(mut arguments: impl Iterator<Item = &'a CStr>) -> bool {
    let puts_inside = |word: &[u8]| {
        matches!(word, [b'r', b'u', b'n'] | [b'e', b'x', b'e', b'c'] | [b'c', b'r', b'e', b'a', b't', b'e'])
    };
    arguments.any(|word| puts_inside(word.to_bytes()))
}

/// Makes sure that this process runs from a sealed copy: moves it there, or re-executes it.
pub fn ensure(arguments: &Strings) -> Result<(), Fault> {
    let clone = clone_of_own_mount();
    if clone.as_ref().is_ok_and(|clone| move_to(clone, arguments).is_ok()) {
        return Ok(());
    }
    // Asked only where we may have been executed once more: it takes longer than each step of a move.
    if is_sealed()? {
        // The name was lost with the path.
        return crate::sys::process::set_name(NAME).during(STAGE, || "cannot set the process's name".to_owned());
    }
    let copy = match clone {
        Ok(clone) => clone,
        Err(_) if nobody_inside_could_write() => return Ok(()),
        Err(_) => memfd_copy().during(STAGE, || "cannot copy rt into memory".to_owned())?,
    };
    let errno = execve_fd(copy.as_fd(), arguments, &Strings::environment());
    Err(errno).during(STAGE, || "cannot execute the sealed copy of rt".to_owned())
}

/// A detached mount of one file has no path but "/"; nothing else that can be executed has that path.
fn is_sealed() -> Result<bool, Fault> {
    let mut start = [0; 16];
    let shown =
        crate::sys::fs::link_start(image::own_path(), &mut start).during(STAGE, || format!("cannot read {SELF}"))?;
    Ok(shown == b"/" || shown.starts_with(b"/memfd:rt") && is_sealed_memfd())
}

/// An execve less, and the second start after it.
fn move_to(clone: &OwnedFd, arguments: &Strings) -> nix::Result<()> {
    image::move_to(image::reopen(clone.as_fd())?.as_fd(), arguments)
}

fn clone_of_own_mount() -> nix::Result<OwnedFd> {
    let tree = open_tree(nix::fcntl::AT_FDCWD, image::own_path(), OPEN_TREE_CLONE)?;
    mount_setattr(&tree, false, &MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() })?;
    Ok(tree)
}

/// Without privilege, what another user owns and we may not write stays so for every id that can be mapped.
fn nobody_inside_could_write() -> bool {
    let Ok(meta) = std::fs::metadata(SELF) else { return false };
    let own = nix::unistd::geteuid().as_raw();
    own != 0 && meta.uid() == 0 && meta.mode() & 0o022 == 0
}

const SEALS: SealFlag =
    SealFlag::F_SEAL_SEAL.union(SealFlag::F_SEAL_SHRINK).union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_WRITE);

fn is_sealed_memfd() -> bool {
    let exe = crate::sys::fs::open(SELF, OFlag::O_RDONLY);
    let seals = exe.and_then(|exe| fcntl(&exe, FcntlArg::F_GET_SEALS));
    seals.is_ok_and(|seals| SealFlag::from_bits_truncate(seals).contains(SEALS))
}

fn memfd_copy() -> nix::Result<OwnedFd> {
    let io = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // MFD_EXEC (Linux 6.3): say that it is to be executed, where the host wants that said.
    let exec = MFdFlags::from_bits_retain(0x10);
    let memory = memfd_create(NAME, flags | exec).or_else(|_| memfd_create(NAME, flags))?;
    let mut memory = File::from(memory);
    std::io::copy(&mut File::open(SELF).map_err(io)?, &mut memory).map_err(io)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SEALS))?;
    Ok(memory.into())
}
