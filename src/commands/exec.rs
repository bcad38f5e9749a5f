//! `exec`: another process in a running container.

use super::foreground::Foreground;
use super::pause::held_above;
use super::preserved::Preserved;
use super::{App, destroy};
use crate::cli::ExecArgs;
use crate::confine::{self, ProcessPlan};
use crate::deadline::Deadline;
use crate::host::Host;
use crate::launch::{Entry, Outlets, enter, write_pid_file};
use crate::namespaces;
use crate::spec::Findings;
use crate::spec::load::{self, ForExec};
use crate::state::Record;
use crate::sys::clone::{Child, Ended, end};
use crate::terminal::Relay;
use anyhow::{Context, Result, bail};
use oci_spec::runtime::{Capability, Process};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

#[inline(never)]
pub fn run(app: &App, args: &ExecArgs) -> Result<u8> {
    let deadline = Deadline::after(args.timeout);
    let host = Host::probe()?;
    let dir = app.root.open(&args.id)?;
    let record = dir.record()?;
    let Some(init) = record.living_init(host.proc())? else {
        bail!("cannot exec in a stopped container");
    };
    if !args.ignore_paused && record.cgroup.as_ref().is_some_and(|cgroup| cgroup.holds_newcomers()) {
        bail!("cannot exec in a paused container (use --ignore-paused to override){}", held_above(&record));
    }
    let mut findings = Findings::default();
    let spec = load::parse_for_exec(&dir.config()?, &mut findings)?;
    let process = process(args, &spec, &mut findings)?;
    let plan = plan(&process, &spec, &record, &mut findings);
    let plan = findings.verdict(plan)?;
    let preserved = Preserved::flag(args.preserve_fds)?;
    super::create::terminal_rules(plan.terminal, args.console_socket.as_deref(), args.detach)?;
    let outlets = Outlets::reach(Some(&plan), false, args.console_socket.as_deref(), args.pidfd_socket.as_deref())?;
    for warning in findings.warnings() {
        app.log.debug(|| warning.to_string());
    }
    let foreground = if args.detach { None } else { Some(Foreground::begin()?) };
    let entry = Entry {
        host: &host,
        log: &app.log,
        record: &record,
        init,
        namespaces: namespaces::plan(spec.linux.as_ref(), &mut Findings::default()),
        plan: &plan,
        cgroup: destroy::open_cgroup(&record, host.proc())?,
        sub_cgroup: sub_cgroup(args)?,
        preserve_fds: preserved.count,
        outlets,
        deadline,
    };
    let (child, master) = enter(entry)?;
    accompany(app, args, foreground, &child, master, &record).inspect_err(|_| {
        // A caller that is told of a failure does not look for a process.
        end(child.pidfd.as_fd());
    })
}

/// The pid file, and in the foreground the rest of the process's life.
fn accompany(
    app: &App,
    args: &ExecArgs,
    foreground: Option<Foreground>,
    child: &Child,
    master: Option<OwnedFd>,
    record: &Record,
) -> Result<u8> {
    if let Some(path) = &args.pid_file {
        write_pid_file(path, child.pid.as_raw())?;
    }
    let Some(foreground) = foreground else { return Ok(0) };
    let ended = foreground.stay(child, master.map(Relay::begin).transpose()?, None)?;
    // Whether it was this process nobody knows: the kernel counts per cgroup.
    if ended == Ended::Signaled(libc::SIGKILL)
        && let Some(oom) = record.cgroup.as_ref().and_then(|cgroup| cgroup.oom())
    {
        let kills = oom.kills;
        app.log.warn(&format!(
            "the process was killed (possibly OOM-killed: the OOM killer has killed {kills} process(es) of the container, {oom})"
        ));
    }
    Ok(u8::try_from(ended.code()).unwrap_or(u8::MAX))
}

fn plan(process: &Process, spec: &ForExec, record: &Record, findings: &mut Findings) -> ProcessPlan {
    let keyring = record.keyring.then_some(record.id.as_str());
    confine::plan(process, spec.linux.as_ref(), keyring, findings)
}

/// The process as the caller wants it: from `--process` alone, or the container's own with the flags laid over it.
fn process(args: &ExecArgs, spec: &ForExec, findings: &mut Findings) -> Result<Process> {
    if let Some(file) = &args.process {
        return load::parse_process(&load::read(file)?, findings).with_context(|| file.display().to_string());
    }
    let mut process = spec.process.clone().unwrap_or_default();
    let text = |text: &OsStr, what: &str| {
        text.to_str().map(str::to_owned).with_context(|| format!("{what} {} is not UTF-8", text.to_string_lossy()))
    };
    let command = args.command.iter().map(|word| text(word, "argument")).collect::<Result<Vec<_>>>()?;
    process.set_args(Some(command)).set_terminal(Some(args.tty));
    if let Some(cwd) = &args.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    for var in &args.env {
        env.push(text(var, "--env")?);
    }
    process.set_env(Some(env));
    if let Some(user) = &args.user {
        let (uid, gid) = user_of(user)?;
        // Another user's home is not this one's.
        let home = |var: &String| var.starts_with("HOME=");
        process.env_mut().iter_mut().for_each(|env| env.retain(|var| !home(var)));
        process.user_mut().set_uid(uid);
        if let Some(gid) = gid {
            process.user_mut().set_gid(gid);
        }
    }
    if !args.additional_gids.is_empty() {
        let mut gids = process.user().additional_gids().clone().unwrap_or_default();
        gids.extend(&args.additional_gids);
        process.user_mut().set_additional_gids(Some(gids));
    }
    if args.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(profile) = &args.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if let Some(label) = &args.process_label {
        process.set_selinux_label(Some(label.clone()));
    }
    add_capabilities(&mut process, &args.caps)?;
    Ok(process)
}

/// `UID[:GID]`, in plain decimal and nothing else: what is half a number must never become 0 (CVE-2026-30892).
fn user_of(text: &str) -> Result<(u32, Option<u32>)> {
    let id = |part: &str| {
        let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        // The last id means "no change" to the kernel.
        let id = plain.then(|| part.parse::<u32>().ok()).flatten().filter(|id| *id != u32::MAX);
        id.with_context(|| format!("--user {text:?}: {part:?} is not a numeric id (UID[:GID])"))
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok((id(uid)?, Some(id(gid)?))),
        None => Ok((id(text)?, None)),
    }
}

/// `--cap`: bounding, effective and permitted, ambient where the container uses inheritable ones; never inheritable
/// (CVE-2022-29162).
fn add_capabilities(process: &mut Process, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let capability = |name: &String| {
        serde_json::from_value::<Capability>(serde_json::json!(name)).with_context(|| format!("--cap {name:?}"))
    };
    let extra = names.iter().map(capability).collect::<Result<Vec<_>>>()?;
    let mut sets = match process.capabilities() {
        Some(sets) => sets.clone(),
        None => serde_json::from_str("{}")?,
    };
    let with = |set: &Option<oci_spec::runtime::Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend(extra.iter().copied());
        Some(set)
    };
    let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    if sets.inheritable().is_some() {
        let ambient = with(sets.ambient());
        sets.set_ambient(ambient);
    }
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    process.set_capabilities(Some(sets));
    Ok(())
}

/// `--cgroup`: one sub-cgroup of the container's own; a v1 controller list in front has no meaning here.
fn sub_cgroup(args: &ExecArgs) -> Result<Option<&str>> {
    let Some(given) = args.cgroup.last() else { return Ok(None) };
    let path = given.split_once(':').map_or(given.as_str(), |(_, path)| path).trim_matches('/');
    if path.split('/').any(|part| part == "..") {
        bail!("--cgroup {given:?}: must not leave the container's cgroup");
    }
    Ok(Some(path).filter(|path| !path.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_plain_numbers() {
        assert_eq!(user_of("1").unwrap(), (1, None));
        assert_eq!(user_of("1000:100").unwrap(), (1000, Some(100)));
        assert_eq!(user_of("0:0").unwrap(), (0, Some(0)));
        for bad in ["", "1:", ":1", "0x1", "-1", "+1", "4294967295", "4294967296", "root", "1:2:3", " 1", "1 "] {
            assert!(user_of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_capability_is_never_made_inheritable() {
        let json = r#"{"cwd": "/", "user": {}, "capabilities": {"bounding": ["CAP_KILL"]}}"#;
        let mut process: Process = serde_json::from_str(json).unwrap();
        add_capabilities(&mut process, &["CAP_NET_RAW".to_owned()]).unwrap();
        let sets = process.capabilities().clone().unwrap();
        assert_eq!(sets.bounding().as_ref().unwrap().len(), 2);
        assert_eq!(sets.permitted().as_ref().unwrap().len(), 1);
        assert_eq!((sets.inheritable(), sets.ambient()), (&None, &None));
        assert!(add_capabilities(&mut process, &["CAP_NO".to_owned()]).is_err());
    }
}
