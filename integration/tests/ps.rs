//! `rt ps`: the processes of a container, as numbers and as the host's ps shows them.

use rt_integration::{sandbox, skip};
use serde_json::json;
use std::fs;

#[test]
fn numbers_of_all_processes() {
    let sandbox = sandbox!();
    sandbox.rt(["ps", "c"]).expect(1).fails_with("container does not exist");
    let bundle = sandbox.bundle("c").args(["fork-tree", "2", "2"]);
    bundle.create().ok();
    let list = |id: &str| sandbox.rt(["ps", "--format", "json", id]).ok().stdout();
    assert_eq!(list("c"), format!("[{}]\n", bundle.pid()));
    bundle.delete_force().ok();
    bundle.run_with(&["--detach"]).ok().wait_stdout("ready 6");
    let pids: Vec<i32> = serde_json::from_str(&list("c")).expect("a list of numbers");
    assert!(pids.len() == 7 && pids.contains(&bundle.pid()), "{pids:?}");
    let procs = fs::read_to_string(sandbox.cgroup_dir("c").join("cgroup.procs")).expect("the cgroup");
    assert!(pids.iter().all(|pid| procs.lines().any(|line| line == pid.to_string())), "{pids:?}");
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    assert_eq!(list("c"), "null\n", "as Go prints an empty list");
    bundle.delete().ok();
}

#[test]
fn also_those_in_cgroups_below() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").edit(|spec| spec["mounts"][6]["options"] = json!(["rw"]));
    let steps = "seq try mkdirat -100 /sys/fs/cgroup/a 0755 -- write /sys/fs/cgroup/a/cgroup.procs 0 -- fork-tree 1 1";
    let bundle = bundle.args(steps.split_whitespace());
    bundle.run_with(&["--detach"]).ok().wait_stdout("ready 1");
    let pids: Vec<i32> = serde_json::from_str(&sandbox.rt(["ps", "-f", "json", "c"]).ok().stdout()).expect("numbers");
    assert!(pids.len() == 2 && pids.contains(&bundle.pid()), "{pids:?}");
    bundle.delete_force().ok();
}

#[test]
fn of_a_threaded_cgroup() {
    let sandbox = sandbox!();
    let top = sandbox.cgroup_dir("top");
    fs::create_dir_all(top.join("threads")).expect("cgroups");
    fs::write(top.join("threads/cgroup.type"), "threaded").expect("a threaded cgroup");
    let bundle = sandbox.bundle("c").set("/linux/cgroupsPath", format!("{}/top/threads/c", sandbox.cgroup()));
    let bundle = bundle.args(["fork-tree", "2", "1"]);
    let out = bundle.run_with(&["--detach"]);
    if !out.status.success() {
        fs::remove_dir(top.join("threads")).and_then(|()| fs::remove_dir(&top)).expect("cgroups");
        skip!("no container in a threaded cgroup: {}", out.stderr().trim_end());
    }
    out.wait_stdout("ready 2");
    let pids: Vec<i32> = serde_json::from_str(&sandbox.rt(["ps", "-f", "json", "c"]).ok().stdout()).expect("numbers");
    bundle.delete_force().ok();
    fs::remove_dir(top.join("threads")).and_then(|()| fs::remove_dir(&top)).expect("cgroups");
    assert_eq!(pids.len(), 3, "{pids:?}");
}

#[test]
fn the_hosts_table() {
    let sandbox = sandbox!();
    if !std::process::Command::new("ps").arg("-ef").output().is_ok_and(|out| out.status.success()) {
        skip!("no ps");
    }
    let bundle = sandbox.bundle("c").args(["fork-tree", "1", "1"]);
    bundle.run_with(&["--detach"]).ok().wait_stdout("ready 1");
    let lines = sandbox.rt(["ps", "c"]).ok().lines();
    assert!(lines.len() == 3 && lines[0].contains("UID") && lines[1].contains("/bin/probe fork-tree"), "{lines:?}");
    // What follows the id belongs to ps.
    let lines = sandbox.rt(["ps", "c", "-o", "pid,comm", "-e"]).ok().lines();
    assert!(lines.len() == 3 && lines[1].trim() == format!("{} probe", bundle.pid()), "{lines:?}");
    sandbox.rt(["ps", "c", "-o", "comm", "-e"]).expect(1).fails_with("couldn't find PID field in ps output");
    let out = sandbox.rt(["ps", "c", "--no-such-flag"]).expect(1);
    assert!(out.stderr().contains("ps: exit status"), "{}", out.report());
    sandbox.rt(["ps", "--format", "yaml", "c"]).expect(1);
    bundle.delete_force().ok();
}
