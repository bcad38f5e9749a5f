//! What may take for ever ends with `--timeout`, and leaves nothing; what a state directory without room, or without
//! leave to write, makes of each command.

use rt_integration::{Bundle, HostMount, Outcome, Sandbox, Silent, sandbox, skip};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

const SOON: [&str; 2] = ["--timeout", "500ms"];

/// Has the call end for want of time while it waits for this. A machine that is busy may not have come to it so soon.
#[track_caller]
fn runs_out(what: &str, call: impl Fn(&[&str; 2]) -> Outcome) -> Outcome {
    let mut bounds = [SOON[1], "3s", "15s"].into_iter();
    loop {
        let bound = bounds.next().expect("the last one is final");
        let over = format!("timed out after {bound}: waiting for ");
        let out = call(&["--timeout", bound]).fails_with(&over);
        let due = format!("{over}{what}");
        if out.stderr().contains(&due) || bounds.len() == 0 {
            return out.fails_with(&due);
        }
    }
}

fn shell(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] })
}

/// Nothing is there of a container that did not come to be.
#[track_caller]
fn is_undone(sandbox: &Sandbox, id: &str) {
    sandbox.rt(["state", id]).fails_with("does not exist");
    assert!(!sandbox.cgroup_dir(id).exists() && !sandbox.state_dir().join(id).exists());
}

#[track_caller]
fn both_ways(sandbox: &Sandbox, bundle: &Bundle, what: &str) {
    runs_out(what, |bound| bundle.create_with(bound)).expect(1);
    is_undone(sandbox, "c");
    runs_out(what, |bound| bundle.run_with(bound)).expect(1);
    is_undone(sandbox, "c");
    runs_out(what, |bound| bundle.run_with(&["--detach", bound[0], bound[1]])).expect(1);
    is_undone(sandbox, "c");
}

const STOP_INIT: &str = "kill -STOP $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')";

#[test]
fn an_init_that_is_stopped_on_its_way() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").set("/hooks/createRuntime/-", shell(STOP_INIT));
    both_ways(&sandbox, &bundle, "init to enter its root and become the process; it is stopped");
}

#[test]
fn an_init_that_is_stopped_before_start() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c");
    bundle.create().ok();
    let status = Command::new("kill").args(["-STOP", &bundle.pid().to_string()]).status();
    assert!(status.expect("kill").success());
    let start = sandbox.rt(["start", SOON[0], SOON[1], "c"]);
    start.expect(1).fails_with("timed out after 500ms: waiting for init, its startContainer hooks and its program");
    assert_eq!(bundle.status(), "stopped");
    bundle.delete().ok();
}

#[test]
fn a_hook_that_never_ends() {
    let sandbox = sandbox!();
    for point in ["prestart", "createRuntime", "createContainer"] {
        let hook = json!({ "path": sandbox.probe(), "args": ["probe", "pause"] });
        let bundle = sandbox.bundle("c").set(&format!("/hooks/{point}"), json!([hook]));
        both_ways(&sandbox, &bundle, &format!("{point} hook #0"));
    }
    let hook = json!([{ "path": "/bin/probe", "args": ["probe", "pause"] }]);
    let bundle = sandbox.bundle("c").set("/hooks/startContainer", hook);
    runs_out("init to run its startContainer hooks and its program", |bound| bundle.run_with(bound)).expect(1);
    is_undone(&sandbox, "c");
    bundle.create_with(&["--timeout", "1h"]).ok();
    let start = sandbox.rt(["start", SOON[0], SOON[1], "c"]);
    start.expect(1).fails_with("waiting for init, its startContainer hooks and its program");
    assert_eq!(bundle.status(), "stopped");
    bundle.delete().ok();
    // The program runs by then, and ends with the failure as with any other hook's.
    let hook = json!([{ "path": sandbox.probe(), "args": ["probe", "pause"] }]);
    let bundle = sandbox.bundle("c").args(["pause"]).set("/hooks/poststart", hook);
    runs_out("poststart hook #0", |bound| bundle.run_with(bound)).expect(1);
    is_undone(&sandbox, "c");
}

/// A container with a clock of its own, which its createContainer hooks see.
#[test]
fn a_hook_in_a_time_namespace() {
    let sandbox = sandbox!();
    let hook = |verb: &str| json!([{ "path": sandbox.probe(), "args": ["probe", verb] }]);
    let offsets = json!({ "monotonic": { "secs": 1_000_000 } });
    let bundle = sandbox.bundle("c").namespace("time", None).set("/linux/timeOffsets", offsets);
    let bundle = bundle.set("/hooks/createContainer", hook("true"));
    bundle.run_with(&["--timeout", "1h"]).ok();
    let bundle = bundle.set("/hooks/createContainer", hook("pause"));
    runs_out("createContainer hook #0", |bound| bundle.create_with(bound));
    is_undone(&sandbox, "c");
}

#[test]
fn the_shorter_of_two_bounds() {
    let sandbox = sandbox!();
    let hook = json!([{ "path": sandbox.probe(), "args": ["probe", "pause"], "timeout": 1 }]);
    let bundle = sandbox.bundle("c").set("/hooks/createRuntime", hook);
    bundle.create_with(&["--timeout", "1h"]).fails_with("hook ran past specified timeout of 1.0s");
    let hook = json!([{ "path": sandbox.probe(), "args": ["probe", "pause"], "timeout": 1000 }]);
    let bundle = sandbox.bundle("c").set("/hooks/createRuntime", hook);
    runs_out("createRuntime hook #0", |bound| bundle.create_with(bound));
}

/// What it prints faster than rt can read does not keep rt from looking at the clock, nor fill its memory.
#[test]
fn a_hook_that_floods_its_streams() {
    let sandbox = sandbox!();
    let flood = |more: &str| json!([shell(&format!("yes complaint >&2 & yes gossip{more}"))]);
    let mut bounded = flood("");
    bounded[0]["timeout"] = json!(1);
    let bundle = sandbox.bundle("c").set("/hooks/createRuntime", bounded);
    bundle.create().fails_with("hook ran past specified timeout of 1.0s, stdout: gossip");
    let bundle = sandbox.bundle("c").set("/hooks/createRuntime", flood(""));
    runs_out("createRuntime hook #0", |bound| bundle.create_with(bound));
    let failing = flood(" | head -c 1000000; kill $!; wait; exit 3");
    let out = sandbox.bundle("c").set("/hooks/createRuntime", failing).create().expect(1);
    assert!(out.stderr().contains("exit status 3, stdout: gossip"), "{}", out.report());
    assert!(out.stderr().len() < 16 << 10, "{} bytes", out.stderr().len());
}

/// The kernel lets nobody go who waits for such a server, but the dead.
#[test]
fn a_bind_source_that_never_answers() {
    let sandbox = sandbox!();
    let at = sandbox.dir().join("silent");
    fs::create_dir(&at).expect("a directory");
    let Ok(_silent) = Silent::mount(at.clone()) else { skip!("no FUSE") };
    let source = at.join("file");
    let runs_out_of = |bundle: Bundle<'_>, what: &str| {
        let bundle = bundle.mount("/mnt", "bind", source.to_str().expect("UTF-8"), &["bind"]);
        runs_out(what, |bound| bundle.create_with(bound)).expect(1)
    };
    runs_out_of(sandbox.bundle("c"), "init to make its namespaces, mounts and devices; it waits for a filesystem");
    is_undone(&sandbox, "c");
    // Here rt opens the source itself.
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    let bundle = sandbox.bundle("c").namespace("user", None);
    let bundle = bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    runs_out_of(bundle, "the rootfs, or the source of a bind mount");
    is_undone(&sandbox, "c");
    let there = source.to_str().expect("UTF-8");
    runs_out("the bundle", |bound| sandbox.rt(["create", bound[0], bound[1], "--bundle", there, "c"])).expect(1);
}

/// A process in a frozen container cannot come to run its program, and is not left to wait for that.
#[test]
fn an_exec_into_a_paused_container() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    sandbox.rt(["pause", "c"]).ok();
    let exec =
        |bound: &[&str; 2]| sandbox.rt(["exec", "--ignore-paused", bound[0], bound[1], "c", "/bin/probe", "pause"]);
    runs_out("the new process to run its program", exec).expect(255);
    sandbox.rt(["resume", "c"]).ok();
    assert_eq!(bundle.status(), "running");
    let procs = fs::read_to_string(sandbox.cgroup_dir("c").join("cgroup.procs")).expect("cgroup.procs");
    assert_eq!(procs.lines().count(), 1, "{procs}");
    bundle.exec([SOON[0], SOON[1], "/bin/true"]).code();
    bundle.delete_force().ok();
}

#[test]
fn time_enough_changes_nothing() {
    let sandbox = sandbox!();
    let hooks = json!([{ "path": sandbox.probe(), "args": ["probe", "true"] }]);
    let bundle = sandbox.bundle("c").args(["pause"]).set("/hooks/createRuntime", hooks.clone());
    let bundle = bundle.set("/hooks/poststart", hooks);
    bundle.create_with(&["--timeout", "1h"]).ok();
    sandbox.rt(["start", "--timeout=1h", "c"]).ok();
    sandbox.rt(["exec", "--timeout", "1h", "c", "/bin/probe", "exit", "7"]).expect(7);
    bundle.delete_force().ok();
    sandbox.bundle("c").args(["exit", "7"]).run_with(&["--timeout", "1h"]).expect(7);
    for wrong in ["0", "0s", "-1s", "soon", ""] {
        let out = sandbox.bundle("c").create_with(&["--timeout", wrong]);
        assert!(out.stderr().contains("not a duration greater than 0"), "{wrong:?}: {}", out.report());
    }
}

/// At whatever write the room ends, `create` says so and leaves nothing; with enough of it all is well.
#[test]
fn a_state_directory_without_room() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c");
    let mut refused = 0;
    for inodes in 1..12 {
        for pages in [1, 2, 3, 8] {
            let data = format!("mode=755,nr_inodes={inodes},size={}k", 4 * pages);
            let _small = HostMount::tmpfs(&sandbox.state_dir(), 0, &data);
            let out = bundle.create();
            if out.code() == 0 {
                assert_eq!(bundle.status(), "created");
            } else {
                refused += 1;
                let root = sandbox.state_dir();
                let out = out.expect(1).fails_with("no space left on device");
                let named = out.stderr().contains(root.to_str().expect("UTF-8")) || out.stderr().contains("rendezvous");
                assert!(named, "{data}: {}", out.report());
                is_undone(&sandbox, "c");
            }
            bundle.delete_force().ok();
        }
    }
    assert!((4..40).contains(&refused), "{refused} of 44 had no room");
}

#[test]
fn a_state_directory_that_is_read_only() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    let root = HostMount::tmpfs(&sandbox.state_dir(), 0, "mode=755");
    bundle.create().ok();
    bundle.start().ok();
    let root = root.propagation(libc::MS_REMOUNT | libc::MS_RDONLY);
    let other = sandbox.bundle("other");
    for out in [other.create(), other.run()] {
        out.expect(1).fails_with("read-only file system");
        assert!(!sandbox.cgroup_dir("other").exists());
    }
    sandbox.rt(["state", "other"]).fails_with("does not exist");
    // What is there is told, and obeys.
    assert_eq!(bundle.status(), "running");
    assert!(sandbox.rt(["list"]).ok().stdout().contains("running"));
    bundle.exec(["/bin/true"]).ok();
    sandbox.rt(["pause", "c"]).ok();
    sandbox.rt(["resume", "c"]).ok();
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    bundle.delete().expect(1).fails_with("read-only file system");
    assert_eq!(bundle.status(), "stopped");
    let _root = root.propagation(libc::MS_REMOUNT);
    bundle.delete().ok();
}
