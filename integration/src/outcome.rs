//! rt as a child with a clock.

use crate::{sys, time_limit};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Held by a thread that forks, and by one that writes a program: a child has all descriptors until its execve, and the
/// kernel executes no file that somebody may still write to.
static FORKING: Mutex<()> = Mutex::new(());

/// Copies a program that will be executed.
///
/// # Errors
/// What the filesystem said.
pub fn copy_program(from: &Path, to: &Path) -> std::io::Result<()> {
    let _forking = FORKING.lock();
    fs::copy(from, to).map(drop)
}

/// What one call of rt did. Its streams are files, so that a container which outlives the call blocks nobody.
pub struct Outcome {
    pub status: ExitStatus,
    call: String,
    out: PathBuf,
    err: PathBuf,
}

impl Outcome {
    /// All of standard output so far: a container that still runs may have added to it since.
    pub fn stdout(&self) -> String {
        read(&self.out)
    }

    /// All of standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.err)
    }

    pub fn lines(&self) -> Vec<String> {
        self.stdout().lines().map(str::to_owned).collect()
    }

    /// The exit code; 128+N for a death by signal N, as a shell has it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Fails the test unless rt succeeded.
    #[track_caller]
    pub fn ok(self) -> Outcome {
        assert!(self.status.success(), "{}", self.report());
        self
    }

    /// Fails the test unless rt ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Outcome {
        assert!(self.code() == code, "expected exit code {code}: {}", self.report());
        self
    }

    /// Fails the test unless rt failed with one line on standard error that contains this text.
    #[track_caller]
    pub fn fails_with(self, text: &str) -> Outcome {
        let stderr = self.stderr();
        assert!(!self.status.success(), "expected a failure: {}", self.report());
        assert!(stderr.contains(text), "expected {text:?}: {}", self.report());
        assert!(stderr.trim_end().lines().count() == 1, "expected one line: {}", self.report());
        self
    }

    /// Waits until standard output contains the text.
    #[track_caller]
    pub fn wait_stdout(&self, text: &str) {
        wait_for(&self.out, text, None, &self.call);
    }

    pub fn report(&self) -> String {
        format!("{}: {}\n--- stdout\n{}--- stderr\n{}", self.call, self.status, self.stdout(), self.stderr())
    }
}

/// A call of rt that has not ended.
pub struct Running {
    child: Option<Child>,
    call: String,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Starts it with its streams in files named after `stem`.
    #[track_caller]
    pub(crate) fn start(mut command: Command, stem: PathBuf) -> Running {
        command.stdout(make(&stem.with_extension("out")));
        Running::start_beside(command, stem)
    }

    /// The same, with the standard output that the command has already.
    #[track_caller]
    pub(crate) fn start_beside(mut command: Command, stem: PathBuf) -> Running {
        let (out, err) = (stem.with_extension("out"), stem.with_extension("err"));
        command.stderr(make(&err));
        let call = format!("{command:?}");
        let _forking = FORKING.lock();
        let child = command.spawn().unwrap_or_else(|error| panic!("{call}: {error}"));
        Running { child: Some(child), call, out, err }
    }

    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("not waited for").id() as i32
    }

    pub fn signal(&self, signal: i32) {
        sys::kill(self.pid(), signal).expect("a child that was not waited for");
    }

    pub fn is_running(&self) -> bool {
        let pidfd = sys::pidfd_open(self.pid()).expect("pidfd_open");
        !sys::poll(&[&pidfd], Instant::now()).expect("poll")[0]
    }

    /// Stops it, and returns once it has.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        sys::wait_stopped(self.pid()).expect("a child that was not waited for");
    }

    pub fn stdout(&self) -> String {
        read(&self.out)
    }

    /// Waits until standard output contains the text; fails if rt ends before.
    #[track_caller]
    pub fn wait_stdout(&self, text: &str) {
        wait_for(&self.out, text, Some(self.pid()), &self.call);
    }

    /// Waits for its end; past the time limit it is killed and the test fails.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        let pidfd = sys::pidfd_open(self.pid()).expect("pidfd_open");
        let until = Instant::now() + time_limit();
        while !sys::poll(&[&pidfd], until).expect("poll")[0] {
            if Instant::now() >= until {
                let call = self.call.clone();
                let (out, err) = (read(&self.out), read(&self.err));
                drop(self);
                panic!("{call}: no end after {:?}\n--- stdout\n{out}--- stderr\n{err}", time_limit());
            }
        }
        let status = self.child.take().expect("not waited for").wait().expect("it has ended");
        Outcome { status, call: self.call.clone(), out: self.out.clone(), err: self.err.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn make(path: &PathBuf) -> File {
    File::options().append(true).create_new(true).open(path).expect("a scratch file")
}

fn read(path: &PathBuf) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Waits for the end of a process that need not be a child, and says whether it came in this time.
///
/// # Errors
/// poll(2)'s.
pub fn ends_within(pid: i32, limit: Duration) -> io::Result<bool> {
    let Ok(pidfd) = sys::pidfd_open(pid) else { return Ok(true) };
    sys::poll(&[&pidfd], Instant::now() + limit).map(|ended| ended[0])
}

/// Waits for the end of a process that need not be a child.
#[track_caller]
pub fn wait_end(pid: i32) {
    assert!(ends_within(pid, time_limit()).expect("poll"), "process {pid} did not end in time");
}

/// Waits until a file contains the text.
#[track_caller]
pub fn wait_text(path: &std::path::Path, text: &str) {
    wait_for(&path.to_owned(), text, None, "the test");
}

#[track_caller]
fn wait_for(path: &PathBuf, text: &str, writer: Option<i32>, call: &str) {
    let watch = sys::watch(path).expect("inotify");
    let pidfd = writer.and_then(|pid| sys::pidfd_open(pid).ok());
    let until = Instant::now() + time_limit();
    let mut ended = false;
    while !read(path).contains(text) {
        assert!(!ended, "{call}: ended without {text:?}; printed {:?}", read(path));
        assert!(Instant::now() < until, "{call}: no {text:?} in time; printed {:?}", read(path));
        let fds: Vec<_> = [Some(&watch), pidfd.as_ref()].into_iter().flatten().collect();
        let ready = sys::poll(&fds, until).expect("poll");
        ended = ready.get(1) == Some(&true);
        sys::drain(&watch);
    }
}

/// Standard input that has ended.
pub(crate) fn no_input() -> Stdio {
    Stdio::null()
}
