//! The parent's side: what exists before init is recorded before it is made, and what fails is undone.

use super::birth::{self, Born};
use super::channel::{Channel, Down, Up};
use super::joiner::Split;
use super::outlets::Outlets;
use super::{hooks_inside, killed};
use crate::cgroups::Cgroup;
use crate::confine;
use crate::deadline::Deadline;
use crate::fault::{During, Fault};
use crate::host::Host;
use crate::log::Log;
use crate::namespaces::{self, write_maps};
use crate::net::Mover;
use crate::plan::Plan;
use crate::rootfs::idmapped::Waiting;
use crate::state::{Directory, Identity, Record, Status};
use crate::sys::clone::{Child, Ended, KILL_WAIT, end, wait};
use crate::sys::process;
use crate::sys::shared::FaultPage;
use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Where and for whom a container is made.
pub struct Site<'a> {
    pub host: &'a Host,
    pub log: &'a Log,
    pub plan: &'a Plan,
    pub dir: &'a Directory,
    pub record: Record,
    /// Run the program at once, instead of waiting for `start`.
    pub run: bool,
    pub pid_file: Option<&'a Path>,
    pub cgroup: Option<Cgroup>,
    pub outlets: Outlets,
    pub deadline: Deadline,
}

/// Makes init and brings it to where it waits for `start`, or, with `run`, to its program. Whatever fails, init is
/// dead and reaped when this returns; the caller undoes the rest.
pub fn launch(site: &mut Site) -> Result<Child> {
    let mut making = Making::begin(site)?;
    let opened = site.cgroup.as_mut().map_or(Ok(()), Cgroup::opened);
    let attended = opened.and_then(|()| making.attend(site));
    match (attended, making.init.take()) {
        (Ok(()), Some(init)) => Ok(init),
        (Ok(()), None) => Err(Fault::new("clone", "init was never made").into()),
        (Err(error), init) => {
            making.init = init;
            making.return_devices(site.log);
            making.kill(site.log);
            Err(error)
        }
    }
}

/// A container in the making.
struct Making {
    channel: Channel,
    page: FaultPage,
    split: Split,
    joiner: Option<Child>,
    /// What init has said before the joiner said that there is one.
    early: Vec<Up>,
    init: Option<Child>,
    /// What init is at, for who asks why it takes long.
    at: &'static str,
    /// What has taken the host's network devices to the container.
    mover: Option<Mover>,
    /// Idmapped mounts whose mapping is that of the namespace that `map` writes.
    unmapped: Waiting,
    /// Kept until init has it: the parent's end of nothing.
    _listener: Option<OwnedFd>,
}

impl Making {
    /// Everything up to the clone, the clone, and what nobody else can do for its child.
    fn begin(site: &Site) -> Result<Making> {
        let Born { child, channel, page, split, unmapped, listener } = birth::give(site)?;
        let (joiner, init) = if split.needed { (Some(child), None) } else { (None, Some(child)) };
        let mut making = Making {
            channel,
            page,
            split,
            joiner,
            early: Vec::new(),
            init,
            at: "make its namespaces, mounts and devices",
            mover: None,
            unmapped,
            _listener: listener,
        };
        if let Err(error) = making.after_clone(site) {
            making.kill(site.log);
            return Err(error);
        }
        Ok(making)
    }

    /// What only the parent can write about its new child.
    fn after_clone(&self, site: &Site) -> Result<()> {
        let Some(init) = &self.init else { return Ok(()) };
        let plan = site.plan;
        if let Some(score) = plan.process.as_ref().and_then(|process| process.oom_score_adj) {
            let warning = set_oom_score(site.host, &init.pid.to_string(), score)?;
            warning.iter().for_each(|text| site.log.warn(text));
        }
        if let Some(rdt) = &site.record.rdt {
            rdt.assign(init.pid.as_raw())?;
        }
        if self.split.init & namespaces::USER != 0 {
            self.map(site, init)?;
        }
        Ok(())
    }

    fn map(&self, site: &Site, child: &Child) -> Result<()> {
        let maps = &site.plan.namespaces;
        write_maps(site.host.proc(), child.pid, &maps.uid_map, &maps.gid_map, site.host.privileged)?;
        if !self.unmapped.is_empty() {
            let namespace = open_user_namespace(site.host, child.pid)?;
            self.unmapped.map(&site.plan.root, namespace.as_fd())?;
        }
        Ok(self.channel.tell(Down::Mapped)?)
    }

    fn listen(&self, site: &Site) -> Result<Up> {
        loop {
            match self.hear(site.deadline)? {
                Some(up) => return Ok(up),
                None => not_held(site)?,
            }
            if site.deadline.has_passed() {
                return Err(site.deadline.expired(&self.awaited(site)).into());
            }
        }
    }

    /// What keeps us waiting, as far as the kernel knows (proc_pid_stat(5)).
    fn awaited(&self, site: &Site) -> String {
        let pid = self.joiner.as_ref().or(self.init.as_ref()).map_or(0, |child| child.pid.as_raw());
        let stat = crate::proc::read(site.host.proc(), &format!("{pid}/stat")).unwrap_or_default();
        let why = match crate::proc::stat_field(&stat, 3) {
            Some("T" | "t") => "; it is stopped",
            Some("D") => "; it waits for a filesystem or a device that does not answer",
            _ => "",
        };
        format!("init to {}{why}", self.at)
    }

    /// What is said, or nothing if that takes long.
    fn hear(&self, deadline: Deadline) -> Result<Option<Up>, Fault> {
        let mut silence = birth::SILENCE;
        if let Some(left) = deadline.left() {
            silence = silence.min(left);
            self.channel.limit_silence(silence).during("channel", || "cannot limit the wait for init".to_owned())?;
        }
        if let Some(joiner) = &self.joiner {
            // A joiner that is killed after it made init, and before it said so, leaves init holding the channel.
            let ends = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut fds = [ends(self.channel.as_fd()), ends(joiner.pidfd.as_fd())];
            match poll(&mut fds, PollTimeout::try_from(silence).unwrap_or(PollTimeout::MAX)) {
                Ok(0) | Err(Errno::EINTR) => return Ok(None),
                _ if !fds[0].any().unwrap_or(false) => return Ok(Some(Up::Closed)),
                _ => {}
            }
        }
        match self.channel.listen() {
            Err(Errno::EAGAIN) => Ok(None),
            heard => heard.map(Some).during("channel", || "cannot hear the container's init".to_owned()),
        }
    }

    /// Joiner and init speak over one channel, and init may be the faster: what it says is kept until it is known.
    fn listen_in_order(&mut self, site: &Site) -> Result<Up> {
        if self.joiner.is_none() && !self.early.is_empty() {
            return Ok(self.early.remove(0));
        }
        loop {
            match self.listen(site)? {
                up @ (Up::NeedMaps | Up::Init(_) | Up::Failed(_) | Up::Closed | Up::Lost) => return Ok(up),
                up if self.joiner.is_none() => return Ok(up),
                up => self.early.push(up),
            }
        }
    }

    /// Answers init until it is done, or failed.
    fn attend(&mut self, site: &mut Site) -> Result<()> {
        loop {
            match self.listen_in_order(site)? {
                Up::NeedMaps => {
                    if let Some(joiner) = &self.joiner {
                        self.map(site, joiner)?;
                    }
                }
                Up::Init(init) => {
                    self.init = Some(init);
                    if let Some(joiner) = self.joiner.take() {
                        wait(joiner.pidfd.as_fd()).during("clone", || "cannot reap the joiner".to_owned())?;
                    }
                    self.after_clone(site)?;
                }
                Up::NeedDevices => {
                    self.take_devices(site)?;
                    self.channel.tell(Down::DevicesMoved)?;
                }
                Up::RunHooks => {
                    self.hooks_before_pivot(site)?;
                    self.at = "enter its root and become the process";
                    self.channel.tell(Down::HooksDone)?;
                }
                Up::Warn(text) => site.log.warn(&text),
                Up::Terminal(master, name) => site.outlets.terminal(master, &name)?,
                Up::Listener(_) => return Err(Fault::new("seccomp", "a listener before its time").into()),
                Up::Ready => return self.made(site),
                Up::Failed(fault) => return Err(without_rights(site, fault).into()),
                Up::Closed | Up::Lost => return Err(self.death(site).into()),
            }
        }
    }

    fn take_devices(&mut self, site: &Site) -> Result<()> {
        let Some(init) = &self.init else { return Ok(()) };
        let mover = self.mover.insert(Mover::reach(init.pidfd.as_fd(), site.host.proc())?);
        Ok(mover.take(&site.plan.devices)?)
    }

    /// Returns the host's network devices, before the container's network namespace can go with them.
    fn return_devices(&mut self, log: &Log) {
        for fault in self.mover.take().into_iter().flat_map(Mover::give_back) {
            log.warn(&fault.to_string());
        }
    }

    fn hooks_before_pivot(&self, site: &Site) -> Result<()> {
        let Some(init) = &self.init else { return Ok(()) };
        let hooks = &site.plan.hooks;
        let bundle = Some(site.plan.bundle.as_path());
        // prestart is from a time when it ran at `start`; what was written for it expects a container that is created.
        let state = |status| site.record.for_hooks(status, init.pid.as_raw());
        let deadline = site.deadline;
        crate::hooks::run(&hooks.prestart, "prestart", &state(Status::Created), bundle, &|| Ok(()), deadline)?;
        let state = state(Status::Creating);
        crate::hooks::run(&hooks.create_runtime, "createRuntime", &state, bundle, &|| Ok(()), deadline)?;
        Ok(hooks_inside::run(site.plan, &site.record, init, site.host.proc(), deadline)?)
    }

    /// Init has done all but execve: the record first, then the pid file, then the word to go on.
    fn made(&mut self, site: &mut Site) -> Result<()> {
        let Some(init) = &self.init else { return Ok(()) };
        let boot = site.record.creator.boot.clone();
        let identity = Identity::in_boot(boot, init.pid, init.pidfd.as_fd(), site.host.proc())
            .during("state", || "cannot identify init".to_owned())?;
        site.record.init = Some(identity);
        site.dir.write(&site.record)?;
        if let Some(path) = site.pid_file {
            write_pid_file(path, init.pid.as_raw())?;
        }
        site.outlets.pidfd(init, "standard")?;
        if !site.run {
            return Ok(self.channel.tell(Down::Wait)?);
        }
        self.at = "run its startContainer hooks and its program";
        self.channel.tell(Down::Go)?;
        loop {
            match self.listen(site)? {
                Up::Listener(listener) => {
                    let pid = init.pid.as_raw();
                    site.outlets.listener(listener, pid, &site.record.for_hooks(Status::Creating, pid))?;
                    self.channel.tell(Down::Delivered)?;
                }
                Up::Failed(fault) => return Err(fault.into()),
                Up::Lost => return Err(self.death(site).into()),
                _ => {
                    let killed =
                        || killed::before_execve(site.record.cgroup.as_ref(), site.host.proc(), init.pid.as_raw());
                    let failure = confine::failure(&self.page, &site.record.program).or_else(killed);
                    return failure.map_or(Ok(()), |fault| Err(fault.into()));
                }
            }
        }
    }

    /// Init closed the channel before it was ready.
    fn death(&mut self, site: &Site) -> Fault {
        let child = self.joiner.take().or_else(|| self.init.take());
        let ended = child.and_then(|child| wait(child.pidfd.as_fd()).ok());
        if let Some(oom) = site.cgroup.as_ref().and_then(Cgroup::oom) {
            return killed::fault(&oom, "before it was ready");
        }
        match ended {
            Some(Ended::Signaled(signal)) => {
                Fault::new("init", format!("init was killed by signal {signal} before it was ready"))
            }
            Some(Ended::Exited(code)) => {
                Fault::new("init", format!("init exited with status {code} before it was ready"))
            }
            None => Fault::new("init", "init is gone"),
        }
    }

    /// Ends and reaps what is left of it. What a hook has left in init's pid namespace may be our child, where we adopt
    /// orphans, and init ends only when all in there are reaped (pid_namespaces(7)).
    fn kill(&mut self, log: &Log) {
        process::without_zombies(|| {
            for child in [self.joiner.take(), self.init.take()].into_iter().flatten() {
                if !end(child.pidfd.as_fd()) {
                    log.warn(&format!("process {} has not died {} s after SIGKILL", child.pid, KILL_WAIT.as_secs()));
                }
            }
        });
    }
}

/// Init may be long at work, but not held by a cgroup above its own, which only somebody else can thaw.
fn not_held(site: &Site) -> Result<(), Fault> {
    let frozen = site.cgroup.as_ref().filter(|cgroup| cgroup.record().is_frozen());
    let Some(above) = frozen.and_then(Cgroup::frozen_above) else { return Ok(()) };
    let what = format!("container's cgroup unexpectedly frozen: cgroup {} above it is", above.display());
    Err(Fault::new("cgroup", what)
        .path(above.display())
        .hint("thaw it (write 0 to its cgroup.freeze), or use another one"))
}

/// A host may let everybody make user namespaces, and take all rights in them from a program that AppArmor does not know.
fn without_rights(site: &Site, fault: Fault) -> Fault {
    let refused = matches!(fault.errno.map(Errno::from_raw), Some(Errno::EPERM | Errno::EACCES));
    if !refused || site.host.privileged || !namespaces::restricted_by_apparmor(site.host.proc()) {
        return fault;
    }
    fault.hint(namespaces::APPARMOR_REMEDY)
}

fn open_user_namespace(host: &Host, pid: Pid) -> Result<OwnedFd, Fault> {
    let path = format!("{pid}/ns/user");
    openat(host.proc(), path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .during("idmap", || "cannot open the container's user namespace".to_owned())
}

/// Sets the score of a process, as far as the caller may; a warning where he may not. `pid` is as /proc has it.
pub fn set_oom_score(host: &Host, pid: &str, score: i32) -> Result<Option<String>, Fault> {
    match crate::proc::write(host.proc(), &format!("{pid}/oom_score_adj"), score.to_string().as_bytes()) {
        // Only the host's root may lower it, and engines always send a value.
        Err(Errno::EACCES | Errno::EPERM) if host.rootless() => {
            Ok(Some(format!("process.oomScoreAdj: {score} is below our own, which only the host's root may set")))
        }
        result => result.during("oom_score_adj", || format!("process.oomScoreAdj: cannot set {score}")).map(|()| None),
    }
}

/// Writes a pid file: decimal digits without a newline, which containerd does not take, and never half a file.
pub fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let what = || format!("cannot write the pid file {}", path.display());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let new = path.with_file_name(format!(".{name}"));
    // Made anew: a link that somebody put there leads nowhere. What is there already is of an rt that was killed, or a trap.
    let make = || std::fs::File::options().write(true).create_new(true).open(&new);
    let file = make().or_else(|error| match error.kind() {
        ErrorKind::AlreadyExists => std::fs::remove_file(&new).and_then(|()| make()),
        _ => Err(error),
    });
    file.and_then(|mut file| file.write_all(pid.to_string().as_bytes())).during("pid-file", what)?;
    std::fs::rename(&new, path).during("pid-file", what).inspect_err(|_| {
        let _ = std::fs::remove_file(&new);
    })?;
    Ok(())
}
