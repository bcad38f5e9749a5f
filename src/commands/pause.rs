//! `pause` and `resume`: the cgroup freezer.

use super::{App, destroy};
use crate::cgroups::Cgroup;
use crate::host::Host;
use crate::state::{Directory, Record, Status};
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// How long a pause waits for processes in uninterruptible system calls.
const FREEZE_WAIT: Duration = Duration::from_secs(10);

#[inline(never)]
pub fn pause(app: &App, id: &str) -> Result<u8> {
    let (_held, cgroup) = cgroup_of(app, id, |status| match status {
        Status::Running | Status::Created => Ok(()),
        Status::Paused => bail!("container paused: {id}"),
        other => bail!("container not running: {id} is {other}"),
    })?;
    cgroup.freeze(FREEZE_WAIT)?;
    Ok(0)
}

#[inline(never)]
pub fn resume(app: &App, id: &str) -> Result<u8> {
    let (_held, cgroup) = cgroup_of(app, id, |status| match status {
        Status::Paused => Ok(()),
        Status::Running | Status::Created => bail!("container not paused: {id} is {status}"),
        other => bail!("container not running: {id} is {other}"),
    })?;
    if let (false, Some(above)) = (cgroup.frozen()?, cgroup.frozen_above()) {
        bail!("container not paused: {id} is held by cgroup {} above it, which is frozen: thaw that", above.display());
    }
    cgroup.thaw()?;
    Ok(0)
}

/// For the error of a command that a paused container cannot take: who holds it, if it is not its own cgroup.
pub fn held_above(record: &Record) -> String {
    let cgroup = Host::probe().ok().and_then(|host| destroy::open_cgroup(record, host.proc()).ok().flatten());
    let above = cgroup.and_then(|cgroup| cgroup.frozen_above());
    above.map_or(String::new(), |above| format!(": cgroup {} above it is frozen", above.display()))
}

/// The container's cgroup, and its directory: it is locked until the freezer has done its work, since a resume in between
/// would let a pause wait in vain.
fn cgroup_of(app: &App, id: &str, fits: impl Fn(Status) -> Result<()>) -> Result<(Directory, Cgroup)> {
    let host = Host::probe()?;
    let dir = app.root.open(id)?;
    dir.lock()?;
    let record = dir.record()?;
    fits(dir.status(&record, host.proc())?.0)?;
    let cgroup =
        destroy::open_cgroup(&record, host.proc())?.context("the container has no cgroup of its own to be frozen")?;
    Ok((dir, cgroup))
}
