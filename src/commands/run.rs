//! `run`: create and start in one, and in the foreground stay until the program has ended.

use super::create::{self, Launched, Made, Mode};
use super::foreground::Foreground;
use super::{App, destroy, start};
use crate::cgroups::oom::is_victim;
use crate::cli::RunArgs;
use crate::sys::clone::{Ended, wait};
use crate::terminal::Relay;
use anyhow::{Context, Result};
use std::os::fd::AsFd;

#[inline(never)]
pub fn run(app: &App, args: &RunArgs) -> Result<u8> {
    if args.detach {
        let made = create::make(app, &args.create, Mode::RunDetached)?;
        if let Some(Made { dir, launched: Launched { init, .. }, readiness: Some(readiness), .. }) =
            after_start(app, made)?
        {
            // Unlocked: who knows how long it takes to be ready, and a `kill` may come before.
            drop(dir);
            if let Err(fault) = readiness.hand_over(init.pidfd.as_fd(), init.pid.as_raw()) {
                app.log.warn(&fault.to_string());
            }
        }
        return Ok(0);
    }
    if !args.no_subreaper {
        crate::sys::process::set_child_subreaper().context("cannot become the reaper of the container's orphans")?;
    }
    let foreground = Foreground::begin()?;
    let made = create::make(app, &args.create, Mode::RunForeground)?;
    let Some(mut made) = after_start(app, made)? else { return Ok(1) };
    let (master, readiness) = (made.launched.master.take(), made.readiness.take());
    let relay = master.map(Relay::begin).transpose();
    let ended = match relay.and_then(|relay| foreground.stay(&made.launched.init, relay, readiness)) {
        Ok(ended) => ended,
        // A caller that is told of a failure does not look for a container.
        Err(error) => {
            end(app, made)?;
            return Err(error);
        }
    };
    if ended == Ended::Signaled(libc::SIGKILL)
        && let Some(oom) = made.launched.cgroup.as_ref().and_then(|cgroup| cgroup.oom())
    {
        // The counts are the cgroup's: another process of it may have been the victim, and init somebody else's.
        app.log.warn(&match is_victim(made.launched.init.pid.as_raw()) {
            true => format!("the container was killed by the OOM killer, {oom}"),
            false => format!(
                "the container was killed (possibly OOM-killed: the OOM killer has killed {} process(es) of it, {oom})",
                oom.kills
            ),
        });
        if args.keep {
            // Its cgroup may be gone before anybody asks for its state.
            made.launched.record.oom = Some(oom);
            made.dir.write(&made.launched.record)?;
        }
    }
    if !args.keep {
        let Made { dir, launched, .. } = made;
        if !launched.record.own_pids {
            destroy::kill_cgroup(&launched.record, launched.cgroup.as_ref())?;
        }
        destroy::remove(&app.log, dir, &launched.record, launched.cgroup)?;
    }
    Ok(u8::try_from(ended.code()).unwrap_or(u8::MAX))
}

/// The poststart hooks; a container whose hooks fail is ended.
fn after_start(app: &App, made: Made) -> Result<Option<Made>> {
    if !made.launched.record.poststart {
        return Ok(Some(made));
    }
    match start::poststart(&made.dir, &made.launched.record, made.deadline) {
        Ok(()) => Ok(Some(made)),
        Err(error) => {
            end(app, made)?;
            Err(error)
        }
    }
}

fn end(app: &App, made: Made) -> Result<()> {
    let Made { dir, launched, .. } = made;
    let init = launched.init;
    let ended = destroy::end(&app.log, dir, &launched.record, init.pidfd.as_fd(), launched.cgroup);
    let _ = wait(init.pidfd.as_fd());
    ended
}
