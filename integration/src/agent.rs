//! A seccomp agent: it gets the listener of a filter and answers for the calls that are asked about.

use crate::pty;
use crate::sys::{self, check};
use crate::time_limit;
use serde_json::Value;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// `_IOWR('!', 0, struct seccomp_notif)` and `_IOWR('!', 1, struct seccomp_notif_resp)`.
const RECEIVE: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const CONTINUE: u32 = 1;

pub struct Agent {
    pub path: PathBuf,
    listener: UnixListener,
}

/// What the agent answers.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The call succeeds and returns this.
    Value(i64),
    Errno(i32),
    /// The kernel carries the call out.
    Continue,
}

impl Agent {
    pub fn at(path: &Path) -> Agent {
        Agent { path: path.to_owned(), listener: UnixListener::bind(path).expect("a socket") }
    }

    /// Takes one connection: its state, and the listener.
    pub fn receive(&self) -> (Value, OwnedFd) {
        let (data, mut fds) = pty::receive(&self.listener).expect("a message");
        assert_eq!(fds.len(), 1, "exactly one fd");
        (serde_json::from_slice(&data).expect("JSON"), fds.remove(0))
    }

    /// Takes one connection and answers the calls that follow with `answers`, in order. Joined, the thread gives the
    /// state and the pids and numbers of the calls.
    pub fn serve(self, answers: Vec<Answer>) -> std::thread::JoinHandle<(Value, Vec<(u32, i32)>)> {
        std::thread::spawn(move || {
            let (state, filter) = self.receive();
            let calls = answers.into_iter().map(|given| answer(&filter, given).expect("a notification")).collect();
            (state, calls)
        })
    }
}

/// Answers the next call: its process and its number.
pub fn answer(filter: &OwnedFd, answer: Answer) -> io::Result<(u32, i32)> {
    if !sys::poll(&[filter], Instant::now() + time_limit())?[0] {
        return Err(io::Error::other("no call in time"));
    }
    // SAFETY: plain data; the kernel wants it zeroed.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live seccomp_notif.
    check(unsafe { libc::ioctl(filter.as_raw_fd(), RECEIVE as _, &mut call) })?;
    let (val, error, flags) = match answer {
        Answer::Value(value) => (value, 0, 0),
        Answer::Errno(errno) => (0, -errno, 0),
        Answer::Continue => (0, 0, CONTINUE),
    };
    let response = libc::seccomp_notif_resp { id: call.id, val, error, flags };
    // SAFETY: the pointer is to a live seccomp_notif_resp.
    check(unsafe { libc::ioctl(filter.as_raw_fd(), SEND as _, &response) })?;
    Ok((call.pid, call.data.nr))
}
