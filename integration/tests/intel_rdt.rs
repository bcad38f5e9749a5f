//! `linux.intelRdt`, on a directory that looks like a resctrl filesystem: few machines have the hardware. What the
//! kernel does there by itself, the tests do in its place.

use rt_integration::{Bundle, Outcome, Sandbox, sandbox};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// The root group, and an administrator's called `gold`.
fn tree(sandbox: &Sandbox) -> PathBuf {
    let root = sandbox.dir().join("resctrl");
    for dir in ["", "mon_groups", "gold", "gold/mon_groups"] {
        fs::create_dir(root.join(dir)).expect("a directory");
    }
    for group in ["", "gold"] {
        fs::write(root.join(group).join("schemata"), "    MB:0=100;1=100\n    L3:0=007ff;1=007ff\n").expect("a file");
    }
    root
}

fn bundle(sandbox: &Sandbox, rdt: Value) -> Bundle<'_> {
    sandbox.bundle("c").set("/linux/intelRdt", rdt).args(["pause"])
}

fn call(sandbox: &Sandbox, bundle: &Bundle, command: &str, flags: &[&str]) -> Outcome {
    let mut command = bundle.command(command, flags);
    command.env("RT_RESCTRL", sandbox.dir().join("resctrl"));
    sandbox.finish(command)
}

fn create(sandbox: &Sandbox, rdt: Value) -> Outcome {
    call(sandbox, &bundle(sandbox, rdt), "create", &[])
}

#[test]
fn an_administrators_group() {
    let sandbox = sandbox!();
    let root = tree(&sandbox);
    let bundle = bundle(&sandbox, json!({ "closID": "gold", "l3CacheSchema": "L3:0=7ff", "enableMonitoring": true }));
    call(&sandbox, &bundle, "create", &[]).ok();
    let pid = bundle.pid().to_string();
    assert_eq!(fs::read_to_string(root.join("gold/tasks")).expect("tasks"), pid);
    assert_eq!(fs::read_to_string(root.join("gold/mon_groups/c/tasks")).expect("tasks"), pid);
    assert_eq!(fs::read_to_string(root.join("gold/schemata")).expect("schemata"), "L3:0=7ff\n");
    bundle.start().ok();
    // rt is in the groups before it makes the process, which inherits them (the kernel's resctrl.rst).
    let exec = sandbox.spawn(sandbox.command(["exec", "c", "/bin/probe", "exit", "0"]));
    let rt = exec.pid().to_string();
    exec.wait().ok();
    assert_eq!(fs::read_to_string(root.join("gold/tasks")).expect("tasks"), rt);
    assert_eq!(fs::read_to_string(root.join("gold/mon_groups/c/tasks")).expect("tasks"), rt);
    fs::remove_file(root.join("gold/mon_groups/c/tasks")).expect("the kernel's part");
    bundle.delete_force().ok();
    assert!(root.join("gold").exists() && !root.join("gold/mon_groups/c").exists());
}

#[test]
fn a_group_of_its_own() {
    let sandbox = sandbox!();
    let root = tree(&sandbox);
    let rdt = json!({ "schemata": ["L2:0=f", "L3:0=1"], "memBwSchema": "MB:0=20;1=70", "enableMBM": true });
    let bundle = bundle(&sandbox, rdt);
    let out = call(&sandbox, &bundle, "create", &[]).ok();
    assert!(out.stderr().contains("linux.intelRdt.enableMBM: has no effect"), "{}", out.report());
    assert_eq!(fs::read_to_string(root.join("c/schemata")).expect("schemata"), "MB:0=20;1=70\nL2:0=f\nL3:0=1\n");
    assert_eq!(fs::read_to_string(root.join("c/tasks")).expect("tasks"), bundle.pid().to_string());
    for file in ["schemata", "tasks"] {
        fs::remove_file(root.join("c").join(file)).expect("the kernel's part");
    }
    bundle.delete_force().ok();
    assert!(!root.join("c").exists());
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_left() {
    let sandbox = sandbox!();
    let root = tree(&sandbox);
    create(&sandbox, json!({ "closID": "silver" })).fails_with("linux.intelRdt.closID: ");
    create(&sandbox, json!({ "closID": "../gold" })).fails_with("linux.intelRdt.closID: ");
    create(&sandbox, json!({ "closID": "gold", "l3CacheSchema": "L3:0=7" })).fails_with("differs");
    create(&sandbox, json!({ "memBwSchema": "20" })).fails_with("linux.intelRdt.memBwSchema: ");
    // This tree makes no mon_groups in a new group.
    create(&sandbox, json!({ "enableMonitoring": true })).fails_with("mon_groups/c");
    assert!(!root.join("c").exists());
    fs::create_dir(root.join("c")).expect("a directory");
    create(&sandbox, json!({})).fails_with("exists already");
    assert!(root.join("c").exists());
}

#[test]
fn a_host_without_it() {
    let sandbox = sandbox!();
    if fs::read_to_string("/proc/mounts").expect("procfs").contains(" resctrl ") {
        rt_integration::skip!("this host has a resctrl filesystem");
    }
    bundle(&sandbox, json!({ "closID": "gold" }))
        .create()
        .fails_with("linux.intelRdt: intelRdt is specified in config, but Intel RDT is not supported or enabled");
}
