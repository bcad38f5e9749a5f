//! Ending a container and removing what rt made for it.

use crate::cgroups::{self, Cgroup};
use crate::deadline::Deadline;
use crate::hooks;
use crate::log::{Log, told};
use crate::plan::Plan;
use crate::rootfs::on_host;
use crate::spec::Findings;
use crate::spec::load::parse_spec;
use crate::state::{Directory, Record, Status};
use crate::sys::clone::{KILL_WAIT, ends_within, pidfd_send_signal};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How long the init of a creator that died may take to notice and exit.
const OWN_END: Duration = Duration::from_secs(2);

/// Kills init and, where it does not take them along, all other processes of the container; waits until init is gone.
///
/// With a pid namespace of the container's own the kernel has killed the rest with init. Whoever is left in the cgroup
/// came from elsewhere, and is not ours to kill.
pub fn kill_all(record: &Record, init: Option<BorrowedFd>, cgroup: Option<&Cgroup>) -> Result<()> {
    if let Some(init) = init {
        match pidfd_send_signal(init, libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => Err(errno).with_context(|| format!("cannot kill the init of container {}", record.id))?,
        }
    }
    if !record.own_pids || record.init.is_none() {
        kill_cgroup(record, cgroup)?;
    }
    let Some(init) = init else { return Ok(()) };
    if !ends_within(init, KILL_WAIT).context("cannot wait for the container's init to end")? {
        let pid = record.init.as_ref().map_or(0, |init| init.pid);
        bail!("container init still running: pid {pid} has not died {} s after SIGKILL", KILL_WAIT.as_secs());
    }
    Ok(())
}

/// Kills all processes of the container's cgroup. False, and none is killed, where it has none that is certainly its
/// own: one that existed before it, or one that was only planned when its maker died, and that another may have made.
pub fn kill_cgroup(record: &Record, cgroup: Option<&Cgroup>) -> Result<bool> {
    let own = |cgroup: &&Cgroup| record.cgroup.is_some() && cgroup.record().is_made();
    cgroup.filter(own).map_or(Ok(false), |cgroup| cgroup.kill().map(|()| true))
}

/// The container's cgroup, if rt recorded one and it still exists.
pub fn open_cgroup(record: &Record, proc: BorrowedFd) -> Result<Option<Cgroup>> {
    let found = match &record.cgroup {
        Some(cgroup) => Cgroup::open(cgroup)?,
        // Its maker died between the first record and the last.
        None => Cgroup::open_planned(&record.cgroup_planned)?,
    };
    // Paths and inodes of cgroups come again after a reboot.
    if found.is_some() && !record.creator.is_of_this_boot(proc)? {
        return Ok(None);
    }
    Ok(found)
}

/// Ends a container, whatever it is at, and removes all of it.
pub fn clear(log: &Log, dir: Directory, record: &Record, init: Option<BorrowedFd>, proc: BorrowedFd) -> Result<()> {
    let cgroup = match &record.unit_planned {
        // Only here: for who but looks, systemd may be starting it.
        Some(unit) if record.creator.is_of_this_boot(proc)? => Cgroup::of_planned_unit(unit, &record.id)?,
        _ => open_cgroup(record, proc)?,
    };
    kill_all(record, init, cgroup.as_ref())?;
    remove(log, dir, record, cgroup)
}

/// Removes all of a container whose init is dead: cgroup, directory, then the poststop hooks run.
pub fn remove(log: &Log, dir: Directory, record: &Record, cgroup: Option<Cgroup>) -> Result<()> {
    if let Some(cgroup) = cgroup.as_ref().filter(|cgroup| !record.own_pids && !cgroup.record().is_made()) {
        tell_who_stays(log, cgroup)?;
    }
    match cgroup.map(|cgroup| cgroup.remove(if record.cgroup.is_some() { KILL_WAIT } else { OWN_END })) {
        // Its maker died before it was made; whoever lives there now has made it.
        Some(Err(error)) if record.cgroup.is_none() => {
            log.warn(&format!("{}; it is another's, and stays", told(&error)))
        }
        removed => removed.unwrap_or(Ok(()))?,
    }
    take_back(record, record.init.is_some())?;
    let config = if record.poststop { dir.config().ok() } else { None };
    dir.remove()?;
    if let Some(config) = config {
        poststop(log, record, &config);
    }
    Ok(())
}

/// In a cgroup that existed before, the container's other processes cannot be told from anybody's.
fn tell_who_stays(log: &Log, cgroup: &Cgroup) -> Result<()> {
    let stay = cgroup.procs()?;
    if !stay.is_empty() {
        let path = cgroup.path().display();
        let who = cgroups::describe(&stay);
        log.warn(&format!("cgroup {path} existed before the container; processes in it are left alone: {who}"));
    }
    Ok(())
}

/// Takes away what lies outside of the container's namespaces and cgroup: its mounts, where it has no mount namespace, and
/// its resctrl groups. `finished`: its creation had not failed.
fn take_back(record: &Record, finished: bool) -> Result<()> {
    let groups = record.rdt.as_ref().map_or(Ok(()), |rdt| rdt.remove(finished));
    record.rootfs_base.map_or(Ok(()), |base| on_host::detach(&record.rootfs, base))?;
    Ok(groups?)
}

/// A poststop hook that fails is only a warning, and the others still run (runtime.md, "Lifecycle").
fn poststop(log: &Log, record: &Record, config: &str) {
    let mut findings = Findings::default();
    let plans = parse_spec(config, &mut findings).map(|spec| hooks::plan(&spec, &mut findings));
    match plans.and_then(|plans| findings.verdict(plans)) {
        Ok(plans) => run_poststop(log, record, &plans.poststop),
        Err(error) => log.warn(&format!("poststop hooks cannot be run: {}", told(&error))),
    }
}

fn run_poststop(log: &Log, record: &Record, hooks: &[hooks::HookPlan]) {
    let state = record.for_hooks(Status::Stopped, 0);
    for (i, hook) in hooks.iter().enumerate() {
        let one = std::slice::from_ref(hook);
        let bundle = Some(record.bundle.as_path());
        if let Err(fault) = hooks::run(one, "poststop", &state, bundle, &|| Ok(()), Deadline::default()) {
            log.warn(&fault.to_string().replacen("#0", &format!("#{i}"), 1));
        }
    }
}

/// After a failed create: init is dead already, and so what is left is the directory and the poststop hooks.
pub fn unmake(log: &Log, plan: &Plan, dir: Directory) {
    let record = dir.read().ok().flatten();
    if let Some(Err(error)) = record.as_ref().map(|record| take_back(record, false)) {
        log.warn(&told(&error));
    }
    if let Err(error) = dir.remove() {
        log.debug(|| told(&error));
    }
    if let Some(record) = record {
        run_poststop(log, &record, &plan.hooks.poststop);
    }
}

/// After a failed create: whatever still lives in the cgroup is killed, and the cgroup removed.
pub fn unmake_cgroup(log: &Log, record: &Record, cgroup: Option<Cgroup>) {
    let Some(cgroup) = cgroup else { return };
    if let Err(error) = kill_cgroup(record, Some(&cgroup)).and_then(|_| cgroup.remove(KILL_WAIT)) {
        log.warn(&told(&error));
    }
}

/// Kills and removes: what `run` does when something fails after the program has started.
pub fn end(log: &Log, dir: Directory, record: &Record, init: BorrowedFd, cgroup: Option<Cgroup>) -> Result<()> {
    kill_all(record, Some(init.as_fd()), cgroup.as_ref())?;
    remove(log, dir, record, cgroup)
}
