//! create, start, run, state, kill, delete, list: what a caller of runc relies on.

use rt_integration::{Bundle, Sandbox, sandbox};
use serde_json::{Value, json};
use std::fs;

#[test]
fn run_prints_and_returns_the_status() {
    let sandbox = sandbox!();
    let out = sandbox.bundle("c").args(["echo", "hello"]).run().ok();
    assert_eq!(out.stdout(), "hello\n");
    assert_eq!(out.stderr(), "");
    for code in [0, 1, 42, 255] {
        sandbox.bundle("c").args(["exit", &code.to_string()]).run().expect(code);
    }
}

#[test]
fn run_returns_128_and_the_signal() {
    let sandbox = sandbox!();
    // Without a pid namespace: in one, process 1 does not die of signals to itself.
    let bundle = sandbox.bundle("c").without_namespace("pid");
    bundle.args(["raise", "TERM"]).run().expect(128 + 15);
}

#[test]
fn run_forwards_signals() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["trap", "USR1", "HUP", "TERM"]);
    let run = bundle.spawn(&[]);
    run.wait_stdout("ready");
    for (number, name) in [(libc::SIGUSR1, "USR1"), (libc::SIGHUP, "HUP"), (libc::SIGTERM, "TERM")] {
        run.signal(number);
        run.wait_stdout(&format!("caught {name}"));
    }
    run.wait().ok();
}

#[test]
fn run_detached_and_kept() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("d").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    assert_eq!(bundle.status(), "running");
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    assert_eq!(bundle.status(), "stopped");
    bundle.delete().ok();
}

#[test]
fn a_life_in_steps() {
    let sandbox = sandbox!();
    let pid_file = sandbox.dir().join("pid");
    let bundle = sandbox.bundle("c").args(["trap", "TERM"]).set("/annotations/a", "b");
    let out = bundle.create_with(&["--pid-file", pid_file.to_str().expect("UTF-8")]).ok();
    let state = bundle.state();
    assert_state(&state, &bundle, "created");
    // Go callers convert the whole file: a newline would break them.
    assert_eq!(fs::read_to_string(&pid_file).expect("a pid file"), state["pid"].to_string());
    bundle.start().ok();
    out.wait_stdout("ready");
    assert_eq!(bundle.status(), "running");
    bundle.start().fails_with("cannot start an already running container");
    bundle.delete().fails_with("is not stopped: running");
    bundle.create().fails_with("container with given ID already exists");
    bundle.kill("TERM").ok();
    bundle.wait_stopped();
    assert_eq!(bundle.state()["pid"], 0);
    assert_eq!(bundle.status(), "stopped");
    bundle.start().fails_with("cannot start a container that has stopped");
    bundle.kill("TERM").fails_with("container not running");
    sandbox.rt(["kill", "--all", "c", "9"]).ok();
    bundle.delete().ok();
    for command in ["state", "start", "kill", "delete"] {
        sandbox.rt([command, "c"]).fails_with("container does not exist");
    }
}

fn assert_state(state: &Value, bundle: &Bundle, status: &str) {
    assert_eq!(state["status"], status, "{state}");
    assert_eq!(state["id"], bundle.id.as_str());
    assert_eq!(state["bundle"], bundle.dir.to_str().expect("UTF-8"));
    assert_eq!(state["rootfs"], bundle.rootfs().to_str().expect("UTF-8"));
    assert_eq!(state["annotations"]["a"], "b");
    assert!(
        state["ociVersion"].is_string() && state["created"].as_str().is_some_and(|time| time.ends_with('Z')),
        "{state}"
    );
}

#[test]
fn delete_of_a_created_container() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c");
    bundle.create().ok();
    bundle.delete().ok();
    bundle.create().ok();
    bundle.delete_force().ok();
    // The id is free again.
    bundle.run().ok();
}

#[test]
fn delete_force_kills() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["fork-tree", "2", "2"]);
    let out = bundle.run_with(&["--detach"]).ok();
    out.wait_stdout("ready 6");
    bundle.delete_force().ok();
    let again = bundle.delete_force().ok();
    assert_eq!((again.stdout(), again.stderr()), (String::new(), String::new()));
}

#[test]
fn a_shared_pid_namespace_leaves_nobody() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").without_namespace("pid").args(["orphan"]);
    bundle.run().ok();
    let bundle = bundle.args(["fork-tree", "2", "1"]);
    bundle.run_with(&["--detach"]).ok().wait_stdout("ready 2");
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    bundle.delete().ok();
}

#[test]
fn list() {
    let sandbox = sandbox!();
    let json = |sandbox: &Sandbox| -> Value {
        let out = sandbox.rt(["list", "--format", "json"]).ok();
        serde_json::from_str(&out.stdout()).unwrap_or_else(|error| panic!("{error}: {}", out.report()))
    };
    let (a, b) = (sandbox.bundle("a").args(["pause"]), sandbox.bundle("b"));
    a.run_with(&["--detach"]).ok();
    b.create().ok();
    let listed = json(&sandbox);
    let both: Vec<_> =
        listed.as_array().expect("an array").iter().map(|c| (&c["id"], &c["status"], &c["owner"])).collect();
    assert_eq!(
        format!("{both:?}"),
        r#"[(String("a"), String("running"), String("root")), (String("b"), String("created"), String("root"))]"#
    );
    assert_eq!(sandbox.rt(["list", "-q"]).ok().lines(), ["a", "b"]);
    let table = sandbox.rt(["list"]).ok().lines();
    let head: Vec<_> = table[0].split_whitespace().collect();
    assert_eq!(head, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    a.delete_force().ok();
    b.delete_force().ok();
    assert_eq!(json(&sandbox), Value::Null);
}

/// Its maker may be at work, and is not spoken of; or it was killed before its first record, and then that is said.
#[test]
fn list_of_what_is_half_made() {
    let sandbox = sandbox!();
    let dir = sandbox.state_dir().join("half");
    fs::create_dir_all(&dir).expect("a directory");
    assert_eq!(sandbox.rt(["list"]).ok().stderr(), "");
    fs::File::open(&dir).and_then(|dir| dir.set_modified(std::time::UNIX_EPOCH)).expect("another time");
    let told = sandbox.rt(["list"]).ok().stderr();
    assert!(told.contains("container does not exist: half (an unfinished creation; `delete` removes"), "{told}");
    sandbox.rt(["delete", "--force", "half"]).ok();
    assert!(!dir.exists());
}

#[test]
fn ids_that_are_none() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("x");
    bundle.write();
    for id in ["..", ".", "a/b", "../x", "a b", "ü", "a\nb"] {
        let mut create = sandbox.command(["create", "--bundle"]);
        create.arg(&bundle.dir).args(["--", id]);
        sandbox.finish(create).fails_with("invalid container ID format");
        sandbox.rt(["state", "--", id]).fails_with("invalid container ID format");
        sandbox.rt(["delete", "--force", "--", id]).fails_with("invalid container ID format");
    }
    for id in ["a", "A-1_x+y.z", &"a".repeat(128)] {
        let mut run = sandbox.command(["run", "--bundle"]);
        run.arg(&bundle.dir).arg(id);
        sandbox.finish(run).ok();
    }
}

#[test]
fn programs_that_cannot_run() {
    let sandbox = sandbox!();
    let bundle =
        sandbox.bundle("c").plant("/bin/not-executable", "text").plant("/bin/no-interpreter", "#!/bin/nothing\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(bundle.rootfs().join("bin/no-interpreter"), mode).expect("chmod");
    // Docker and Podman choose 126 or 127 by these words.
    let cases = [
        ("nothing", "executable file not found in $PATH"),
        ("/bin/nothing", "no such file or directory"),
        ("/etc", "is a directory"),
        ("/bin/not-executable", "permission denied"),
    ];
    let mut bundle = bundle;
    for (program, words) in cases {
        bundle = bundle.set("/process/args", vec![program]);
        bundle.create().expect(1).fails_with(words);
        bundle.run().expect(1).fails_with(words);
        assert!(!sandbox.cgroup_dir("c").exists(), "{program}: the cgroup is still there");
    }
    bundle.set("/process/args", vec!["/bin/no-interpreter"]).run().fails_with("no such file or directory");
}

#[test]
fn errors_reach_the_log_once() {
    let sandbox = sandbox!();
    let log = sandbox.dir().join("log.json");
    let bundle = sandbox.bundle("c").set("/process/args", vec!["nothing"]);
    bundle.write();
    let mut call = sandbox.command(["--log"]);
    call.arg(&log).args(["--log-format", "json", "create", "--bundle"]).arg(&bundle.dir).arg("c");
    let out = sandbox.finish(call).fails_with("executable file not found in $PATH");
    let record: Value = serde_json::from_slice(&fs::read(&log).expect("the log")).expect("one JSON object");
    assert_eq!(record["level"], "error");
    assert!(record["msg"].as_str().is_some_and(|msg| msg.contains("executable file not found in $PATH")), "{record}");
    assert!(record["time"].as_str().is_some_and(|time| time.contains('T')), "{record}");
    assert_eq!(out.stdout(), "");
}

#[test]
fn features_is_silent_and_complete() {
    let sandbox = sandbox!();
    let out = sandbox.rt(["features"]).ok();
    assert_eq!(out.stderr(), "");
    let features: Value = serde_json::from_str(&out.stdout()).expect("JSON");
    assert!(features["ociVersionMin"].is_string() && features["ociVersionMax"].is_string());
    assert!(features["linux"]["namespaces"].as_array().is_some_and(|list| list.contains(&"user".into())));
    assert!(features["linux"]["mountExtensions"]["idmap"]["enabled"].is_boolean(), "callers read it unguarded");
    assert!(features["mountOptions"].as_array().is_some_and(|list| list.contains(&"rro".into())));
}

#[test]
fn spec_writes_something_that_runs() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c");
    sandbox.rt(["spec", "--bundle", bundle.dir.to_str().expect("UTF-8")]).ok();
    let config = bundle.dir.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&config).expect("config.json")).expect("JSON");
    sandbox.rt(["spec", "--bundle", bundle.dir.to_str().expect("UTF-8")]).fails_with("File config.json exists");
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = vec!["/bin/probe", "hostname"].into();
    spec["linux"]["cgroupsPath"] = format!("{}/c", sandbox.cgroup()).into();
    let bundle = bundle.raw_config(spec.to_string());
    assert!(!bundle.run().ok().stdout().is_empty());
}

#[test]
fn a_container_without_a_process_can_only_be_created() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").edit(|spec| drop(spec.as_object_mut().expect("an object").remove("process")));
    bundle.create().ok();
    assert_eq!(bundle.status(), "created");
    let started = bundle.start().ok();
    assert!(started.stderr().contains("process: is required to start a container"), "{}", started.report());
    bundle.wait_stopped();
    bundle.delete().ok();
    bundle.run().fails_with("process: is required");
}

#[test]
fn what_is_no_container_keeps_its_place() {
    let sandbox = sandbox!();
    std::fs::create_dir_all(sandbox.state_dir()).expect("a directory");
    let file = sandbox.state_dir().join("c");
    std::fs::write(&file, "mine").expect("a file");
    sandbox.bundle("c").create().fails_with("is no directory");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "mine");
    std::fs::remove_file(file).expect("the file");
}

/// Beside the pid file a link lies where rt writes it first.
#[test]
fn a_pid_file_is_made_anew() {
    let sandbox = sandbox!();
    let [file, link, other] = ["pid", ".pid", "other"].map(|name| sandbox.dir().join(name));
    fs::write(&other, "mine").expect("a file");
    std::os::unix::fs::symlink(&other, &link).expect("a link");
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.create_with(&["--pid-file", file.to_str().expect("UTF-8")]).ok();
    assert_eq!(fs::read_to_string(&file).expect("the pid file"), bundle.pid().to_string());
    assert_eq!(fs::read_to_string(&other).expect("the file"), "mine");
    assert!(link.symlink_metadata().is_err());
    bundle.delete_force().ok();
}

/// As in a container of another runtime: /proc/sys is bound over itself, to be read only.
#[test]
fn a_host_whose_proc_has_mounts_in_it() {
    let sandbox = sandbox!();
    let call = |program: &str, words: &[&str]| {
        assert!(std::process::Command::new(program).args(words).status().expect("mount(8)").success());
    };
    call("mount", &["--bind", "/proc/sys", "/proc/sys"]);
    call("mount", &["-o", "remount,bind,ro", "/proc/sys"]);
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    assert_eq!(bundle.exec(["/bin/probe", "echo", "inside"]).ok().stdout(), "inside\n");
    bundle.delete_force().ok();
    let changed = sandbox.bundle("s").set("/linux/sysctl", json!({ "kernel.msgmax": "8191" }));
    changed.run().fails_with("linux.sysctl: cannot set kernel.msgmax to \"8191\"").fails_with("/proc/sys read-only");
    call("umount", &["/proc/sys"]);
}
