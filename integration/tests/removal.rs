//! `delete` leaves no cgroup, whatever lives in it, and touches no process that is not the container's.

use rt_integration::{Bundle, Sandbox, both, sandbox};
use serde_json::{Value, json};
use std::fs;
use std::process::{Child, Command};

/// A process of the host's, in this cgroup of the container's.
struct Stranger(Child);

impl Stranger {
    fn in_cgroup(sandbox: &Sandbox, cgroup: &str) -> Stranger {
        let child = Command::new("sleep").arg("1000").spawn().expect("sleep");
        fs::write(sandbox.cgroup_dir(cgroup).join("cgroup.procs"), child.id().to_string()).expect("cgroup.procs");
        Stranger(child)
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().expect("wait").is_none()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A container that may make cgroups below its own.
fn delegated<'a>(sandbox: &'a Sandbox, id: &str) -> Bundle<'a> {
    sandbox.bundle(id).edit(|spec| spec["mounts"][6]["options"] = json!(["rw", "nosuid", "noexec", "nodev"]))
}

/// With a pid namespace of its own and without; `steps` are the probe's, the last text they print is `ready`.
fn is_removed(sandbox: &Sandbox, bundle: fn(&Sandbox) -> Bundle<'_>, steps: &str, ready: &str) {
    for own_pids in [true, false] {
        let bundle = bundle(sandbox).args(steps.split_whitespace());
        let bundle = if own_pids { bundle } else { bundle.without_namespace("pid") };
        bundle.run_with(&["--detach"]).ok().wait_stdout(ready);
        bundle.delete_force().ok();
        assert!(!sandbox.cgroup_dir("c").exists(), "{steps}");
    }
}

#[test]
fn a_fork_bomb() {
    fn bomb(sandbox: &Sandbox) -> Bundle<'_> {
        // A user of its own, so that the limit counts nobody else.
        let limit = json!([{ "type": "RLIMIT_NPROC", "soft": 60, "hard": 60 }]);
        sandbox.bundle("c").set("/process/user", json!({ "uid": 54_321, "gid": 1 })).set("/process/rlimits", limit)
    }
    is_removed(&sandbox!(), bomb, "fork-bomb", "lit");
}

#[test]
fn nested_cgroups_with_processes() {
    let steps = "seq try mkdirat -100 /sys/fs/cgroup/a 0755 -- try mkdirat -100 /sys/fs/cgroup/a/b 0755 \
        -- write /sys/fs/cgroup/a/b/cgroup.procs 0 -- fork-tree 3 2";
    is_removed(&sandbox!(), |sandbox| delegated(sandbox, "c"), steps, "ready 12");
}

/// Frozen from inside, from outside, and at both levels.
#[test]
fn frozen_ones() {
    let sandbox = sandbox!();
    let steps = "seq try mkdirat -100 /sys/fs/cgroup/a 0755 -- write /sys/fs/cgroup/a/cgroup.procs 0 -- fork-tree 2 1";
    for frozen in [&["c"][..], &["c/a"], &["c", "c/a"]] {
        for own_pids in [true, false] {
            let bundle = delegated(&sandbox, "c").args(steps.split(' '));
            let bundle = if own_pids { bundle } else { bundle.without_namespace("pid") };
            bundle.run_with(&["--detach"]).ok().wait_stdout("ready 2");
            for name in frozen {
                fs::write(sandbox.cgroup_dir(name).join("cgroup.freeze"), "1").expect("cgroup.freeze");
            }
            bundle.delete_force().ok();
            assert!(!sandbox.cgroup_dir("c").exists(), "{frozen:?}");
        }
    }
}

#[test]
fn a_parent_of_zombies() {
    is_removed(&sandbox!(), |sandbox| sandbox.bundle("c"), "seq zombies 5 -- echo ready -- pause", "ready");
}

/// Whoever has come into the container's cgroup is named, lives on, and is all that keeps the cgroup.
#[test]
fn one_that_somebody_else_entered() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let mut stranger = Stranger::in_cgroup(&sandbox, "c");
    let out = bundle.delete_force().expect(1).fails_with(&format!("processes: {} (sleep)", stranger.0.id()));
    assert!(stranger.lives(), "{}", out.report());
    assert_eq!(bundle.status(), "stopped");
    drop(stranger);
    bundle.delete().ok();
    assert!(!sandbox.cgroup_dir("c").exists());
}

#[test]
fn one_that_existed_before() {
    let sandbox = sandbox!();
    let dir = sandbox.cgroup_dir("c");
    fs::create_dir(&dir).expect("a cgroup");
    for (own_pids, steps) in [(true, "fork-tree 2 1"), (false, "seq echo ready 2 -- pause")] {
        let bundle = sandbox.bundle("c").args(steps.split(' '));
        let bundle = if own_pids { bundle } else { bundle.without_namespace("pid") };
        bundle.run_with(&["--detach"]).ok().wait_stdout("ready 2");
        let mut stranger = Stranger::in_cgroup(&sandbox, "c");
        let out = bundle.delete_force().ok();
        assert!(stranger.lives() && dir.exists(), "{}", out.report());
        let told = format!("processes in it are left alone: {} (sleep)", stranger.0.id());
        assert_eq!(out.stderr().contains(&told), !own_pids, "{}", out.report());
    }
    fs::remove_dir(&dir).expect("nobody is left");
}

/// The maker of `first` died before it made the cgroup, and `second` made it then.
#[test]
fn a_planned_one_that_another_made() {
    let sandbox = sandbox!();
    let first = sandbox.bundle("first").args(["pause"]);
    first.create().ok();
    let file = sandbox.state_dir().join("first/state.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&file).expect("the record")).expect("JSON");
    first.delete_force().ok();
    let second = sandbox.bundle("second").set("/linux/cgroupsPath", format!("{}/it", sandbox.cgroup()));
    let second = second.without_namespace("pid").args(["fork-tree", "2", "1"]);
    second.run_with(&["--detach"]).ok().wait_stdout("ready 2");
    let fields = record.as_object_mut().expect("an object");
    fields.retain(|name, _| name != "init" && name != "cgroup");
    fields.insert("cgroup_planned".into(), json!([sandbox.cgroup_dir("it")]));
    fs::create_dir(file.parent().expect("a parent")).expect("the state directory");
    fs::write(&file, record.to_string()).expect("the record");
    let out = first.delete_force().ok();
    assert!(out.stderr().contains("another's, and stays"), "{}", out.report());
    assert!(!file.exists());
    let procs = fs::read_to_string(sandbox.cgroup_dir("it").join("cgroup.procs")).expect("cgroup.procs");
    assert_eq!((second.status().as_str(), procs.lines().count()), ("running", 3));
    second.delete_force().ok();
}

/// Below a threaded cgroup one is born invalid: it becomes threaded, too, which rules out the controllers of domains.
#[test]
fn a_threaded_parent() {
    let sandbox = sandbox!();
    let threaded = sandbox.cgroup_dir("threaded");
    fs::create_dir(&threaded).expect("a cgroup");
    fs::write(threaded.join("cgroup.type"), "threaded").expect("cgroup.type");
    let bundle = || sandbox.bundle("c").set("/linux/cgroupsPath", format!("{}/threaded/c", sandbox.cgroup()));
    if sandbox.has_controller("cpu") {
        bundle().run().ok();
        let limited = bundle().set("/linux/resources/memory/limit", 1 << 26);
        limited.run().expect(1).fails_with("linux.resources.memory.limit: cgroup /");
    } else {
        bundle().run().expect(1).fails_with("is of type \"domain invalid\" and cannot take a process");
    }
    assert!(!threaded.join("c").exists());
    fs::remove_dir(&threaded).expect("nobody is left");
}

/// config-linux.md, "Cgroup Ownership".
#[test]
fn the_owner_of_a_delegated_one() {
    both(|sandbox| {
        let owners = |id: &str, bundle: Bundle<'_>| -> Vec<(String, u32)> {
            use std::os::unix::fs::MetadataExt;
            let bundle = bundle.args(["pause"]);
            bundle.run_with(&["--detach"]).ok();
            let dir = sandbox.cgroup_dir(id);
            let entries = fs::read_dir(&dir).expect("the cgroup").flatten().map(|entry| entry.path());
            let all = entries.chain([dir.clone()]).map(|path| {
                let name = path.strip_prefix(&dir).expect("below").display().to_string();
                (name, fs::metadata(&path).expect("a file").uid())
            });
            let mut given: Vec<_> = all.filter(|(_, uid)| *uid != 0).collect();
            given.sort();
            bundle.delete_force().ok();
            given
        };
        let listed = fs::read_to_string("/sys/kernel/cgroup/delegate").expect("the kernel's list");
        let has = |name: &&str| !name.starts_with("memory.") || sandbox.has_controller("memory");
        let expected = |uid: u32| {
            let mut all: Vec<_> = listed.lines().filter(has).chain([""]).map(|name| (name.to_owned(), uid)).collect();
            all.sort();
            all
        };
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        let in_user_namespace = |id: &str| {
            let bundle = delegated(sandbox, id).namespace("user", None);
            bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map.clone())
        };
        assert_eq!(owners("c", in_user_namespace("c")), expected(100_000));
        let other = in_user_namespace("c").set("/process/user/uid", 7);
        assert_eq!(owners("c", other), expected(100_007));
        let other = delegated(sandbox, "c").set("/process/user/uid", 7);
        assert_eq!(owners("c", other), expected(7));
        // Not without a view of its own, nor where it is read-only.
        assert_eq!(owners("c", sandbox.bundle("c").set("/process/user/uid", 7)), []);
        let shared = delegated(sandbox, "c").without_namespace("cgroup").set("/process/user/uid", 7);
        assert_eq!(owners("c", shared), []);
    });
}

/// rt inside a container of rt: the inner one's cgroup is below the outer one's, and both are gone afterwards.
#[test]
fn a_container_in_a_container() {
    let sandbox = sandbox!();
    // Without a namespace of its own the inner one sees itself as the outer one sees it.
    let inner = sandbox.bundle("inner").set("/linux/cgroupsPath", "/below/inner").without_namespace("cgroup");
    let inner = inner.args(["cat", "/proc/self/cgroup"]);
    inner.write();
    let caps = capabilities();
    let call = ["exec", "/bin/rt", "--root", "/run/rt", "run", "--bundle", "/run/inner", "inner"];
    let outer = delegated(&sandbox, "outer")
        .set("/process/capabilities", json!({ "bounding": caps, "permitted": caps, "effective": caps }))
        .set("/linux/maskedPaths", json!([]))
        .set("/linux/readonlyPaths", json!([]))
        .set("/linux/resources/devices", json!([{ "allow": true, "access": "rwm" }]))
        .mount("/run", "tmpfs", "tmpfs", &["mode=755"])
        .mount("/run/inner", "bind", inner.dir.to_str().expect("UTF-8"), &["rbind"])
        .plant("/bin/rt", "")
        .mount("/bin/rt", "bind", rt_integration::rt_bin().to_str().expect("UTF-8"), &["rbind"])
        .args(call);
    let out = outer.run().ok();
    assert!(out.lines().contains(&"0::/below/inner".to_owned()), "{}", out.report());
    assert!(!sandbox.cgroup_dir("outer").exists());
}

/// Those that rt needs.
fn capabilities() -> Vec<String> {
    const NEEDED: [&str; 12] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "KILL",
        "MKNOD",
        "NET_ADMIN",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_ADMIN",
        "SYS_CHROOT",
    ];
    NEEDED.iter().map(|name| format!("CAP_{name}")).collect()
}
