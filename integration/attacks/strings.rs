//! Strings that are too long, or end too early: seventy kilobytes of mappings or of a namespace's path must not spill into
//! the fields beside them (CVE-2021-43784), and no NUL may hide the rest of a path.

use super::victim::{Victim, fails, harms};
use rt_integration::{Bundle, Sandbox, sandbox};
use serde_json::{Value, json};
use std::fs;

const KINDS: [&str; 6] = ["pid", "network", "ipc", "uts", "mount", "cgroup"];

/// The container's namespaces are as configured, each a new one.
#[track_caller]
fn is_apart(bundle: &Bundle) {
    let out = bundle.run().ok();
    for kind in KINDS {
        let link = match kind {
            "network" => "net",
            "mount" => "mnt",
            other => other,
        };
        let own = fs::read_link(format!("/proc/thread-self/ns/{link}")).expect("procfs");
        let inside = out.lines().iter().find_map(|line| line.strip_prefix(&format!("{link} ")).map(str::to_owned));
        assert_ne!(inside.as_deref(), own.to_str(), "{link}: {}", out.report());
        assert!(inside.is_some(), "{link}: {}", out.report());
    }
}

#[test]
fn as_many_mappings_as_the_kernel_takes() {
    let sandbox = sandbox!();
    let map = |at: u32| json!({ "containerID": at, "hostID": 100_000 + at * 2, "size": 1 });
    let maps: Vec<_> = (0..250).map(map).collect();
    is_apart(&sandbox.bundle("c").args(["ns"]));
    let bundle = sandbox.bundle("c").namespace("user", None).set("/linux/uidMappings", maps.clone());
    is_apart(&bundle.set("/linux/gidMappings", maps).args(["ns"]));
}

/// One line that names the field, and nothing is made.
#[track_caller]
fn is_refused(bundle: Bundle<'_>, field: &str) {
    let out = bundle.create();
    let (stderr, first) = (out.stderr(), out.stderr().chars().take(300).collect::<String>());
    assert_eq!(out.code(), 1, "{field}: {first}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{field}: {first}");
    assert!(stderr.contains(field), "{field}: {first}");
    assert!(!stderr.trim_end().contains(char::is_control), "{field}: {first:?}");
}

#[test]
fn what_is_too_long_or_ends_early() {
    let sandbox = sandbox!();
    // Netlink attributes have 16 bits of length, which is where runc's overflowed.
    let spill = format!("/proc/self/ns/net{}", "x".repeat(70_000));
    let nul = "/proc/self/ns/net\0/evil";
    for kind in KINDS {
        is_refused(sandbox.bundle("c").namespace(kind, Some(&spill)), "linux.namespaces");
        is_refused(sandbox.bundle("c").namespace(kind, Some(nul)), "linux.namespaces");
    }
    let maps: Vec<_> = (0..3500).map(|at| json!({ "containerID": at, "hostID": 100_000 + at, "size": 1 })).collect();
    let bundle = sandbox.bundle("c").namespace("user", None).set("/linux/uidMappings", maps.clone());
    is_refused(bundle.set("/linux/gidMappings", maps), "linux.uidMappings");
    for (pointer, field) in [
        ("/process/args/0", "process.args[0]"),
        ("/process/cwd", "cwd"),
        ("/process/env/0", "process.env[0]"),
        ("/hostname", "hostname"),
        ("/mounts/0/destination", "mounts[0]"),
        ("/mounts/1/source", "mounts[1]"),
        ("/linux/maskedPaths/0", "linux.maskedPaths[0]"),
        ("/linux/readonlyPaths/0", "linux.readonlyPaths[0]"),
        ("/linux/cgroupsPath", "linux.cgroupsPath"),
        ("/root/path", "root.path"),
    ] {
        is_refused(sandbox.bundle("c").set(pointer, "/x\0y"), field);
    }
}

/// A NUL that ends a string for some, and not for whoever checked it.
fn nul_hides_the_rest(sandbox: &Sandbox, victim: Victim) -> Result<(), String> {
    let bundle = sandbox.bundle("c").set("/process/args", json!(["/bin/probe\0/not/this", "echo", "hidden"]));
    let out = victim.run(sandbox, bundle, &[]);
    if out.stdout().contains("hidden") { Err("a program's name ends at its NUL".to_owned()) } else { Ok(()) }
}

#[test]
fn a_nul_hides_nothing() {
    fails(nul_hides_the_rest);
}

#[test]
fn a_nul_hides_the_rest_from_others() {
    harms("crun", [9, 0, 0], nul_hides_the_rest);
}

/// Names of any script are names; what looks like a way out in one form or another is none.
#[test]
fn names_of_any_script() {
    let sandbox = sandbox!();
    for name in ["/mnt/\u{202e}txt", "/mnt/ä/ö", "/mnt/\u{1f980}", "/mnt/a\nb", "/mnt/．．/x", "/mnt/%2e%2e/x"] {
        let out = sandbox.bundle("c").mount(name, "tmpfs", "tmpfs", &[]).args(["statfs", name]).run().ok();
        assert_eq!(out.stdout(), "1021994\n", "{name:?}");
    }
}

/// A process.json is a configuration like any other.
#[test]
fn a_process_that_is_too_long_or_ends_early() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let file = sandbox.dir().join("process.json");
    let exec = |pointer: &str, value: Value| {
        let mut process = json!({ "cwd": "/", "user": { "uid": 0, "gid": 0 }, "args": ["/bin/true"], "env": ["A=1"] });
        rt_integration::set(&mut process, pointer, value);
        fs::write(&file, process.to_string()).expect("a file");
        sandbox.rt(["exec", "--process", file.to_str().expect("UTF-8"), "c"])
    };
    for (pointer, value, words) in [
        ("/args/0", json!("/bin/true\0x"), "process.args[0]"),
        ("/cwd", json!("/\0x"), "cwd"),
        ("/env/0", json!("A=1\0B=2"), "process.env[0]"),
        ("/cwd", json!("/x".repeat(35_000)), "cwd"),
        ("/args/0", json!("/x".repeat(35_000)), "exec"),
        ("/user/uid", json!(4_294_967_296_u64), "user.uid"),
        ("/user/additionalGids", json!([-1]), "user.additionalGids"),
    ] {
        let out = exec(pointer, value).expect(255);
        let first = out.stderr().chars().take(300).collect::<String>();
        assert!(out.stderr().contains(words) && out.stderr().trim_end().lines().count() == 1, "{pointer}: {first}");
    }
    exec("/args/0", json!("/bin/true")).ok();
    bundle.delete_force().ok();
}
