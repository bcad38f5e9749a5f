//! A process that joins a running container: `exec`.
//!
//! The parent joins what holds for its children only (pid, time, and first the user namespace where it has no rights
//! without); the child is born in the container's cgroup and joins the rest with one setns(2).

use super::birth::clone_fault;
use super::channel::{self, Channel, Down, Up};
use super::killed;
use super::outlets::Outlets;
use super::parent::set_oom_score;
use super::stdio;
use crate::cgroups::{Cgroup, Hierarchy};
use crate::confine::{self, ProcessPlan};
use crate::deadline::Deadline;
use crate::fault::{During, Fault};
use crate::host::Host;
use crate::log::Log;
use crate::namespaces::{self, NamespacePlan};
use crate::state::{Record, Status};
use crate::sys::clone::{Child, Cloned, clone3, end};
use crate::sys::exec::exit_now;
use crate::sys::process;
use crate::sys::shared::FaultPage;
use crate::terminal::Pty;
use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

const STAGE: &str = "join";

/// What is to be run where.
pub struct Entry<'a> {
    pub host: &'a Host,
    pub log: &'a Log,
    pub record: &'a Record,
    pub init: OwnedFd,
    pub namespaces: NamespacePlan,
    pub plan: &'a ProcessPlan,
    pub cgroup: Option<Cgroup>,
    /// Below the container's cgroup.
    pub sub_cgroup: Option<&'a str>,
    pub preserve_fds: u32,
    pub outlets: Outlets,
    pub deadline: Deadline,
}

/// Starts the process, and returns once it runs its program; with the master of its terminal, where that is ours.
pub fn enter(mut entry: Entry) -> Result<(Child, Option<OwnedFd>)> {
    let pid = entry.record.init.as_ref().map_or(0, |init| init.pid);
    if let Some(cgroup) = entry.cgroup.as_ref().filter(|cgroup| cgroup.is_users_unit()) {
        cgroup.approach(&Hierarchy::detect()?)?;
    }
    let other = other_cgroup(&entry, pid)?;
    let root = if entry.record.chrooted { Some(open_root(pid)?) } else { None };
    let page = FaultPage::inherited(!entry.plan.may_speak).during("clone", || "cannot map a shared page".to_owned())?;
    let (ours, theirs) = channel::pair().during("clone", || "cannot make a socket pair".to_owned())?;
    let kinds = namespaces::foreign(&entry.namespaces, pid, entry.host.proc());
    // Both are inherited: the process has them from its first instruction.
    confine::start_on_cpus(entry.plan)?;
    if let Some(rdt) = &entry.record.rdt {
        rdt.assign(std::process::id() as i32)?;
    }
    if kinds & namespaces::USER != 0 {
        confine::raise_limits(entry.plan);
    }
    // Before any process of the container can see us, and inherited by the child (CVE-2016-9962).
    process::set_dumpable(false).during("process", || "cannot become undumpable".to_owned())?;
    // Whoever is born in the container's pid namespace can be seen there, with its root and its fds: so all is joined
    // before, and only we return. Joining a user namespace is for good; then its processes have no power over ours.
    let early = kinds
        & match (entry.host.privileged, kinds & namespaces::USER != 0) {
            (true, false) => !namespaces::CGROUP,
            (true, true) => EARLY,
            (false, _) => EARLY | namespaces::USER,
        };
    let ignored_signals = entry.host.ignored_signals();
    let back = if early & namespaces::MOUNT != 0 { Some(WayBack::remember(entry.host.proc())?) } else { None };
    join(&entry.init, early)?;
    let cgroup = other.as_ref().map(AsFd::as_fd).or_else(|| entry.cgroup.as_ref().map(Cgroup::fd));
    let child = match clone3(0, cgroup).map_err(|errno| clone_fault(errno, 0, entry.cgroup.as_ref()))? {
        Cloned::Parent(child) => child,
        Cloned::Child => {
            drop(ours);
            let kinds = kinds & !early;
            let inside = Inside { entry: &entry, kinds, channel: &theirs, root, page: &page, ignored_signals };
            if let Err(fault) = inside.run() {
                let _ = theirs.report(&Up::Failed(fault));
            }
            exit_now(255)
        }
    };
    drop(theirs);
    let attended = back.map_or(Ok(()), WayBack::take).map_err(anyhow::Error::from);
    let attended = attended.and_then(|()| attend(&mut entry, &ours, &page, &child));
    match attended {
        Ok(()) => Ok((child, entry.outlets.master)),
        Err(error) => {
            end(child.pidfd.as_fd());
            Err(error)
        }
    }
}

/// What only takes hold in children.
const EARLY: u64 = namespaces::PID | namespaces::TIME;

/// Our own mount namespace and working directory.
struct WayBack {
    namespace: OwnedFd,
    cwd: OwnedFd,
}

impl WayBack {
    fn remember(proc: BorrowedFd) -> Result<WayBack, Fault> {
        let what = || "cannot keep our own mount namespace open".to_owned();
        let namespace = openat(proc, "self/ns/mnt", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let cwd = crate::sys::fs::open(".", OFlag::O_PATH | OFlag::O_DIRECTORY);
        Ok(WayBack { namespace: namespace.during(STAGE, what)?, cwd: cwd.during(STAGE, what)? })
    }

    fn take(self) -> Result<(), Fault> {
        let what = || "cannot return to our own mount namespace".to_owned();
        setns(&self.namespace, CloneFlags::CLONE_NEWNS).during(STAGE, what)?;
        nix::unistd::fchdir(&self.cwd).during(STAGE, what)
    }
}

fn join(init: &OwnedFd, kinds: u64) -> Result<(), Fault> {
    if kinds == 0 {
        return Ok(());
    }
    setns(init, CloneFlags::from_bits_retain(kinds as i32))
        .during(STAGE, || "cannot join the container's namespaces".to_owned())
}

/// The cgroup that the process is born in where that is not the container's: below it by `--cgroup`, or init's own
/// where the container has made sub-cgroups and its top may hold no process any more.
fn other_cgroup(entry: &Entry, pid: i32) -> Result<Option<OwnedFd>, Fault> {
    let Some(cgroup) = &entry.cgroup else { return Ok(None) };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    if let Some(sub) = entry.sub_cgroup {
        let sub_cgroup = openat(cgroup.fd(), sub, flags, Mode::empty());
        return sub_cgroup
            .map(Some)
            .during("cgroup", || format!("--cgroup {sub}: {}", cgroup.path().join(sub).display()));
    }
    let hands_down = || cgroup.read("cgroup.subtree_control").is_some_and(|controllers| !controllers.trim().is_empty());
    if !cgroup.has_sub_cgroups() || !hands_down() {
        return Ok(None);
    }
    let init = Hierarchy::detect().and_then(|hierarchy| Cgroup::of_process(&hierarchy, pid)).ok();
    let Some(init) = init.filter(|init| init.path().starts_with(cgroup.path())) else { return Ok(None) };
    openat(init.fd(), ".", flags, Mode::empty()).map(Some).during("cgroup", || init.path().display().to_string())
}

/// Init's root, where its mount namespace alone does not lead there.
fn open_root(pid: i32) -> Result<OwnedFd, Fault> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    crate::sys::fs::open(Path::new(&format!("/proc/{pid}/root")), flags)
        .during(STAGE, || "cannot open the container's root".to_owned())
}

fn attend(entry: &mut Entry, channel: &Channel, page: &FaultPage, child: &Child) -> Result<()> {
    entry.outlets.pidfd(child, "setns")?;
    loop {
        match listen(channel, entry.deadline)? {
            Up::Warn(text) => entry.log.warn(&text),
            Up::Listener(listener) => {
                let state =
                    entry.record.for_hooks(Status::Running, entry.record.init.as_ref().map_or(0, |init| init.pid));
                entry.outlets.listener(listener, child.pid.as_raw(), &state)?;
                channel.tell(Down::Delivered)?;
            }
            Up::Terminal(master, name) => entry.outlets.terminal(master, &name)?,
            Up::Failed(fault) => return Err(fault.into()),
            Up::Lost => return Err(lost(entry).into()),
            _ => {
                let name = entry.plan.args[0].to_string_lossy();
                let cgroup = entry.record.cgroup.as_ref();
                let killed =
                    || killed::before_execve(cgroup, entry.host.proc(), child.pid.as_raw()).map(|_| lost(entry));
                return confine::failure(page, &name).or_else(killed).map_or(Ok(()), |fault| Err(fault.into()));
            }
        }
    }
}

fn listen(channel: &Channel, deadline: Deadline) -> Result<Up, Fault> {
    let what = || "cannot hear the new process".to_owned();
    if let Some(left) = deadline.left() {
        channel.limit_silence(left).during("channel", what)?;
    }
    match channel.listen() {
        Err(Errno::EAGAIN) if deadline.has_passed() => Err(deadline.expired("the new process to run its program")),
        heard => heard.during("channel", what),
    }
}

/// The new process is gone without a word.
fn lost(entry: &Entry) -> Fault {
    let fault = Fault::new("channel", "the new process died before it ran its program");
    match entry.cgroup.as_ref().and_then(Cgroup::oom) {
        Some(oom) => fault.hint(format!("possibly OOM-killed: {oom}")),
        None => fault,
    }
}

/// The new process.
struct Inside<'a> {
    entry: &'a Entry<'a>,
    kinds: u64,
    channel: &'a Channel,
    root: Option<OwnedFd>,
    page: &'a FaultPage,
    ignored_signals: u64,
}

impl Inside<'_> {
    fn run(mut self) -> Result<(), Fault> {
        let plan = self.entry.plan;
        // Not by the parent: nobody waits for it before the program looks.
        if let Some(score) = plan.oom_score_adj
            && let Some(warning) = set_oom_score(self.entry.host, "self", score)?
        {
            let _ = self.channel.report(&Up::Warn(warning));
        }
        let preserved = 3..3 + self.entry.preserve_fds as i32;
        let own = [self.channel.raw(), self.entry.init.as_raw_fd()];
        let mut keep: Vec<i32> =
            preserved.clone().chain(own).chain(self.root.as_ref().map(AsRawFd::as_raw_fd)).collect();
        if plan.terminal || plan.apparmor.is_some() || plan.selinux.is_some() {
            keep.push(self.entry.host.proc().as_raw_fd());
        }
        confine::close_all_but(&mut keep)?;
        process::default_signals(self.ignored_signals);
        SigSet::empty().thread_set_mask().during("signals", || "cannot unblock signals".to_owned())?;
        let label = confine::open_label(plan, self.entry.host.proc())?;
        join(&self.entry.init, self.kinds)?;
        self.enter_root()?;
        if self.entry.namespaces.has(namespaces::USER) {
            super::init::become_root(plan.keep_groups)?;
        }
        nix::unistd::setsid().during("session", || "cannot start a session".to_owned())?;
        self.open_terminal()?;
        let mut keep: Vec<i32> = preserved.chain([self.channel.raw()]).collect();
        keep.extend(label.as_ref().map(|label| label.as_fd().as_raw_fd()));
        confine::close_all_but(&mut keep)?;
        let env = confine::with_home(&plan.env, plan.uid);
        let inside = confine::enter_cwd(&plan.cwd)?;
        confine::restrict(plan)?;
        stdio::give_to(plan.uid);
        let (after, warning) = confine::lock_down(plan, inside, label)?;
        if let Some(warning) = warning {
            let _ = self.channel.report(&Up::Warn(warning));
        }
        let path = confine::find_executable(&plan.args[0], &env)?;
        confine::finish(plan, &env, &after, &path, self.page, self.channel.as_fd());
        match confine::failure(self.page, &plan.args[0].to_string_lossy()) {
            Some(fault) if plan.may_speak => Err(fault),
            _ => Ok(()),
        }
    }

    /// In the container as it is by now: whatever its processes have put at /dev is checked.
    fn open_terminal(&self) -> Result<(), Fault> {
        let plan = self.entry.plan;
        if !plan.terminal {
            return Ok(());
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open("/", flags, Mode::empty()).during(STAGE, || "cannot open /".to_owned())?;
        let pty = Pty::open(root.as_fd(), self.entry.host.proc(), plan.uid, plan.console_size)?;
        if self.entry.outlets.keeps_terminal() {
            // Our standard streams are still the caller's, and nobody waits for the parent before the program looks.
            crate::terminal::fit(pty.master.as_fd());
        }
        let handed = self.channel.report(&Up::Terminal(pty.master, pty.name));
        handed.during("channel", || "cannot hand over the terminal".to_owned())?;
        pty.slave.enter()
    }

    fn enter_root(&mut self) -> Result<(), Fault> {
        let what = || "cannot enter the container's root".to_owned();
        match self.root.take() {
            Some(root) => {
                nix::unistd::fchdir(&root).during(STAGE, what)?;
                nix::unistd::chroot(".").during(STAGE, what)
            }
            None => nix::unistd::chdir("/").during(STAGE, what),
        }
    }
}
