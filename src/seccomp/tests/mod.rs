//! Proofs of the compiler: against libseccomp's programs, against the meaning of random profiles, by example.

use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxSeccomp;
use seccompiler::sock_filter;
use serde_json::{Value, json};

use super::meaning::*;
use super::syscalls::Abi;
use super::{Filter, compile_for};
use crate::fuzzing::{Chance, Random};

mod against_libseccomp;
mod against_meaning;
mod default_profile;
mod examples;

fn parse(profile: &Value) -> LinuxSeccomp {
    serde_json::from_value(profile.clone()).unwrap_or_else(|e| panic!("{e}: {profile}"))
}

/// Compiles for an x86_64 machine, whichever this one is.
fn compiled(profile: &Value) -> anyhow::Result<Filter> {
    let filter = compile_for(Abi::X86_64, &parse(profile), &mut Vec::new())?;
    assert_valid(&filter.program);
    Ok(filter)
}

fn checked_in(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/seccomp").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A template of an engine, if the folder of public data is beside the project.
fn template(engine: &str) -> Option<Value> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = path.join(format!("{engine}-default-seccomp.json"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).expect("the template is JSON")),
        Err(e) => {
            println!("{}: {e}", path.display());
            None
        }
    }
}

/// An engine's template for one architecture (Go's name) and a set of capabilities, as the engine's loader does it.
/// Every `minKernel` in use is older than the kernels rt runs on.
fn resolve(template: &Value, arch: &str, caps: &[&str]) -> Value {
    let list = |entry: &Value, key: &str, what: &str| -> Vec<String> {
        let list = entry[key][what].as_array().cloned().unwrap_or_default();
        list.iter().map(|v| v.as_str().expect("a name").to_string()).collect()
    };
    let has = |cap: &String| caps.contains(&cap.as_str());
    let wanted = |entry: &&Value| {
        let arches = list(entry, "includes", "arches");
        (arches.is_empty() || arches.iter().any(|a| a == arch))
            && !list(entry, "excludes", "arches").iter().any(|a| a == arch)
            && list(entry, "includes", "caps").iter().all(has)
            && !list(entry, "excludes", "caps").iter().any(has)
    };
    let syscalls: Vec<_> = template["syscalls"].as_array().expect("syscalls").iter().filter(wanted).cloned().collect();
    let architectures = match arch {
        "arm64" => ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"].as_slice(),
        _ => ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"].as_slice(),
    };
    let mut profile = json!({
        "defaultAction": template["defaultAction"], "architectures": architectures, "syscalls": syscalls,
    });
    if let Some(errno) = template.get("defaultErrnoRet") {
        profile["defaultErrnoRet"] = errno.clone();
    }
    profile
}

const DOCKER_CAPS: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

const PODMAN_CAPS: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The indices of the arguments that a profile compares.
fn compared(profile: &Value) -> Vec<usize> {
    let mut indices = vec![0];
    for entry in profile["syscalls"].as_array().into_iter().flatten() {
        let args = entry["args"].as_array().into_iter().flatten();
        indices.extend(args.map(|arg| arg["index"].as_u64().unwrap() as usize));
    }
    indices.sort_unstable();
    indices.dedup();
    indices
}
