//! Where the cgroup v2 hierarchy is, and where in it this process stands.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

const UNIFIED: &str = "/sys/fs/cgroup";
const HYBRID: &str = "/sys/fs/cgroup/unified";

/// The mounted cgroup v2 hierarchy.
#[derive(Debug)]
pub struct Hierarchy {
    /// `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside version 1 controllers.
    pub mount: PathBuf,
    /// Version 1 controllers are mounted beside it, so it lacks most controllers.
    pub hybrid: bool,
    /// The mount's root directory (O_PATH).
    pub(super) root: OwnedFd,
}

impl Hierarchy {
    /// Finds the hierarchy at its two customary places by the file system's magic number; no mount table is parsed,
    /// since that grows with the host. Errors when neither place is a cgroup2 mount.
    pub fn detect() -> Result<Hierarchy> {
        for (mount, hybrid) in [(UNIFIED, false), (HYBRID, true)] {
            if let Some(root) = open_cgroup2(Path::new(mount))? {
                return Ok(Hierarchy { mount: PathBuf::from(mount), hybrid, root });
            }
        }
        bail!(
            "no cgroup v2 hierarchy is mounted at {UNIFIED} or {HYBRID}: mount one \
             (mount -t cgroup2 none {UNIFIED}), boot with systemd.unified_cgroup_hierarchy=1, \
             or use --cgroup-manager disabled"
        )
    }

    /// The cgroup of this process, absolute within the hierarchy (`/user.slice/…`): the line `0::` of
    /// /proc/self/cgroup (cgroups(7)). A leading `/..` means that it lies outside of this cgroup namespace.
    pub fn own_path(&self) -> Result<PathBuf> {
        path_from(Path::new("/proc/self/cgroup"))
    }

    /// The cgroup of another process, as [`Hierarchy::own_path`] has it. The caller holds the process by a pidfd, or the
    /// number may belong to another by now.
    pub fn path_of(&self, pid: i32) -> Result<PathBuf> {
        path_from(Path::new(&format!("/proc/{pid}/cgroup")))
    }
}

fn path_from(file: &Path) -> Result<PathBuf> {
    let text = crate::sys::fs::open(file, OFlag::O_RDONLY)
        .and_then(crate::sys::fs::read_text)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let path =
        own_line(&text).with_context(|| format!("{} has no line for the cgroup v2 hierarchy (0::)", file.display()))?;
    Ok(PathBuf::from(path))
}

fn open_cgroup2(mount: &Path) -> Result<Option<OwnedFd>> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = match crate::sys::fs::open(mount, flags) {
        Ok(root) => root,
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        Err(errno) => {
            return Err(errno).with_context(|| format!("cannot open {}", mount.display()));
        }
    };
    let kind = fstatfs(&root).with_context(|| format!("cannot examine {}", mount.display()))?;
    Ok((kind.filesystem_type() == CGROUP2_SUPER_MAGIC).then_some(root))
}

/// The path may hold any character but a line feed, ":" among them. A removed cgroup carries " (deleted)".
fn own_line(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.strip_suffix(" (deleted)").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::own_line;

    #[test]
    fn own_cgroup_is_the_line_of_hierarchy_zero() {
        assert_eq!(own_line("2:cpu:/x\n0::/user.slice/a:b.scope\n"), Some("/user.slice/a:b.scope"));
        assert_eq!(own_line("0::/gone (deleted)\n"), Some("/gone"));
        assert_eq!(own_line("1:name=systemd:/\n"), None);
    }
}
