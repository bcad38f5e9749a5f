//! Facts about the host and the caller, looked up at most once and only when something depends on them.

use crate::fault::Fault;
use crate::sys::process::capget;
use nix::unistd::geteuid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What one run of the program knows about where it runs.
pub struct Host {
    proc: OwnedFd,
    /// CAP_SYS_ADMIN in our own user namespace: we may mount and make namespaces as we are.
    pub privileged: bool,
}

const SYS_ADMIN: u64 = 1 << 21;

impl Host {
    pub fn probe() -> Result<Host, Fault> {
        let proc = crate::proc::open()?;
        let privileged = capget().is_ok_and(|sets| sets.effective & SYS_ADMIN != 0);
        Ok(Host { proc, privileged })
    }

    /// The checked procfs.
    pub fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// Whether we live in a user namespace other than the host's first one.
    pub fn in_user_namespace(&self) -> bool {
        let map = crate::proc::read(self.proc(), "self/uid_map").unwrap_or_default();
        map.split_whitespace().ne(["0", "0", "4294967295"])
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
