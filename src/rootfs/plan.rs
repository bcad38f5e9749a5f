//! From `root`, `mounts` and `linux.{devices,maskedPaths,readonlyPaths,rootfsPropagation}` to what will be done.

use super::devices::{self, DevicePlan};
use super::idmapped::{self, IdMapped};
use super::label::{self, Label};
use super::options::{self, Options};
use crate::namespaces::{self, NamespacePlan};
use crate::plan::Facts;
use crate::spec::{Code, Finding, Findings, at};
use crate::sys::mount::MOUNT_ATTR_RDONLY;
use anyhow::{Context, Result, bail};
use oci_spec::runtime::{Mount, Root, Spec};
use std::ffi::{CStr, CString};
use std::path::{Component, Path, PathBuf};

/// Everything about the container's filesystem.
#[derive(Debug)]
pub struct RootPlan {
    /// The rootfs on the host, absolute.
    pub path: PathBuf,
    pub readonly: bool,
    /// `MS_SHARED`, `MS_SLAVE`, … and whether recursively; applied after the pivot.
    pub propagation: Option<(u64, bool)>,
    /// Whether there is anything to arrange: in a mount namespace apart from ours, or `on_host`.
    pub arranged: bool,
    /// The container has no mount namespace of its own: its mounts lie in ours, over the rootfs' own path.
    pub on_host: bool,
    /// The sources of bind mounts are opened one by one, each in its turn: the kernel lists mounts by their age.
    pub in_turn: bool,
    pub mounts: Vec<MountPlan>,
    /// Device nodes and links below `/dev`, unless the config brings a `/dev` of its own by a bind mount.
    pub fill_dev: bool,
    pub devices: Vec<DevicePlan>,
    /// A new procfs is mounted at /proc, so what links of /dev lead to is there.
    pub own_proc: bool,
    pub masked: Vec<PathBuf>,
    /// The SELinux context of what masked directories are covered with.
    pub label: Option<CString>,
    pub readonly_paths: Vec<PathBuf>,
    /// The container's nodes are bound from the host's: a user namespace may not make any.
    pub bind_devices: bool,
}

/// One entry of `mounts`.
#[derive(Debug)]
pub struct MountPlan {
    pub index: usize,
    pub destination: PathBuf,
    pub source: Source,
    pub options: Options,
    /// Made read-only only after everything below it has been made.
    pub readonly_late: bool,
    pub id_map: Option<IdMapped>,
    /// Its SELinux context.
    pub label: Option<Label>,
}

/// Where the mounted tree comes from.
#[derive(Debug)]
pub enum Source {
    /// A tree of the host.
    Bind { path: PathBuf, recursive: bool },
    /// A new superblock of this type, shown with this name.
    Fresh { kind: CString, name: CString },
    /// The cgroup2 hierarchy; with `own_view` as a cgroup namespace other than the host's shows it.
    Cgroup { own_view: bool },
    /// New attributes for what is mounted there already.
    Remount,
}

impl Source {
    /// Whether it is a new filesystem of this type.
    pub fn is_fresh(&self, name: &CStr) -> bool {
        matches!(self, Source::Fresh { kind, .. } if kind.as_c_str() == name)
    }
}

impl MountPlan {
    /// How error messages name this mount.
    pub fn name(&self) -> String {
        format!("mounts[{}] {}", self.index, self.destination.display())
    }
}

/// Plans the root filesystem of `spec`: what is right of it.
pub fn plan(
    spec: &Spec,
    bundle: &Path,
    namespaces: &NamespacePlan,
    facts: &Facts,
    findings: &mut Findings,
) -> RootPlan {
    let private = namespaces.has(namespaces::MOUNT);
    let root = spec.root().as_ref();
    let path = findings.keep(Code::Root, root.context("root: is required on Linux").and_then(root_path));
    let linux = spec.linux().as_ref();
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let label = linux.and_then(|l| l.mount_label().as_deref()).filter(|label| !label.is_empty());
    let label = label.map(CString::new).transpose().context("linux.mountLabel: contains a NUL byte");
    let label = findings.keep(Code::Invalid, label).flatten();
    relative_destinations(mounts, findings);
    let around = Around { bundle, namespaces, privileged: facts.privileged, label: label.as_deref() };
    let planned = mounts.iter().enumerate().map(|(i, mount)| plan_mount(i, mount, &around));
    let mut mounts = findings.keep_all(Code::Mount, planned);
    mounts.iter_mut().for_each(|mount| drop_data_of_bind(mount, findings));
    let bind_devices = namespaces.has(namespaces::USER) || facts.in_user_namespace;
    let extra = linux.and_then(|l| l.devices().as_deref()).unwrap_or_default();
    let mut devices = devices::plan(extra, bind_devices, findings);
    let bound_dev =
        mounts.iter().find(|m| m.destination == Path::new("/dev") && matches!(m.source, Source::Bind { .. }));
    if let Some(mount) = bound_dev {
        devices::leave_to(mount.index, &mut devices, findings);
    }
    let named = linux.and_then(|l| l.rootfs_propagation().as_deref()).map(propagation).transpose();
    let readonly = root.and_then(|root| root.readonly()).unwrap_or(false);
    let on_host = !private && (readonly || !mounts.is_empty() || !extra.is_empty());
    let arranged = private || on_host;
    RootPlan {
        path: bundle.join(path.unwrap_or(Path::new(""))),
        readonly,
        propagation: findings.keep(Code::Invalid, named).flatten().flatten(),
        arranged,
        on_host,
        in_turn: opens_in_turn(namespaces, facts.privileged),
        fill_dev: arranged && bound_dev.is_none(),
        devices,
        own_proc: mounts.iter().any(|m| m.destination == Path::new("/proc") && m.source.is_fresh(c"proc")),
        mounts,
        masked: paths(linux.and_then(|l| l.masked_paths().as_ref()), "maskedPaths", private, findings),
        label,
        readonly_paths: paths(linux.and_then(|l| l.readonly_paths().as_ref()), "readonlyPaths", private, findings),
        bind_devices,
    }
}

/// Whether init sees the host's tree with the rights of whoever made it; where not, its parent opens all before.
fn opens_in_turn(namespaces: &NamespacePlan, privileged: bool) -> bool {
    !(namespaces.joins(namespaces::MOUNT) || privileged && namespaces.has(namespaces::USER))
}

/// "Relative destinations are deprecated" (config.md, "mounts").
fn relative_destinations(mounts: &[Mount], findings: &mut Findings) {
    for (i, mount) in mounts.iter().enumerate() {
        let at_all = !mount.destination().as_os_str().is_empty();
        if at_all && mount.destination().is_relative() {
            let text =
                format!("{} is relative, which is deprecated; it is taken from /", mount.destination().display());
            let place = at("mounts").item(i).field("destination");
            findings.add(Finding::warning(Code::Path, place, text).remedy("give an absolute path of the container"));
        }
    }
}

fn root_path(root: &Root) -> Result<&Path> {
    if root.path().as_os_str().is_empty() {
        bail!("root.path: is empty");
    }
    if root.path().as_os_str().as_encoded_bytes().contains(&0) {
        bail!("root.path: contains a NUL byte");
    }
    Ok(root.path())
}

/// `linux.maskedPaths` or `readonlyPaths`.
fn paths(list: Option<&Vec<String>>, name: &str, private: bool, findings: &mut Findings) -> Vec<PathBuf> {
    let list = list.map(Vec::as_slice).unwrap_or_default();
    if let (false, Some(first)) = (private, list.first()) {
        let phrase = "unable to restrict sys entries without a private MNT namespace";
        let finding = Finding::phrase(Code::NamespaceMissing, at("linux").field(name).item(0), phrase);
        findings.add(finding.remedy(format!("linux.{name}[0] {first}")));
    }
    findings.keep_all(Code::Path, list.iter().enumerate().map(|(i, path)| absolute(path, name, i)))
}

fn absolute(path: &str, name: &str, i: usize) -> Result<PathBuf> {
    if path.contains('\0') {
        bail!("linux.{name}[{i}]: {path:?} contains a NUL byte");
    }
    match path.starts_with('/') {
        true => Ok(PathBuf::from(path)),
        false => bail!("linux.{name}[{i}]: {path:?} is not an absolute path"),
    }
}

fn propagation(name: &str) -> Result<Option<(u64, bool)>> {
    match options::parse(&[name]).propagation.first() {
        Some(found) => Ok(Some(*found)),
        None if name.is_empty() => Ok(None),
        None => {
            bail!("linux.rootfsPropagation: {name:?} is not one of shared, slave, private, unbindable or their r forms")
        }
    }
}

/// What may be mounted inside /proc: files that lxcfs and similar virtualise, nothing that could fake a process.
const INSIDE_PROC: &[&str] = &[
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// What the plan of a mount depends on besides the mount.
struct Around<'a> {
    bundle: &'a Path,
    namespaces: &'a NamespacePlan,
    privileged: bool,
    label: Option<&'a CStr>,
}

impl Around<'_> {
    /// Whether the container's root is the host's.
    fn host_root(&self) -> bool {
        self.privileged && !self.namespaces.has(namespaces::USER)
    }
}

fn plan_mount(index: usize, mount: &Mount, around: &Around) -> Result<MountPlan> {
    let destination = destination(mount.destination());
    let name = || format!("mounts[{index}] {}", destination.display());
    let words = mount.options().as_deref().unwrap_or_default();
    let text = [mount.destination().to_str(), mount.source().as_ref().and_then(|s| s.to_str())];
    if words.iter().map(String::as_str).chain(text.into_iter().flatten()).any(|word| word.contains('\0')) {
        bail!("mounts[{index}]: contains a NUL byte");
    }
    if mount.destination().as_os_str().is_empty() {
        bail!("mounts[{index}].destination: is empty");
    }
    let mut options = options::parse(words);
    let kind = mount.typ().as_deref().unwrap_or_default();
    let id_map = idmapped::plan(index, mount, &options, around.namespaces, around.privileged)?;
    let source = match options.bind {
        Some(recursive) => bind_source(mount, around.bundle, recursive).with_context(name)?,
        None if options.remount => Source::Remount,
        None => fresh_source(mount, kind, around.namespaces.has(namespaces::CGROUP)).with_context(name)?,
    };
    inside_proc(&destination, &source).with_context(name)?;
    if matches!(&source, Source::Bind { path, recursive: true } if path == Path::new("/sys")) && !around.host_root() {
        options.spread_read_only();
    }
    if options.copy_up && kind != "tmpfs" {
        bail!("{}: tmpcopyup works on tmpfs only, not on {kind:?}", name());
    }
    if options.copy_symlink && (options.bind.is_none() || id_map.is_some()) {
        bail!("{}: copy-symlink is for bind mounts that are not idmapped", name());
    }
    // Devices and mount points still have to be made in a tmpfs that ends up read-only.
    let late = options.attr.set & MOUNT_ATTR_RDONLY != 0 && kind == "tmpfs" && matches!(source, Source::Fresh { .. });
    let label = label::plan(around.label, &source);
    Ok(MountPlan { index, destination, source, options, readonly_late: late, id_map, label })
}

/// Relative destinations are deprecated, and taken from the root (config.md, "mounts").
fn destination(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => clean.push(".."),
            _ => {}
        }
    }
    clean
}

/// A bind shows a filesystem that has its options already; the kernel, too, ignores others here (mount(2)).
fn drop_data_of_bind(mount: &mut MountPlan, findings: &mut Findings) {
    if !matches!(mount.source, Source::Bind { .. }) {
        return;
    }
    let data = std::mem::take(&mut mount.options.data).into_iter().map(|(key, _)| key);
    for word in std::mem::take(&mut mount.options.super_flags).into_iter().chain(data) {
        let text =
            format!("{}: {word:?} has no effect: it is an option of a filesystem, and this is a bind", mount.name());
        let place = at("mounts").item(mount.index).field("options");
        findings.add(Finding::lone_warning(Code::NoEffect, place, &text));
    }
}

fn bind_source(mount: &Mount, bundle: &Path, recursive: bool) -> Result<Source> {
    match mount.source() {
        Some(source) if !source.as_os_str().is_empty() => Ok(Source::Bind { path: bundle.join(source), recursive }),
        _ => bail!("a bind mount needs a source"),
    }
}

fn fresh_source(mount: &Mount, kind: &str, own_view: bool) -> Result<Source> {
    match kind {
        "" => bail!("type is missing (a bind mount needs \"bind\" or \"rbind\" among its options)"),
        "bind" => bail!("type is \"bind\", but neither \"bind\" nor \"rbind\" is among the options"),
        "cgroup" | "cgroup2" => Ok(Source::Cgroup { own_view }),
        _ => {
            let name = mount.source().as_ref().map_or(kind, |source| source.to_str().unwrap_or(kind));
            Ok(Source::Fresh { kind: CString::new(kind)?, name: CString::new(name)? })
        }
    }
}

fn inside_proc(destination: &Path, source: &Source) -> Result<()> {
    let Ok(below) = destination.strip_prefix("/proc") else { return Ok(()) };
    let at = destination.display();
    if below.as_os_str().is_empty() {
        return match source {
            Source::Fresh { kind, .. } if kind.as_bytes() == b"proc" => Ok(()),
            Source::Bind { .. } | Source::Remount => Ok(()),
            _ => bail!("{at:?} cannot be mounted because it is not of type proc"),
        };
    }
    match below.to_str().is_some_and(|below| INSIDE_PROC.contains(&below)) || matches!(source, Source::Remount) {
        true => Ok(()),
        false => bail!("{at:?} cannot be mounted because it is inside /proc"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(json: serde_json::Value) -> Result<MountPlan> {
        let namespaces = NamespacePlan::default();
        let around = Around { bundle: Path::new("/bundle"), namespaces: &namespaces, privileged: true, label: None };
        plan_mount(3, &serde_json::from_value(json).unwrap(), &around)
    }

    #[test]
    fn a_relative_source_is_the_bundles() {
        let plan = mount(serde_json::json!({"destination": "/data", "source": "vol", "options": ["rbind"]})).unwrap();
        assert!(matches!(plan.source, Source::Bind { path, recursive: true } if path == Path::new("/bundle/vol")));
    }

    #[test]
    fn errors_name_index_and_destination() {
        for (json, expected) in [
            (serde_json::json!({"destination": "/x"}), "mounts[3] /x: type is missing"),
            (
                serde_json::json!({"destination": "/x", "options": ["bind"]}),
                "mounts[3] /x: a bind mount needs a source",
            ),
            (
                serde_json::json!({"destination": "/proc/self", "type": "tmpfs", "source": "t"}),
                "\"/proc/self\" cannot be mounted because it is inside /proc",
            ),
            (serde_json::json!({"destination": ""}), "mounts[3].destination: is empty"),
        ] {
            let text = format!("{:#}", mount(json).unwrap_err());
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn only_a_tmpfs_is_made_read_only_late() {
        let late = |kind: &str| {
            let json = serde_json::json!({"destination": "/x", "type": kind, "source": "t", "options": ["ro"]});
            mount(json).unwrap().readonly_late
        };
        assert!(late("tmpfs"));
        assert!(!late("sysfs"));
    }
}
