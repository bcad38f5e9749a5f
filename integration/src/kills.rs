//! A command that is killed at one of its system calls, whoever's program it is: the calls of all threads of its process
//! are counted as one row, and other processes that it makes are left alone.

use crate::sys;
use crate::sys::ptrace::{self, At, Event};
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

/// What came of a run.
#[derive(Debug, Default)]
pub struct Ended {
    /// How many calls the process made.
    pub calls: usize,
    /// The raw status; none if the command had to be killed at the bound.
    pub status: Option<i32>,
}

/// Runs a command to its end, or to its call number `at`, at whose beginning SIGKILL comes.
///
/// # Errors
/// What the kernel has against tracing.
pub fn run(mut command: Command, at: Option<usize>, bound: Duration) -> io::Result<Ended> {
    let until = Instant::now() + bound;
    let process = ptrace::traced(&mut command, None).spawn()?.id() as i32;
    while ptrace::wait(Some(process)).is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {}
    ptrace::follow_threads(process)?;
    let mut ended = Ended::default();
    let mut killed = false;
    ptrace::go(process, true, 0);
    loop {
        match ptrace::wait(None) {
            // A clone of it that is no thread.
            Ok((pid, Event::Signal(_) | Event::Call)) if !is_thread(pid, process) => ptrace::release(pid),
            Ok((pid, Event::Ended(status))) if pid == process => {
                ended.status = Some(status);
                return Ok(ended);
            }
            Ok((_, Event::Ended(_))) => {}
            Ok((pid, Event::Call)) => {
                if matches!(ptrace::at(pid), At::Entry(_)) {
                    ended.calls += 1;
                    if at.is_some_and(|at| ended.calls == at + 1) {
                        killed = true;
                        sys::kill(process, libc::SIGKILL)?;
                    }
                }
                ptrace::go(pid, !killed, 0);
            }
            Ok((pid, Event::Signal(signal))) if signal != libc::SIGSTOP && signal != libc::SIGTRAP => {
                ptrace::go(pid, !killed, signal);
            }
            Ok((pid, _)) => ptrace::go(pid, !killed, 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                if Instant::now() > until {
                    let _ = sys::kill(process, libc::SIGKILL);
                    killed = true;
                }
                if Instant::now() > until + Duration::from_secs(5) {
                    return Ok(ended);
                }
            }
            Err(_) => return Ok(ended),
        }
    }
}

fn is_thread(pid: i32, process: i32) -> bool {
    std::path::Path::new(&format!("/proc/{process}/task/{pid}")).exists()
}
