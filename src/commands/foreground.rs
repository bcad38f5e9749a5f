//! Staying with a process in the foreground, for `run` and `exec`.

use super::readiness::Readiness;
use crate::sys::clone::{Child, Ended, pidfd_send_signal, wait};
use crate::terminal::Relay;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::os::fd::AsFd;

/// Signals are blocked, and wait to be forwarded.
pub struct Foreground {
    signals: SignalFd,
}

impl Foreground {
    /// Blocks all signals. To be called before there is a child, so that none that is meant for it falls between.
    pub fn begin() -> Result<Foreground> {
        let mask = SigSet::all();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None).context("cannot block signals")?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Foreground { signals: SignalFd::with_flags(&mask, flags).context("cannot watch signals")? })
    }

    /// Forwards every signal to `child` and reaps orphans until the child has ended, and relays its terminal if it has
    /// one of ours. Its end is read from its pidfd, and cannot be missed however fast it is.
    pub fn stay(&self, child: &Child, mut relay: Option<Relay>, mut readiness: Option<Readiness>) -> Result<Ended> {
        let signals = &self.signals;
        let pidfd = child.pidfd.as_fd();
        loop {
            let watch = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let idle = || [watch(pidfd), watch(pidfd), watch(pidfd)];
            let [a, b, c] = relay.as_ref().map_or_else(idle, |relay| relay.interests(pidfd));
            let ready = readiness.as_ref().map_or(pidfd, AsFd::as_fd);
            let mut fds = [watch(pidfd), watch(signals.as_fd()), watch(ready), a, b, c];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("cannot wait for the container"),
            }
            let ended = fds[0].any().unwrap_or(false);
            if let Some(ready) = readiness.take_if(|ready| ready.is_told()) {
                // We stay, and are the service's process.
                let _ = ready.tell(None);
            }
            if ended {
                if let Some(relay) = relay {
                    relay.drain();
                }
                return wait(pidfd).context("cannot learn how the process ended");
            }
            if relay.as_mut().is_some_and(|relay| !relay.copy()) {
                // The caller's terminal has hung up; so does the container's, once both of its ends here are closed.
                relay = None;
            }
            while let Ok(Some(info)) = signals.read_signal() {
                match info.ssi_signo as i32 {
                    libc::SIGCHLD => reap_others(child.pid),
                    libc::SIGWINCH => relay.iter().for_each(Relay::resize),
                    libc::SIGURG => {}
                    // We were stopped, and the shell has had the terminal meanwhile.
                    libc::SIGCONT => {
                        relay.iter().for_each(Relay::resume);
                        let _ = pidfd_send_signal(pidfd, libc::SIGCONT);
                    }
                    signal => drop(pidfd_send_signal(pidfd, signal)),
                }
            }
        }
    }
}

/// Reaps orphans that came to us as the subreaper, but never init, whose status is still wanted.
fn reap_others(init: Pid) {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(status) = waitid(Id::All, look) {
        match status.pid() {
            Some(pid) if pid != init && status != WaitStatus::StillAlive => {
                let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
            }
            _ => return,
        }
    }
}
