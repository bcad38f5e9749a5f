//! Who outside gets an fd of a new process: reached before there is one, so that a socket that nobody listens at costs
//! nothing but an error.

use crate::confine::ProcessPlan;
use crate::fault::Fault;
use crate::handover;
use crate::seccomp::{Notify, agent};
use crate::sys::clone::Child;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The connections of one launch, and what was kept for want of one.
#[derive(Default)]
pub struct Outlets {
    console: Option<OwnedFd>,
    pidfd: Option<OwnedFd>,
    agent: Option<(OwnedFd, Notify)>,
    /// The master of the process's pty, where no console socket took it.
    pub master: Option<OwnedFd>,
}

impl Outlets {
    /// Connects to what the caller and the profile named. With `later`, the agent is only looked for: `start` will
    /// connect to it, since one that serves its connections one by one must not be kept waiting until then.
    pub fn reach(
        plan: Option<&ProcessPlan>,
        later: bool,
        console: Option<&Path>,
        pidfd: Option<&Path>,
    ) -> Result<Outlets, Fault> {
        let notify = plan.and_then(|plan| plan.seccomp.as_ref()?.notify.as_ref());
        let agent = match notify {
            Some(notify) if later => agent::probe(notify).map(|()| None)?,
            Some(notify) => Some((agent::reach(notify)?, notify.clone())),
            None => None,
        };
        let reach = |path: Option<&Path>, what| path.map(|path| handover::reach(path, what)).transpose();
        Ok(Outlets {
            console: reach(console, "--console-socket")?,
            pidfd: reach(pidfd, "--pidfd-socket")?,
            agent,
            master: None,
        })
    }

    /// Whether the master of the process's pty will be ours to relay.
    pub fn keeps_terminal(&self) -> bool {
        self.console.is_none()
    }

    /// The master of the process's pty goes to the console socket, or is kept for us to relay.
    pub fn terminal(&mut self, master: OwnedFd, name: &Path) -> Result<(), Fault> {
        match self.console.take() {
            Some(socket) => handover::send(socket, name.as_os_str().as_encoded_bytes(), master, "--console-socket"),
            None => {
                // Before the program looks.
                crate::terminal::fit(master.as_fd());
                self.master = Some(master);
                Ok(())
            }
        }
    }

    /// The listener of the filter that process `pid` has loaded goes to the agent; `state` is the container's.
    pub fn listener(&mut self, listener: OwnedFd, pid: i32, state: &str) -> Result<(), Fault> {
        match self.agent.take() {
            Some((connection, notify)) => agent::deliver(connection, &notify, pid, state, listener),
            None => Err(Fault::new("seccomp", "a listener that nobody asked for")),
        }
    }

    /// The pidfd goes to the pidfd socket; `kind` is runc's word for what started the process.
    pub fn pidfd(&mut self, child: &Child, kind: &str) -> Result<(), Fault> {
        match self.pidfd.take() {
            Some(socket) => handover::send(socket, kind.as_bytes(), &child.pidfd, "--pidfd-socket"),
            None => Ok(()),
        }
    }
}
