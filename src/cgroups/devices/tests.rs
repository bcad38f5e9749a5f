//! The compiled program against a reading of the rules that is too simple to be wrong.

use std::collections::BTreeSet;

use super::table::Table;
use super::*;

/// The rules in order, bit by bit: the last one that names the device and the bit wins. A device nothing is allowed on
/// is closed even to a request that asks for nothing (access(2) with F_OK).
fn naive(rules: &[Rule], kind: Kind, major: u32, minor: u32, asked: Access) -> bool {
    let mut allowed = 0;
    for rule in rules {
        let names = |field: Option<u32>, value: u32| field.is_none_or(|field| field == value);
        if rule.kind.is_none_or(|named| named == kind) && names(rule.major, major) && names(rule.minor, minor) {
            allowed = if rule.allow { allowed | rule.access } else { allowed & !rule.access };
        }
    }
    allowed != 0 && asked & !allowed == 0
}

/// Every number a rule names, its neighbours and some far ones.
fn interesting(named: impl Iterator<Item = Option<u32>>) -> Vec<u32> {
    let mut numbers: BTreeSet<u32> = [0, 1, 31, 32, 63, 4095, 0x7fff_ffff, 0x8000_0000, u32::MAX].into();
    for number in named.flatten() {
        numbers.extend([number.saturating_sub(1), number, number.saturating_add(1), number ^ 32]);
    }
    numbers.into_iter().collect()
}

/// Compiles and compares on every interesting request; returns the length. Every instruction must be reached by some
/// request: the kernel refuses a program with an unreachable one.
fn check(rules: &[Rule]) -> usize {
    let insns = compile::compile(&Table::new(rules)).unwrap();
    let mut visited = vec![false; insns.len()];
    for major in interesting(rules.iter().map(|rule| rule.major)) {
        for minor in interesting(rules.iter().map(|rule| rule.minor)) {
            for (kind, bit) in [(Kind::Block, 1), (Kind::Char, 2)] {
                for asked in 0..8 {
                    let context = [u32::from(asked) << 16 | bit, major, minor];
                    let answer = interpreter::run(&insns, context, &mut visited);
                    let expected = naive(rules, kind, major, minor, asked);
                    assert_eq!(answer, expected, "{kind:?} {major}:{minor} {asked} of {rules:?}: {insns:x?}");
                }
            }
        }
    }
    assert!(visited.iter().all(|seen| *seen), "dead code for {rules:?}: {visited:?} {insns:x?}");
    insns.len()
}

/// xorshift64*: the same lists on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn rule(&mut self) -> Rule {
        Rule {
            allow: self.below(3) != 0,
            kind: self.pick(&[None, Some(Kind::Block), Some(Kind::Char), Some(Kind::Char)]),
            major: self.pick(&[None, Some(0), Some(1), Some(1), Some(5), Some(10), Some(u32::MAX)]),
            minor: self.pick(&[
                None,
                Some(0),
                Some(1),
                Some(2),
                Some(3),
                Some(4),
                Some(7),
                Some(31),
                Some(32),
                Some(33),
                Some(34),
                Some(200),
                Some(0x8000_0000),
                Some(u32::MAX - 1),
                Some(u32::MAX),
                Some(u32::MAX - 2),
            ]),
            access: self.pick(&[1, 2, 3, 4, 5, 6, 7, 7, 7, 7]),
        }
    }
}

#[test]
fn random_lists_are_answered_faithfully() {
    let mut random = Random(0x5eed);
    for round in 0..1500 {
        let length = random.below(if round % 10 == 0 { 24 } else { 8 });
        let mut rules: Vec<Rule> = (0..length).map(|_| random.rule()).collect();
        check(&rules);
        rules.extend(DEFAULTS);
        check(&rules);
    }
}

fn parsed(json: &str) -> Vec<Rule> {
    let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(json).unwrap();
    let mut list: Vec<Rule> = rules.iter().map(|rule| read_rule(rule).unwrap()).collect();
    list.extend(DEFAULTS);
    list
}

/// What `spec` writes, and what Docker sends. Loading costs time per instruction: a change that lengthens these shows
/// here.
#[test]
fn customary_lists_are_short() {
    assert_eq!(check(&parsed(r#"[{"allow":false,"access":"rwm"}]"#)), 19);
    let docker = r#"[{"allow":false,"access":"rwm"},
        {"allow":true,"type":"c","major":1,"minor":5,"access":"rwm"},
        {"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"},
        {"allow":true,"type":"c","major":1,"minor":9,"access":"rwm"},
        {"allow":true,"type":"c","major":1,"minor":8,"access":"rwm"},
        {"allow":true,"type":"c","major":5,"minor":0,"access":"rwm"},
        {"allow":true,"type":"c","major":5,"minor":1,"access":"rwm"},
        {"allow":false,"type":"c","major":10,"minor":229,"access":"rwm"}]"#;
    assert_eq!(check(&parsed(docker)), 19);
}

#[test]
fn neighbours_are_one_range() {
    let mut rules: Vec<Rule> = (0..256)
        .map(|minor| Rule { allow: true, kind: Some(Kind::Block), major: Some(7), minor: Some(minor), access: ALL })
        .collect();
    rules.extend(DEFAULTS);
    assert!(check(&rules) <= 26);
}

#[test]
fn a_privileged_container_needs_no_program() {
    let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(r#"[{"allow":true,"access":"rwm"}]"#).unwrap();
    assert_eq!(Program::new(&rules).unwrap(), None);
    assert!(Program::new(&[]).unwrap().is_some());
}

#[test]
fn faulty_rules_are_named() {
    let cases = [
        (r#"[{"allow":true},{"allow":true,"type":"p"}]"#, "linux.resources.devices[1]: type must be a, b or c"),
        (r#"[{"allow":true,"access":"rx"}]"#, r#"linux.resources.devices[0]: access "rx" may hold only r, w and m"#),
        (r#"[{"allow":true,"major":-2}]"#, "linux.resources.devices[0]: major -2 is not a device number"),
    ];
    for (json, text) in cases {
        let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(json).unwrap();
        assert_eq!(format!("{:#}", Program::new(&rules).unwrap_err()), text);
    }
}

#[test]
fn too_many_rules_are_an_error() {
    let rules: Vec<Rule> = (0..6000)
        .map(|n| Rule { allow: true, kind: Some(Kind::Char), major: Some(n), minor: Some(n), access: ALL })
        .collect();
    let text = compile::compile(&Table::new(&rules)).unwrap_err().to_string();
    assert!(text.starts_with("linux.resources.devices: the rules need a program of"), "{text}");
}
