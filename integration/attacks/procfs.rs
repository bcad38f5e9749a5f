//! What rt writes below /proc goes to the kernel, whatever the container has there (CVE-2019-16884, CVE-2023-28642,
//! CVE-2025-52881).

use super::victim::{Victim, fails, harms};
use rt_integration::{Canary, Sandbox, both};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

/// A directory that looks like procfs, with links to the canary where rt would write.
fn false_proc(sandbox: &Sandbox, canary: &Canary) -> String {
    let dir = sandbox.dir().join("false-proc");
    for at in ["self/attr/apparmor", "sys/kernel", "sys/net/ipv4", "1/attr", "thread-self/attr"] {
        fs::create_dir_all(dir.join(at)).expect("a directory");
    }
    let file = canary.dir.join("file");
    for at in [
        "self/attr/exec",
        "self/attr/apparmor/exec",
        "self/oom_score_adj",
        "self/timens_offsets",
        "self/uid_map",
        "self/gid_map",
        "self/setgroups",
        "sys/kernel/domainname",
        "sys/kernel/hostname",
        "sys/net/ipv4/ip_forward",
        "1/attr/exec",
        "thread-self/attr/exec",
        "thread-self/oom_score_adj",
    ] {
        symlink(&file, dir.join(at)).expect("a link");
    }
    dir.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_false_proc_takes_nothing() {
    both(|sandbox| {
        let canary = Canary::new(sandbox);
        let dir = false_proc(sandbox, &canary);
        let bundle = sandbox.bundle("c").edit(|spec| {
            let mounts = spec["mounts"].as_array_mut().expect("mounts");
            mounts.retain(|mount| mount["destination"] != "/proc");
            mounts.insert(0, json!({ "destination": "/proc", "type": "none", "source": dir, "options": ["bind"] }));
            mounts.insert(1, json!({ "destination": "/real", "type": "proc", "source": "proc" }));
        });
        let bundle = bundle.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
        let bundle = bundle.set("/linux/sysctl", json!({ "kernel.domainname": "from.rt", "net.ipv4.ip_forward": "1" }));
        let bundle = bundle.set("/process/oomScoreAdj", 100);
        let files = ["/real/sys/kernel/domainname", "/real/sys/net/ipv4/ip_forward", "/real/self/oom_score_adj"];
        let bundle = bundle.args(["cat"].iter().chain(&files));
        let out = bundle.run().ok();
        assert_eq!(out.stdout(), "from.rt\n1\n100\n");
        canary.is_unchanged(String::new);
        let bundle = bundle.args(["pause"]);
        bundle.run_with(&["--detach"]).ok();
        assert_eq!(bundle.exec(["cat", "/real/self/oom_score_adj"]).ok().stdout(), "100\n");
        canary.is_unchanged(String::new);
        bundle.delete_force().ok();
    });
}

/// Id maps and clock offsets are written before the container has any process of its own, and for no other file's name.
#[test]
fn maps_and_offsets_are_the_kernels() {
    both(|sandbox| {
        let canary = Canary::new(sandbox);
        let dir = false_proc(sandbox, &canary);
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
        let bundle = sandbox.bundle("c").namespace("user", None).namespace("time", None).edit(|spec| {
            let mounts = spec["mounts"].as_array_mut().expect("mounts");
            mounts.retain(|mount| mount["destination"] != "/proc");
            mounts.insert(0, json!({ "destination": "/proc", "type": "none", "source": dir, "options": ["bind"] }));
            mounts.insert(1, json!({ "destination": "/real", "type": "proc", "source": "proc" }));
        });
        // The container's root may not make it.
        fs::create_dir(bundle.rootfs().join("real")).expect("a directory");
        let bundle = bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
        let bundle = bundle.set("/linux/timeOffsets", json!({ "boottime": { "secs": 3600 } }));
        let bundle = bundle.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
        let files = ["/real/self/uid_map", "/real/self/gid_map", "/real/self/timens_offsets"];
        let out = bundle.args(["cat"].iter().chain(&files)).run().ok();
        canary.is_unchanged(|| out.report());
        let told: Vec<_> = out.stdout().split_whitespace().map(str::to_owned).collect();
        let line = ["0", "100000", "65536"];
        assert_eq!((&told[..3], &told[3..6]), (&line.map(str::to_owned)[..], &line.map(str::to_owned)[..]));
        assert!(told[6..].windows(2).any(|pair| pair == ["boottime", "3600"]), "{}", out.report());
    });
}

const LABELS: [(&str, &str); 3] = [
    ("/process/apparmorProfile", "no-such-profile"),
    ("/process/selinuxLabel", "system_u:object_r:container_t:s0"),
    ("/linux/mountLabel", "system_u:object_r:container_file_t:s0"),
];

/// Where a label cannot be had that is an error, and with a false procfs, which takes any, it must be no less.
fn labels_that_cannot_be_had(sandbox: &Sandbox, victim: Victim) -> Result<(), String> {
    let canary = Canary::new(sandbox);
    let dir = false_proc(sandbox, &canary);
    for (field, label) in LABELS {
        for lie in [true, false] {
            let bundle = sandbox.bundle("c").set(field, label).args(["true"]);
            let bundle = if lie { bundle.mount("/proc", "none", &dir, &["bind"]) } else { bundle };
            let bundle = bundle.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
            let out = victim.run(sandbox, bundle, &[]);
            canary.is_unchanged(|| out.report());
            if out.code() == 0 {
                return Err(format!("{field}: it runs without"));
            }
        }
    }
    Ok(())
}

#[test]
fn a_label_is_in_force_or_nothing_runs() {
    fails(labels_that_cannot_be_had);
}

#[test]
fn a_label_is_dropped_by_others() {
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        rt_integration::skip!("this host has SELinux");
    }
    harms("crun", [9, 0, 0], labels_that_cannot_be_had);
}
