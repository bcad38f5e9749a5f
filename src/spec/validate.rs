//! Checks of the whole configuration that belong to no single room. Each names its place and cites the rule.

use crate::plan::Facts;
use anyhow::{Result, bail};
use oci_spec::runtime::Spec;

/// Checks `spec` against the specification and against what this host can do.
pub fn check(spec: &Spec, facts: &Facts) -> Result<()> {
    version(spec.version())?;
    annotations(spec)?;
    labels(spec, facts)?;
    unsupported(spec)
}

/// config.md, "Specification version": SemVer 2.0, of a major version we know.
fn version(version: &str) -> Result<()> {
    let number = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = number.split('.').collect();
    let plain = |part: &&str| part.parse::<u64>().is_ok() && (*part == "0" || !part.starts_with(['0', '+']));
    if parts.len() != 3 || !parts.iter().all(plain) {
        bail!("ociVersion: {version:?} is not a version (SemVer 2.0, such as \"1.3.0\")");
    }
    match parts[0] {
        "1" => Ok(()),
        major => bail!("ociVersion: {version:?} has major version {major}; rt knows version 1"),
    }
}

/// config.md, "Annotations": "Keys MUST NOT be an empty string."
fn annotations(spec: &Spec) -> Result<()> {
    match spec.annotations().iter().flatten().any(|(key, _)| key.is_empty()) {
        true => bail!("annotations: a key is empty"),
        false => Ok(()),
    }
}

/// A label that would not be applied is an error: the container would run less confined than asked.
fn labels(spec: &Spec, facts: &Facts) -> Result<()> {
    let Some(process) = spec.process() else { return Ok(()) };
    let asked = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
    if asked(process.apparmor_profile()) && !facts.apparmor {
        bail!("process.apparmorProfile: apparmor profile is set, but AppArmor is not enabled on this host");
    }
    if asked(process.selinux_label()) && !facts.selinux {
        bail!("process.selinuxLabel: selinux label is specified in config, but selinux is disabled or not supported");
    }
    Ok(())
}

/// What rt does not do yet is refused, never silently left out.
fn unsupported(spec: &Spec) -> Result<()> {
    let Some(linux) = spec.linux() else { return Ok(()) };
    let asked = [
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
        ("linux.mountLabel", linux.mount_label().as_ref().is_some_and(|label| !label.is_empty())),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((field, _)) => bail!("{field}: is not supported by this version of rt"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions() {
        for good in ["1.0.0", "1.3.0", "1.0.2-dev", "1.2.0+build.5", "1.99.0"] {
            assert!(version(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.a.0", "2.0.0", "0.9.0"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
