//! The six hooks: when, in what order, with what, and what their failure does.

use rt_integration::{Sandbox, sandbox, skip};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// A hook that runs the probe of the sandbox.
fn probe(sandbox: &Sandbox, args: &[&str]) -> Value {
    let words: Vec<_> = ["probe"].iter().chain(args).collect();
    json!({ "path": sandbox.probe(), "args": words })
}

fn note(sandbox: &Sandbox, text: &str) -> (PathBuf, Value) {
    let file = sandbox.dir().join("notes");
    let hook = probe(sandbox, &["append", file.to_str().expect("UTF-8"), text]);
    (file, hook)
}

#[test]
fn all_six_in_order_each_at_its_time() {
    let sandbox = sandbox!();
    let mut bundle = sandbox.bundle("c");
    let mut file = PathBuf::new();
    // What runs inside finds the notes through a bind of the scratch directory.
    let dir = sandbox.dir();
    let dir = dir.to_str().expect("UTF-8");
    bundle = bundle.mount(dir, "bind", dir, &["rbind"]);
    for point in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        for number in [1, 2] {
            let (notes, hook) = note(&sandbox, &format!("{point} {number}"));
            bundle = bundle.set(&format!("/hooks/{point}/-"), hook);
            file = notes;
        }
    }
    let notes = || fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    bundle.create().ok();
    let at_create =
        ["prestart 1", "prestart 2", "createRuntime 1", "createRuntime 2", "createContainer 1", "createContainer 2"];
    assert_eq!(notes(), at_create);
    bundle.start().ok();
    let mut at_start = notes()[6..].to_vec();
    at_start.sort();
    assert_eq!(at_start, ["poststart 1", "poststart 2", "startContainer 1", "startContainer 2"]);
    bundle.delete_force().ok();
    assert_eq!(notes()[10..], ["poststop 1", "poststop 2"]);
}

#[test]
fn a_hook_gets_the_state_and_its_own_environment() {
    let sandbox = sandbox!();
    let (state, environment) = (sandbox.dir().join("state-seen"), sandbox.dir().join("env-seen"));
    let script = format!("cat > {}; env > {}", state.display(), environment.display());
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["ONLY=this", "PATH=/usr/bin:/bin"] });
    let bundle = sandbox.bundle("c").set("/annotations/a", "b").set("/hooks/createRuntime/-", hook);
    bundle.create().ok();
    let seen: Value = serde_json::from_slice(&fs::read(state).expect("the state")).expect("JSON");
    assert_eq!((&seen["id"], &seen["status"]), (&json!("c"), &json!("creating")));
    assert_eq!(seen["annotations"], json!({ "a": "b" }));
    assert_eq!(seen["pid"].as_i64().map(|pid| pid as i32), Some(bundle.pid()));
    let environment = fs::read_to_string(environment).expect("the environment");
    assert!(environment.contains("ONLY=this\n") && !environment.contains("TERM=xterm"), "{environment}");
    bundle.delete_force().ok();
}

/// Where each kind runs, what it is told, and its environment.
#[test]
fn what_each_kind_sees() {
    let sandbox = sandbox!();
    let dir = sandbox.dir();
    let dir = dir.to_str().expect("UTF-8");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("procfs").trim_end().to_owned();
    for environment in [json!(["ONLY=this", "EMPTY=", "LAST=a=b c"]), Value::Null] {
        let mut bundle = sandbox.bundle("c").mount(dir, "bind", dir, &["rbind"]).set("/process/cwd", "/tmp");
        bundle = bundle.set("/hostname", "inside").set("/annotations/a", "b").args(["pause"]);
        let rootfs = bundle.rootfs();
        let (home, rootfs) =
            (bundle.dir.to_str().expect("UTF-8").to_owned(), rootfs.to_str().expect("UTF-8").to_owned());
        for point in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
            let mut hook = probe(&sandbox, &["report", &format!("{dir}/{point}")]);
            if point == "startContainer" {
                hook["path"] = json!("/bin/probe");
            }
            if !environment.is_null() {
                hook["env"] = environment.clone();
            }
            bundle = bundle.set(&format!("/hooks/{point}/-"), hook);
        }
        bundle.create().ok();
        bundle.start().ok();
        let pid = bundle.pid();
        bundle.delete_force().ok();
        for (point, cwd, node, status, pid) in [
            ("prestart", home.as_str(), host.as_str(), "created", pid),
            ("createRuntime", &home, &host, "creating", pid),
            ("createContainer", &rootfs, "inside", "creating", 1),
            ("startContainer", "/tmp", "inside", "created", 1),
            ("poststart", &home, &host, "running", pid),
            ("poststop", &home, &host, "stopped", 0),
        ] {
            let seen = fs::read_to_string(format!("{dir}/{point}")).unwrap_or_else(|error| panic!("{point}: {error}"));
            let lines: Vec<_> = seen.lines().collect();
            assert_eq!(lines[..2], [cwd, node], "{point}");
            let state: Value = serde_json::from_str(lines[2]).expect("JSON");
            let expected = json!({ "ociVersion": "1.2.0", "id": "c", "status": status, "pid": pid, "bundle": home, "annotations": { "a": "b" } });
            assert_eq!(state, expected, "{point}");
            assert_eq!(
                json!(lines[3..]),
                if environment.is_null() { json!([]) } else { environment.clone() },
                "{point}"
            );
        }
    }
}

/// What a failing hook prints is in the error, whichever kind it is of; its timeout too.
#[test]
fn the_words_of_a_failure() {
    let sandbox = sandbox!();
    let script = "echo said; echo complained >&2; exit 3";
    let failing = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] }]);
    for point in ["prestart", "createRuntime", "createContainer"] {
        let text = format!("error running {point} hook #0: exit status 3, stdout: said, stderr: complained");
        sandbox.bundle("c").set(&format!("/hooks/{point}"), failing.clone()).create().fails_with(&text);
    }
    let inside = json!([{ "path": "/bin/probe", "args": ["probe", "seq", "echo", "said", "--", "exit", "3"] }]);
    let bundle = sandbox.bundle("c").set("/hooks/startContainer", inside);
    bundle.run().fails_with("error running startContainer hook #0: exit status 3, stdout: said, stderr: ");
    let second = json!([probe(&sandbox, &["true"]), { "path": sandbox.probe(), "args": ["probe", "sleep", "1000"], "timeout": 1 }]);
    let bundle = sandbox.bundle("c").set("/hooks/createRuntime", second);
    bundle.create().fails_with("error running createRuntime hook #1: hook ran past specified timeout of 1.0s");
    for (timeout, text) in [(0, "timeout 0 is not greater than zero"), (-1, "timeout -1 is not greater than zero")] {
        let hook = json!([{ "path": "/bin/true", "timeout": timeout }]);
        sandbox.bundle("c").set("/hooks/poststop", hook).create().fails_with(&format!("hooks.poststop[0]: {text}"));
    }
}

#[test]
fn prestart_is_told_of_a_created_container() {
    let sandbox = sandbox!();
    let state = sandbox.dir().join("state-seen");
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", format!("cat > {}", state.display())], "env": ["PATH=/usr/bin:/bin"] });
    let bundle = sandbox.bundle("c").set("/hooks/prestart/-", hook);
    bundle.create().ok();
    let seen: Value = serde_json::from_slice(&fs::read(state).expect("the state")).expect("JSON");
    assert_eq!((&seen["status"], &seen["pid"]), (&json!("created"), &json!(bundle.pid())));
    bundle.delete_force().ok();
}

#[test]
fn what_a_failure_does() {
    let sandbox = sandbox!();
    let failing =
        json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo the reason >&2; exit 3"], "env": ["PATH=/bin"] });
    for point in ["prestart", "createRuntime", "createContainer"] {
        let bundle = sandbox.bundle("c").set(&format!("/hooks/{point}"), json!([failing]));
        let out = bundle.create().fails_with("the reason");
        assert!(out.stderr().contains(point), "{}", out.report());
        sandbox.rt(["state", "c"]).fails_with("does not exist");
        assert!(!sandbox.cgroup_dir("c").exists());
    }
    // Too late to undo anything: the delete goes on.
    let bundle = sandbox.bundle("c").set("/hooks/poststop", json!([failing]));
    bundle.create().ok();
    bundle.delete_force().ok();
    sandbox.bundle("c").set("/hooks/prestart", json!([{ "path": "/nowhere" }])).create().fails_with("/nowhere");
    sandbox.bundle("c").set("/hooks/prestart", json!([{ "path": "relative" }])).create().fails_with("relative");
}

#[test]
fn a_hook_that_takes_too_long() {
    let sandbox = sandbox!();
    let mut hook = probe(&sandbox, &["sleep", "1000"]);
    hook["timeout"] = json!(1);
    let bundle = sandbox.bundle("c").set("/hooks/createRuntime", json!([hook]));
    bundle.create().fails_with("createRuntime");
}

/// NVIDIA's hooks rely on this.
#[test]
fn a_host_hook_edits_the_rootfs_beneath_a_mount() {
    let sandbox = sandbox!();
    let volume = sandbox.dir().join("volume");
    fs::create_dir(&volume).expect("a directory");
    let bundle = sandbox.bundle("c").mount("/data", "bind", volume.to_str().expect("UTF-8"), &["bind"]);
    let inside = bundle.rootfs().join("data/written");
    let hook = probe(&sandbox, &["write", inside.to_str().expect("UTF-8"), "by the hook"]);
    let out = bundle.set("/hooks/createContainer", json!([hook])).args(["cat", "/data/written"]).run().ok();
    assert_eq!(out.stdout(), "by the hook");
}

#[test]
fn hooks_run_outside_the_containers_cgroup() {
    let sandbox = sandbox!();
    let seen = sandbox.dir().join("cgroup-seen");
    let script = format!("cat /proc/self/cgroup > {}", seen.display());
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] });
    sandbox.bundle("c").set("/hooks/createRuntime", json!([hook])).run().ok();
    let seen = fs::read_to_string(seen).expect("the hook's note");
    assert!(!seen.contains(sandbox.cgroup()), "{seen}");
}

/// A message of any length and of any bytes is still a failure.
#[test]
fn a_hook_that_prints_rubbish_fails_the_start() {
    let sandbox = sandbox!();
    let hook = json!({ "path": "/bin/probe", "args": ["probe", "seq", "cat", "/bin/probe", "--", "exit", "3"] });
    let bundle = sandbox.bundle("c").set("/hooks/startContainer/-", hook);
    bundle.create().ok();
    bundle.start().fails_with("error running startContainer hook #0: exit status 3");
    assert_eq!(bundle.status(), "stopped");
    bundle.delete().ok();
}

/// Each kind where it belongs; after them init is closed again to who is of the same user (its files in /proc are root's).
#[test]
fn hooks_of_a_user_without_privilege() {
    let sandbox = match Sandbox::new() {
        Ok(sandbox) => sandbox.as_user(12345),
        Err(why) => skip!("{why}"),
    };
    let seen = sandbox.dir().join("seen");
    let inside = |file: &str| {
        format!("readlink /proc/self/ns/mnt > {}-{file}; id -u >> {}-{file}", seen.display(), seen.display())
    };
    let hook =
        |file: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", inside(file)], "env": ["PATH=/bin:/usr/bin"] }]);
    let bundle = sandbox.bundle("c").set("/hooks/createRuntime", hook("runtime"));
    let bundle = bundle.set("/hooks/createContainer", hook("container"));
    bundle.create().ok();
    let read = |file: &str| fs::read_to_string(format!("{}-{file}", seen.display())).expect("the hook's note");
    let of = |pid: &str| format!("{}\n", fs::read_link(format!("/proc/{pid}/ns/mnt")).expect("procfs").display());
    assert_eq!(read("runtime"), of("thread-self") + "12345\n");
    let pid = bundle.pid().to_string();
    assert_eq!(read("container"), of(&pid) + "0\n");
    let owner = fs::metadata(format!("/proc/{pid}/environ")).expect("procfs");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 0);
    bundle.start().ok();
    bundle.delete_force().ok();
    let failing = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"] }]);
    let bundle = sandbox.bundle("c").set("/hooks/createContainer", failing);
    bundle.create().fails_with("error running createContainer hook #0: exit status 3, stdout: , stderr: why");
}
