//! Carrying the plan out, in the process itself. The order matters and is told in ARCHITECTURE.md.

use super::listener;
use super::plan::ProcessPlan;
use super::scheduling::LastCpus;
use crate::fault::{During, Fault, words};
use crate::sys::exec::{Strings, execve};
use crate::sys::process::*;
use crate::sys::shared::FaultPage;
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A label file of the LSM, opened on the host's own /proc before any of the container's could stand in for it.
pub struct Label {
    file: OwnedFd,
    text: Vec<u8>,
    field: &'static str,
}

/// Opens where the LSM takes the label for the next execve. `proc` is the host's /proc.
pub fn open_label(plan: &ProcessPlan, proc: BorrowedFd) -> Result<Option<Label>, Fault> {
    let (field, text, files): (_, Vec<u8>, &[&str]) = if let Some(profile) = &plan.apparmor {
        let text = [b"exec ".as_slice(), profile.to_bytes()].concat();
        ("process.apparmorProfile", text, &["thread-self/attr/apparmor/exec", "thread-self/attr/exec"])
    } else if let Some(label) = &plan.selinux {
        ("process.selinuxLabel", label.to_bytes().to_vec(), &["thread-self/attr/exec"])
    } else {
        return Ok(None);
    };
    let mut last = Errno::ENOENT;
    for file in files {
        match crate::proc::open_for_writing(proc, file) {
            Ok(file) => return Ok(Some(Label { file, text, field })),
            Err(errno) => last = errno,
        }
    }
    Err(Fault::new("label", format!("{field}: cannot open the label file: {}", words(last))).errno(last))
}

impl Label {
    fn write(&self) -> Result<(), Fault> {
        nix::unistd::write(&self.file, &self.text).map(drop).map_err(|errno| {
            let text = String::from_utf8_lossy(&self.text);
            let label = text.strip_prefix("exec ").unwrap_or(&text);
            let what = format!("{}: the kernel refuses the label {label:?}: {}", self.field, words(errno));
            let fault = Fault::new("label", what).errno(errno);
            match errno {
                Errno::ENOENT => fault.hint("load the profile on the host first (apparmor_parser -r)"),
                _ => fault,
            }
        })
    }
}

/// What still needs privilege: limits, scheduling, keyring, the bounding set.
pub fn restrict(plan: &ProcessPlan) -> Result<(), Fault> {
    if let Some(name) = &plan.keyring {
        join_session_keyring(name)
            .or_else(|errno| if errno == Errno::ENOSYS { Ok(()) } else { Err(errno) })
            .map_err(keyring_fault)?;
    }
    match &plan.affinity.last {
        // A daemon may be pinned to some CPUs; its containers have those of their cpuset. Best effort: a filter around rt
        // may forbid it. One call is the least: to ask first whether it is needed would be one, too.
        LastCpus::All => drop(run_on_all_cpus()),
        LastCpus::Only(mask) => run_on_cpus(mask).map_err(|errno| cpus_fault("final", errno))?,
        LastCpus::AsTheyAre => {}
    }
    if let Some(attr) = &plan.scheduler {
        set_scheduler(attr).map_err(|errno| scheduler_fault(attr, errno))?;
    }
    if let Some((class, level)) = plan.io_priority {
        set_io_priority(class, level).during("scheduler", || "process.ioPriority: cannot be set".to_owned())?;
    }
    if let Some(domain) = plan.personality {
        set_personality(domain).during("personality", || "linux.personality: cannot be set".to_owned())?;
    }
    if let Some(policy) = &plan.memory_policy {
        set_memory_policy(policy.mode, &policy.nodes).map_err(memory_policy_fault)?;
    }
    for (i, limit) in plan.limits.iter().enumerate() {
        let set = match limit.comes_last() {
            // What takes privilege is done now, and the rest in `finish`.
            true => raise_hard_limit(limit.resource, limit.hard),
            false => set_rlimit(limit.resource, limit.soft, limit.hard),
        };
        set.map_err(|errno| {
            let what = format!("process.rlimits[{i}]: cannot set {}: {}", limit.name, words(errno));
            let fault = Fault::new("rlimits", what).errno(errno);
            match errno {
                Errno::EPERM => fault.hint("only CAP_SYS_RESOURCE of the host may raise the hard limit above rt's own"),
                _ => fault,
            }
        })?;
    }
    plan.capabilities.drop_bounding()
}

/// Raises what whoever makes a process hands down to it: in a user namespace it has no right to raise a hard limit
/// itself (setrlimit(2) asks for CAP_SYS_RESOURCE of the first one). Where this one has none, either, the process tells.
pub fn raise_limits(plan: &ProcessPlan) {
    for limit in &plan.limits {
        let _ = raise_hard_limit(limit.resource, limit.hard);
    }
}

/// Moves whoever makes a process to the CPUs of `process.execCPUAffinity.initial`.
pub fn start_on_cpus(plan: &ProcessPlan) -> Result<(), Fault> {
    match &plan.affinity.first {
        Some(mask) => run_on_cpus(mask).map_err(|errno| cpus_fault("initial", errno)),
        None => Ok(()),
    }
}

fn cpus_fault(which: &str, errno: Errno) -> Fault {
    let what = format!("process.execCPUAffinity.{which}: cannot be set: {}", words(errno));
    let fault = Fault::new("scheduler", what).errno(errno);
    match errno {
        Errno::EINVAL => fault.hint("none of these CPUs is there and in the cpuset of the cgroup"),
        _ => fault,
    }
}

fn scheduler_fault(attr: &SchedAttr, errno: Errno) -> Fault {
    let fault = Fault::new("scheduler", format!("process.scheduler: cannot be set: {}", words(errno))).errno(errno);
    let deadline = attr.policy == libc::SCHED_DEADLINE as u32;
    match errno {
        Errno::EPERM if deadline => {
            fault.hint("SCHED_DEADLINE takes CAP_SYS_NICE of the host, and every CPU: a cpuset must not leave any out")
        }
        Errno::EPERM => fault.hint(
            "this takes CAP_SYS_NICE of the host, and under CONFIG_RT_GROUP_SCHED a cgroup with real-time budget",
        ),
        Errno::EBUSY => {
            fault.hint("the kernel cannot grant this much time of a CPU beside what others have been granted")
        }
        Errno::EOPNOTSUPP => fault.hint("utilization clamps take a kernel with CONFIG_UCLAMP_TASK"),
        _ => fault,
    }
}

fn memory_policy_fault(errno: Errno) -> Fault {
    let fault = Fault::new("memory", format!("linux.memoryPolicy: cannot be set: {}", words(errno))).errno(errno);
    match errno {
        Errno::EINVAL => fault.hint(
            "none of the nodes is there and in the cpuset of the cgroup, or the kernel does not know this mode or flag",
        ),
        Errno::ENOSYS => fault.hint("this takes a kernel with CONFIG_NUMA"),
        _ => fault,
    }
}

fn keyring_fault(errno: Errno) -> Fault {
    let fault = Fault::new("keyring", format!("cannot join a new session keyring: {}", words(errno))).errno(errno);
    match errno {
        Errno::EDQUOT => {
            fault.hint("the user's key quota is used up; raise kernel.keys.maxkeys or use --no-new-keyring")
        }
        Errno::EPERM => fault.hint("a seccomp filter around rt may forbid keyctl; use --no-new-keyring"),
        _ => fault,
    }
}

/// Enters `cwd` where that is possible. `false` means that only the container's user may enter it.
pub fn enter_cwd(cwd: &Path) -> Result<bool, Fault> {
    match nix::unistd::chdir(cwd) {
        Ok(()) => Ok(true),
        Err(Errno::EACCES) => Ok(false),
        Err(errno) => Err(cwd_fault(cwd, errno)),
    }
}

fn cwd_fault(cwd: &Path, errno: Errno) -> Fault {
    let at = cwd.display();
    Fault::new("cwd", format!("chdir to cwd ({at:?}) set in config.json failed: {}", words(errno)))
        .errno(errno)
        .path(at)
}

/// Becomes the container's user: groups, ids, no_new_privs, capabilities, then the label for the next execve.
///
/// Returns what is left to do after the seccomp load.
pub fn lock_down(plan: &ProcessPlan, inside: bool, label: Option<Label>) -> Result<(AfterLoad, Option<String>), Fault> {
    let held = capget().during("capabilities", || "cannot read the own capabilities".to_owned())?.permitted;
    let (capabilities, warning) = plan.capabilities.grantable(held);
    if !plan.keep_groups {
        groups(plan)?;
    }
    setgid(plan.gid).map_err(|errno| user_fault("gid", plan.gid, errno))?;
    set_keepcaps(true).during("user", || "cannot keep capabilities across the change of user".to_owned())?;
    setuid(plan.uid).map_err(|errno| user_fault("uid", plan.uid, errno))?;
    set_umask(plan.umask);
    if !inside {
        nix::unistd::chdir(&plan.cwd).map_err(|errno| cwd_fault(&plan.cwd, errno))?;
    }
    // A cwd outside the rootfs, reached through a leaked fd, has no path from here (CVE-2024-21626).
    nix::unistd::getcwd().map_err(|errno| {
        let at = plan.cwd.display();
        let what = match errno {
            Errno::ENOENT => format!("process.cwd: {at} is outside of the container's root"),
            _ => format!("process.cwd: cannot see whether {at} is inside of the container's root: {}", words(errno)),
        };
        Fault::new("cwd", what).errno(errno).path(plan.cwd.display())
    })?;
    if plan.no_new_privileges {
        set_no_new_privs().during("no_new_privs", || "cannot set no_new_privs".to_owned())?;
    }
    // Without no_new_privs only CAP_SYS_ADMIN may load a filter: it is kept until then, and dropped by one capset.
    let keep_admin = plan.seccomp.is_some() && !plan.no_new_privileges;
    capabilities.set(keep_admin)?;
    if let Some(label) = label {
        label.write()?;
    }
    Ok((AfterLoad { sets: keep_admin.then(|| capabilities.sets()) }, warning))
}

fn groups(plan: &ProcessPlan) -> Result<(), Fault> {
    match setgroups(&plan.additional_gids) {
        // A user namespace made without privilege has given setgroups up; there is nothing to drop or to add then.
        Err(Errno::EPERM) if plan.additional_gids.is_empty() => Ok(()),
        Err(errno) => {
            let what = format!("process.user.additionalGids: cannot be set: {}", words(errno));
            let fault = Fault::new("user", what).errno(errno);
            Err(match errno {
                Errno::EPERM => fault.hint(
                    "setgroups is denied in a user namespace made without privilege: map the groups with newgidmap \
                     (/etc/subgid), or leave additionalGids empty",
                ),
                Errno::EINVAL => fault.hint("one of them is not mapped by linux.gidMappings"),
                _ => fault,
            })
        }
        Ok(()) => Ok(()),
    }
}

fn user_fault(field: &str, id: u32, errno: Errno) -> Fault {
    let fault = Fault::new("user", format!("process.user.{field}: cannot become {id}: {}", words(errno))).errno(errno);
    match errno {
        Errno::EINVAL => fault.hint(format!("{id} is not mapped by linux.{field}Mappings")),
        _ => fault,
    }
}

/// What is left between the seccomp load and execve: at most one capset(2).
pub struct AfterLoad {
    sets: Option<CapSets>,
}

/// Which step of [`finish`] failed, as a small number in the shared page.
const LOAD: i32 = 1;
const CAPSET: i32 = 2;
const EXECVE: i32 = 3;
const HELPER: i32 = 4;
const LIMIT: i32 = 5;

/// Loads the filter and executes `path`. Returns only if that fails; the failure is in `page`.
///
/// System calls from here: prlimit64, seccomp, capset (without no_new_privs), execve; exit_group on failure. `starter` is
/// the connection to whoever brings a listener of the filter to its agent.
pub fn finish(
    plan: &ProcessPlan,
    env: &[CString],
    after: &AfterLoad,
    path: &CStr,
    page: &FaultPage,
    starter: BorrowedFd,
) {
    let (args, env) = (Strings::new(&plan.args), Strings::new(env));
    for limit in plan.limits.iter().filter(|limit| limit.comes_last()) {
        if let Err(errno) = set_rlimit(limit.resource, limit.soft, limit.hard) {
            return page.store(LIMIT, errno as i32);
        }
    }
    if let Some(filter) = &plan.seccomp {
        if filter.notify.is_some()
            && let Err(errno) = listener::prepare(starter.as_raw_fd())
        {
            return page.store(HELPER, errno as i32);
        }
        match crate::sys::seccomp::install(&filter.program, filter.flags) {
            Err(errno) => return page.store(LOAD, errno as i32),
            Ok(Some(listener)) => listener::hand_over(listener),
            Ok(None) => {}
        }
        if let Some(sets) = &after.sets
            && let Err(errno) = capset(sets)
        {
            return page.store(CAPSET, errno as i32);
        }
    }
    let errno = execve(path, &args, &env);
    // First of all the plain fact: what follows may still meet the filter.
    page.store(EXECVE, errno as i32);
    if plan.may_speak {
        page.store_text(&super::explain(path, errno).to_string());
    }
}

impl AfterLoad {
    /// Drops what only the load needs, in a process that will not load.
    pub fn drop_now(&self) -> nix::Result<()> {
        self.sets.as_ref().map_or(Ok(()), capset)
    }
}

/// The failure that [`finish`] left in the page, told in words. `name` is what was to be executed.
pub fn failure(page: &FaultPage, name: &str) -> Option<Fault> {
    let (stage, errno) = page.load()?;
    let errno = Errno::from_raw(errno);
    Some(match stage {
        LOAD => {
            let fault = Fault::new("seccomp", format!("cannot load the seccomp filter: {}", words(errno))).errno(errno);
            match errno {
                Errno::EACCES => fault.hint("set process.noNewPrivileges, or give rt CAP_SYS_ADMIN"),
                Errno::EBUSY => fault.hint("rt itself runs under a filter with a listener; the kernel allows only one"),
                _ => fault,
            }
        }
        HELPER => {
            let what = format!("cannot make the thread that hands out the seccomp listener: {}", words(errno));
            Fault::new("seccomp", what).errno(errno).hint("pids.max or RLIMIT_NPROC leaves no room for it")
        }
        LIMIT => Fault::new("rlimits", format!("cannot set RLIMIT_NOFILE: {}", words(errno))).errno(errno),
        CAPSET => {
            Fault::new("capabilities", format!("cannot drop the last capabilities: {}", words(errno))).errno(errno)
        }
        _ => {
            let what = page.text().unwrap_or_else(|| format!("exec {name}: {}", words(errno)));
            Fault::new("exec", what).errno(errno).path(name)
        }
    })
}

/// The fds that stay open into [`finish`]: everything else from 3 upwards is closed.
pub fn close_all_but(keep: &mut [i32]) -> Result<(), Fault> {
    keep.sort_unstable();
    let mut first = 3_u32;
    for fd in keep.iter().map(|fd| *fd as u32).filter(|fd| *fd >= 3) {
        if fd > first {
            close(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close(first, u32::MAX)
}

fn close(first: u32, last: u32) -> Result<(), Fault> {
    crate::sys::fs::close_range(first, last, false)
        .during("fds", || "cannot close inherited file descriptors".to_owned())
}

impl AsFd for Label {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
