//! One command, at each of its calls.

use crate::commands::{Before, Subject};
use crate::errnos;
use rt_integration::trace::{self, Call, Fault, Run};
use rt_integration::{Bundle, Sandbox, leaks};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// A case that takes longer hangs: every wait of rt's own ends before.
const BOUND: Duration = Duration::from_secs(14);
/// How often a call is looked for where scheduling may have moved it.
const TRIES: usize = 6;
const USER: u32 = 1000;

/// # Errors
/// What this machine lacks.
pub fn run(subject: &Subject, rootless: bool) -> Result<bool, String> {
    trace::prepare().map_err(|error| error.to_string())?;
    let mut sandbox = Sandbox::new()?;
    if rootless {
        sandbox = sandbox.as_user(USER).delegated();
    }
    let cgroups = format!("{}/c", sandbox.cgroup());
    let bundle = sandbox.bundle("c").args([subject.program]).set("/linux/cgroupsPath", cgroups);
    bundle.write();
    let update = sandbox.dir().join("update.json");
    fs::write(&update, json!({ "devices": [{ "allow": true, "access": "rwm" }] }).to_string()).expect("a file");
    let matrix = Matrix { before: leaks::Before::take(&sandbox.scratch()), sandbox: &sandbox, bundle, subject, update };
    let clean = matrix.all(if rootless { "rootless" } else { "root" });
    Ok(clean)
}

struct Matrix<'a> {
    sandbox: &'a Sandbox,
    bundle: Bundle<'a>,
    subject: &'a Subject,
    update: PathBuf,
    before: leaks::Before,
}

/// What an untraced call of rt answered.
struct Answer {
    status: ExitStatus,
    out: String,
    err: String,
}

impl Matrix<'_> {
    fn all(&self, form: &str) -> bool {
        let name = format!("{} {form}", self.subject.name);
        // The first container of a place has more to make than the next.
        let calls = match self.attempt(None).and_then(|_| self.attempt(None)) {
            Ok(run) => run.calls,
            Err(problem) => {
                println!("{name}: not recorded: {problem}");
                return false;
            }
        };
        let begun = Instant::now();
        let only: Option<usize> = std::env::var("RT_FAULTS_CALL").ok().and_then(|text| text.parse().ok());
        let (mut injected, mut killed, mut failed, mut sure, mut bad) = (0, 0, 0, 0, 0);
        let mut slowest = Duration::ZERO;
        for (number, call) in calls.iter().enumerate().filter(|(number, _)| only.is_none_or(|only| only == *number)) {
            let Some((word, errno)) = errnos::of(call.number) else {
                println!("{name}: call {number}: no errno is listed for system call {}", call.number);
                bad += 1;
                continue;
            };
            injected += 1;
            let faults = [Some(Fault::Kill), errno.map(Fault::Fail)];
            sure += usize::from(errno.is_none());
            for fault in faults.into_iter().flatten() {
                let case = Instant::now();
                let problems = self.case(call, fault);
                slowest = slowest.max(case.elapsed());
                let count = if fault == Fault::Kill { &mut killed } else { &mut failed };
                *count += usize::from(problems.is_empty());
                bad += usize::from(!problems.is_empty());
                for problem in problems {
                    let what = match fault {
                        Fault::Kill => "killed".to_owned(),
                        Fault::Fail(errno) => format!("{:?}", std::io::Error::from_raw_os_error(errno).kind()),
                    };
                    println!("{name}: call {number} ({} {} {word}) {what}: {problem}", call.series, call.position);
                }
            }
        }
        println!(
            "{name}: {} calls traced, {injected} injected; clean: {killed} killed, {failed} failed ({sure} cannot); \
             {bad} not clean; {:.1} s, slowest {} ms",
            calls.len(),
            begun.elapsed().as_secs_f64(),
            slowest.as_millis()
        );
        bad == 0
    }

    /// One fault, and all that must hold after it.
    fn case(&self, call: &Call, fault: Fault) -> Vec<String> {
        let mut problems = Vec::new();
        for _ in 0..TRIES {
            let found = match self.attempt(Some((call, fault))) {
                Ok(run) if !run.hit => {
                    self.clear();
                    continue;
                }
                Ok(run) => self.judge(&run, call, fault),
                Err(problem) => vec![problem],
            };
            problems = found;
            problems.extend(self.clear());
            return problems;
        }
        problems.push("the call was not found again".to_owned());
        problems
    }

    /// Brings the container to where the command wants it, and runs the command.
    fn attempt(&self, fault: Option<(&Call, Fault)>) -> Result<Run, String> {
        let bundle = self.bundle.dir.to_str().expect("UTF-8");
        let steps: &[&[&str]] = match self.subject.before {
            Before::Nothing => &[],
            Before::Created => &[&["create", "--bundle", bundle, "c"]],
            Before::Running => &[&["run", "--detach", "--bundle", bundle, "c"]],
            Before::Paused => &[&["run", "--detach", "--bundle", bundle, "c"], &["pause", "c"]],
            Before::Stopped => &[&["run", "--detach", "--bundle", bundle, "c"], &["kill", "c", "KILL"]],
        };
        for step in steps {
            let answer = self.call(step)?;
            if !answer.status.success() {
                return Err(format!("before: {step:?}: {}", answer.err.trim_end()));
            }
        }
        let init = self.init();
        if self.subject.before == Before::Stopped {
            trace::until_dead(init.unwrap_or(0), BOUND);
        }
        let update = self.update.to_str().expect("UTF-8");
        let words = self.subject.words.iter().map(|word| match *word {
            "BUNDLE" => bundle,
            "UPDATE" => update,
            word => word,
        });
        let beside = init.filter(|_| self.subject.before == Before::Created);
        let command = self.files(self.sandbox.command(words));
        let run = trace::run(command, beside, fault, BOUND).map_err(|error| format!("tracing: {error}"))?;
        if fault.is_none() {
            let problems = self.expect_success(&run);
            let left = self.clear();
            if let Some(problem) = problems.into_iter().chain(left).next() {
                return Err(problem);
            }
        }
        Ok(run)
    }

    fn expect_success(&self, run: &Run) -> Vec<String> {
        match run.status {
            Some(0) => self.told().map_or_else(|problem| vec![problem], |status| self.must_be_after(status.as_deref())),
            other => vec![format!("ended with {other:?}: {}", self.stderr())],
        }
    }

    fn must_be_after(&self, status: Option<&str>) -> Vec<String> {
        // A signal is sent, not obeyed, when `kill` ends.
        let until = Instant::now() + Duration::from_secs(3);
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

    fn judge(&self, run: &Run, call: &Call, fault: Fault) -> Vec<String> {
        let mut problems = Vec::new();
        let Some(raw) = run.status else {
            return vec![format!("hangs: no end after {BOUND:?}: {}", self.stderr())];
        };
        if run.took > BOUND / 2 {
            problems.push(format!("took {:?}", run.took));
        }
        let ended = ExitStatus::from_raw(raw);
        let stderr = self.stderr();
        // A container whose init is about to end is not there yet.
        if call.series != "0" && ends_init(call, fault) {
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
        let mains = fault == Fault::Kill && call.series == "0";
        match (ended.code(), ended.signal()) {
            _ if mains => {}
            // Init's own death, or its wait for `start` that fails, after all was done.
            (Some(0), _) if status.as_deref() == Some("stopped") && call.series != "0" && ends_init(call, fault) => {}
            (Some(0), _) => problems.extend(self.must_be_after(status.as_deref())),
            // The process was killed, and rt says so with its own code.
            (Some(137), _) if fault == Fault::Kill => {}
            (Some(_), _) if stderr.trim().is_empty() => problems.push("failed without a word".to_owned()),
            (Some(_), _) if stderr.contains("panicked") => problems.push(stderr),
            (Some(_), _) if self.subject.name == "create" && status.is_some() => {
                problems.push(format!("failed, and left the container {status:?}: {stderr}"));
            }
            (Some(_), _) => {}
            // The allocator's calls, and those before main, have nobody to tell.
            (None, Some(libc::SIGABRT | libc::SIGSEGV)) if is_allocation(call) => {}
            (_, signal) => problems.push(format!("died of signal {signal:?}: {stderr}")),
        }
        if std::env::var_os("RT_FAULTS_SHOW").is_some() {
            println!("{call:?} {fault:?}: {ended}: {status:?}: {}", self.stderr().trim_end());
        }
        problems
    }

    /// What `state` says, once that is the truth: none where there is no container.
    fn told(&self) -> Result<Option<String>, String> {
        let until = Instant::now() + Duration::from_secs(3);
        loop {
            let state = self.call(&["state", "c"])?;
            if !state.status.success() {
                let absent = state.err.contains("does not exist");
                return if absent { self.listed(None) } else { Err(format!("state: {}", state.err.trim_end())) };
            }
            let state: Value = serde_json::from_str(&state.out).map_err(|error| format!("state: {error}"))?;
            let status = state["status"].as_str().unwrap_or_default().to_owned();
            let pid = state["pid"].as_i64().unwrap_or(0) as i32;
            let lives = !matches!(status.as_str(), "stopped" | "creating");
            let true_now = if lives { trace::is_alive(pid) } else { status == "stopped" };
            if true_now {
                return self.listed(Some(status));
            }
            if Instant::now() > until {
                return Err(format!("state says {status}, pid {pid}, which is not so"));
            }
        }
    }

    fn listed(&self, status: Option<String>) -> Result<Option<String>, String> {
        let list = self.call(&["list", "--format", "json"])?;
        if !list.status.success() {
            return Err(format!("list: {}", list.err.trim_end()));
        }
        let list: Value = serde_json::from_str(&list.out).map_err(|error| format!("list: {error}"))?;
        let ours = list.as_array().and_then(|list| list.iter().find(|entry| entry["id"] == "c"));
        let told = ours.map(|entry| entry["status"].as_str().unwrap_or_default().to_owned());
        // Half a container, without a record, is listed and has no state. One may also end between the two.
        let ended = told.as_deref() == Some("stopped");
        match told == status || status.is_none() || ended {
            true => Ok(status),
            false => Err(format!("state says {status:?}, list {told:?}")),
        }
    }

    fn init(&self) -> Option<i32> {
        let state = self.call(&["state", "c"]).ok()?;
        let state: Value = serde_json::from_str(&state.out).ok()?;
        Some(state["pid"].as_i64()? as i32)
    }

    /// Removes the container by force; what is wrong with that, and what is left.
    fn clear(&self) -> Vec<String> {
        let mut problems = match self.call(&["delete", "--force", "c"]) {
            Ok(answer) if answer.status.success() => Vec::new(),
            Ok(answer) => vec![format!("delete --force: {}", answer.err.trim_end())],
            Err(problem) => vec![problem],
        };
        let cgroup = PathBuf::from(format!("/sys/fs/cgroup{}", self.sandbox.cgroup()));
        let own = cgroup.join("caller");
        let ours = |what: &String| !what.contains(own.to_str().expect("UTF-8"));
        if !trace::reap(Duration::from_secs(2)) {
            problems.push("after delete --force a process is left".to_owned());
        }
        let left = leaks::find_things(&self.before, &self.sandbox.scratch(), &self.sandbox.state_dir(), &cgroup);
        let left: Vec<_> = left.into_iter().filter(ours).collect();
        if !left.is_empty() || !problems.is_empty() {
            problems.extend(left.into_iter().map(|what| format!("left: {what}")));
            leaks::clean(&self.before, &cgroup.join("c"));
            let _ = fs::remove_dir_all(self.sandbox.state_dir().join("c"));
            trace::reap(Duration::from_secs(2));
        }
        problems
    }

    fn stream(&self, name: &str) -> PathBuf {
        self.sandbox.scratch().join(name)
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.stream("stderr")).unwrap_or_default()).trim_end().to_owned()
    }

    fn files(&self, mut command: Command) -> Command {
        let make = |name| File::create(self.stream(name)).expect("a scratch file");
        command.stdout(make("stdout")).stderr(make("stderr"));
        command
    }

    fn call(&self, words: &[&str]) -> Result<Answer, String> {
        let mut command = self.sandbox.command(words);
        let make = |name| File::create(self.stream(name)).expect("a scratch file");
        command.stdout(make("answer.out")).stderr(make("answer.err"));
        let read = |name: &str| String::from_utf8_lossy(&fs::read(self.stream(name)).unwrap_or_default()).into_owned();
        match trace::plainly(command, BOUND) {
            Some(raw) => {
                Ok(Answer { status: ExitStatus::from_raw(raw), out: read("answer.out"), err: read("answer.err") })
            }
            None => Err(format!("{} hangs: {}", words.join(" "), read("answer.err"))),
        }
    }
}

fn ends_init(call: &Call, fault: Fault) -> bool {
    fault == Fault::Kill || call.number == libc::SYS_accept4 as u64
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
