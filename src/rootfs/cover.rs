//! Masked and read-only paths, by fd, after the pivot.

use super::devices::verified_null;
use super::mount::let_go;
use super::plan::RootPlan;
use super::resolve::find;
use crate::fault::{During, Fault, words};
use crate::sys::mount::*;
use nix::errno::Errno;
use nix::sys::stat::fstat;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const STAGE: &str = "mask";

/// Covers the masked paths and makes others read-only below `root`. What does not exist needs no cover.
pub fn cover(root: BorrowedFd, plan: &RootPlan) -> Result<(), Fault> {
    for path in &plan.readonly_paths {
        if let Some(target) = existing(root, path)? {
            let name = || format!("cannot make {} read-only", path.display());
            let tree = open_tree(&target, "", OPEN_TREE_CLONE | AT_RECURSIVE).during(STAGE, name)?;
            let read_only = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
            mount_setattr(&tree, false, &read_only).during(STAGE, name)?;
            move_mount(&tree, &target).during(STAGE, name)?;
            let_go(tree);
            let_go(target);
        }
    }
    let mut covers = Covers { root, label: plan.label.as_deref(), null: None, empty: None };
    for path in &plan.masked {
        if let Some(target) = existing(root, path)? {
            covers.cover(path, target)?;
        }
    }
    Ok(())
}

fn existing(root: BorrowedFd, path: &Path) -> Result<Option<OwnedFd>, Fault> {
    match find(root, path) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(Fault::new(STAGE, format!("cannot mask {}: {}", path.display(), words(errno))).errno(errno)),
    }
}

/// What is laid over masked paths: a checked /dev/null over files, and one empty read-only tmpfs, shared by all,
/// over directories.
struct Covers<'a> {
    root: BorrowedFd<'a>,
    label: Option<&'a CStr>,
    null: Option<OwnedFd>,
    empty: Option<OwnedFd>,
}

impl Covers<'_> {
    fn cover(&mut self, path: &Path, target: OwnedFd) -> Result<(), Fault> {
        let name = || format!("cannot mask {}", path.display());
        // The kind is asked first: a bind that fails with ENOTDIR costs the kernel an RCU wait.
        let directory = fstat(&target).during(STAGE, name)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
        let cover = match directory {
            true => match &self.empty {
                Some(first) => open_tree(first, "", OPEN_TREE_CLONE).during(STAGE, name)?,
                None => empty_tmpfs(self.label).during(STAGE, name)?,
            },
            false => {
                if self.null.is_none() {
                    self.null = Some(verified_null(self.root)?);
                }
                let null = self.null.as_ref().map(AsFd::as_fd).unwrap_or(self.root);
                open_tree(null, "", OPEN_TREE_CLONE).during(STAGE, name)?
            }
        };
        move_mount(&cover, &target).during(STAGE, name)?;
        if directory && self.empty.is_none() {
            self.empty = Some(cover);
        } else {
            let_go(cover);
        }
        let_go(target);
        Ok(())
    }
}

fn empty_tmpfs(label: Option<&CStr>) -> nix::Result<OwnedFd> {
    let context = FsContext::open(c"tmpfs")?;
    context.string(c"source", c"tmpfs")?;
    // One inode is the root itself; some kernels count one more.
    context.string(c"nr_inodes", c"2")?;
    if let Some(label) = label {
        context.string(c"context", label)?;
    }
    context.create()?;
    context.mount(MOUNT_ATTR_RDONLY)
}
