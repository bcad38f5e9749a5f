//! The container's cgroup: where, with what in force, and gone afterwards. On a host whose second hierarchy has few
//! controllers (its own tests name what they need), limits without one must be clear errors.

use rt_integration::{Bundle, HostMount, Sandbox, Silent, sandbox, skip};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const TOP: &str = "/sys/fs/cgroup";

/// A directory of the hierarchy that the test made, removed with it.
struct Made(PathBuf);

impl Made {
    fn below(sandbox: &Sandbox, name: &str) -> Made {
        let dir = sandbox.cgroup_dir(name);
        fs::create_dir_all(&dir).expect("a cgroup");
        Made(dir)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.freeze"), "0");
        let _ = fs::remove_dir(&self.0);
    }
}

fn own_of(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("procfs");
    text.lines().find_map(|line| line.strip_prefix("0::")).expect("a line").to_owned()
}

fn running<'a>(bundle: Bundle<'a>) -> Bundle<'a> {
    let bundle = bundle.args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    bundle
}

#[test]
fn an_absolute_path_is_below_the_mount() {
    let sandbox = sandbox!();
    for path in ["/deep/er/c", "//deep//./x/../er/c/", "/../../deep/er/c"] {
        let path = path.replacen("deep", &format!("{}/deep", &sandbox.cgroup()[1..]), 1);
        let bundle = running(sandbox.bundle("c").set("/linux/cgroupsPath", path));
        assert_eq!(own_of(bundle.pid()), format!("{}/deep/er/c", sandbox.cgroup()));
        bundle.delete_force().ok();
        assert!(!sandbox.cgroup_dir("deep").exists(), "its parents were rt's own");
    }
}

#[test]
fn a_relative_path_and_none_are_beside_the_callers_own() {
    let sandbox = sandbox!();
    let own = own_of(std::process::id() as i32);
    let parent = Path::new(&own).parent().unwrap_or(Path::new("/")).to_owned();
    let name = format!("{}-relative", &sandbox.cgroup()[1..]);
    for (given, expected) in [(name.clone(), name.clone()), (format!("../../../{name}"), name.clone())] {
        let bundle = running(sandbox.bundle("c").set("/linux/cgroupsPath", given));
        let is = own_of(bundle.pid());
        bundle.delete_force().ok();
        assert_eq!(Path::new(&is), parent.join(&expected));
        assert!(!Path::new(&format!("{TOP}{is}")).exists());
    }
    let id = format!("{}-none", &sandbox.cgroup()[1..]);
    let bundle = sandbox.bundle(&id).edit(|spec| {
        spec["linux"].as_object_mut().expect("linux").remove("cgroupsPath");
    });
    let bundle = running(bundle);
    let is = own_of(bundle.pid());
    bundle.delete_force().ok();
    assert_eq!(Path::new(&is), parent.join(&id));
}

#[test]
fn the_root_cgroup_is_refused() {
    let sandbox = sandbox!();
    for path in ["/", "/..", "/a/.."] {
        sandbox.bundle("c").set("/linux/cgroupsPath", path).run().expect(1).fails_with("linux.cgroupsPath");
    }
}

#[test]
fn an_existing_empty_one_is_used_and_kept() {
    let sandbox = sandbox!();
    let made = Made::below(&sandbox, "c");
    let bundle = running(sandbox.bundle("c"));
    assert_eq!(own_of(bundle.pid()), format!("{}/c", sandbox.cgroup()));
    bundle.delete_force().ok();
    assert!(made.0.exists(), "what existed before survives");
    sandbox.bundle("c").run().ok();
    assert!(made.0.exists());
    let failing = sandbox.bundle("c").set("/process/args", json!(["nothing"]));
    failing.run().expect(1);
    assert!(made.0.exists());
}

#[test]
fn one_with_processes_is_refused() {
    let sandbox = sandbox!();
    let first = running(sandbox.bundle("first").set("/linux/cgroupsPath", format!("{}/shared", sandbox.cgroup())));
    let second = sandbox.bundle("second").set("/linux/cgroupsPath", format!("{}/shared", sandbox.cgroup()));
    second.create().expect(1).fails_with("container's cgroup is not empty: 1 process(es) found");
    assert_eq!(first.status(), "running");
    // Not in a cgroup below either.
    let below = format!("{}/shared/below", sandbox.cgroup());
    let third = sandbox.bundle("third").set("/linux/cgroupsPath", below);
    let out = third.run();
    first.delete_force().ok();
    out.ok();
}

#[test]
fn a_frozen_one_is_refused() {
    let sandbox = sandbox!();
    let made = Made::below(&sandbox, "c");
    fs::write(made.0.join("cgroup.freeze"), "1").expect("freeze");
    sandbox.bundle("c").run().expect(1).fails_with("container's cgroup unexpectedly frozen");
    assert!(made.0.exists());
}

#[test]
fn limits_without_their_controller() {
    let sandbox = sandbox!();
    for (controller, pointer, value) in [
        ("memory", "memory/limit", json!(1 << 26)),
        ("pids", "pids/limit", json!(50)),
        ("cpu", "cpu/shares", json!(512)),
        ("cpu", "cpu/quota", json!(50_000)),
        ("cpuset", "cpu/cpus", json!("0")),
        ("io", "blockIO/weight", json!(100)),
    ] {
        if sandbox.has_controller(controller) {
            continue;
        }
        let pointer = format!("/linux/resources/{pointer}");
        let out = sandbox.bundle("c").set(&pointer, value).run().expect(1).fails_with(controller);
        let field = pointer[1..].replace('/', ".");
        let named = field.rsplit_once('.').map_or(field.as_str(), |(field, _)| field);
        assert!(out.stderr().contains(named), "{pointer}: {}", out.report());
        assert!(out.stderr().contains("remove the limit"), "no remedy for {pointer}: {}", out.report());
        assert!(!sandbox.cgroup_dir("c").exists());
    }
}

#[test]
fn limits_that_are_none() {
    let sandbox = sandbox!();
    // What engines write for "no limit".
    let resources = json!({
        "memory": { "limit": -1, "swap": -1, "reservation": 0, "disableOOMKiller": false },
        "cpu": { "shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "", "realtimeRuntime": 0 },
        "pids": { "limit": -1 },
        "blockIO": { "weight": 0 },
        "hugepageLimits": [],
        "devices": [{ "allow": false, "access": "rwm" }]
    });
    let out = sandbox.bundle("c").set("/linux/resources", resources).run();
    assert!(out.status.success() || out.stderr().contains("controller"), "{}", out.report());
    if !out.status.success() {
        skip!("neutral limits: {}", out.stderr().trim_end());
    }
}

#[test]
fn a_hugetlb_limit_in_force() {
    let sandbox = sandbox!();
    if !sandbox.has_controller("hugetlb") || !Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        skip!("no hugetlb controller, or no pages of 2 MB");
    }
    let limits = json!([{ "pageSize": "2MB", "limit": 4 << 20 }]);
    let bundle = running(sandbox.bundle("c").set("/linux/resources/hugepageLimits", limits));
    let read = |file: &str| fs::read_to_string(sandbox.cgroup_dir("c").join(file)).expect("a file of the cgroup");
    assert_eq!(read("hugetlb.2MB.max"), "4194304\n");
    assert_eq!(read("hugetlb.2MB.rsvd.max"), "4194304\n");
    bundle.delete_force().ok();
    let wrong = json!([{ "pageSize": "3MB", "limit": 1 }]);
    sandbox.bundle("c").set("/linux/resources/hugepageLimits", wrong).run().expect(1).fails_with("3MB");
}

#[test]
fn unified_files() {
    let sandbox = sandbox!();
    let unified = |value: Value| sandbox.bundle("c").set("/linux/resources/unified", value);
    let bundle = running(unified(json!({ "cgroup.max.depth": "3", "cgroup.max.descendants": "7" })));
    let read = |file: &str| fs::read_to_string(sandbox.cgroup_dir("c").join(file)).expect("a file of the cgroup");
    assert_eq!((read("cgroup.max.depth"), read("cgroup.max.descendants")), ("3\n".into(), "7\n".into()));
    bundle.delete_force().ok();
    unified(json!({ "cgroup.max.depth": "many" })).run().expect(1).fails_with("cgroup.max.depth");
    unified(json!({ "cgroup.nonsense": "1" })).run().expect(1).fails_with("cgroup.nonsense");
    unified(json!({ "nothing.max": "1" })).run().expect(1).fails_with("nothing");
    for evil in ["../cgroup.procs", "a/b", "..", ""] {
        unified(json!({ evil: "1" })).run().expect(1).fails_with("unified");
    }
    if !sandbox.has_controller("memory") {
        unified(json!({ "memory.high": "1000000" })).run().expect(1).fails_with("memory");
    }
}

#[test]
fn managers() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["cat", "/proc/self/cgroup"]).without_namespace("cgroup");
    bundle.write();
    let with = |flags: &[&str]| {
        let mut call = sandbox.command(flags);
        call.args(["run", "--bundle"]).arg(&bundle.dir).arg("c");
        sandbox.finish(call)
    };
    let own = own_of(std::process::id() as i32);
    let out = with(&["--cgroup-manager", "disabled"]).ok();
    assert!(out.lines().contains(&format!("0::{own}")), "{}", out.report());
    let limited = sandbox.bundle("limited").set("/linux/resources/pids/limit", 5);
    limited.write();
    let mut call = sandbox.command(["--cgroup-manager", "disabled", "run", "--bundle"]);
    call.arg(&limited.dir).arg("limited");
    let out = sandbox.finish(call).ok();
    assert!(out.stderr().contains("linux.resources.pids.limit: has no effect"), "{}", out.report());
    for flags in [&["--systemd-cgroup"][..], &["--cgroup-manager", "systemd"]] {
        // What it is to be told, systemd.rs tests where there is a systemd.
        with(flags).expect(1).fails_with("expected cgroupsPath to be of format \"slice:prefix:name\"");
    }
    with(&["--cgroup-manager=cgroupfs"]).ok();
    with(&["--cgroup-manager=nonsense"]).expect(1);
}

#[test]
fn pause_and_resume() {
    let sandbox = sandbox!();
    let bundle = running(sandbox.bundle("c"));
    sandbox.rt(["resume", "c"]).expect(1).fails_with("container not paused");
    sandbox.rt(["pause", "c"]).ok();
    assert_eq!(bundle.status(), "paused");
    sandbox.rt(["pause", "c"]).expect(1).fails_with("container paused");
    bundle
        .exec(["/bin/true"])
        .expect(255)
        .fails_with("cannot exec in a paused container (use --ignore-paused to override)");
    bundle.start().expect(1).fails_with("cannot start");
    bundle.delete().expect(1).fails_with("is not stopped: paused");
    // Born frozen: it answers once the container is thawed.
    let exec = sandbox.spawn(sandbox.command(["exec", "--ignore-paused", "c", "/bin/probe", "echo", "thawed"]));
    sandbox.rt(["resume", "c"]).ok();
    assert_eq!(exec.wait().ok().stdout(), "thawed\n");
    assert_eq!(bundle.status(), "running");
    sandbox.rt(["pause", "c"]).ok();
    let list = sandbox.rt(["list", "--format", "json"]).ok().stdout();
    assert!(list.contains("\"paused\""), "{list}");
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    assert_eq!(bundle.status(), "stopped");
    sandbox.rt(["pause", "c"]).expect(1).fails_with("container not running");
    sandbox.rt(["resume", "c"]).expect(1).fails_with("container not running");
    bundle.delete().ok();
}

/// Nothing stays half frozen, and whoever held it up is named.
#[test]
fn a_pause_that_fails() {
    let sandbox = match Sandbox::shared() {
        Ok(sandbox) => sandbox,
        Err(why) => skip!("{why}"),
    };
    let share = sandbox.dir().join("share");
    let _share = HostMount::tmpfs(&share, 0, "mode=755").propagation(libc::MS_SHARED);
    fs::create_dir(share.join("silent")).expect("a directory");
    let bundle = sandbox.bundle("c").mount("/mnt", "bind", share.to_str().expect("UTF-8"), &["rbind", "rslave"]);
    let bundle = running(bundle);
    // Only now: rt itself would wait for an answer.
    let Ok(silent) = Silent::mount(share.join("silent")) else { skip!("no FUSE") };
    let exec = sandbox.spawn(sandbox.command(["exec", "c", "/bin/probe", "cat", "/mnt/silent/file"]));
    let pids = || fs::read_to_string(sandbox.cgroup_dir("c").join("cgroup.procs")).unwrap_or_default();
    let waits = |pid: &&str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.starts_with(&format!("{pid} (probe) D"))
    };
    let until = std::time::Instant::now() + rt_integration::time_limit();
    let waiting = loop {
        if let Some(pid) = pids().lines().find(waits) {
            break pid.to_owned();
        }
        assert!(std::time::Instant::now() < until, "nobody waits: {}", pids());
        std::thread::yield_now();
    };
    let out = sandbox.rt(["pause", "c"]).expect(1).fails_with("cannot freeze all processes of cgroup");
    let named = format!("still running: {waiting} (probe); it was thawed again");
    assert!(out.stderr().contains(&named), "{}", out.report());
    let freeze = fs::read_to_string(sandbox.cgroup_dir("c").join("cgroup.freeze")).expect("cgroup.freeze");
    assert_eq!((freeze.as_str(), bundle.status().as_str()), ("0\n", "running"));
    bundle.exec(["/bin/true"]).ok();
    // Without its server it is told that the connection is gone.
    drop(silent);
    exec.wait().expect(1);
    sandbox.rt(["pause", "c"]).ok();
    bundle.delete_force().ok();
}

#[test]
fn delete_force_of_a_paused_container() {
    let sandbox = sandbox!();
    for private in [true, false] {
        let bundle = sandbox.bundle("c").args(["fork-tree", "2", "2"]);
        let bundle = if private { bundle } else { bundle.without_namespace("pid") };
        bundle.run_with(&["--detach"]).ok().wait_stdout("ready 6");
        sandbox.rt(["pause", "c"]).ok();
        bundle.delete_force().ok();
        assert!(!sandbox.cgroup_dir("c").exists());
    }
}

#[test]
fn pause_of_a_created_container() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["true"]);
    bundle.create().ok();
    sandbox.rt(["pause", "c"]).ok();
    assert_eq!(bundle.status(), "paused");
    bundle.start().expect(1).fails_with("cannot start a container in the paused state");
    sandbox.rt(["resume", "c"]).ok();
    assert_eq!(bundle.status(), "created");
    bundle.start().ok();
    bundle.wait_stopped();
    bundle.delete().ok();
}

#[test]
fn a_frozen_cgroup_above() {
    let sandbox = sandbox!();
    let above = Made::below(&sandbox, "above");
    let inside = |id: &str| sandbox.bundle(id).set("/linux/cgroupsPath", format!("{}/above/{id}", sandbox.cgroup()));
    let running = running(inside("running"));
    let created = inside("created").args(["true"]);
    created.create().ok();
    fs::write(above.0.join("cgroup.freeze"), "1").expect("freeze");
    let name = format!("cgroup {} above it is frozen", above.0.display());
    // The kernel needs a moment to stop them all, and inotify(7) sees it change the file.
    rt_integration::wait_text(&above.0.join("cgroup.events"), "frozen 1");
    assert_eq!((running.status(), created.status()), ("paused".into(), "paused".into()));
    running.exec(["/bin/true"]).expect(255).fails_with(&name);
    created.start().expect(1).fails_with(&name);
    sandbox.rt(["resume", "running"]).expect(1).fails_with("container not paused");
    sandbox.rt(["pause", "running"]).expect(1).fails_with("container paused");
    fs::write(above.0.join("cgroup.freeze"), "0").expect("thaw");
    running.exec(["/bin/true"]).ok();
    created.start().ok();
    created.wait_stopped();
    created.delete().ok();
    running.delete_force().ok();
}

/// Nobody could ever begin there.
#[test]
fn a_new_one_below_a_frozen_one() {
    let sandbox = sandbox!();
    let above = Made::below(&sandbox, "above");
    fs::write(above.0.join("cgroup.freeze"), "1").expect("freeze");
    let words = format!("container's cgroup unexpectedly frozen: cgroup {} above it is", above.0.display());
    let bundle =
        |id: &str| sandbox.bundle(id).set("/linux/cgroupsPath", format!("{}/above/new/{id}", sandbox.cgroup()));
    bundle("c").create().expect(1).fails_with(&words);
    bundle("c").run().expect(1).fails_with(&words);
    // With a joiner between.
    let offsets = json!({ "boottime": { "secs": 7 } });
    let shifted = bundle("c").namespace("time", None).set("/linux/timeOffsets", offsets);
    shifted.create().expect(1).fails_with(&words);
    assert!(!above.0.join("new").exists() && !sandbox.state_dir().join("c").exists());
    // Silence alone is no reason.
    fs::write(above.0.join("cgroup.freeze"), "0").expect("thaw");
    let hook = json!([{ "path": "/bin/sleep", "args": ["sleep", "1.5"] }]);
    bundle("c").set("/hooks/startContainer", hook).run().ok();
}

#[test]
fn kill_reaches_all_without_a_pid_namespace() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").without_namespace("pid").args(["fork-tree", "3", "2"]);
    bundle.run_with(&["--detach"]).ok().wait_stdout("ready 12");
    bundle.exec(["/bin/probe", "orphan"]).ok();
    let procs =
        || fs::read_to_string(sandbox.cgroup_dir("c").join("cgroup.procs")).expect("the cgroup").lines().count();
    assert_eq!(procs(), 14);
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    bundle.delete().ok();
}

#[test]
fn what_the_container_makes_below_is_removed() {
    let sandbox = sandbox!();
    let bundle =
        sandbox.bundle("c").edit(|spec| spec["mounts"][6]["options"] = json!(["nosuid", "noexec", "nodev", "rw"]));
    let steps = "seq try mkdirat -100 /sys/fs/cgroup/a 0755 -- try mkdirat -100 /sys/fs/cgroup/a/b 0755 \
        -- try mkdirat -100 /sys/fs/cgroup/c 0755 -- write /sys/fs/cgroup/a/b/cgroup.procs 0 -- pause";
    let bundle = bundle.args(steps.split_whitespace());
    let out = bundle.run_with(&["--detach"]).ok();
    out.wait_stdout("ok\nok\nok\n");
    bundle.delete_force().ok();
    assert!(!sandbox.cgroup_dir("c").exists());
    // And so when it ended by itself.
    let steps = "seq try mkdirat -100 /sys/fs/cgroup/a 0755 -- try mkdirat -100 /sys/fs/cgroup/a/b 0755";
    bundle.args(steps.split_whitespace()).run().ok();
    assert!(!sandbox.cgroup_dir("c").exists());
}

#[test]
fn exec_when_init_has_moved_below() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").edit(|spec| spec["mounts"][6]["options"] = json!(["rw"]));
    let steps = "seq try mkdirat -100 /sys/fs/cgroup/init 0755 -- write /sys/fs/cgroup/init/cgroup.procs 0 -- echo moved -- pause";
    let bundle = bundle.args(steps.split_whitespace());
    bundle.run_with(&["--detach"]).ok().wait_stdout("moved");
    bundle.exec(["/bin/true"]).ok();
    let out = sandbox.rt(["exec", "--cgroup", "init", "c", "/bin/probe", "cat", "/proc/self/cgroup"]).ok();
    assert!(out.stdout().contains("0::/init"), "{}", out.report());
    for evil in ["..", "../..", "init/../..", "missing", "/../x"] {
        sandbox.rt(["exec", "--cgroup", evil, "c", "/bin/true"]).expect(255).fails_with("--cgroup");
    }
    bundle.delete_force().ok();
}

#[test]
fn a_failed_create_leaves_no_cgroup() {
    let sandbox = sandbox!();
    let path = format!("{}/new/parent/c", sandbox.cgroup());
    for (pointer, value) in [
        ("/process/args", json!(["nothing"])),
        ("/mounts/-", json!({ "destination": "/x", "type": "nothingfs", "source": "x" })),
        ("/linux/resources/unified", json!({ "cgroup.max.depth": "many" })),
        ("/hooks", json!({ "createRuntime": [{ "path": "/bin/false" }] })),
    ] {
        sandbox.bundle("c").set("/linux/cgroupsPath", path.as_str()).set(pointer, value).create().expect(1);
        assert!(!sandbox.cgroup_dir("new").exists(), "{pointer}");
        assert!(!sandbox.state_dir().join("c").exists(), "{pointer}");
    }
}
