//! The record of a container. The files of every released version stay readable: fields are only ever added, with a
//! default.

use super::Identity;
use crate::cgroups;
use crate::fault::Fault;
use crate::seccomp::Notify;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// What `state.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`] of the version that wrote it.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub format: u32,
    pub id: String,
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// RFC 3339, with nanoseconds.
    pub created: String,
    /// The real user id of whoever made it.
    pub owner: u32,
    /// The process that makes the container; it is gone once the container is made.
    pub creator: Identity,
    /// The container's init. Absent while the container is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Identity>,
    /// Absent where the container has no cgroup of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<cgroups::Record>,
    /// The cgroup directories about to be made, outermost first, until `cgroup` says what came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cgroup_planned: Vec<PathBuf>,
    /// The unit of systemd about to be started, until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_planned: Option<cgroups::Unit>,
    /// Its groups of the resctrl filesystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<cgroups::resctrl::Record>,
    /// Which kinds of hooks later commands have to run, so that they need not parse the configuration.
    #[serde(default, skip_serializing_if = "is_false")]
    pub poststart: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub poststop: bool,
    /// Whether the configuration has a process to start.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_process: bool,
    /// Whether its seccomp filter forbids init to say why its program could not be run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub mute: bool,
    /// What `process.args[0]` is, for the error of a start that fails.
    #[serde(default)]
    pub program: String,
    /// Whether killing init kills all its processes, because it has a pid namespace of its own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub own_pids: bool,
    /// Whether init was moved into its root with chroot(2): joining its mount namespace is then not enough.
    #[serde(default, skip_serializing_if = "is_false")]
    pub chrooted: bool,
    /// Where the container's mounts lie in its maker's mount namespace: the mount below them (`rootfs::on_host`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs_base: Option<u64>,
    /// Whether the container has a session keyring of its own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keyring: bool,
    /// The agent that `start` brings the seccomp listener to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// What the OOM killer did to it, where that was seen; its cgroup knows as long as there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom: Option<cgroups::Oom>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What this version writes. It goes up when a version that does not know a field would do wrong without it.
pub const FORMAT: u32 = 1;

fn first() -> u32 {
    1
}

fn is_first(format: &u32) -> bool {
    *format == 1
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The container's status (runtime.md, "State"), with runc's `paused` added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// The state as hooks and callers are told it.
#[derive(Serialize)]
pub struct Told<'a> {
    #[serde(rename = "ociVersion")]
    pub oci_version: &'a str,
    pub id: &'a str,
    /// 0 when there is no process any more.
    pub pid: i32,
    pub status: String,
    pub bundle: &'a std::path::Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<&'a std::path::Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Ours alone, and only where there is something to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom: Option<cgroups::Oom>,
}

impl Record {
    /// # Errors
    /// Text that is no record, or that of a version whose records this one does not understand.
    pub fn parse(text: &str) -> Result<Record> {
        let record: Record = serde_json::from_str(text)?;
        if record.format > FORMAT {
            bail!("format {} is of a newer version of rt; this one knows {FORMAT}", record.format);
        }
        Ok(record)
    }

    /// What can be understood of a damaged record, for who removes the container; nothing of it is made up.
    pub fn salvaged(id: &str, text: &str) -> Record {
        // No process has pid 0.
        let nobody = json!({"pid": 0, "boot": ""});
        let mut whole = json!({
            "id": id, "ociVersion": "", "bundle": "", "rootfs": "", "created": "", "owner": 0, "creator": nobody,
        });
        let damaged: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        for (name, value) in damaged.into_iter().filter(|(name, _)| !["id", "format"].contains(&name.as_str())) {
            let before = whole.clone();
            whole[name] = value;
            if Record::deserialize(&whole).is_err() {
                whole = before;
            }
        }
        Record::deserialize(&whole).expect("the fields that every record has")
    }

    /// A handle of its init, if that lives.
    pub fn living_init(&self, proc: BorrowedFd) -> Result<Option<OwnedFd>, Fault> {
        self.init.as_ref().map_or(Ok(None), |init| init.alive(proc))
    }

    /// The state that hooks get on standard input.
    pub fn for_hooks(&self, status: Status, pid: i32) -> String {
        let told = Told {
            oci_version: &self.oci_version,
            id: &self.id,
            pid,
            status: status.to_string(),
            bundle: &self.bundle,
            rootfs: None,
            created: None,
            annotations: &self.annotations,
            owner: None,
            oom: None,
        };
        serde_json::to_string(&told).unwrap_or_default()
    }

    /// The state that `state` and `list` print.
    pub fn told(&self, status: Status, owner: String) -> Told<'_> {
        let pid = match status {
            Status::Stopped | Status::Creating => 0,
            _ => self.init.as_ref().map_or(0, |init| init.pid),
        };
        Told {
            oci_version: &self.oci_version,
            id: &self.id,
            pid,
            status: status.to_string(),
            bundle: &self.bundle,
            rootfs: Some(&self.rootfs),
            created: Some(&self.created),
            annotations: &self.annotations,
            owner: Some(owner),
            oom: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Every record in integration/data/states: its place, and its text.
    fn recorded() -> Vec<(PathBuf, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/data/states");
        let dirs = |dir: &Path| {
            let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.is_dir()).collect::<Vec<_>>()
        };
        let all = dirs(&root).into_iter().flat_map(|version| dirs(&version));
        all.map(|dir| (dir.clone(), fs::read_to_string(dir.join("state.json")).unwrap())).collect()
    }

    #[test]
    fn records_of_every_version_are_read() {
        let all = recorded();
        assert!(all.len() >= 10);
        for (dir, text) in all {
            let record = Record::parse(&text).unwrap_or_else(|error| panic!("{}: {error:#}", dir.display()));
            assert_eq!(dir.file_name(), Some(record.id.as_ref()));
            let (old, new): (Value, Value) =
                (serde_json::from_str(&text).unwrap(), serde_json::to_value(&record).unwrap());
            assert_eq!(new, old, "nothing is lost, and nothing added: {}", dir.display());
        }
    }

    #[test]
    fn records_of_a_later_version() {
        let (_, text) = recorded().remove(0);
        let mut value: Value = serde_json::from_str(&text).unwrap();
        value["what_is_to_come"] = json!({"a": [1]});
        assert!(Record::parse(&value.to_string()).is_ok());
        value["format"] = json!(FORMAT + 1);
        let error = Record::parse(&value.to_string()).unwrap_err().to_string();
        assert!(error.contains("is of a newer version of rt"), "{error}");
    }

    #[test]
    fn what_is_salvaged() {
        let (_, text) = recorded().remove(0);
        let whole = Record::parse(&text).unwrap();
        let mut value: Value = serde_json::from_str(&text).unwrap();
        (value["format"], value["owner"]) = (json!(9), json!("root"));
        value.as_object_mut().unwrap().remove("created");
        let salvaged = Record::salvaged("x", &value.to_string());
        assert_eq!((salvaged.init, salvaged.cgroup), (whole.init, whole.cgroup));
        assert_eq!((salvaged.id.as_str(), salvaged.own_pids), ("x", whole.own_pids));
        let nothing = Record::salvaged("x", &text[..text.len() / 2]);
        assert_eq!((nothing.init, nothing.cgroup, nothing.poststop), (None, None, false));
    }
}
