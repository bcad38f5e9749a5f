//! `start`: lets the waiting init go on, and says so when its program cannot be run.

use super::{App, destroy};
use crate::fault::Fault;
use crate::host::Host;
use crate::launch::rendezvous::{self, Started};
use crate::seccomp::agent;
use crate::spec::load::parse_spec;
use crate::state::{Directory, Record, Status};
use crate::{confine, hooks};
use anyhow::{Context, Result, bail};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[inline(never)]
pub fn run(app: &App, id: &str) -> Result<u8> {
    let host = Host::probe()?;
    let dir = app.root.open(id)?;
    dir.lock()?;
    let record = dir.record()?;
    let (status, init) = dir.status(&record, host.proc());
    match status {
        Status::Created => {}
        Status::Stopped if record.init.is_none() => {
            bail!("cannot start container {id}: its creation was interrupted (rt delete --force {id} removes it)")
        }
        Status::Stopped => bail!("cannot start a container that has stopped"),
        Status::Running => bail!("cannot start an already running container"),
        other => bail!("cannot start a container in the {other} state"),
    }
    if record.no_process {
        bail!("process: is required to start a container");
    }
    let init = init.context("container process is already dead")?;
    // Before anything happens: without its agent the container can be started another time.
    let agent = record.notify.as_ref().map(agent::reach).transpose()?;
    if let Err(fault) = go(&dir, &record, init.as_fd(), agent) {
        // "If any hook fails, the container is stopped" (runtime.md); a program that cannot run has left no process.
        let cgroup = destroy::open_cgroup(&record)?;
        destroy::kill_all(&record, Some(init.as_fd()), cgroup.as_ref())?;
        return Err(fault.into());
    }
    if record.poststart
        && let Err(error) = poststart(&dir, &record)
    {
        let cgroup = destroy::open_cgroup(&record)?;
        destroy::end(&app.log, dir, &record, init.as_fd(), cgroup)?;
        return Err(error);
    }
    Ok(0)
}

fn go(dir: &Directory, record: &Record, init: BorrowedFd, agent: Option<OwnedFd>) -> Result<(), Fault> {
    let deliver = |listener: OwnedFd| {
        let Some((agent, notify)) = agent.zip(record.notify.as_ref()) else { return Ok(()) };
        let pid = record.init.as_ref().map_or(0, |init| init.pid);
        agent::deliver(agent, notify, pid, &record.for_hooks(Status::Creating, pid), listener)
    };
    match rendezvous::start(dir.fd(), deliver) {
        Ok(Started::Failed(fault)) => Err(fault),
        Ok(Started::Page(page)) => match confine::failure(&page, &record.program) {
            Some(fault) => Err(fault),
            None => Ok(()),
        },
        Err(errno) => {
            let dead = crate::sys::clone::has_ended(init).unwrap_or(true);
            let what = if dead { "container process is already dead" } else { "cannot reach the container's init" };
            Err(Fault::new("start", format!("{what}: {}", crate::fault::words(errno))).errno(errno))
        }
    }
}

/// Runs the poststart hooks of a container that has just started.
pub fn poststart(dir: &Directory, record: &Record) -> Result<()> {
    let spec = parse_spec(&dir.config()?, &mut Vec::new())?;
    let pid = record.init.as_ref().map_or(0, |init| init.pid);
    let state = record.for_hooks(Status::Running, pid);
    let plans = hooks::plan(&spec)?;
    Ok(hooks::run(&plans.poststart, "poststart", &state, destroy::bundle_of(record), &|| Ok(()))?)
}
