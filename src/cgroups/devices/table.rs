//! What a list of rules amounts to: for each kind of device the majors, and for each major the minors, that differ from
//! the rest.

use std::collections::BTreeMap;

use super::{ALL, Access, Kind, Rule};

/// The answers for the minors of one major (or of all majors not named).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minors {
    /// For every minor not named.
    pub rest: Access,
    /// Only those that differ from `rest`.
    pub named: BTreeMap<u32, Access>,
}

/// The answers for one kind of device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Majors {
    /// For every major not named.
    pub rest: Minors,
    /// Only those that differ from `rest`.
    pub named: BTreeMap<u32, Minors>,
}

/// The answers for all devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub block: Majors,
    pub char: Majors,
}

impl Minors {
    fn apply(&mut self, rule: &Rule) {
        let set = |access: &mut Access| {
            *access = if rule.allow { *access | rule.access } else { *access & !rule.access };
        };
        match rule.minor {
            Some(minor) => set(self.named.entry(minor).or_insert(self.rest)),
            None => {
                set(&mut self.rest);
                self.named.values_mut().for_each(set);
            }
        }
    }

    fn reduce(&mut self) {
        let rest = self.rest;
        self.named.retain(|_, access| *access != rest);
    }

    fn values(&self) -> impl Iterator<Item = Access> {
        self.named.values().copied().chain([self.rest])
    }
}

impl Majors {
    /// Later rules win for the bits they name; a rule for all majors touches those named before it too.
    fn new(rules: &[Rule], kind: Kind) -> Majors {
        let mut majors = Majors::default();
        for rule in rules.iter().filter(|rule| rule.kind.is_none_or(|named| named == kind)) {
            match rule.major {
                Some(major) => majors.named.entry(major).or_insert_with(|| majors.rest.clone()).apply(rule),
                None => {
                    majors.rest.apply(rule);
                    majors.named.values_mut().for_each(|minors| minors.apply(rule));
                }
            }
        }
        majors.rest.reduce();
        majors.named.values_mut().for_each(Minors::reduce);
        let rest = majors.rest.clone();
        majors.named.retain(|_, minors| *minors != rest);
        majors
    }

    /// Every answer there is, each at least once.
    fn values(&self) -> impl Iterator<Item = Access> {
        self.named.values().chain([&self.rest]).flat_map(Minors::values)
    }

    /// The one answer, where there is only one.
    pub fn constant(&self) -> Option<Access> {
        (self.named.is_empty() && self.rest.named.is_empty()).then_some(self.rest.rest)
    }
}

impl Table {
    pub fn new(rules: &[Rule]) -> Table {
        Table { block: Majors::new(rules, Kind::Block), char: Majors::new(rules, Kind::Char) }
    }

    /// What is allowed on every device.
    pub fn common(&self) -> Access {
        self.block.values().chain(self.char.values()).fold(ALL, |all, access| all & access)
    }

    pub fn allows_all(&self) -> bool {
        self.common() == ALL
    }
}
