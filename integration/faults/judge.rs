//! What must hold after each case: rt says what is so, has failed with words or done all, and leaves nothing.

use crate::matrix::{BOUND, Matrix};
use crate::{scene, words};
use rt_integration::leaks;
use rt_integration::trace::{self, Call, Fault, Run};
use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long what was told may take to become true: a signal is sent, not obeyed, when `kill` ends.
const SETTLING: Duration = Duration::from_secs(6);

impl Matrix<'_> {
    pub fn expect_success(&self, run: &Run) -> Vec<String> {
        match run.status {
            Some(0) => self.told().map_or_else(|problem| vec![problem], |status| self.must_be_after(status.as_deref())),
            other => vec![format!("ended with {other:?}: {}", self.stderr())],
        }
    }

    fn must_be_after(&self, status: Option<&str>) -> Vec<String> {
        let until = Instant::now() + SETTLING;
        let (mut later, stops) = (status.map(str::to_owned), self.subject.after == Some("stopped"));
        while stops && later.as_deref() != self.subject.after && Instant::now() < until {
            later = self.told().ok().flatten();
        }
        let status = later.as_deref();
        match status == self.subject.after {
            true => Vec::new(),
            false => vec![format!("succeeded, and the container is {status:?}")],
        }
    }

    pub fn judge(&self, run: &Run, call: &Call, fault: Fault) -> Vec<String> {
        let mut problems = Vec::new();
        let Some(raw) = run.status else {
            return vec![format!("hangs: no end after {BOUND:?}: {}", self.stderr())];
        };
        if run.took > BOUND / 2 {
            problems.push(format!("took {:?}", run.took));
        }
        let (ended, stderr) = (ExitStatus::from_raw(raw), self.stderr());
        // A container whose init is about to end is not there yet.
        if call.series != "0" && fault == Fault::Kill {
            run.tasks.iter().for_each(|task| trace::until_dead(*task, Duration::from_millis(500)));
        }
        let status = match self.told() {
            Ok(status) => status,
            Err(problem) => {
                problems.push(problem);
                return problems;
            }
        };
        if self.subject.harmless && !matches!(status.as_deref(), Some("running" | "paused")) {
            problems.push(format!("the container is {status:?}; {stderr}"));
        }
        problems.extend(self.judge_end(ended, status.as_deref(), call, fault));
        if std::env::var_os("RT_FAULTS_SHOW").is_some() {
            println!("{call:?} {fault:?}: {ended}: {status:?}: {stderr}");
        }
        problems
    }

    fn judge_end(&self, ended: ExitStatus, status: Option<&str>, call: &Call, fault: Fault) -> Vec<String> {
        let stderr = self.printed();
        let kills = fault == Fault::Kill;
        match (ended.code(), ended.signal()) {
            _ if kills && call.series == "0" => Vec::new(),
            // Init's own death after all was done.
            (Some(0), _) if status == Some("stopped") && kills => Vec::new(),
            (Some(0), _) => self.must_be_after(status),
            // The process was killed, and rt says so with its own code.
            (Some(137), _) if kills => Vec::new(),
            (Some(_), _) if self.subject.name == "run" && matches!(status, Some("created" | "running")) => {
                vec![format!("failed, and left the container {status:?}: {stderr}")]
            }
            (Some(_), _) if self.subject.makes && status.is_some() => {
                vec![format!("failed, and left the container {status:?}: {stderr}")]
            }
            (Some(_), _) => {
                self.said.borrow_mut().extend(words::errors(&stderr).map(str::to_owned));
                let errno = if let Fault::Fail(errno) = fault { Some(errno) } else { None };
                // One that ran had become the container's own.
                let lost = self.subject.makes && !self.scene.has_all_back();
                let lent = lost.then(|| format!("failed, and a device is gone: {stderr}"));
                words::judge(&stderr, errno).into_iter().chain(lent).collect()
            }
            // The allocator's calls, and those before main, have nobody to tell.
            (None, Some(libc::SIGABRT | libc::SIGSEGV)) if is_allocation(call) => Vec::new(),
            (_, signal) => vec![format!("died of signal {signal:?}: {stderr}")],
        }
    }

    /// The error, wherever it stands: what `check` finds is its answer.
    fn printed(&self) -> String {
        match (self.subject.name, self.stderr()) {
            ("check", empty) if empty.is_empty() => format!("rt: {}", self.read("std.out").replace('\n', "; ")),
            (_, stderr) => stderr,
        }
    }

    /// What `state` says, once that is the truth: none where there is no container.
    fn told(&self) -> Result<Option<String>, String> {
        let until = Instant::now() + SETTLING;
        loop {
            let state = self.call(&["state", "ID"])?;
            if !state.status.success() {
                let absent = state.err.contains("does not exist");
                return if absent { self.listed(None) } else { Err(format!("state: {}", state.err.trim_end())) };
            }
            let state: Value = serde_json::from_str(&state.out).map_err(|error| format!("state: {error}"))?;
            let status = state["status"].as_str().unwrap_or_default().to_owned();
            let pid = state["pid"].as_i64().unwrap_or(0) as i32;
            let lives = !matches!(status.as_str(), "stopped" | "creating");
            let true_now = if lives { trace::is_alive(pid) } else { status == "stopped" };
            let listed = true_now.then(|| self.listed(Some(status.clone())));
            match listed {
                Some(Ok(status)) => return Ok(status),
                Some(Err(problem)) if Instant::now() > until => return Err(problem),
                None if Instant::now() > until => {
                    return Err(format!("state says {status}, pid {pid}, which is not so"));
                }
                // A freeze that was begun takes a moment.
                _ => {}
            }
        }
    }

    fn listed(&self, status: Option<String>) -> Result<Option<String>, String> {
        let list = self.call(&["list", "--format", "json"])?;
        if !list.status.success() {
            return Err(format!("list: {}", list.err.trim_end()));
        }
        let list: Value = serde_json::from_str(&list.out).map_err(|error| format!("list: {error}"))?;
        let ours = list.as_array().and_then(|list| list.iter().find(|entry| entry["id"] == scene::id()));
        let told = ours.map(|entry| entry["status"].as_str().unwrap_or_default().to_owned());
        // Half a container, without a record, is listed and has no state. One may also end between the two.
        let ended = told.as_deref() == Some("stopped");
        match told == status || status.is_none() || ended {
            true => Ok(status),
            false => Err(format!("state says {status:?}, list {told:?}")),
        }
    }

    /// Removes the container by force; what is wrong with that, and what is left.
    pub fn clear(&self) -> Vec<String> {
        let mut problems = match self.call(&["delete", "--force", "ID"]) {
            Ok(answer) if answer.status.success() => Vec::new(),
            Ok(answer) => vec![format!("delete --force: {}", answer.err.trim_end())],
            Err(problem) => vec![problem],
        };
        self.scene.receive();
        let sandbox = self.scene.sandbox;
        let cgroup = PathBuf::from(format!("/sys/fs/cgroup{}", sandbox.cgroup()));
        let own = cgroup.join("caller");
        let ours = |what: &String| !what.contains(own.to_str().expect("UTF-8"));
        if !trace::reap(Duration::from_secs(2)) {
            problems.push("after delete --force a process is left".to_owned());
        }
        let mut left = leaks::find_things(&self.before, &sandbox.scratch(), &sandbox.state_dir(), &cgroup);
        left.retain(ours);
        left.extend(self.scene.left());
        if !left.is_empty() || !problems.is_empty() {
            problems.extend(left.into_iter().map(|what| format!("left: {what}")));
            leaks::clean(&self.before, &cgroup.join(scene::id()));
            self.scene.clean();
            let _ = fs::remove_dir_all(sandbox.state_dir().join(scene::id()));
            trace::reap(Duration::from_secs(2));
        }
        problems
    }
}

fn is_allocation(call: &Call) -> bool {
    const CALLS: [libc::c_long; 5] =
        [libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_madvise];
    CALLS.contains(&(call.number as libc::c_long)) || is_before_main(call)
}

/// Thread-local storage is set up by it, before anything can be said.
#[cfg(target_arch = "x86_64")]
const START: u64 = libc::SYS_arch_prctl as u64;
#[cfg(not(target_arch = "x86_64"))]
const START: u64 = libc::SYS_set_tid_address as u64;

fn is_before_main(call: &Call) -> bool {
    call.series == "0" && call.number == START
}
