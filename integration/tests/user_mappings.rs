//! User namespaces: ids as seen from inside and from outside, and containers of users without privilege.

use rt_integration::{Bundle, Sandbox, sandbox, skip};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn map(inside: u32, outside: u32, size: u32) -> Value {
    json!({ "containerID": inside, "hostID": outside, "size": size })
}

fn mapped<'a>(bundle: Bundle<'a>, uids: Value, gids: Value) -> Bundle<'a> {
    bundle.namespace("user", None).set("/linux/uidMappings", uids).set("/linux/gidMappings", gids)
}

/// A directory of the host that anybody may write to, bound to /mnt.
fn with_volume<'a>(sandbox: &'a Sandbox, bundle: Bundle<'a>) -> (Bundle<'a>, std::path::PathBuf) {
    let dir = sandbox.dir().join("volume");
    fs::create_dir_all(&dir).expect("a directory");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("chmod");
    (bundle.mount("/mnt", "none", dir.to_str().expect("UTF-8"), &["rbind"]), dir)
}

#[test]
fn files_have_the_mapped_owner_outside() {
    let sandbox = sandbox!();
    let uids = json!([map(0, 100_000, 10), map(1000, 300_000, 5), map(10, 200_000, 7)]);
    let gids = json!([map(0, 400_000, 6), map(1000, 500_000, 1)]);
    for (uid, gid, outside) in
        [(0, 0, (100_000, 400_000)), (1003, 2, (300_003, 400_002)), (16, 1000, (200_006, 500_000))]
    {
        let bundle = mapped(sandbox.bundle("c"), uids.clone(), gids.clone());
        let (bundle, dir) = with_volume(&sandbox, bundle);
        let bundle = bundle.set("/process/user", json!({ "uid": uid, "gid": gid }));
        bundle.args(["write", "/mnt/file", ""]).run().ok();
        let file = dir.join("file");
        let meta = fs::metadata(&file).expect("the file");
        assert_eq!((meta.uid(), meta.gid()), outside);
        fs::remove_file(file).expect("the file");
    }
}

#[test]
fn the_rootfs_belongs_to_nobody_known() {
    let sandbox = sandbox!();
    let maps = json!([map(0, 100_000, 1000)]);
    let bundle = mapped(sandbox.bundle("c"), maps.clone(), maps);
    let out = bundle.args(["owner", "/etc/passwd", "/proc/self", "/tmp"]).run().ok();
    assert_eq!(out.lines(), ["65534 65534 0644", "0 0 0555", "65534 65534 1777"]);
}

#[test]
fn ids_that_are_not_mapped() {
    let sandbox = sandbox!();
    let maps = json!([map(0, 100_000, 100)]);
    let run = |user: Value| {
        mapped(sandbox.bundle("c"), maps.clone(), maps.clone()).set("/process/user", user).args(["id"]).run()
    };
    run(json!({ "uid": 100, "gid": 0 })).expect(1).fails_with("process.user.uid: 100 is not mapped");
    run(json!({ "uid": 0, "gid": 100 })).expect(1).fails_with("process.user.gid: 100 is not mapped");
    let user = json!({ "uid": 0, "gid": 0, "additionalGids": [5, 100] });
    run(user).expect(1).fails_with("process.user.additionalGids: 100 is not mapped");
    let out = run(json!({ "uid": 99, "gid": 99, "additionalGids": [5, 98] })).ok();
    assert_eq!(out.stdout(), "uid=99,99,99,99 gid=99,99,99,99 groups=5,98 umask=0022\n");
}

#[test]
fn a_root_that_is_not_mapped() {
    let sandbox = sandbox!();
    let maps = json!([map(5, 100_000, 10)]);
    let bundle = mapped(sandbox.bundle("c"), maps.clone(), maps).set("/process/user", json!({ "uid": 5, "gid": 5 }));
    let out = bundle.args(["id"]).run();
    // Nobody but a mapped root can make files for the mounts; the error has to say so.
    out.expect(1).fails_with("linux.uidMappings");
}

#[test]
fn mappings_that_the_kernel_would_not_take() {
    let sandbox = sandbox!();
    let many: Vec<_> = (0..250).map(|at| map(at, 100_000 + 2 * at, 1)).collect();
    mapped(sandbox.bundle("most"), json!(many), json!(many)).run().ok();
    let run = |maps: Value| mapped(sandbox.bundle("c"), maps.clone(), maps).run().expect(1);
    let page: Vec<_> = (0..340).map(|at| map(at, 100_000 + 2 * at, 1)).collect();
    run(json!(page)).fails_with("merge neighbours");
    let few = json!([map(0, 100_000, 3)]);
    run(few).fails_with("the id must be mapped");
    let more: Vec<_> = (0..341).map(|at| map(at * 2, 100_000 + at * 2, 1)).collect();
    run(json!(more)).fails_with("at most 340");
    // CVE-2021-43784: 70 kB of mappings are an error like any other, and nothing of them leaks into other fields.
    let huge: Vec<_> = (0..3500).map(|at| map(at, 100_000 + at, 1)).collect();
    run(json!(huge)).fails_with("at most 340");
    run(json!([map(0, 0, 0)])).fails_with("Mappings");
    run(json!([map(0, 0, 10), map(5, 100, 10)])).fails_with("overlaps");
    run(json!([map(0, 100, 10), map(50, 105, 10)])).fails_with("overlaps");
    run(json!([map(0, u32::MAX, 2)])).fails_with("past the last id");
    let half = sandbox.bundle("c").namespace("user", None).set("/linux/uidMappings", json!([map(0, 100_000, 1)]));
    half.run().expect(1).fails_with("gidMappings");
    let without = sandbox.bundle("c").set("/linux/uidMappings", json!([map(0, 100_000, 1)]));
    without.run().expect(1).fails_with("user");
    let long = "/proc/".to_owned() + &"x".repeat(1 << 16);
    sandbox.bundle("c").namespace("network", Some(&long)).run().expect(1).fails_with("network");
}

#[test]
fn capabilities_hold_inside_only() {
    let sandbox = sandbox!();
    let maps = json!([map(0, 100_000, 1000)]);
    let list = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_TIME", "CAP_MKNOD", "CAP_SETGID", "CAP_CHOWN"];
    let bundle = mapped(sandbox.bundle("c"), maps.clone(), maps);
    let bundle = bundle.set("/process/capabilities", json!({ "bounding": list, "permitted": list, "effective": list }));
    let steps = "seq try mount none /tmp tmpfs 0 0 -- try mknodat -100 /tmp/null 020666 0x103 \
        -- try clock_settime 0 @16 -- try setgroups 0 0";
    let out = bundle.args(steps.split_whitespace()).run().ok();
    assert_eq!(out.lines(), ["ok", "EPERM", "EPERM", "ok"], "{}", out.report());
}

fn as_user(sandbox: Sandbox) -> Sandbox {
    sandbox.as_user(12345)
}

#[test]
fn a_user_without_privilege_in_steps() {
    let sandbox = as_user(sandbox!());
    let bundle = sandbox.bundle("c").args(["trap", "TERM"]);
    let out = bundle.create().ok();
    assert_eq!(bundle.status(), "created");
    bundle.start().ok();
    out.wait_stdout("ready");
    assert_eq!(bundle.status(), "running");
    let pid = bundle.pid();
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok());
    let exec = bundle.exec(["/bin/probe", "seq", "id", "--", "cat", "/proc/self/uid_map"]).ok();
    assert!(exec.lines()[0].starts_with("uid=0,0,0,0 gid=0,0,0,0"), "{}", exec.report());
    bundle.exec(["/bin/probe", "exit", "9"]).expect(9);
    bundle.kill("TERM").ok();
    bundle.wait_stopped();
    assert_eq!(bundle.status(), "stopped");
    bundle.delete().ok();
    bundle.run_with(&["--detach"]).ok();
    bundle.delete_force().ok();
}

#[test]
fn a_user_without_privilege_may_not_set_groups() {
    let sandbox = as_user(sandbox!());
    // CVE-2014-8989: a group that denies would be lost.
    let out = sandbox.bundle("c").args("seq cat /proc/self/setgroups -- try setgroups 0 0".split(' ')).run().ok();
    assert_eq!(out.stdout(), "deny\nEPERM\n");
    let user = json!({ "uid": 0, "gid": 0, "additionalGids": [0] });
    sandbox.bundle("c").set("/process/user", user).run().expect(1).fails_with("additionalGids");
}

#[test]
fn a_user_without_privilege_and_limits() {
    let sandbox = as_user(sandbox!());
    // Device rules are what engines always send: they are left to the host.
    let rules = json!([{ "allow": false, "access": "rwm" }]);
    sandbox.bundle("c").set("/linux/resources/devices", rules).run().ok();
    // A limit that cannot be in force is an error, with the way out.
    let out = sandbox.bundle("c").set("/linux/resources/pids/limit", 50).run();
    assert!(out.stderr().contains("cgroup"), "{}", out.report());
    let out = out.expect(1);
    assert!(out.stderr().trim_end().ends_with(')') || out.stderr().contains(": "), "{}", out.report());
}

#[test]
fn a_user_without_privilege_and_without_a_user_namespace() {
    let sandbox = as_user(sandbox!());
    let bundle = sandbox.bundle("c").without_namespace("user").edit(|spec| {
        let linux = spec["linux"].as_object_mut().expect("linux");
        linux.retain(|key, _| !key.ends_with("Mappings"));
    });
    bundle.run().expect(1).fails_with("rootless containers require user namespaces");
    // Ids that are not the user's own take newuidmap and a line in /etc/subuid.
    let maps = json!([map(0, 12345, 1), map(1, 100_000, 10)]);
    let out = mapped(sandbox.bundle("c"), maps.clone(), maps).run().expect(1);
    assert!(out.stderr().contains("idmap") || out.stderr().contains("subuid"), "{}", out.report());
}

#[test]
fn the_state_of_one_user_is_closed_to_others() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.create().ok();
    let dir = sandbox.state_dir().join("c");
    assert_eq!(fs::metadata(&dir).expect("the directory").mode() & 0o7777, 0o711);
    for entry in fs::read_dir(&dir).expect("the directory").flatten() {
        let mode = entry.metadata().expect("a file").mode() & 0o7777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
    }
    bundle.delete_force().ok();
}

/// As an engine's storage of a mapped root: nobody but an id of the container, and the caller's privilege, may enter.
/// Init has neither before its maps are written.
#[test]
fn a_rootfs_in_a_directory_of_the_containers_root() {
    let sandbox = sandbox!();
    let ids = json!([map(0, 100_000, 10)]);
    let bundle = mapped(sandbox.bundle("c"), ids.clone(), ids).args(["true"]);
    std::os::unix::fs::chown(&bundle.dir, Some(100_000), Some(100_000)).expect("chown");
    fs::set_permissions(&bundle.dir, fs::Permissions::from_mode(0o700)).expect("chmod");
    for _ in 0..20 {
        bundle.run().ok();
    }
}

/// From inside a user namespace no hard limit can be raised: rt does it before.
#[test]
fn a_hard_limit_above_the_callers() {
    let sandbox = sandbox!();
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("a line");
    if u64::from_str_radix(effective, 16).expect("hex") & 1 << 24 == 0 {
        skip!("this root has no CAP_SYS_RESOURCE");
    }
    let maps = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let limit = json!([{ "type": "RLIMIT_SIGPENDING", "soft": 1 << 30, "hard": 1 << 30 }]);
    let with = |id| mapped(sandbox.bundle(id), maps.clone(), maps.clone()).set("/process/rlimits", limit.clone());
    let raised = "RLIMIT_SIGPENDING 1073741824 1073741824\n";
    let out = with("c").args(["limits"]).run().ok();
    assert!(out.stdout().contains(raised), "{}", out.report());
    let bundle = with("e").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let out = bundle.exec(["/bin/probe", "limits"]).ok();
    assert!(out.stdout().contains(raised), "{}", out.report());
    bundle.delete_force().ok();
}
