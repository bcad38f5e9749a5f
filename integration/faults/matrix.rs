//! One command on one shape, at each of its calls.

use crate::commands::{Before, Subject};
use crate::errnos;
use crate::scene::{self, Scene};
use crate::shapes::{Form, Shape};
use rt_integration::leaks;
use rt_integration::trace::{self, Call, Fault, Run};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// A case that takes longer hangs: every wait of rt's own ends before.
pub const BOUND: Duration = Duration::from_secs(14);
/// How often a call is looked for where scheduling may have moved it.
const TRIES: usize = 12;
/// How often a command is recorded: a poll(2) more or less is no matter of the command's.
const RECORDINGS: usize = 3;

/// # Errors
/// What this machine lacks.
pub fn run(subject: &Subject, shape: &Shape, form: Form) -> Result<bool, String> {
    trace::prepare().map_err(|error| error.to_string())?;
    let sandbox = scene::sandbox(shape, form)?;
    let scene = Scene::set(&sandbox, shape, subject)?;
    let name = format!("{} {} {}", subject.name, shape.name, form.name());
    let said = RefCell::default();
    let mut matrix = Matrix { before: scene.before(), scene, subject, said };
    Ok(matrix.all(&name))
}

pub struct Matrix<'a> {
    pub scene: Scene<'a>,
    pub subject: &'a Subject,
    pub before: leaks::Before,
    /// Every error line that was printed, once.
    pub said: RefCell<BTreeSet<String>>,
}

/// What an untraced call of rt answered.
pub struct Answer {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

#[derive(Default)]
struct Counts {
    injected: usize,
    killed: usize,
    failed: usize,
    sure: usize,
    bad: usize,
    /// Of calls that not every recording has, those that did not come again.
    rare: usize,
    slowest: Duration,
}

impl Matrix<'_> {
    fn all(&mut self, name: &str) -> bool {
        // The first container of a place has more to make than the next.
        let recorded = self.attempt(None).and_then(|_| {
            self.scene.count_keys();
            (0..RECORDINGS).map(|_| Ok(self.attempt(None)?.calls)).collect::<Result<Vec<_>, String>>()
        });
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err(problem) => {
                println!("{name}: not recorded: {problem}");
                return false;
            }
        };
        let calls = &recorded[0];
        let begun = Instant::now();
        let only: Option<usize> = std::env::var("RT_FAULTS_CALL").ok().and_then(|text| text.parse().ok());
        let mut counts = Counts::default();
        for (number, call) in calls.iter().enumerate().filter(|(number, _)| only.is_none_or(|only| only == *number)) {
            let always = recorded.iter().all(|calls| calls.contains(call));
            self.at(name, number, call, always, &mut counts);
        }
        let Counts { injected, killed, failed, sure, bad, rare, slowest } = counts;
        println!(
            "{name}: {} calls traced, {injected} injected; clean: {killed} killed, {failed} failed ({sure} cannot); \
             {rare} not met again; {bad} not clean; {} different errors; {:.1} s, slowest {} ms",
            calls.len(),
            self.said.borrow().len(),
            begun.elapsed().as_secs_f64(),
            slowest.as_millis()
        );
        if std::env::var_os("RT_FAULTS_WORDS").is_some() {
            self.said.borrow().iter().for_each(|line| println!("  {line}"));
        }
        bad == 0
    }

    /// Both faults at one call.
    fn at(&self, name: &str, number: usize, call: &Call, always: bool, counts: &mut Counts) {
        let Some((word, errno)) = errnos::of(call.number) else {
            println!("{name}: call {number}: no errno is listed for system call {}", call.number);
            counts.bad += 1;
            return;
        };
        counts.injected += 1;
        counts.sure += usize::from(errno.is_none());
        for fault in [Some(Fault::Kill), errno.map(Fault::Fail)].into_iter().flatten() {
            let case = Instant::now();
            let problems = match self.case(call, fault) {
                Some(problems) => problems,
                None if always && self.is_certain(call) => vec!["the call was not found again".to_owned()],
                None => {
                    counts.rare += 1;
                    continue;
                }
            };
            counts.slowest = counts.slowest.max(case.elapsed());
            let count = if fault == Fault::Kill { &mut counts.killed } else { &mut counts.failed };
            *count += usize::from(problems.is_empty());
            counts.bad += usize::from(!problems.is_empty());
            for problem in problems {
                let what = match fault {
                    Fault::Kill => "killed".to_owned(),
                    Fault::Fail(errno) => format!("{:?}", std::io::Error::from_raw_os_error(errno).kind()),
                };
                println!("{name}: call {number} ({} {word} {}) {what}: {problem}", call.series, call.position);
            }
        }
    }

    /// Whether the command makes the call each time: what took one read more a minute ago may take one less by now.
    fn is_certain(&self, call: &Call) -> bool {
        // What cannot be recorded excuses nothing.
        (0..RECORDINGS).all(|_| self.attempt(None).map_or(true, |run| run.calls.contains(call)))
    }

    /// One fault, and all that must hold after it: what does not. Nothing where the call was not made again.
    fn case(&self, call: &Call, fault: Fault) -> Option<Vec<String>> {
        for _ in 0..TRIES {
            let mut problems = match self.attempt(Some((call, fault))) {
                Ok(run) if !run.hit => {
                    self.clear();
                    continue;
                }
                Ok(run) => self.judge(&run, call, fault),
                Err(problem) => vec![problem],
            };
            problems.extend(self.clear());
            return Some(problems);
        }
        None
    }

    /// Brings the container to where the command wants it, and runs the command.
    fn attempt(&self, fault: Option<(&Call, Fault)>) -> Result<Run, String> {
        self.scene.prepare()?;
        for step in self.subject.before.steps() {
            let answer = self.call(step)?;
            if !answer.status.success() {
                return Err(format!("before: {step:?}: {}", answer.err.trim_end()));
            }
        }
        let init = self.init();
        if self.subject.before == Before::Stopped {
            trace::until_dead(init.unwrap_or(0), BOUND);
        }
        let beside = init.filter(|_| self.subject.before == Before::Created);
        let sandbox = self.scene.sandbox;
        let command = self.streams(sandbox.command_of_root(self.scene.words(self.subject.words)), "std");
        let run = trace::run(command, sandbox.user(), beside, fault, BOUND);
        let run = run.map_err(|error| format!("tracing: {error}"))?;
        if fault.is_none() {
            let problems = self.expect_success(&run);
            let left = self.clear();
            if let Some(problem) = problems.into_iter().chain(left).next() {
                return Err(problem);
            }
        }
        Ok(run)
    }

    fn init(&self) -> Option<i32> {
        let state = self.call(&["state", "ID"]).ok()?;
        let state: Value = serde_json::from_str(&state.out).ok()?;
        Some(state["pid"].as_i64()? as i32)
    }

    fn stream(&self, name: &str) -> PathBuf {
        self.scene.sandbox.scratch().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.stream(name)).unwrap_or_default()).into_owned()
    }

    /// What the traced command has printed.
    pub fn stderr(&self) -> String {
        self.read("std.err").trim_end().to_owned()
    }

    fn streams(&self, mut command: Command, name: &str) -> Command {
        let make = |end: &str| File::create(self.stream(&format!("{name}.{end}"))).expect("a scratch file");
        command.stdout(make("out")).stderr(make("err"));
        self.scene.hand_in(&mut command);
        command
    }

    pub fn call(&self, words: &[&str]) -> Result<Answer, String> {
        let command = self.streams(self.scene.sandbox.command(self.scene.words(words)), "answer");
        match trace::plainly(command, BOUND) {
            Some(raw) => Ok(Answer {
                status: ExitStatus::from_raw(raw),
                out: self.read("answer.out"),
                err: self.read("answer.err"),
            }),
            None => Err(format!("{} hangs: {}", words.join(" "), self.read("answer.err"))),
        }
    }
}
