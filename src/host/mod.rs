//! Facts about the host and the caller, looked up at most once and only when something depends on them.

mod mounts;

pub use mounts::mount_table;

use crate::fault::Fault;
use crate::sys::process::capget;
use nix::unistd::geteuid;
use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What one run of the program knows about where it runs.
pub struct Host {
    proc: OwnedFd,
    /// CAP_SYS_ADMIN in our own user namespace: we may mount and make namespaces as we are.
    pub privileged: bool,
    in_user_namespace: OnceCell<bool>,
}

const SYS_ADMIN: u64 = 1 << 21;

impl Host {
    pub fn probe() -> Result<Host, Fault> {
        let proc = crate::proc::open()?;
        let privileged = capget().is_ok_and(|sets| sets.effective & SYS_ADMIN != 0);
        Ok(Host { proc, privileged, in_user_namespace: OnceCell::new() })
    }

    /// The checked procfs.
    pub fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// The signals that this process ignores, its own SIGPIPE among them: bit n-1 for signal n (proc_pid_stat(5),
    /// field 33).
    pub fn ignored_signals(&self) -> u64 {
        let stat = crate::proc::read(self.proc(), "self/stat").unwrap_or_default();
        crate::proc::stat_field(&stat, 33).and_then(|mask| mask.parse().ok()).unwrap_or(u64::MAX)
    }

    /// Whether we live in a user namespace other than the host's first one.
    pub fn in_user_namespace(&self) -> bool {
        *self.in_user_namespace.get_or_init(|| {
            let map = crate::proc::read(self.proc(), "self/uid_map").unwrap_or_default();
            map.split_whitespace().ne(["0", "0", "4294967295"])
        })
    }

    /// Whether we may do less than the host's root: cgroups that are not ours are then no error.
    pub fn rootless(&self) -> bool {
        !geteuid().is_root() || self.in_user_namespace()
    }

    pub fn apparmor(&self) -> bool {
        std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
    }

    pub fn selinux(&self) -> bool {
        std::path::Path::new("/sys/fs/selinux/enforce").exists()
    }
}
