//! What the OOM killer did is told: by `run`, `exec` and `create`, and by `state` until the container is deleted.

use rt_integration::{Bundle, Sandbox, sandbox, skip};
use serde_json::{Value, json};

/// 32 MiB, as memory.max has it.
const LIMIT: &str = "33554432";

fn limited<'a>(sandbox: &'a Sandbox) -> Bundle<'a> {
    sandbox.bundle("c").set("/linux/resources/memory", json!({ "limit": 32 << 20, "swap": 32 << 20 }))
}

fn killed(state: &Value) -> bool {
    state["oom"]["kills"] == 1 && state["oom"]["memoryMax"].as_str() == Some(LIMIT)
}

macro_rules! needs_memory {
    ($sandbox:expr) => {
        if !$sandbox.has_controller("memory") {
            skip!("no memory controller");
        }
    };
}

#[test]
fn of_the_program() {
    let sandbox = sandbox!();
    needs_memory!(sandbox);
    let bundle = limited(&sandbox).args(["oom", "64"]);
    let out = bundle.run().expect(137);
    assert!(
        out.stderr().contains("was killed by the OOM killer, memory.max=33554432, memory.peak="),
        "{}",
        out.report()
    );
    bundle.run_with(&["--keep"]).expect(137);
    let state = bundle.state();
    assert!(state["status"] == "stopped" && killed(&state), "{state}");
    // Also where the cgroup is gone by then, as systemd does it.
    std::fs::remove_dir(sandbox.cgroup_dir("c")).expect("an empty cgroup");
    assert!(killed(&bundle.state()), "{}", bundle.state());
    bundle.delete().ok();
}

#[test]
fn of_a_detached_container() {
    let sandbox = sandbox!();
    needs_memory!(sandbox);
    let bundle = limited(&sandbox).args(["oom", "64"]);
    bundle.create().ok();
    assert_eq!(bundle.state().get("oom"), None);
    bundle.start().ok();
    bundle.wait_stopped();
    assert!(killed(&bundle.state()), "{}", bundle.state());
    bundle.delete().ok();
}

#[test]
fn of_an_exec() {
    let sandbox = sandbox!();
    needs_memory!(sandbox);
    let bundle = limited(&sandbox).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let out = bundle.exec(["/bin/probe", "raise", "KILL"]).expect(137);
    assert_eq!(out.stderr(), "", "not every SIGKILL is the OOM killer's");
    let out = bundle.exec(["/bin/probe", "oom", "64"]).expect(137);
    assert!(
        out.stderr().contains("possibly OOM-killed") && out.stderr().contains("memory.max=33554432"),
        "{}",
        out.report()
    );
    let state = bundle.state();
    assert!(state["status"] == "running" && killed(&state), "{state}");
    bundle.delete_force().ok();
}

#[test]
fn before_the_program_runs() {
    let sandbox = sandbox!();
    needs_memory!(sandbox);
    // Less than init needs of its own.
    let bundle = sandbox.bundle("c").set("/linux/resources/memory", json!({ "limit": 4096, "swap": 4096 }));
    let out = bundle.create();
    if out.status.success() {
        bundle.delete_force().ok();
        skip!("init needs no page of its own here");
    }
    assert!(out.stderr().contains("killed by the OOM killer, memory.max=4096"), "{}", out.report());
    assert!(out.stderr().contains("raise linux.resources.memory.limit"), "{}", out.report());
    assert!(!sandbox.state_dir().join("c").exists());
}

/// All of the container dies with a startContainer hook: init after the word to go on, and before its execve.
fn killed_by_its_hook<'a>(sandbox: &'a Sandbox) -> Bundle<'a> {
    let hook = json!([{ "path": "/bin/probe", "args": ["probe", "oom", "64"] }]);
    let bundle = limited(sandbox).set("/hooks/startContainer", hook).args(["true"]);
    bundle.set("/linux/resources/unified", json!({ "memory.oom.group": "1" }))
}

const BEFORE: &str = "killed by the OOM killer, memory.max=33554432, memory.peak=";

#[test]
fn between_start_and_execve() {
    let sandbox = sandbox!();
    needs_memory!(sandbox);
    let bundle = killed_by_its_hook(&sandbox);
    bundle.create().ok();
    let out = bundle.start().expect(1).fails_with(BEFORE);
    assert!(out.stderr().contains("before it ran the program"), "{}", out.report());
    let state = bundle.state();
    assert!(state["status"] == "stopped" && state["oom"]["memoryMax"].as_str() == Some(LIMIT), "{state}");
    bundle.delete().ok();
    let out = bundle.run().expect(1).fails_with(BEFORE);
    assert!(out.stderr().contains("before it ran the program"), "{}", out.report());
    bundle.run_with(&["--detach"]).expect(1).fails_with(BEFORE);
    assert!(!sandbox.cgroup_dir("c").exists() && !sandbox.state_dir().join("c").exists());
}

/// A limit that came by update counts, too.
#[test]
fn after_an_update() {
    let sandbox = sandbox!();
    needs_memory!(sandbox);
    let bundle = killed_by_its_hook(&sandbox).set("/linux/resources/memory", json!({}));
    bundle.create().ok();
    sandbox.rt(["update", "--memory", "32m", "--memory-swap", "32m", "c"]).ok();
    bundle.start().expect(1).fails_with(BEFORE);
    bundle.delete().ok();
}

/// The OOM killer had taken a child, and somebody else killed init.
#[test]
fn not_of_the_program() {
    let sandbox = sandbox!();
    needs_memory!(sandbox);
    let bundle = limited(&sandbox).args("seq echo ready -- pause".split(' '));
    let run = bundle.spawn(&[]);
    run.wait_stdout("ready");
    bundle.exec(["/bin/probe", "oom", "64"]).expect(137);
    bundle.kill("KILL").ok();
    let out = run.wait().expect(137);
    assert!(
        out.stderr().contains("was killed (possibly OOM-killed: the OOM killer has killed 1 process"),
        "{}",
        out.report()
    );
}

#[test]
fn nothing_to_tell() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["raise", "KILL"]).without_namespace("pid");
    let out = bundle.run_with(&["--keep"]).expect(137);
    assert!(!out.stderr().contains("OOM"), "{}", out.report());
    assert_eq!(bundle.state().get("oom"), None);
    bundle.delete().ok();
}
