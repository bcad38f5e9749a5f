//! Waiting for `cgroup.events` or `memory.events` to say something: by poll(2), never by sleeping.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::files;

/// An open file of events. The kernel wakes POLLPRI whenever a value in it changes after it was last read
/// (cgroup-v2.rst, "Un)populated Notification"), so a change between the read and the poll is not lost.
pub struct Events {
    file: OwnedFd,
}

impl Events {
    pub fn open(cgroup: impl AsFd) -> Result<Events, Errno> {
        Events::of(cgroup, "cgroup.events")
    }

    /// Another file of that kind, such as `memory.events`.
    pub fn of(cgroup: impl AsFd, name: &str) -> Result<Events, Errno> {
        let file = files::open_at(cgroup, Path::new(name), OFlag::O_RDONLY)?;
        Ok(Events { file })
    }

    /// The value of `key` now: 0 once the cgroup is gone.
    pub fn get(&self, key: &str) -> Result<u64, Errno> {
        match files::read(&self.file) {
            Ok(text) => Ok(files::keyed(&text, key).unwrap_or(0)),
            Err(Errno::ENODEV) => Ok(0),
            Err(errno) => Err(errno),
        }
    }

    /// Waits until `key` is `value`; false when the deadline came first.
    pub fn wait(&self, key: &str, value: u64, deadline: Instant) -> Result<bool, Errno> {
        loop {
            if self.get(key)? == value {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.changed(left)?;
        }
    }

    /// Returns when the file changed since it was read last, or after `limit`.
    fn changed(&self, limit: Duration) -> Result<(), Errno> {
        any_changed(&mut [self.interest()], limit)
    }

    /// For [`any_changed`].
    pub fn interest(&self) -> PollFd<'_> {
        PollFd::new(self.file.as_fd(), PollFlags::POLLPRI)
    }
}

/// Returns when one of the files changed since it was read last, or after `limit`.
pub fn any_changed(files: &mut [PollFd], limit: Duration) -> Result<(), Errno> {
    // Rounded up: a poll of 0 ms would turn the last millisecond into a busy loop.
    let limit = limit.saturating_add(Duration::from_millis(1));
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(files, limit) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
