//! Which namespaces a container gets, which it joins, and how ids and clocks look inside.

mod holder;
mod idmap;
mod join;

pub use holder::with_maps;
pub use idmap::{IdMap, plan as plan_map, write_maps};
pub use join::{Joined, foreign, is_ours, join, open_joins};

use crate::spec::{Code, Finding, Findings, at};
use crate::sys::clone::CLONE_NEWTIME;
use anyhow::{Result, bail};
use oci_spec::runtime::{Linux, LinuxNamespaceType};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// One kind of namespace.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name in `linux.namespaces[].type`.
    pub name: &'static str,
    /// Its name in `/proc/PID/ns`.
    pub file: &'static str,
    /// Its `CLONE_NEW*` flag.
    pub flag: u64,
}

/// All eight kinds, in the order in which they are joined: user first, for the rights it gives over the others.
pub const KINDS: [Kind; 8] = [
    Kind { name: "user", file: "user", flag: libc::CLONE_NEWUSER as u64 },
    Kind { name: "ipc", file: "ipc", flag: libc::CLONE_NEWIPC as u64 },
    Kind { name: "uts", file: "uts", flag: libc::CLONE_NEWUTS as u64 },
    Kind { name: "network", file: "net", flag: libc::CLONE_NEWNET as u64 },
    Kind { name: "pid", file: "pid", flag: libc::CLONE_NEWPID as u64 },
    Kind { name: "cgroup", file: "cgroup", flag: libc::CLONE_NEWCGROUP as u64 },
    Kind { name: "time", file: "time", flag: CLONE_NEWTIME },
    Kind { name: "mount", file: "mnt", flag: libc::CLONE_NEWNS as u64 },
];

pub const USER: u64 = KINDS[0].flag;
pub const PID: u64 = KINDS[4].flag;
pub const NET: u64 = KINDS[3].flag;
pub const IPC: u64 = KINDS[1].flag;
pub const UTS: u64 = KINDS[2].flag;
pub const CGROUP: u64 = KINDS[5].flag;
pub const TIME: u64 = KINDS[6].flag;
pub const MOUNT: u64 = KINDS[7].flag;

/// A namespace that exists already.
#[derive(Debug)]
pub struct Join {
    pub kind: &'static Kind,
    pub path: PathBuf,
    /// Its place in the configuration, for errors.
    pub field: String,
}

/// What becomes of each kind.
#[derive(Debug, Default)]
pub struct NamespacePlan {
    /// `CLONE_NEW*` of the namespaces to make.
    pub new: u64,
    /// Those to join, in order.
    pub join: Vec<Join>,
    pub uid_map: Vec<IdMap>,
    pub gid_map: Vec<IdMap>,
    /// What `timens_offsets` is to be told, line by line; empty where the clocks are the host's.
    pub offsets: String,
}

impl NamespacePlan {
    /// Whether the container does not share the host's namespace of this kind.
    pub fn has(&self, flag: u64) -> bool {
        self.new & flag != 0 || self.join.iter().any(|join| join.kind.flag == flag)
    }

    /// Whether the namespace of this kind is made, not joined.
    pub fn makes(&self, flag: u64) -> bool {
        self.new & flag != 0
    }

    /// Whether a namespace of this kind is joined by path.
    pub fn joins(&self, flag: u64) -> bool {
        self.join.iter().any(|join| join.kind.flag == flag)
    }

    /// The host id that `id` inside has, if it is mapped; without a user namespace they are the same.
    pub fn host_id(&self, maps: &[IdMap], id: u32) -> Option<u32> {
        if !self.has(USER) || maps.is_empty() {
            return Some(id);
        }
        maps.iter().find_map(|map| map.to_host(id))
    }
}

fn kind_of(spec: LinuxNamespaceType) -> &'static Kind {
    let name = match spec {
        LinuxNamespaceType::Mount => "mount",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "network",
        LinuxNamespaceType::Time => "time",
    };
    KINDS.iter().find(|kind| kind.name == name).unwrap_or(&KINDS[0])
}

/// Plans `linux.namespaces`, `uidMappings`, `gidMappings` and `timeOffsets`: what is right of them.
pub fn plan(linux: Option<&Linux>, findings: &mut Findings) -> NamespacePlan {
    let mut plan = NamespacePlan::default();
    let Some(linux) = linux else { return plan };
    let listed = linux.namespaces().as_deref().unwrap_or_default();
    for (i, namespace) in listed.iter().enumerate() {
        let kind = kind_of(namespace.typ());
        if plan.has(kind.flag) {
            let text = format!("malformed spec file: duplicated ns {:?}", kind.name);
            findings.add(Finding::error(Code::Namespace, at("linux.namespaces").item(i), text));
            continue;
        }
        match namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
            None => plan.new |= kind.flag,
            Some(path) if !path.is_absolute() => {
                let text = format!("{} is not an absolute path", path.display());
                findings.add(Finding::error(Code::Namespace, at("linux.namespaces").item(i).field("path"), text));
                // Judged on as if it were made, or all that needs one would be found missing, too.
                plan.new |= kind.flag;
            }
            Some(path) => {
                let field = format!("linux.namespaces[{i}] {}", kind.name);
                plan.join.push(Join { kind, path: path.clone(), field });
            }
        }
    }
    let position = |kind: &Kind| KINDS.iter().position(|other| other.flag == kind.flag);
    plan.join.sort_by_key(|join| position(join.kind));
    plan_maps(linux, &mut plan, findings);
    plan.offsets = findings.keep(Code::Invalid, offsets(linux.time_offsets().as_ref(), &plan)).unwrap_or_default();
    plan
}

fn plan_maps(linux: &Linux, plan: &mut NamespacePlan, findings: &mut Findings) {
    let uid = linux.uid_mappings().as_deref().unwrap_or_default();
    let gid = linux.gid_mappings().as_deref().unwrap_or_default();
    for (field, maps) in [("linux.uidMappings", uid), ("linux.gidMappings", gid)] {
        if !maps.is_empty() && !plan.has(USER) {
            let finding = Finding::error(Code::NamespaceMissing, at(field), "needs a user namespace");
            findings.add(finding.remedy("linux.namespaces lacks \"user\""));
        }
        if maps.is_empty() && plan.makes(USER) {
            findings.add(Finding::error(Code::Mappings, at(field), "a new user namespace needs at least one mapping"));
        }
    }
    if plan.joins(USER) && !(uid.is_empty() && gid.is_empty()) {
        // containerd and CRI-O send both; the namespace that exists has its maps already.
        let text = "the user namespace is joined by path and keeps its own mappings";
        findings.add(Finding::warning(Code::NoEffect, at("linux.uidMappings"), text));
    }
    plan.uid_map = findings.keep(Code::Mappings, idmap::plan(uid, "linux.uidMappings")).unwrap_or_default();
    plan.gid_map = findings.keep(Code::Mappings, idmap::plan(gid, "linux.gidMappings")).unwrap_or_default();
}

type Offsets = HashMap<String, oci_spec::runtime::LinuxTimeOffset>;

fn offsets(offsets: Option<&Offsets>, plan: &NamespacePlan) -> Result<String> {
    let mut lines = String::new();
    let Some(offsets) = offsets.filter(|offsets| !offsets.is_empty()) else { return Ok(lines) };
    if plan.joins(TIME) {
        bail!("linux.timeOffsets: cannot be set on a time namespace that is joined by path");
    }
    if !plan.makes(TIME) {
        let finding = Finding::error(Code::NamespaceMissing, at("linux.timeOffsets"), "needs a time namespace");
        return Err(finding.remedy("linux.namespaces lacks \"time\"").into());
    }
    for (clock, offset) in offsets {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            bail!("linux.timeOffsets.{clock}: is not one of monotonic, boottime");
        }
        let nanos = offset.nanosecs().unwrap_or(0);
        if nanos >= 1_000_000_000 {
            bail!("linux.timeOffsets.{clock}.nanosecs: {nanos} is not below 1000000000");
        }
        lines.push_str(&format!("{clock} {} {nanos}\n", offset.secs().unwrap_or(0)));
    }
    Ok(lines)
}

/// What lets a program that is no root make user namespaces where AppArmor keeps them from all that it does not know.
pub const APPARMOR_REMEDY: &str = "kernel.apparmor_restrict_unprivileged_userns is 1 and no AppArmor profile names rt: \
                                   load the one that `make install` puts at /etc/apparmor.d/rt, or set it to 0";

/// Whether user namespaces give us no rights: the host's AppArmor restricts them, and we have no profile.
pub fn restricted_by_apparmor(proc: BorrowedFd) -> bool {
    let is = |path: &str, value: &str| crate::proc::read(proc, path).is_ok_and(|text| text.trim() == value);
    is("sys/kernel/apparmor_restrict_unprivileged_userns", "1") && is("self/attr/apparmor/current", "unconfined")
}

/// Why a host refuses a user namespace to an ordinary user, as far as it says so.
pub fn why_refused() -> &'static str {
    let Ok(proc) = crate::proc::open() else { return "the host forbids user namespaces" };
    let clone = crate::proc::read(proc.as_fd(), "sys/kernel/unprivileged_userns_clone");
    if restricted_by_apparmor(proc.as_fd()) {
        APPARMOR_REMEDY
    } else if clone.is_ok_and(|text| text.trim() == "0") {
        "kernel.unprivileged_userns_clone is 0: set it to 1"
    } else {
        "the host forbids user namespaces: a security module or a seccomp filter around rt, or our own root is not the \
         mount namespace's"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: serde_json::Value) -> Result<NamespacePlan> {
        let mut findings = Findings::default();
        let plan = plan(Some(&serde_json::from_value(json).unwrap()), &mut findings);
        findings.verdict(plan)
    }

    #[test]
    fn new_and_joined() {
        let plan = planned(serde_json::json!({"namespaces": [
            {"type": "mount"}, {"type": "network", "path": "/run/netns/a"}, {"type": "user", "path": "/proc/1/ns/user"}]}))
        .unwrap();
        assert_eq!(plan.new, MOUNT);
        assert_eq!(plan.join.iter().map(|join| join.kind.name).collect::<Vec<_>>(), ["user", "network"]);
        assert!(plan.has(NET) && plan.joins(NET) && !plan.makes(NET) && !plan.has(PID));
    }

    #[test]
    fn errors_name_the_field() {
        for (json, expected) in [
            (serde_json::json!({"namespaces": [{"type": "pid"}, {"type": "pid"}]}), "linux.namespaces[1]: malformed"),
            (serde_json::json!({"namespaces": [{"type": "pid", "path": "x"}]}), "linux.namespaces[0].path"),
            (
                serde_json::json!({"uidMappings": [{"hostID": 0, "containerID": 0, "size": 1}]}),
                "needs a user namespace",
            ),
            (serde_json::json!({"namespaces": [{"type": "user"}]}), "linux.uidMappings: a new user namespace needs"),
            (
                serde_json::json!({"timeOffsets": {"monotonic": {"secs": 1}}}),
                "linux.timeOffsets: needs a time namespace",
            ),
            (
                serde_json::json!({"namespaces": [{"type": "time"}], "timeOffsets": {"realtime": {"secs": 1}}}),
                "linux.timeOffsets.realtime",
            ),
        ] {
            let text = format!("{:#}", planned(json).unwrap_err());
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn host_ids() {
        let plan = planned(serde_json::json!({"namespaces": [{"type": "user"}],
            "uidMappings": [{"hostID": 1000, "containerID": 0, "size": 1}, {"hostID": 100_000, "containerID": 1, "size": 10}],
            "gidMappings": [{"hostID": 7, "containerID": 0, "size": 1}]}))
        .unwrap();
        let host = |id| plan.host_id(&plan.uid_map, id);
        assert_eq!([host(0), host(1), host(10), host(11)], [Some(1000), Some(100_000), Some(100_009), None]);
    }
}
