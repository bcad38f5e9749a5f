//! rlimits, personality, keyring: what the kernel holds against a process.

use rt_integration::{Bundle, Sandbox, sandbox, skip};
use serde_json::{Value, json};

#[track_caller]
fn with(sandbox: &Sandbox, pointer: &str, value: Value, args: &[&str]) -> String {
    sandbox.bundle("c").set(pointer, value).args(args).run().ok().stdout()
}

fn limit(kind: &str, soft: u64, hard: u64) -> Value {
    json!({ "type": kind, "soft": soft, "hard": hard })
}

/// What a small static program can live with.
const TYPES: &[(&str, u64)] = &[
    ("RLIMIT_AS", 1 << 30),
    ("RLIMIT_CORE", 0),
    ("RLIMIT_CPU", 1000),
    ("RLIMIT_DATA", 1 << 28),
    ("RLIMIT_FSIZE", 1 << 20),
    ("RLIMIT_LOCKS", 100),
    ("RLIMIT_MEMLOCK", 4096),
    ("RLIMIT_MSGQUEUE", 8192),
    ("RLIMIT_NICE", 0),
    ("RLIMIT_NOFILE", 100),
    ("RLIMIT_NPROC", 500),
    ("RLIMIT_RSS", 1 << 28),
    ("RLIMIT_RTPRIO", 0),
    ("RLIMIT_RTTIME", 1_000_000),
    ("RLIMIT_SIGPENDING", 50),
    ("RLIMIT_STACK", 1 << 20),
];

#[test]
fn all_types_at_once_and_for_exec() {
    let sandbox = sandbox!();
    let list: Vec<_> = TYPES.iter().map(|(kind, value)| limit(kind, value / 2, *value)).collect();
    let bundle = sandbox.bundle("c").set("/process/rlimits", list);
    let check = |out: String| {
        for (kind, value) in TYPES {
            assert!(out.contains(&format!("{kind} {} {value}\n", value / 2)), "{kind}: {out}");
        }
    };
    check(bundle.args(["limits"]).run().ok().stdout());
    let list: Vec<_> = TYPES.iter().map(|(kind, value)| limit(kind, value / 2, *value)).collect();
    let bundle = sandbox.bundle("e").set("/process/rlimits", list).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    check(bundle.exec(["/bin/probe", "limits"]).ok().stdout());
    bundle.delete_force().ok();
}

/// `start` and its hooks come over descriptors that the container's own limit would not allow.
#[test]
fn too_few_descriptors_for_a_start() {
    let sandbox = sandbox!();
    for most in [0, 3] {
        let list = json!([limit("RLIMIT_NOFILE", most, most)]);
        let hooks = json!({ "startContainer": [{ "path": "/bin/probe", "args": ["probe", "exit", "0"] }] });
        let bundle = sandbox.bundle("c").set("/process/rlimits", list).set("/hooks", hooks).args(["limits"]);
        let created = bundle.create().ok();
        bundle.start().ok();
        created.wait_stdout(&format!("RLIMIT_NOFILE {most} {most}\n"));
        bundle.delete_force().ok();
    }
}

#[test]
fn raising_a_hard_limit_takes_privilege() {
    let sandbox = sandbox!();
    let process = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let bounding = process.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("a line");
    if u64::from_str_radix(bounding, 16).expect("hex") & 1 << 24 != 0 {
        skip!("this root has CAP_SYS_RESOURCE");
    }
    let list = json!([limit("RLIMIT_NOFILE", 1 << 30, 1 << 30)]);
    let out = sandbox.bundle("c").set("/process/rlimits", list).run().fails_with("RLIMIT_NOFILE");
    assert!(out.stderr().contains("CAP_SYS_RESOURCE"), "{}", out.report());
}

#[test]
fn a_list_that_makes_no_sense() {
    let sandbox = sandbox!();
    let run = |list: Value| sandbox.bundle("c").set("/process/rlimits", list).run();
    for (kind, value) in TYPES {
        let list = json!([limit(kind, *value, *value), limit("RLIMIT_CORE", 0, 0), limit(kind, *value, *value)]);
        run(list).fails_with("is listed twice");
    }
    run(json!([limit("RLIMIT_WRONG", 1, 2)])).fails_with("RLIMIT_WRONG");
    run(json!([limit("NOFILE", 1, 2)])).fails_with("NOFILE");
    run(json!([limit("RLIMIT_NOFILE", 3, 2)])).fails_with("RLIMIT_NOFILE");
}

#[test]
fn a_32_bit_personality() {
    let sandbox = sandbox!();
    let domain = |domain: &str| with(&sandbox, "/linux/personality", json!({ "domain": domain }), &["personality"]);
    assert_eq!(domain("LINUX32"), "8\n");
    assert_eq!(domain("LINUX"), "0\n");
    let bundle = sandbox.bundle("c").set("/linux/personality", json!({ "domain": "LINUX32" })).args(["uname"]);
    assert_eq!(bundle.run().ok().stdout(), if cfg!(target_arch = "x86_64") { "i686\n" } else { "armv8l\n" });
    let bundle = sandbox.bundle("e").set("/linux/personality", json!({ "domain": "LINUX32" })).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    assert_eq!(bundle.exec(["/bin/probe", "personality"]).ok().stdout(), "8\n");
    bundle.delete_force().ok();
}

#[test]
fn the_session_keyring() {
    let sandbox = sandbox!();
    let keyring = |flags: &[&str]| sandbox.bundle("keys").args(["keyring"]).run_with(flags).ok().stdout();
    assert!(keyring(&[]).contains("_ses.keys"), "{}", keyring(&[]));
    assert!(!keyring(&["--no-new-keyring"]).contains("_ses.keys"));
    // Two containers of one id, one after the other, do not share it.
    let serial = |_: u32| sandbox.bundle("keys").args(["ret", "keyctl", "0", "-3", "0"]).run().ok().stdout();
    assert_ne!(serial(1), serial(2));
}

#[test]
fn the_oom_score() {
    let sandbox = sandbox!();
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").expect("procfs");
    let unset = sandbox.bundle("c").args(["oom-score"]).run().ok().stdout();
    assert_eq!(unset, own, "an unset score must not change");
    assert_eq!(with(&sandbox, "/process/oomScoreAdj", json!(777), &["oom-score"]), "777\n");
    sandbox.bundle("c").set("/process/oomScoreAdj", json!(1001)).run().expect(1).fails_with("process.oomScoreAdj");
    let bundle = sandbox.bundle("e").set("/process/oomScoreAdj", json!(600)).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    assert_eq!(bundle.exec(["/bin/probe", "oom-score"]).ok().stdout(), "600\n");
    bundle.delete_force().ok();
}

#[test]
fn umask_and_groups() {
    let sandbox = sandbox!();
    let id = |user: Value| {
        let text = with(&sandbox, "/process/user", user, &["id"]);
        text.trim_end().split(' ').skip(2).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(id(json!({ "uid": 1, "gid": 1 })), "groups= umask=0022");
    assert_eq!(id(json!({ "uid": 1, "gid": 1, "umask": 0 })), "groups= umask=0000");
    assert_eq!(id(json!({ "uid": 1, "gid": 1, "umask": 0o777 })), "groups= umask=0777");
    assert_eq!(id(json!({ "uid": 1, "gid": 1, "additionalGids": [1, 7, 7, 5] })), "groups=1,5,7,7 umask=0022");
    let many: Vec<u32> = (1..=1000).collect();
    let bundle: Bundle =
        sandbox.bundle("c").set("/process/user", json!({ "uid": 1, "gid": 1, "additionalGids": many }));
    assert!(bundle.args(["id"]).run().ok().stdout().contains("998,999,1000 "));
}
