//! Device nodes, and who may open them.

use rt_integration::{Bundle, both, sandbox};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;

/// CAP_SYSLOG, so that only the device rules keep /dev/kmsg closed.
const CAPS: [&str; 3] = ["CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_SYSLOG"];

fn able(bundle: Bundle<'_>) -> Bundle<'_> {
    bundle.set("/process/capabilities", json!({ "bounding": CAPS, "permitted": CAPS, "effective": CAPS }))
}

fn own_dev(bundle: Bundle<'_>) -> Bundle<'_> {
    bundle.set("/root/readonly", false).edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| !mount["destination"].as_str().is_some_and(|at| at.starts_with("/dev")));
    })
}

fn device(path: &str, kind: &str, major: i64, minor: i64) -> Value {
    json!({ "path": path, "type": kind, "major": major, "minor": minor })
}

#[test]
fn each_kind_of_node() {
    both(|sandbox| {
        let mut char = device("/dev/char", "c", 1, 5);
        (char["fileMode"], char["uid"], char["gid"]) = (0o4640.into(), 7.into(), 8.into());
        let fifo = json!({ "path": "/run/pipe", "type": "p", "fileMode": 0o600 });
        let devices = json!([
            char,
            device("/dev/unbuffered", "u", 1, 7),
            device("/dev/deep/block", "b", 7, 200),
            device("/opt/made/node", "c", 10, 229),
            fifo
        ]);
        let bundle = sandbox.bundle("c").set("/linux/devices", devices).set("/root/readonly", false);
        let out = bundle.args("stat /dev/char /dev/unbuffered /dev/deep/block /opt/made/node /run/pipe".split(' '));
        let expected = [
            "char 4640 7 8 0 1:5",
            "char 0666 0 0 0 1:7",
            "block 0666 0 0 0 7:200",
            "char 0666 0 0 0 10:229",
            "fifo 0600 0 0 0 0:0",
        ];
        assert_eq!(out.run().ok().lines(), expected);
    });
}

#[test]
fn one_of_the_defaults_may_be_redefined() {
    both(|sandbox| {
        let mut node = device("/dev/null", "c", 1, 3);
        (node["fileMode"], node["uid"], node["gid"]) = (0o600.into(), 5.into(), 6.into());
        let out = sandbox.bundle("c").set("/linux/devices", json!([node])).args(["stat", "/dev/null", "/dev/zero"]);
        assert_eq!(out.run().ok().lines(), ["char 0600 5 6 0 1:3", "char 0666 0 0 0 1:5"]);
    });
}

#[test]
fn what_exists_must_be_the_device() {
    both(|sandbox| {
        let list = json!([device("/dev/mine", "c", 1, 5)]);
        let bundle = |id: &str| own_dev(sandbox.bundle(id)).set("/linux/devices", list.clone());
        bundle("file").plant("/dev/mine", "a file").run().expect(1).fails_with("/dev/mine exists");
        bundle("link").plant_link("/dev/mine", "zero").run().expect(1).fails_with("/dev/mine exists");
        bundle("directory").plant("/dev/mine/file", "").run().expect(1).fails_with("/dev/mine exists");
        own_dev(sandbox.bundle("null")).plant("/dev/null", "").run().expect(1).fails_with("/dev/null exists");
        // The second run finds what the first has made.
        let made = bundle("made").args(["stat", "/dev/mine"]);
        for _ in 0..2 {
            assert_eq!(made.run().ok().stdout(), "char 0666 0 0 0 1:5\n");
        }
        let other = own_dev(sandbox.bundle("made")).set("/linux/devices", json!([device("/dev/mine", "c", 1, 7)]));
        other.run().expect(1).fails_with("/dev/mine exists");
    });
}

#[test]
fn a_dev_of_the_hosts_is_left_alone() {
    both(|sandbox| {
        let dev = sandbox.dir().join("dev");
        fs::create_dir(&dev).expect("a directory");
        symlink("somewhere", dev.join("fd")).expect("a link");
        let bundle = own_dev(sandbox.bundle("c")).set("/linux/maskedPaths", json!([]));
        let bundle = bundle.mount("/dev", "none", dev.to_str().expect("UTF-8"), &["rbind"]);
        assert_eq!(bundle.args(["ls", "/dev"]).run().ok().stdout(), "fd\n");
        assert_eq!(fs::read_dir(&dev).expect("the directory").count(), 1);
    });
}

#[test]
fn a_dev_of_the_hosts_takes_no_nodes() {
    both(|sandbox| {
        let dev = sandbox.dir().join("dev");
        fs::create_dir_all(&dev).expect("a directory");
        let list =
            json!([device("/opt/node", "c", 1, 5), device("/dev/mine", "c", 1, 5), device("/dev/null", "c", 1, 3)]);
        let bundle = own_dev(sandbox.bundle("c")).set("/linux/maskedPaths", json!([])).set("/linux/devices", list);
        let bundle = bundle.mount("/dev", "none", dev.to_str().expect("UTF-8"), &["rbind"]);
        let out = bundle.args("seq ls /dev -- stat /opt/node".split(' ')).run().ok();
        assert_eq!(out.stdout(), "char 0666 0 0 0 1:5\n");
        let words = "linux.devices[1]: /dev/mine is left to the directory that mounts[3] binds at /dev";
        assert!(out.stderr().contains(words), "{}", out.report());
        assert_eq!(fs::read_dir(&dev).expect("the directory").count(), 0);
    });
}

#[test]
fn links_lead_to_what_is_there() {
    both(|sandbox| {
        let without_proc = || {
            sandbox.bundle("c").set("/linux/maskedPaths", json!([])).edit(|spec| {
                spec["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/proc");
            })
        };
        let out = without_proc().args(["ls", "/dev"]).run().ok();
        let names = out.lines();
        assert!(names.contains(&"null".to_owned()) && names.contains(&"ptmx".to_owned()), "{}", out.report());
        for link in ["fd", "stdin", "stdout", "stderr", "core"] {
            assert!(!names.contains(&link.to_owned()), "{link}: {}", out.report());
        }
        // What a bind brings is looked at.
        let bundle = without_proc().mount("/proc", "none", "/proc", &["rbind"]);
        assert_eq!(
            bundle.args(["readlink", "/dev/fd", "/dev/stdin"]).run().ok().stdout(),
            "/proc/self/fd\n/proc/self/fd/0\n"
        );
        let own =
            sandbox.bundle("c").args(["readlink", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"]).run().ok();
        assert_eq!(own.lines(), ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"]);
    });
}

#[test]
fn a_node_that_exists_gets_the_owner_and_mode_that_are_named() {
    both(|sandbox| {
        let bundle = || own_dev(sandbox.bundle("c")).args(["stat", "/dev/mine"]);
        let mut node = device("/dev/mine", "c", 1, 5);
        node["fileMode"] = 0o600.into();
        assert_eq!(bundle().set("/linux/devices", json!([node])).run().ok().stdout(), "char 0600 0 0 0 1:5\n");
        // Nothing named, nothing changed.
        let plain = json!([device("/dev/mine", "c", 1, 5)]);
        assert_eq!(bundle().set("/linux/devices", plain).run().ok().stdout(), "char 0600 0 0 0 1:5\n");
        node["fileMode"] = 0o644.into();
        assert_eq!(bundle().set("/linux/devices", json!([node])).run().ok().stdout(), "char 0644 0 0 0 1:5\n");
        (node["fileMode"], node["uid"], node["gid"]) = (0o640.into(), 0.into(), 9.into());
        assert_eq!(bundle().set("/linux/devices", json!([node])).run().ok().stdout(), "char 0640 0 9 0 1:5\n");
    });
}

#[test]
fn links_of_an_image_stay_but_for_ptmx() {
    both(|sandbox| {
        let bundle = own_dev(sandbox.bundle("c")).plant_link("/dev/stdin", "/etc/passwd").plant("/dev/ptmx", "x");
        let out = bundle.args(["readlink", "/dev/stdin", "/dev/ptmx", "/dev/stdout"]).run().ok();
        assert_eq!(out.lines(), ["/etc/passwd", "pts/ptmx", "/proc/self/fd/1"]);
    });
}

/// Each line: what is tried, and what becomes of it.
fn tries(bundle: Bundle<'_>, steps: &[(&str, &str)]) {
    let words = steps.iter().flat_map(|(step, _)| ["--"].into_iter().chain(step.split(' '))).skip(1);
    let out = able(bundle).args(["seq"].into_iter().chain(words)).run().ok();
    let lines = out.lines();
    for ((step, expected), line) in steps.iter().zip(&lines) {
        assert_eq!(line, expected, "{step}: {}", out.report());
    }
    assert_eq!(lines.len(), steps.len(), "{}", out.report());
}

#[test]
fn the_default_rules_in_the_kernel() {
    both(|sandbox| {
        // Deny all, and then what every container may: the default devices, ptys, making nodes.
        let devices = json!([device("/dev/kmsg", "c", 1, 11), device("/dev/loop", "b", 7, 200)]);
        let bundle = sandbox.bundle("c").set("/linux/devices", devices);
        tries(
            bundle,
            &[
                ("open-dev /dev/null rw", "ok"),
                ("open-dev /dev/zero rw", "ok"),
                ("open-dev /dev/full r", "ok"),
                ("open-dev /dev/random r", "ok"),
                ("open-dev /dev/urandom rw", "ok"),
                ("open-dev /dev/tty rw", "ENXIO"),
                ("open-dev /dev/ptmx rw", "ok"),
                ("open-dev /dev/kmsg r", "EPERM"),
                ("open-dev /dev/loop r", "EPERM"),
                ("try mknodat -100 /dev/made 020666 0x10b", "ok"),
                ("open-dev /dev/made r", "EPERM"),
                ("try mknodat -100 /dev/disk 060666 0x800", "ok"),
            ],
        );
    });
}

#[test]
fn rules_in_their_order() {
    both(|sandbox| {
        let rule = |allow: bool, access: &str| json!({ "allow": allow, "type": "c", "major": 1, "minor": 11, "access": access });
        let devices = json!([device("/dev/kmsg", "c", 1, 11)]);
        let run = |rules: Value, read: &str, write: &str| {
            let bundle = sandbox.bundle("c").set("/linux/devices", devices.clone());
            let bundle = bundle.set("/linux/resources/devices", rules);
            tries(bundle, &[("open-dev /dev/kmsg r", read), ("open-dev /dev/kmsg w", write)]);
        };
        let (all, none) = (json!({ "allow": true, "access": "rwm" }), json!({ "allow": false, "access": "rwm" }));
        run(json!([none, rule(true, "rw")]), "ok", "ok");
        run(json!([none, rule(true, "rw"), rule(false, "w")]), "ok", "EPERM");
        run(json!([none, rule(true, "r"), rule(true, "w"), rule(false, "r")]), "EPERM", "ok");
        run(json!([none, all, rule(false, "w")]), "ok", "EPERM");
        run(json!([all, none]), "EPERM", "EPERM");
        run(json!([none, all]), "ok", "ok");
        run(json!([none, { "allow": true, "type": "c", "major": 1, "access": "r" }]), "ok", "EPERM");
        run(json!([none, { "allow": true, "type": "b", "access": "rwm" }]), "EPERM", "EPERM");
        run(json!([none, { "allow": true, "type": "a", "access": "rwm" }]), "ok", "ok");
    });
}

#[test]
fn rules_hold_for_exec() {
    let sandbox = sandbox!();
    let devices = json!([device("/dev/kmsg", "c", 1, 11)]);
    let bundle = able(sandbox.bundle("c")).set("/linux/devices", devices).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let out = bundle.exec("/bin/probe seq open-dev /dev/kmsg r -- open-dev /dev/null r".split(' ')).ok();
    assert_eq!(out.lines(), ["EPERM", "ok"]);
    bundle.delete_force().ok();
}

#[test]
fn in_a_user_namespace_the_hosts_nodes_are_bound() {
    both(|sandbox| {
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
        let bundle = sandbox.bundle("c").namespace("user", None).set("/linux/uidMappings", map.clone());
        let bundle = bundle.set("/linux/gidMappings", map);
        let out = bundle
            .args("seq stat /dev/null -- mounts /dev/null -- open-dev /dev/null rw -- open-dev /dev/zero r".split(' '));
        let out = out.run().ok();
        let lines = out.lines();
        assert!(lines[0].starts_with("char 0666 65534 65534") && lines[0].ends_with(" 1:3"), "{}", out.report());
        assert!(lines[1].contains("/null /dev/null "), "{}", out.report());
        assert_eq!(lines[2..], ["ok", "ok"], "{}", out.report());
        assert_eq!(out.stderr(), "");
        // Of such a node neither mode nor owner are the container's to set.
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
        let mut node = device("/dev/full", "c", 1, 7);
        node["fileMode"] = 0o600.into();
        let bundle = sandbox.bundle("c").namespace("user", None).set("/linux/uidMappings", map.clone());
        let bundle = bundle.set("/linux/gidMappings", map).set("/linux/devices", json!([node]));
        let out = bundle.args(["stat", "/dev/full"]).run().ok();
        assert!(out.stdout().starts_with("char 0666 65534 65534"), "{}", out.report());
        let words = "linux.devices[0]: in a user namespace the node is the host's own, and keeps its mode and owner";
        assert!(out.stderr().contains(words), "{}", out.report());
    });
}
