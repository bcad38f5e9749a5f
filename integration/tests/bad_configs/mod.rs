//! Configs that must not run, and the words that say why: what `create` refuses, `check` finds.

use rt_integration::Bundle;
use serde_json::{Value, json};

type Change = Box<dyn for<'a> Fn(Bundle<'a>) -> Bundle<'a>>;

pub struct Case {
    pub name: String,
    /// What the error has to say, in any letter case.
    pub words: &'static str,
    /// Shows only while the container is made.
    pub late: bool,
    change: Change,
}

impl Case {
    pub fn apply<'a>(&self, bundle: Bundle<'a>) -> Bundle<'a> {
        (self.change)(bundle)
    }

    fn late(mut self) -> Case {
        self.late = true;
        self
    }
}

/// One place of the config changed.
fn set(pointer: &'static str, value: Value, words: &'static str) -> Case {
    let name = format!("{pointer} = {value:.80}");
    Case { name, words, late: false, change: Box::new(move |bundle| bundle.set(pointer, value.clone())) }
}

/// A user namespace with these mappings.
fn user(name: &str, map: Option<Value>, words: &'static str) -> Case {
    let change: Change = Box::new(move |bundle| {
        let bundle = bundle.namespace("user", None);
        match &map {
            Some(map) => bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map.clone()),
            None => bundle,
        }
    });
    Case { name: name.to_owned(), words, late: false, change }
}

pub fn wrong_types() -> Vec<Case> {
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
    let last = |pointer: &'static str| pointer.rsplit('/').find(|key| key.parse::<u32>().is_err()).unwrap_or_default();
    cases.map(|(pointer, value)| set(pointer, value, last(pointer))).into()
}

pub fn senseless() -> Vec<Case> {
    let many: Vec<_> = (0..5000).map(|at| json!({ "containerID": at, "hostID": 100_000 + at, "size": 1 })).collect();
    let map = |inside: u32, outside: u32, size: u32| json!({ "containerID": inside, "hostID": outside, "size": size });
    vec![
        set("/process/args", json!([]), "args"),
        set("/process/args", json!([""]), "exec"),
        set("/process/args", json!(["a\0b"]), "NUL"),
        set("/process/env/-", json!("A=\0"), "NUL"),
        set("/process/cwd", json!("../.."), "cwd"),
        set("/process/oomScoreAdj", json!(2000), "oomScoreAdj"),
        set("/process/scheduler", json!({ "policy": "SCHED_NOTHING" }), "SCHED_NOTHING"),
        set("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 9 }), "priority"),
        set("/process/terminal", json!(true), "console socket").late(),
        set("/root/path", json!(""), "root"),
        set("/root/path", json!("a\0b"), "NUL"),
        set("/hostname", json!("a".repeat(65)), "hostname"),
        set("/mounts/-", json!({ "destination": "", "type": "tmpfs" }), "destination"),
        set("/mounts/-", json!({ "destination": "/", "type": "tmpfs", "source": "tmpfs" }), "/").late(),
        set("/mounts/-", json!({ "destination": "/x\0", "type": "tmpfs" }), "NUL"),
        set("/mounts/-", json!({ "destination": "/mnt", "type": "bind", "options": ["bind"] }), "/mnt"),
        set("/linux/rootfsPropagation", json!("sideways"), "sideways"),
        set("/linux/personality", json!({ "domain": "OS2" }), "OS2"),
        set("/linux/sysctl", json!({ "../../etc/x": "1" }), "sysctl"),
        set("/linux/sysctl", json!({ "kernel.hostname": "x" }), "kernel.hostname"),
        set("/linux/timeOffsets", json!({ "boottime": { "secs": 1 } }), "time"),
        set("/linux/maskedPaths", json!(["relative"]), "relative"),
        set("/linux/devices", json!([{ "path": "/dev/x", "type": "q", "major": 1, "minor": 1 }]), "type"),
        set("/linux/devices", json!([{ "path": "/dev/x", "type": "c" }]), "/dev/x"),
        set("/linux/resources/unified", json!({ "no.such.file": "1" }), "no.such.file").late(),
        set("/linux/resources/unified", json!({ "../cgroup.procs": "1" }), "../cgroup.procs"),
        set("/linux/resources/network", json!({ "classID": 5 }), "classID"),
        user("5000 mappings", Some(json!(many)), "mapping"),
        user("an empty mapping", Some(json!([map(0, 0, 0)])), "mapping"),
        user("overlapping mappings", Some(json!([map(0, 0, 10), map(5, 100, 10)])), "mapping"),
        user("a mapping past the end", Some(json!([map(0, u32::MAX, 2)])), "mapping"),
        user("a user that is not mapped", Some(json!([map(1, 1, 1)])), "mapp"),
        user("a user namespace without mappings", None, "mapping"),
    ]
}
