//! The device rules of a container, as a program that the kernel asks at each open and mknod of a device.
//!
//! `linux.resources.devices` is a list of allow and deny rules applied in order (config-linux.md, "Allowed Device
//! List"). Version 2 has no file for it; a BPF program of type `cgroup_device` answers instead (cgroup-v2.rst,
//! "Device controller"). [`Table`] holds what the rules amount to; [`compile`] turns that into few instructions, since
//! loading costs time per instruction.

mod compile;
mod table;

#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::sys::bpf::Insn;
use table::Table;

/// What may be done to a device, one bit each, as `BPF_DEVCG_ACC_*` has them (uapi/linux/bpf.h).
type Access = u8;
const MKNOD: Access = 1;
const READ: Access = 2;
const WRITE: Access = 4;
const ALL: Access = MKNOD | READ | WRITE;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Block,
    Char,
}

/// One rule. `None` stands for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    kind: Option<Kind>,
    major: Option<u32>,
    minor: Option<u32>,
    access: Access,
}

const fn default_device(major: u32, minor: Option<u32>) -> Rule {
    Rule { allow: true, kind: Some(Kind::Char), major: Some(major), minor, access: ALL }
}

/// What every container may use, whatever its list says: runc appends the same to each list, and images rely on it.
/// Making a node is no use without opening it.
const DEFAULTS: [Rule; 10] = [
    Rule { allow: true, kind: None, major: None, minor: None, access: MKNOD },
    default_device(1, Some(3)),    // null
    default_device(1, Some(5)),    // zero
    default_device(1, Some(7)),    // full
    default_device(1, Some(8)),    // random
    default_device(1, Some(9)),    // urandom
    default_device(5, Some(0)),    // tty
    default_device(5, Some(2)),    // ptmx
    default_device(136, None),     // pts/*
    default_device(10, Some(200)), // net/tun
];

/// A compiled device program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub(super) insns: Vec<Insn>,
}

impl Program {
    /// The program for a container's rules followed by the defaults; what no rule names is denied, as with runc.
    ///
    /// `None` when everything is allowed (a privileged container): no program says the same and costs nothing.
    /// Errors name the rule (`linux.resources.devices[3]`).
    pub fn new(rules: &[LinuxDeviceCgroup]) -> Result<Option<Program>> {
        let mut list = Vec::with_capacity(rules.len() + DEFAULTS.len());
        for (index, rule) in rules.iter().enumerate() {
            list.push(read_rule(rule).with_context(|| format!("linux.resources.devices[{index}]"))?);
        }
        list.extend(DEFAULTS);
        let table = Table::new(&list);
        if table.allows_all() {
            return Ok(None);
        }
        Ok(Some(Program { insns: compile::compile(&table)? }))
    }
}

fn read_rule(rule: &LinuxDeviceCgroup) -> Result<Rule> {
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(Kind::Block),
        Some(LinuxDeviceType::C) => Some(Kind::Char),
        Some(LinuxDeviceType::U | LinuxDeviceType::P) => bail!("type must be a, b or c"),
    };
    let (major, minor) = (number(rule.major(), "major")?, number(rule.minor(), "minor")?);
    let text = rule.access().as_deref().unwrap_or_default();
    let mut access = 0;
    for letter in text.chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => bail!("access {text:?} may hold only r, w and m"),
        };
    }
    // An absent access is all of it, as with runc; engines send it so in their deny-all.
    let access = if text.is_empty() { ALL } else { access };
    Ok(Rule { allow: rule.allow(), kind, major, minor, access })
}

/// Absent and -1 both mean any number (runc's convention, which engines use).
fn number(value: Option<i64>, name: &str) -> Result<Option<u32>> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => {
            let number = u32::try_from(value);
            ensure!(number.is_ok(), "{name} {value} is not a device number");
            Ok(number.ok())
        }
    }
}
