//! From `process` (and the parts of `linux` that are about a process) to what will be done.

use super::capabilities::{self, CapPlan};
use super::limits::{self, Limit};
use super::memory_policy::{self, MemoryPolicy};
use super::scheduling::{self, Affinity};
use crate::seccomp;
use crate::spec::{Code, Finding, Findings, Place, at};
use crate::sys::process::SchedAttr;
use crate::sys::tty::Size;
use anyhow::{Context, Result, bail};
use oci_spec::runtime::{Linux, Process, User};
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// Everything about one process of the container: its init, or one that joins it.
#[derive(Debug)]
pub struct ProcessPlan {
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: PathBuf,
    pub terminal: bool,
    /// How large the terminal is at first.
    pub console_size: Option<Size>,
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
    /// Keep the caller's supplementary groups (`run.oci.keep_original_groups`).
    pub keep_groups: bool,
    pub umask: u32,
    pub capabilities: CapPlan,
    pub no_new_privileges: bool,
    pub limits: Vec<Limit>,
    pub oom_score_adj: Option<i32>,
    pub apparmor: Option<CString>,
    pub selinux: Option<CString>,
    pub scheduler: Option<SchedAttr>,
    pub io_priority: Option<(u32, u32)>,
    /// Which CPUs the process may run on, of those that its cpuset has.
    pub affinity: Affinity,
    pub memory_policy: Option<MemoryPolicy>,
    pub personality: Option<u64>,
    /// The name of the new session keyring.
    pub keyring: Option<CString>,
    pub seccomp: Option<seccomp::Filter>,
    /// Whether the process may still look into a file and send a message after the filter is loaded, to say why execve
    /// failed.
    pub may_speak: bool,
    /// What only `--debug` tells: system calls of the filter that nobody knows here.
    pub notes: Vec<String>,
}

/// runc's umask where the configuration names none; images rely on it.
const UMASK: u32 = 0o022;

/// The system calls of [`super::explain`], and of telling what it found.
const EXPLAINING: [(&str, [u64; 6]); 10] = [
    ("sendto", [0; 6]),
    ("open", [0; 6]),
    ("openat", [0; 6]),
    ("fcntl", [0; 6]),
    ("statx", [0; 6]),
    ("read", [0; 6]),
    ("close", [0; 6]),
    ("brk", [0; 6]),
    ("mmap", [0; 6]),
    ("munmap", [0; 6]),
];

/// Plans `process`: what is right of it. `linux` gives seccomp and personality, `keyring` the session keyring's name if
/// one is wanted.
pub fn plan(process: &Process, linux: Option<&Linux>, keyring: Option<&str>, findings: &mut Findings) -> ProcessPlan {
    let args = findings.keep(Code::Args, arguments(process)).unwrap_or_default();
    findings.keep(Code::Cwd, check_cwd(process.cwd()));
    let user = process.user();
    if user.username().as_ref().is_some_and(|name| !name.is_empty()) {
        let text = "is for Windows; uid and gid are used";
        findings.add(Finding::warning(Code::NoEffect, at("process.user.username"), text));
    }
    check_ids(user, findings);
    let flags = linux.and_then(|linux| linux.personality().as_ref()?.flags().as_deref()).unwrap_or_default();
    if !flags.is_empty() {
        // config-linux.md: "Currently no flag values are supported."
        let text = format!("{} are left out, no flag is supported", flags.join(", "));
        findings.add(Finding::warning(Code::NoEffect, at("linux.personality.flags"), text));
    }
    let oom_score_adj = process.oom_score_adj();
    if let Some(score) = oom_score_adj
        && !(-1000..=1000).contains(&score)
    {
        let text = format!("{score} is not in -1000..1000");
        findings.add(Finding::error(Code::Invalid, at("process.oomScoreAdj"), text));
    }
    let mut notes = Vec::new();
    let profile = linux.and_then(|linux| linux.seccomp().as_ref());
    let compiled = profile.map(|profile| seccomp::compile(profile, &mut notes).map_err(seccomp_error));
    let seccomp = findings.keep(Code::Seccomp, compiled.transpose()).flatten();
    // Beside a helper thread nothing that takes a lock of the C library is safe to call under the filter.
    let may_speak = seccomp
        .as_ref()
        .is_none_or(|filter| filter.notify.is_none() && seccomp::blocked(filter, &EXPLAINING).is_none());
    let plan = ProcessPlan {
        may_speak,
        notes,
        env: environment(process.env().as_deref().unwrap_or_default(), findings),
        args,
        cwd: process.cwd().clone(),
        terminal: process.terminal().unwrap_or(false),
        console_size: findings.keep(Code::Invalid, console_size(process)).flatten(),
        uid: user.uid(),
        gid: user.gid(),
        additional_gids: user.additional_gids().clone().unwrap_or_default(),
        keep_groups: false,
        umask: user.umask().unwrap_or(UMASK),
        capabilities: capabilities::plan(process.capabilities().as_ref()),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        limits: limits::plan(process.rlimits().as_deref().unwrap_or_default(), findings),
        oom_score_adj,
        apparmor: label(process.apparmor_profile().as_deref(), "process.apparmorProfile", findings),
        selinux: label(process.selinux_label().as_deref(), "process.selinuxLabel", findings),
        scheduler: process
            .scheduler()
            .as_ref()
            .and_then(|spec| findings.keep(Code::Scheduler, scheduling::scheduler(spec))),
        io_priority: process
            .io_priority()
            .as_ref()
            .and_then(|spec| findings.keep(Code::Invalid, scheduling::io_priority(spec))),
        affinity: findings
            .keep(Code::Affinity, scheduling::affinity(process.exec_cpu_affinity().as_ref()))
            .unwrap_or_default(),
        memory_policy: linux
            .and_then(|linux| linux.memory_policy().as_ref())
            .and_then(|spec| findings.keep(Code::MemoryPolicy, memory_policy::plan(spec))),
        personality: linux.and_then(|linux| linux.personality().as_ref()).map(scheduling::personality),
        keyring: keyring.and_then(|id| CString::new(format!("_ses.{id}")).ok()),
        seccomp,
    };
    findings.keep(Code::SeccompBlocks, check_filter(&plan));
    plan
}

/// The place is that of the value; the words name the profile first.
fn seccomp_error(error: anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    let place = if text.starts_with("linux.seccomp") { at(&text) } else { at("linux.seccomp") };
    Finding::phrase(Code::Seccomp, place, format!("linux.seccomp: {text}")).into()
}

fn arguments(process: &Process) -> Result<Vec<CString>> {
    let args = strings(process.args().as_deref().unwrap_or_default(), "process.args")?;
    match args.first() {
        None => bail!("process.args: must not be empty"),
        Some(first) if first.is_empty() => {
            let phrase = "exec: \"\": executable file not found in $PATH";
            let finding = Finding::phrase(Code::Args, at("process.args[0]"), phrase);
            Err(finding.remedy("process.args[0] is empty").into())
        }
        Some(_) => Ok(args),
    }
}

fn check_cwd(cwd: &Path) -> Result<()> {
    if cwd.as_os_str().is_empty() {
        bail!("process.cwd: Cwd property must not be empty");
    }
    if !cwd.is_absolute() {
        bail!("process.cwd: Cwd must be an absolute path, not {}", cwd.display());
    }
    Ok(())
}

/// The last id means "no change" to the kernel, and a umask has nine bits.
fn check_ids(user: &User, findings: &mut Findings) {
    let mut check = |id: u32, place: &dyn Fn() -> Place| {
        if id == u32::MAX {
            let text = format!("{id} is no id (the kernel means \"no change\" by it)");
            findings.add(Finding::error(Code::Invalid, place(), text));
        }
    };
    check(user.uid(), &|| at("process.user.uid"));
    check(user.gid(), &|| at("process.user.gid"));
    for (i, gid) in user.additional_gids().iter().flatten().enumerate() {
        check(*gid, &|| at("process.user.additionalGids").item(i));
    }
    if let Some(umask) = user.umask().filter(|umask| *umask > 0o777) {
        findings.add(Finding::error(Code::Invalid, at("process.user.umask"), format!("{umask:#o} is above 0o777")));
    }
}

/// Refuses a filter that would stop what still has to run between its load and the container's own program.
fn check_filter(plan: &ProcessPlan) -> Result<()> {
    let Some(filter) = &plan.seccomp else { return Ok(()) };
    let fifo = plan.scheduler.as_ref().is_some_and(|scheduler| scheduler.policy == libc::SCHED_FIFO as u32);
    let deadline = plan.scheduler.as_ref().is_some_and(|scheduler| scheduler.policy == libc::SCHED_DEADLINE as u32);
    if filter.notify.is_some() && (fifo || deadline) {
        bail!(
            "linux.seccomp: SCMP_ACT_NOTIFY cannot be combined with process.scheduler SCHED_FIFO or SCHED_DEADLINE, under which no second \
             thread could hand out the listener"
        );
    }
    let mut calls = vec![("execve", [0; 6])];
    if !plan.no_new_privileges {
        calls.push(("capset", [0; 6]));
    }
    match seccomp::blocked(filter, &calls) {
        None => Ok(()),
        Some((call, action)) => bail!(
            "linux.seccomp: the filter answers {call} with {action}, so the container's process could never start \
             (allow {call}{})",
            if call == "capset" { ", or set process.noNewPrivileges" } else { "" }
        ),
    }
}

fn console_size(process: &Process) -> Result<Option<Size>> {
    let Some(size) = process.console_size().filter(|_| process.terminal() == Some(true)) else { return Ok(None) };
    let number = |value: u64, field: &str| {
        u16::try_from(value).with_context(|| format!("process.consoleSize.{field}: {value} is not below 65536"))
    };
    Ok(Some(Size { rows: number(size.height(), "height")?, columns: number(size.width(), "width")? }))
}

fn strings(list: &[String], field: &str) -> Result<Vec<CString>> {
    let string = |(i, text): (usize, &String)| {
        CString::new(text.as_str()).with_context(|| format!("{field}[{i}]: {text:?} contains a NUL byte"))
    };
    list.iter().enumerate().map(string).collect()
}

/// The environment as given; of a name that is set twice the last value counts, as under runc.
fn environment(env: &[String], findings: &mut Findings) -> Vec<CString> {
    let name = |text: &String| text.split_once('=').map(|(name, _)| name.to_owned());
    let Some(mut kept) = findings.keep(Code::Env, strings(env, "process.env")) else { return Vec::new() };
    for i in (0..env.len()).rev() {
        let place = || at("process.env").item(i);
        let own = match name(&env[i]) {
            Some(own) if !own.is_empty() => own,
            nameless => {
                let what = if nameless.is_some() { "has no name" } else { "is not NAME=VALUE" };
                findings.add(Finding::error(Code::Env, place(), format!("{:?} {what}", env[i])));
                continue;
            }
        };
        if env[i + 1..].iter().any(|later| name(later).as_ref() == Some(&own)) {
            let text = format!("{own} is set again later; the last value counts");
            findings.add(Finding::warning(Code::EnvTwice, place(), text));
            kept.remove(i);
        }
    }
    kept
}

fn label(text: Option<&str>, field: &str, findings: &mut Findings) -> Option<CString> {
    let text = text.filter(|text| !text.is_empty())?;
    findings.keep(Code::Invalid, CString::new(text).with_context(|| format!("{field}: contains a NUL byte")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(mut json: serde_json::Value) -> Result<(ProcessPlan, Vec<String>)> {
        let object = json.as_object_mut().unwrap();
        for (key, value) in [
            ("cwd", serde_json::json!("/")),
            ("args", serde_json::json!(["/bin/true"])),
            ("user", serde_json::json!({"uid": 0, "gid": 0})),
        ] {
            object.entry(key).or_insert(value);
        }
        let mut findings = Findings::default();
        let plan = plan(&serde_json::from_value(json).unwrap(), None, None, &mut findings);
        let warnings = findings.warnings().map(ToString::to_string).collect();
        findings.verdict((plan, warnings))
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let (plan, warnings) = planned(serde_json::json!({"env": ["A=1", "B=2", "A=3", "C=", "A=4"]})).unwrap();
        assert_eq!(plan.env, [c"B=2", c"C=", c"A=4"].map(CString::from));
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn errors_name_the_field() {
        for (json, expected) in [
            (serde_json::json!({"args": []}), "process.args: must not be empty"),
            (serde_json::json!({"args": [""]}), "exec: \"\": executable file not found in $PATH (process.args[0]"),
            (serde_json::json!({"args": ["a\0b"]}), "process.args[0]: \"a\\0b\" contains a NUL byte"),
            (serde_json::json!({"env": ["PATH"]}), "process.env[0]: \"PATH\" is not NAME=VALUE"),
            (serde_json::json!({"env": ["A=1", "=x"]}), "process.env[1]: \"=x\" has no name"),
            (serde_json::json!({"cwd": "tmp"}), "process.cwd: Cwd must be an absolute path"),
            (serde_json::json!({"cwd": ""}), "process.cwd: Cwd property must not be empty"),
            (serde_json::json!({"oomScoreAdj": 1001}), "process.oomScoreAdj: 1001 is not in -1000..1000"),
        ] {
            let text = format!("{:#}", planned(json).unwrap_err());
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
