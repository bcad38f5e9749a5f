//! A container without a mount namespace of its own: its mounts lie in its caller's, and go with it.

use rt_integration::{Bundle, Sandbox, both, sandbox};
use serde_json::json;
use std::fs;

/// The default container, less what needs a private mount namespace.
fn bundle(sandbox: &Sandbox) -> Bundle<'_> {
    sandbox.bundle("c").without_namespace("mount").edit(|spec| {
        let linux = spec["linux"].as_object_mut().expect("the default spec");
        linux.remove("maskedPaths");
        linux.remove("readonlyPaths");
    })
}

/// What is mounted below the bundle's rootfs, in this thread's namespace.
fn mounts(bundle: &Bundle) -> Vec<String> {
    let rootfs = bundle.rootfs();
    let rootfs = rootfs.to_str().expect("UTF-8");
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("procfs");
    let targets = table.lines().filter_map(|line| line.split(' ').nth(4)?.strip_prefix(rootfs));
    targets.map(str::to_owned).collect()
}

#[test]
fn its_mounts_are_its_callers_until_it_is_deleted() {
    both(|sandbox| {
        let bundle = bundle(sandbox).args(["seq", "ns", "--", "pause"]);
        bundle.create().ok();
        assert_eq!(
            mounts(&bundle),
            ["", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"]
        );
        let link = |of: &str| fs::read_link(format!("/proc/{of}/ns/mnt")).expect("procfs");
        assert_eq!(link(&bundle.pid().to_string()), link("thread-self"));
        bundle.start().ok();
        let seen = bundle.exec(["cat", "/proc/1/comm"]).ok().stdout();
        assert_eq!(seen, "probe\n", "exec sees the container's own /proc");
        bundle.delete_force().ok();
        assert_eq!(mounts(&bundle), [""; 0]);
    });
}

#[test]
fn a_mount_over_its_root_goes_too() {
    let sandbox = sandbox!();
    let bundle = bundle(&sandbox).args(["cat", "/marker"]).plant("marker", "image").edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().expect("the default spec");
        mounts.insert(0, json!({ "destination": "/", "source": "rootfs", "options": ["rbind"] }));
    });
    assert_eq!(bundle.run().ok().stdout(), "image");
    assert_eq!(mounts(&bundle), [""; 0]);
}

#[test]
fn a_creation_that_fails_leaves_none() {
    let sandbox = sandbox!();
    let bundle = bundle(&sandbox).mount("/late", "bind", "/nowhere-at-all", &["rbind"]);
    bundle.create().fails_with("/nowhere-at-all");
    assert_eq!(mounts(&bundle), [""; 0]);
    let bundle = bundle.edit(|spec| drop(spec["mounts"].as_array_mut().expect("the default spec").pop()));
    bundle.set("/process/args", json!(["/no-such-program"])).create().fails_with("no-such-program");
}

#[test]
fn a_program_in_a_plain_directory_needs_no_mount() {
    let sandbox = sandbox!();
    let bundle = bundle(&sandbox).args(["true"]).set("/mounts", json!([])).set("/root/readonly", false);
    bundle.create().ok();
    assert_eq!(mounts(&bundle), [""; 0]);
    bundle.delete_force().ok();
}

#[test]
fn devices_are_made_also_where_nothing_is_mounted() {
    let sandbox = sandbox!();
    let node = json!([{ "path": "/opt/node", "type": "c", "major": 1, "minor": 5 }]);
    let bundle = bundle(&sandbox).args(["stat", "/opt/node"]).set("/mounts", json!([])).set("/root/readonly", false);
    let bundle = bundle.set("/linux/devices", node).set("/linux/rootfsPropagation", "shared");
    let out = bundle.run().ok();
    assert_eq!(out.stdout(), "char 0666 0 0 0 1:5\n");
    assert!(out.stderr().contains("linux.rootfsPropagation: has no effect without a new mount namespace"));
    assert_eq!(mounts(&bundle), [""; 0]);
}

/// mountinfo writes a blank as `\\040`.
#[test]
fn a_rootfs_with_a_blank_in_its_name() {
    let sandbox = sandbox!();
    let bundle = bundle(&sandbox).args(["true"]).set("/root/path", "root fs");
    fs::rename(bundle.rootfs(), bundle.dir.join("root fs")).expect("the rootfs");
    bundle.create().ok();
    bundle.delete_force().ok();
}
