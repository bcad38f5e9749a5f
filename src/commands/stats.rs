//! `stats`: what containers use, as a table that is drawn anew, as JSON, or for Prometheus.

use super::{App, apart, destroy, print};
use crate::cgroups::Cgroup;
use crate::cgroups::events::{Events, any_changed};
use crate::cli::{StatsArgs, StatsFormat};
use crate::host::Host;
use crate::log::told;
use crate::state::Status;
use crate::stats::{Share, Stats, prometheus, table};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use serde::Serialize;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// Moves to the first column of the first line and clears what is there (console_codes(4)).
const CLEAR: &str = "\x1b[H\x1b[J";

/// A container that is looked at, and how it was at the last look.
struct Watched {
    id: String,
    cgroup: Cgroup,
    /// Ends the watching of this one.
    life: Events,
    /// CPU time in µs, and when that was.
    last: Option<(u64, Instant)>,
}

#[inline(never)]
pub fn run(app: &App, args: &StatsArgs) -> Result<u8> {
    let watched = watched(app, args)?;
    match args.format {
        StatsFormat::Json => print(&json(&watched)?),
        StatsFormat::Prometheus => print(&prometheus(&shares(&watched))),
        StatsFormat::Table if args.once || !std::io::stdout().is_terminal() => print(&table(&shares(&watched))),
        StatsFormat::Table => refresh(watched, args.interval.unwrap_or(INTERVAL)),
    }
}

/// The containers that were named, which must run; or all that do.
fn watched(app: &App, args: &StatsArgs) -> Result<Vec<Watched>> {
    let host = Host::probe()?;
    let open = |id: &str| -> Result<Watched> {
        let dir = app.root.open(id)?;
        let record = dir.record()?;
        if let Status::Stopped | Status::Creating = dir.status(&record, host.proc())?.0 {
            bail!("container with id {id} is not running");
        }
        let cgroup = destroy::open_cgroup(&record, host.proc())?;
        let cgroup = cgroup.with_context(|| format!("container {id} has no cgroup of its own that counts"))?;
        let life = Events::open(cgroup.as_fd()).with_context(|| format!("container {id}"))?;
        Ok(Watched { id: id.to_owned(), cgroup, life, last: None })
    };
    if args.ids.is_empty() {
        let ids = match app.root.ids() {
            Err(fault) if fault.is(Errno::ENOENT) => Vec::new(),
            ids => ids?,
        };
        let runs = |id: &&String| {
            let found = app.root.glance(id, host.proc());
            !matches!(found, Ok(None | Some((_, Status::Stopped | Status::Creating))))
        };
        // One that is broken does not hide the others.
        let left_out = |id, error: &_| app.log.warn(&format!("container {id} is left out: {}", told(error)));
        let opened = ids.iter().filter(runs).map(|id| open(id).inspect_err(|error| left_out(id, error)));
        return Ok(opened.flatten().collect());
    }
    args.ids.iter().map(|id| open(id)).collect()
}

fn shares(watched: &[Watched]) -> Vec<Share<'_>> {
    let share = |one: &'_ Watched| {
        let stats = Stats::read(&one.cgroup);
        let cpu = one.last.map(|(usage, when)| {
            stats.cpu.usage.saturating_sub(usage) as f64 / when.elapsed().as_micros().max(1) as f64
        });
        (stats, cpu)
    };
    watched.iter().map(|one| (one, share(one))).map(|(one, (stats, cpu))| Share { id: &one.id, stats, cpu }).collect()
}

fn json(watched: &[Watched]) -> Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        id: &'a str,
        #[serde(flatten)]
        stats: Stats,
    }
    let lines = watched
        .iter()
        .map(|one| Ok(serde_json::to_string(&Line { id: &one.id, stats: Stats::read(&one.cgroup) })? + "\n"));
    lines.collect()
}

/// Draws the table at each interval's end, until the last container has stopped.
fn refresh(mut watched: Vec<Watched>, interval: Duration) -> Result<u8> {
    loop {
        watched.retain(|one| one.life.get("populated").is_ok_and(|populated| populated != 0));
        if watched.is_empty() {
            return Ok(0);
        }
        if !apart(|| print(&(CLEAR.to_owned() + &table(&shares(&watched)))).map(drop))? {
            return Ok(1);
        }
        for one in &mut watched {
            one.last = one.cgroup.cpu_time().map(|usage| (usage, Instant::now()));
        }
        // Nothing but the clock and an end is waited for; a change of another kind only draws the table early.
        any_changed(&mut [watched[0].life.interest()], interval).context("cannot wait")?;
    }
}
