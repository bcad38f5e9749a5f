//! The clone that init, or the joiner before it, comes of: what is opened before, and which side goes on with what.

use super::channel::{self, Channel, Up};
use super::init::{self, Inherited};
use super::joiner::{self, Split};
use super::parent::Site;
use super::rendezvous;
use crate::cgroups::Cgroup;
use crate::confine;
use crate::fault::{During, Fault, words};
use crate::namespaces::{self, Joined, open_joins};
use crate::plan::{Plan, Sysctl};
use crate::rootfs::idmapped::{self, Waiting};
use crate::rootfs::{Sources, open_sources};
use crate::sys::clone::{Child, Cloned, clone3};
use crate::sys::exec::exit_now;
use crate::sys::shared::FaultPage;
use anyhow::Result;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// How long nothing may be heard before the parent looks why: a process that is born below a frozen cgroup never begins.
pub const SILENCE: Duration = Duration::from_secs(1);

/// What both sides have.
struct Common {
    joins: Vec<Joined>,
    split: Split,
    /// Without privilege the child opens them, once its user namespace is mapped.
    sources: Option<Sources>,
    /// For `start`; a `run` has none.
    listener: Option<OwnedFd>,
    page: FaultPage,
}

/// What the parent goes on with.
pub struct Born {
    /// The joiner where the split needs one, else init.
    pub child: Child,
    pub channel: Channel,
    pub page: FaultPage,
    pub split: Split,
    /// Idmapped mounts whose mapping is that of a namespace that is yet to be written.
    pub unmapped: Waiting,
    pub listener: Option<OwnedFd>,
}

/// Opens what the child needs, and makes it. The child does not return.
pub fn give(site: &Site) -> Result<Born> {
    let common = Common::open(site)?;
    let (ours, theirs) = channel::pair().during("clone", || "cannot make a socket pair".to_owned())?;
    ours.limit_silence(SILENCE).during("clone", || "cannot limit the wait for init".to_owned())?;
    let ignored_signals = site.host.ignored_signals();
    if let Some(process) = site.plan.process.as_ref().filter(|_| site.plan.namespaces.has(namespaces::USER)) {
        confine::raise_limits(process);
    }
    let flags = if common.split.needed { common.split.joiner } else { common.split.init };
    let cgroup = site.cgroup.as_ref();
    let cloned = clone3(flags, cgroup.map(Cgroup::fd)).map_err(|errno| clone_fault(errno, flags, cgroup))?;
    match cloned {
        Cloned::Child => {
            drop(ours);
            common.live(site, theirs, ignored_signals)
        }
        Cloned::Parent(child) => {
            drop(theirs);
            let Common { split, sources, listener, page, .. } = common;
            let unmapped = idmapped::waiting(&site.plan.root, sources);
            Ok(Born { child, channel: ours, page, split, unmapped, listener })
        }
    }
}

impl Common {
    fn open(site: &Site) -> Result<Common> {
        let plan = site.plan;
        let joins = open_joins(&plan.namespaces.join)?;
        own_sysctls(plan, &joins)?;
        let split = joiner::split(&plan.namespaces, &joins);
        let sources = if site.host.privileged { Some(sources(site, &joins)?) } else { None };
        let listener = if site.run {
            None
        } else {
            Some(rendezvous::open(site.dir.fd()).during("rendezvous", || "cannot make the rendezvous".to_owned())?)
        };
        let mute = plan.process.as_ref().is_some_and(|process| !process.may_speak);
        let page = FaultPage::inherited(mute).during("clone", || "cannot map a shared page".to_owned())?;
        Ok(Common { joins, split, sources, listener, page })
    }

    /// The child: the joiner up to its own clone where there is one, and then init.
    fn live(self, site: &Site, channel: Channel, ignored_signals: u64) -> ! {
        let Common { joins, split, sources, listener, page } = self;
        let (plan, record) = (site.plan, &site.record);
        let joins = if split.needed {
            match joiner::run(&channel, &plan.namespaces, &joins, &split, site.host) {
                Ok(Some(())) => &[],
                Ok(None) => exit_now(0),
                Err(fault) => {
                    let _ = channel.report(&Up::Failed(fault));
                    exit_now(1)
                }
            }
        } else {
            joins.as_slice()
        };
        init::run(Inherited {
            plan,
            channel,
            sources,
            joins,
            listener,
            page,
            ignored_signals,
            proc: site.host.proc(),
            cgroup: site.cgroup.as_ref().map_or(Path::new("/sys/fs/cgroup"), Cgroup::path),
            state: &|status, pid| record.for_hooks(status, pid),
        })
    }
}

fn sources(site: &Site, joins: &[Joined]) -> Result<Sources> {
    let root = &site.plan.root;
    site.deadline.rehearse("the rootfs, or the source of a bind mount", || drop(open_sources(root)))?;
    let sources = open_sources(root)?;
    let user = joins.iter().find(|join| join.kind.flag == namespaces::USER);
    idmapped::map_now(root, &sources, user.map(AsFd::as_fd), site.host.proc())?;
    Ok(sources)
}

/// A namespace joined by path may be our own, and a sysctl in it the host's.
fn own_sysctls(plan: &Plan, joins: &[Joined]) -> Result<(), Fault> {
    match plan.sysctls.iter().find(|sysctl| namespaces::is_ours(&plan.namespaces, joins, sysctl.namespace)) {
        None => Ok(()),
        Some(Sysctl { name, namespace, .. }) => {
            let kind = namespaces::KINDS.iter().find(|kind| kind.flag == *namespace).map_or("", |kind| kind.name);
            let what = format!("linux.sysctl: sysctl {name:?} not allowed in host {kind} namespace");
            Err(Fault::new("sysctl", what).path(name).hint("the path in linux.namespaces leads to the host's own"))
        }
    }
}

/// What stands behind a clone3(2) that fails: a limit, or a right.
pub fn clone_fault(errno: Errno, flags: u64, cgroup: Option<&Cgroup>) -> Fault {
    let fault = Fault::new("clone", format!("cannot make the container's init: clone: {}", words(errno))).errno(errno);
    if let Some(reason) = cgroup.and_then(|cgroup| cgroup.clone_refusal(errno)) {
        return fault.hint(reason);
    }
    match errno {
        Errno::EAGAIN => {
            fault.hint("a process limit is reached: pids.max of a cgroup above, RLIMIT_NPROC or kernel.pid_max")
        }
        Errno::ENOSPC | Errno::EUSERS => fault.hint(format!(
            "too many namespaces: raise user.max_*_namespaces{}",
            if flags & namespaces::USER != 0 { ", first user.max_user_namespaces" } else { "" }
        )),
        Errno::EPERM | Errno::EACCES if flags & namespaces::USER != 0 => fault.hint(namespaces::why_refused()),
        Errno::EPERM => fault.hint("making namespaces needs CAP_SYS_ADMIN, or a user namespace in linux.namespaces"),
        Errno::ENOMEM => fault.hint("no memory for the process, or its pid namespace is already dead"),
        Errno::EBUSY | Errno::EOPNOTSUPP => {
            fault.hint("the cgroup takes no processes: it has sub-cgroups, or is threaded")
        }
        Errno::ENOENT => fault.hint(
            "the cgroup lies outside of our cgroup namespace, and the hierarchy is mounted with nsdelegate: mount \
             cgroup2 anew inside of the namespace",
        ),
        Errno::ENOSYS | Errno::EINVAL => fault.hint("rt needs Linux 5.14 or newer with all namespaces compiled in"),
        _ => fault,
    }
}
