//! The host's trees that a container shows: its rootfs and the sources of bind mounts.

use super::mount::STAGE;
use super::plan::{MountPlan, RootPlan, Source};
use super::symlink;
use crate::fault::{Fault, words};
use crate::host::mount_table;
use crate::sys::fs::{mount_id, open};
use crate::sys::mount::*;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use procfs::process::{MountInfo, MountOptFields};
use std::os::fd::OwnedFd;
use std::path::Path;

/// The trees of the host that the container shows, opened while the host is in sight.
pub struct Sources {
    pub(super) rootfs: OwnedFd,
    /// One for each of `mounts`; absent where it is no bind, or opened in its turn.
    pub(super) binds: Vec<Option<OwnedFd>>,
}

/// Opens the rootfs, and every bind source that cannot wait for its turn, as detached trees.
pub fn open_sources(plan: &RootPlan) -> Result<Sources, Fault> {
    let rootfs = clone_tree(&plan.path, true, false).map_err(|errno| rootfs_fault(plan, errno))?;
    let now = |mount: &MountPlan| !plan.in_turn || mount.id_map.is_some() || has_peers(mount);
    let binds = plan.mounts.iter().map(|mount| if now(mount) { open_source(mount) } else { Ok(None) });
    Ok(Sources { rootfs, binds: binds.collect::<Result<_, _>>()? })
}

pub fn rootfs_fault(plan: &RootPlan, errno: Errno) -> Fault {
    let at = plan.path.display();
    let fault = Fault::new("rootfs", format!("rootfs {at}: {}", words(errno))).errno(errno).path(&at);
    match errno {
        Errno::ENOENT => Fault { message: format!("invalid rootfs: {at} does not exist: {}", words(errno)), ..fault }
            .hint("root.path in config.json is relative to the bundle"),
        Errno::EACCES => fault.hint("every directory on the way must let the container's root user pass (x)"),
        _ => fault,
    }
}

/// A detached copy of the host's tree at `path`.
///
/// It is made a recursive slave, unless the mount asks to be shared: a shared source would carry mounts made in the
/// container back to the host.
pub fn clone_tree(path: &Path, recursive: bool, keep_shared: bool) -> nix::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | if recursive { AT_RECURSIVE } else { 0 };
    let tree = open_tree(nix::fcntl::AT_FDCWD, path, flags)?;
    if !keep_shared {
        mount_setattr(&tree, true, &MountAttr { propagation: libc::MS_SLAVE, ..MountAttr::default() })?;
    }
    Ok(tree)
}

/// Whether a bind mount is to be shared with mounts that the host shares: that is over once `/` is made a slave.
pub fn has_peers(plan: &MountPlan) -> bool {
    let Source::Bind { path, .. } = &plan.source else { return false };
    let shared = |mount: &MountInfo| mount.opt_fields.iter().any(|field| matches!(field, MountOptFields::Shared(_)));
    wants_shared(plan)
        && open(path, OFlag::O_PATH).and_then(|source| mount_id(&source)).is_ok_and(|id| {
            mount_table().is_ok_and(|mounts| mounts.iter().any(|mount| mount.mnt_id as u64 == id && shared(mount)))
        })
}

fn wants_shared(plan: &MountPlan) -> bool {
    plan.options.propagation.iter().any(|(flag, _)| *flag == libc::MS_SHARED)
}

/// The source tree of a bind mount, or the link to be copied; or why there is none.
pub fn open_source(plan: &MountPlan) -> Result<Option<OwnedFd>, Fault> {
    let Source::Bind { path, recursive } = &plan.source else { return Ok(None) };
    if plan.options.copy_symlink
        && let Some(link) = symlink::find(path)
    {
        return Ok(Some(link));
    }
    match clone_tree(path, *recursive, wants_shared(plan)) {
        Ok(tree) => Ok(Some(tree)),
        Err(errno) => Err(source_fault(plan, path, errno)),
    }
}

/// Why the source at `path` cannot be bound.
pub fn source_fault(plan: &MountPlan, path: &Path, errno: Errno) -> Fault {
    let what = format!("{}: cannot bind {}: {}", plan.name(), path.display(), crate::fault::words(errno));
    let fault = Fault::new(STAGE, what).errno(errno).path(path.display());
    match errno {
        Errno::ENOENT => fault.hint("the source does not exist on the host; create it or fix mounts[].source"),
        Errno::EINVAL => fault.hint("the source is unbindable or has locked mounts below it; use rbind"),
        _ => fault,
    }
}
