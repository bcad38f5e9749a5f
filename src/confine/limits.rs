//! Resource limits (setrlimit(2)).

// glibc has RLIMIT_* as u32, musl as i32.
#![allow(clippy::unnecessary_cast)]

use crate::spec::{Code, Finding, Findings, at};
use oci_spec::runtime::{PosixRlimit, PosixRlimitType};

/// One limit; `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub resource: i32,
    pub name: &'static str,
    pub soft: u64,
    pub hard: u64,
}

impl Limit {
    /// Whether we ourselves may not live under it: `start` and hooks come over descriptors, beside those that are passed.
    pub fn comes_last(&self) -> bool {
        self.resource == libc::RLIMIT_NOFILE as i32 && self.soft < 1024
    }
}

struct Row {
    kind: PosixRlimitType,
    resource: i32,
    name: &'static str,
}

const TABLE: [Row; 16] = [
    Row { kind: PosixRlimitType::RlimitAs, resource: libc::RLIMIT_AS as i32, name: "RLIMIT_AS" },
    Row { kind: PosixRlimitType::RlimitCore, resource: libc::RLIMIT_CORE as i32, name: "RLIMIT_CORE" },
    Row { kind: PosixRlimitType::RlimitCpu, resource: libc::RLIMIT_CPU as i32, name: "RLIMIT_CPU" },
    Row { kind: PosixRlimitType::RlimitData, resource: libc::RLIMIT_DATA as i32, name: "RLIMIT_DATA" },
    Row { kind: PosixRlimitType::RlimitFsize, resource: libc::RLIMIT_FSIZE as i32, name: "RLIMIT_FSIZE" },
    Row { kind: PosixRlimitType::RlimitLocks, resource: libc::RLIMIT_LOCKS as i32, name: "RLIMIT_LOCKS" },
    Row { kind: PosixRlimitType::RlimitMemlock, resource: libc::RLIMIT_MEMLOCK as i32, name: "RLIMIT_MEMLOCK" },
    Row { kind: PosixRlimitType::RlimitMsgqueue, resource: libc::RLIMIT_MSGQUEUE as i32, name: "RLIMIT_MSGQUEUE" },
    Row { kind: PosixRlimitType::RlimitNice, resource: libc::RLIMIT_NICE as i32, name: "RLIMIT_NICE" },
    Row { kind: PosixRlimitType::RlimitNofile, resource: libc::RLIMIT_NOFILE as i32, name: "RLIMIT_NOFILE" },
    Row { kind: PosixRlimitType::RlimitNproc, resource: libc::RLIMIT_NPROC as i32, name: "RLIMIT_NPROC" },
    Row { kind: PosixRlimitType::RlimitRss, resource: libc::RLIMIT_RSS as i32, name: "RLIMIT_RSS" },
    Row { kind: PosixRlimitType::RlimitRtprio, resource: libc::RLIMIT_RTPRIO as i32, name: "RLIMIT_RTPRIO" },
    Row { kind: PosixRlimitType::RlimitRttime, resource: libc::RLIMIT_RTTIME as i32, name: "RLIMIT_RTTIME" },
    Row {
        kind: PosixRlimitType::RlimitSigpending,
        resource: libc::RLIMIT_SIGPENDING as i32,
        name: "RLIMIT_SIGPENDING",
    },
    Row { kind: PosixRlimitType::RlimitStack, resource: libc::RLIMIT_STACK as i32, name: "RLIMIT_STACK" },
];

/// Plans `process.rlimits`: "If rlimits contains duplicated entries with same type, the runtime MUST generate an
/// error" (config.md).
pub fn plan(limits: &[PosixRlimit], findings: &mut Findings) -> Vec<Limit> {
    let mut planned: Vec<Limit> = Vec::with_capacity(limits.len());
    for (i, limit) in limits.iter().enumerate() {
        let place = || at("process.rlimits").item(i);
        let Some(row) = TABLE.iter().find(|row| row.kind == limit.typ()) else {
            let text = format!("{} is unknown", limit.typ());
            findings.add(Finding::error(Code::Rlimit, place().field("type"), text));
            continue;
        };
        if planned.iter().any(|other| other.resource == row.resource) {
            let text = format!("{} is listed twice", row.name);
            findings.add(Finding::error(Code::Rlimit, place().field("type"), text));
        }
        if limit.soft() > limit.hard() {
            let text = format!("soft {} is above hard {} of {}", limit.soft(), limit.hard(), row.name);
            findings.add(Finding::error(Code::Rlimit, place(), text));
        }
        planned.push(Limit { resource: row.resource, name: row.name, soft: limit.soft(), hard: limit.hard() });
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(json: &str) -> anyhow::Result<Vec<Limit>> {
        let mut findings = Findings::default();
        let limits = plan(&serde_json::from_str::<Vec<PosixRlimit>>(json).unwrap(), &mut findings);
        findings.verdict(limits)
    }

    #[test]
    fn every_type_has_its_number() {
        for row in &TABLE {
            let json = format!(r#"[{{"type": "{}", "soft": 1, "hard": 2}}]"#, row.name);
            assert_eq!(limits(&json).unwrap()[0].resource, row.resource, "{}", row.name);
        }
    }

    #[test]
    fn twice_and_reversed_are_errors() {
        let nofile = r#"{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}"#;
        let text = limits(&format!("[{nofile}, {nofile}]")).unwrap_err().to_string();
        assert_eq!(text, "process.rlimits[1].type: RLIMIT_NOFILE is listed twice");
        let text = limits(r#"[{"type": "RLIMIT_CPU", "soft": 3, "hard": 2}]"#).unwrap_err().to_string();
        assert_eq!(text, "process.rlimits[0]: soft 3 is above hard 2 of RLIMIT_CPU");
    }
}
