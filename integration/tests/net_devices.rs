//! Network devices of the host that become the container's, and come back where the container does not come to be.

use rt_integration::{Sandbox, sandbox, skip};
use serde_json::{Value, json};
use std::process::Command;

fn ip(words: &str) -> String {
    let out = Command::new("ip").args(words.split(' ')).output().expect("ip");
    assert!(out.status.success(), "ip {words}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

fn has_ip() -> bool {
    Command::new("ip").arg("-V").output().is_ok()
}

/// A pair of devices; `name` has an address of each family, and is up.
fn pair(name: &str) {
    ip(&format!("link add {name} type veth peer name {name}-peer"));
    ip(&format!("link set {name} mtu 1400 address 02:00:00:00:00:07"));
    ip(&format!("address add 192.0.2.7/24 dev {name}"));
    ip(&format!("address add 2001:db8::7/64 dev {name} nodad"));
    ip(&format!("address add 169.254.1.7/16 scope link dev {name}"));
    ip(&format!("address add 2001:db8::8/64 dev {name} nodad valid_lft 1000 preferred_lft 1000"));
    ip(&format!("link set {name} up"));
}

/// The addresses of a device of the test's own namespace, but those that the kernel makes.
fn addresses(name: &str) -> Vec<String> {
    let all = ip(&format!("-o address show dev {name} scope global"));
    let permanent = all.lines().filter(|line| line.contains("valid_lft forever"));
    permanent.filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect()
}

fn is_here(name: &str) -> bool {
    ip("-o link").contains(&format!(": {name}@"))
}

const ALL: &str = "seq net -- addresses -- cat";

fn steps(device: &str) -> Vec<String> {
    let files = ["mtu", "address"].map(|file| format!("/sys/class/net/{device}/{file}"));
    ALL.split(' ').map(str::to_owned).chain(files).collect()
}

#[track_caller]
fn refused(sandbox: &Sandbox, devices: Value, text: &str) {
    sandbox.bundle("c").set("/linux/netDevices", devices).create().fails_with(text);
}

#[test]
fn a_device_with_its_addresses_and_a_new_name() {
    if !has_ip() {
        skip!("no ip");
    }
    let sandbox = sandbox!().with_network();
    // A namespace of the kernel's goes a moment after its last process: names are not used twice.
    let cases = [
        ("host0", json!({}), "host0"),
        ("host1", json!({ "name": "eth7" }), "eth7"),
        ("host2", json!({ "name": "net%d" }), "net0"),
    ];
    for (host, device, inside) in cases {
        pair(host);
        let devices = json!({ host: device });
        let bundle = sandbox.bundle("c").set("/linux/netDevices", devices);
        let out = bundle.args(steps(inside)).run().ok();
        let lines = out.lines();
        let device = format!("{inside} ");
        assert!(lines.iter().any(|line| line.starts_with(&device) && line.contains("UP")), "{}", out.report());
        let addresses: Vec<_> = lines.iter().filter(|line| line.starts_with(&device) && line.contains('/')).collect();
        let expected = ["192.0.2.7/24", "2001:db8::7/64"].map(|address| format!("{device}{address}"));
        let global: Vec<_> = addresses.iter().filter(|line| !line.contains("fe80::")).collect();
        assert!(global.iter().map(|line| line.as_str()).eq(expected.iter().map(String::as_str)), "{}", out.report());
        assert_eq!(lines[lines.len() - 2..], ["1400", "02:00:00:00:00:07"]);
        assert!(!is_here(host));
    }
}

#[test]
fn several_devices_and_a_sysctl_of_one() {
    if !has_ip() {
        skip!("no ip");
    }
    let sandbox = sandbox!().with_network();
    pair("one");
    pair("two");
    pair("three");
    let devices = json!({ "one": { "name": "x%d" }, "two": { "name": "x%d" }, "three": { "name": "two" } });
    let bundle = sandbox.bundle("c").set("/linux/netDevices", devices);
    let bundle = bundle.set("/linux/sysctl", json!({ "net.ipv4.conf.two.forwarding": "1" }));
    let out = bundle.args(["seq", "net", "--", "sysctl", "net.ipv4.conf.two.forwarding"]).run().ok();
    let names: Vec<String> = out.lines().iter().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect();
    assert_eq!(names[..3], ["lo", "two", "x0"], "{}", out.report());
    // Whose own name was taken is numbered twice by the kernel, so a number may be left out.
    assert!(names.len() == 4 && ["x1", "x2"].contains(&names[3].as_str()), "{}", out.report());
    assert_eq!(out.lines().last().map(String::as_str), Some("1"));
}

#[test]
fn a_namespace_given_by_path_or_below_a_user_namespace() {
    if !has_ip() {
        skip!("no ip");
    }
    let sandbox = sandbox!().with_network();
    let first = sandbox.bundle("first").args(["pause"]);
    first.run_with(&["--detach"]).ok();
    pair("host0");
    let path = format!("/proc/{}/ns/net", first.pid());
    let bundle = sandbox.bundle("c").namespace("network", Some(&path)).set("/linux/netDevices", json!({ "host0": {} }));
    let out = bundle.args(["addresses"]).run().ok();
    assert!(out.stdout().contains("host0 192.0.2.7/24\n"), "{}", out.report());
    // It stays with the namespace, which is not the second container's.
    assert!(first.exec(["/bin/probe", "addresses"]).ok().stdout().contains("host0 192.0.2.7/24\n"));
    first.delete_force().ok();

    pair("host1");
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let bundle = sandbox.bundle("c").namespace("user", None).set("/linux/uidMappings", map.clone());
    let bundle = bundle.set("/linux/gidMappings", map).set("/linux/netDevices", json!({ "host1": { "name": "eth0" } }));
    let out = bundle.args(["addresses"]).run().ok();
    assert!(out.stdout().contains("eth0 2001:db8::7/64\n"), "{}", out.report());

    pair("host2");
    let own = sandbox.bundle("c").namespace("network", Some("/proc/thread-self/ns/net"));
    let own = own.set("/linux/netDevices", json!({ "host2": { "name": "other" } }));
    own.create().fails_with("linux.netDevices: the container's network namespace is the host's own");
    assert!(is_here("host2"));
}

#[test]
fn what_cannot_be_moved_is_refused_and_nothing_is() {
    if !has_ip() {
        skip!("no ip");
    }
    let sandbox = sandbox!().with_network();
    pair("host0");
    let before = ip("-o link");
    let missing = "linux.netDevices.nowhere: there is no network device \"nowhere\" on the host";
    refused(&sandbox, json!({ "host0": {}, "nowhere": {} }), missing);
    refused(
        &sandbox,
        json!({ "host0": { "name": "lo" } }),
        "linux.netDevices.host0: the container has a network device \"lo\" already",
    );
    refused(
        &sandbox,
        json!({ "host0": { "name": "a b" } }),
        "linux.netDevices.host0.name: invalid network device name \"a b\"",
    );
    refused(
        &sandbox,
        json!({ "host0": { "name": "x" }, "host0-peer": { "name": "x" } }),
        "linux.netDevices[\"host0-peer\"].name: \"x\" is the name of linux.netDevices.host0 too",
    );
    refused(
        &sandbox,
        json!({ "lo": { "name": "x" } }),
        "linux.netDevices.lo: cannot be moved to the container: invalid argument",
    );
    let bundle = sandbox.bundle("c").without_namespace("network").set("/linux/netDevices", json!({ "host0": {} }));
    bundle.create().fails_with("linux.netDevices: unable to move network devices without a NET namespace");
    assert_eq!(ip("-o link"), before);
}

#[test]
fn an_unprivileged_user_moves_none() {
    let sandbox = sandbox!().as_user(12345);
    let bundle = sandbox.bundle("c").namespace("network", None).set("/linux/netDevices", json!({ "eth0": {} }));
    bundle.create().fails_with("linux.netDevices: network devices are not supported for rootless containers");
}

/// Over `host0`, but for the one that leads nowhere; the last one has a lifetime, and is not kept.
const ROUTES: [&str; 10] = [
    "route add 198.51.100.0/24 via 192.0.2.1 dev host0 metric 7 src 192.0.2.7",
    "route add default via 192.0.2.1 dev host0",
    "route append default via 192.0.2.2 dev host0",
    "route add 203.0.113.0/24 via 198.18.0.1 dev host0 onlink proto static mtu 1300",
    "route add 198.51.100.7/32 dev host0 scope link table 77",
    "route add unreachable 192.0.2.128/25",
    "-6 route add default via 2001:db8::1 dev host0",
    "-6 route add 2001:db8:1::/48 via fe80::1 dev host0 metric 9",
    "-6 route add 2001:db8:2::/48 dev host0 proto static table 77",
    "-6 route add 2001:db8:3::/48 via fe80::1 dev host0 expires 1000",
];

/// The routes of the test's own namespace, but those that the kernel makes: a moment later, some of them.
fn routes() -> Vec<String> {
    let all = ip("route show table all");
    let kept = all.lines().filter(|line| !line.contains("proto kernel") && !line.contains("expires"));
    // The peer's carrier goes and comes.
    kept.map(|line| line.replace(" linkdown", "").trim_end().to_owned()).collect()
}

/// Whatever fails after the move, the device is the host's again: name, index, addresses, state, routes.
#[test]
fn a_failed_creation_returns_the_devices() {
    if !has_ip() {
        skip!("no ip");
    }
    let sandbox = sandbox!().with_network();
    pair("host0");
    pair("host1");
    ip("link set host1 down");
    ROUTES.iter().for_each(|route| drop(ip(route)));
    let state = || {
        let links = ip("-o link");
        // The peer's carrier goes and comes.
        let kept = links.lines().filter(|line| !line.contains("-peer@")).map(|line| {
            line.split(" qdisc ").next().unwrap_or_default().replace("LOWER_UP", "").replace("NO-CARRIER,", "")
        });
        (kept.collect::<Vec<_>>(), addresses("host0"), addresses("host1"), routes())
    };
    let before = state();
    assert_eq!(before.3.len(), 9, "{before:?}");
    assert_eq!(before.1, ["192.0.2.7/24", "2001:db8::7/64"]);
    let devices = json!({ "host0": { "name": "eth0" }, "host1": {} });
    let bundle = || sandbox.bundle("c").set("/linux/netDevices", devices.clone());
    let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] }]);
    bundle().set("/linux/sysctl", json!({ "net.nothing": "1" })).create().fails_with("linux.sysctl");
    assert_eq!(state(), before);
    bundle().set("/hooks/createRuntime", hook).create().fails_with("createRuntime");
    assert_eq!(state(), before);
    bundle().set("/process/args", json!(["/nowhere"])).run().fails_with("/nowhere");
    assert_eq!(state(), before);
    // Init dies, and with it its network namespace, but for what the parent holds of it.
    let script = "kill -9 $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')";
    let killer = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }]);
    bundle().set("/hooks/createRuntime", killer).create().fails_with("init was killed by signal 9");
    assert_eq!(state(), before);
    // One that the kernel does not let go, after one that was moved.
    let bridge = json!({ "host0": {}, "host1": {}, "lo": { "name": "z" } });
    refused(&sandbox, bridge, "linux.netDevices.lo: cannot be moved");
    assert_eq!(state(), before);
}
