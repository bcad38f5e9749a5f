//! `events`: statistics and out-of-memory kills of one container, a JSON object per line as runc prints them.

use super::{App, apart, destroy, print};
use crate::cgroups::Cgroup;
use crate::cgroups::events::{Events, any_changed};
use crate::cli::EventsArgs;
use crate::host::Host;
use crate::state::Status;
use crate::stats::{Stats, as_runc};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

/// Prints until the container has stopped, or with `--stats` once.
#[inline(never)]
pub fn run(app: &App, args: &EventsArgs) -> Result<u8> {
    let host = Host::probe()?;
    let dir = app.root.open(&args.id)?;
    let record = dir.record()?;
    if let Status::Stopped | Status::Creating = dir.status(&record, host.proc())?.0 {
        bail!("container with id {} is not running", args.id);
    }
    let cgroup =
        destroy::open_cgroup(&record, host.proc())?.context("the container has no cgroup of its own that counts")?;
    if args.stats {
        print_stats(&args.id, &cgroup)?;
        return Ok(0);
    }
    watch(&args.id, &cgroup, args.interval.unwrap_or(INTERVAL))
}

fn print_stats(id: &str, cgroup: &Cgroup) -> Result<()> {
    let stats = Stats::read(cgroup);
    let event = Event { kind: "stats", id, data: Some(as_runc(&stats)) };
    print(&(serde_json::to_string(&event)? + "\n")).map(drop)
}

/// Woken by the kernel when `memory.events` or `cgroup.events` changes, and at each interval's end. Ends when no process
/// is left.
fn watch(id: &str, cgroup: &Cgroup, interval: Duration) -> Result<u8> {
    let failed = || format!("cannot watch cgroup {}", cgroup.path().display());
    let life = Events::open(cgroup.as_fd()).with_context(failed)?;
    // Without the controller there are no kills to tell of.
    let memory = Events::of(cgroup.as_fd(), "memory.events").ok();
    let kills = || memory.as_ref().map_or(Ok(0), |events| events.get("oom_kill"));
    let oom = serde_json::to_string(&Event::<()> { kind: "oom", id, data: None })? + "\n";
    let mut told = kills().with_context(failed)?;
    let mut next = Instant::now() + interval;
    loop {
        let populated = life.get("populated").with_context(failed)? != 0;
        // After the look at the processes: what killed the last of them is told.
        let killed = kills().with_context(failed)?;
        for _ in told..killed {
            print(&oom)?;
        }
        told = told.max(killed);
        if !populated {
            return Ok(0);
        }
        let left = next.saturating_duration_since(Instant::now());
        if left.is_zero() {
            if !apart(|| print_stats(id, cgroup))? {
                return Ok(1);
            }
            next += interval.max(next.elapsed());
            continue;
        }
        let mut files = [life.interest(), memory.as_ref().unwrap_or(&life).interest()];
        any_changed(&mut files, left).with_context(failed)?;
    }
}
