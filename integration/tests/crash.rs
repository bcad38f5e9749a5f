//! Deaths at the wrong moment, and two callers at once.

use rt_integration::{Bundle, Running, Sandbox, sandbox};
use serde_json::json;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// A createRuntime hook that says it has begun and then waits for a writer that never comes.
fn blocked<'a>(sandbox: &'a Sandbox, id: &str) -> (Bundle<'a>, PathBuf, PathBuf) {
    let (begun, fifo) = (sandbox.dir().join(format!("begun-{id}")), sandbox.dir().join(format!("fifo-{id}")));
    for path in [&begun, &fifo] {
        assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
    }
    let script = format!("echo > {}; read line < {}", begun.display(), fifo.display());
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script] });
    (sandbox.bundle(id).set("/hooks/createRuntime/-", hook), begun, fifo)
}

fn spawn(sandbox: &Sandbox, bundle: &Bundle, command: &str) -> Running {
    bundle.write();
    let mut call = sandbox.command([command, "--bundle"]);
    call.arg(&bundle.dir).arg(&bundle.id);
    sandbox.spawn(call)
}

#[test]
fn a_creator_killed_at_a_hook() {
    let sandbox = sandbox!();
    let (bundle, begun, fifo) = blocked(&sandbox, "c");
    let create = spawn(&sandbox, &bundle, "create");
    // Opening for reading waits for the hook, which is the moment.
    drop(fs::read(&begun).expect("the hook has begun"));
    assert_eq!(bundle.status(), "creating");
    bundle.exec(["/bin/true"]).expect(255).fails_with("exec failed");
    bundle.kill("TERM").expect(1).fails_with("container not running");
    bundle.create().expect(1).fails_with("container with given ID already exists");
    create.signal(libc::SIGKILL);
    create.wait().expect(128 + libc::SIGKILL);
    assert_eq!(bundle.status(), "stopped");
    assert_eq!(bundle.pid(), 0);
    bundle.start().expect(1).fails_with("creation was interrupted");
    bundle.create().expect(1).fails_with("container with given ID already exists");
    bundle.delete_force().ok();
    assert!(!sandbox.cgroup_dir("c").exists());
    // The hook is its own process; it goes on to its end, as the caller of a killed program has it.
    drop(File::options().write(true).open(&fifo).expect("the fifo"));
    sandbox.bundle("c").args(["echo", "again"]).run().ok();
}

#[test]
fn an_init_killed_while_created() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c");
    bundle.create().ok();
    let pid = bundle.pid();
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill").success());
    bundle.wait_stopped();
    assert_eq!(bundle.status(), "stopped");
    bundle.start().expect(1).fails_with("cannot start a container that has stopped");
    bundle.exec(["/bin/true"]).expect(255).fails_with("cannot exec in a stopped container");
    bundle.kill("TERM").expect(1).fails_with("container not running");
    bundle.delete().ok();
    bundle.run().ok();
}

#[test]
fn start_twice_at_once() {
    let sandbox = sandbox!();
    for _ in 0..10 {
        let bundle = sandbox.bundle("c").args(["seq", "echo", "once", "--", "pause"]);
        let out = bundle.create().ok();
        let calls: Vec<_> = (0..4).map(|_| sandbox.spawn(sandbox.command(["start", "c"]))).collect();
        let ended: Vec<_> = calls.into_iter().map(Running::wait).collect();
        assert_eq!(ended.iter().filter(|call| call.status.success()).count(), 1);
        for call in ended.into_iter().filter(|call| !call.status.success()) {
            call.fails_with("cannot start an already running container");
        }
        out.wait_stdout("once\n");
        assert_eq!(out.stdout(), "once\n");
        bundle.delete_force().ok();
    }
}

#[test]
fn create_twice_at_once() {
    let sandbox = sandbox!();
    for _ in 0..10 {
        let bundle = sandbox.bundle("c").args(["pause"]);
        let calls: Vec<_> = (0..4).map(|_| spawn(&sandbox, &bundle, "create")).collect();
        let ended: Vec<_> = calls.into_iter().map(Running::wait).collect();
        assert_eq!(ended.iter().filter(|call| call.status.success()).count(), 1);
        for call in ended.into_iter().filter(|call| !call.status.success()) {
            call.fails_with("container with given ID already exists");
        }
        assert_eq!(bundle.status(), "created");
        bundle.start().ok();
        assert_eq!(bundle.status(), "running");
        bundle.delete_force().ok();
    }
}

#[test]
fn create_of_an_existing_id_leaves_it_untouched() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]).set("/annotations/a", "first");
    let hook = sandbox.dir().join("poststop-ran");
    bundle.create().ok();
    let before = bundle.state();
    let script = format!("echo > {}", hook.display());
    let other = sandbox.bundle("c").args(["true"]).set("/annotations/a", "second");
    let other = other.set("/hooks/poststop/-", json!({ "path": "/bin/sh", "args": ["sh", "-c", script] }));
    let pid_file = sandbox.dir().join("pid");
    for call in [
        other.create_with(&["--pid-file", pid_file.to_str().expect("UTF-8")]),
        other.run(),
        other.run_with(&["--detach"]),
    ] {
        call.expect(1).fails_with("container with given ID already exists");
    }
    assert!(!pid_file.exists() && !hook.exists());
    assert_eq!(bundle.state(), before);
    bundle.start().ok();
    assert_eq!(bundle.status(), "running");
    bundle.delete_force().ok();
}

#[test]
fn delete_twice_at_once() {
    let sandbox = sandbox!();
    for _ in 0..10 {
        let bundle = sandbox.bundle("c").args(["fork-tree", "2", "2"]);
        bundle.run_with(&["--detach"]).ok().wait_stdout("ready 6");
        let calls: Vec<_> = (0..3).map(|_| sandbox.spawn(sandbox.command(["delete", "--force", "c"]))).collect();
        for call in calls {
            call.wait().ok();
        }
        assert!(!sandbox.state_dir().join("c").exists());
    }
}

#[test]
fn a_foreground_run_that_is_killed() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["trap", "TERM"]);
    let run = bundle.spawn(&[]);
    run.wait_stdout("ready");
    run.signal(libc::SIGKILL);
    run.wait().expect(128 + libc::SIGKILL);
    // The container lives on, and is somebody else's to delete.
    assert_eq!(bundle.status(), "running");
    bundle.kill("TERM").ok();
    bundle.wait_stopped();
    bundle.delete().ok();
}

#[test]
fn a_directory_without_a_record() {
    let sandbox = sandbox!();
    sandbox.bundle("other").run().ok();
    let dir = sandbox.state_dir().join("c");
    fs::create_dir(&dir).expect("a directory");
    // What a creator leaves that dies between its first two steps.
    sandbox.rt(["state", "c"]).expect(1).fails_with("c");
    let list = sandbox.rt(["list", "--format", "json"]).ok().stdout();
    assert!(!list.contains("\"running\"") && !list.contains("\"created\""), "{list}");
    sandbox.rt(["delete", "--force", "c"]).ok();
    assert!(!dir.exists());
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("state.json"), "{ half").expect("a file");
    sandbox.rt(["state", "c"]).expect(1);
    let deleted = sandbox.rt(["delete", "--force", "c"]);
    if !deleted.status.success() {
        deleted.fails_with("c");
        fs::remove_dir_all(&dir).expect("the directory");
    }
    sandbox.bundle("c").run().ok();
}

/// A creator that waits for a hook for ever does not keep its container from being removed. Slow, since `delete` first
/// waits as long as it would for any other command (10 s).
#[test]
fn a_hanging_creation_is_deleted_by_force() {
    let sandbox = sandbox!();
    let (bundle, begun, fifo) = blocked(&sandbox, "c");
    let create = spawn(&sandbox, &bundle, "create");
    drop(fs::read(&begun).expect("the hook has begun"));
    bundle.delete_force().ok();
    create.wait().expect(128 + libc::SIGKILL);
    assert!(!sandbox.cgroup_dir("c").exists());
    drop(File::options().write(true).open(&fifo).expect("the fifo"));
    sandbox.bundle("c").args(["echo", "again"]).run().ok();
}
