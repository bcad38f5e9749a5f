//! What the plan depends on of the host: the only look at it before anything is made.

use crate::cgroups::{self, Hierarchy, resctrl};
use crate::host::Host;
use crate::spec::Config;
use anyhow::Result;
use std::path::PathBuf;

/// What the plan depends on of the host.
pub struct Facts {
    /// Our own cgroup, as `/proc/self/cgroup` names it.
    pub own_cgroup: PathBuf,
    /// There is a cgroup v2 hierarchy that we may use.
    pub has_cgroups: bool,
    pub apparmor: bool,
    pub selinux: bool,
    /// Where the resctrl filesystem is mounted; looked for only where `linux.intelRdt` is set.
    pub resctrl: Option<PathBuf>,
    pub privileged: bool,
    /// We live in a user namespace other than the host's first.
    pub in_user_namespace: bool,
}

impl Facts {
    /// Looked up only where the configuration makes it matter.
    pub fn find(
        config: &Config,
        host: &Host,
        hierarchy: Option<&Hierarchy>,
        manager: cgroups::Manager,
    ) -> Result<Facts> {
        let linux = config.spec.linux().as_ref();
        let process = config.spec.process().as_ref();
        let labelled = process.is_some_and(|process| process.selinux_label().is_some())
            || linux.is_some_and(|linux| linux.mount_label().is_some());
        let path = linux.and_then(|linux| linux.cgroups_path().as_deref());
        let own_cgroup = match hierarchy {
            Some(hierarchy) if cgroups::Request::needs_own(manager, path) => hierarchy.own_path()?,
            _ => PathBuf::new(),
        };
        Ok(Facts {
            own_cgroup,
            has_cgroups: hierarchy.is_some(),
            apparmor: process.is_some_and(|process| process.apparmor_profile().is_some()) && host.apparmor(),
            selinux: labelled && host.selinux(),
            resctrl: linux.and_then(|linux| linux.intel_rdt().as_ref()).map_or(Ok(None), |_| resctrl::mounted())?,
            privileged: host.privileged,
            in_user_namespace: host.in_user_namespace(),
        })
    }
}
