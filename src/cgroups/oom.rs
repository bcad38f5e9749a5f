//! What the OOM killer did to a container, as far as the kernel tells.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use serde::{Deserialize, Serialize};

use super::files;

/// What the OOM killer did in a cgroup and below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oom {
    /// How many processes it killed.
    pub kills: u64,
    /// `memory.max`: bytes, or "max".
    #[serde(rename = "memoryMax")]
    pub max: String,
    /// Bytes; `memory.peak` came with kernel 5.19.
    #[serde(rename = "memoryPeak", default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<String>,
}

impl Oom {
    pub(super) fn find(read: impl Fn(&str) -> Option<String>) -> Option<Oom> {
        let kills = files::keyed(&read("memory.events")?, "oom_kill").filter(|kills| *kills > 0)?;
        let value = |file| read(file).map(|text| text.trim_end().to_owned());
        Some(Oom {
            kills,
            max: value("memory.max").unwrap_or_else(|| "unknown".to_owned()),
            peak: value("memory.peak"),
        })
    }
}

impl std::fmt::Display for Oom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "memory.max={}", self.max)?;
        self.peak.as_ref().map_or(Ok(()), |peak| write!(f, ", memory.peak={peak}"))
    }
}

/// Whether the kernel's log names this process as one that the OOM killer killed. A cgroup's counts do not say which it
/// was. False also where the log is not for us to read (dmesg_restrict), or has our processes under other numbers.
pub fn is_victim(pid: i32) -> bool {
    let log = std::fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
    let Ok(mut log) = log else { return false };
    // One record for each read (Documentation/ABI/testing/dev-kmsg), and none is longer.
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(length) if names(&String::from_utf8_lossy(&record[..length]), pid) => return true,
            Ok(0) => return false,
            Ok(_) => {}
            // Overwritten before it was read: the next one is there.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(_) => return false,
        }
    }
}

/// `6,339,5140900,-;Memory cgroup out of memory: Killed process 123 (name) total-vm:…` (mm/oom_kill.c).
fn names(record: &str, pid: i32) -> bool {
    record.split_once(';').is_some_and(|(_, text)| text.contains(&format!(": Killed process {pid} (")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_oom_killer_did() {
        let files = |kills: &'static str| {
            move |file: &str| match file {
                "memory.events" => Some(format!("low 0\noom 9\noom_kill {kills}\n")),
                "memory.max" => Some("4096\n".to_owned()),
                _ => None,
            }
        };
        assert_eq!(Oom::find(files("0")), None);
        let oom = Oom::find(files("2")).unwrap();
        assert_eq!((oom.kills, oom.to_string().as_str()), (2, "memory.max=4096"));
        assert_eq!(serde_json::to_string(&oom).unwrap(), r#"{"kills":2,"memoryMax":"4096"}"#);
    }

    #[test]
    fn who_was_killed() {
        let record = "6,339,5140900,-;Memory cgroup out of memory: Killed process 123 (probe) total-vm:67584kB\n";
        assert!(names(record, 123));
        assert!(!names(record, 12) && !names(record, 3) && !names("6,3,5,-;Killed process 9", 9));
    }
}
