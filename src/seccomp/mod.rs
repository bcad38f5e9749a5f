//! Seccomp: from an OCI profile to a BPF program.
//!
//! `rules` checks the profile and sorts it by system call number, `chain` turns conditions on arguments into a graph of
//! 32-bit tests, `emit` lays both out as a program. `emulate` runs a program, to tell before a container is made what a
//! filter would not let pass.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction};
use seccompiler::sock_filter;
use serde::{Deserialize, Serialize};

use crate::sys::seccomp::{FLAG_NEW_LISTENER, FLAG_SPEC_ALLOW, FLAG_WAIT_KILLABLE_RECV, flags_known};

pub mod agent;
mod chain;
mod default_profile;
mod default_table;
mod emit;
mod emulate;
#[cfg(any(test, fuzzing))]
pub(crate) mod meaning;
mod names;
mod rules;
mod syscall_tables;
mod syscalls;

#[cfg(test)]
mod tests;

use names::describe;
pub(crate) use names::{ACTIONS, ARCHS, KNOWN_FLAGS, OPERATORS};
use syscalls::Abi;

/// A profile, compiled.
#[derive(Debug)]
pub struct Filter {
    pub program: Vec<sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*` for seccomp(2). Without TSYNC (one thread loads it); with NEW_LISTENER if and only if
    /// the program can answer USER_NOTIF.
    pub flags: u64,
    /// Who is told of the calls that the program answers with USER_NOTIF.
    pub notify: Option<Notify>,
}

/// The seccomp agent of a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notify {
    /// Its unix socket, as the config has it.
    pub listener_path: PathBuf,
    pub metadata: Option<String>,
}

/// Compiles a profile for this machine. Names of system calls that it does not know are skipped, each with a line for
/// the debug log in `warnings`.
///
/// # Errors
/// What the specification forbids (config-linux.md, "Seccomp"), a flag that this kernel does not know, two rules that
/// contradict each other, a program longer than the kernel takes. Each with the path of the value in the config.
#[inline(never)]
pub fn compile(profile: &LinuxSeccomp, warnings: &mut Vec<String>) -> Result<Filter> {
    compile_for(Abi::NATIVE, profile, warnings)
}

fn compile_for(native: Abi, profile: &LinuxSeccomp, warnings: &mut Vec<String>) -> Result<Filter> {
    let notify = notify(profile)?;
    let program = emit::program(&rules::Policy::read(profile, native, warnings)?)?;
    let listens = program.iter().any(|i| i.code == emit::RET && i.k & names::RET_ACTION == names::RET_USER_NOTIF);
    let flags = flags(profile, listens)?;
    Ok(Filter { program, flags, notify: notify.filter(|_| listens) })
}

/// The agent the profile names.
fn notify(profile: &LinuxSeccomp) -> Result<Option<Notify>> {
    let metadata = profile.listener_metadata().clone().filter(|m| !m.is_empty());
    // An empty path is how Go programs write that there is none.
    let Some(listener_path) = profile.listener_path().clone().filter(|p| !p.as_os_str().is_empty()) else {
        ensure!(metadata.is_none(), "linux.seccomp.listenerMetadata: has no meaning without listenerPath");
        let asks = |action| action == LinuxSeccompAction::ScmpActNotify;
        ensure!(!asks(profile.default_action()), "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY needs listenerPath");
        for (i, syscall) in profile.syscalls().iter().flatten().enumerate() {
            ensure!(!asks(syscall.action()), "linux.seccomp.syscalls[{i}].action: SCMP_ACT_NOTIFY needs listenerPath");
        }
        return Ok(None);
    };
    Ok(Some(Notify { listener_path, metadata }))
}

/// The flags for seccomp(2): those the profile names, SPEC_ALLOW if it has no list at all (as runc and crun).
fn flags(profile: &LinuxSeccomp, listens: bool) -> Result<u64> {
    let Some(named) = profile.flags() else {
        return Ok(FLAG_SPEC_ALLOW | if listens { FLAG_NEW_LISTENER } else { 0 });
    };
    let mut flags = if listens { FLAG_NEW_LISTENER } else { 0 };
    for (i, flag) in named.iter().enumerate() {
        let (name, _, bit) =
            KNOWN_FLAGS.iter().find(|(_, oci, _)| oci == flag).expect("KNOWN_FLAGS names every variant");
        ensure!(supported(*bit), "linux.seccomp.flags[{i}]: this kernel does not know {name}");
        // About how a listener is waited for: without one the kernel refuses the flag, and nothing is lost.
        if listens || *bit != FLAG_WAIT_KILLABLE_RECV {
            flags |= bit;
        }
    }
    Ok(flags)
}

fn supported(bit: u64) -> bool {
    // WAIT_KILLABLE_RECV is only looked at beside NEW_LISTENER.
    bit == 0 || flags_known(if bit == FLAG_WAIT_KILLABLE_RECV { bit | FLAG_NEW_LISTENER } else { bit })
}

/// The names of the flags that this kernel knows, in the order of `KNOWN_FLAGS`.
pub fn supported_flags() -> Vec<&'static str> {
    KNOWN_FLAGS.iter().filter(|(_, _, bit)| supported(*bit)).map(|(name, ..)| *name).collect()
}

/// The usual profile for a process with these capabilities (names like `CAP_SYS_ADMIN`), equal in effect to Docker's.
pub fn default_profile(granted: &[&str]) -> LinuxSeccomp {
    default_profile::for_abi(Abi::NATIVE, granted)
}

/// The first of `calls` (names on this machine's native architecture, with their arguments) that the filter would not
/// let pass, and what it would answer. ALLOW and LOG let pass; NOTIFY does so for execve alone: the listener is with
/// the agent by then, but an agent that answers a capset in the process's place would leave it its capabilities. A name unknown here is never let pass.
pub fn blocked(filter: &Filter, calls: &[(&'static str, [u64; 6])]) -> Option<(&'static str, String)> {
    calls.iter().find_map(|(name, args)| {
        let Some(number) = syscalls::lookup(name).and_then(|call| call.number(Abi::NATIVE)) else {
            return Some((*name, "an unknown system call".to_string()));
        };
        let data = emulate::Data { number, arch: Abi::NATIVE.audit_arch(), args: *args };
        match emulate::run(&filter.program, &data) {
            Some(names::RET_ALLOW | names::RET_LOG) => None,
            Some(names::RET_USER_NOTIF) if *name == "execve" => None,
            Some(ret) => Some((*name, describe(ret))),
            None => Some((*name, "a malformed program".to_string())),
        }
    })
}
