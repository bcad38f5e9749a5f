//! A command at whose every system call something can happen: what it calls, and what becomes of it when one call fails
//! or kills.
//!
//! Each process is a series of its own, named by its place in the tree (`0` is the command, `0.1` the second task that
//! it made), until it executes a program; the command itself is followed through its own execve. A call is named by
//! its series and by how many of its kind were before it there, so that scheduling between processes does not matter, and
//! one wait more or less little.

use crate::sys;
use crate::sys::ptrace::{self, At, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

/// One call of a recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub series: String,
    pub number: u64,
    /// How many calls of this number the series had before.
    pub position: usize,
}

/// What is done to the one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill,
    Fail(i32),
}

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    pub calls: Vec<Call>,
    /// The raw status of the command; none if it had to be killed at the bound.
    pub status: Option<i32>,
    /// Whether the call was found where it was expected.
    pub hit: bool,
    /// The tasks that were traced, by id.
    pub tasks: Vec<i32>,
    pub took: Duration,
}

struct Task {
    series: String,
    children: usize,
    /// How many calls it has made, by number.
    made: BTreeMap<u64, usize>,
    /// The call in which it is.
    inside: Option<u64>,
    failing: Option<i32>,
}

struct Tracer<'a> {
    fault: Option<(&'a Call, Fault)>,
    tasks: BTreeMap<i32, Task>,
    /// Tasks that stopped before their parent told of them.
    early: BTreeSet<i32>,
    main: i32,
    run: Run,
}

/// Whether this kernel lets a tracer fail a call on every processor alike.
///
/// # Errors
/// Why not.
pub fn is_possible() -> Result<(), String> {
    const SINCE: (u32, u32) = (6, 16);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").map_err(|error| error.to_string())?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version >= SINCE {
        true => Ok(()),
        false => Err(format!("PTRACE_SET_SYSCALL_INFO needs Linux 6.16, and this is {}", release.trim_end())),
    }
}

/// Runs a command as this user, to its end, and its tasks to theirs, to their execve or to where they wait to be started.
///
/// # Errors
/// What the kernel has against tracing.
pub fn run(
    mut command: Command,
    user: Option<u32>,
    beside: Option<i32>,
    fault: Option<(&Call, Fault)>,
    bound: Duration,
) -> io::Result<Run> {
    let begun = Instant::now();
    let child = ptrace::traced(&mut command, user).spawn()?;
    let main = child.id() as i32;
    let run = Run { calls: Vec::new(), status: None, hit: false, tasks: Vec::new(), took: Duration::ZERO };
    let mut tracer = Tracer { fault, tasks: BTreeMap::new(), early: BTreeSet::new(), main, run };
    // A tick may come first.
    while ptrace::wait(Some(main)).is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {}
    tracer.add(main, "0".to_owned());
    ptrace::follow(main)?;
    if let Some(init) = beside {
        ptrace::seize(init)?;
        tracer.add(init, "init".to_owned());
    }
    tracer.resume(main, 0);
    tracer.until(begun + bound)?;
    tracer.run.took = begun.elapsed();
    Ok(tracer.run)
}

impl Tracer<'_> {
    fn add(&mut self, pid: i32, series: String) {
        self.run.tasks.push(pid);
        self.tasks.insert(pid, Task { series, children: 0, made: BTreeMap::new(), inside: None, failing: None });
    }

    /// Once the fault has happened calls are of no interest any more.
    fn resume(&self, pid: i32, signal: i32) {
        let failing = self.tasks.get(&pid).is_some_and(|task| task.failing.is_some());
        ptrace::go(pid, failing || !self.run.hit, signal);
    }

    fn until(&mut self, bound: Instant) -> io::Result<()> {
        let mut ended = false;
        while !(ended && self.at_rest()) {
            match ptrace::wait(None) {
                Ok((pid, Event::Ended(status))) => {
                    if pid == self.main {
                        self.run.status = Some(status);
                        ended = true;
                    }
                    self.tasks.remove(&pid);
                }
                Ok((pid, event)) => self.stopped(pid, event)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if Instant::now() > bound {
                        self.run.status = None;
                        self.kill();
                        break;
                    }
                }
                // No child is left.
                Err(_) => break,
            }
        }
        self.leave(bound)
    }

    /// Whether nothing more will happen without another command.
    fn at_rest(&self) -> bool {
        // After the fault nobody's calls are seen.
        let waits = |task: &Task| task.inside.is_some_and(|number| number == libc::SYS_accept4 as u64);
        self.tasks.values().all(|task| task.failing.is_none() && (waits(task) || self.run.hit))
    }

    fn stopped(&mut self, pid: i32, event: Event) -> io::Result<()> {
        if !self.tasks.contains_key(&pid) {
            self.early.insert(pid);
            return Ok(());
        }
        match event {
            Event::Call => self.call(pid),
            Event::Child(child) => {
                let series = self.tasks.get_mut(&pid).map(|task| {
                    task.children += 1;
                    format!("{}.{}", task.series, task.children)
                });
                self.add(child, series.unwrap_or_default());
                if self.early.remove(&child) {
                    self.resume(child, 0);
                }
                self.resume(pid, 0);
            }
            Event::Exec if pid != self.main => {
                self.tasks.remove(&pid);
                ptrace::release(pid);
            }
            Event::Signal(signal) if signal != libc::SIGSTOP && signal != libc::SIGTRAP => self.resume(pid, signal),
            _ => self.resume(pid, 0),
        }
        Ok(())
    }

    fn call(&mut self, pid: i32) {
        let Some(task) = self.tasks.get_mut(&pid) else { return };
        match ptrace::at(pid) {
            // It may have been anywhere on its way to its wait for `start`.
            At::Entry(number)
                if task.series == "init" && task.made.is_empty() && number != libc::SYS_accept4 as u64 => {}
            At::Entry(number) => {
                task.inside = Some(number);
                let made = task.made.entry(number).or_default();
                let call = Call { series: task.series.clone(), number, position: *made };
                *made += 1;
                if let Some((_, fault)) = self.fault.filter(|(wanted, _)| !self.run.hit && **wanted == call) {
                    self.run.hit = true;
                    match fault {
                        Fault::Kill => drop(sys::kill(pid, libc::SIGKILL)),
                        // The descriptor is gone whatever close(2) says.
                        Fault::Fail(errno) if number == libc::SYS_close as u64 => task.failing = Some(errno),
                        Fault::Fail(errno) if ptrace::skip_call(pid).is_ok() => task.failing = Some(errno),
                        Fault::Fail(_) => self.run.hit = false,
                    }
                }
                self.run.calls.push(call);
            }
            _ => {
                task.inside = None;
                if let Some(errno) = task.failing.take() {
                    let _ = ptrace::fail_call(pid, errno);
                }
            }
        }
        self.resume(pid, 0);
    }

    fn kill(&mut self) {
        for pid in self.tasks.keys() {
            let _ = sys::kill(*pid, libc::SIGKILL);
        }
    }

    /// Lets go of what still runs. A tracee must be stopped for that, each thread by itself.
    fn leave(&mut self, bound: Instant) -> io::Result<()> {
        for task in self.tasks.keys() {
            let _ = sys::kill_thread(*task, libc::SIGSTOP);
        }
        let mut released = Vec::new();
        while !self.tasks.is_empty() && Instant::now() < bound + Duration::from_secs(5) {
            match ptrace::wait(None) {
                Ok((pid, Event::Ended(_))) => drop(self.tasks.remove(&pid)),
                Ok((pid, Event::Signal(libc::SIGSTOP))) => {
                    ptrace::release(pid);
                    released.push(pid);
                    self.tasks.remove(&pid);
                }
                Ok((pid, Event::Exec)) => ptrace::go(pid, false, 0),
                Ok((pid, Event::Child(child))) => {
                    self.add(child, String::new());
                    ptrace::go(pid, false, 0);
                }
                Ok((pid, Event::Signal(signal))) => ptrace::go(pid, false, signal),
                Ok((pid, Event::Call)) => ptrace::go(pid, false, 0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // One may have got another stop on the way. Not before: this takes back those that its threads have yet to get.
        for task in released {
            let _ = sys::kill(task, libc::SIGCONT);
        }
        Ok(())
    }
}

/// Once, before anything else: a bound for every wait, and no orphan that gets away.
///
/// # Errors
/// None on a kernel of this century.
pub fn prepare() -> io::Result<()> {
    ptrace::tick()?;
    ptrace::adopt_orphans()
}

/// Runs a command without looking; its raw status, or nothing if it had to be killed at the bound.
pub fn plainly(mut command: Command, bound: Duration) -> Option<i32> {
    let until = Instant::now() + bound;
    let child = command.spawn().ok()?.id() as i32;
    loop {
        // Orphans are taken up meanwhile, as the host's first process does: a pid namespace ends with its last zombie.
        match ptrace::wait(None) {
            Ok((pid, Event::Ended(status))) if pid == child => return Some(status),
            Ok(_) => {}
            Err(_) if Instant::now() > until => {
                let _ = sys::kill(child, libc::SIGKILL);
                let _ = ptrace::wait(Some(child));
                return None;
            }
            Err(_) => {}
        }
    }
}

/// Waits for every process below this one; whether none is left.
pub fn reap(bound: Duration) -> bool {
    let until = Instant::now() + bound;
    loop {
        match ptrace::wait(None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return true,
            Err(_) if Instant::now() > until => return false,
            _ => {}
        }
    }
}

/// Whether there is such a process, and it has not ended.
pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !matches!(rest.trim_start().chars().next(), None | Some('Z' | 'X')))
}

pub fn until_dead(pid: i32, bound: Duration) {
    let until = Instant::now() + bound;
    while is_alive(pid) && Instant::now() < until {
        std::thread::yield_now();
    }
}
