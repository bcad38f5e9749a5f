//! What a profile says about one call, read from its JSON without a graph or a program; profiles made of chance. Against
//! it tests and fuzzers hold the compiler.

use std::cmp::Ordering;

use seccompiler::sock_filter;
use serde_json::{Value, json};

use super::compile_for;
use super::emulate::{Data, run};
use super::syscalls::{Abi, Call, lookup};
use crate::fuzzing::{Chance, Choices, Random};

/// A rule as it applies to one number: comparisons (argument, operator, value, second value) by argument.
#[derive(Clone, Debug)]
struct Rule {
    conds: Vec<(usize, String, u64, u64)>,
    ret: u32,
}

fn ret(action: &Value, errno: &Value) -> u32 {
    let errno = errno.as_u64().unwrap_or(1) as u32;
    match action.as_str().unwrap() {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | errno,
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        other => panic!("{other}"),
    }
}

fn listed(profile: &Value, abi: Abi) -> bool {
    let name = match abi {
        Abi::X86_64 => return true,
        Abi::I386 => "SCMP_ARCH_X86",
        _ => "SCMP_ARCH_X32",
    };
    profile["architectures"].as_array().unwrap().iter().any(|a| a == name)
}

/// The rules for a number in the order of the profile.
fn rules(profile: &Value, abi: Abi, number: u32) -> Vec<Rule> {
    let default = ret(&profile["defaultAction"], &profile["defaultErrnoRet"]);
    let width = if abi == Abi::X86_64 { u64::MAX } else { 0xffff_ffff };
    let mut found = Vec::new();
    for entry in profile["syscalls"].as_array().unwrap() {
        let ret = ret(&entry["action"], &entry["errnoRet"]);
        let args: Vec<_> = entry["args"].as_array().into_iter().flatten().collect();
        let mut conds: Vec<_> = args
            .iter()
            .map(|arg| {
                let (value, two) = (arg["value"].as_u64().unwrap(), arg["valueTwo"].as_u64().unwrap_or(0));
                let op = arg["op"].as_str().unwrap().strip_prefix("SCMP_CMP_").unwrap().to_string();
                let two = if op == "MASKED_EQ" { two & value & width } else { 0 };
                (arg["index"].as_u64().unwrap() as usize, op, value & width, two)
            })
            .collect();
        let twice = (0..6).any(|i| conds.iter().filter(|c| c.0 == i).count() > 1);
        conds.sort_by_key(|c| c.0);
        let mut alternatives = if twice { args_apart(&args, width) } else { vec![conds] };
        for conds in &mut alternatives {
            conds.retain(|c| c.1 != "MASKED_EQ" || c.2 != 0);
        }
        for name in entry["names"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            for conds in &alternatives {
                if let (Abi::I386, Some((through, sub))) = (abi, through(name))
                    && through == number
                {
                    let mut conds = conds.clone();
                    conds.retain(|c| c.0 != 0);
                    conds.insert(0, (0, "EQ".into(), sub, 0));
                    found.push(Rule { conds, ret });
                }
                if lookup(name).and_then(|c| c.number(abi)) == Some(number) {
                    found.push(Rule { conds: conds.clone(), ret });
                }
            }
        }
    }
    found.retain(|rule| rule.ret != default);
    found
}

fn args_apart(args: &[&Value], width: u64) -> Vec<Vec<(usize, String, u64, u64)>> {
    let one = |arg: &&Value| {
        let (value, two) = (arg["value"].as_u64().unwrap(), arg["valueTwo"].as_u64().unwrap_or(0));
        let op = arg["op"].as_str().unwrap()[9..].to_string();
        let two = if op == "MASKED_EQ" { two & value & width } else { 0 };
        vec![(arg["index"].as_u64().unwrap() as usize, op, value & width, two)]
    };
    args.iter().map(one).collect()
}

fn through(name: &str) -> Option<(u32, u64)> {
    Some(match name {
        "socket" => (102, 1),
        "connect" => (102, 3),
        "accept4" => (102, 18),
        "semop" => (117, 1),
        "shmget" => (117, 23),
        _ => return None,
    })
}

fn holds(rule: &Rule, args: &[u64; 6], width: u64) -> bool {
    rule.conds.iter().all(|(index, op, value, two)| {
        let arg = args[*index] & width;
        match op.as_str() {
            "EQ" => arg == *value,
            "NE" => arg != *value,
            "LT" => arg < *value,
            "LE" => arg <= *value,
            "GT" => arg > *value,
            "GE" => arg >= *value,
            "MASKED_EQ" => arg & value == *two,
            other => panic!("{other}"),
        }
    })
}

/// Which of two rules is asked first, when neither is a beginning of the other.
fn particular(a: &Rule, b: &Rule, all: &[Rule]) -> Ordering {
    let class = |op: &str| match op {
        "EQ" | "NE" | "MASKED_EQ" => 0,
        "LT" | "LE" => 1,
        _ => 2,
    };
    let first = |c| all.iter().flat_map(|rule| &rule.conds).position(|other| other == c);
    for (x, y) in a.conds.iter().zip(&b.conds) {
        let (v, w) = if x.1 == "MASKED_EQ" { (x.3, y) } else { (x.2, y) };
        let w = if w.1 == "MASKED_EQ" { w.3 } else { w.2 };
        let by_value = if class(&x.1) == 1 { v.cmp(&w) } else { w.cmp(&v) };
        let order = y.0.cmp(&x.0).then(class(&x.1).cmp(&class(&y.1))).then(by_value).then(first(x).cmp(&first(y)));
        if order != Ordering::Equal {
            return order;
        }
    }
    b.conds.len().cmp(&a.conds.len())
}

/// The rules for one number without those that an earlier one makes superfluous; `None` if two contradict each other.
fn effective(all: &[Rule]) -> Option<Vec<Rule>> {
    if let Some(rule) = all.iter().find(|rule| rule.conds.is_empty()) {
        return Some(vec![rule.clone()]);
    }
    let mut kept: Vec<Rule> = Vec::new();
    for rule in all {
        if kept.iter().any(|k| k.conds == rule.conds && k.ret != rule.ret) {
            return None;
        }
        if !kept.iter().any(|k| rule.conds.starts_with(&k.conds)) {
            kept.push(rule.clone());
        }
    }
    Some(kept)
}

/// What the profile says about one call.
pub(crate) fn meaning(profile: &Value, abi: Abi, number: u32, args: &[u64; 6]) -> u32 {
    let default = ret(&profile["defaultAction"], &profile["defaultErrnoRet"]);
    if !listed(profile, abi) {
        return 0;
    }
    let all = effective(&rules(profile, abi, number)).expect("the profile was accepted");
    let width = if abi == Abi::X86_64 { u64::MAX } else { 0xffff_ffff };
    let matching = all.iter().filter(|rule| holds(rule, args, width));
    if let Some(rule) = matching.min_by(|a, b| particular(a, b, &all)) {
        return rule.ret;
    }
    let passes = matches!(default & 0xffff_0000, 0x7fff_0000 | 0x7ffc_0000 | 0x7ff0_0000 | 0x7fc0_0000);
    match newest(profile, abi) {
        Some(newest) if number > newest && !passes => 0x0005_0026,
        _ => default,
    }
}

const NAMES: [&str; 15] = [
    "read",
    "write",
    "socket",
    "connect",
    "accept4",
    "personality",
    "clone",
    "shmget",
    "semop",
    "socketcall",
    "ipc",
    "writev",
    "mmap2",
    "file_setattr",
    "no_such_call",
];
const OPS: [&str; 7] = ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"];
const ACTIONS: [&str; 9] = ["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "NOTIFY", "TRACE", "TRAP"];
const VALUES: [u64; 16] = [
    0,
    1,
    2,
    3,
    8,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    1 << 32,
    (1 << 32) + 5,
    0xffff_ffff_0000_0000,
    0x7fff_ffff_ffff_ffff,
    u64::MAX - 1,
    u64::MAX,
];

pub(crate) fn random_profile<C: Chance>(random: &mut C) -> Value {
    let pool: Vec<_> = (0..3).map(|_| random.one(&ACTIONS)).collect();
    let action = |random: &mut C, entry: &mut Value, key: &str, errno: &str| {
        let action = random.one(&pool);
        entry[key] = format!("SCMP_ACT_{action}").into();
        if ["ERRNO", "TRACE"].contains(&action) && random.below(2) == 0 {
            entry[errno] = random.one(&[0, 1, 38, 4095]).into();
        }
    };
    let mut profile = json!({"listenerPath": "/run/agent.sock"});
    action(random, &mut profile, "defaultAction", "defaultErrnoRet");
    let names = ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_X86_64", "SCMP_ARCH_S390X"];
    profile["architectures"] = names.iter().filter(|_| random.below(3) > 0).copied().collect();
    let entries = random.below(9);
    profile["syscalls"] = (0..entries)
        .map(|_| {
            let names: Vec<_> = (0..1 + random.below(3)).map(|_| random.one(&NAMES)).collect();
            let mut entry = json!({"names": names});
            action(random, &mut entry, "action", "errnoRet");
            let count = random.one(&[0, 1, 1, 1, 2, 2, 3]);
            entry["args"] = (0..count).map(|_| random_arg(random)).collect();
            entry
        })
        .collect();
    profile
}

fn random_arg(random: &mut impl Chance) -> Value {
    let op = random.one(&OPS);
    let value = if random.below(8) == 0 { random.next() } else { random.one(&VALUES) };
    let mut arg = json!({
        "index": random.one(&[0, 0, 1, 2, 5]), "op": format!("SCMP_CMP_{op}"), "value": value,
    });
    if op == "MASKED_EQ" && random.below(4) > 0 {
        arg["valueTwo"] = (random.one(&VALUES) & if random.below(2) == 0 { value } else { u64::MAX }).into();
    }
    arg
}

pub(crate) fn answer(program: &[sock_filter], abi: Abi, number: u32, args: [u64; 6]) -> u32 {
    let data = Data { number, arch: abi.audit_arch(), args };
    run(program, &data).expect("the program is well-formed")
}

/// What the kernel checks of a program (bpf_check_classic, seccomp_check_filter).
pub(crate) fn assert_valid(program: &[sock_filter]) {
    assert!(!program.is_empty() && program.len() <= 4096);
    for (at, i) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        match i.code {
            0x06 | 0x54 => {}
            0x20 => assert!(i.k % 4 == 0 && i.k < 64),
            0x05 => assert!((i.k as usize) < left),
            0x15 | 0x25 | 0x35 | 0x45 => assert!(usize::from(i.jt.max(i.jf)) < left),
            code => panic!("instruction {at} has code {code:#x}"),
        }
    }
    assert_eq!(program[program.len() - 1].code, 0x06);
}

/// Every argument value at which a comparison in the profile may change its mind, on either side, in both halves.
pub(crate) fn boundaries(profile: &Value) -> Vec<u64> {
    let mut values = vec![0, 1, u64::MAX, 1 << 32];
    for entry in profile["syscalls"].as_array().into_iter().flatten() {
        for arg in entry["args"].as_array().into_iter().flatten() {
            for v in [arg["value"].as_u64().unwrap(), arg["valueTwo"].as_u64().unwrap_or(0)] {
                values.extend([v, v.wrapping_sub(1), v.wrapping_add(1), v ^ (1 << 32), v ^ (1 << 63), !v]);
                values.extend([v & 0xffff_ffff, v | 0xffff_ffff, v ^ (1 << 31), v.wrapping_add(1 << 32)]);
            }
        }
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// The newest number a profile names, for one ABI. The name of a call that i386 also reaches through socketcall or ipc
/// names that one as well.
pub(crate) fn newest(profile: &Value, abi: Abi) -> Option<u32> {
    let entries = profile["syscalls"].as_array().into_iter().flatten();
    let names = entries.flat_map(|entry| entry["names"].as_array().into_iter().flatten());
    let calls = names.filter_map(|name| super::syscalls::lookup(name.as_str().unwrap()));
    let numbers = |call: Call| call.number(abi).into_iter().chain(call.multiplexed(abi).map(|(number, _)| number));
    calls.flat_map(numbers).max()
}

/// Holds the program of a profile against its meaning, `calls` times for each number that is of interest. Returns how many
/// answers were compared; none where the profile contradicts itself.
pub(crate) fn compare(profile: &Value, calls: usize, random: &mut impl Chance) -> Option<usize> {
    let abis = [Abi::X86_64, Abi::I386, Abi::X32];
    let numbers = |abi: Abi| {
        let named = NAMES.iter().filter_map(move |name| lookup(name)?.number(abi));
        let next = [newest(profile, abi).map_or(abi.base(), |n| n + 1), abi.base() + 7, abi.base() + 470];
        named.chain(next).collect::<Vec<_>>()
    };
    let typed = serde_json::from_value(profile.clone()).unwrap_or_else(|e| panic!("{e}: {profile}"));
    let filter = match compile_for(Abi::X86_64, &typed, &mut Vec::new()) {
        Ok(filter) => filter,
        Err(e) => {
            let contradicts = |abi: Abi| {
                listed(profile, abi) && numbers(abi).iter().any(|&n| effective(&rules(profile, abi, n)).is_none())
            };
            assert!(e.to_string().contains("contradicts") && abis.into_iter().any(contradicts), "{e} {profile}");
            return None;
        }
    };
    assert_valid(&filter.program);
    let values = boundaries(profile);
    let mut compared = 0;
    for abi in abis {
        for number in numbers(abi) {
            for _ in 0..calls {
                let mut args = [(); 6].map(|()| random.one(&values));
                if random.below(2) == 0 && [102, 117].contains(&number) {
                    args[0] = random.one(&[1, 2, 3, 18, 23]);
                }
                let got = answer(&filter.program, abi, number, args);
                let want = meaning(profile, abi, number, &args);
                assert_eq!(got, want, "{abi:?} {number:#x} {args:x?}: {got:#x}, should be {want:#x}\n{profile}");
                compared += 1;
            }
        }
    }
    Some(compared)
}

/// Text that begins as JSON does is a profile; else the bytes make one, and the calls to hold it against.
pub(crate) fn fuzz(data: &[u8]) {
    if data.first() != Some(&b'{') {
        let seed = data.iter().fold(0x5eed, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        compare(&random_profile(&mut Choices(data)), 6, &mut Random(seed | 1));
        return;
    }
    let Ok(profile) = serde_json::from_slice(data) else { return };
    for native in [Abi::X86_64, Abi::Aarch64] {
        match compile_for(native, &profile, &mut Vec::new()) {
            Ok(filter) => assert_valid(&filter.program),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
