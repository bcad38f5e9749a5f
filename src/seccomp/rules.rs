//! From a profile to rules by system call number: everything is checked here, and nothing later can fail but the size.
//!
//! What several rules for one call mean together is what libseccomp makes of them, since profiles were written against
//! it (`Collector::finish`, `chain`): the first unconditional rule decides alone; else the conditional ones are tried, most particular
//! first, and the default action follows.

use std::cmp::Reverse;

use anyhow::{Result, bail, ensure};
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSyscall};

use super::emit::MAX_INSTRUCTIONS;
use super::names::{ARCHS, OPERATORS, RET_ACTION, RET_ALLOW, RET_ERRNO, RET_LOG, RET_TRACE, RET_USER_NOTIF, action_of};
use super::syscalls::{ARM_PRIVATE, Abi, Call, lookup};

/// A comparison of one argument, in the form the compiler works on: `value` has no bit outside `mask`, and neither has
/// bits that the ABI does not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cond {
    pub arg: u8,
    pub op: Op,
    pub mask: u64,
    pub value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// (argument & mask) == value
    Masked,
}

/// Conditions that must all hold, by argument, at most one each. None at all means always.
pub(crate) type Conj = Vec<Cond>;

/// One rule for one number. Small, since a container's start sorts a thousand of them.
#[derive(Clone, Copy)]
struct Rule {
    number: u32,
    /// Index into the collector's `conjs`; 0 is always.
    conj: u32,
    ret: u32,
    /// Index into the profile's `syscalls`, for messages.
    origin: u32,
}

/// What one number is answered with.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Always(u32),
    /// As the chain with this index in `AbiRules::chains` says.
    When(usize),
}

/// The answer of the first whose conditions all hold, else the default action's.
pub(crate) type Chain = Vec<(Conj, u32)>;

/// The rules of one ABI: sorted by number, one verdict each.
pub(crate) struct AbiRules {
    pub abi: Abi,
    pub verdicts: Vec<(u32, Verdict)>,
    pub chains: Vec<Chain>,
    /// The newest number that the profile names, whether or not a rule came of it; private ARM calls apart.
    pub newest: Option<u32>,
    /// The same among the private calls of ARM.
    pub newest_private: Option<u32>,
}

/// A checked profile.
pub(crate) struct Policy {
    pub default: u32,
    pub abis: Vec<AbiRules>,
}

const ENOSYS: u32 = RET_ERRNO | libc::ENOSYS as u32;

impl Policy {
    /// What a number above the newest named one is answered with. A program built for a newer kernel falls back on
    /// ENOSYS but takes EPERM for a verdict, so runc puts ENOSYS before any default action that does not let calls
    /// pass; a tracer or a listener decides about unknown calls itself.
    pub(crate) fn beyond(&self, newest: Option<u32>) -> u32 {
        let lets_pass =
            matches!(self.default, RET_ALLOW | RET_LOG | RET_USER_NOTIF) || self.default & RET_ACTION == RET_TRACE;
        if newest.is_none() || lets_pass { self.default } else { ENOSYS }
    }

    /// Checks `profile` and sorts its rules out for the ABIs of a machine. Names that no ABI knows are skipped with a
    /// line in `warnings`.
    ///
    /// # Errors
    /// Whatever the specification forbids (config-linux.md, "Seccomp"), with the path of the value at fault.
    pub(crate) fn read(profile: &LinuxSeccomp, native: Abi, warnings: &mut Vec<String>) -> Result<Policy> {
        let default = answer("linux.seccomp.defaultErrnoRet", profile.default_action(), profile.default_errno_ret())?;
        let abis = abis(profile.architectures().as_deref().unwrap_or(&[]), native);
        let mut all: Vec<_> = abis.iter().map(|&abi| Collector::new(abi)).collect();
        for (origin, syscall) in profile.syscalls().iter().flatten().enumerate() {
            let ret = answer(
                format_args!("linux.seccomp.syscalls[{origin}].errnoRet"),
                syscall.action(),
                syscall.errno_ret(),
            )?;
            let alternatives = alternatives(origin, syscall)?;
            all.iter_mut().for_each(|c| c.begin(&alternatives, ret, origin));
            if syscall.names().is_empty() {
                bail!("linux.seccomp.syscalls[{origin}].names: must contain at least one entry");
            }
            for (i, name) in syscall.names().iter().enumerate() {
                match lookup(name) {
                    Some(call) => all.iter_mut().for_each(|c| c.add(call, default)),
                    None => warnings.push(format!(
                        "linux.seccomp.syscalls[{origin}].names[{i}]: no system call {name:?} is known here; skipped"
                    )),
                }
            }
        }
        let abis = all.into_iter().map(Collector::finish).collect::<Result<_>>()?;
        Ok(Policy { default, abis })
    }
}

/// The ABIs to make code for: the native one always, the other ABIs of the machine where the profile names them.
fn abis(named: &[Arch], native: Abi) -> Vec<Abi> {
    let is_named = |abi: &Abi| ARCHS.iter().any(|(_, arch, of)| *of == Some(*abi) && named.contains(arch));
    let others = native.others().iter().copied().filter(is_named);
    [native].into_iter().chain(others).collect()
}

/// An action and its errno as the kernel takes them. `path` names the errno in the config.
fn answer(path: impl std::fmt::Display, action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32> {
    let action = action_of(action);
    match (action.max_errno, errno) {
        (None, None) => Ok(action.ret),
        (None, Some(_)) => bail!("{path}: {} takes no errno", action.name),
        (Some(_), None) => Ok(action.ret | libc::EPERM as u32),
        (Some(max), Some(errno)) => {
            ensure!(errno <= max, "{path}: {errno} is out of range 0-{max}");
            Ok(action.ret | errno)
        }
    }
}

/// The conditions of a `syscalls` entry as alternatives. Two conditions on one argument cannot be one rule of
/// libseccomp; its callers then make a rule of every condition (runc's matchCall), so they are alternatives.
fn alternatives(origin: usize, syscall: &LinuxSyscall) -> Result<Vec<Vec<Cond>>> {
    let args = syscall.args().as_deref().unwrap_or(&[]);
    let mut conds = Vec::with_capacity(args.len());
    let mut seen = [false; 6];
    let mut twice = false;
    for (i, arg) in args.iter().enumerate() {
        let index = arg.index();
        ensure!(index < 6, "linux.seccomp.syscalls[{origin}].args[{i}].index: {index} is out of range 0-5");
        twice |= std::mem::replace(&mut seen[index], true);
        conds.push(cond(arg));
    }
    if twice {
        return Ok(conds.into_iter().map(|c| vec![c]).collect());
    }
    conds.sort_by_key(|c| c.arg);
    Ok(vec![conds])
}

fn cond(arg: &LinuxSeccompArg) -> Cond {
    let row = OPERATORS.iter().find(|(_, oci, _)| *oci == arg.op());
    let (.., op) = *row.expect("OPERATORS names every variant");
    let (mask, value) = match op {
        // `value` is the mask and `valueTwo` what must remain, zero if absent.
        Op::Masked => (arg.value(), arg.value_two().unwrap_or(0)),
        _ => (u64::MAX, arg.value()),
    };
    Cond { arg: arg.index() as u8, op, mask, value }
}

/// Conditions as an ABI compares them, without those that always hold.
fn normalise(conds: &[Cond], abi: Abi) -> Conj {
    let width = if abi.wide() { u64::MAX } else { u64::from(u32::MAX) };
    let cut = |c: &Cond| Cond { mask: c.mask & width, value: c.value & c.mask & width, ..*c };
    conds.iter().map(cut).filter(|c| c.mask != 0).collect()
}

/// Gathers the rules of one ABI.
struct Collector {
    abi: Abi,
    rules: Vec<Rule>,
    conjs: Vec<Conj>,
    /// The alternatives of the entry of `syscalls` at hand: rules that lack only the number.
    entry: Vec<Rule>,
    ret: u32,
    newest: Option<u32>,
    newest_private: Option<u32>,
}

impl Collector {
    fn new(abi: Abi) -> Collector {
        let (rules, conjs, entry) = (Vec::with_capacity(512), vec![Conj::new()], Vec::new());
        Collector { abi, rules, conjs, entry, ret: 0, newest: None, newest_private: None }
    }

    fn conj(&mut self, conj: Conj) -> u32 {
        if conj.is_empty() {
            return 0;
        }
        self.conjs.push(conj);
        (self.conjs.len() - 1) as u32
    }

    /// Turns to the next entry of `syscalls`.
    fn begin(&mut self, alternatives: &[Vec<Cond>], ret: u32, origin: usize) {
        self.ret = ret;
        self.entry.clear();
        for conds in alternatives {
            let conj = self.conj(normalise(conds, self.abi));
            self.entry.push(Rule { number: 0, conj, ret, origin: origin as u32 });
        }
    }

    /// Adds the rules of one name of the entry. A rule whose action is the default one is none (libseccomp refuses it,
    /// runc skips it), but its number counts as named.
    fn add(&mut self, call: Call, default: u32) {
        let number = call.number(self.abi);
        let multiplexed = call.multiplexed(self.abi);
        for number in number.into_iter().chain(multiplexed.map(|(number, _)| number)) {
            let private = self.abi == Abi::Arm && number >= ARM_PRIVATE;
            let newest = if private { &mut self.newest_private } else { &mut self.newest };
            *newest = (*newest).max(Some(number));
        }
        if self.ret == default {
            return;
        }
        for i in 0..self.entry.len() {
            let rule = self.entry[i];
            if let Some((number, sub)) = multiplexed {
                // The call's own first argument is behind a pointer there, so a condition on it is lost, and as in
                // libseccomp those on later arguments stay.
                let sub = Cond { arg: 0, op: Op::Eq, mask: u64::from(u32::MAX), value: u64::from(sub) };
                let later = self.conjs[rule.conj as usize].iter().copied().filter(|c| c.arg != 0);
                let conj = [sub].into_iter().chain(later).collect();
                let conj = self.conj(conj);
                self.rules.push(Rule { number, conj, ..rule });
            }
            if let Some(number) = number {
                self.rules.push(Rule { number, ..rule });
            }
        }
    }

    fn finish(mut self) -> Result<AbiRules> {
        // The order of the profile within a number; an unstable sort, since it needs no memory.
        self.rules.sort_unstable_by_key(|rule| (rule.number, rule.origin, rule.conj));
        let mut verdicts = Vec::with_capacity(self.rules.len());
        let mut chains = Vec::new();
        for rules in self.rules.chunk_by(|a, b| a.number == b.number) {
            let verdict = match rules.iter().find(|rule| rule.conj == 0) {
                Some(rule) => Verdict::Always(rule.ret),
                None => {
                    chains.push(chain(rules, &self.conjs)?);
                    Verdict::When(chains.len() - 1)
                }
            };
            verdicts.push((rules[0].number, verdict));
        }
        let Collector { abi, newest, newest_private, .. } = self;
        Ok(AbiRules { abi, verdicts, chains, newest, newest_private })
    }
}

/// What the rules for one number, all of them conditional and in the order of the profile, mean together.
fn chain(rules: &[Rule], conjs: &[Conj]) -> Result<Chain> {
    let mut kept: Vec<(&Conj, Rule)> = Vec::with_capacity(rules.len());
    'rules: for rule in rules {
        let conj = &conjs[rule.conj as usize];
        for (other, earlier) in &kept {
            if *other == conj {
                ensure!(
                    earlier.ret == rule.ret,
                    "linux.seccomp.syscalls[{}]: contradicts syscalls[{}], which answers the same call with the same \
                     arguments otherwise (on i386, socketcall and ipc hide the first argument)",
                    rule.origin,
                    earlier.origin
                );
                continue 'rules;
            }
            // An earlier rule that asks for less holds wherever this one would.
            if conj.starts_with(other) {
                continue 'rules;
            }
        }
        // Each takes an instruction at least, and the comparisons here are quadratic.
        let fits = kept.len() < MAX_INSTRUCTIONS;
        ensure!(fits, "linux.seccomp.syscalls[{}]: too many rules for one call", rule.origin);
        kept.push((conj, *rule));
    }
    let seen: Vec<Cond> = kept.iter().flat_map(|(conj, _)| conj.iter().copied()).collect();
    kept.sort_by_cached_key(|(conj, _)| order(conj, &seen));
    Ok(kept.into_iter().map(|(conj, rule)| (conj.clone(), rule.ret)).collect())
}

/// Where conditions stand among those of their call, least first. This is the order of libseccomp's tree (db.c):
/// the later argument first, then equality before upper bounds before lower bounds, then the tighter bound or, for
/// equality, the larger value, then the order of the profile (`seen`); what goes on after equal beginnings comes first.
fn order(conj: &[Cond], seen: &[Cond]) -> Vec<(Reverse<u8>, u8, u64, usize)> {
    let key = |c: &Cond| {
        let (class, value) = match c.op {
            Op::Eq | Op::Ne | Op::Masked => (0, !c.value),
            Op::Lt | Op::Le => (1, c.value),
            Op::Gt | Op::Ge => (2, !c.value),
        };
        (Reverse(c.arg), class, value, seen.iter().position(|s| s == c).unwrap_or(usize::MAX))
    };
    let end = (Reverse(0), u8::MAX, 0, 0);
    conj.iter().map(key).chain([end]).collect()
}
