//! One mount: a complete, detached tree first, attached by one move_mount.

use super::label::Label;
use super::options::Options;
use super::plan::{MountPlan, Source};
use super::resolve::{Kind, find, find_below, make_missing};
use super::source::{clone_tree, open_source};
use super::symlink;
use crate::cgroups::Hierarchy;
use crate::fault::{During, Fault};
use crate::sys::fs::{PROC_SUPER_MAGIC, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, filesystem_magic, openat2, set_label};
use crate::sys::mount::*;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::unistd::{Gid, Uid, fchownat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub const STAGE: &str = "mounts";

/// Mounts `plan` at its place below `root`. Returns the mount, for what has to be done to it later.
pub fn mount(plan: &MountPlan, source: Option<OwnedFd>, root: BorrowedFd, cgroup: &Path) -> Result<OwnedFd, Fault> {
    if matches!(plan.source, Source::Remount) {
        return remount(plan, root);
    }
    let source = match source {
        None => open_source(plan)?,
        opened => opened,
    };
    let (tree, target) = match (&plan.source, source) {
        (Source::Bind { .. }, Some(link)) if plan.options.copy_symlink && symlink::is_link(&link) => {
            return symlink::copy(plan, &link, root).map(|()| link);
        }
        (Source::Bind { .. }, Some(tree)) => {
            let stat = fstat(&tree).during(STAGE, || format!("{}: cannot read its source", plan.name()))?;
            let kind = if is(&stat, SFlag::S_IFDIR) { Kind::Directory } else { Kind::File };
            (tree, target(plan, kind, find_below(root, &plan.destination), root)?)
        }
        (Source::Fresh { kind, name }, _) => {
            let found = match kind.to_bytes() {
                b"proc" | b"sysfs" => find_plain(plan, kind, root)?,
                _ => find_below(root, &plan.destination),
            };
            let existed = found.is_ok();
            let target = target(plan, Kind::Directory, found, root)?;
            let tree = fresh(plan, kind, name, existed.then_some(&target))?;
            if plan.options.copy_up {
                super::copyup::copy(target.as_fd(), tree.as_fd())
                    .and_then(|()| own_like(plan, &target, &tree))
                    .map_err(|error| Fault::new(STAGE, format!("{}: tmpcopyup: {error:#}", plan.name())))?;
            }
            (tree, target)
        }
        (Source::Cgroup { own_view }, _) => (
            cgroup_tree(plan, cgroup, *own_view)?,
            target(plan, Kind::Directory, find_below(root, &plan.destination), root)?,
        ),
        (Source::Bind { .. } | Source::Remount, _) => {
            return Err(Fault::new(STAGE, format!("{}: has no source", plan.name())));
        }
    };
    if matches!(plan.source, Source::Bind { .. }) {
        set_attributes(plan, &tree, &plan.options.attr)?;
    }
    set_recursive(plan, &tree)?;
    move_mount(&tree, &target).map_err(|errno| unattached(plan, &tree, &target, errno))?;
    let_go(target);
    Ok(tree)
}

/// move_mount(2) has EINVAL for a file over a directory and the reverse, among others, where mount(2) has ENOTDIR,
/// whose words callers explain to their users.
fn unattached(plan: &MountPlan, tree: &OwnedFd, target: &OwnedFd, errno: Errno) -> Fault {
    let directory = |fd| fstat(fd).is_ok_and(|stat| is(&stat, SFlag::S_IFDIR));
    let (why, errno) = match (errno, directory(tree), directory(target)) {
        (Errno::EINVAL, true, false) => (": a directory over what is none", Errno::ENOTDIR),
        (Errno::EINVAL, false, true) => (": a file over a directory", Errno::ENOTDIR),
        _ => ("", errno),
    };
    let what = format!("{}: cannot be mounted{why}: {}", plan.name(), crate::fault::words(errno));
    Fault::new(STAGE, what).errno(errno).path(plan.destination.display())
}

/// Leaves an fd to the close_range(2) that ends them all before the container's program runs: a system call less
/// each, as long as there are few.
pub fn let_go(fd: OwnedFd) {
    const FEW: i32 = 256;
    if fd.as_raw_fd() < FEW {
        std::mem::forget(fd);
    }
}

/// A tmpfs that starts with what it covers starts with its owner, too, unless it names one.
fn own_like(plan: &MountPlan, covered: &OwnedFd, tree: &OwnedFd) -> anyhow::Result<()> {
    let stat = fstat(covered)?;
    let named = |id: &str| plan.options.data.iter().any(|(key, _)| key == id);
    let uid = (!named("uid")).then(|| Uid::from_raw(stat.st_uid));
    let gid = (!named("gid")).then(|| Gid::from_raw(stat.st_gid));
    Ok(fchownat(tree, "", uid, gid, AtFlags::AT_EMPTY_PATH)?)
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

/// The mount point: what was found there, or made where nothing was.
fn target(plan: &MountPlan, kind: Kind, found: nix::Result<OwnedFd>, root: BorrowedFd) -> Result<OwnedFd, Fault> {
    let made = match found {
        Err(Errno::ENOENT) => make_missing(root, &plan.destination, kind),
        found => found,
    };
    let target = made.map_err(|errno| {
        let what = format!("{}: cannot make the mount point: {}", plan.name(), crate::fault::words(errno));
        let fault = Fault::new(STAGE, what).errno(errno).path(plan.destination.display());
        match errno {
            Errno::EBUSY => fault.hint("it leads to the container's root; \"/\" as the destination mounts over that"),
            Errno::EROFS => fault.hint("the rootfs is read-only on the host; make the directory in the image"),
            Errno::EACCES => fault.hint("the container's root may not write there; make the directory in the image"),
            Errno::EOVERFLOW => {
                fault.hint("who makes it has no id outside: map 0 in linux.uidMappings and linux.gidMappings")
            }
            _ => fault,
        }
    })?;
    match plan.destination.starts_with("/proc") || !lies_in_proc(&target, root) {
        // The plan has looked at those that say where they lie.
        true => Ok(target),
        false => {
            let what = format!("{}: cannot be mounted because it is inside /proc, by way of a link", plan.name());
            Err(Fault::new(STAGE, what).path(plan.destination.display()))
        }
    }
}

/// Whether `target` is a file of the container's own /proc, whatever its path said: a mount there could fake a
/// process's files (CVE-2019-16884, CVE-2023-28642).
fn lies_in_proc(target: &OwnedFd, root: BorrowedFd) -> bool {
    if filesystem_magic(target) != Ok(PROC_SUPER_MAGIC) {
        return false;
    }
    let device = |fd: &OwnedFd| fstat(fd).map(|stat| stat.st_dev).ok();
    find(root, Path::new("/proc")).is_ok_and(|proc| device(&proc) == device(target))
}

/// `/proc` and `/sys` must be real directories: a link or another mount there could be swapped for a fake
/// (CVE-2019-19921, CVE-2023-27561).
fn find_plain(plan: &MountPlan, kind: &CStr, root: BorrowedFd) -> Result<nix::Result<OwnedFd>, Fault> {
    let path = plan.destination.strip_prefix("/").unwrap_or(&plan.destination);
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match openat2(root, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS) {
        Err(errno @ (Errno::ELOOP | Errno::ENOTDIR)) => {
            let kind = kind.to_string_lossy();
            let what = format!("{}: filesystem {kind:?} must be mounted on ordinary directory", plan.name());
            Err(Fault::new(STAGE, what).errno(errno).path(plan.destination.display()))
        }
        found => Ok(found),
    }
}

/// A new filesystem, configured word by word.
fn fresh(plan: &MountPlan, kind: &CStr, name: &CStr, existed: Option<&OwnedFd>) -> Result<OwnedFd, Fault> {
    let name_of = || kind.to_string_lossy();
    let context = FsContext::open(kind).map_err(|errno| {
        let what = format!("{}: cannot open {}: {}", plan.name(), name_of(), crate::fault::words(errno));
        let fault = Fault::new(STAGE, what).errno(errno);
        match errno {
            Errno::ENODEV => fault.hint(format!("this kernel has no filesystem {:?}", name_of())),
            _ => hinted(fault, kind),
        }
    })?;
    configure(&context, plan, kind, name, existed).map_err(|refused| not_taken(plan, &context, kind, refused))?;
    let attr = if plan.readonly_late { plan.options.attr.set & !MOUNT_ATTR_RDONLY } else { plan.options.attr.set };
    let mounted = context.mount(attr).map_err(|errno| {
        let what = format!("{}: cannot mount {}: {}", plan.name(), name_of(), crate::fault::words(errno));
        hinted(Fault::new(STAGE, what).errno(errno).path(plan.destination.display()), kind)
    });
    let_go(context.into());
    if let (Ok(mounted), Some(Label::Root(label))) = (&mounted, &plan.label) {
        set_label(mounted, label).during(STAGE, || {
            format!("{}: linux.mountLabel: cannot label {} {}", plan.name(), name_of(), label.to_string_lossy())
        })?;
    }
    mounted
}

/// What a filesystem did not take, in its own words where it has some.
fn not_taken(plan: &MountPlan, context: &FsContext, kind: &CStr, (word, errno): Refused) -> Fault {
    let name = kind.to_string_lossy();
    let said = context.complaint().unwrap_or_else(|| crate::fault::words(errno));
    let what = match &word {
        Some(word) => format!("{}: {name} does not take {word:?}: {said}", plan.name()),
        None => format!("{}: cannot mount {name}: {said}", plan.name()),
    };
    let fault = Fault::new(STAGE, what).errno(errno).path(plan.destination.display());
    match word.as_deref().unwrap_or_default() {
        id if id.starts_with("uid=") || id.starts_with("gid=") => {
            fault.hint("in a user namespace the id must be mapped by linux.uidMappings or gidMappings")
        }
        _ => hinted(fault, kind),
    }
}

/// Why the kernel refuses some filesystems to a user namespace: sysfs when it is opened, proc when it is mounted.
fn hinted(fault: Fault, kind: &CStr) -> Fault {
    match (kind.to_bytes(), fault.is(Errno::EPERM)) {
        (b"sysfs", true) => fault.hint(
            "sysfs needs a network namespace that belongs to the container's user namespace; add {\"type\": \"network\"} \
             or bind /sys with rbind,ro instead",
        ),
        (b"proc", true) => fault.hint(
            "proc needs a pid namespace of the container's user namespace, and a host /proc without masked paths (not so \
             inside another container)",
        ),
        _ => fault,
    }
}

type Refused = (Option<String>, Errno);

fn configure(
    context: &FsContext,
    plan: &MountPlan,
    kind: &CStr,
    name: &CStr,
    existed: Option<&OwnedFd>,
) -> Result<(), Refused> {
    let options = &plan.options;
    let plain = |errno| (None, errno);
    context.string(c"source", name).map_err(plain)?;
    set_words(context, options)?;
    // A read-only disk image must not be opened for writing; a tmpfs must still be filled.
    if options.attr.set & MOUNT_ATTR_RDONLY != 0 && kind != c"tmpfs" {
        context.flag(c"ro").map_err(plain)?;
    }
    if let Some(Label::Context(label)) = &plan.label {
        let word = || Some(format!("context={} (linux.mountLabel)", label.to_string_lossy()));
        context.string(c"context", label).map_err(|errno| (word(), errno))?;
    }
    inherit_mode(context, kind, options, existed).map_err(plain)?;
    context.create().map_err(plain)
}

/// The flags of the superblock and the filesystem's own options.
fn set_words(context: &FsContext, options: &Options) -> Result<(), Refused> {
    for flag in &options.super_flags {
        let word = CString::new(flag.as_str()).map_err(|_| (None, Errno::EINVAL))?;
        context.flag(&word).map_err(|errno| (Some(flag.clone()), errno))?;
    }
    for (key, value) in &options.data {
        let word = || Some(value.as_ref().map_or(key.clone(), |value| format!("{key}={value}")));
        let key = CString::new(key.as_str()).map_err(|_| (word(), Errno::EINVAL))?;
        let result = match value {
            Some(value) => {
                let value = CString::new(value.as_str()).map_err(|_| (word(), Errno::EINVAL))?;
                context.string(&key, &value)
            }
            None => context.flag(&key),
        };
        result.map_err(|errno| (word(), errno))?;
    }
    Ok(())
}

/// A tmpfs over a directory of the image keeps that directory's mode, unless it names one.
fn inherit_mode(context: &FsContext, kind: &CStr, options: &Options, existed: Option<&OwnedFd>) -> nix::Result<()> {
    let Some(target) = existed else { return Ok(()) };
    if kind != c"tmpfs" || options.data.iter().any(|(key, _)| key == "mode") {
        return Ok(());
    }
    let mode = format!("{:o}", fstat(target)?.st_mode & 0o7777);
    context.string(c"mode", &CString::new(mode).map_err(|_| Errno::EINVAL)?)
}

/// The hierarchy as the container's cgroup namespace shows it; where the kernel refuses that to us, the container's
/// own cgroup bound from the host.
fn cgroup_tree(plan: &MountPlan, cgroup: &Path, own_view: bool) -> Result<OwnedFd, Fault> {
    let plain = !plan.options.has_words();
    if !own_view && plain {
        // A mount that is made in the host's cgroup namespace sets the options of them all: `nsdelegate` would be lost.
        let mount = Hierarchy::detect().map(|hierarchy| hierarchy.mount);
        return bind_cgroup(plan, mount.as_deref().unwrap_or(cgroup));
    }
    let fresh = || -> Result<OwnedFd, Refused> {
        let whole = |errno| (None, errno);
        let context = FsContext::open(c"cgroup2").map_err(whole)?;
        context.string(c"source", c"cgroup").map_err(whole)?;
        set_words(&context, &plan.options)?;
        context.create().map_err(whole)?;
        let mounted = context.mount(plan.options.attr.set).map_err(whole);
        let_go(context.into());
        mounted
    };
    match fresh() {
        // A bind could not take options of the filesystem.
        Err((None, Errno::EPERM | Errno::EBUSY)) if plain => bind_cgroup(plan, cgroup),
        other => other.map_err(|(word, errno)| {
            let word = word.map_or(String::new(), |word| format!(" with {word:?}"));
            let what = format!("{}: cannot mount cgroup2{word}: {}", plan.name(), crate::fault::words(errno));
            Fault::new(STAGE, what).errno(errno).path(plan.destination.display())
        }),
    }
}

fn bind_cgroup(plan: &MountPlan, cgroup: &Path) -> Result<OwnedFd, Fault> {
    let tree = clone_tree(cgroup, true, false)
        .during(STAGE, || format!("{}: cannot bind the cgroup {}", plan.name(), cgroup.display()))?;
    set_attributes(plan, &tree, &plan.options.attr)?;
    Ok(tree)
}

fn set_attributes(plan: &MountPlan, tree: &OwnedFd, attr: &MountAttr) -> Result<(), Fault> {
    if attr.set | attr.clear == 0 {
        return Ok(());
    }
    mount_setattr(tree, false, attr).map_err(|errno| refused(plan, errno))
}

fn refused(plan: &MountPlan, errno: Errno) -> Fault {
    let what = format!("{}: cannot set its mount options: {}", plan.name(), crate::fault::words(errno));
    let fault = Fault::new(STAGE, what).errno(errno).path(plan.destination.display());
    match errno {
        Errno::EPERM => fault.hint(
            "cannot clear locked flags: the source is mounted with nosuid, nodev, noexec, ro or noatime, and a user \
             namespace must keep them",
        ),
        _ => fault,
    }
}

/// What reaches below this mount: the r* options and propagation.
fn set_recursive(plan: &MountPlan, tree: &OwnedFd) -> Result<(), Fault> {
    let options = &plan.options;
    if options.recursive_attr.set | options.recursive_attr.clear != 0 {
        mount_setattr(tree, true, &options.recursive_attr).map_err(|errno| refused(plan, errno))?;
    }
    for (flag, recursive) in &options.propagation {
        let attr = MountAttr { propagation: *flag, ..MountAttr::default() };
        mount_setattr(tree, *recursive, &attr).map_err(|errno| refused(plan, errno))?;
    }
    Ok(())
}

fn remount(plan: &MountPlan, root: BorrowedFd) -> Result<OwnedFd, Fault> {
    let what = || format!("{}: cannot be remounted", plan.name());
    let at = find(root, &plan.destination).during(STAGE, what)?;
    if plan.options.has_words() {
        let context = FsContext::pick(&at).during(STAGE, what)?;
        let configured = set_words(&context, &plan.options)
            .and_then(|()| context.reconfigure().map_err(|errno| (Some(plan.options.words()), errno)));
        configured.map_err(|refused| not_taken(plan, &context, c"the filesystem", refused))?;
    }
    set_attributes(plan, &at, &plan.options.attr)?;
    set_recursive(plan, &at)?;
    Ok(at)
}
