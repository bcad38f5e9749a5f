//! The container's init, from its clone to execve: a list of named steps. After the clone nothing is parsed.

use super::channel::{Channel, Down, Up};
use super::{rendezvous, stdio};
use crate::confine::{self, AfterLoad};
use crate::deadline::Deadline;
use crate::fault::{During, Fault};
use crate::namespaces::{self, Joined};
use crate::plan::{Plan, Sysctl};
use crate::rootfs::{Rootfs, Sources, open_sources};
use crate::state::Status;
use crate::sys::exec::exit_now;
use crate::sys::process;
use crate::sys::shared::FaultPage;
use crate::terminal::{Pty, Slave};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::SigSet;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What cannot be said is tried to be told; where the parent is gone nobody hears it.
const STAGE: &str = "channel";

/// What init inherits from its parent.
pub struct Inherited<'a> {
    pub plan: &'a Plan,
    pub channel: Channel,
    /// Opened by the parent where it had the rights to.
    pub sources: Option<Sources>,
    /// What init itself has to join.
    pub joins: &'a [Joined],
    pub listener: Option<OwnedFd>,
    pub page: FaultPage,
    pub proc: BorrowedFd<'a>,
    pub ignored_signals: u64,
    /// The container's cgroup on the host.
    pub cgroup: &'a Path,
    /// The state that startContainer hooks are told.
    pub state: &'a dyn Fn(Status, i32) -> String,
}

/// Runs init. Never returns: it ends in execve, or in `_exit` after the failure has been told.
pub fn run(mut inherited: Inherited) -> ! {
    let sources = inherited.sources.take();
    let Inherited { plan, .. } = &inherited;
    let ready = || inherited.channel.report(&Up::Ready).during(STAGE, || "cannot say that init is ready".to_owned());
    let prepared = match prepare(&inherited, sources).and_then(|prepared| ready().map(|()| prepared)) {
        Ok(prepared) => prepared,
        Err(fault) => {
            let _ = inherited.channel.report(&Up::Failed(fault));
            exit_now(1)
        }
    };
    match inherited.channel.hear() {
        Some(Down::Go) => launch(plan, &prepared, &inherited.page, &inherited, inherited.channel.as_fd(), |fault| {
            let _ = inherited.channel.report(&Up::Failed(fault));
        }),
        Some(Down::Wait) => wait_for_start(inherited, &prepared),
        _ => {}
    }
    exit_now(1)
}

/// What is left when all is prepared: the program, and what the seccomp load still needs.
struct Prepared {
    program: Option<Program>,
}

struct Program {
    path: CString,
    env: Vec<CString>,
    after: AfterLoad,
}

fn prepare(inherited: &Inherited, sources: Option<Sources>) -> Result<Prepared, Fault> {
    let Inherited { plan, channel, proc, .. } = inherited;
    process::default_signals(inherited.ignored_signals);
    SigSet::empty().thread_set_mask().during("signals", || "cannot unblock signals".to_owned())?;
    let place = enter_namespaces(inherited)?;
    nix::unistd::setsid().during("session", || "cannot start a session".to_owned())?;
    name_and_tune(inherited)?;
    let label = match &plan.process {
        Some(process) => confine::open_label(process, *proc)?,
        None => None,
    };
    match make_rootfs(inherited, sources, place)? {
        Some(terminal) => terminal.enter()?,
        None => stdio::reopen_null()?,
    }
    let listener = inherited.listener.as_ref().map(AsRawFd::as_raw_fd);
    let mut keep: Vec<i32> = (3..3 + plan.preserve_fds as i32).chain([channel.raw()]).chain(listener).collect();
    keep.extend(label.as_ref().map(|label| label.as_fd().as_raw_fd()));
    // From here no fd of the host is left that a path could lead through (CVE-2024-21626).
    confine::close_all_but(&mut keep)?;
    let Some(process) = &plan.process else { return Ok(Prepared { program: None }) };
    let env = confine::with_home(&process.env, process.uid);
    let inside = confine::enter_cwd(&process.cwd)?;
    confine::restrict(process)?;
    stdio::give_to(process.uid);
    let (after, warning) = confine::lock_down(process, inside, label)?;
    if let Some(warning) = warning {
        let _ = channel.report(&Up::Warn(warning));
    }
    let path = confine::find_executable(&process.args[0], &env)?;
    Ok(Prepared { program: Some(Program { path, env, after }) })
}

/// Joins, waits for the id maps, and becomes root inside. Returns the place of the rootfs, opened while the host's
/// own directories were still open to us.
fn enter_namespaces(inherited: &Inherited) -> Result<OwnedFd, Fault> {
    let plan = inherited.plan;
    namespaces::join(inherited.joins)?;
    let in_user_namespace = plan.namespaces.has(namespaces::USER);
    if plan.namespaces.makes(namespaces::USER)
        && plan.namespaces.offsets.is_empty()
        && !inherited.channel.wait_for(Down::Mapped)
    {
        exit_now(1);
    }
    // Between the two: a directory that is the caller's alone opens to us before we become root inside, and one that
    // belongs to an id of the container only once the map gives our capabilities power over it.
    let place = Rootfs::place(&plan.root)?;
    if in_user_namespace {
        become_root(plan.process.as_ref().is_some_and(|process| process.keep_groups))?;
    }
    // Only now: until its maps are written an unprivileged parent must be able to look into us.
    process::set_dumpable(false).during("process", || "cannot become undumpable".to_owned())?;
    if plan.namespaces.makes(namespaces::CGROUP) {
        unshare(CloneFlags::CLONE_NEWCGROUP).during("namespaces", || "cannot make a cgroup namespace".to_owned())?;
    }
    process::set_umask(0);
    Ok(place)
}

/// The container's root makes the mounts and files, where it is mapped.
pub fn become_root(keep_groups: bool) -> Result<(), Fault> {
    let what = || "cannot become root of the user namespace".to_owned();
    let mapped = |result: nix::Result<()>| match result {
        Err(nix::errno::Errno::EINVAL) => Ok(()),
        result => result,
    };
    if !keep_groups {
        let _ = process::setgroups(&[]);
    }
    mapped(process::setgid(0)).during("user", what)?;
    mapped(process::setuid(0)).during("user", what)
}

fn name_and_tune(inherited: &Inherited) -> Result<(), Fault> {
    let Inherited { plan, channel, proc, .. } = inherited;
    if let Some(name) = &plan.hostname {
        nix::unistd::sethostname(name).during("hostname", || format!("cannot set hostname {name:?}"))?;
    }
    if let Some(name) = &plan.domainname {
        crate::sys::process::set_domainname(name).during("hostname", || format!("cannot set domainname {name:?}"))?;
    }
    if plan.namespaces.makes(namespaces::NET) {
        crate::net::loopback_up().during("network", || "cannot bring up the loopback interface".to_owned())?;
    }
    // Before the sysctls: some are a device's.
    if !plan.devices.is_empty() {
        channel.report(&Up::NeedDevices).during(STAGE, || "cannot ask for the network devices".to_owned())?;
        if !channel.wait_for(Down::DevicesMoved) {
            exit_now(1);
        }
    }
    for Sysctl { name, path, value, .. } in &plan.sysctls {
        crate::proc::write(*proc, &format!("sys/{path}"), value.as_bytes())
            .during("sysctl", || format!("linux.sysctl: cannot set {name} to {value:?}"))
            .map_err(|fault| match fault.is(Errno::EXDEV) {
                true => fault.hint("a mount hides it: other runtimes have /proc/sys read-only in their containers"),
                false => fault,
            })?;
    }
    Ok(())
}

fn make_rootfs(inherited: &Inherited, sources: Option<Sources>, place: OwnedFd) -> Result<Option<Slave>, Fault> {
    let plan = inherited.plan;
    let sources = match sources {
        Some(sources) => sources,
        None => open_sources(&plan.root)?,
    };
    let mut rootfs = Rootfs::attach(&plan.root, &sources, place, plan.enter)?;
    rootfs.mount_all(sources, inherited.cgroup)?;
    rootfs.make_devices()?;
    let terminal = make_terminal(inherited, &rootfs)?;
    rootfs.close_late()?;
    if plan.hooks.before_pivot() {
        wait_for_hooks(inherited)?;
    }
    rootfs.enter(plan.enter, plan.process.as_ref().map(|process| process.cwd.as_path()))?;
    Ok(terminal)
}

/// An ordinary user's hooks reach our namespaces by /proc/PID/ns (slirp4netns(1) does) only while he may look into us. In
/// user and pid namespaces that are new nobody else may, and few can see us at all.
fn wait_for_hooks(inherited: &Inherited) -> Result<(), Fault> {
    let Inherited { plan, channel, .. } = inherited;
    let alone = plan.namespaces.makes(namespaces::USER) && plan.namespaces.makes(namespaces::PID);
    let what = || "cannot change who may look into it".to_owned();
    if alone {
        process::set_dumpable(true).during("process", what)?;
    }
    channel.report(&Up::RunHooks).during(STAGE, || "cannot ask for the hooks".to_owned())?;
    if !channel.wait_for(Down::HooksDone) {
        exit_now(1);
    }
    if alone {
        process::set_dumpable(false).during("process", what)?;
    }
    Ok(())
}

/// The process's terminal, of the devpts that is mounted by now; its master goes to the parent.
fn make_terminal(inherited: &Inherited, rootfs: &Rootfs) -> Result<Option<Slave>, Fault> {
    let Some(process) = inherited.plan.process.as_ref().filter(|process| process.terminal) else { return Ok(None) };
    let pty = Pty::open(rootfs.root(), inherited.proc, process.uid, process.console_size)?;
    rootfs.bind_console(pty.slave.as_fd())?;
    let handed = inherited.channel.report(&Up::Terminal(pty.master, pty.name));
    handed.during(STAGE, || "cannot hand over the terminal".to_owned())?;
    Ok(Some(pty.slave))
}

fn wait_for_start(inherited: Inherited, prepared: &Prepared) {
    let Inherited { plan, listener, .. } = &inherited;
    let Some(listener) = listener else { return };
    let Ok((connection, page)) = rendezvous::wait(listener) else { return };
    let page = page.as_ref().unwrap_or(&inherited.page);
    launch(plan, prepared, page, &inherited, connection.as_fd(), |fault| {
        let _ = rendezvous::complain(&connection, &fault);
    });
}

/// The startContainer hooks, the filter, the program.
fn launch(
    plan: &Plan,
    prepared: &Prepared,
    page: &FaultPage,
    inherited: &Inherited,
    starter: BorrowedFd,
    complain: impl Fn(Fault),
) {
    let (Some(process), Some(program)) = (&plan.process, &prepared.program) else { return };
    if !plan.hooks.start_container.is_empty() {
        let pid = nix::unistd::getpid().as_raw();
        let state = (inherited.state)(Status::Created, pid);
        let drop_rest = || program.after.drop_now();
        let hooks = &plan.hooks.start_container;
        // Who waits for us ends us with them when its time is over.
        let no_limit = Deadline::default();
        if let Err(fault) = crate::hooks::run(hooks, "startContainer", &state, None, &drop_rest, no_limit) {
            return complain(fault);
        }
    }
    confine::finish(process, &program.env, &program.after, &program.path, page, starter);
    if process.may_speak
        && let Some(fault) = confine::failure(page, &process.args[0].to_string_lossy())
    {
        complain(fault);
    }
}
