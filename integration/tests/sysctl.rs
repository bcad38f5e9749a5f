//! The sysctls that a container may set, and those of the host that it may not.

use rt_integration::{Bundle, sandbox};
use serde_json::json;

/// A sysctl of each name or family, a value that is not the kernel's own, and the namespace it belongs to.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("kernel.msgmax", "8191", "ipc"),
    ("kernel.msgmnb", "16383", "ipc"),
    ("kernel.msgmni", "31999", "ipc"),
    ("kernel.sem", "31999\t1023999999\t499\t31999", "ipc"),
    ("kernel.shmall", "4096", "ipc"),
    ("kernel.shmmax", "65536", "ipc"),
    ("kernel.shmmni", "4095", "ipc"),
    ("kernel.shm_rmid_forced", "1", "ipc"),
    ("fs.mqueue.msg_max", "11", "ipc"),
    ("fs.mqueue.queues_max", "255", "ipc"),
    ("net.ipv4.ip_forward", "1", "network"),
    ("net.ipv4.conf.lo.forwarding", "1", "network"),
    ("net.ipv4.ip_unprivileged_port_start", "0", "network"),
    ("kernel.domainname", "a.domain", "uts"),
];

fn with<'a>(bundle: Bundle<'a>, name: &str, value: &str) -> Bundle<'a> {
    bundle.set("/linux/sysctl", json!({ name: value }))
}

fn without<'a>(bundle: Bundle<'a>, kind: &str) -> Bundle<'a> {
    let bundle = bundle.without_namespace(kind);
    if kind != "uts" {
        return bundle;
    }
    bundle.edit(|spec| drop(spec.as_object_mut().expect("an object").remove("hostname")))
}

#[test]
fn each_with_both_separators() {
    let sandbox = sandbox!();
    for separator in [".", "/"] {
        let names = ALLOWED.iter().map(|(name, ..)| *name);
        let values: serde_json::Map<_, _> =
            ALLOWED.iter().map(|(name, value, _)| (name.replace('.', separator), json!(value))).collect();
        let bundle = sandbox.bundle("c").set("/linux/sysctl", values);
        let out = bundle.args(["sysctl"].into_iter().chain(names)).run().ok();
        let expected: Vec<_> = ALLOWED.iter().map(|(_, value, _)| value.to_string()).collect();
        assert_eq!(out.lines(), expected);
    }
}

#[test]
fn each_needs_its_namespace() {
    let sandbox = sandbox!();
    for (name, value, kind) in ALLOWED {
        let text = format!(
            "linux.sysctl: sysctl {name:?} is not in a separate kernel namespace (linux.namespaces lacks {kind:?})"
        );
        with(without(sandbox.bundle("c"), kind), name, value).create().fails_with(&text);
        // Joined by path, it may be the host's own all the same.
        let link = if *kind == "network" { "net" } else { kind };
        let own = sandbox.bundle("c").namespace(kind, Some(&format!("/proc/self/ns/{link}")));
        let own = own.edit(|spec| drop(spec.as_object_mut().expect("an object").remove("hostname")));
        let text = format!("linux.sysctl: sysctl {name:?} not allowed in host {kind} namespace");
        with(own, name, value).create().fails_with(&text);
    }
}

#[test]
fn a_namespace_that_another_container_made() {
    let sandbox = sandbox!();
    let first = sandbox.bundle("first").args(["pause"]);
    first.run_with(&["--detach"]).ok();
    let path = format!("/proc/{}/ns/net", first.pid());
    let second = with(sandbox.bundle("c").namespace("network", Some(&path)), "net.ipv4.ip_forward", "1");
    assert_eq!(second.args(["sysctl", "net.ipv4.ip_forward"]).run().ok().stdout(), "1\n");
    assert_eq!(first.exec(["/bin/probe", "sysctl", "net.ipv4.ip_forward"]).ok().stdout(), "1\n");
    first.delete_force().ok();
}

#[test]
fn those_of_a_user_namespace() {
    let sandbox = sandbox!();
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let name = "user.max_net_namespaces";
    let bundle = sandbox.bundle("c").namespace("user", None).set("/linux/uidMappings", map.clone());
    let bundle = with(bundle.set("/linux/gidMappings", map), name, "3").args(["sysctl", name]);
    assert_eq!(bundle.run().ok().stdout(), "3\n");
    let lacks = "linux.sysctl: sysctl \"user.max_net_namespaces\" is not in a separate kernel namespace (linux.namespaces lacks \"user\")";
    with(sandbox.bundle("c"), name, "3").create().fails_with(lacks);
}

#[test]
fn what_is_no_containers() {
    let sandbox = sandbox!();
    for name in
        ["vm.swappiness", "kernel.panic", "kernel.semi", "kernel.sem.x", "fs.file-max", "network.x", "kernel/panic"]
    {
        let text = format!("linux.sysctl: sysctl {name:?} is not in a separate kernel namespace");
        with(sandbox.bundle("c"), name, "1").create().fails_with(&text);
    }
    for name in ["kernel.hostname", "kernel/hostname"] {
        let text = "linux.sysctl: sysctl \"kernel.hostname\" conflicts with the OCI \"hostname\" field";
        with(sandbox.bundle("c"), name, "x").create().fails_with(text);
    }
    for name in ["", "net..x", "net/../kernel/panic", "net.ipv4/../x", ".net", "/net/x"] {
        let text = format!("linux.sysctl: {name:?} is not the name of a sysctl");
        with(sandbox.bundle("c"), name, "1").create().fails_with(&text);
    }
    let missing = "linux.sysctl: cannot set net.nothing to \"1\": no such file or directory";
    with(sandbox.bundle("c"), "net.nothing", "1").create().fails_with(missing);
    let wrong = "linux.sysctl: cannot set net.ipv4.ip_forward to \"x\": invalid argument";
    with(sandbox.bundle("c"), "net.ipv4.ip_forward", "x").create().fails_with(wrong);
}
