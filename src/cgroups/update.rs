//! Other limits for a container that exists: all of them, or none.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use oci_spec::runtime::LinuxResources;

use super::controllers::{self, Asked};
use super::create::{PROGRAM_NAME, attach, limits_memory, not_written};
use super::devices::Program;
use super::plan::asked;
use super::{Cgroup, Hierarchy, Missing, Write, current, files, resources};
use crate::spec::{Code, Findings};
use crate::sys::bpf;

/// What [`plan`] decides from.
#[derive(Clone, Copy, Debug)]
pub struct UpdateRequest<'a> {
    /// The update, with what [`super::merge::complete`] adds to it.
    pub resources: &'a LinuxResources,
    /// What of it was borrowed for conversions, and so is not written: `memory.limit`.
    pub borrowed_limit: bool,
    /// The device rules differ from those in force.
    pub devices_changed: bool,
    /// See [`super::Request::may_load_programs`].
    pub may_load_programs: bool,
    /// Lower memory only as far as the kernel can reclaim, killing nothing.
    pub safe: bool,
}

/// An update, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdatePlan {
    pub writes: Vec<Write>,
    controllers: Asked,
    devices: Devices,
    check: Option<MemoryCheck>,
    safe: bool,
}

/// What becomes of the device program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Devices {
    Keep,
    /// Every access is allowed.
    Remove,
    Replace(Program),
}

/// `memory.checkBeforeUpdate`: limits in bytes that must be above what is in use; swap is memory plus swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoryCheck {
    limit: Option<i64>,
    swap: Option<i64>,
}

pub fn plan(request: &UpdateRequest, findings: &mut Findings) -> UpdatePlan {
    let mut writes = resources::writes(request.resources, findings);
    if request.borrowed_limit {
        writes.retain(|write| write.field != "linux.resources.memory.limit");
    }
    if let Some(cpu) = request.resources.cpu() {
        let (quota, period) = (cpu.quota().unwrap_or(0), cpu.period().unwrap_or(0));
        for write in writes.iter_mut().filter(|write| write.field == "linux.resources.cpu.quota") {
            match (quota, period) {
                // The kernel leaves a period that is not named as it is.
                (_, 0) => write.value = write.value.split(' ').next().unwrap_or_default().to_owned(),
                (0, period) => {
                    write.field = "linux.resources.cpu.period".to_owned();
                    write.value = format!("{KEEP} {period}");
                    write.missing = Missing::Fail;
                }
                _ => {}
            }
        }
    }
    let devices = match (request.devices_changed && request.may_load_programs, request.resources.devices()) {
        (true, Some(rules)) => match findings.keep(Code::DeviceRule, Program::new(rules)) {
            Some(Some(program)) => Devices::Replace(program),
            Some(None) => Devices::Remove,
            None => Devices::Keep,
        },
        _ => Devices::Keep,
    };
    let above = |value: Option<i64>| value.filter(|value| *value > 0);
    let memory = request.resources.memory().filter(|memory| memory.check_before_update() == Some(true));
    let check = memory.map(|memory| MemoryCheck {
        limit: above(memory.limit()).filter(|_| !request.borrowed_limit),
        swap: above(memory.swap()),
    });
    UpdatePlan { controllers: asked(&writes), writes, devices, check, safe: request.safe }
}

/// In the place of a quota: the one that is in force.
const KEEP: &str = "=";

impl UpdatePlan {
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.devices == Devices::Keep
    }
}

/// What an update did that its caller may not expect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updated {
    /// How many processes the OOM killer killed meanwhile.
    pub killed: u64,
    /// The cgroup's record is another now.
    pub record: bool,
    undo: Undo,
}

/// The way back from what was written: files and their old values, oldest first.
type Undo = Vec<(String, String)>;

impl Cgroup {
    /// Puts an update in force. Where one part fails, what was written before has its old value again.
    ///
    /// # Errors
    /// They name the field, and what refused it; for `checkBeforeUpdate` in runc's words.
    pub fn update(&mut self, hierarchy: &Hierarchy, plan: &UpdatePlan) -> Result<Updated> {
        let below = self.path().strip_prefix(&hierarchy.mount).unwrap_or(self.path()).to_path_buf();
        if !plan.controllers.is_empty() {
            controllers::enable(hierarchy, &below, &self.dir, &plan.controllers)?;
        }
        self.check_memory(plan)?;
        let kills = self.oom_kills().unwrap_or(0);
        let mut undo = Undo::new();
        let result = if plan.safe { self.make_room(plan, &mut undo) } else { Ok(None) }.and_then(|high| {
            self.write_all(&plan.writes, &mut undo)?;
            let program = self.change_devices(&plan.devices)?;
            if let Some(high) = high {
                let _ = files::write_at(&self.dir, Path::new("memory.high"), &high);
            }
            self.tell_unit(&plan.writes)?;
            Ok(program)
        });
        match result {
            Ok(program) => {
                let killed = self.oom_kills().unwrap_or(0).saturating_sub(kills);
                let before = self.record.clone();
                if let Some(program) = program.filter(|_| !self.record.is_made()) {
                    self.record.program = program;
                }
                self.record.limited |= plan.writes.iter().any(limits_memory);
                Ok(Updated { killed, record: self.record != before, undo })
            }
            Err(error) => {
                self.write_back(&undo);
                Err(error)
            }
        }
    }

    /// Writes the old limits back; the device program stays as it is by now.
    pub fn revert(&self, updated: &Updated) {
        self.write_back(&updated.undo);
    }

    fn write_back(&self, undo: &Undo) {
        for (file, value) in undo.iter().rev() {
            // A limit that was lowered may be above what is in use by now; there is nothing else to do about it.
            let _ = files::write_at(self.fd(), Path::new(file), value);
        }
    }

    fn check_memory(&self, plan: &UpdatePlan) -> Result<()> {
        let Some(check) = plan.check else { return Ok(()) };
        let Some(usage) = self.number("memory.current") else { return Ok(()) };
        for (limit, name) in [(check.swap, "memory+swap"), (check.limit, "memory")] {
            if let Some(limit) = limit.filter(|limit| *limit as u64 <= usage) {
                bail!("rejecting {name} limit {limit} <= usage {usage} (linux.resources.memory.checkBeforeUpdate)");
            }
        }
        Ok(())
    }

    /// Before a limit below what is in use: reclaims down to it by `memory.high`, over which the kernel slows processes
    /// down and kills none. Returns the value of memory.high that belongs back once the limit is in force.
    fn make_room(&self, plan: &UpdatePlan, undo: &mut Undo) -> Result<Option<String>> {
        let limit = plan.writes.iter().find(|write| write.file == "memory.max");
        let Some(limit) = limit.and_then(|write| write.value.parse::<u64>().ok()) else { return Ok(None) };
        let Some(before) = self.number("memory.current").filter(|usage| *usage > limit) else { return Ok(None) };
        let high = self.read("memory.high").context("linux.resources.memory.limit: cannot read memory.high")?;
        undo.push(("memory.high".to_owned(), high.clone()));
        let write = Write::new("memory.high", limit.to_string(), "linux.resources.memory.limit");
        files::write_at(&self.dir, Path::new(&write.file), &write.value)
            .map_err(|errno| not_written(self, &write, errno))?;
        let usage = self.number("memory.current").unwrap_or(0);
        if usage > limit {
            bail!(
                "rejecting memory limit {limit} <= usage {usage}: of {before} bytes in use no more than {} could be \
                 reclaimed, and lowering the limit further would kill (end processes, allow swap, or leave out --safe)",
                before.saturating_sub(usage)
            );
        }
        Ok(Some(high))
    }

    /// In order; what may be tried again comes once more at the end.
    fn write_all(&self, writes: &[Write], undo: &mut Undo) -> Result<()> {
        let mut again = Vec::new();
        for write in writes {
            match self.change(write, undo) {
                Err(Errno::EINVAL) if write.retry => again.push(write),
                result => result.map_err(|errno| self.refused(write, errno))?,
            }
        }
        again.into_iter().try_for_each(|write| self.change(write, undo).map_err(|errno| self.refused(write, errno)))
    }

    fn refused(&self, write: &Write, errno: Errno) -> anyhow::Error {
        let value = write.value.trim_start_matches(KEEP).trim_start().to_owned();
        not_written(self, &Write { value, ..write.clone() }, errno)
    }

    /// One write, unless its value is in force already.
    fn change(&self, write: &Write, undo: &mut Undo) -> Result<(), Errno> {
        match (self.change_file(&write.file, &write.value, undo), &write.missing) {
            (Err(Errno::ENOENT | Errno::EOPNOTSUPP), Missing::Ignore) => Ok(()),
            (Err(Errno::ENOENT | Errno::EOPNOTSUPP), Missing::Instead { file, value }) => {
                self.change_file(file, value, undo)
            }
            (result, _) => result,
        }
    }

    fn change_file(&self, file: &str, value: &str, undo: &mut Undo) -> Result<(), Errno> {
        let path = Path::new(file);
        // A few of the kernel's files cannot be read (memory.reclaim); what they did cannot be undone.
        let text = match files::read_at(&self.dir, path) {
            Err(Errno::EINVAL | Errno::EACCES | Errno::EPERM) => None,
            text => Some(text?),
        };
        let now = text.as_deref().and_then(|text| text.split_ascii_whitespace().next()).unwrap_or("max");
        let value = value.strip_prefix(KEEP).map_or_else(|| value.to_owned(), |rest| format!("{now}{rest}"));
        if text.as_deref().is_some_and(|text| current::is_in_force(file, text, &value)) {
            return Ok(());
        }
        files::write_at(&self.dir, path, &value)?;
        if let Some(text) = text {
            undo.push((file.to_owned(), current::undo(file, &text, &value)));
        }
        Ok(())
    }

    /// The last part of an update, so that it never has to be undone. Returns the program's id where it changed.
    fn change_devices(&self, devices: &Devices) -> Result<Option<Option<u32>>> {
        let failed = "linux.resources.devices: cannot find the device program";
        let old = match devices {
            Devices::Keep => return Ok(None),
            _ => self.own_program().context(failed)?,
        };
        match (devices, old) {
            (Devices::Replace(program), old) => {
                let program = attach(self, program, old.as_ref().map(AsFd::as_fd))?;
                Ok(Some(Some(bpf::program_id(program.as_fd()).context(failed)?)))
            }
            (_, Some(old)) => {
                bpf::detach_device_program(self.fd(), old.as_fd())
                    .context("linux.resources.devices: cannot take the device program off")?;
                Ok(Some(None))
            }
            (_, None) => Ok(None),
        }
    }

    /// The device program that rt put here: by its recorded id, else by its name among those of the cgroup.
    fn own_program(&self) -> Result<Option<OwnedFd>, Errno> {
        if let Some(id) = self.record.program {
            return bpf::program_by_id(id).map(Some);
        }
        for id in bpf::device_programs(self.fd())? {
            let program = bpf::program_by_id(id)?;
            if bpf::is_named(program.as_fd(), PROGRAM_NAME)? {
                return Ok(Some(program));
            }
        }
        Ok(None)
    }

    /// A file that holds one number.
    fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: &str) -> UpdatePlan {
        let resources: LinuxResources = serde_json::from_str(json).unwrap();
        let request = UpdateRequest {
            resources: &resources,
            borrowed_limit: false,
            devices_changed: true,
            may_load_programs: true,
            safe: false,
        };
        let mut findings = Findings::default();
        let plan = plan(&request, &mut findings);
        findings.verdict(plan).unwrap()
    }

    fn lines(json: &str) -> Vec<String> {
        planned(json).writes.iter().map(|write| format!("{}={}", write.file, write.value)).collect()
    }

    #[test]
    fn quota_and_period_leave_each_other_alone() {
        assert_eq!(lines(r#"{"cpu":{"quota":50000}}"#), ["cpu.max=50000"]);
        assert_eq!(lines(r#"{"cpu":{"quota":-1}}"#), ["cpu.max=max"]);
        assert_eq!(lines(r#"{"cpu":{"period":50000}}"#), ["cpu.max== 50000"]);
        assert_eq!(lines(r#"{"cpu":{"quota":10000,"period":50000}}"#), ["cpu.max=10000 50000"]);
    }

    #[test]
    fn devices_are_left_alone_unless_named() {
        assert_eq!(planned("{}").devices, Devices::Keep);
        assert!(planned("{}").is_empty());
        assert!(matches!(planned(r#"{"devices":[{"allow":false}]}"#).devices, Devices::Replace(_)));
        assert_eq!(planned(r#"{"devices":[{"allow":true}]}"#).devices, Devices::Remove);
    }

    #[test]
    fn a_borrowed_limit_is_not_written() {
        let resources = serde_json::from_str(r#"{"memory":{"limit":10,"swap":20,"checkBeforeUpdate":true}}"#).unwrap();
        let request = UpdateRequest {
            resources: &resources,
            borrowed_limit: true,
            devices_changed: false,
            may_load_programs: true,
            safe: false,
        };
        let plan = plan(&request, &mut Findings::default());
        let files: Vec<_> = plan.writes.iter().map(|write| write.file.as_str()).collect();
        assert_eq!(files, ["memory.swap.max"]);
        assert_eq!(plan.check, Some(MemoryCheck { limit: None, swap: Some(20) }));
    }
}
