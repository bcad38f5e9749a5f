//! Device nodes and the links of /dev (config-linux.md, "Devices" and "Default devices").

use super::plan::RootPlan;
use super::resolve::{Kind, ensure, find, find_link};
use crate::fault::{During, Fault, words};
use crate::spec::{Code, Finding, Findings, at};
use crate::sys::mount::{OPEN_TREE_CLONE, move_mount, open_tree};
use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, fstatat, makedev, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const STAGE: &str = "devices";

/// A node to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlan {
    pub path: PathBuf,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: u32,
    pub major: u64,
    pub minor: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The configuration names mode or owner: a node that exists already gets them, too.
    pub owned: bool,
}

/// The nodes every container has: name, major, minor.
const DEFAULTS: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// The links every container has, below /dev.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

const KCORE: (&str, &str) = ("core", "/proc/kcore");

/// The default devices, and `linux.devices`, which may replace them. With `bind` they are the host's own nodes.
pub fn plan(extra: &[LinuxDevice], bind: bool, findings: &mut Findings) -> Vec<DevicePlan> {
    let mut plans = Vec::with_capacity(DEFAULTS.len() + extra.len());
    for (i, device) in extra.iter().enumerate() {
        let plan = findings.keep(Code::Device, plan_one(i, device));
        if plan.as_ref().is_some_and(|plan| bind && plan.owned && plan.kind != libc::S_IFIFO) {
            let text = "in a user namespace the node is the host's own, and keeps its mode and owner";
            findings.add(Finding::warning(Code::NoEffect, at("linux.devices").item(i), text));
        }
        plans.extend(plan);
    }
    for (name, major, minor) in DEFAULTS {
        let path = Path::new("/dev").join(name);
        if !plans.iter().any(|plan| plan.path == path) {
            plans.push(DevicePlan {
                path,
                kind: libc::S_IFCHR,
                major,
                minor,
                mode: 0o666,
                uid: 0,
                gid: 0,
                owned: false,
            });
        }
    }
    plans
}

fn plan_one(index: usize, device: &LinuxDevice) -> Result<DevicePlan> {
    let path = device.path();
    let name = format!("linux.devices[{index}] {}", path.display());
    if !path.is_absolute() {
        bail!("{name}: path is not absolute");
    }
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
        LinuxDeviceType::B => libc::S_IFBLK,
        LinuxDeviceType::P => libc::S_IFIFO,
        LinuxDeviceType::A => bail!("{name}: type \"a\" is for resources.devices only; use c, b, u or p"),
    };
    let number = |value: i64, field: &str| match u32::try_from(value) {
        Ok(value) => Ok(u64::from(value)),
        Err(_) => bail!("{name}: {field} {value} is out of range"),
    };
    if kind != libc::S_IFIFO && (device.major(), device.minor()) == (0, 0) {
        bail!("{name}: major and minor are required, and 0:0 is no device");
    }
    Ok(DevicePlan {
        path: path.clone(),
        kind,
        major: number(device.major(), "major")?,
        minor: number(device.minor(), "minor")?,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
        owned: device.file_mode().is_some() || device.uid().is_some() || device.gid().is_some(),
    })
}

/// Leaves everything below /dev out: mounts[`index`] binds a directory there that is not ours to fill.
pub fn leave_to(index: usize, plans: &mut Vec<DevicePlan>, findings: &mut Findings) {
    let below = |plan: &DevicePlan| plan.path.starts_with("/dev");
    if let Some(left) = plans.iter().position(|plan| below(plan) && !is_default(plan)) {
        let path = plans[left].path.display();
        let text = format!("{path} is left to the directory that mounts[{index}] binds at /dev");
        findings.add(Finding::warning(Code::NoEffect, at("linux.devices").item(left), text));
    }
    plans.retain(|plan| !below(plan));
}

fn is_default(plan: &DevicePlan) -> bool {
    DEFAULTS.iter().any(|(name, ..)| plan.path == Path::new("/dev").join(name))
}

/// Host nodes for a container that may not make any: opened while the host's /dev is in sight.
pub fn open_host_nodes(plans: &[DevicePlan]) -> Vec<nix::Result<OwnedFd>> {
    plans.iter().map(open_host_node).collect()
}

fn open_host_node(plan: &DevicePlan) -> nix::Result<OwnedFd> {
    open_tree(nix::fcntl::AT_FDCWD, plan.path.as_path(), OPEN_TREE_CLONE)
}

/// Makes every node, and the links of /dev, below `root`.
pub fn make(plan: &RootPlan, root: BorrowedFd) -> Result<(), Fault> {
    let (plans, bind) = (&plan.devices, plan.bind_devices);
    let dev = ensure(root, Path::new("/dev"), Kind::Directory).during(STAGE, || "cannot make /dev".to_owned())?;
    let mut nodes = match bind {
        true => open_host_nodes(plans),
        false => Vec::new(),
    };
    nodes.resize_with(plans.len(), || Err(Errno::ENOENT));
    for (plan, node) in plans.iter().zip(nodes) {
        make_one(plan, root, dev.as_fd(), bind, node).map_err(|fault| fault.path(plan.path.display()))?;
    }
    if plan.fill_dev { make_links(dev.as_fd(), root, plan.own_proc) } else { Ok(()) }
}

fn make_one(
    plan: &DevicePlan,
    root: BorrowedFd,
    dev: BorrowedFd,
    bind: bool,
    node: nix::Result<OwnedFd>,
) -> Result<(), Fault> {
    let at = plan.path.display();
    let parent = plan.path.parent().unwrap_or(Path::new("/"));
    let Some(name) = plan.path.file_name() else {
        return Err(Fault::new(STAGE, format!("linux.devices: {at} names no file")));
    };
    let own;
    let parent = if parent == Path::new("/dev") {
        dev
    } else {
        own = ensure(root, parent, Kind::Directory).during(STAGE, || format!("cannot make the directory of {at}"))?;
        own.as_fd()
    };
    if bind && plan.kind != libc::S_IFIFO {
        return bind_node(plan, root, node);
    }
    let number = makedev(plan.major, plan.minor);
    match mknodat(parent, name, SFlag::from_bits_truncate(plan.kind), Mode::from_bits_truncate(plan.mode), number) {
        Ok(()) => {}
        Err(Errno::EEXIST) => {
            matches(plan, parent, name)?;
            return if plan.owned { set_owner(plan, parent, name) } else { Ok(()) };
        }
        Err(Errno::EPERM) => return bind_node(plan, root, open_host_node(plan)),
        Err(errno) => return Err(Fault::new(STAGE, format!("cannot make {at}: {}", words(errno))).errno(errno)),
    }
    if (plan.uid, plan.gid) != (0, 0) { set_owner(plan, parent, name) } else { Ok(()) }
}

fn set_owner(plan: &DevicePlan, parent: BorrowedFd, name: &OsStr) -> Result<(), Fault> {
    let at = plan.path.display();
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    fchownat(parent, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
        .during(STAGE, || format!("cannot give {at} its owner"))?;
    let mode = Mode::from_bits_truncate(plan.mode);
    // The directory may be shared with whoever swaps the node for a link.
    fchmodat(parent, name, mode, FchmodatFlags::NoFollowSymlink)
        .during(STAGE, || format!("cannot set the mode of {at}"))
}

/// "If a file already exists at path that does not match the requested device, the runtime MUST generate an error."
fn matches(plan: &DevicePlan, parent: BorrowedFd, name: &OsStr) -> Result<(), Fault> {
    let at = plan.path.display();
    let stat = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).during(STAGE, || format!("cannot look at {at}"))?;
    let same_number = plan.kind == libc::S_IFIFO || stat.st_rdev == makedev(plan.major, plan.minor);
    if stat.st_mode & libc::S_IFMT == plan.kind && same_number {
        return Ok(());
    }
    let what = format!("{at} exists in the rootfs and is not the device {}:{}", plan.major, plan.minor);
    Err(Fault::new(STAGE, what).errno(Errno::EEXIST).hint("remove it from the image, or mount a tmpfs at /dev"))
}

fn bind_node(plan: &DevicePlan, root: BorrowedFd, node: nix::Result<OwnedFd>) -> Result<(), Fault> {
    let at = plan.path.display();
    let node = node.map_err(|errno| {
        let what = match errno {
            Errno::ENOENT => format!("{at}: the host has no such node to bind, and a user namespace may not make one"),
            _ => format!("cannot open the host's {at}: {}", words(errno)),
        };
        Fault::new(STAGE, what).errno(errno)
    })?;
    let stat = fstat(&node).during(STAGE, || format!("cannot look at the host's {at}"))?;
    if stat.st_mode & libc::S_IFMT != plan.kind || stat.st_rdev != makedev(plan.major, plan.minor) {
        let what = format!("the host's {at} is not the device {}:{}", plan.major, plan.minor);
        return Err(Fault::new(STAGE, what));
    }
    let target = ensure(root, &plan.path, Kind::File).during(STAGE, || format!("cannot make {at}"))?;
    move_mount(&node, &target).during(STAGE, || format!("cannot bind {at}"))
}

/// "Runtimes MUST create the following symlinks if the source file exists after processing mounts" (config-linux.md). In
/// a procfs of the container's own all exist, but for kcore, which is there if the host has one.
fn make_links(dev: BorrowedFd, root: BorrowedFd, own_proc: bool) -> Result<(), Fault> {
    let exists = |target: &str| match own_proc {
        true => target != KCORE.1 || Path::new(target).exists(),
        false => !target.starts_with("/proc/") || find_link(root, Path::new(target)).is_ok(),
    };
    for (name, target) in LINKS.into_iter().chain([KCORE]).filter(|(_, target)| exists(target)) {
        match symlinkat(target, dev, name) {
            Ok(()) => {}
            Err(Errno::EEXIST) => replace_link(dev, name, target)?,
            Err(errno) => {
                return Err(Fault::new(STAGE, format!("cannot make /dev/{name}: {}", words(errno))).errno(errno));
            }
        }
    }
    Ok(())
}

/// An image may bring its own links; only a `ptmx` that is not ours is replaced, since it would open the host's.
fn replace_link(dev: BorrowedFd, name: &str, target: &str) -> Result<(), Fault> {
    if name != "ptmx" || readlinkat(dev, name).is_ok_and(|now| now == *target) {
        return Ok(());
    }
    let what = || format!("cannot replace /dev/{name}");
    nix::unistd::unlinkat(dev, name, nix::unistd::UnlinkatFlags::NoRemoveDir).during(STAGE, what)?;
    symlinkat(target, dev, name).during(STAGE, what)
}

/// Binds the terminal over /dev/console, which is made if it is missing. A link there would lead the mount elsewhere
/// (CVE-2025-52565), and is an error.
pub fn bind_console(root: BorrowedFd, terminal: BorrowedFd) -> Result<(), Fault> {
    let what = || "cannot make /dev/console".to_owned();
    let dev = find(root, Path::new("/dev")).during(STAGE, what)?;
    let make = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(&dev, "console", make, Mode::from_bits_truncate(0o600)) {
        Ok(_) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno).during(STAGE, what),
    }
    let look = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let target = openat(&dev, "console", look, Mode::empty()).during(STAGE, what)?;
    let kind = fstat(&target).during(STAGE, what)?.st_mode & libc::S_IFMT;
    if kind == libc::S_IFLNK || kind == libc::S_IFDIR {
        let is = if kind == libc::S_IFLNK { "a symbolic link" } else { "a directory" };
        let fault = Fault::new(STAGE, format!("/dev/console in the rootfs is {is}")).path("/dev/console");
        return Err(fault.hint("remove it from the image, or mount a tmpfs at /dev"));
    }
    let tree = open_tree(terminal, "", OPEN_TREE_CLONE).during(STAGE, what)?;
    move_mount(&tree, &target).during(STAGE, || "cannot bind the terminal over /dev/console".to_owned())
}

/// A verified /dev/null: what masked files are covered with (CVE-2025-31133).
pub fn verified_null(root: BorrowedFd) -> Result<OwnedFd, Fault> {
    let path = Path::new("/dev/null");
    let null = find(root, path).during(STAGE, || "cannot open /dev/null".to_owned())?;
    let stat = fstat(&null).during(STAGE, || "cannot look at /dev/null".to_owned())?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == makedev(1, 3) {
        return Ok(null);
    }
    let what = "/dev/null in the container is not the device 1:3, so nothing can be masked with it";
    Err(Fault::new(STAGE, what).path("/dev/null").hint("remove it from the image, or mount a tmpfs at /dev"))
}
