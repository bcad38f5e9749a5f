//! `features`: what this rt can do (features.md), from the tables that the code itself works by.

use crate::confine::memory_policy;
use crate::rootfs::options;
use crate::{namespaces, seccomp};
use serde::Serialize;
use serde_json::{Value, json};

/// The specification this rt is built to, and the oldest whose configurations it takes.
pub const NEWEST: &str = "1.3.0";
const OLDEST: &str = "1.0.0";

/// The runc whose configurations mean the same here (features.md, "annotations"): the first of specification 1.3.
const RUNC: &str = "1.4.0";

const HOOKS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// The features as JSON. Callers read standard output and standard error as one, so nothing else is ever printed.
pub fn text() -> String {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, indent);
    // Writing JSON into memory cannot fail.
    let _ = features().serialize(&mut serializer);
    text.push(b'\n');
    String::from_utf8(text).unwrap_or_default()
}

fn features() -> Value {
    json!({
        "ociVersionMin": OLDEST,
        "ociVersionMax": NEWEST,
        "hooks": HOOKS,
        "mountOptions": mount_options(),
        "linux": linux(),
        "annotations": {
            "org.opencontainers.runc.version": RUNC,
            "org.opencontainers.runc.checkpoint.enabled": "false",
        },
        "potentiallyUnsafeConfigAnnotations": ["run.oci.keep_original_groups"],
    })
}

/// Every word of the option table.
fn mount_options() -> Vec<&'static str> {
    options::TABLE.iter().map(|(name, _)| *name).collect()
}

/// Those of the specification: `SCMP_ARCH_NATIVE`, which is libseccomp's, is taken, but not announced.
fn archs() -> Vec<&'static str> {
    seccomp::ARCHS.iter().map(|(name, ..)| *name).filter(|name| *name != "SCMP_ARCH_NATIVE").collect()
}

fn linux() -> Value {
    let sorted = |mut names: Vec<&'static str>| {
        names.sort_unstable();
        names
    };
    let mut capabilities: Vec<_> = caps::all().into_iter().collect();
    capabilities.sort_by_key(|capability| capability.index());
    json!({
        "namespaces": sorted(namespaces::KINDS.iter().map(|kind| kind.name).collect()),
        "capabilities": capabilities.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "cgroup": {"v1": false, "v2": true, "systemd": true, "systemdUser": true, "rdma": true},
        "seccomp": {
            "enabled": true,
            "actions": seccomp::ACTIONS.iter().map(|action| action.name).collect::<Vec<_>>(),
            "operators": seccomp::OPERATORS.iter().map(|(name, ..)| *name).collect::<Vec<_>>(),
            "archs": archs(),
            "knownFlags": seccomp::KNOWN_FLAGS.iter().map(|(name, ..)| *name).collect::<Vec<_>>(),
            "supportedFlags": seccomp::supported_flags(),
        },
        "apparmor": {"enabled": true},
        "selinux": {"enabled": true},
        "intelRdt": {"enabled": true, "schemata": true, "monitoring": true},
        "memoryPolicy": {"modes": memory_policy::modes(), "flags": memory_policy::flags()},
        "mountExtensions": {"idmap": {"enabled": true}},
        "netDevices": {"enabled": true},
    })
}
