//! The steps that build the root filesystem, in their one order.

use super::devices;
use super::mount::{STAGE, let_go, mount};
use super::plan::{RootPlan, Source};
use super::resolve::{Kind, ensure};
use super::source::{Sources, rootfs_fault};
use crate::fault::{During, Fault, words};
use crate::sys::fs::open;
use crate::sys::mount::*;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How the rootfs becomes `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enter {
    /// pivot_root(2): the host's tree is gone.
    Pivot,
    /// Moved over `/`, for a host root on a ramdisk, which cannot be pivoted away.
    Move,
    /// chroot(2) only: the mount namespace is not ours to rearrange.
    Chroot,
}

/// A root filesystem under construction.
pub struct Rootfs<'a> {
    plan: &'a RootPlan,
    root: OwnedFd,
    late: Vec<(usize, OwnedFd)>,
}

impl<'a> Rootfs<'a> {
    /// Opens the place where the rootfs will be attached. To be called before the user changes: the way there may be
    /// closed to the container's root.
    pub fn place(plan: &RootPlan) -> Result<OwnedFd, Fault> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        open(&plan.path, flags).map_err(|errno| match errno {
            Errno::ENOTDIR => {
                let at = plan.path.display();
                Fault::new("rootfs", format!("invalid rootfs: {at} is not a directory")).errno(errno).path(at)
            }
            _ => rootfs_fault(plan, errno),
        })
    }

    /// Attaches the rootfs over its own path, so that hooks find it there with all its mounts.
    pub fn attach(plan: &'a RootPlan, sources: &Sources, place: OwnedFd, enter: Enter) -> Result<Rootfs<'a>, Fault> {
        if enter != Enter::Chroot {
            // Nothing that is mounted here may show up on the host, whose / is often shared.
            let host = open("/", OFlag::O_PATH).during(STAGE, || "cannot open /".to_owned())?;
            let slave = MountAttr { propagation: libc::MS_SLAVE, ..MountAttr::default() };
            mount_setattr(&host, true, &slave).during(STAGE, || "cannot make / a slave of the host's".to_owned())?;
        }
        if enter == Enter::Chroot && !plan.on_host && !plan.readonly {
            // A mount in a namespace that is not ours outlives the container, but what is no mount cannot be read-only.
            return Ok(Rootfs { plan, root: place, late: Vec::new() });
        }
        let root = sources.rootfs.try_clone().during(STAGE, || "cannot keep the rootfs open".to_owned())?;
        move_mount(&root, &place).during("rootfs", || format!("cannot attach the rootfs {}", plan.path.display()))?;
        if plan.on_host {
            // Attached to a shared mount it has become shared, too; what is mounted in it is nobody else's affair.
            let private = MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() };
            mount_setattr(&root, true, &private).during(STAGE, || "cannot make the rootfs private".to_owned())?;
        }
        Ok(Rootfs { plan, root, late: Vec::new() })
    }

    /// Mounts every entry of `mounts`, in order. `cgroup` is the container's cgroup on the host.
    pub fn mount_all(&mut self, sources: Sources, cgroup: &Path) -> Result<(), Fault> {
        for ((i, plan), source) in self.plan.mounts.iter().enumerate().zip(sources.binds) {
            let mounted = mount(plan, source, self.root.as_fd(), cgroup)?;
            if plan.destination == Path::new("/") && !matches!(plan.source, Source::Remount) {
                // What is mounted over / is the root from here on.
                self.root = mounted.try_clone().during(STAGE, || format!("{}: cannot stay open", plan.name()))?;
            }
            if plan.readonly_late {
                self.late.push((i, mounted));
            } else {
                let_go(mounted);
            }
        }
        Ok(())
    }

    /// Makes the device nodes.
    pub fn make_devices(&mut self) -> Result<(), Fault> {
        let plan = self.plan;
        if plan.arranged {
            devices::make(plan, self.root.as_fd())?;
        }
        Ok(())
    }

    /// Where the container's own files are, before they are `/`.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Shows the process's terminal as /dev/console, where /dev is ours to fill.
    pub fn bind_console(&self, terminal: BorrowedFd) -> Result<(), Fault> {
        if self.plan.fill_dev { devices::bind_console(self.root.as_fd(), terminal) } else { Ok(()) }
    }

    /// Closes what had to stay writable for the devices.
    pub fn close_late(&mut self) -> Result<(), Fault> {
        let plan = self.plan;
        for (i, tmpfs) in self.late.drain(..) {
            let read_only = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
            mount_setattr(&tmpfs, false, &read_only)
                .during(STAGE, || format!("{}: cannot be made read-only", plan.mounts[i].name()))?;
        }
        Ok(())
    }

    /// Makes the rootfs `/`, with its propagation, its covers and, where it is missing, the directory `cwd`.
    pub fn enter(self, enter: Enter, cwd: Option<&Path>) -> Result<(), Fault> {
        nix::unistd::fchdir(&self.root).during("pivot", || "cannot enter the rootfs".to_owned())?;
        match enter {
            Enter::Pivot => {
                pivot_root_here().map_err(pivot_fault)?;
                nix::mount::umount2(".", nix::mount::MntFlags::MNT_DETACH)
                    .during("pivot", || "cannot detach the host's root".to_owned())?;
            }
            Enter::Move => {
                super::underneath::clear(&self.plan.path)?;
                let none = None::<&str>;
                nix::mount::mount(Some("."), "/", none, nix::mount::MsFlags::MS_MOVE, none)
                    .during("pivot", || "cannot move the rootfs over /".to_owned())?;
                nix::unistd::chroot(".").during("pivot", || "cannot chroot into the rootfs".to_owned())?;
            }
            Enter::Chroot => nix::unistd::chroot(".").during("pivot", || "cannot chroot into the rootfs".to_owned())?,
        }
        nix::unistd::chdir("/").during("pivot", || "cannot enter the new root".to_owned())?;
        if let Some(cwd) = cwd {
            // What cannot be made is told by the chdir that follows.
            let _ = ensure(&self.root, cwd, Kind::Directory);
        }
        super::cover(self.root.as_fd(), self.plan)?;
        // After the covers: read-only paths are binds, which an unbindable tree would refuse.
        if let (Some((propagation, recursive)), true) = (self.plan.propagation, enter != Enter::Chroot) {
            let attr = MountAttr { propagation, ..MountAttr::default() };
            mount_setattr(&self.root, recursive, &attr)
                .during("pivot", || "cannot set linux.rootfsPropagation".to_owned())?;
        }
        if self.plan.readonly {
            let read_only = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
            mount_setattr(&self.root, false, &read_only)
                .during("pivot", || "cannot make the root filesystem read-only".to_owned())?;
        }
        Ok(())
    }
}

fn pivot_fault(errno: Errno) -> Fault {
    let fault = Fault::new("pivot", format!("pivot_root: {}", words(errno))).errno(errno);
    match errno {
        Errno::EINVAL => fault.hint("the host's / may be a ramdisk, which cannot be pivoted away; use --no-pivot"),
        _ => fault,
    }
}
