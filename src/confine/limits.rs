//! Resource limits (setrlimit(2)).

use anyhow::{Result, bail};
use oci_spec::runtime::{PosixRlimit, PosixRlimitType};

/// One limit; `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub resource: i32,
    pub name: &'static str,
    pub soft: u64,
    pub hard: u64,
}

const fn row(kind: PosixRlimitType, resource: libc::__rlimit_resource_t, name: &'static str) -> Row {
    Row { kind, resource: resource as i32, name }
}

struct Row {
    kind: PosixRlimitType,
    resource: i32,
    name: &'static str,
}

const TABLE: [Row; 16] = [
    row(PosixRlimitType::RlimitAs, libc::RLIMIT_AS, "RLIMIT_AS"),
    row(PosixRlimitType::RlimitCore, libc::RLIMIT_CORE, "RLIMIT_CORE"),
    row(PosixRlimitType::RlimitCpu, libc::RLIMIT_CPU, "RLIMIT_CPU"),
    row(PosixRlimitType::RlimitData, libc::RLIMIT_DATA, "RLIMIT_DATA"),
    row(PosixRlimitType::RlimitFsize, libc::RLIMIT_FSIZE, "RLIMIT_FSIZE"),
    row(PosixRlimitType::RlimitLocks, libc::RLIMIT_LOCKS, "RLIMIT_LOCKS"),
    row(PosixRlimitType::RlimitMemlock, libc::RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"),
    row(PosixRlimitType::RlimitMsgqueue, libc::RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"),
    row(PosixRlimitType::RlimitNice, libc::RLIMIT_NICE, "RLIMIT_NICE"),
    row(PosixRlimitType::RlimitNofile, libc::RLIMIT_NOFILE, "RLIMIT_NOFILE"),
    row(PosixRlimitType::RlimitNproc, libc::RLIMIT_NPROC, "RLIMIT_NPROC"),
    row(PosixRlimitType::RlimitRss, libc::RLIMIT_RSS, "RLIMIT_RSS"),
    row(PosixRlimitType::RlimitRtprio, libc::RLIMIT_RTPRIO, "RLIMIT_RTPRIO"),
    row(PosixRlimitType::RlimitRttime, libc::RLIMIT_RTTIME, "RLIMIT_RTTIME"),
    row(PosixRlimitType::RlimitSigpending, libc::RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING"),
    row(PosixRlimitType::RlimitStack, libc::RLIMIT_STACK, "RLIMIT_STACK"),
];

/// Plans `process.rlimits`: "If rlimits contains duplicated entries with same type, the runtime MUST generate an
/// error" (config.md).
pub fn plan(limits: &[PosixRlimit]) -> Result<Vec<Limit>> {
    let mut planned: Vec<Limit> = Vec::with_capacity(limits.len());
    for (i, limit) in limits.iter().enumerate() {
        let Some(row) = TABLE.iter().find(|row| row.kind == limit.typ()) else {
            bail!("process.rlimits[{i}].type: {} is unknown", limit.typ());
        };
        if planned.iter().any(|other| other.resource == row.resource) {
            bail!("process.rlimits[{i}].type: {} is listed twice", row.name);
        }
        if limit.soft() > limit.hard() {
            bail!("process.rlimits[{i}]: soft {} is above hard {} of {}", limit.soft(), limit.hard(), row.name);
        }
        planned.push(Limit { resource: row.resource, name: row.name, soft: limit.soft(), hard: limit.hard() });
    }
    Ok(planned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(json: &str) -> Result<Vec<Limit>> {
        plan(&serde_json::from_str::<Vec<PosixRlimit>>(json).unwrap())
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
