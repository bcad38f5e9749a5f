//! Whether the rootfs has the program, as far as that shows before anything is mounted. The rootfs may be hostile: it
//! is walked by openat2(2) inside of it, and nothing in it is opened for reading.

use crate::confine::ProcessPlan;
use crate::plan::Plan;
use crate::rootfs::{MountPlan, find_inside};
use crate::spec::{Code, Finding, Findings, at};
use crate::sys::fs::open;
use crate::sys::mount::MOUNT_ATTR_NOEXEC;
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlink, readlinkat};
use nix::sys::stat::{SFlag, fstat};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Warns of a program that is not there, cannot be executed, or lies on a mount that is noexec.
pub fn look(plan: &Plan, findings: &mut Findings) {
    let Some(process) = &plan.process else { return };
    let Some(name) = process.args.first() else { return };
    let Ok(root) = open(&plan.root.path, OFlag::O_PATH | OFlag::O_DIRECTORY) else { return };
    let shown = name.to_string_lossy();
    let mut warn = |code, text: String| findings.add(Finding::warning(code, at("process.args[0]"), text));
    let mut best = Seen::Missing;
    for candidate in candidates(name.to_bytes(), process) {
        match see(&root, &plan.root.mounts, &candidate) {
            Seen::Missing => {}
            Seen::NoExec(mount) => {
                return warn(Code::NoExec, format!("{shown} lies below {}, which is mounted noexec", mount.display()));
            }
            Seen::Unusable => best = Seen::Unusable,
            Seen::Usable | Seen::Unknown => return,
        }
    }
    match best {
        Seen::Unusable => warn(Code::Program, format!("{shown} is not an executable file in the rootfs")),
        _ => warn(Code::Program, format!("{shown} is not in the rootfs, and no mount would bring it")),
    }
}

/// Where execvp(3) would look, as paths of the container.
fn candidates(name: &[u8], process: &ProcessPlan) -> Vec<PathBuf> {
    let path = |bytes: &[u8]| process.cwd.join(OsStr::from_bytes(bytes));
    if name.contains(&b'/') {
        return vec![path(name)];
    }
    let dirs = process.env.iter().rev().find_map(|var| var.to_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
    dirs.split(|byte| *byte == b':').map(|dir| path(dir).join(OsStr::from_bytes(name))).collect()
}

enum Seen {
    Usable,
    Unusable,
    Missing,
    /// A mount will lie over it.
    Unknown,
    /// A mount that is noexec will lie over it.
    NoExec(PathBuf),
}

fn see(root: &OwnedFd, mounts: &[MountPlan], path: &Path) -> Seen {
    let Some(real) = real(root, path, MOST_LINKS) else { return Seen::Unknown };
    let over =
        mounts.iter().rev().find(|mount| mount.destination != Path::new("/") && real.starts_with(&mount.destination));
    if let Some(mount) = over {
        let attr = &mount.options.attr;
        return match attr.set & MOUNT_ATTR_NOEXEC {
            0 => Seen::Unknown,
            _ => Seen::NoExec(mount.destination.clone()),
        };
    }
    match find_inside(root, path).and_then(fstat) {
        Ok(stat) if stat.st_mode & libc::S_IFMT == SFlag::S_IFREG.bits() && stat.st_mode & 0o111 != 0 => Seen::Usable,
        Ok(_) => Seen::Unusable,
        Err(Errno::ENOENT | Errno::ENOTDIR) => Seen::Missing,
        Err(_) => Seen::Unknown,
    }
}

/// As many dangling links as are followed; the kernel follows 40 links in one path.
const MOST_LINKS: usize = 40;

/// `path` with the links of the rootfs followed, as a path of the container; what does not exist stays as it is.
fn real(root: &OwnedFd, path: &Path, links: usize) -> Option<PathBuf> {
    let mut missing = Vec::new();
    let mut there = path;
    let found = loop {
        match find_inside(root, there) {
            Ok(found) => break found,
            Err(_) => {
                missing.push(there.file_name()?);
                there = there.parent()?;
            }
        }
    };
    let on_host = |fd: &OwnedFd| readlink(&PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))).ok();
    let inside = PathBuf::from(on_host(&found)?);
    let inside = Path::new("/").join(inside.strip_prefix(PathBuf::from(on_host(root)?)).ok()?);
    let rest = |start: PathBuf, names: &[&OsStr]| names.iter().rev().fold(start, |path, name| path.join(name));
    // A link whose target only a mount may bring.
    if let Some((name, below)) = missing.split_last()
        && let Ok(target) = readlinkat(&found, *name)
    {
        return real(root, &rest(inside.join(target), below), links.checked_sub(1)?);
    }
    Some(rest(inside, &missing))
}
