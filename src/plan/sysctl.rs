//! Which sysctls a container may set: those of its own namespaces (config-linux.md, "sysctl").

use crate::namespaces::{self, NamespacePlan};
use crate::spec::{Code, Finding, Findings, at};
use anyhow::{Result, bail};
use std::collections::HashMap;

/// A sysctl by its path, or all below one that ends in a slash, and the namespace it belongs to.
const TABLE: [(&str, u64, &str); 12] = [
    ("kernel/msgmax", namespaces::IPC, "ipc"),
    ("kernel/msgmnb", namespaces::IPC, "ipc"),
    ("kernel/msgmni", namespaces::IPC, "ipc"),
    ("kernel/sem", namespaces::IPC, "ipc"),
    ("kernel/shmall", namespaces::IPC, "ipc"),
    ("kernel/shmmax", namespaces::IPC, "ipc"),
    ("kernel/shmmni", namespaces::IPC, "ipc"),
    ("kernel/shm_rmid_forced", namespaces::IPC, "ipc"),
    ("kernel/domainname", namespaces::UTS, "uts"),
    ("fs/mqueue/", namespaces::IPC, "ipc"),
    ("net/", namespaces::NET, "network"),
    ("user/", namespaces::USER, "user"),
];

/// A sysctl that is to be set.
#[derive(Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// As the configuration names it.
    pub name: String,
    /// Below /proc/sys.
    pub path: String,
    pub value: String,
    /// `CLONE_NEW*` of the namespace that it belongs to.
    pub namespace: u64,
}

/// The sysctls to set, sorted by name.
pub fn plan(
    sysctls: Option<&HashMap<String, String>>,
    namespaces: &NamespacePlan,
    findings: &mut Findings,
) -> Vec<Sysctl> {
    let planned = sysctls.into_iter().flatten().map(|(name, value)| plan_one(name, value, namespaces));
    let mut planned = findings.keep_all(Code::SysctlName, planned);
    planned.sort_by(|a, b| a.path.cmp(&b.path));
    planned
}

/// A sysctl that the container may set.
fn plan_one(name: &str, value: &str, namespaces: &NamespacePlan) -> Result<Sysctl> {
    let path = path(name);
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) || name.contains('\0') {
        bail!("linux.sysctl: {name:?} is not the name of a sysctl");
    }
    if path == "kernel/hostname" {
        bail!("linux.sysctl: sysctl \"kernel.hostname\" conflicts with the OCI \"hostname\" field; use that");
    }
    let matches = |own: &str| if own.ends_with('/') { path.starts_with(own) } else { path == own };
    let row = TABLE.iter().find(|(own, ..)| matches(own));
    if let Some((_, namespace, _)) = row
        && namespaces.has(*namespace)
    {
        return Ok(Sysctl { name: name.to_owned(), path, value: value.to_owned(), namespace: *namespace });
    }
    let text = format!("sysctl {name:?} is not in a separate kernel namespace");
    let finding = Finding::error(Code::Sysctl, at("linux.sysctl"), text);
    Err(match row {
        Some((_, _, kind)) => finding.remedy(format!("linux.namespaces lacks {kind:?}")).into(),
        None => finding.into(),
    })
}

/// sysctl(8)'s rule: whichever of `.` and `/` comes first separates, and the other stands for itself turned round.
fn path(name: &str) -> String {
    match name.find(['.', '/']).map(|at| &name[at..=at]) {
        Some(".") => name
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(name: &str, new: u64) -> Result<Vec<Sysctl>> {
        let namespaces = NamespacePlan { new, ..NamespacePlan::default() };
        let mut findings = Findings::default();
        let planned = plan(Some(&HashMap::from([(name.to_owned(), "1".to_owned())])), &namespaces, &mut findings);
        findings.verdict(planned)
    }

    #[test]
    fn separators() {
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }

    #[test]
    fn only_what_is_the_containers_own() {
        assert!(planned("kernel.sem", namespaces::IPC).is_ok());
        assert!(planned("net.ipv4.ip_forward", namespaces::NET).is_ok());
        for (name, new) in [
            ("kernel.sem", 0),
            ("kernel.semi", namespaces::IPC),
            ("net.ipv4.ip_forward", namespaces::IPC),
            ("vm.swappiness", u64::MAX),
            ("kernel.hostname", u64::MAX),
            ("net.ipv4/../../../kernel.sem", u64::MAX),
            ("net/../kernel/sem", u64::MAX),
            // A name of its own beside the directory, not in it.
            ("fs/mqueue.msg_max", u64::MAX),
            ("", u64::MAX),
        ] {
            assert!(planned(name, new).is_err(), "{name}");
        }
    }
}
