//! The time that a caller gives a command (`--timeout`), and what comes of it where it has passed.

use crate::fault::{During, Fault};
use crate::sys::clone::{Cloned, clone3, end, ends_within};
use crate::sys::exec::exit_now;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// When a command gives up. Where no limit was given, asking costs no system call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deadline(Option<(Instant, Duration)>);

/// To the kernel no time at all is no limit.
const LEAST: Duration = Duration::from_millis(1);

impl Deadline {
    pub fn after(limit: Option<Duration>) -> Deadline {
        Deadline(limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit))))
    }

    /// How long one may still wait, never zero; `None` is for ever.
    pub fn left(self) -> Option<Duration> {
        self.0.map(|(end, _)| end.saturating_duration_since(Instant::now()).max(LEAST))
    }

    pub fn has_passed(self) -> bool {
        self.0.is_some_and(|(end, _)| Instant::now() >= end)
    }

    /// The same for who has entered a time namespace since, whose clock is another: `left` is from before.
    pub fn on_another_clock(self, left: Option<Duration>) -> Deadline {
        Deadline(self.0.zip(left).map(|((_, limit), left)| (Instant::now() + left, limit)))
    }

    /// The error of who has waited for `what` until now.
    pub fn expired(self, what: &str) -> Fault {
        let limit = self.0.map_or(Duration::ZERO, |(_, limit)| limit);
        Fault::new("timeout", format!("timed out after {limit:?}: waiting for {what}"))
    }

    /// Where there is a limit, has a child do `work` first, which may never come back: a call to a filesystem whose server
    /// is gone ends with the caller's death alone. Whether the work succeeds is found out by who does it next.
    pub fn rehearse(self, what: &str, work: impl FnOnce()) -> Result<(), Fault> {
        let Some(left) = self.left() else { return Ok(()) };
        let child = match clone3(0, None).during("timeout", || "cannot make a process".to_owned())? {
            Cloned::Parent(child) => child,
            Cloned::Child => {
                work();
                exit_now(0)
            }
        };
        let came_back = ends_within(child.pidfd.as_fd(), left);
        end(child.pidfd.as_fd());
        match came_back.during("timeout", || "cannot wait for a process".to_owned())? {
            true => Ok(()),
            false => Err(self.expired(what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_nothing_ends() {
        let deadline = Deadline::after(None);
        assert_eq!((deadline.left(), deadline.has_passed()), (None, false));
        // More than the clock can count.
        assert_eq!(Deadline::after(Some(Duration::MAX)).left(), None);
    }

    #[test]
    fn what_is_left_is_never_nothing() {
        let deadline = Deadline::after(Some(Duration::ZERO));
        assert_eq!((deadline.left(), deadline.has_passed()), (Some(LEAST), true));
        assert_eq!(deadline.expired("it").message, "timed out after 0ns: waiting for it");
        let later = deadline.on_another_clock(Some(Duration::from_secs(100)));
        assert!(!later.has_passed() && later.left().is_some_and(|left| left > Duration::from_secs(90)));
    }
}
