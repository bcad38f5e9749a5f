//! The mounts of a container that has no mount namespace of its own. They lie in the caller's, on one mount of the
//! rootfs over its own path, and so go with that one when the container is removed.

use crate::fault::During;
use crate::host::mount_table;
use crate::sys::fs::{mount_id, open};
use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use std::path::Path;

/// The id of the mount that `rootfs` lies on. To be recorded before anything is mounted there.
pub fn lies_on(rootfs: &Path) -> Result<u64> {
    let looked = open(rootfs, OFlag::O_PATH).and_then(|place| mount_id(&place));
    Ok(looked.during("rootfs", || format!("invalid rootfs: {}", rootfs.display()))?)
}

/// Detaches what rt mounted over `rootfs`, which lay on the mount `base`.
///
/// # Errors
/// Those of umount2(2), and of reading /proc/self/mountinfo.
pub fn detach(rootfs: &Path, base: u64) -> Result<()> {
    let Ok(rootfs) = rootfs.canonicalize() else { return Ok(()) };
    // A mount of the configuration may lie over the rootfs, and hides it.
    while is_mounted(&rootfs, base)? {
        umount2(&rootfs, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .with_context(|| format!("cannot unmount the rootfs {}", rootfs.display()))?;
    }
    Ok(())
}

fn is_mounted(rootfs: &Path, base: u64) -> Result<bool> {
    Ok(mount_table()?.into_iter().any(|mount| mount.pid as u64 == base && mount.mount_point == rootfs))
}
