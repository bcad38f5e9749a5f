//! Configs that must not run, each refused in one line that names what is wrong with it.

use rt_integration::{Bundle, Sandbox, sandbox};
use serde_json::{Value, json};

/// Creates with one place of the config changed; says what went wrong if it was not refused as it should be.
fn refusal(sandbox: &Sandbox, pointer: &str, value: Value, words: &str) -> Option<String> {
    let case = format!("{pointer} = {value:.80}");
    check(sandbox.bundle("c").set(pointer, value), &case, words)
}

fn check(bundle: Bundle<'_>, case: &str, words: &str) -> Option<String> {
    let out = bundle.create();
    if out.status.success() {
        bundle.delete_force();
        return Some(format!("{case}: accepted"));
    }
    let stderr = out.stderr();
    let one_line = stderr.trim_end().lines().count() == 1;
    let named = stderr.to_lowercase().contains(&words.to_lowercase());
    let signal = out.code() != 1;
    (!one_line || !named || signal).then(|| format!("{case}: wanted {words:?}, code 1: {}", out.report()))
}

fn none_of(failures: impl IntoIterator<Item = Option<String>>) {
    let failures: Vec<_> = failures.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{} wrong:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn bytes_that_are_no_config() {
    let sandbox = sandbox!();
    let cases: &[(&[u8], &str)] = &[
        (b"", "config.json"),
        (b"{", "config.json"),
        (b"{}", "ociVersion"),
        (b"[]", "config.json"),
        (b"null", "config.json"),
        (b"\"text\"", "config.json"),
        (b"{\"ociVersion\": \"1.2.0\"", "config.json"),
        (b"{\"ociVersion\": \"1.2.0\"} trailing", "config.json"),
        (b"\xff\xfe\x00", "config.json"),
        (b"{\"ociVersion\": 1}", "ociVersion"),
        (b"{\"ociVersion\": \"nonsense\"}", "ociVersion"),
        (b"{\"ociVersion\": \"2.0.0\"}", "ociVersion"),
        (b"{\"ociVersion\": \"1.0.0\", \"process\": {}}", "process: missing field"),
    ];
    none_of(cases.iter().map(|(bytes, words)| {
        let case = String::from_utf8_lossy(bytes).into_owned();
        check(sandbox.bundle("c").raw_config(bytes), &case, words)
    }));
    let missing = sandbox.rt(["create", "--bundle", "/nowhere", "c"]);
    missing.fails_with("/nowhere");
    let empty = sandbox.rt(["create", "--bundle", "/proc", "c"]);
    empty.fails_with("config.json");
}

#[test]
fn wrong_types() {
    let sandbox = sandbox!();
    let cases = [
        ("/process", json!([])),
        ("/process/args", json!("true")),
        ("/process/args/0", json!(1)),
        ("/process/env", json!({ "A": "b" })),
        ("/process/user/uid", json!("root")),
        ("/process/user/uid", json!(-1)),
        ("/process/user/uid", json!(1u64 << 32)),
        ("/process/terminal", json!("yes")),
        ("/process/rlimits/0/soft", json!(-1)),
        ("/root", json!("rootfs")),
        ("/mounts", json!({})),
        ("/mounts/0/options", json!("ro")),
        ("/hooks", json!(7)),
        ("/linux/namespaces", json!(["pid"])),
        ("/linux/resources/devices/0/allow", json!("no")),
        ("/linux/maskedPaths", json!("/proc/kcore")),
        ("/linux/sysctl", json!([])),
        ("/annotations", json!({ "a": 1 })),
    ];
    // The error names the place in the file; its last word is enough to find it.
    none_of(cases.map(|(pointer, value)| {
        let key = pointer.rsplit('/').find(|key| key.parse::<u32>().is_err()).unwrap_or_default();
        refusal(&sandbox, pointer, value, key)
    }));
}

#[test]
fn values_that_make_no_sense() {
    let sandbox = sandbox!();
    let many: Vec<_> = (0..5000).map(|at| json!({ "containerID": at, "hostID": 100_000 + at, "size": 1 })).collect();
    let user = |map: Value| {
        let bundle = sandbox.bundle("c").namespace("user", None);
        bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
    };
    let map = |inside: u32, outside: u32, size: u32| json!({ "containerID": inside, "hostID": outside, "size": size });
    none_of([
        refusal(&sandbox, "/process/args", json!([]), "args"),
        refusal(&sandbox, "/process/args", json!([""]), "exec"),
        refusal(&sandbox, "/process/args", json!(["a\0b"]), "NUL"),
        refusal(&sandbox, "/process/env/-", json!("A=\0"), "NUL"),
        refusal(&sandbox, "/process/cwd", json!("../.."), "cwd"),
        refusal(&sandbox, "/process/oomScoreAdj", json!(2000), "oomScoreAdj"),
        refusal(&sandbox, "/process/scheduler", json!({ "policy": "SCHED_NOTHING" }), "SCHED_NOTHING"),
        refusal(&sandbox, "/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 9 }), "priority"),
        refusal(&sandbox, "/process/terminal", json!(true), "console socket"),
        refusal(&sandbox, "/root/path", json!(""), "root"),
        refusal(&sandbox, "/root/path", json!("a\0b"), "NUL"),
        refusal(&sandbox, "/hostname", json!("a".repeat(65)), "hostname"),
        refusal(&sandbox, "/mounts/-", json!({ "destination": "", "type": "tmpfs" }), "destination"),
        refusal(&sandbox, "/mounts/-", json!({ "destination": "/", "type": "tmpfs", "source": "tmpfs" }), "/"),
        refusal(&sandbox, "/mounts/-", json!({ "destination": "/x\0", "type": "tmpfs" }), "NUL"),
        refusal(&sandbox, "/mounts/-", json!({ "destination": "/mnt", "type": "bind", "options": ["bind"] }), "/mnt"),
        refusal(&sandbox, "/linux/rootfsPropagation", json!("sideways"), "sideways"),
        refusal(&sandbox, "/linux/personality", json!({ "domain": "OS2" }), "OS2"),
        refusal(&sandbox, "/linux/sysctl", json!({ "../../etc/x": "1" }), "sysctl"),
        refusal(&sandbox, "/linux/sysctl", json!({ "kernel.hostname": "x" }), "kernel.hostname"),
        refusal(&sandbox, "/linux/timeOffsets", json!({ "boottime": { "secs": 1 } }), "time"),
        refusal(&sandbox, "/linux/maskedPaths", json!(["relative"]), "relative"),
        refusal(&sandbox, "/linux/devices", json!([{ "path": "/dev/x", "type": "q", "major": 1, "minor": 1 }]), "type"),
        refusal(&sandbox, "/linux/devices", json!([{ "path": "/dev/x", "type": "c" }]), "/dev/x"),
        refusal(&sandbox, "/linux/resources/unified", json!({ "no.such.file": "1" }), "no.such.file"),
        refusal(&sandbox, "/linux/resources/unified", json!({ "../cgroup.procs": "1" }), "../cgroup.procs"),
        refusal(&sandbox, "/linux/resources/network", json!({ "classID": 5 }), "classID"),
        check(user(json!(many)), "5000 mappings", "mapping"),
        check(user(json!([map(0, 0, 0)])), "an empty mapping", "mapping"),
        check(user(json!([map(0, 0, 10), map(5, 100, 10)])), "overlapping mappings", "mapping"),
        check(user(json!([map(0, u32::MAX, 2)])), "a mapping past the end", "mapping"),
        check(user(json!([map(1, 1, 1)])), "a user that is not mapped", "mapp"),
        check(sandbox.bundle("c").namespace("user", None), "a user namespace without mappings", "mapping"),
    ]);
}

#[test]
fn a_label_that_nothing_would_apply() {
    let sandbox = sandbox!();
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        rt_integration::skip!("this host has SELinux");
    }
    let words = "linux.mountLabel: selinux label is specified in config, but selinux is disabled or not supported";
    let label = "system_u:object_r:container_file_t:s0:c1,c2";
    none_of([refusal(&sandbox, "/linux/mountLabel", label.into(), words)]);
    // An empty one asks for nothing.
    sandbox.bundle("c").set("/linux/mountLabel", "").run().ok();
}
