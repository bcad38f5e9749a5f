//! Words of `exec` that mean more than they should, and containers that lie in wait for it.

use super::victim::{Victim, fails, harms};
use rt_integration::{Canary, Sandbox, sandbox};
use serde_json::json;
use std::fs;

/// `--user`, and the ids that it stands for; none where it is no user.
const USERS: &[(&str, Option<(u32, u32)>)] = &[
    ("1", Some((1, 0))),
    ("1000", Some((1000, 0))),
    ("1:2", Some((1, 2))),
    ("4294967294", Some((4_294_967_294, 0))),
    ("", None),
    ("1:", None),
    (":1", None),
    ("0x1", None),
    ("-1", None),
    ("+1", None),
    (" 1", None),
    ("1 ", None),
    ("1:2:3", None),
    ("4294967295", None),
    ("4294967296", None),
    ("18446744073709551616", None),
    ("99999999999999999999999999", None),
    ("root", None),
    ("1000x", None),
    ("1e3", None),
];

/// CVE-2016-3697: an image whose user of the *name* 1000 is root. CVE-2026-30892: half a number that becomes 0.
fn users(sandbox: &Sandbox, victim: Victim) -> Result<(), String> {
    let passwd = "1000:x:0:0::/evil:/bin/true\n0x1:x:0:0::/:\nroot:x:0:0::/root:\n";
    let bundle = sandbox.bundle("c").plant("/etc/passwd", passwd).plant("/etc/group", "1000:x:0:\n").args(["pause"]);
    victim.run(sandbox, bundle, &["--detach"]).ok();
    let mut harm = Vec::new();
    for (user, ids) in USERS {
        let out = victim.exec(sandbox, &["--user", user], "id");
        let right = match ids {
            Some((uid, gid)) => {
                out.stdout().starts_with(&format!("uid={uid},{uid},{uid},{uid} gid={gid},{gid},{gid},{gid} "))
            }
            None => out.stdout().is_empty() && out.code() != 0,
        };
        if !right {
            harm.push(format!("--user {user:?} is {:?}", out.stdout().trim_end()));
        }
    }
    victim.delete(sandbox);
    if harm.is_empty() { Ok(()) } else { Err(harm.join(", ")) }
}

#[test]
fn a_user_is_who_it_says() {
    fails(users);
}

#[test]
fn a_user_is_root_for_others() {
    harms("runc", [9, 0, 0], users);
    harms("crun", [1, 29, 0], users);
}

/// `--cgroup` is a way below the container's own, never out of it.
fn cgroup_upwards(sandbox: &Sandbox, victim: Victim) -> Result<(), String> {
    let bundle = sandbox.bundle("c").args(["pause"]);
    let beside = sandbox.cgroup_dir("beside");
    fs::create_dir(&beside).expect("a cgroup");
    victim.run(sandbox, bundle, &["--detach"]).ok();
    let mut harm = Vec::new();
    for path in ["..", "../..", "../beside", "a/../../beside", "/..", "/../../", ":..", "x:../beside", "./../.."] {
        let out = victim.exec(sandbox, &["--cgroup", path], "cat /proc/self/cgroup");
        if let Some(line) = out.stdout().lines().find(|line| line.starts_with("0::") && *line != "0::/") {
            harm.push(format!("--cgroup {path} is in {line}"));
        }
    }
    victim.delete(sandbox);
    fs::remove_dir(&beside).expect("an empty cgroup");
    if harm.is_empty() { Ok(()) } else { Err(harm.join(", ")) }
}

#[test]
fn a_cgroup_of_exec_stays_below_the_containers() {
    fails(cgroup_upwards);
}

#[test]
fn a_cgroup_of_exec_leads_out_of_others() {
    harms("crun", [1, 29, 0], cgroup_upwards);
}

/// A container that has laid a procfs of its own making over /proc: what joins it must not write there what is the
/// kernel's, nor run what lies there.
fn joined_with_a_false_proc(sandbox: &Sandbox, join: impl Fn(&Sandbox, i32) -> String) -> (String, String) {
    let canary = Canary::new(sandbox);
    let admin = json!(["CAP_SYS_ADMIN", "CAP_KILL"]);
    let bundle = sandbox.bundle("c").set("/root/readonly", false).edit(|spec| {
        spec["process"]["capabilities"] = json!({ "bounding": admin, "permitted": admin, "effective": admin });
    });
    let files = ["comm", "oom_score_adj", "setgroups", "uid_map", "timens_offsets", "attr/exec", "attr/apparmor/exec"];
    let mut bundle = bundle.plant("/lie/self/exe", "#!/bin/probe echo hijacked\n");
    for of in ["self", "thread-self", "1"] {
        for file in files {
            bundle = bundle.plant(&format!("/lie/{of}/{file}"), "");
        }
    }
    // Over the procfs that it was started with.
    let steps = "seq try mount /lie /proc none 0x1000 0 -- echo ready -- pause";
    let bundle = bundle.args(steps.split(' ')).set("/process/oomScoreAdj", 100);
    let out = bundle.run_with(&["--detach"]).ok();
    out.wait_stdout("ready");
    assert!(out.stdout().starts_with("ok\n"), "{}", out.report());
    let told = join(sandbox, bundle.pid());
    let paths = ["self", "thread-self", "1"].into_iter().flat_map(|of| files.map(|file| format!("lie/{of}/{file}")));
    let written = paths.filter(|path| !fs::read(bundle.rootfs().join(path)).expect("a file").is_empty());
    let written: Vec<_> = written.collect();
    bundle.delete_force().ok();
    canary.is_unchanged(|| told.clone());
    (told, written.join(" "))
}

#[test]
fn a_container_with_a_false_proc() {
    let sandbox = sandbox!();
    let (told, written) = joined_with_a_false_proc(&sandbox, |sandbox, pid| {
        let out = sandbox.rt(["exec", "--user", "7:8", "c", "/bin/probe", "seq", "ret", "getuid", "--", "cwd"]).ok();
        let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("procfs");
        assert_eq!(score, "100\n");
        out.stdout()
    });
    assert!(told == "7\n/\n", "{told}");
    assert_eq!(written, "", "written into the container's false /proc");
}

/// The same container, joined by one that trusts the /proc it finds there.
#[test]
fn a_container_with_a_false_proc_fools_another() {
    let sandbox = sandbox!();
    let (_, written) = joined_with_a_false_proc(&sandbox, |_, pid| {
        let mut careless = std::process::Command::new(rt_integration::probe_bin());
        let out = careless.args(["join", &pid.to_string(), "/bin/probe", "true"]).output().expect("the probe");
        String::from_utf8_lossy(&out.stderr).into_owned()
    });
    assert_eq!(written, "lie/self/comm");
}

/// What a container's own environment and files say to a dynamic linker, and to whoever looks for a program, is nothing to
/// rt. `given`: a hook is configured with the same environment. What the hooks have seen.
fn words_of_the_container(given: bool) -> Option<String> {
    let sandbox = Sandbox::new().map_err(|why| rt_integration::report_skip(&why)).ok()?;
    let canary = Canary::new(&sandbox);
    let evil = format!("#!/bin/sh\necho hijacked > {}\n", canary.dir.join("file").display());
    let mut bundle = sandbox.bundle("c").plant("/etc/ld.so.preload", "/evil/lib.so\n").plant("/evil/lib.so", "");
    for name in ["newuidmap", "newgidmap", "rt", "sh", "env", "probe"] {
        bundle = bundle.plant(&format!("/evil/{name}"), &evil);
        let path = bundle.rootfs().join(format!("evil/{name}"));
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    }
    let path = format!("PATH=/evil:{}", bundle.rootfs().join("evil").display());
    let env = json!([path, "LD_PRELOAD=/evil/lib.so", "LD_LIBRARY_PATH=/evil", "HOME=/"]);
    let seen = sandbox.dir().join("hook-env");
    let look = format!("/usr/bin/env >> {}", seen.display());
    let mut hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", look] });
    if given {
        hook["env"] = json!(["LD_LIBRARY_PATH=/evil"]);
    }
    bundle = bundle.set("/process/env", env).set("/hooks/createContainer/-", hook.clone());
    let bundle = bundle.set("/hooks/prestart/-", hook.clone()).set("/hooks/poststop/-", hook).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let out = sandbox.rt(["exec", "--env", "LD_AUDIT=/evil/lib.so", "c", "/bin/probe", "env"]).ok();
    assert!(out.stdout().contains("LD_PRELOAD=/evil/lib.so\n"), "{}", out.report());
    bundle.delete_force().ok();
    canary.is_unchanged(|| out.report());
    Some(fs::read_to_string(seen).expect("what the hooks saw"))
}

#[test]
fn words_of_the_container_are_its_own() {
    let Some(seen) = words_of_the_container(false) else { return };
    assert_eq!(seen.matches("PWD=").count(), 3, "{seen}");
    assert!(!seen.contains("LD_") && !seen.contains("evil") && !seen.contains("HOME="), "{seen}");
}

#[test]
fn words_of_the_container_are_seen_where_they_are() {
    let Some(seen) = words_of_the_container(true) else { return };
    assert_eq!(seen.matches("LD_LIBRARY_PATH=/evil").count(), 3, "{seen}");
}
