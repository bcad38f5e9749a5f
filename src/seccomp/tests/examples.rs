//! By example: the errors, the flags, the listener, and shapes that random profiles seldom have.

use super::super::emulate;
use oci_spec::runtime::{Arch, LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSeccompOperator};

use super::super::{ACTIONS, ARCHS, KNOWN_FLAGS, Notify, OPERATORS, blocked, supported_flags};
use super::*;
use crate::sys::seccomp::{FLAG_LOG, FLAG_NEW_LISTENER, FLAG_SPEC_ALLOW, FLAG_WAIT_KILLABLE_RECV};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL: u32 = 0;

fn error(profile: Value) -> String {
    compiled(&profile).expect_err("the profile is refused").to_string()
}

fn program(profile: Value) -> Vec<sock_filter> {
    compiled(&profile).unwrap().program
}

/// `rt features` prints these names, and profiles are parsed by them.
#[test]
fn tables_name_what_profiles_may_say() {
    let parsed = |name: &str| Value::from(name);
    assert!(ACTIONS.iter().all(|a| serde_json::from_value::<LinuxSeccompAction>(parsed(a.name)).unwrap() == a.oci));
    assert!(ARCHS.iter().all(|(name, arch, _)| serde_json::from_value::<Arch>(parsed(name)).unwrap() == *arch));
    for (name, op, _) in OPERATORS {
        assert_eq!(serde_json::from_value::<LinuxSeccompOperator>(parsed(name)).unwrap(), *op);
    }
    for (name, flag, _) in KNOWN_FLAGS {
        assert_eq!(serde_json::from_value::<LinuxSeccompFilterFlag>(parsed(name)).unwrap(), *flag);
    }
    let sorted = |names: Vec<&str>| names.is_sorted() && names.windows(2).all(|w| w[0] != w[1]);
    assert!(sorted(ACTIONS.iter().map(|a| a.name).collect()) && ACTIONS.len() == 9);
    assert!(sorted(OPERATORS.iter().map(|o| o.0).collect()) && OPERATORS.len() == 7);
    assert!(sorted(ARCHS.iter().map(|a| a.0).collect()));
}

#[test]
fn errors_name_the_value() {
    let with = |syscall: Value| json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["write"], "action": "SCMP_ACT_ALLOW"}, syscall]});
    let arg = json!({"index": 7, "value": 0, "op": "SCMP_CMP_EQ"});
    let cases = [
        (
            with(json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [arg]})),
            "linux.seccomp.syscalls[1].args[0].index: 7 is out of range 0-5",
        ),
        (
            with(json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1})),
            "linux.seccomp.syscalls[1].errnoRet: SCMP_ACT_ALLOW takes no errno",
        ),
        (
            with(json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})),
            "linux.seccomp.syscalls[1].errnoRet: 4096 is out of range 0-4095",
        ),
        (
            with(json!({"names": [], "action": "SCMP_ACT_ERRNO"})),
            "linux.seccomp.syscalls[1].names: must contain at least one entry",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 1}),
            "linux.seccomp.defaultErrnoRet: SCMP_ACT_KILL takes no errno",
        ),
        (
            with(json!({"names": ["read"], "action": "SCMP_ACT_NOTIFY"})),
            "linux.seccomp.syscalls[1].action: SCMP_ACT_NOTIFY needs listenerPath",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
            "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY needs listenerPath",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"}),
            "linux.seccomp.listenerMetadata: has no meaning without listenerPath",
        ),
    ];
    for (profile, message) in cases {
        assert_eq!(error(profile), message);
    }
}

#[test]
fn contradictions_are_refused() {
    let rule = |action: &str| json!({"names": ["socket"], "action": action, "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]});
    let mut profile =
        json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("SCMP_ACT_ALLOW"), rule("SCMP_ACT_KILL")]});
    let message = error(profile.clone());
    assert!(message.starts_with("linux.seccomp.syscalls[1]: contradicts syscalls[0]"), "{message}");
    // On i386 both are socketcall(1, …).
    profile["syscalls"][1]["args"][0]["value"] = 17.into();
    assert!(compiled(&profile).is_ok());
    profile["architectures"] = json!(["SCMP_ARCH_X86"]);
    assert!(error(profile).contains("socketcall"));
}

#[test]
fn unknown_names_are_skipped_and_told() {
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "frobnicate"], "action": "SCMP_ACT_ALLOW"}]});
    let mut warnings = Vec::new();
    let filter = compile_for(Abi::X86_64, &parse(&profile), &mut warnings).unwrap();
    assert_eq!(warnings, ["linux.seccomp.syscalls[0].names[1]: no system call \"frobnicate\" is known here; skipped"]);
    assert_eq!(answer(&filter.program, Abi::X86_64, 0, [0; 6]), ALLOW);
}

#[test]
fn nothing_named_is_the_default_for_all() {
    for (action, ret) in [("SCMP_ACT_ERRNO", EPERM), ("SCMP_ACT_ALLOW", ALLOW), ("SCMP_ACT_KILL_PROCESS", 0x8000_0000)]
    {
        for syscalls in [json!([]), json!([{"names": ["frobnicate"], "action": "SCMP_ACT_LOG"}]), Value::Null] {
            let program = program(json!({"defaultAction": action, "syscalls": syscalls}));
            for number in [0, 1, 470, 5000, 0x3fff_ffff, u32::MAX] {
                assert_eq!(answer(&program, Abi::X86_64, number, [0; 6]), ret);
            }
            assert_eq!(answer(&program, Abi::X32, 0x4000_0000, [0; 6]), KILL);
            assert_eq!(answer(&program, Abi::I386, 0, [0; 6]), KILL);
        }
    }
}

#[test]
fn numbers_above_the_newest_named() {
    // `mseal` is named only to be denied, but whoever wrote that knew of it and of all before it.
    let syscalls =
        json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["mseal"], "action": "SCMP_ACT_ERRNO"}]);
    let above = |action: &str| {
        let profile = json!({"defaultAction": action, "listenerPath": "/a", "syscalls": syscalls});
        let program = program(profile);
        (answer(&program, Abi::X86_64, 461, [0; 6]), answer(&program, Abi::X86_64, 463, [0; 6]))
    };
    assert_eq!(above("SCMP_ACT_ERRNO"), (EPERM, ENOSYS));
    assert_eq!(above("SCMP_ACT_KILL"), (KILL, ENOSYS));
    assert_eq!(above("SCMP_ACT_TRAP"), (0x0003_0000, ENOSYS));
    // These let a call pass, or ask somebody who can say ENOSYS himself.
    for (action, ret) in [("ALLOW", ALLOW), ("LOG", 0x7ffc_0000), ("TRACE", 0x7ff0_0001), ("NOTIFY", 0x7fc0_0000)] {
        assert_eq!(above(&format!("SCMP_ACT_{action}")), (ret, ret));
    }
}

#[test]
fn arm_keeps_its_private_calls_apart() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_ARM", "SCMP_ARCH_X86"],
        "syscalls": [{"names": ["read", "mseal", "cacheflush"], "action": "SCMP_ACT_ALLOW"}],
    });
    let program = compile_for(Abi::Aarch64, &parse(&profile), &mut Vec::new()).unwrap().program;
    assert_valid(&program);
    for (number, ret) in
        [(3, ALLOW), (4, EPERM), (462, ALLOW), (463, ENOSYS), (0xf0001, EPERM), (0xf0002, ALLOW), (0xf0003, ENOSYS)]
    {
        assert_eq!(answer(&program, Abi::Arm, number, [0; 6]), ret, "{number:#x}");
    }
    assert_eq!(answer(&program, Abi::Aarch64, 63, [0; 6]), ALLOW);
    assert_eq!(answer(&program, Abi::I386, 3, [0; 6]), KILL);
}

#[test]
fn flags_are_those_named() {
    let flags = |profile: Value| compiled(&profile).unwrap().flags;
    let with = |flags: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags});
    assert_eq!(flags(json!({"defaultAction": "SCMP_ACT_ALLOW"})), FLAG_SPEC_ALLOW);
    assert_eq!(flags(with(json!([]))), 0);
    assert_eq!(flags(with(json!(["SECCOMP_FILTER_FLAG_TSYNC"]))), 0);
    assert_eq!(flags(with(json!(["SECCOMP_FILTER_FLAG_LOG"]))), FLAG_LOG);
    let supported = supported_flags();
    assert!(supported.starts_with(&["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]));
    assert!(supported.iter().all(|name| KNOWN_FLAGS.iter().any(|(known, ..)| known == name)));
    if supported.contains(&"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {
        let mut profile = with(json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]));
        assert_eq!(flags(profile.clone()), 0, "the kernel refuses it without a listener");
        profile["listenerPath"] = "/a".into();
        profile["syscalls"] = json!([{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]);
        assert_eq!(flags(profile), FLAG_WAIT_KILLABLE_RECV | FLAG_NEW_LISTENER);
    }
}

#[test]
fn a_listener_is_asked_for_only_if_it_can_be_told_something() {
    let mut profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "listenerMetadata": "m",
        "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}],
    });
    let filter = compiled(&profile).unwrap();
    assert_eq!(filter.flags, FLAG_SPEC_ALLOW | FLAG_NEW_LISTENER);
    assert_eq!(filter.notify, Some(Notify { listener_path: "/run/agent".into(), metadata: Some("m".into()) }));
    profile["syscalls"][0]["names"] = json!(["frobnicate"]);
    let filter = compiled(&profile).unwrap();
    assert_eq!((filter.flags, filter.notify), (FLAG_SPEC_ALLOW, None));
}

#[test]
fn blocked_names_the_first_call_that_would_not_pass() {
    let filter = |default: &str, names: Value, action: &str| {
        let profile =
            json!({"defaultAction": default, "listenerPath": "/a", "syscalls": [{"names": names, "action": action}]});
        compile_for(Abi::NATIVE, &parse(&profile), &mut Vec::new()).unwrap()
    };
    let calls = [("capset", [0; 6]), ("execve", [0; 6])];
    let denies = filter("SCMP_ACT_ALLOW", json!(["execve"]), "SCMP_ACT_ERRNO");
    assert_eq!(blocked(&denies, &calls), Some(("execve", "SCMP_ACT_ERRNO(1)".into())));
    assert_eq!(blocked(&denies, &calls[..1]), None);
    assert_eq!(blocked(&filter("SCMP_ACT_KILL", json!(["execve"]), "SCMP_ACT_LOG"), &calls[1..]), None);
    assert_eq!(blocked(&filter("SCMP_ACT_ALLOW", json!(["execve"]), "SCMP_ACT_NOTIFY"), &calls), None);
    let notifies = filter("SCMP_ACT_NOTIFY", json!(["execve"]), "SCMP_ACT_ALLOW");
    assert_eq!(blocked(&notifies, &calls), Some(("capset", "SCMP_ACT_NOTIFY".into())));
    let killed = blocked(&filter("SCMP_ACT_KILL", json!(["mseal"]), "SCMP_ACT_ALLOW"), &calls);
    assert_eq!(killed, Some(("capset", "SCMP_ACT_KILL_THREAD".into())));
    assert_eq!(blocked(&denies, &[("frobnicate", [0; 6])]).unwrap().0, "frobnicate");
}

/// Every other number with an answer of its own, so that the program is long, its jumps are and its answers many.
#[test]
fn long_programs_jump_far() {
    let rule = |(i, name): (usize, &&str)| {
        let args = json!([{"index": i % 6, "value": i as u64 * 0x1_0000_0001, "op": "SCMP_CMP_GE"}]);
        json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 100 + i, "args": if i % 2 == 0 { args } else { json!([]) }})
    };
    let names: Vec<&str> = super::super::syscall_tables::CALLS.iter().map(|row| row.0).step_by(2).collect();
    let syscalls: Vec<Value> = names.iter().enumerate().map(rule).collect();
    let archs = json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    let profile = json!({"defaultAction": "SCMP_ACT_KILL", "architectures": archs, "syscalls": syscalls});
    let program = program(profile);
    assert!(program.len() > 1000);
    let mut seen = 0;
    for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
        for (i, name) in names.iter().enumerate() {
            let Some(number) = super::super::syscalls::lookup(name).unwrap().number(abi) else {
                continue;
            };
            let (high, low) = (answer(&program, abi, number, [u64::MAX; 6]), answer(&program, abi, number, [0; 6]));
            assert_eq!(high, 0x0005_0000 | (100 + i as u32), "{name}");
            assert_eq!(low, if i % 2 == 0 && i > 0 { KILL } else { high }, "{name}");
            seen += 1;
        }
    }
    assert!(seen > 500);
}

#[test]
fn too_long_a_program_is_refused() {
    let rules = |count: u64| {
        let rule = |v| json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": v, "op": "SCMP_CMP_EQ"}]});
        json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": (0..count).map(rule).collect::<Vec<_>>()})
    };
    let fits = program(rules(1000));
    assert_eq!(answer(&fits, Abi::X86_64, 0, [999, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(answer(&fits, Abi::X86_64, 0, [1000, 0, 0, 0, 0, 0]), EPERM);
    assert!(error(rules(4000)).contains("the kernel takes 4096"));
    assert!(error(rules(9000)).contains("too many rules for one call"));
}

/// seccompiler makes programs of another shape; where it can express a profile, both must answer alike.
#[test]
fn seccompiler_agrees() {
    use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule};
    let value = 0x1_0000_0005;
    let ops = [
        ("EQ", SeccompCmpOp::Eq),
        ("NE", SeccompCmpOp::Ne),
        ("LT", SeccompCmpOp::Lt),
        ("LE", SeccompCmpOp::Le),
        ("GT", SeccompCmpOp::Gt),
        ("GE", SeccompCmpOp::Ge),
        ("MASKED_EQ", SeccompCmpOp::MaskedEq(value)),
    ];
    for (name, op) in ops {
        let two = 0x1_0000_0001_u64;
        let compared = if name == "MASKED_EQ" { two } else { value };
        let condition = SeccompCondition::new(2, SeccompCmpArgLen::Qword, op, compared).unwrap();
        let rules = [(41, vec![SeccompRule::new(vec![condition]).unwrap()]), (1, vec![])].into_iter().collect();
        let arch = "x86_64".try_into().unwrap();
        let theirs = SeccompFilter::new(rules, SeccompAction::Errno(1), SeccompAction::Allow, arch).unwrap();
        let theirs: seccompiler::BpfProgram = theirs.try_into().unwrap();
        let arg = json!({"index": 2, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{name}")});
        let ours = program(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [arg]},
            {"names": ["write"], "action": "SCMP_ACT_ALLOW"},
        ]}));
        for v in [0, 1, 5, value - 1, value, value + 1, two, 4, 1 << 32, u64::MAX, 0xffff_ffff, 0x2_0000_0000] {
            for number in 0..=41 {
                let args = [0, 0, v, 0, 0, 0];
                let (a, b) = (answer(&ours, Abi::X86_64, number, args), answer(&theirs, Abi::X86_64, number, args));
                assert_eq!(a, b, "{name} {number} {v:#x}");
            }
        }
    }
}

#[test]
fn malformed_programs_have_no_answer() {
    let data = emulate::Data { number: 0, arch: 0, args: [0; 6] };
    let i = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    assert_eq!(emulate::run(&[i(0x06, 7)], &data), Some(7));
    for program in
        [vec![], vec![i(0x05, 0)], vec![i(0x20, 64), i(0x06, 0)], vec![i(0x20, 2), i(0x06, 0)], vec![i(0xff, 0)]]
    {
        assert_eq!(emulate::run(&program, &data), None);
    }
}
