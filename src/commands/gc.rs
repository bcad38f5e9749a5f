//! `gc`: clears what a killed rt, a reboot or a lost directory of containers left, and nothing that may be in use.

use super::{App, destroy, print};
use crate::cgroups::{Hierarchy, Marked, Removal, describe};
use crate::cli::GcArgs;
use crate::host::Host;
use crate::log::told;
use crate::state::Record;
use anyhow::{Result, bail};
use std::fmt::Write;

#[inline(never)]
pub fn run(app: &App, args: &GcArgs) -> Result<u8> {
    if !app.root.path.exists() {
        return Ok(0);
    }
    let mut sweep = Sweep { app, host: Host::probe()?, dry_run: args.dry_run, told: String::new(), failed: 0 };
    for id in app.root.ids()? {
        match sweep.container(&id) {
            Ok(None) => {}
            Ok(Some(why)) => sweep.gone(&format!("container {id}: {why}")),
            Err(error) => sweep.failed(&format!("container {id}"), &error),
        }
    }
    sweep.cgroups()?;
    print(&sweep.told)?;
    match sweep.failed {
        0 => Ok(0),
        n => bail!("{n} of what was found could not be removed; `rt gc` may be run again"),
    }
}

struct Sweep<'a> {
    app: &'a App,
    host: Host,
    dry_run: bool,
    told: String,
    failed: usize,
}

/// Why something is not wanted any more; `None` where it stays.
type Verdict = Option<&'static str>;

impl Sweep<'_> {
    /// A line about something that goes.
    fn gone(&mut self, what: &str) {
        let done = if self.dry_run { "would be removed" } else { "removed" };
        let _ = writeln!(self.told, "{what}: {done}");
    }

    /// A warning about what should go and did not.
    fn failed(&mut self, what: &str, error: &anyhow::Error) {
        self.failed += 1;
        self.app.log.warn(&format!("{what}: {}", told(error)));
    }

    /// A container's directory, with all that its record names.
    fn container(&self, id: &str) -> Result<Verdict> {
        let Some(dir) = self.app.root.find(id)? else { return Ok(None) };
        if !dir.try_lock()? {
            // Who holds it is at work on it, or is the init of a killed maker, which is about to notice.
            if !dir.read()?.map_or(Ok(false), |record| self.is_half_made(&record))? {
                return Ok(None);
            }
            dir.lock()?;
            if dir.is_removed() {
                return Ok(None);
            }
        }
        let Some(record) = dir.read()? else {
            // The name may be another container's by now.
            if dir.is_removed() {
                return Ok(None);
            }
            if !self.dry_run {
                dir.remove()?;
            }
            return Ok(Some("its maker died before it made anything"));
        };
        let Some(why) = self.left_over(&record)? else { return Ok(None) };
        if !self.dry_run {
            destroy::clear(&self.app.log, dir, &record, None, self.host.proc())?;
        }
        Ok(Some(why))
    }

    /// A container that has ended in this boot is its caller's to delete.
    fn left_over(&self, record: &Record) -> Result<Verdict> {
        if !record.creator.is_of_this_boot(self.host.proc())? {
            return Ok(Some("it was made before the last boot"));
        }
        Ok(self.is_half_made(record)?.then_some("its maker died before it was made"))
    }

    fn is_half_made(&self, record: &Record) -> Result<bool> {
        Ok(record.init.is_none() && record.creator.alive(self.host.proc())?.is_none())
    }

    /// Cgroups whose container has no record.
    fn cgroups(&mut self) -> Result<()> {
        // Where there is no hierarchy there are no cgroups.
        let Ok(hierarchy) = Hierarchy::detect() else { return Ok(()) };
        let mut kept: Vec<Marked> = Vec::new();
        for marked in hierarchy.marked(&self.app.root.path)? {
            let others_below = || kept.iter().any(|other| other.path.starts_with(&marked.path));
            if others_below() || self.app.root.find(&marked.id)?.is_some() {
                kept.push(marked);
                continue;
            }
            let what = format!("cgroup {}: container {} of it does not exist", marked.path.display(), marked.id);
            match self.cgroup(&marked) {
                // They may be what somebody's container does; only its owner knows.
                Ok(Removal::Busy(processes)) => {
                    let _ =
                        writeln!(self.told, "{what}, but processes run in it: {}: left alone", describe(&processes));
                    kept.push(marked);
                }
                Ok(Removal::NotOurs) => kept.push(marked),
                Ok(Removal::Done) => self.gone(&what),
                Err(error) => self.failed(&what, &error),
            }
        }
        Ok(())
    }

    /// One of them. Its container's name is taken meanwhile, so that nobody makes that container now.
    fn cgroup(&self, marked: &Marked) -> Result<Removal> {
        if self.dry_run {
            let processes = marked.processes()?;
            return Ok(if processes.is_empty() { Removal::Done } else { Removal::Busy(processes) });
        }
        let dir = self.app.root.create(&marked.id)?;
        let removal = marked.remove();
        dir.remove()?;
        removal
    }
}
