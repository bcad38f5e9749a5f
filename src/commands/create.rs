//! `create`, and what `run` shares with it.

use super::preserved::Preserved;
use super::readiness::{self, Readiness};
use super::{App, destroy};
use crate::cgroups::{Cgroup, Hierarchy, UnitPlan};
use crate::cli::CreateArgs;
use crate::deadline::Deadline;
use crate::fault::{During, Fault};
use crate::host::Host;
use crate::launch::{Outlets, Site, launch};
use crate::plan::{self, Facts, Options, Plan};
use crate::rootfs::on_host;
use crate::spec;
use crate::state::{Directory, FORMAT, Identity, Record};
use crate::sys::clone::Child;
use anyhow::{Result, bail};
use std::os::fd::OwnedFd;
use std::path::Path;

#[inline(never)]
pub fn run(app: &App, args: &CreateArgs) -> Result<u8> {
    make(app, args, Mode::Create)?;
    Ok(0)
}

/// How far a new container is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Its init waits for `start`.
    Create,
    /// Its program runs, and rt ends.
    RunDetached,
    /// Its program runs, and rt stays.
    RunForeground,
}

/// A container that was made.
pub struct Made {
    pub dir: Directory,
    pub launched: Launched,
    /// What waits for the program to say that it is ready, where the caller's service manager is to know.
    pub readiness: Option<Readiness>,
    /// When the call gives up on what is still to come.
    pub deadline: Deadline,
}

/// Its init, and what is known of it.
pub struct Launched {
    pub init: Child,
    pub record: Record,
    pub cgroup: Option<Cgroup>,
    /// The master of its pty, where it is ours to relay.
    pub master: Option<OwnedFd>,
}

/// Makes a container. If anything fails, all that was made is removed again.
pub fn make(app: &App, args: &CreateArgs, mode: Mode) -> Result<Made> {
    spec::ids::check(&args.id)?;
    let deadline = Deadline::after(args.timeout);
    let host = Host::probe()?;
    let preserved = Preserved::find(args.preserve_fds)?;
    let load = || spec::load(args.bundle.as_deref().unwrap_or(Path::new(".")), args.config.as_deref());
    deadline.rehearse("the bundle", || drop(load()))?;
    let mut config = load()?;
    let options = Options {
        id: args.id.clone(),
        no_pivot: args.no_pivot,
        no_new_keyring: args.no_new_keyring,
        manager: app.manager(),
        preserve_fds: preserved.count,
    };
    let notified = readiness::manager().is_some();
    if notified {
        readiness::announce(&mut config.spec, &app.root.path.join(&args.id))?;
    }
    let hierarchy = app.hierarchy(&host)?;
    let facts = Facts::find(&config, &host, hierarchy.as_ref(), options.manager)?;
    let mut findings = config.findings.clone();
    let plan = plan::plan(&config, options, &facts, &mut findings);
    let mut plan = findings.verdict(plan)?;
    match &mut plan.process {
        Some(process) => preserved.announce(process),
        None if mode != Mode::Create => bail!("process: is required to run a container"),
        None => {}
    }
    let terminal = plan.process.as_ref().is_some_and(|process| process.terminal);
    terminal_rules(terminal, args.console_socket.as_deref(), mode != Mode::RunForeground)?;
    for note in plan.process.iter().flat_map(|process| &process.notes) {
        app.log.debug(|| note.clone());
    }
    for warning in findings.warnings() {
        app.log.warn(&warning.to_string());
    }
    let outlets = Outlets::reach(
        plan.process.as_ref(),
        mode == Mode::Create,
        args.console_socket.as_deref(),
        args.pidfd_socket.as_deref(),
    )?;
    let dir = app.root.create(&args.id)?;
    let prepared = if notified { prepare_notify(&dir, mode) } else { Ok(None) };
    let made = prepared.map_err(anyhow::Error::from).and_then(|readiness| {
        let site = Site {
            host: &host,
            log: &app.log,
            plan: &plan,
            dir: &dir,
            record: first_record(&plan, &host)?,
            run: mode != Mode::Create,
            pid_file: args.pid_file.as_deref(),
            cgroup: None,
            outlets,
            deadline,
        };
        Ok((furnish(app, site, &config.text, hierarchy.as_ref())?, readiness))
    });
    match made {
        Ok((launched, readiness)) => Ok(Made { dir, launched, readiness, deadline }),
        Err(error) => {
            destroy::unmake(&app.log, &plan, dir);
            Err(error)
        }
    }
}

/// What the program's word that it is ready takes; who listens is who starts it.
fn prepare_notify(dir: &Directory, mode: Mode) -> Result<Option<Readiness>, Fault> {
    readiness::prepare(dir)?;
    if mode == Mode::Create { Ok(None) } else { Readiness::listen(dir) }
}

/// Writes down what is about to be made, then makes it: resctrl groups, the cgroup, init.
fn furnish(app: &App, mut site: Site, config: &str, hierarchy: Option<&Hierarchy>) -> Result<Launched> {
    let (plan, dir) = (site.plan, site.dir);
    let planned = hierarchy.zip(plan.cgroup.as_ref());
    if let Some((hierarchy, cgroup)) = planned {
        site.record.cgroup_planned = Cgroup::missing(hierarchy, cgroup);
        site.record.unit_planned = cgroup.unit.as_ref().map(UnitPlan::unit);
    }
    let rdt = plan.rdt.as_ref().map(|rdt| Ok::<_, Fault>((rdt, rdt.survey()?))).transpose()?;
    site.record.rdt = rdt.as_ref().map(|(_, groups)| groups.clone());
    dir.write(&site.record)?;
    if let Some((rdt, groups)) = &rdt {
        rdt.make(groups)?;
    }
    dir.write_config(config)?;
    if let Some((hierarchy, cgroup)) = planned {
        site.cgroup = Cgroup::create(hierarchy, cgroup, &dir.mark()?, || app.rootless(site.host))?;
    }
    site.record.cgroup = site.cgroup.as_ref().map(Cgroup::record);
    site.record.cgroup_planned.clear();
    site.record.unit_planned = None;
    match launch(&mut site) {
        Ok(init) => Ok(Launched { init, record: site.record, cgroup: site.cgroup, master: site.outlets.master }),
        Err(error) => {
            destroy::unmake_cgroup(&app.log, &site.record, site.cgroup);
            Err(error)
        }
    }
}

/// What is on disk before anything else is made.
fn first_record(plan: &Plan, host: &Host) -> Result<Record> {
    Ok(Record {
        format: FORMAT,
        id: plan.id.clone(),
        oci_version: plan.oci_version.clone(),
        bundle: plan.bundle.clone(),
        rootfs: plan.root.path.clone(),
        created: crate::time::rfc3339_now(9),
        owner: nix::unistd::getuid().as_raw(),
        creator: Identity::own(host.proc()).during("state", || "cannot identify ourselves".to_owned())?,
        init: None,
        cgroup: None,
        cgroup_planned: Vec::new(),
        unit_planned: None,
        rdt: None,
        poststart: !plan.hooks.poststart.is_empty(),
        poststop: !plan.hooks.poststop.is_empty(),
        no_process: plan.process.is_none(),
        mute: plan.process.as_ref().is_some_and(|process| !process.may_speak),
        program: plan.process.as_ref().map(|p| p.args[0].to_string_lossy().into_owned()).unwrap_or_default(),
        own_pids: plan.namespaces.makes(crate::namespaces::PID),
        chrooted: plan.enter != crate::rootfs::Enter::Pivot,
        rootfs_base: plan.root.on_host.then(|| on_host::lies_on(&plan.root.path)).transpose()?,
        notify: plan.process.as_ref().and_then(|process| process.seccomp.as_ref()?.notify.clone()),
        keyring: plan.process.as_ref().is_some_and(|process| process.keyring.is_some()),
        oom: None,
        annotations: plan.annotations.clone(),
    })
}

/// Which of runc's rules about terminals the call breaks. `detached` means that rt will not stay with the process.
pub fn terminal_rules(terminal: bool, console_socket: Option<&Path>, detached: bool) -> Result<()> {
    match (terminal, console_socket, detached) {
        (true, None, true) => {
            bail!("cannot allocate tty if runc will detach without setting console socket (use --console-socket)")
        }
        (false, Some(_), _) | (true, Some(_), false) => {
            bail!("cannot use console socket if runc will not detach or allocate tty")
        }
        _ => Ok(()),
    }
}
