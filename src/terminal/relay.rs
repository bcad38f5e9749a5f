//! Between the caller's terminal and the container's, while rt stays in the foreground.

use crate::sys::tty;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{read, write};
use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A pipe that polls as writable takes at least this much without blocking (PIPE_BUF, pipe(7)).
const CHUNK: usize = 4096;

/// How long the caller may take for each piece of the output that is left when the process has ended.
const LAST_WORDS: u16 = 10_000;

/// Copies both ways. Dropping it gives the caller's terminal its own mode back.
pub struct Relay {
    master: OwnedFd,
    /// Kept open, so that a container that closes and reopens its terminal is no end of it.
    _slave: OwnedFd,
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    inward: Vec<u8>,
    outward: Vec<u8>,
    raw: Option<Raw>,
}

impl Relay {
    /// Starts with the caller's terminal made raw, if there is one.
    pub fn begin(master: OwnedFd) -> Result<Relay> {
        let slave = tty::peer(&master).context("cannot open the container's terminal")?;
        // Ours alone: the container's side has closed its copy.
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK)).context("cannot set up the terminal")?;
        Ok(Relay {
            master,
            _slave: slave,
            input: Some(stdin().as_fd().try_clone_to_owned().context("cannot keep standard input")?),
            output: Some(unblocking(stdout().as_fd()).context("cannot keep standard output")?),
            inward: Vec::with_capacity(CHUNK),
            outward: Vec::with_capacity(CHUNK),
            raw: Raw::enter(stdin().as_fd().try_clone_to_owned().context("cannot keep standard input")?),
        })
    }

    /// Gives the container's terminal the size that the caller's has by now.
    pub fn resize(&self) {
        fit(self.master.as_fd());
    }

    /// After a stop: as at the beginning.
    pub fn resume(&self) {
        self.raw.iter().for_each(Raw::set);
        self.resize();
    }

    /// What has to be polled for copying to go on; `idle` stands in for what need not be. Nothing is allocated: this
    /// loop may go on for weeks.
    pub fn interests<'a>(&'a self, idle: BorrowedFd<'a>) -> [PollFd<'a>; 3] {
        let mut master = PollFlags::empty();
        master.set(PollFlags::POLLIN, self.outward.is_empty());
        master.set(PollFlags::POLLOUT, !self.inward.is_empty());
        let or_idle = |fd: Option<BorrowedFd<'a>>, flags| match fd {
            Some(fd) => PollFd::new(fd, flags),
            None => PollFd::new(idle, PollFlags::POLLIN),
        };
        let input = self.input.as_ref().filter(|_| self.inward.is_empty()).map(AsFd::as_fd);
        let output = self.output.as_ref().filter(|_| !self.outward.is_empty()).map(AsFd::as_fd);
        [
            or_idle(Some(self.master.as_fd()).filter(|_| !master.is_empty()), master),
            or_idle(input, PollFlags::POLLIN),
            or_idle(output, PollFlags::POLLOUT),
        ]
    }

    /// Copies what can be copied without waiting. False once the caller's terminal has hung up; other input just ends.
    #[must_use]
    pub fn copy(&mut self) -> bool {
        if self.inward.is_empty() && self.input.as_ref().is_some_and(|input| is_ready(input.as_fd(), PollFlags::POLLIN))
        {
            match self.input.as_ref().map(|input| fill(input.as_fd(), &mut self.inward)) {
                Some(Ok(n)) if n > 0 => {}
                Some(Err(Errno::EAGAIN | Errno::EINTR)) => {}
                _ => {
                    if self.raw.is_some() && self.input.take().is_some_and(|input| has_hung_up(input.as_fd())) {
                        return false;
                    }
                    self.input = None;
                }
            }
        }
        // A terminal that takes nothing more now is asked again when it polls as writable.
        let _ = empty(self.master.as_fd(), &mut self.inward);
        if self.outward.is_empty() {
            let _ = fill(self.master.as_fd(), &mut self.outward);
        }
        if self.output.is_none() {
            self.outward.clear();
        }
        self.put_out();
        true
    }

    fn put_out(&mut self) {
        let Some(output) = self.output.as_ref() else { return };
        if !self.outward.is_empty()
            && is_ready(output.as_fd(), PollFlags::POLLOUT)
            && let Err(errno) = empty(output.as_fd(), &mut self.outward)
            && !matches!(errno, Errno::EAGAIN | Errno::EINTR)
        {
            // Nobody listens any more. The process has a terminal all the same, which must not fill up and stop it.
            self.output = None;
            self.outward.clear();
        }
    }

    /// Copies what the process, which has ended, has left to be read. A read of the master waits for nothing, yet
    /// misses nothing: the kernel moves what is on its way before it says that there is no more.
    pub fn drain(mut self) {
        loop {
            while let Some(output) = self.output.as_ref().filter(|_| !self.outward.is_empty()) {
                let mut fds = [PollFd::new(output.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut fds, PollTimeout::from(LAST_WORDS)) == Ok(0) {
                    return;
                }
                self.put_out();
            }
            if self.output.is_none() || !matches!(fill(self.master.as_fd(), &mut self.outward), Ok(n) if n > 0) {
                return;
            }
        }
    }
}

/// Gives the terminal behind `master` the size of the caller's, if that is one and has a size.
pub fn fit(master: BorrowedFd) {
    let own = [stdin().as_fd(), stdout().as_fd(), stderr().as_fd()].into_iter().find_map(|fd| tty::size(fd).ok());
    if let Some(size) = own.filter(|size| size.rows > 0 && size.columns > 0) {
        let _ = tty::set_size(master, size);
    }
}

fn is_ready(fd: BorrowedFd, flags: PollFlags) -> bool {
    poll(&mut [PollFd::new(fd, flags)], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn has_hung_up(fd: BorrowedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0].revents().is_some_and(|found| found.contains(PollFlags::POLLHUP))
}

fn fill(from: BorrowedFd, buffer: &mut Vec<u8>) -> nix::Result<usize> {
    let mut chunk = [0; CHUNK];
    let n = read(from, &mut chunk)?;
    buffer.extend_from_slice(&chunk[..n]);
    Ok(n)
}

fn empty(to: BorrowedFd, buffer: &mut Vec<u8>) -> nix::Result<()> {
    if !buffer.is_empty() {
        let n = write(to, buffer)?;
        buffer.drain(..n);
    }
    Ok(())
}

/// A terminal may take any time (Ctrl-S), and our copy of the fd is shared with the caller, who must not find it
/// non-blocking: so it is opened anew. Other files never block, or not for a chunk after they polled as writable.
fn unblocking(fd: BorrowedFd) -> std::io::Result<OwnedFd> {
    if tty::size(fd).is_ok() {
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
        if let Ok(own) = nix::fcntl::open(path.as_str(), flags, Mode::empty()) {
            return Ok(own);
        }
    }
    fd.try_clone_to_owned()
}

/// A terminal in raw mode: keys go to the container as they are, Ctrl-C too.
struct Raw {
    terminal: OwnedFd,
    before: Termios,
    raw: Termios,
}

impl Raw {
    /// Nothing, where this is no terminal.
    fn enter(terminal: OwnedFd) -> Option<Raw> {
        let before = tcgetattr(&terminal).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&terminal, SetArg::TCSANOW, &raw).ok()?;
        Some(Raw { terminal, before, raw })
    }

    fn set(&self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.raw);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}
