//! Control groups, version 2: where a container's cgroup is, what is written there, and its life.
//!
//! [`plan`] decides everything that can be decided without looking (pure); [`Cgroup`] carries it out and later finds
//! the cgroup again through its [`Record`]. rt removes and kills only what it made itself.
//!
//! Sources: runtime-spec config-linux.md "Control groups", kernel Documentation/admin-guide/cgroup-v2.rst.

mod cgroup;
mod controllers;
mod create;
mod current;
pub mod devices;
pub mod events;
pub mod files;
mod freezer;
mod hierarchy;
mod mark;
pub mod merge;
pub mod oom;
mod plan;
mod remove;
pub mod resctrl;
mod resources;
mod scope;
mod systemd;
mod tree;
mod update;

use serde::{Deserialize, Serialize};

pub use cgroup::{Cgroup, Record};
pub use hierarchy::Hierarchy;
pub use mark::{Mark, Marked, Removal};
pub use oom::Oom;
pub use plan::{CgroupPlan, Request, plan, without};
pub use remove::describe;
pub use systemd::{Unit, UnitPlan};
pub use update::{UpdatePlan, UpdateRequest, plan as plan_update};

/// Who makes the cgroup (`--cgroup-manager`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// rt, with mkdir and write.
    #[default]
    Cgroupfs,
    /// systemd, by D-Bus.
    Systemd,
    /// Nobody: the container stays in the caller's cgroup, without limits of its own.
    Disabled,
}

/// One write to one control file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub file: String,
    pub value: String,
    /// The JSON path that asked for it, for errors.
    pub field: String,
    pub missing: Missing,
    /// A write refused with EINVAL is tried once more after all others: the kernel holds some values (cpu.max.burst)
    /// against others that come later.
    pub retry: bool,
}

impl Write {
    fn new(file: impl Into<String>, value: impl Into<String>, field: impl Into<String>) -> Write {
        Write { file: file.into(), value: value.into(), field: field.into(), missing: Missing::Fail, retry: false }
    }
}

/// What it means that the file does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    Fail,
    /// Nothing, nor that nobody uses it now (EOPNOTSUPP).
    Ignore,
    /// Write this to another file of the same controller.
    Instead {
        file: &'static str,
        value: String,
    },
}
