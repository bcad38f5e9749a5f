//! What lies under a root that was moved over the host's, instead of taking its place (`--no-pivot`).
//!
//! The host's procfs and sysfs, without masks, stay in the mount namespace then. Whoever finds a way out of a chroot would
//! find them, and the kernel lets a new procfs be mounted while an unmasked one is there.

use crate::fault::{During, Fault};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use procfs::process::{MountInfo, Process};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const STAGE: &str = "pivot";

/// Unmounts every whole procfs and sysfs outside of `rootfs`, or covers it, where a user namespace may not unmount it.
/// Nothing of that reaches the host, whose mounts ours are slaves of.
pub fn clear(rootfs: &Path) -> Result<(), Fault> {
    let what = || "cannot unmount the host's /proc and /sys".to_owned();
    let rootfs = rootfs.canonicalize().during(STAGE, what)?;
    let mounts = Process::myself().and_then(|own| own.mountinfo());
    let mounts = mounts.map_err(|error| Fault::new(STAGE, format!("{}: {error}", what())))?;
    let is_kernels = |mount: &MountInfo| mount.root == "/" && matches!(mount.fs_type.as_str(), "proc" | "sysfs");
    for place in mounts.into_iter().filter(is_kernels).map(|mount| unescaped(&mount.mount_point)) {
        if !place.starts_with(&rootfs) {
            remove(&place).during(STAGE, || format!("{}: {}", what(), place.display()))?;
        }
    }
    Ok(())
}

fn remove(place: &Path) -> nix::Result<()> {
    match umount2(place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Err(Errno::EINVAL | Errno::EPERM) => {
            let none = None::<&str>;
            mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::MS_RDONLY, none)
        }
        // It went with the mount that it lay on.
        Err(Errno::ENOENT) => Ok(()),
        result => result,
    }
}

/// A path as mountinfo writes it: blank, tab, newline and backslash are `\\` and three octal digits (proc_pid_mountinfo(5)).
fn unescaped(path: &Path) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = path.as_os_str().as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => (bytes.push(byte), rest = &after[3..]),
            None => (bytes.push(first), rest = after),
        };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mountinfo() {
        for (escaped, plain) in
            [("/a\\040b", "/a b"), ("/a\\134040", "/a\\040"), ("/plain", "/plain"), ("/end\\04", "/end\\04")]
        {
            assert_eq!(unescaped(Path::new(escaped)), Path::new(plain));
        }
    }
}
