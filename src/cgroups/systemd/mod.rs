//! Containers as units of systemd: a scope each, with its limits as properties, so that systemd knows of it and keeps the
//! limits when it reloads.
//!
//! systemd starts no scope without a process. A [`Keeper`] goes in first; then all is written as with cgroupfs, and the
//! container's init is born inside like there; then the keeper goes. The other way, to start the scope around an init
//! that waits, saves the keeper's fork and exit but would let init begin outside of its limits.

mod annotations;
mod bus;
mod keeper;
mod properties;
mod unit;
mod wire;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use self::bus::{Bus, Environment, Refusal};
use self::wire::Value;
use super::Write;

pub use self::annotations::properties as asked_by;
pub use self::keeper::Keeper;
pub use self::properties::Property;

/// A unit to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitPlan {
    pub name: unit::Name,
    /// Of the manager of an ordinary user.
    pub user: bool,
    pub description: String,
    /// The limits, then what annotations ask for.
    pub properties: Vec<Property>,
}

/// What a start came to.
pub struct Started {
    /// `None`: a slice of that name exists, and is used as it is.
    pub unit: Option<Unit>,
    /// For a slice, which has no process to ask: the cgroup of its manager.
    pub slice: Option<PathBuf>,
}

/// A unit that rt started. Kept in the container's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    pub name: String,
    /// Of the manager of an ordinary user.
    #[serde(default)]
    pub user: bool,
}

impl UnitPlan {
    /// # Errors
    /// A `linux.cgroupsPath` that names no unit.
    pub fn new(cgroups_path: Option<&Path>, id: &str, user: bool, writes: &[Write]) -> Result<UnitPlan> {
        let name = unit::Name::new(cgroups_path, id, user)?;
        Ok(UnitPlan { name, user, description: description(id), properties: properties::of(writes) })
    }

    /// # Errors
    /// No manager answers, in the words of the attempt to start the unit.
    pub fn could_be_started(&self) -> Result<()> {
        self.unit().connect().map(drop)
    }

    pub fn unit(&self) -> Unit {
        Unit { name: self.name.unit.clone(), user: self.user }
    }

    /// What systemd is told, with the process that a scope begins with.
    fn told(&self, process: Option<i32>) -> Vec<Value> {
        let mut told: Vec<(String, Value)> = vec![("Description".into(), Value::text(&*self.description))];
        // A slice's own name says where it is.
        if !self.name.is_slice() {
            told.push(("Slice".into(), Value::text(&*self.name.slice)));
            // What is below, and which controllers it gets, is ours.
            told.push(("Delegate".into(), Value::Bool(true)));
            // One that failed (of the OOM killer, say) would keep its name for itself.
            told.push(("CollectMode".into(), Value::text("inactive-or-failed")));
        }
        for accounting in ["CPUAccounting", "IOAccounting", "MemoryAccounting", "TasksAccounting"] {
            told.push((accounting.into(), Value::Bool(true)));
        }
        // Nothing of the host's start or end concerns it: else it could not be made while the host is starting.
        told.push(("DefaultDependencies".into(), Value::Bool(false)));
        for (name, value) in &self.properties {
            told.retain(|(known, _)| known != name);
            told.push((name.clone(), value.clone()));
        }
        if let Some(process) = process {
            told.push(("PIDs".into(), Value::Array("u", vec![Value::Uint32(process as u32)])));
        }
        told.iter().map(|(name, value)| Value::property(name, value.clone())).collect()
    }

    /// Starts the unit, and returns when its cgroup is there with the keeper in it.
    pub fn start(&self, keeper: Option<&Keeper>) -> Result<Started> {
        let unit = self.unit();
        let mut bus = unit.connect()?;
        let told = self.told(keeper.map(Keeper::pid));
        let body = [
            Value::text(&*unit.name),
            Value::text("fail"),
            Value::Array("(sv)", told),
            Value::Array("(sa(sv))", Vec::new()),
        ];
        let failed = |bus: &Bus| format!("cannot start systemd unit {} (by {})", unit.name, bus.address);
        let slice = match self.name.is_slice() {
            true => Some(PathBuf::from(bus.manager_property("ControlGroup").with_context(|| failed(&bus))?)),
            false => None,
        };
        let answer = match bus.manager("StartTransientUnit", &body) {
            Err(error) if is(&error, "UnitExists") && self.name.is_slice() => return Ok(Started { unit: None, slice }),
            // A failed unit that nobody has asked about since is in the way, and can be made to go.
            Err(error) if is(&error, "UnitExists") => {
                let _ = bus.manager("ResetFailedUnit", &body[..1]);
                bus.manager("StartTransientUnit", &body)
            }
            answer => answer,
        };
        let job = answer.with_context(|| failed(&bus))?.words().into_iter().next().unwrap_or_default();
        match bus.job(&job).with_context(|| failed(&bus)) {
            Ok(result) if result == "done" => Ok(Started { unit: Some(unit), slice }),
            Ok(result) => {
                unit.forget(&mut bus);
                bail!("{}: its job ended as {result:?} (see: journalctl --unit {})", failed(&bus), unit.name)
            }
            Err(error) => {
                unit.forget(&mut bus);
                Err(error)
            }
        }
    }
}

impl Unit {
    fn connect(&self) -> Result<Bus> {
        let variable = |name| std::env::var(name).ok();
        let (runtime_dir, session_bus) = (variable("XDG_RUNTIME_DIR"), variable("DBUS_SESSION_BUS_ADDRESS"));
        let system_bus = variable("DBUS_SYSTEM_BUS_ADDRESS");
        let environment = Environment {
            runtime_dir: runtime_dir.as_deref(),
            session_bus: session_bus.as_deref(),
            system_bus: system_bus.as_deref(),
            uid: nix::unistd::geteuid().as_raw(),
        };
        Bus::connect(&bus::addresses(self.user, environment)).with_context(|| format!("systemd unit {}", self.name))
    }

    /// Moves a caller from elsewhere (his login session) below his manager, into a scope that ends with him, as `systemd-run
    /// --user --scope` does: clone3(2) into the unit's cgroup takes write access to the one above both. The manager has PID
    /// 1 do it (AttachProcessesToUnit). `own` is the caller's cgroup.
    pub fn approach(&self, own: &Path) -> Result<()> {
        if !self.user {
            return Ok(());
        }
        let mut bus = self.connect()?;
        if own.starts_with(bus.manager_property("ControlGroup")?) {
            return Ok(());
        }
        let pid = std::process::id();
        let name = format!("rt-caller-{pid}.scope");
        let properties = [
            ("Description", Value::text(format!("caller of {}", self.name))),
            ("CollectMode", Value::text("inactive-or-failed")),
            ("PIDs", Value::Array("u", vec![Value::Uint32(pid)])),
        ];
        let properties = properties.into_iter().map(|(name, value)| Value::property(name, value)).collect();
        let (failed, end) = (|| format!("cannot move into systemd scope {name}"), Value::Array("(sa(sv))", Vec::new()));
        let body = [Value::text(&*name), Value::text("fail"), Value::Array("(sv)", properties), end];
        let job = bus.manager("StartTransientUnit", &body).with_context(failed)?.words().into_iter().next();
        match bus.job(&job.unwrap_or_default()).with_context(failed)? {
            result if result == "done" => Ok(()),
            result => bail!("{}: its job ended as {result:?}", failed()),
        }
    }

    /// The unit's cgroup, if it was started for this container and is still there; empty where it has none.
    pub fn started_for(&self, id: &str) -> Result<Option<PathBuf>> {
        let mut bus = self.connect()?;
        let failed = || format!("cannot look for systemd unit {}", self.name);
        let object = match bus.manager("GetUnit", &[Value::text(&*self.name)]) {
            Err(error) if is(&error, "NoSuchUnit") => return Ok(None),
            answer => answer.with_context(failed)?.words().into_iter().next().unwrap_or_default(),
        };
        let kind = if self.name.ends_with(".slice") { bus::SLICE } else { bus::SCOPE };
        let ours = bus.property(&object, bus::UNIT, "Description").with_context(failed)? == description(id);
        let cgroup = bus.property(&object, kind, "ControlGroup").with_context(failed)?;
        Ok(ours.then(|| PathBuf::from(cgroup)))
    }

    /// Stops the unit, and waits until systemd has done with it; one that is gone is stopped.
    pub fn stop(&self) -> Result<()> {
        let mut bus = self.connect()?;
        let failed = || format!("cannot stop systemd unit {}", self.name);
        match bus.manager("StopUnit", &[Value::text(&*self.name), Value::text("replace")]) {
            Err(error) if is(&error, "NoSuchUnit") => return Ok(()),
            Err(error) => return Err(error).with_context(failed),
            Ok(answer) => {
                let job = answer.words().into_iter().next().unwrap_or_default();
                bus.job(&job).with_context(failed)?;
            }
        }
        Ok(())
    }

    /// Sets limits anew, until the unit ends.
    pub fn set(&self, writes: &[Write]) -> Result<()> {
        let properties: Vec<Value> =
            properties::of(writes).into_iter().map(|(name, value)| Value::property(&name, value)).collect();
        if properties.is_empty() {
            return Ok(());
        }
        let body = [Value::text(&*self.name), Value::Bool(true), Value::Array("(sv)", properties)];
        let mut bus = self.connect()?;
        bus.manager("SetUnitProperties", &body)
            .with_context(|| format!("cannot set the limits of systemd unit {} (by {})", self.name, bus.address))?;
        Ok(())
    }

    /// After a start that failed: whatever of it there is goes.
    fn forget(&self, bus: &mut Bus) {
        let _ = bus.manager("StopUnit", &[Value::text(&*self.name), Value::text("replace")]);
        let _ = bus.manager("ResetFailedUnit", &[Value::text(&*self.name)]);
    }
}

/// By which a container's unit is known.
fn description(id: &str) -> String {
    format!("rt container {id}")
}

fn is(error: &anyhow::Error, kind: &str) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.is(kind))
}
