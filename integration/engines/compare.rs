//! What is compared, and the comparison.

use crate::Options;
use crate::known::Known;
use crate::outcome::{Outcome, normal};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What the operations of every engine may call, before its own prelude.
const COMMON: &str = include_str!("common.sh");

/// Seconds that one operation may take: under emulation an engine needs ten for what else is one.
const TIME_LIMIT: &str = "400";

/// An engine and what is asked of it. Scripts are for `sh -eu`. They run in `$WORK`, a folder that holds before `start` what
/// base.sh puts there; `$RUNTIME` is the name of the runtime and `$RUNTIME_PATH` its path, `$CONFIG` the folder docs/engines,
/// `$CRI` the driver of CRI services, `$SELF` this program, and `$NATIVE` is 1 in a native run and else empty.
pub struct Engine {
    pub name: &'static str,
    /// Starts it, for one runtime; it must come back.
    pub start: &'static str,
    /// Ends all that `start` began.
    pub stop: &'static str,
    /// Stands before the script of each operation: what they share.
    pub prelude: &'static str,
    pub operations: &'static [Operation],
    pub known: &'static [Known],
}

/// One thing that an engine is asked for. Exit code, standard output and standard error are compared, so its script prints
/// what is the same each time.
pub struct Operation {
    pub name: &'static str,
    pub code: i32,
    pub script: &'static str,
    /// Only where all is there that the full virtual machine has: every controller, systemd, a bridge.
    full: bool,
    /// Under emulation, where an engine takes twenty times as long, only where all is wanted: another operation shows nearly
    /// as much.
    long: bool,
}

/// Can be asked for on any host.
pub const fn any(name: &'static str, code: i32, script: &'static str) -> Operation {
    Operation { name, code, script, full: false, long: false }
}

/// Needs the full virtual machine.
pub const fn full(name: &'static str, code: i32, script: &'static str) -> Operation {
    Operation { full: true, ..any(name, code, script) }
}

/// Can be asked for on any host, and is left out where time is short.
pub const fn long(name: &'static str, code: i32, script: &'static str) -> Operation {
    Operation { long: true, ..any(name, code, script) }
}

/// Needs the full virtual machine, and is left out where time is short.
pub const fn full_long(name: &'static str, code: i32, script: &'static str) -> Operation {
    Operation { long: true, ..full(name, code, script) }
}

/// Counts of all that was compared.
#[derive(Default)]
pub struct Tally {
    operations: usize,
    same: usize,
    explained: usize,
    unexplained: usize,
    /// Lines about what is wrong with the tables themselves, or with both runtimes.
    wrong: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.operations += other.operations;
        self.same += other.same;
        self.explained += other.explained;
        self.unexplained += other.unexplained;
        self.wrong.extend(other.wrong.iter().cloned());
    }

    pub fn is_clean(&self) -> bool {
        self.unexplained == 0 && self.wrong.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        for line in &self.wrong {
            writeln!(out, "WRONG  {line}")?;
        }
        let Tally { operations, same, explained, unexplained, .. } = self;
        write!(
            out,
            "engines: {operations} operations, {same} the same, {explained} explained, {unexplained} unexplained"
        )
    }
}

impl Engine {
    /// Runs every operation with the one runtime and then with the other, and says of each what came of it.
    pub fn compare(&self, options: &Options) -> io::Result<Tally> {
        let wanted = |operation: &&Operation| {
            let named = options.only.is_empty() || options.only.iter().any(|only| operation.name.contains(only));
            let in_time = !operation.long || options.native || options.whole || !options.only.is_empty();
            named && in_time && !(operation.full && options.native)
        };
        let operations: Vec<_> = self.operations.iter().filter(wanted).collect();
        let rt = Runner::new(self, "rt", &options.rt, options)?.all(&operations)?;
        let runc = Runner::new(self, "runc", &options.runc, options)?.all(&operations)?;
        Ok(self.judge(&operations, &rt, &runc, options.only.is_empty() && !options.native))
    }

    /// `all`: every operation ran, so each known difference must have shown.
    fn judge(&self, operations: &[&Operation], rt: &[Outcome], runc: &[Outcome], all: bool) -> Tally {
        let mut tally = Tally { operations: operations.len(), ..Tally::default() };
        let mut used = vec![false; self.known.len()];
        println!("\n{:9}  {:15}  {:8}  {:8}  operation", "", "", "rt", "runc");
        for ((operation, rt), runc) in operations.iter().zip(rt).zip(runc) {
            let mut expected = runc.text.clone();
            let mut reasons = Vec::new();
            for (known, used) in self.known.iter().zip(&mut used) {
                let explained = (known.name == operation.name).then(|| known.explain(&rt.text, &expected)).flatten();
                if let Some(explained) = explained {
                    expected = explained;
                    reasons.push(known.reason);
                    *used = true;
                }
            }
            let verdict = match (rt.text == expected, reasons.is_empty()) {
                (true, true) => "same",
                (true, false) => "explained",
                (false, _) => "DIFFERENT",
            };
            println!("{verdict:9}  {:15}  {rt:8}  {runc:8}  {}", self.name, operation.name);
            reasons.iter().for_each(|reason| println!("{:48}because {reason}", ""));
            match verdict {
                "same" => tally.same += 1,
                "explained" => tally.explained += 1,
                _ => {
                    tally.unexplained += 1;
                    println!("--- rt\n{}\n--- runc\n{}\n---", rt.text, runc.text);
                }
            }
            if rt.code != operation.code {
                let (code, due) = (rt.code, operation.code);
                tally.wrong.push(format!("{}: {}: exit {code} with rt, where {due} is due", self.name, operation.name));
            }
        }
        for (known, used) in self.known.iter().zip(used) {
            let asked = operations.iter().any(|operation| operation.name == known.name);
            if !(all && asked) || used {
                continue;
            }
            tally.wrong.push(format!("{}: a known difference that did not show: {}", self.name, known.name));
        }
        tally
    }
}

/// One runtime below an engine, and where its scripts run.
struct Runner<'a> {
    engine: &'a Engine,
    name: &'static str,
    path: &'a Path,
    work: PathBuf,
    config: PathBuf,
    native: bool,
}

impl<'a> Runner<'a> {
    fn new(engine: &'a Engine, name: &'static str, path: &'a Path, options: &Options) -> io::Result<Runner<'a>> {
        let work = PathBuf::from(format!("/var/tmp/rt-engines-{}", engine.name));
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        fs::create_dir(&work)?;
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/engines").canonicalize()?;
        Ok(Runner { engine, name, path, work, config, native: options.native })
    }

    /// Starts the engine, asks it for every operation, and stops it.
    fn all(&self, operations: &[&Operation]) -> io::Result<Vec<Outcome>> {
        self.run(include_str!("base.sh"))?;
        let outcomes = self.engine("start", self.engine.start).and_then(|()| {
            operations
                .iter()
                .map(|operation| {
                    let began = Instant::now();
                    let outcome = self.run(&format!("{COMMON}\n{}\n{}", self.engine.prelude, operation.script))?;
                    let took = began.elapsed().as_secs_f32();
                    println!("{took:5.1} s  {} {:5} {outcome:8} {}", self.engine.name, self.name, operation.name);
                    if outcome.code != operation.code {
                        println!("{}", outcome.text);
                    }
                    Ok(outcome)
                })
                .collect()
        });
        let stopped = self.engine("stop", self.engine.stop);
        // What kept it from starting comes first: then it hardly stops either.
        outcomes.and_then(|outcomes| stopped.map(|()| outcomes))
    }

    /// Starts or stops the engine, which must succeed.
    fn engine(&self, what: &str, script: &str) -> io::Result<()> {
        let began = Instant::now();
        let outcome = self.run(script)?;
        println!("{:5.1} s  {} {:5} {outcome:8} {what}", began.elapsed().as_secs_f32(), self.engine.name, self.name);
        match outcome.code {
            0 => Ok(()),
            _ => Err(io::Error::other(format!("it does not {what}:\n{}", outcome.text))),
        }
    }

    /// The output goes by way of files: a daemon that a script starts would keep a pipe open.
    fn run(&self, script: &str) -> io::Result<Outcome> {
        let [out, err] = ["stdout", "stderr"].map(|stream| self.work.join(stream));
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", TIME_LIMIT, "sh", "-euc", script]).current_dir(&self.work);
        command.env("RUNTIME", self.name).env("RUNTIME_PATH", self.path).env("LC_ALL", "C");
        command.env("WORK", &self.work).env("CONFIG", &self.config).env("NATIVE", if self.native { "1" } else { "" });
        let own = std::env::current_exe()?;
        command.env("CRI", own.with_file_name("rt-cri")).env("SELF", own);
        let status = command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&err)?).status()?;
        let text = |file| fs::read(file).map(|bytes| normal(&String::from_utf8_lossy(&bytes), self.name, self.path));
        Ok(Outcome::new(status.code().unwrap_or(-1), &text(&out)?, &text(&err)?))
    }
}
