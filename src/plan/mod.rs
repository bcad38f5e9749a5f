//! From a configuration to everything that will be done for it. Pure: nothing is opened, made or asked of the host
//! that is not in [`Facts`].

mod facts;
mod sysctl;

pub use facts::Facts;

use crate::cgroups::{self, CgroupPlan, resctrl};
use crate::confine::{self, Affinity, ProcessPlan};
use crate::hooks::{self, HookPlans};
use crate::namespaces::{self, NamespacePlan};
use crate::net;
use crate::rootfs::{self, Enter, RootPlan};
use crate::spec::{Code, Config, Finding, Findings, at};
use anyhow::{Result, bail};
use oci_spec::runtime::Spec;
use std::collections::BTreeMap;
use std::path::PathBuf;
pub use sysctl::Sysctl;
#[cfg(any(test, fuzzing))]
pub use sysctl::plan as plan_sysctls;

/// What the caller asked for beside the configuration.
#[derive(Debug)]
pub struct Options {
    pub id: String,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    pub manager: cgroups::Manager,
    pub preserve_fds: u32,
}

/// Everything about one container.
#[derive(Debug)]
pub struct Plan {
    pub id: String,
    pub oci_version: String,
    pub bundle: PathBuf,
    pub annotations: BTreeMap<String, String>,
    pub namespaces: NamespacePlan,
    pub root: RootPlan,
    pub enter: Enter,
    /// Absent where the configuration has no process: such a container can be created, but not started.
    pub process: Option<ProcessPlan>,
    pub cgroup: Option<CgroupPlan>,
    pub rdt: Option<resctrl::RdtPlan>,
    pub hooks: HookPlans,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub sysctls: Vec<Sysctl>,
    /// The host's network devices that are moved inside.
    pub devices: Vec<net::Device>,
    pub preserve_fds: u32,
}

/// Plans a container: what is right of its configuration. What is not, and what is legal but without effect, is added
/// to `findings`; with an error among them the plan is not to be carried out.
pub fn plan(config: &Config, options: Options, facts: &Facts, findings: &mut Findings) -> Plan {
    let spec = &config.spec;
    crate::spec::validate::check(spec, facts, findings);
    let linux = spec.linux().as_ref();
    let namespaces = namespaces::plan(linux, findings);
    rights(&namespaces, facts, findings);
    let root = rootfs::plan(spec, &config.bundle, &namespaces, facts, findings);
    propagation(&root, &namespaces, options.no_pivot, findings);
    let keyring = (!options.no_new_keyring).then_some(options.id.as_str());
    let process = spec.process().as_ref();
    let mut process = process.map(|process| confine::plan(process, linux, keyring, findings));
    let annotations: BTreeMap<_, _> = spec.annotations().clone().unwrap_or_default().into_iter().collect();
    if let Some(process) = &mut process {
        // config.md: "This setting is not applicable to the container's init process."
        process.affinity = Affinity::default();
        process.keep_groups = annotations.get("run.oci.keep_original_groups").is_some_and(|value| value == "1");
        mapped(&namespaces, process, findings);
    }
    let sysctls = sysctl::plan(linux.and_then(|linux| linux.sysctl().as_ref()), &namespaces, findings);
    let rdt = linux.and_then(|linux| linux.intel_rdt().as_ref());
    let rdt = rdt.and_then(|rdt| resctrl::plan(rdt, &options.id, facts.resctrl.as_deref(), findings));
    let hooks = hooks::plan(spec, findings);
    hooks_can_run(&hooks, process.as_ref(), findings);
    let named = |name: &Option<String>, field: &str| uts_name(name, field, &namespaces);
    Plan {
        enter: enter(&namespaces, options.no_pivot),
        cgroup: cgroup(spec, &options, facts, &namespaces, findings),
        devices: net::plan(linux, &namespaces, facts.privileged, findings),
        hooks,
        hostname: findings.keep(Code::Invalid, named(spec.hostname(), "hostname")).flatten(),
        domainname: findings.keep(Code::Invalid, named(spec.domainname(), "domainname")).flatten(),
        oci_version: spec.version().clone(),
        bundle: config.bundle.clone(),
        preserve_fds: options.preserve_fds,
        id: options.id,
        annotations,
        namespaces,
        root,
        process,
        rdt,
        sysctls,
    }
}

/// sched(7): a process under SCHED_DEADLINE may not fork, and startContainer hooks are its children.
fn hooks_can_run(hooks: &HookPlans, process: Option<&ProcessPlan>, findings: &mut Findings) {
    let scheduler = process.and_then(|process| process.scheduler.as_ref());
    if scheduler.is_some_and(|scheduler| !scheduler.may_fork()) && !hooks.start_container.is_empty() {
        let text = "a process under SCHED_DEADLINE cannot run hooks";
        let remedy = "process.scheduler.flags lacks SCHED_FLAG_RESET_ON_FORK";
        findings.add(Finding::error(Code::Scheduler, at("hooks.startContainer"), text).remedy(remedy));
    }
}

/// What needs privilege is refused before anything is tried.
fn rights(namespaces: &NamespacePlan, facts: &Facts, findings: &mut Findings) {
    if facts.privileged || namespaces.has(namespaces::USER) {
        return;
    }
    let phrase = "rootless containers require user namespaces";
    let remedy = "linux.namespaces lacks \"user\"; `rt spec --rootless` writes a configuration that has one";
    findings.add(Finding::phrase(Code::Rootless, at("linux.namespaces"), phrase).remedy(remedy));
}

/// What `linux.rootfsPropagation` cannot be.
fn propagation(root: &RootPlan, namespaces: &NamespacePlan, no_pivot: bool, findings: &mut Findings) {
    let Some((kind, _)) = root.propagation else { return };
    let place = || at("linux.rootfsPropagation");
    match enter(namespaces, no_pivot) {
        Enter::Pivot => {}
        Enter::Move if kind == libc::MS_PRIVATE => {
            let phrase = "rootfsPropagation of [r]private is not safe without pivot_root";
            findings.add(Finding::phrase(Code::Invalid, place(), phrase).remedy("leave out --no-pivot"));
        }
        Enter::Move => {}
        Enter::Chroot => {
            let text = "has no effect without a new mount namespace";
            findings.add(Finding::warning(Code::NoEffect, place(), text));
        }
    }
}

fn enter(namespaces: &NamespacePlan, no_pivot: bool) -> Enter {
    match (namespaces.makes(namespaces::MOUNT), no_pivot) {
        (false, _) => Enter::Chroot,
        (true, true) => Enter::Move,
        (true, false) => Enter::Pivot,
    }
}

/// The process's ids must exist inside.
fn mapped(namespaces: &NamespacePlan, process: &ProcessPlan, findings: &mut Findings) {
    if !namespaces.makes(namespaces::USER) {
        return;
    }
    let uid = [("process.user.uid", process.uid)];
    let gids = process.additional_gids.iter().map(|gid| ("process.user.additionalGids", *gid));
    let gids = [("process.user.gid", process.gid)].into_iter().chain(gids);
    let checks = uid.into_iter().map(|(field, id)| (field, id, &namespaces.uid_map, "linux.uidMappings"));
    for (field, id, maps, name) in
        checks.chain(gids.map(|(field, id)| (field, id, &namespaces.gid_map, "linux.gidMappings")))
    {
        if namespaces.host_id(maps, id).is_none() {
            findings.add(Finding::error(Code::Unmapped, at(field), format!("{id} is not mapped by {name}")));
        }
    }
}

fn uts_name(name: &Option<String>, field: &str, namespaces: &NamespacePlan) -> Result<Option<String>> {
    /// `__NEW_UTS_LEN`, sethostname(2).
    const LONGEST: usize = 64;
    let Some(name) = name.as_ref().filter(|name| !name.is_empty()) else { return Ok(None) };
    if !namespaces.has(namespaces::UTS) {
        let text = format!("unable to set {field} without a private UTS namespace");
        let finding = Finding::error(Code::NamespaceMissing, at(field), text);
        return Err(finding.remedy("linux.namespaces lacks \"uts\"").into());
    }
    if name.len() > LONGEST {
        bail!("{field}: {} bytes, at most {LONGEST} are allowed", name.len());
    }
    if name.contains('\0') {
        bail!("{field}: contains a NUL byte");
    }
    Ok(Some(name.clone()))
}

fn cgroup(
    spec: &Spec,
    options: &Options,
    facts: &Facts,
    namespaces: &NamespacePlan,
    findings: &mut Findings,
) -> Option<CgroupPlan> {
    let linux = spec.linux().as_ref();
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    if !facts.has_cgroups {
        cgroups::without(options.manager, resources, findings);
        return None;
    }
    let request = cgroups::Request {
        manager: options.manager,
        resources,
        cgroups_path: linux.and_then(|linux| linux.cgroups_path().as_deref()),
        id: &options.id,
        own: &facts.own_cgroup,
        owner: delegate_to(spec, namespaces),
        // Nor does the kernel take a device program from an ordinary user.
        may_load_programs: facts.privileged && !facts.in_user_namespace,
        annotations: spec.annotations().as_ref(),
    };
    Some(cgroups::plan(&request, findings))
}

/// The host's user to whom the cgroup is handed over: the container's, where it sees its cgroup writable and alone
/// (config-linux.md, "Cgroup ownership").
fn delegate_to(spec: &Spec, namespaces: &NamespacePlan) -> Option<u32> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let writable = mounts.iter().any(|mount| {
        let cgroup = matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2"));
        let read_only = mount.options().iter().flatten().any(|option| option == "ro");
        cgroup && !read_only && mount.destination() == std::path::Path::new("/sys/fs/cgroup")
    });
    let uid = spec.process().as_ref().map_or(0, |process| process.user().uid());
    if !writable || !namespaces.makes(namespaces::CGROUP) {
        return None;
    }
    match namespaces.has(namespaces::USER) {
        true => namespaces.host_id(&namespaces.uid_map, uid),
        // Root's it is already.
        false => (uid != 0).then_some(uid),
    }
}
