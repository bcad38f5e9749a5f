//! What is to be done, decided without looking: where the cgroup is and what is written there.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, ensure};
use oci_spec::runtime::LinuxResources;

use super::controllers::{Asked, Controllers};
use super::devices::Program;
use super::systemd::{UnitPlan, asked_by};
use super::{Manager, Write, resources};
use crate::spec::{Code, Finding, Findings, at};

/// What [`plan`] decides from. Facts come as arguments: nothing is read.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub manager: Manager,
    /// `linux.resources`.
    pub resources: Option<&'a LinuxResources>,
    /// `linux.cgroupsPath`.
    pub cgroups_path: Option<&'a Path>,
    /// The container's id, already checked.
    pub id: &'a str,
    /// The caller's own cgroup ([`super::Hierarchy::own_path`]); used only where [`Request::needs_own`] says so.
    pub own: &'a Path,
    /// The host uid to hand the cgroup to: that of process.user.uid, when the container has a cgroup namespace of its
    /// own and a writable cgroup mount at /sys/fs/cgroup (config-linux.md, "Cgroup Ownership").
    pub owner: Option<u32>,
    /// rt is privileged in the initial user namespace. From anybody else the kernel takes no device program, and the
    /// device rules are left out (engines always send deny-all).
    pub may_load_programs: bool,
    /// Some of them are properties of a systemd unit.
    pub annotations: Option<&'a HashMap<String, String>>,
}

impl Request<'_> {
    /// True when the place of the cgroup depends on the caller's own: three system calls that an absolute path saves.
    pub fn needs_own(manager: Manager, cgroups_path: Option<&Path>) -> bool {
        manager == Manager::Cgroupfs && !cgroups_path.is_some_and(Path::is_absolute)
    }
}

/// A cgroup to be made, with all that is decided beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPlan {
    pub manager: Manager,
    /// Relative to the hierarchy's mount (for systemd, to its manager's cgroup), without "." and ".."; empty when disabled.
    pub path: PathBuf,
    /// In the order they are written.
    pub writes: Vec<Write>,
    /// The controllers that limits ask for, each with the JSON field that asks.
    pub controllers: Asked,
    /// `None`: all devices are allowed, or the kernel would refuse the program.
    pub devices: Option<Program>,
    /// Hand the cgroup to this host uid.
    pub owner: Option<u32>,
    /// The unit that systemd makes it for.
    pub unit: Option<UnitPlan>,
    /// What is of interest to whoever debugs. One line each.
    pub notes: Vec<String>,
}

impl CgroupPlan {
    /// # Errors
    /// A limit whose controller the hierarchy lacks, in the words of the attempt to set it.
    pub fn could_be_limited(&self, hierarchy: &super::Hierarchy) -> Result<()> {
        super::controllers::had_at_all(hierarchy, &self.controllers)
    }
}

/// Decides about what is right of the request.
pub fn plan(request: &Request, findings: &mut Findings) -> CgroupPlan {
    let mut plan = CgroupPlan {
        manager: request.manager,
        path: PathBuf::new(),
        writes: Vec::new(),
        controllers: Vec::new(),
        devices: None,
        owner: request.owner,
        unit: None,
        notes: Vec::new(),
    };
    match request.manager {
        Manager::Cgroupfs => plan.path = findings.keep(Code::CgroupPath, place(request)).unwrap_or_default(),
        // Below, since its properties are made of the writes.
        Manager::Systemd => {}
        Manager::Disabled => return plan,
    }
    if let Some(resources) = request.resources {
        plan.writes = resources::writes(resources, findings);
    }
    plan.controllers = asked(&plan.writes);
    if request.manager == Manager::Systemd {
        // Who may not load programs is an ordinary user, whose units are his own manager's affair.
        let user = !request.may_load_programs;
        let unit = UnitPlan::new(request.cgroups_path, request.id, user, &plan.writes);
        plan.unit = findings.keep(Code::CgroupPath, unit);
        let asked = findings.keep(Code::Invalid, asked_by(request.annotations)).unwrap_or_default();
        if let Some(unit) = &mut plan.unit {
            unit.properties.extend(asked);
            plan.path = unit.name.path();
        }
    }
    if request.may_load_programs {
        let rules = request.resources.and_then(|resources| resources.devices().as_deref());
        plan.devices = findings.keep(Code::DeviceRule, Program::new(rules.unwrap_or_default())).flatten();
    } else {
        plan.notes.push(
            "device rules are left to the host: the kernel takes none without privilege or in a user namespace".into(),
        );
    }
    plan
}

/// Judges the limits of a container that gets no cgroup: whoever has disabled them is told, nobody else gets away.
pub fn without(manager: Manager, resources: Option<&LinuxResources>, findings: &mut Findings) {
    let Some(resources) = resources else { return };
    let Some(first) = resources::writes(resources, findings).into_iter().next() else { return };
    let place = at(&first.field);
    findings.add(match manager {
        Manager::Disabled => Finding::warning(Code::NoEffect, place, "has no effect: the cgroup manager is disabled"),
        _ => Finding::error(Code::Hierarchy, place, "cannot be enforced: no cgroup v2 hierarchy is mounted"),
    });
}

/// Each controller once, with the first field that needs it. A write that may be left out asks for nothing.
pub(super) fn asked(writes: &[Write]) -> Asked {
    let mut asked: Asked = Vec::new();
    for write in writes.iter().filter(|write| write.missing != super::Missing::Ignore) {
        let controller = Controllers::of_file(&write.file);
        if !controller.is_empty() && !asked.iter().any(|(known, _)| *known == controller) {
            asked.push((controller, write.field.clone()));
        }
    }
    asked
}

/// Absolute paths lie below the mount. Relative ones and the default lie beside the caller's own cgroup, not in it: a
/// cgroup with processes cannot hand down controllers (cgroup-v2.rst, "No Internal Process Constraint"). The choice is
/// runc's. A `slice:prefix:name` is for systemd; here it is a name like any other.
fn place(request: &Request) -> Result<PathBuf> {
    let given = request.cgroups_path.filter(|path| !path.as_os_str().is_empty());
    let inner = clean(given.unwrap_or(Path::new(request.id)));
    if given.is_some_and(Path::is_absolute) {
        ensure!(
            !inner.as_os_str().is_empty(),
            "linux.cgroupsPath: {:?} is the root cgroup, which holds other processes: name a cgroup below it",
            given.unwrap_or(Path::new("/"))
        );
        return Ok(inner);
    }
    ensure!(!inner.as_os_str().is_empty(), "linux.cgroupsPath: {given:?} names no cgroup");
    let outside = request.own.components().any(|part| part == Component::ParentDir);
    ensure!(
        !outside,
        "linux.cgroupsPath: the caller's own cgroup ({}) lies outside of its cgroup namespace: give an absolute path",
        request.own.display()
    );
    Ok(clean(request.own.parent().unwrap_or(Path::new("/"))).join(inner))
}

/// The path without root, "." and "..", where ".." stops at the root: it cannot lead out.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(path: Option<&'a str>, own: &'a str) -> Request<'a> {
        Request {
            manager: Manager::Cgroupfs,
            resources: None,
            cgroups_path: path.map(Path::new),
            id: "c1",
            own: Path::new(own),
            owner: None,
            may_load_programs: true,
            annotations: None,
        }
    }

    /// The plan, or its first error, and its warnings.
    fn plan(request: &Request) -> Result<(CgroupPlan, usize)> {
        let mut findings = Findings::default();
        let plan = super::plan(request, &mut findings);
        let warnings = findings.warnings().count();
        findings.verdict((plan, warnings))
    }

    fn placed(path: Option<&str>, own: &str) -> String {
        plan(&request(path, own)).unwrap().0.path.to_str().unwrap().to_string()
    }

    #[test]
    fn places() {
        assert_eq!(placed(None, "/"), "c1");
        assert_eq!(placed(None, "/user.slice/session.scope"), "user.slice/c1");
        assert_eq!(placed(Some("/kubepods/pod1//./x/"), "/a/b"), "kubepods/pod1/x");
        assert_eq!(placed(Some("/../../a/../etc"), "/"), "etc");
        assert_eq!(placed(Some("x/y"), "/a/b"), "a/x/y");
        assert_eq!(placed(Some("../../x"), "/a/b"), "a/x");
        assert_eq!(placed(Some("system.slice:docker:c1"), "/a"), "system.slice:docker:c1");
        assert_eq!(placed(Some(""), "/a/b"), "a/c1");
    }

    #[test]
    fn places_that_cannot_be() {
        assert!(plan(&request(Some("/"), "/")).is_err());
        assert!(plan(&request(Some("/a/.."), "/")).is_err());
        assert!(plan(&request(Some(".."), "/")).is_err());
        assert!(plan(&request(None, "/../x")).is_err());
        assert!(plan(&request(Some("/abs"), "/../x")).is_ok());
    }

    #[test]
    fn own_cgroup_is_needed_for_relative_places_only() {
        assert!(Request::needs_own(Manager::Cgroupfs, None));
        assert!(Request::needs_own(Manager::Cgroupfs, Some(Path::new("a"))));
        assert!(!Request::needs_own(Manager::Cgroupfs, Some(Path::new("/a"))));
        assert!(!Request::needs_own(Manager::Disabled, None));
    }

    #[test]
    fn limits_ask_for_their_controllers() {
        let json = r#"{"memory":{"limit":5,"swap":9},"pids":{"limit":3},"hugepageLimits":[{"pageSize":"2MB","limit":1}],
            "blockIO":{"weight":100},"unified":{"cgroup.max.depth":"3"}}"#;
        let resources = serde_json::from_str(json).unwrap();
        let (plan, _) = plan(&Request { resources: Some(&resources), ..request(None, "/") }).unwrap();
        let asked: Vec<_> = plan.controllers.iter().map(|(set, field)| format!("{set}: {field}")).collect();
        assert_eq!(
            asked,
            [
                "memory: linux.resources.memory.swap",
                "pids: linux.resources.pids.limit",
                "io: linux.resources.blockIO.weight",
                "hugetlb: linux.resources.hugepageLimits[0]"
            ]
        );
    }

    #[test]
    fn a_user_namespace_takes_no_device_program() {
        let (plan, _) = plan(&Request { may_load_programs: false, ..request(None, "/") }).unwrap();
        assert_eq!((plan.devices, plan.notes.len()), (None, 1));
    }

    #[test]
    fn managers() {
        let wrong = Request { manager: Manager::Systemd, ..request(Some("/a"), "/") };
        let text = plan(&wrong).unwrap_err().to_string();
        assert!(text.contains("slice:prefix:name"), "{text}");
        let (systemd, _) = plan(&Request { manager: Manager::Systemd, ..request(Some("a.slice:b:c"), "/") }).unwrap();
        assert_eq!(systemd.path, Path::new("a.slice/b-c.scope"));
    }

    #[test]
    fn limits_of_a_container_without_a_cgroup() {
        let resources: LinuxResources = serde_json::from_str(r#"{"pids":{"limit":3}}"#).unwrap();
        let mut findings = Findings::default();
        without(Manager::Disabled, Some(&resources), &mut findings);
        assert_eq!(findings.warnings().count(), 1);
        without(Manager::Cgroupfs, Some(&resources), &mut findings);
        let text = findings.verdict(()).unwrap_err().to_string();
        assert!(text.starts_with("linux.resources.pids.limit: cannot be enforced"), "{text}");
    }
}
