//! What `process` of the config says, seen by the process.

use rt_integration::{Sandbox, sandbox};
use serde_json::json;

/// What a container prints whose config differs from the default in one place.
#[track_caller]
fn with(sandbox: &Sandbox, pointer: &str, value: serde_json::Value, args: &[&str]) -> String {
    sandbox.bundle("c").set(pointer, value).args(args).run().ok().stdout()
}

#[test]
fn arguments_and_environment_are_passed_as_they_are() {
    let sandbox = sandbox!();
    let words = ["args", "two words", "", "--help", "ü\n", "$HOME"];
    let out = sandbox.bundle("c").args(words).run().ok();
    assert_eq!(out.stdout(), "two words\n\n--help\nü\n\n$HOME\n");
    let env = json!(["PATH=/bin", "A=1", "EMPTY=", "B=x=y z", "HOME=/somewhere"]);
    assert_eq!(with(&sandbox, "/process/env", env, &["env"]), "PATH=/bin\nA=1\nEMPTY=\nB=x=y z\nHOME=/somewhere\n");
}

#[test]
fn home_comes_from_passwd() {
    let sandbox = sandbox!();
    let out = sandbox.bundle("c").set("/process/user", json!({ "uid": 1000, "gid": 1000 })).args(["env"]).run().ok();
    assert!(out.lines().contains(&"HOME=/home/user".to_owned()), "{}", out.report());
}

#[test]
fn programs_are_found_in_path() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").set("/process/args", json!(["probe", "echo", "found"]));
    let bundle = bundle.set("/process/env", json!(["PATH=/nowhere:/bin"]));
    assert_eq!(bundle.run().ok().stdout(), "found\n");
    let bundle = bundle.set("/process/env", json!(["PATH=/nowhere"]));
    bundle.run().fails_with("executable file not found in $PATH");
}

#[test]
fn user_groups_and_umask() {
    let sandbox = sandbox!();
    let user = json!({ "uid": 12, "gid": 34, "additionalGids": [56, 78], "umask": 0o027 });
    let out = with(&sandbox, "/process/user", user, &["id"]);
    assert_eq!(out, "uid=12,12,12,12 gid=34,34,34,34 groups=56,78 umask=0027\n");
    let out = with(&sandbox, "/process/user", json!({ "uid": 0, "gid": 0 }), &["id"]);
    assert_eq!(out, "uid=0,0,0,0 gid=0,0,0,0 groups= umask=0022\n");
}

#[test]
fn working_directory_is_made_and_owned_by_the_user() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").set("/process/cwd", "/made/for/this").set("/root/readonly", false);
    assert_eq!(bundle.args(["cwd"]).run().ok().stdout(), "/made/for/this\n");
    sandbox.bundle("c").set("/process/cwd", "relative").run().fails_with("Cwd must be an absolute path");
    sandbox.bundle("c").set("/process/cwd", "").run().fails_with("Cwd property must not be empty");
}

#[test]
fn each_capability_set() {
    let sandbox = sandbox!();
    let sets = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "inheritable": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_CHOWN"],
        "ambient": ["CAP_KILL"]
    });
    // An unprivileged user keeps over the execve what is ambient, and no more.
    let user = json!({ "uid": 1000, "gid": 1000 });
    let bundle = sandbox.bundle("c").set("/process/capabilities", sets.clone()).set("/process/user", user);
    let out = bundle.args(["caps"]).run().ok();
    let mask = |bits: u64| format!("{bits:016x}");
    let line = |name: &str, bits: u64| format!("{name}:\t{}", mask(bits));
    let (chown, kill, setuid) = (1, 1 << 5, 1 << 7);
    let bounding = line("CapBnd", chown | kill | setuid);
    let unprivileged =
        [line("CapInh", chown | kill), line("CapPrm", kill), line("CapEff", kill), bounding, line("CapAmb", kill)];
    assert_eq!(out.lines(), unprivileged);
    // Root has at an execve all that is inheritable or bounding, unless it may gain nothing.
    for (no_new_privileges, expected) in [(true, chown | kill), (false, chown | kill | setuid)] {
        let bundle = sandbox.bundle("c").set("/process/capabilities", sets.clone());
        let bundle = bundle.set("/process/noNewPrivileges", no_new_privileges);
        let out = bundle.args(["caps"]).run().ok();
        assert_eq!(out.lines()[1], line("CapPrm", expected), "{}", out.report());
    }
}

#[test]
fn capabilities_that_do_not_exist_are_no_error() {
    let sandbox = sandbox!();
    let list = ["CAP_CHOWN", "CAP_NEVER_HEARD_OF"];
    let sets = json!({ "bounding": list, "permitted": list });
    let out = with(&sandbox, "/process/capabilities", sets, &["caps"]);
    assert!(out.contains("CapBnd:\t0000000000000001"), "{out}");
}

#[test]
fn no_capabilities_at_all() {
    let sandbox = sandbox!();
    let out = with(&sandbox, "/process/capabilities", json!({}), &["caps"]);
    assert!(out.lines().all(|line| line.ends_with("\t0000000000000000")), "{out}");
}

#[test]
fn no_new_privileges() {
    let sandbox = sandbox!();
    for (on, bit) in [(true, "1"), (false, "0")] {
        let out = with(&sandbox, "/process/noNewPrivileges", json!(on), &["status", "NoNewPrivs"]);
        assert_eq!(out, format!("NoNewPrivs:\t{bit}\n"));
    }
}

#[test]
fn each_rlimit() {
    let sandbox = sandbox!();
    let own = sandbox.probe();
    let limits = std::process::Command::new(own).arg("limits").output().expect("the probe");
    let limits = String::from_utf8(limits.stdout).expect("UTF-8");
    for line in limits.lines() {
        let words: Vec<_> = line.split(' ').collect();
        // Lowering is allowed to everyone; the process itself needs some of what these limits limit.
        let hard = words[2].parse::<u64>().unwrap_or(1 << 40).min(1 << 40);
        let soft = hard / 2;
        let entry = json!([{ "type": words[0], "soft": soft, "hard": hard }]);
        let out = with(&sandbox, "/process/rlimits", entry, &["limits"]);
        assert!(out.contains(&format!("{} {soft} {hard}\n", words[0])), "{line}: {out}");
    }
}

#[test]
fn rlimits_that_make_no_sense() {
    let sandbox = sandbox!();
    let limit = |kind: &str, soft: u64, hard: u64| json!({ "type": kind, "soft": soft, "hard": hard });
    let cases = [
        json!([limit("RLIMIT_NOFILE", 1, 2), limit("RLIMIT_NOFILE", 1, 2)]),
        json!([limit("RLIMIT_NOTHING", 1, 2)]),
        json!([limit("RLIMIT_NOFILE", 3, 2)]),
    ];
    for case in cases {
        sandbox.bundle("c").set("/process/rlimits", case).run().fails_with("rlimit");
    }
}

#[test]
fn oom_score() {
    let sandbox = sandbox!();
    // Never below the caller's own, which an unprivileged test host may not undercut.
    for score in [1000, 500] {
        assert_eq!(with(&sandbox, "/process/oomScoreAdj", json!(score), &["oom-score"]), format!("{score}\n"));
    }
}

#[test]
fn scheduler_and_io_priority() {
    let sandbox = sandbox!();
    let batch = json!({ "policy": "SCHED_BATCH", "nice": 5 });
    assert_eq!(with(&sandbox, "/process/scheduler", batch, &["sched"]), "3 0 5\n");
    let best_effort = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
    assert_eq!(with(&sandbox, "/process/ioPriority", best_effort, &["ioprio"]), "2 6\n");
}

#[test]
fn personality() {
    let sandbox = sandbox!();
    let out = with(&sandbox, "/linux/personality", json!({ "domain": "LINUX32" }), &["personality"]);
    assert_eq!(out, "8\n");
}

#[test]
fn descriptors_and_signals_are_clean() {
    let sandbox = sandbox!();
    let out = sandbox.bundle("c").args(["seq", "fds", "--", "sigmask"]).run().ok();
    let lines = out.lines();
    let fds: Vec<_> = lines.iter().take_while(|line| !line.starts_with("Sig")).collect();
    assert_eq!(fds.len(), 3, "{}", out.report());
    for name in ["SigBlk:\t", "SigIgn:\t"] {
        let mask = lines.iter().find_map(|line| line.strip_prefix(name)).expect(name);
        let mask = u64::from_str_radix(mask, 16).expect("hex");
        // 32 to 34 belong to the C library of whoever spawned rt: musl's posix_spawn ignores one of them.
        assert_eq!(mask & !(0b111 << 31), 0, "{}", out.report());
    }
}

#[test]
fn a_session_keyring_of_its_own() {
    let sandbox = sandbox!();
    let out = sandbox.bundle("keys").args(["keyring"]).run().ok();
    assert!(out.stdout().contains("_ses.keys"), "{}", out.report());
}

#[test]
fn exec_joins_what_runs() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let out = bundle.exec(["/bin/probe", "seq", "id", "--", "hostname", "--", "cwd", "--", "ns"]).ok();
    let lines = out.lines();
    assert_eq!(lines[..3], ["uid=0,0,0,0 gid=0,0,0,0 groups= umask=0022", "probe", "/"]);
    let init = format!("/proc/{}/ns", bundle.pid());
    for line in &lines[3..] {
        let (kind, inode) = line.split_once(' ').expect("KIND INODE");
        let of_init = std::fs::read_link(format!("{init}/{kind}")).expect("init's namespace");
        assert_eq!(of_init.to_str(), Some(inode), "{kind}");
    }
    bundle.exec(["/bin/probe", "exit", "7"]).expect(7);
    bundle.exec(["nothing"]).expect(255).fails_with("executable file not found in $PATH");
    let flags = [
        "exec",
        "--cwd",
        "/tmp",
        "--env",
        "A=b",
        "--user",
        "1000:1000",
        "c",
        "/bin/probe",
        "seq",
        "cwd",
        "--",
        "env",
        "--",
        "id",
    ];
    let out = sandbox.rt(flags).ok();
    for line in ["/tmp", "A=b", "uid=1000,1000,1000,1000 gid=1000,1000,1000,1000 groups= umask=0022"] {
        assert!(out.lines().contains(&line.to_owned()), "{line}: {}", out.report());
    }
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    bundle.exec(["/bin/true"]).expect(255).fails_with("cannot exec in a stopped container");
    bundle.delete().ok();
}

#[test]
fn exec_as_another_user_keeps_the_containers_groups() {
    let sandbox = sandbox!();
    let user = json!({ "uid": 1000, "gid": 1000, "additionalGids": [7] });
    let bundle = sandbox.bundle("c").set("/process/user", user).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let id = |user: &[&str]| {
        let words = ["exec"].iter().chain(user).chain(&["c", "/bin/probe", "id"]).copied().collect::<Vec<_>>();
        sandbox.rt(words).ok().stdout()
    };
    assert!(
        id(&["--user", "5"]).starts_with("uid=5,5,5,5 gid=1000,1000,1000,1000 groups=7"),
        "{}",
        id(&["--user", "5"])
    );
    let both = id(&["--user", "5:6", "--additional-gids", "8"]);
    assert!(both.starts_with("uid=5,5,5,5 gid=6,6,6,6 groups=7,8"), "{both}");
    bundle.delete_force().ok();
}
