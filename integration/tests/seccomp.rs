//! The filter in the kernel.

use rt_integration::{Bundle, sandbox};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

fn with<'a>(bundle: Bundle<'a>, rules: Value) -> Bundle<'a> {
    let mut profile = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
    profile["syscalls"] = rules;
    bundle.set("/linux/seccomp", profile)
}

#[test]
fn errno_and_its_default() {
    let sandbox = sandbox!();
    let rules = json!([
        { "names": ["unshare"], "action": "SCMP_ACT_ERRNO" },
        { "names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
        { "names": ["no_such_system_call"], "action": "SCMP_ACT_ERRNO" }
    ]);
    for no_new_privileges in [true, false] {
        let bundle = with(sandbox.bundle("c"), rules.clone()).set("/process/noNewPrivileges", no_new_privileges);
        let steps = "seq seccomp -- try unshare 0 -- try sethostname x 1 -- try getpid";
        let out = bundle.args(steps.split(' ')).run().ok();
        assert_eq!(out.lines(), ["Seccomp:\t2", "Seccomp_filters:\t1", "EPERM", "ENOSYS", "ok"]);
    }
}

#[test]
fn arguments() {
    let sandbox = sandbox!();
    let cases = [
        ("SCMP_CMP_EQ", json!({ "value": 5 }), "4 5 6", "ok EPERM ok"),
        ("SCMP_CMP_NE", json!({ "value": 5 }), "4 5 6", "EPERM ok EPERM"),
        ("SCMP_CMP_LT", json!({ "value": 5 }), "4 5 6", "EPERM ok ok"),
        ("SCMP_CMP_LE", json!({ "value": 5 }), "4 5 6", "EPERM EPERM ok"),
        ("SCMP_CMP_GT", json!({ "value": 5 }), "4 5 6", "ok ok EPERM"),
        ("SCMP_CMP_GE", json!({ "value": 5 }), "4 5 6", "ok EPERM EPERM"),
        ("SCMP_CMP_MASKED_EQ", json!({ "value": 0xf0, "valueTwo": 0x50 }), "0x4f 0x5f 0x15f", "ok EPERM EPERM"),
        ("SCMP_CMP_EQ", json!({ "value": 0x1_0000_0001u64 }), "1 0x100000001 0x100000000", "ok EPERM ok"),
    ];
    for (op, mut argument, values, answers) in cases {
        argument["index"] = json!(0);
        argument["op"] = json!(op);
        let rules = json!([{ "names": ["getpid"], "action": "SCMP_ACT_ERRNO", "args": [argument] }]);
        let steps: Vec<_> = values.split(' ').map(|value| format!("try getpid {value}")).collect();
        let steps = format!("seq {}", steps.join(" -- "));
        let out = with(sandbox.bundle("c"), rules).args(steps.split(' ')).run().ok();
        assert_eq!(out.lines().join(" "), answers, "{op}");
    }
}

#[test]
fn kill() {
    let sandbox = sandbox!();
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"] {
        let rules = json!([{ "names": ["unshare"], "action": action }]);
        let bundle = with(sandbox.bundle("c"), rules);
        bundle.args(["try", "unshare", "0"]).run().expect(128 + libc::SIGSYS);
    }
}

#[test]
fn a_default_that_denies() {
    let sandbox = sandbox!();
    let start = ["execve", "brk", "mmap", "munmap", "mprotect", "arch_prctl", "set_tid_address"];
    let names = [&start[..], &["write", "writev", "exit", "exit_group"]].concat();
    let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }] });
    let bundle = sandbox.bundle("c").set("/linux/seccomp", profile).set("/process/noNewPrivileges", true);
    assert_eq!(bundle.args(["try", "getpid"]).run().ok().stdout(), "ENOSYS\n");
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    let sandbox = sandbox!();
    let cases = [
        json!({ "defaultAction": "SCMP_ACT_NOTHING" }),
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_NOTHING"] }),
        json!({ "defaultAction": "SCMP_ACT_NOTIFY" }),
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["getpid"], "action": "SCMP_ACT_NOTIFY" }] }),
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": [], "action": "SCMP_ACT_ERRNO" }] }),
        json!({ "defaultAction": "SCMP_ACT_ERRNO" }),
    ];
    for profile in cases {
        sandbox.bundle("c").set("/linux/seccomp", profile).run().fails_with("seccomp");
    }
}

/// `start` tells of an execve that fails, whatever init may still do by then.
#[test]
fn a_start_that_fails_says_so() {
    let sandbox = sandbox!();
    let strict = json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [{ "names": ["execve", "exit_group"], "action": "SCMP_ACT_ALLOW" }] });
    for (profile, words) in
        [(Some(strict), "no such file"), (None, "its interpreter \"/bin/missing\" is not in the rootfs")]
    {
        let mut bundle = sandbox.bundle("c").set("/process/noNewPrivileges", true);
        if let Some(profile) = profile {
            bundle = bundle.set("/linux/seccomp", profile);
        }
        let bundle = bundle.plant("bin/script", "#!/bin/missing\n").set("/process/args", json!(["/bin/script"]));
        let script = bundle.dir.join("rootfs/bin/script");
        std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).expect("an executable script");
        bundle.create().ok();
        bundle.start().fails_with(words);
        assert_eq!(bundle.status(), "stopped");
        bundle.delete().ok();
    }
}

/// Profiles name calls of every machine; those of others are nobody's concern.
#[test]
fn an_unknown_call_is_told_to_debuggers_only() {
    let sandbox = sandbox!();
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["riscv_hwprobe"], "action": "SCMP_ACT_ERRNO" }] });
    let bundle = sandbox.bundle("c").set("/linux/seccomp", profile).args(["echo", "x"]);
    assert_eq!(bundle.run().ok().stderr(), "");
    bundle.write();
    let debug = sandbox.rt(["--debug", "run", "--bundle", bundle.dir.to_str().expect("UTF-8"), "c"]).ok();
    assert!(debug.stderr().contains("riscv_hwprobe"), "{}", debug.report());
}
