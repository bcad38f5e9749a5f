//! Stopping and continuing all processes of a cgroup (cgroup-v2.rst, `cgroup.freeze`).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Cgroup;
use super::events::Events;
use super::files;
use super::remove::describe;

/// How long a thaw may take: it waits for nobody's cooperation.
const THAW_LIMIT: Duration = Duration::from_secs(10);

impl Cgroup {
    /// True when this cgroup was told to freeze. An ancestor's freeze does not count: thawing here would not help.
    pub fn frozen(&self) -> Result<bool> {
        let text = files::read_at(self.fd(), Path::new("cgroup.freeze"))
            .with_context(|| self.failed("read cgroup.freeze of"))?;
        Ok(text.trim_end() == "1")
    }

    /// The nearest cgroup above this one that was told to freeze, and so holds this one too.
    pub fn frozen_above(&self) -> Option<PathBuf> {
        let told = |path: &&Path| std::fs::read(path.join("cgroup.freeze")).is_ok_and(|text| text.starts_with(b"1"));
        self.path().ancestors().skip(1).find(told).map(Path::to_path_buf)
    }

    /// Freezes and waits until every process has stopped, `limit` at most. A process in an uninterruptible system call
    /// can hold that up: then everything is thawed again, and the error names the processes that ran on.
    pub fn freeze(&self, limit: Duration) -> Result<()> {
        let own = std::process::id() as i32;
        ensure!(
            !self.procs()?.contains(&own),
            "cgroup {} cannot be paused: this very process is in it",
            self.path().display()
        );
        let result = self.switch("1", 1, limit);
        let frozen = matches!(result, Ok(true));
        if !frozen {
            let running = self.procs().map(|pids| describe(&still_running(&pids))).unwrap_or_default();
            // Never leave it half stopped.
            let _ = files::write_at(self.fd(), Path::new("cgroup.freeze"), "0");
            result?;
            bail!(
                "{} within {limit:?}: still running: {running}; it was thawed again",
                self.failed("freeze all processes of")
            );
        }
        Ok(())
    }

    /// Lets everything run again.
    pub fn thaw(&self) -> Result<()> {
        let thawed = self.switch("0", 0, THAW_LIMIT)?;
        ensure!(thawed, "{} within {THAW_LIMIT:?}: is a cgroup above it frozen?", self.failed("thaw"));
        Ok(())
    }

    fn switch(&self, value: &str, frozen: u64, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        let failed = || self.failed("write cgroup.freeze of");
        files::write_at(self.fd(), Path::new("cgroup.freeze"), value).with_context(failed)?;
        let events = Events::open(self.fd()).with_context(failed)?;
        events.wait("frozen", frozen, deadline).with_context(failed)
    }
}

/// Frozen processes sleep interruptibly (state S) or are stopped; what holds a freeze up runs or waits for hardware.
fn still_running(pids: &[i32]) -> Vec<i32> {
    pids.iter().copied().filter(|pid| matches!(state(*pid), Some('R' | 'D'))).collect()
}

/// The state letter of /proc/PID/stat.
fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    crate::proc::stat_field(&stat, 3)?.chars().next()
}
