//! Every word of a profile that `features` announces does what it says: an announced word without a case fails.

use rt_integration::agent::{Agent, Answer};
use rt_integration::{Bundle, Sandbox, sandbox};
use serde_json::{Value, json};

/// The words of one list of `features`' seccomp.
fn announced(sandbox: &Sandbox, list: &str) -> Vec<String> {
    let features: Value = serde_json::from_str(&sandbox.rt(["features"]).ok().stdout()).expect("JSON");
    let words = features["linux"]["seccomp"][list].as_array().unwrap_or_else(|| panic!("no {list}")).clone();
    words.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}

/// Fails unless the cases are exactly what is announced.
#[track_caller]
fn same(mut announced: Vec<String>, cases: impl IntoIterator<Item = &'static str>) {
    let mut cases: Vec<_> = cases.into_iter().map(str::to_owned).collect();
    cases.sort();
    announced.sort();
    assert_eq!(announced, cases, "announced by features, and tested here");
}

fn with<'a>(bundle: Bundle<'a>, action: &str) -> Bundle<'a> {
    let profile =
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["getppid"], "action": action }] });
    bundle.set("/linux/seccomp", profile)
}

/// What becomes of a getppid(2) that the action answers: the exit code, and what the caller says of the call.
const ACTIONS: &[(&str, i32, &str)] = &[
    ("SCMP_ACT_ALLOW", 0, "ok"),
    ("SCMP_ACT_ERRNO", 0, "EPERM"),
    ("SCMP_ACT_KILL", 128 + libc::SIGSYS, ""),
    ("SCMP_ACT_KILL_PROCESS", 128 + libc::SIGSYS, ""),
    ("SCMP_ACT_KILL_THREAD", 128 + libc::SIGSYS, ""),
    ("SCMP_ACT_LOG", 0, "ok"),
    ("SCMP_ACT_NOTIFY", 0, "EXDEV"),
    // Nobody traces it.
    ("SCMP_ACT_TRACE", 0, "ENOSYS"),
    ("SCMP_ACT_TRAP", 128 + libc::SIGSYS, ""),
];

#[test]
fn every_action() {
    let sandbox = sandbox!();
    same(announced(&sandbox, "actions"), ACTIONS.iter().map(|(name, ..)| *name));
    for (action, code, says) in ACTIONS {
        let mut bundle = with(sandbox.bundle("c"), action);
        let agent = (*action == "SCMP_ACT_NOTIFY").then(|| {
            let agent = Agent::at(&sandbox.dir().join("agent"));
            bundle.spec["linux"]["seccomp"]["listenerPath"] = json!(agent.path);
            agent.serve(vec![Answer::Errno(libc::EXDEV)])
        });
        let out = bundle.args(["try", "getppid"]).run().expect(*code);
        assert_eq!(out.stdout().trim_end(), *says, "{action}");
        if let Some(agent) = agent {
            agent.join().expect("the agent");
        }
    }
}

/// As the default of a profile, too, where only getppid is left to it.
#[test]
fn every_action_as_the_default() {
    let sandbox = sandbox!();
    // As far as the probe needs them.
    let names = [
        "execve",
        "exit_group",
        "exit",
        "brk",
        "mmap",
        "munmap",
        "arch_prctl",
        "set_tid_address",
        "write",
        "writev",
        "capset",
        "rt_sigaction",
        "rt_sigprocmask",
        "ioctl",
        "mprotect",
        "sigaltstack",
        "poll",
        "futex",
        "read",
        "close",
        "fcntl",
        "open",
        "openat",
    ];
    for (action, code, says) in
        ACTIONS.iter().filter(|(action, ..)| *action != "SCMP_ACT_NOTIFY" && *action != "SCMP_ACT_ALLOW")
    {
        let profile = json!({ "defaultAction": action, "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }] });
        let bundle = sandbox.bundle("c").set("/linux/seccomp", profile).args(["try", "getppid"]);
        let out = bundle.run().expect(*code);
        assert_eq!(out.stdout().trim_end(), *says, "{action}");
    }
}

/// Each operator over the calls getpid(4), (5) and (6): which of them the rule of value 5 answers.
const OPERATORS: &[(&str, u64, u64, [bool; 3])] = &[
    ("SCMP_CMP_NE", 5, 0, [true, false, true]),
    ("SCMP_CMP_LT", 5, 0, [true, false, false]),
    ("SCMP_CMP_LE", 5, 0, [true, true, false]),
    ("SCMP_CMP_EQ", 5, 0, [false, true, false]),
    ("SCMP_CMP_GE", 5, 0, [false, true, true]),
    ("SCMP_CMP_GT", 5, 0, [false, false, true]),
    // Bits 0 and 1 as in 5: of 4 they are 00, of 5 they are 01, of 6 they are 10.
    ("SCMP_CMP_MASKED_EQ", 3, 1, [false, true, false]),
];

#[test]
fn every_operator() {
    let sandbox = sandbox!();
    same(announced(&sandbox, "operators"), OPERATORS.iter().map(|(name, ..)| *name));
    for (op, value, second, answered) in OPERATORS {
        for index in 0..6 {
            let argument = json!({ "index": index, "value": value, "valueTwo": second, "op": op });
            let rule = json!({ "names": ["getppid"], "action": "SCMP_ACT_ERRNO", "args": [argument] });
            let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
            let call = |value: &str| {
                let zeroes = std::iter::repeat_n("0".to_owned(), index);
                ["try", "getppid"]
                    .map(str::to_owned)
                    .into_iter()
                    .chain(zeroes)
                    .chain([value.to_owned()])
                    .collect::<Vec<_>>()
            };
            let steps = ["4", "5", "6"].map(call).join(&"--".to_owned());
            let bundle = sandbox.bundle("c").set("/linux/seccomp", profile);
            let out = bundle.args(["seq".to_owned()].into_iter().chain(steps)).run().ok();
            let expected = answered.map(|answered| if answered { "EPERM" } else { "ok" });
            assert_eq!(out.lines(), expected, "{op} of argument {index}");
        }
    }
}

/// All names of config-linux.md.
const ARCHITECTURES: [&str; 23] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

/// Alone and together: what is foreign has no effect, and the machine's own calls are under the filter all the same.
#[test]
fn every_architecture() {
    let sandbox = sandbox!();
    same(announced(&sandbox, "archs"), ARCHITECTURES);
    let run = |architectures: Value| {
        let bundle =
            with(sandbox.bundle("c"), "SCMP_ACT_ERRNO").set("/linux/seccomp/architectures", architectures.clone());
        let out = bundle.args(["try", "getppid"]).run().ok();
        assert_eq!((out.stdout().as_str(), out.stderr().as_str()), ("EPERM\n", ""), "{architectures}");
    };
    ARCHITECTURES.iter().for_each(|name| run(json!([name])));
    // libseccomp's name for whatever the machine is.
    run(json!(["SCMP_ARCH_NATIVE"]));
    run(json!(ARCHITECTURES));
    run(json!([]));
}

#[test]
fn every_flag() {
    let sandbox = sandbox!();
    let known = announced(&sandbox, "knownFlags");
    let supported = announced(&sandbox, "supportedFlags");
    assert!(supported.iter().all(|flag| known.contains(flag)), "{supported:?} of {known:?}");
    for flag in &known {
        let mut bundle = with(sandbox.bundle("c"), "SCMP_ACT_ERRNO").set("/linux/seccomp/flags", json!([flag]));
        // Only a filter with a listener may have it (seccomp(2)).
        let agent = (flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV").then(|| {
            let agent = Agent::at(&sandbox.dir().join("agent"));
            bundle.spec["linux"]["seccomp"]["listenerPath"] = json!(agent.path);
            bundle.spec["linux"]["seccomp"]["syscalls"][0]["action"] = json!("SCMP_ACT_NOTIFY");
            agent.serve(vec![Answer::Errno(libc::EPERM)])
        });
        let out = bundle.args(["try", "getppid"]).run();
        if supported.contains(flag) {
            assert_eq!(out.ok().stdout(), "EPERM\n", "{flag}");
        } else {
            out.fails_with(flag);
        }
        if let Some(agent) = agent.filter(|_| supported.contains(flag)) {
            agent.join().expect("the agent");
        }
    }
}
