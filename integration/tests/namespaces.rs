//! Each kind of namespace, new and joined.
use rt_integration::{Bundle, Outcome, Sandbox, sandbox};
use serde_json::json;

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
    for (kind, link) in KINDS.iter().filter(|(kind, _)| !["mount", "cgroup"].contains(kind)) {
        let first = mapped(sandbox.bundle("first").namespace(kind, None), kind).args(["pause"]);
        first.run_with(&["--detach"]).ok();
        let path = format!("/proc/{}/ns/{link}", first.pid());
        let target = std::fs::read_link(&path).expect("the first container's namespace");
        let second = joiner(&sandbox, kind, &path);
        let out = second.run().ok();
        assert_eq!(Some(seen(&out, link).as_str()), target.to_str(), "{kind}");
        first.delete_force().ok();
    }
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
    let sysctl = |bundle: Bundle<'_>, name: &str| bundle.set("/linux/sysctl", json!({ name: "1" })).run();
    sysctl(sandbox.bundle("c").without_namespace("network"), "net.ipv4.ip_forward").fails_with("net.ipv4.ip_forward");
    sysctl(sandbox.bundle("c"), "vm.swappiness").fails_with("vm.swappiness");
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

#[test]
fn time_offsets() {
    let sandbox = sandbox!();
    let offsets = json!({ "monotonic": { "secs": 86_400 }, "boottime": { "secs": 172_800, "nanosecs": 5 } });
    let bundle =
        sandbox.bundle("c").namespace("time", None).set("/linux/timeOffsets", offsets).args(["timens_offsets"]);
    let words = bundle.run().ok().stdout().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words, ["monotonic", "86400", "0", "boottime", "172800", "5"]);
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
fn sysctls_of_the_containers_namespaces() {
    let sandbox = sandbox!();
    let values = json!({ "net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "net/ipv4/ip_unprivileged_port_start": "0" });
    let names = ["sysctl", "net.ipv4.ip_forward", "kernel.shm_rmid_forced", "net.ipv4.ip_unprivileged_port_start"];
    assert_eq!(sandbox.bundle("c").set("/linux/sysctl", values).args(names).run().ok().stdout(), "1\n1\n0\n");
}

#[test]
fn an_unprivileged_user() {
    let sandbox = sandbox!().as_user(12345);
    let out = sandbox.bundle("c").args(["seq", "id", "--", "cat", "/proc/self/uid_map"]).run().ok();
    let lines = out.lines();
    assert!(lines[0].starts_with("uid=0,0,0,0 gid=0,0,0,0"), "{}", out.report());
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["0", "12345", "1"]);
}
