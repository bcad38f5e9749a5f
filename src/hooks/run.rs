//! Running hooks: the state on standard input, what they print into the error, a bound on their time.

use super::HookPlan;
use crate::deadline::Deadline;
use crate::fault::{During, Fault, words};
use crate::sys::clone::{Child, Cloned, Ended, clone3, end, has_ended, wait};
use crate::sys::exec::{Strings, execve, exit_now};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, pipe2};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

const STAGE: &str = "hooks";

/// What is kept of a hook's output for the error message.
const MOST_OUTPUT: usize = 4096;

/// Runs the hooks of one kind in order, each with `state` on its standard input and `cwd` as working directory;
/// the first that fails ends the row. `before_exec` runs in each hook's process. A hook may take as long as it says, and as
/// the whole command may.
pub fn run(
    hooks: &[HookPlan],
    kind: &str,
    state: &str,
    cwd: Option<&Path>,
    before_exec: &dyn Fn() -> nix::Result<()>,
    deadline: Deadline,
) -> Result<(), Fault> {
    for (i, hook) in hooks.iter().enumerate() {
        let name = || format!("error running {kind} hook #{i}");
        let mut running = Running::start(hook, state, cwd, before_exec).during(STAGE, name)?;
        let bound = [hook.timeout, deadline.left()].into_iter().flatten().min();
        let ended = running.finish(bound);
        // One that cannot be waited for must not stay behind.
        let ended = ended.inspect_err(|_| _ = end(running.child.pidfd.as_fd())).during(STAGE, name)?;
        let how = match ended {
            Some(Ended::Exited(0)) => continue,
            Some(Ended::Exited(code)) => format!("exit status {code}"),
            Some(Ended::Signaled(signal)) => format!("signal {signal}"),
            None if deadline.has_passed() => {
                return Err(deadline.expired(&format!("{kind} hook #{i}")).path(hook.path.to_string_lossy()));
            }
            None => {
                let seconds = hook.timeout.unwrap_or_default().as_secs_f64();
                format!("hook ran past specified timeout of {seconds:.1}s")
            }
        };
        let [stdout, stderr] = running.output.map(|output| String::from_utf8_lossy(&output).trim_end().to_owned());
        let what = format!("{}: {how}, stdout: {stdout}, stderr: {stderr}", name());
        return Err(Fault::new(STAGE, what).path(hook.path.to_string_lossy()));
    }
    Ok(())
}

/// A hook at work.
struct Running {
    child: Child,
    input: Option<OwnedFd>,
    unsent: Vec<u8>,
    pipes: [Option<OwnedFd>; 2],
    output: [Vec<u8>; 2],
}

impl Running {
    fn start(
        hook: &HookPlan,
        state: &str,
        cwd: Option<&Path>,
        before_exec: &dyn Fn() -> nix::Result<()>,
    ) -> nix::Result<Running> {
        let (stdin, input) = pipe2(OFlag::O_CLOEXEC)?;
        let (out, stdout) = pipe2(OFlag::O_CLOEXEC)?;
        let (err, stderr) = pipe2(OFlag::O_CLOEXEC)?;
        for ours in [&input, &out, &err] {
            fcntl(ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let (args, env) = (Strings::new(&hook.args), Strings::new(&hook.env));
        let child = match clone3(0, None)? {
            Cloned::Parent(child) => child,
            Cloned::Child => {
                let redirect = || {
                    dup2_stdin(&stdin)?;
                    dup2_stdout(&stdout)?;
                    dup2_stderr(&stderr)?;
                    crate::sys::process::default_signals(u64::MAX);
                    nix::sys::signal::SigSet::empty().thread_set_mask()?;
                    if let Some(cwd) = cwd {
                        nix::unistd::chdir(cwd)?;
                    }
                    before_exec()
                };
                let errno = redirect().err().unwrap_or_else(|| execve(&hook.path, &args, &env));
                eprintln!("{}: {}", hook.path.to_string_lossy(), words(errno));
                exit_now(127)
            }
        };
        let (pipes, output) = ([Some(out), Some(err)], Default::default());
        Ok(Running { child, input: Some(input), unsent: state.as_bytes().to_vec(), pipes, output })
    }

    /// Feeds and listens until the hook has ended; `None` when it ran out of time and was killed.
    fn finish(&mut self, timeout: Option<Duration>) -> nix::Result<Option<Ended>> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            self.send();
            self.listen();
            if has_ended(&self.child.pidfd)? {
                // Whoever it left behind may hold the pipes open for ever: take what is there and go.
                self.listen();
                return wait(self.child.pidfd.as_fd()).map(Some);
            }
            let left = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => {
                    end(self.child.pidfd.as_fd());
                    return Ok(None);
                }
                Some(left) => PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX),
                None => PollTimeout::NONE,
            };
            self.wait_for_news(left)?;
        }
    }

    fn wait_for_news(&self, timeout: PollTimeout) -> nix::Result<()> {
        let mut fds = vec![PollFd::new(self.child.pidfd.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.input.iter().map(|input| PollFd::new(input.as_fd(), PollFlags::POLLOUT)));
        fds.extend(self.pipes.iter().flatten().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Writes what the pipe takes. A hook that never reads its state is no error (EPIPE).
    fn send(&mut self) {
        let Some(input) = &self.input else { return };
        match nix::unistd::write(input, &self.unsent) {
            Ok(n) => drop(self.unsent.drain(..n)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.unsent.clear(),
        }
        if self.unsent.is_empty() {
            self.input = None;
        }
    }

    /// Takes what the pipes hold, as far as one read does, which is as much as is kept: a hook that prints without end must
    /// not keep us from looking at the clock.
    fn listen(&mut self) {
        for (pipe, output) in self.pipes.iter_mut().zip(&mut self.output) {
            let Some(open) = pipe else { continue };
            let mut buffer = [0; MOST_OUTPUT];
            match nix::unistd::read(open, &mut buffer) {
                Ok(0) => *pipe = None,
                Ok(n) => output.extend_from_slice(&buffer[..n.min(MOST_OUTPUT.saturating_sub(output.len()))]),
                Err(_) => {}
            }
        }
    }
}
