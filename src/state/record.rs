//! The record of a container. The files of every released version stay readable: fields are only ever added, with a
//! default.

use super::Identity;
use crate::cgroups;
use crate::fault::Fault;
use crate::seccomp::Notify;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// What `state.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
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
