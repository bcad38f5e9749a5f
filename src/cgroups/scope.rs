//! A cgroup that systemd makes: the unit is started around a [`Keeper`], what it has no properties for is written, and
//! the keeper goes once the container's init is born there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cgroup::Cgroup;
use super::create::{furnish, open_made};
use super::systemd::{Keeper, Unit, UnitPlan};
use super::{CgroupPlan, Hierarchy, Missing, Write, files};

/// The keeper of a new scope, and what its going changes.
#[derive(Debug)]
pub(super) struct Opening {
    keeper: Keeper,
    /// What pids.max is to be without it.
    pids_max: Option<String>,
}

pub(super) fn create(hierarchy: &Hierarchy, plan: &CgroupPlan, unit: &UnitPlan) -> Result<Cgroup> {
    let keeper = match unit.name.is_slice() {
        true => None,
        false => Some(Keeper::new().context("cannot make the process that the scope starts with")?),
    };
    let started = unit.start(keeper.as_ref())?;
    let path = match (&keeper, started.slice) {
        (Some(keeper), _) => hierarchy.path_of(keeper.pid()).and_then(|path| of_unit(path, &unit.name.unit)),
        (None, Some(manager)) => Ok(manager.join(unit.name.path())),
        (None, None) => Ok(unit.name.path()),
    };
    let opened = path.and_then(|path| open(hierarchy, &path, started.unit.is_some()));
    let mut cgroup = match opened {
        Ok(cgroup) => cgroup,
        Err(error) => {
            drop(keeper);
            if let Some(unit) = &started.unit {
                let _ = unit.stop();
            }
            return Err(error);
        }
    };
    cgroup.record.unit = started.unit;
    let mut plan = plan.clone();
    if let Some(keeper) = keeper {
        cgroup.opening = Some(Opening { keeper, pids_max: make_room(&mut plan.writes) });
    }
    if let Err(error) = furnish(&mut cgroup, hierarchy, &plan).and_then(|()| cgroup.approach(hierarchy)) {
        let _ = cgroup.remove(super::remove::LIMIT);
        return Err(error);
    }
    Ok(cgroup)
}

/// Where the keeper is, if systemd has it: one that died before is still where we are. systemd puts a `_` before names that
/// could be files of the kernel's.
fn of_unit(path: PathBuf, unit: &str) -> Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name.strip_prefix('_').unwrap_or(name) == unit.strip_prefix('_').unwrap_or(unit) {
        true => Ok(path),
        false => bail!("cannot start systemd unit {unit}: the process that it starts with was killed"),
    }
}

/// `made`: the unit is ours, and so is its cgroup.
fn open(hierarchy: &Hierarchy, path: &Path, made: bool) -> Result<Cgroup> {
    let path = path.strip_prefix("/").unwrap_or(path);
    // In its own cgroup namespace a process sees what is outside as "/..".
    if path.starts_with("..") || path.as_os_str().is_empty() {
        bail!("linux.cgroupsPath: systemd made cgroup /{}, which cannot be used from here", path.display());
    }
    let made = if made { vec![path.to_path_buf()] } else { Vec::<PathBuf>::new() };
    open_made(hierarchy, path, made).map_err(|(errno, _)| {
        anyhow::anyhow!("cannot open cgroup {}: {}", hierarchy.mount.join(path).display(), errno.desc())
    })
}

/// The keeper counts as one of the processes that pids.max allows. Returns what is to be written once it is gone.
fn make_room(writes: &mut [Write]) -> Option<String> {
    let mut last = None;
    for write in writes.iter_mut().filter(|write| write.file == "pids.max") {
        let Ok(limit) = write.value.trim().parse::<u64>() else { continue };
        last = Some(std::mem::replace(&mut write.value, limit.saturating_add(1).to_string()));
    }
    last
}

impl Cgroup {
    /// After limits were changed: tells systemd what these files say by now, or its next reload would undo it.
    pub(super) fn tell_unit(&self, writes: &[Write]) -> Result<()> {
        let Some(unit) = &self.record.unit else { return Ok(()) };
        let in_force = |write: &Write| {
            let file = match &write.missing {
                Missing::Instead { file, .. } if self.read(&write.file).is_none() => *file,
                _ => &write.file,
            };
            Some(Write::new(file, self.read(file)?.lines().next()?, &*write.field))
        };
        let writes: Vec<Write> = writes.iter().filter_map(in_force).collect();
        unit.set(&writes)?;
        // systemd has just written whole percents of a CPU.
        for write in writes.iter().filter(|write| write.file == "cpu.max") {
            let _ = files::write_at(&self.dir, Path::new(&write.file), &write.value);
        }
        Ok(())
    }

    pub fn is_users_unit(&self) -> bool {
        self.record.unit.as_ref().is_some_and(|unit| unit.user)
    }

    /// The cgroup of a unit that was about to be started when its maker died; a unit without one is stopped. A scope mostly
    /// ends with its last process, and so with its maker; but not where that was gone before systemd had put it in.
    pub fn of_planned_unit(unit: &Unit, id: &str) -> Result<Option<Cgroup>> {
        let Some(path) = unit.started_for(id)? else { return Ok(None) };
        if path.as_os_str().is_empty() {
            // systemd is about to make it, or to remove it.
            return unit.stop().map(|()| None);
        }
        let path = Hierarchy::detect()?.mount.join(path.strip_prefix("/").unwrap_or(&path));
        let mut cgroup = Cgroup::open_planned(&[path])?;
        if let Some(cgroup) = &mut cgroup {
            cgroup.record.unit = Some(unit.clone());
        }
        Ok(cgroup)
    }

    /// To be called before a process is cloned into it.
    pub fn approach(&self, hierarchy: &Hierarchy) -> Result<()> {
        match &self.record.unit {
            Some(unit) => unit.approach(&hierarchy.own_path()?),
            None => Ok(()),
        }
    }

    /// To be called when the first process of the container has been born in it. Only a scope has something to do then.
    pub fn opened(&mut self) -> Result<()> {
        let Some(Opening { keeper, pids_max }) = self.opening.take() else { return Ok(()) };
        drop(keeper);
        let Some(limit) = pids_max else { return Ok(()) };
        files::write_at(&self.dir, Path::new("pids.max"), &limit)
            .with_context(|| format!("linux.resources.pids.limit: {}", self.failed("write pids.max of")))
    }
}
