//! What the plan needs of the host: the rootfs, bind sources, namespaces, hooks. Looked at, never opened for use.

use crate::fault::words;
use crate::hooks::HookPlan;
use crate::plan::Plan;
use crate::rootfs;
use crate::spec::{Code, Finding, Findings, Severity, at};
use nix::errno::Errno;
use nix::sys::stat::{SFlag, stat};
use nix::unistd::{AccessFlags, eaccess};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn look(plan: &Plan, findings: &mut Findings) {
    if let Err(fault) = rootfs::Rootfs::place(&plan.root) {
        findings.add(Finding::fault(Code::Rootfs, at("root.path"), fault));
    }
    for mount in &plan.root.mounts {
        let rootfs::Source::Bind { path, .. } = &mount.source else { continue };
        if let Err(errno @ (Errno::ENOENT | Errno::ENOTDIR)) = stat(path) {
            let place = at("mounts").item(mount.index).field("source");
            findings.add(Finding::fault(Code::MountSource, place, rootfs::source_fault(mount, path, errno)));
        }
    }
    if let Err(fault) = crate::namespaces::open_joins(&plan.namespaces.join) {
        let place = at(&fault.message);
        findings.add(Finding::fault(Code::NamespacePath, place, fault));
    }
    hooks(plan, findings);
}

/// Whether a failing hook of this kind is an error (runtime.md, "Lifecycle"), and whether its path is the host's.
fn hooks(plan: &Plan, findings: &mut Findings) {
    let hooks = &plan.hooks;
    // startContainer hooks are the container's files: what its mounts bring cannot be told from here.
    for (kind, list, severity) in [
        ("prestart", &hooks.prestart, Severity::Error),
        ("createRuntime", &hooks.create_runtime, Severity::Error),
        ("createContainer", &hooks.create_container, Severity::Error),
        ("poststart", &hooks.poststart, Severity::Error),
        ("poststop", &hooks.poststop, Severity::Warning),
    ] {
        for (i, hook) in list.iter().enumerate() {
            if let Err(errno) = executable(hook) {
                let place = at("hooks").field(kind).item(i).field("path");
                let text = format!("error running {kind} hook #{i}: {}", words(errno));
                let code = if errno == Errno::ENOENT { Code::HookMissing } else { Code::HookMode };
                let path = Path::new(OsStr::from_bytes(hook.path.to_bytes())).display().to_string();
                let finding = Finding::phrase(code, place, text).remedy(format!("{path} must be an executable file"));
                findings.add(Finding { severity, ..finding });
            }
        }
    }
}

fn executable(hook: &HookPlan) -> nix::Result<()> {
    let mode = stat(hook.path.as_c_str())?.st_mode;
    if mode & libc::S_IFMT != SFlag::S_IFREG.bits() {
        return Err(Errno::EACCES);
    }
    eaccess(hook.path.as_c_str(), AccessFlags::X_OK)
}
