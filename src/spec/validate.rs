//! Checks of the whole configuration that belong to no single room. Each names its place and cites the rule.

use super::{Code, Finding, Findings, at};
use crate::plan::Facts;
use oci_spec::runtime::Spec;

/// Checks `spec` against the specification and against what this host can do.
pub fn check(spec: &Spec, facts: &Facts, findings: &mut Findings) {
    version(spec.version(), findings);
    annotations(spec, findings);
    labels(spec, facts, findings);
}

/// config.md, "Specification version": SemVer 2.0, of a major version we know.
fn version(version: &str, findings: &mut Findings) {
    let number = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = number.split('.').collect();
    let plain = |part: &&str| part.parse::<u64>().is_ok() && (*part == "0" || !part.starts_with(['0', '+']));
    let text = match parts[..] {
        ["1", _, _] if parts.iter().all(plain) => return,
        [major, _, _] if parts.iter().all(plain) => {
            format!("{version:?} has major version {major}; rt knows version 1")
        }
        _ => format!("{version:?} is not a version (SemVer 2.0, such as \"1.3.0\")"),
    };
    findings.add(Finding::error(Code::Version, at("ociVersion"), text));
}

/// config.md, "Annotations": "Keys MUST NOT be an empty string."
fn annotations(spec: &Spec, findings: &mut Findings) {
    if spec.annotations().iter().flatten().any(|(key, _)| key.is_empty()) {
        findings.add(Finding::error(Code::Invalid, at("annotations"), "a key is empty"));
    }
}

/// A label that would not be applied is an error: the container would run less confined than asked.
fn labels(spec: &Spec, facts: &Facts, findings: &mut Findings) {
    let mut missing = |field: &str, text: &str| findings.add(Finding::error(Code::Lsm, at(field), text));
    let asked = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
    let no_selinux = "selinux label is specified in config, but selinux is disabled or not supported";
    if spec.linux().as_ref().is_some_and(|linux| asked(linux.mount_label())) && !facts.selinux {
        missing("linux.mountLabel", no_selinux);
    }
    let Some(process) = spec.process() else { return };
    if asked(process.apparmor_profile()) && !facts.apparmor {
        missing("process.apparmorProfile", "apparmor profile is set, but AppArmor is not enabled on this host");
    }
    if asked(process.selinux_label()) && !facts.selinux {
        missing("process.selinuxLabel", no_selinux);
    }
}

#[cfg(test)]
mod tests {
    use super::Findings;
    use crate::plan::Facts;

    fn version(version: &str) -> anyhow::Result<()> {
        let mut findings = Findings::default();
        super::version(version, &mut findings);
        findings.verdict(())
    }

    #[test]
    fn a_label_needs_its_module() {
        let said = |json: serde_json::Value, selinux: bool| {
            let facts = Facts {
                own_cgroup: "/".into(),
                has_cgroups: true,
                apparmor: false,
                selinux,
                resctrl: None,
                privileged: true,
                in_user_namespace: false,
            };
            let mut findings = Findings::default();
            super::labels(&serde_json::from_value(json).unwrap(), &facts, &mut findings);
            findings.verdict(()).err().map(|error| error.to_string())
        };
        let config = |label: &str| serde_json::json!({"ociVersion": "1.3.0", "linux": {"mountLabel": label}});
        let text = said(config("a:b:c:s0"), false).unwrap();
        assert!(text.starts_with("linux.mountLabel: selinux label is specified in config, but"), "{text}");
        assert_eq!(said(config("a:b:c:s0"), true), None);
        assert_eq!(said(config(""), false), None);
    }

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
