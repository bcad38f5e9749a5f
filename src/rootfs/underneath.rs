//! What lies under a root that was moved over the host's, instead of taking its place (`--no-pivot`).
//!
//! The host's procfs and sysfs, without masks, stay in the mount namespace then. Whoever finds a way out of a chroot would
//! find them, and the kernel lets a new procfs be mounted while an unmasked one is there.

use crate::fault::{During, Fault};
use crate::host::mount_table;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use procfs::process::MountInfo;
use std::path::Path;

const STAGE: &str = "pivot";

/// Unmounts every whole procfs and sysfs outside of `rootfs`, or covers it, where a user namespace may not unmount it.
/// Nothing of that reaches the host, whose mounts ours are slaves of.
pub fn clear(rootfs: &Path) -> Result<(), Fault> {
    let what = || "cannot unmount the host's /proc and /sys".to_owned();
    let rootfs = rootfs.canonicalize().during(STAGE, what)?;
    let is_kernels = |mount: &MountInfo| mount.root == "/" && matches!(mount.fs_type.as_str(), "proc" | "sysfs");
    for place in mount_table()?.into_iter().filter(is_kernels).map(|mount| mount.mount_point) {
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
