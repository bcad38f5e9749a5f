//! Each kind of namespace, new and joined.
use rt_integration::{Bundle, Outcome, Sandbox, sandbox};
use serde_json::json;
use std::io::Read;
use std::process::Command;

/// Namespace kinds as the config and as /proc name them.
const KINDS: &[(&str, &str)] = &[
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
    ("user", "user"),
    ("time", "time"),
];

fn own(kind: &str) -> String {
    let link = std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).expect("procfs");
    link.to_str().expect("UTF-8").to_owned()
}

#[track_caller]
fn seen(out: &Outcome, kind: &str) -> String {
    let lines = out.lines();
    let line = lines.iter().find_map(|line| line.strip_prefix(&format!("{kind} ")));
    line.unwrap_or_else(|| panic!("no {kind}: {}", out.report())).to_owned()
}

fn mapped<'a>(bundle: Bundle<'a>, kind: &str) -> Bundle<'a> {
    if kind != "user" {
        return bundle;
    }
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
}

#[test]
fn a_new_one_of_each_kind() {
    let sandbox = sandbox!();
    for (kind, link) in KINDS {
        let bundle = mapped(sandbox.bundle("c").namespace(kind, None), kind).args(["ns"]);
        let out = bundle.run().ok();
        assert_ne!(seen(&out, link), own(link), "{kind}");
    }
}

#[test]
fn the_callers_own_where_none_is_named() {
    let sandbox = sandbox!();
    for (kind, link) in KINDS.iter().filter(|(kind, _)| *kind != "mount") {
        let mut bundle = sandbox.bundle("c").without_namespace(kind).args(["ns"]);
        if *kind == "uts" {
            bundle = bundle.edit(|spec| drop(spec.as_object_mut().expect("an object").remove("hostname")));
        }
        let out = bundle.run().ok();
        assert_eq!(seen(&out, link), own(link), "{kind}");
    }
}

#[test]
fn joining_each_kind_by_path() {
    let sandbox = sandbox!();
    for (kind, link) in KINDS.iter().filter(|(kind, _)| *kind != "mount") {
        let first = mapped(sandbox.bundle("first").namespace(kind, None), kind).args(["pause"]);
        first.run_with(&["--detach"]).ok();
        let path = format!("/proc/{}/ns/{link}", first.pid());
        let target = std::fs::read_link(&path).expect("the first container's namespace");
        let second = joiner(&sandbox, kind, &path);
        let out = second.run().ok();
        assert_eq!(Some(seen(&out, link).as_str()), target.to_str(), "{kind}");
        // And who joins the second, joins it as well.
        let second = second.args(["pause"]);
        second.run_with(&["--detach"]).ok();
        let out = second.exec(["/bin/probe", "ns"]).ok();
        if *kind != "cgroup" {
            assert_eq!(Some(seen(&out, link).as_str()), target.to_str(), "{kind}");
        }
        second.delete_force().ok();
        first.delete_force().ok();
    }
}

/// Unlike a container's own, a mount namespace to join has to show the bundle.
#[test]
fn joining_a_mount_namespace_by_path() {
    let sandbox = sandbox!();
    let mut holder = Command::new("unshare");
    let holder = holder.arg("-m").arg(sandbox.probe()).args(["seq", "echo", "ready", "--", "pause"]);
    let mut holder = holder.stdout(std::process::Stdio::piped()).spawn().expect("unshare");
    let mut ready = [0; 5];
    holder.stdout.as_mut().expect("a pipe").read_exact(&mut ready).expect("a line");
    let path = format!("/proc/{}/ns/mnt", holder.id());
    let target = std::fs::read_link(&path).expect("the namespace");
    let words = ["seq", "ns", "--", "ls", "/", "--", "write", "/new", "text"];
    // What is mounted there stays there.
    let outs = [false, true].map(|readonly| {
        let bundle = sandbox.bundle("c").namespace("mount", Some(&path)).args(words);
        bundle.set("/root/readonly", readonly).run()
    });
    holder.kill().expect("its end");
    holder.wait().expect("its end");
    for out in &outs {
        assert_eq!(Some(seen(out, "mnt").as_str()), target.to_str());
        assert!(!out.lines().contains(&"usr".to_owned()), "the container's own root: {}", out.report());
    }
    let [writable, readonly] = outs;
    readonly.fails_with("EROFS");
    writable.ok();
}

fn joiner<'a>(sandbox: &'a Sandbox, kind: &str, path: &str) -> Bundle<'a> {
    let bundle = sandbox.bundle("second").namespace(kind, Some(path)).args(["ns"]);
    if kind != "uts" {
        return bundle;
    }
    bundle.edit(|spec| drop(spec.as_object_mut().expect("an object").remove("hostname")))
}

#[test]
fn paths_that_lead_nowhere() {
    let sandbox = sandbox!();
    let net = "/proc/self/ns/net";
    let cases = [
        ("network", "/nowhere"),
        ("network", "/proc/self/ns/uts"),
        ("network", "/etc/passwd"),
        ("uts", net),
        ("network", "relative/path"),
    ];
    for (kind, path) in cases {
        sandbox.bundle("c").namespace(kind, Some(path)).run().fails_with(path);
    }
}

/// Each kind is checked before anything is made of it.
#[test]
fn a_namespace_of_another_kind_or_named_twice() {
    let sandbox = sandbox!();
    for (kind, link) in KINDS {
        let (other, wrong) = if *kind == "uts" { ("network", "net") } else { ("uts", "uts") };
        let path = format!("/proc/self/ns/{wrong}");
        let bundle = sandbox.bundle("c").namespace(kind, Some(&path));
        let last = bundle.spec["linux"]["namespaces"].as_array().expect("a list").len() - 1;
        let text = format!("linux.namespaces[{last}] {kind}: {path} is a namespace of type {other}, not {kind}");
        bundle.create().fails_with(&text);
        for path in [None, Some(format!("/proc/self/ns/{link}"))] {
            let mut again = json!({ "type": kind });
            if let Some(path) = path {
                again["path"] = path.into();
            }
            let bundle = mapped(sandbox.bundle("c").namespace(kind, None), kind).set("/linux/namespaces/-", again);
            let text = format!("linux.namespaces[{}]: malformed spec file: duplicated ns \"{kind}\"", last + 1);
            bundle.create().fails_with(&text);
        }
    }
}

#[test]
fn lists_that_make_no_sense() {
    let sandbox = sandbox!();
    let twice = sandbox.bundle("c").set("/linux/namespaces/-", json!({ "type": "pid" }));
    twice.run().fails_with("pid");
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    let unmapped = sandbox.bundle("c").set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    unmapped.run().fails_with("user namespace");
    sandbox.bundle("c").set("/linux/namespaces/-", json!({ "type": "nothing" })).run().fails_with("nothing");
    // Settings that would change the host.
    sandbox.bundle("c").without_namespace("uts").run().fails_with("uts");
}

#[test]
fn user_mappings_of_several_ranges() {
    let sandbox = sandbox!();
    let map = json!([
        { "containerID": 0, "hostID": 100_000, "size": 10 },
        { "containerID": 10, "hostID": 200_000, "size": 5 }
    ]);
    let bundle = sandbox
        .bundle("c")
        .namespace("user", None)
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map);
    let bundle = bundle.set("/process/user", json!({ "uid": 12, "gid": 3 }));
    let out = bundle.args(["seq", "id", "--", "cat", "/proc/self/uid_map", "/proc/self/gid_map"]).run().ok();
    let lines: Vec<String> =
        out.lines().iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[1..], ["0 100000 10", "10 200000 5", "0 100000 10", "10 200000 5"]);
    assert!(lines[0].starts_with("uid=12,12,12,12 gid=3,3,3,3"), "{}", out.report());
}

fn clocks() -> [i64; 2] {
    [libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME].map(|clock| {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a live timespec, which the kernel fills.
        unsafe { libc::clock_gettime(clock, &mut now) };
        now.tv_sec
    })
}

/// Under root, in a user namespace of root's making, and in one of an unprivileged user's.
#[test]
fn time_offsets() {
    let check = |bundle: Bundle<'_>| {
        let offsets = json!({ "monotonic": { "secs": 86_400 }, "boottime": { "secs": 172_800, "nanosecs": 5 } });
        let bundle = bundle.namespace("time", None).set("/linux/timeOffsets", offsets);
        let before = clocks();
        let out = bundle.args(["seq", "timens_offsets", "--", "time"]).run().ok();
        let after = clocks();
        let words = out.stdout().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words[..6], ["monotonic", "86400", "0", "boottime", "172800", "5"]);
        for (i, offset) in [86_400, 172_800].into_iter().enumerate() {
            let seen: i64 = words[6 + i].parse().expect("seconds");
            assert!((before[i] + offset..=after[i] + offset + 1).contains(&seen), "{}", out.report());
        }
    };
    let sandbox = sandbox!();
    check(sandbox.bundle("c"));
    check(mapped(sandbox.bundle("c").namespace("user", None), "user"));
    drop(sandbox);
    let sandbox = sandbox!().as_user(12345);
    check(sandbox.bundle("c"));
}

#[test]
fn time_offsets_that_make_no_sense() {
    let sandbox = sandbox!();
    for (offsets, text) in [
        (
            json!({ "monotonic": { "nanosecs": 1_000_000_000 } }),
            "linux.timeOffsets.monotonic.nanosecs: 1000000000 is not below 1000000000",
        ),
        (json!({ "monotonic": { "nanosecs": -1 } }), "linux.timeOffsets.monotonic.nanosecs: invalid value"),
        (
            json!({ "boottime": { "secs": 9_223_372_036_854_775_808_u64 } }),
            "linux.timeOffsets.boottime.secs: invalid value",
        ),
        (
            json!({ "boottime": { "secs": i64::MAX } }),
            "(a clock of the container would be negative, or run for more than 146 years)",
        ),
        (
            json!({ "boottime": { "secs": -4_000_000_000_i64 } }),
            "(a clock of the container would be negative, or run for more than 146 years)",
        ),
        (json!({ "realtime": { "secs": 1 } }), "linux.timeOffsets.realtime: is not one of monotonic, boottime"),
    ] {
        sandbox.bundle("c").namespace("time", None).set("/linux/timeOffsets", offsets).create().fails_with(text);
    }
    let one = json!({ "monotonic": { "secs": 1 } });
    let bundle = sandbox.bundle("c").set("/linux/timeOffsets", one.clone());
    bundle.create().fails_with("linux.timeOffsets: needs a time namespace (linux.namespaces lacks \"time\")");
    let bundle = sandbox.bundle("c").namespace("time", Some("/proc/self/ns/time")).set("/linux/timeOffsets", one);
    bundle.create().fails_with("linux.timeOffsets: cannot be set on a time namespace that is joined by path");
}

#[test]
fn host_names() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").set("/hostname", "a-name").set("/domainname", "a.domain");
    assert_eq!(bundle.args(["seq", "hostname", "--", "domainname"]).run().ok().stdout(), "a-name\na.domain\n");
}

#[test]
fn loopback_is_up() {
    let sandbox = sandbox!();
    let out = sandbox.bundle("c").args(["net"]).run().ok();
    assert!(out.lines().contains(&"lo UP,LOOPBACK,RUNNING".to_owned()), "{}", out.report());
}

#[test]
fn an_unprivileged_user() {
    let sandbox = sandbox!().as_user(12345);
    let out = sandbox.bundle("c").args(["seq", "id", "--", "cat", "/proc/self/uid_map"]).run().ok();
    let lines = out.lines();
    assert!(lines[0].starts_with("uid=0,0,0,0 gid=0,0,0,0"), "{}", out.report());
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["0", "12345", "1"]);
}
