//! What rt writes below /proc goes to the kernel, whatever the container has there (CVE-2019-16884, CVE-2023-28642,
//! CVE-2025-52881).

use rt_integration::{Canary, both, sandbox};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

/// A directory that looks like procfs, with links to the canary where rt would write.
fn false_proc(sandbox: &rt_integration::Sandbox, canary: &Canary) -> String {
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

/// Where no profile can be loaded that is an error, and with a false procfs it must be no less.
#[test]
fn a_profile_is_never_written_to_a_file() {
    let sandbox = sandbox!();
    let canary = Canary::new(&sandbox);
    let dir = false_proc(&sandbox, &canary);
    let bundle = sandbox.bundle("c").mount("/proc", "none", &dir, &["bind"]);
    let bundle = bundle.set("/process/apparmorProfile", "no-such-profile").set("/linux/maskedPaths", json!([]));
    let out = bundle.set("/linux/readonlyPaths", json!([])).args(["true"]).run();
    out.expect(1).fails_with("pparmor");
    canary.is_unchanged(String::new);
}
