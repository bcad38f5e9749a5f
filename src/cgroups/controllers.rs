//! The controllers of the unified hierarchy, and handing them down to a cgroup.
//!
//! A controller's files exist in a cgroup when every ancestor names it in `cgroup.subtree_control`
//! (kernel, cgroup-v2.rst, "Enabling and Disabling").

use std::fmt;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use nix::errno::Errno;

use super::files;
use super::hierarchy::Hierarchy;

/// Names in the order of the bits of [`Controllers`].
const NAMES: [&str; 9] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma", "misc", "dmem"];

/// Controllers that a threaded cgroup can have too (cgroup-v2.rst, "Threads"); all others need a domain.
const THREADED: Controllers = Controllers(0b1_0011);

/// A set of controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controllers(u16);

impl Controllers {
    /// What every container gets where it can be had, so that statistics (`memory.current`, `pids.current`) exist for
    /// a container without limits too, as with runc. The others are enabled only for a limit that asks for them: each
    /// costs the kernel work per cgroup.
    pub const USUAL: Controllers = Controllers(0b1_1111);

    /// The controllers named in text as `cgroup.controllers` has it; names without a bit are passed over.
    pub fn parse(text: &str) -> Controllers {
        text.split_ascii_whitespace().fold(Controllers::default(), |set, name| set | Controllers::named(name))
    }

    /// The set of the one controller of that name, or the empty set.
    pub fn named(name: &str) -> Controllers {
        Controllers(NAMES.iter().position(|known| *known == name).map_or(0, |bit| 1 << bit))
    }

    /// The controller a control file belongs to, by its prefix; empty for core files such as `cgroup.freeze`.
    pub fn of_file(file: &str) -> Controllers {
        Controllers::named(file.split('.').next().unwrap_or_default())
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn without(self, other: Controllers) -> Controllers {
        Controllers(self.0 & !other.0)
    }

    pub fn and(self, other: Controllers) -> Controllers {
        Controllers(self.0 & other.0)
    }

    /// The names in the set, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| name)
    }
}

impl std::ops::BitOr for Controllers {
    type Output = Controllers;
    fn bitor(self, other: Controllers) -> Controllers {
        Controllers(self.0 | other.0)
    }
}

impl fmt::Display for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// Limits that were asked for: which controller, and the JSON field that asked (for the error).
pub type Asked = Vec<(Controllers, String)>;

/// Makes the controllers available in the cgroup at `path` (relative to the mount), top-down.
///
/// Those of [`Controllers::USUAL`] that cannot be had are passed over; one that is in `asked` is an error which names
/// the field, the controller, the cgroup that lacks it and the remedy. In the common case, where the parent hands down
/// everything already, this reads one file.
pub fn enable(hierarchy: &Hierarchy, path: &Path, cgroup: impl AsFd, asked: &Asked) -> Result<()> {
    let required = asked.iter().fold(Controllers::default(), |set, (controller, _)| set | *controller);
    let have = read(&cgroup, "cgroup.controllers");
    let mut missing = (Controllers::USUAL | required).without(have);
    if missing.is_empty() {
        return Ok(());
    }
    // What the root of the hierarchy lacks nobody below can have; on a hybrid host that ends the search here.
    let available = read(&hierarchy.root, "cgroup.controllers");
    missing = missing.and(available);
    if !missing.is_empty() {
        settle_type(path, &cgroup, asked)?;
        let refused = hand_down(hierarchy, path, missing, required);
        let have = read(&cgroup, "cgroup.controllers");
        return match lacking(asked, have) {
            Some((controller, field)) => Err(refusal(hierarchy, controller, field, available, refused)),
            None => Ok(()),
        };
    }
    match lacking(asked, have) {
        Some((controller, field)) => Err(refusal(hierarchy, controller, field, available, None)),
        None => Ok(()),
    }
}

/// Fails as [`enable`] would where the hierarchy itself lacks what is asked for; looks at one file and changes nothing.
pub fn had_at_all(hierarchy: &Hierarchy, asked: &Asked) -> Result<()> {
    if asked.is_empty() {
        return Ok(());
    }
    let available = read(&hierarchy.root, "cgroup.controllers");
    match lacking(asked, available) {
        Some((controller, field)) => Err(refusal(hierarchy, controller, field, available, None)),
        None => Ok(()),
    }
}

fn lacking(asked: &Asked, have: Controllers) -> Option<(Controllers, &str)> {
    let (controller, field) = asked.iter().find(|(controller, _)| !controller.without(have).is_empty())?;
    Some((*controller, field))
}

fn read(dir: impl AsFd, file: &str) -> Controllers {
    files::read_at(dir, Path::new(file)).map(|text| Controllers::parse(&text)).unwrap_or_default()
}

/// A level that would not hand a controller down.
struct Refused {
    level: PathBuf,
    errno: Option<Errno>,
}

/// Writes `cgroup.subtree_control` of each ancestor that lacks some of `missing`, from the top. Returns the first level
/// where one of `required` stopped.
fn hand_down(hierarchy: &Hierarchy, path: &Path, missing: Controllers, required: Controllers) -> Option<Refused> {
    let mut levels: Vec<&Path> = path.ancestors().skip(1).collect();
    levels.reverse();
    let mut first = None;
    for level in levels {
        let here = missing.and(read(&hierarchy.root, &in_level(level, "cgroup.controllers")));
        let on = read(&hierarchy.root, &in_level(level, "cgroup.subtree_control"));
        let lost = required.and(missing).without(here);
        let refused = if lost.is_empty() {
            let (set, errno) = switch_level(hierarchy, level, here.without(on));
            (!set.and(required).is_empty()).then_some(errno)
        } else {
            Some(None)
        };
        if let (Some(errno), None) = (refused, &first) {
            let level = level.to_path_buf();
            first = Some(Refused { level, errno });
        }
    }
    first
}

/// Switches controllers on at one level; returns those that were refused and one reason.
///
/// A cgroup with processes of its own cannot hand down domain controllers (EBUSY). The kernel would let it hand down
/// the threaded ones alone, but that turns it into a thread root: every cgroup below is invalid from then on until it
/// is made threaded, and none can have memory or io limits. Nobody asked for that, so such a level is left alone.
fn switch_level(hierarchy: &Hierarchy, level: &Path, wanted: Controllers) -> (Controllers, Option<Errno>) {
    let file = in_level(level, "cgroup.subtree_control");
    let write = |value: &str| files::write_at(&hierarchy.root, Path::new(&file), value);
    if wanted.is_empty() {
        return (wanted, None);
    }
    if wanted.without(THREADED).is_empty() && would_become_thread_root(hierarchy, level) {
        return (wanted, Some(Errno::EBUSY));
    }
    match write(&switch_on(wanted)) {
        Ok(()) => return (Controllers::default(), None),
        Err(Errno::EBUSY) => return (wanted, Some(Errno::EBUSY)),
        Err(_) => {}
    }
    // One controller that cannot be had (cpu beside realtime processes, say) must not take the others with it.
    let (mut refused, mut reason) = (Controllers::default(), None);
    for name in wanted.names() {
        if let Err(errno) = write(&format!("+{name}")) {
            refused = refused | Controllers::named(name);
            reason = reason.or(Some(errno));
        }
    }
    (refused, reason)
}

/// True for a plain domain that holds processes. The root of all has no type and is exempt; the root of a cgroup
/// namespace is not.
fn would_become_thread_root(hierarchy: &Hierarchy, level: &Path) -> bool {
    let text = |file| files::read_at(&hierarchy.root, Path::new(&in_level(level, file)));
    let domain = text("cgroup.type").is_ok_and(|kind| kind.trim_end() == "domain");
    domain && text("cgroup.procs").is_ok_and(|procs| !procs.is_empty())
}

fn in_level(level: &Path, file: &str) -> String {
    level.join(file).to_string_lossy().into_owned()
}

fn switch_on(set: Controllers) -> String {
    set.names().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ")
}

/// A cgroup made below a threaded one is born "domain invalid": it must become threaded too, which a limit of a
/// domain controller rules out (cgroup-v2.rst, "Threads").
fn settle_type(path: &Path, cgroup: impl AsFd, asked: &Asked) -> Result<()> {
    let kind = files::read_at(&cgroup, Path::new("cgroup.type")).unwrap_or_default();
    if kind.trim_end() != "domain invalid" {
        return Ok(());
    }
    if let Some((controller, field)) = asked.iter().find(|(controller, _)| !controller.without(THREADED).is_empty()) {
        bail!(
            "{field}: cgroup /{} lies in a threaded subtree, where the {controller} controller cannot be used: \
             set linux.cgroupsPath to a place outside it or remove the limit",
            path.display()
        );
    }
    if let Err(errno) = files::write_at(&cgroup, Path::new("cgroup.type"), "threaded") {
        bail!("cannot make cgroup /{} threaded as its parent is: {}", path.display(), errno.desc());
    }
    Ok(())
}

fn refusal(
    hierarchy: &Hierarchy,
    controller: Controllers,
    field: &str,
    available: Controllers,
    refused: Option<Refused>,
) -> anyhow::Error {
    let mount = hierarchy.mount.display();
    if controller.and(available).is_empty() {
        let remedy = if hierarchy.hybrid {
            "boot with systemd.unified_cgroup_hierarchy=1, remove the limit, or use --cgroup-manager disabled"
        } else {
            "enable it in the kernel or hand it down to this cgroup namespace, or remove the limit"
        };
        return anyhow::anyhow!(
            "{field}: the {controller} controller is not in the cgroup v2 hierarchy at {mount}: {remedy}"
        );
    }
    let (level, errno) = match refused {
        Some(refused) => (refused.level, refused.errno),
        None => (PathBuf::new(), None),
    };
    let place = hierarchy.mount.join(level);
    let place = place.display();
    match errno {
        None => anyhow::anyhow!(
            "{field}: cgroup {place} does not have the {controller} controller: have it delegated \
             (systemd-run --user --scope -p Delegate=yes, or Delegate= in user@.service.d/delegate.conf) or remove the limit"
        ),
        Some(Errno::EBUSY) => anyhow::anyhow!(
            "{field}: cgroup {place} cannot hand down the {controller} controller while it holds processes itself: \
             set linux.cgroupsPath to a cgroup whose parent holds none, or remove the limit"
        ),
        Some(errno) => anyhow::anyhow!(
            "{field}: cgroup {place} does not hand down the {controller} controller: {}: have it delegated \
             (systemd-run --user --scope -p Delegate=yes, or Delegate= in user@.service.d/delegate.conf) or remove the limit",
            errno.desc()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_agree() {
        for name in NAMES {
            assert_eq!(Controllers::named(name).to_string(), name);
        }
        assert_eq!(Controllers::USUAL.to_string(), "cpu cpuset io memory pids");
        assert_eq!(THREADED.without(Controllers::USUAL), Controllers::default());
        assert_eq!(THREADED.to_string(), "cpu cpuset pids");
    }

    #[test]
    fn unknown_names_are_passed_over() {
        assert_eq!(Controllers::parse("cpu perf_event hugetlb\n").to_string(), "cpu hugetlb");
        assert!(Controllers::of_file("cgroup.freeze").is_empty());
        assert_eq!(Controllers::of_file("hugetlb.2MB.max").to_string(), "hugetlb");
    }

    #[test]
    fn switching_on_is_one_write() {
        assert_eq!(switch_on(Controllers::parse("pids memory")), "+memory +pids");
    }
}
