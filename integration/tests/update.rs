//! `rt update`: what is named changes, what is not stays, and where one part fails nothing has changed. Limits of
//! controllers that a host lacks are tried where they exist.

use rt_integration::{Bundle, HostMount, Outcome, Sandbox, sandbox, skip};
use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;

fn running<'a>(bundle: Bundle<'a>) -> Bundle<'a> {
    let bundle = bundle.args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    bundle
}

fn file(sandbox: &Sandbox, name: &str) -> String {
    let path = sandbox.cgroup_dir("c").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim_end().to_owned()
}

#[track_caller]
fn update(sandbox: &Sandbox, flags: &[&str]) -> Outcome {
    sandbox.rt([&["update"], flags, &["c"]].concat())
}

/// With the resources on standard input, as containerd and CRI-O have it.
#[track_caller]
fn update_from(sandbox: &Sandbox, resources: Value) -> Outcome {
    let path = sandbox.dir().join("resources.json");
    fs::write(&path, resources.to_string()).expect("a scratch file");
    let mut command = sandbox.command(["update", "--resources=-", "c"]);
    command.stdin(Stdio::from(fs::File::open(path).expect("a scratch file")));
    sandbox.finish(command)
}

/// The resources as the container's directory keeps them.
fn kept(sandbox: &Sandbox) -> Value {
    let text = fs::read_to_string(sandbox.state_dir().join("c/config.json")).expect("the kept configuration");
    serde_json::from_str::<Value>(&text).expect("JSON")["linux"]["resources"].clone()
}

macro_rules! needs {
    ($sandbox:expr, $($controller:literal),+) => {
        for controller in [$($controller),+] {
            if !$sandbox.has_controller(controller) {
                skip!("no {controller} controller");
            }
        }
    };
}

#[test]
fn what_is_named_changes_and_is_kept() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").set("/linux/resources/unified", json!({ "cgroup.max.depth": "9" }));
    let bundle = running(bundle.set("/annotations", json!({ "a": "b" })));
    update_from(&sandbox, json!({ "unified": { "cgroup.max.descendants": "5" } })).ok();
    assert_eq!(
        (file(&sandbox, "cgroup.max.depth"), file(&sandbox, "cgroup.max.descendants")),
        ("9".into(), "5".into())
    );
    assert_eq!(kept(&sandbox)["unified"], json!({ "cgroup.max.depth": "9", "cgroup.max.descendants": "5" }));
    assert_eq!(bundle.state()["annotations"], json!({ "a": "b" }));
    bundle.exec(["/bin/true"]).ok();
    // A file instead of standard input; what it does not name stays.
    let path = sandbox.dir().join("more.json");
    fs::write(&path, r#"{"unified": {"cgroup.max.depth": "7"}}"#).expect("a scratch file");
    update(&sandbox, &["-r", path.to_str().expect("UTF-8")]).ok();
    assert_eq!(
        (file(&sandbox, "cgroup.max.depth"), file(&sandbox, "cgroup.max.descendants")),
        ("7".into(), "5".into())
    );
    bundle.delete_force().ok();
}

#[test]
fn a_failed_update_changes_nothing() {
    let sandbox = sandbox!();
    let bundle = running(sandbox.bundle("c").set("/linux/resources/unified", json!({ "cgroup.max.depth": "9" })));
    let before = kept(&sandbox);
    let wrong = json!({ "unified": { "cgroup.max.depth": "3", "cgroup.max.descendants": "many" } });
    let out = update_from(&sandbox, wrong).expect(1);
    out.fails_with("linux.resources.unified[\"cgroup.max.descendants\"]: cannot write \"many\"");
    assert_eq!(file(&sandbox, "cgroup.max.depth"), "9", "the old value is back");
    assert_eq!(kept(&sandbox), before);
    bundle.delete_force().ok();
}

/// What cannot be kept is not put in force either.
#[test]
fn a_full_disk_changes_nothing() {
    let sandbox = sandbox!();
    let state = HostMount::tmpfs(&sandbox.state_dir(), 0, "mode=711,size=64k");
    let bundle = running(sandbox.bundle("c").set("/linux/resources/unified", json!({ "cgroup.max.depth": "9" })));
    let before = kept(&sandbox);
    let filler = sandbox.state_dir().join("filler");
    fs::write(&filler, vec![0; 1 << 20]).expect_err("more than there is room for");
    let out = update_from(&sandbox, json!({ "unified": { "cgroup.max.depth": "3" } })).expect(1);
    out.fails_with("/config.json.new");
    assert_eq!((file(&sandbox, "cgroup.max.depth"), kept(&sandbox)), ("9".into(), before));
    fs::remove_file(&filler).expect("the filler");
    update_from(&sandbox, json!({ "unified": { "cgroup.max.depth": "3" } })).ok();
    assert_eq!(file(&sandbox, "cgroup.max.depth"), "3");
    bundle.delete_force().ok();
    assert!(fs::read_dir(sandbox.state_dir()).expect("the state").next().is_none());
    drop(state);
}

/// The last step of all: the configuration takes the old one's place.
#[test]
fn a_configuration_that_cannot_be_replaced_changes_nothing() {
    let sandbox = sandbox!();
    let bundle = running(sandbox.bundle("c").set("/linux/resources/unified", json!({ "cgroup.max.depth": "9" })));
    let before = kept(&sandbox);
    let config = sandbox.state_dir().join("c/config.json");
    let mount = HostMount::bind(&config, &config).expect("a bind mount");
    let out = update_from(&sandbox, json!({ "unified": { "cgroup.max.depth": "3" } })).expect(1);
    out.fails_with("device or resource busy");
    assert_eq!((file(&sandbox, "cgroup.max.depth"), kept(&sandbox)), ("9".into(), before));
    assert!(!config.with_extension("json.new").exists());
    drop(mount);
    bundle.delete_force().ok();
}

#[test]
fn who_can_be_updated() {
    let sandbox = sandbox!();
    let limit = || update_from(&sandbox, json!({ "unified": { "cgroup.max.depth": "3" } }));
    limit().expect(1).fails_with("container does not exist");
    let bundle = sandbox.bundle("c").args(["true"]);
    bundle.create().ok();
    limit().ok();
    sandbox.rt(["pause", "c"]).ok();
    update_from(&sandbox, json!({ "unified": { "cgroup.max.depth": "4" } })).ok();
    assert_eq!((file(&sandbox, "cgroup.max.depth"), bundle.status()), ("4".into(), "paused".into()));
    sandbox.rt(["resume", "c"]).ok();
    bundle.start().ok();
    bundle.wait_stopped();
    limit().expect(1).fails_with("container not running");
    bundle.delete().ok();
}

#[test]
fn bad_input() {
    let sandbox = sandbox!();
    let bundle = running(sandbox.bundle("c"));
    let before = kept(&sandbox);
    for (resources, words) in [
        (json!({ "memory": { "limit": -5 } }), "linux.resources.memory.limit: -5 is not a number of bytes"),
        (
            json!({ "memory": { "swap": 5 } }),
            "linux.resources.memory.swap: unable to set swap limit without memory limit",
        ),
        (json!({ "memory": { "limit": 9, "swap": 5 } }), "memory+swap limit should be >= memory limit"),
        (json!({ "memory": { "limit": "much" } }), "linux.resources.memory.limit: "),
        (json!({ "cpu": { "realtimeRuntime": 5 } }), "linux.resources.cpu.realtimeRuntime: "),
        (json!({ "cpu": { "burst": 9, "quota": 5 } }), "linux.resources.cpu.burst: 9 is more than cpu.quota"),
        (json!({ "blockIO": { "weight": 5 } }), "linux.resources.blockIO.weight: 5 is not within 10..1000"),
        (
            json!({ "hugepageLimits": [{ "pageSize": "2", "limit": 1 }] }),
            "linux.resources.hugepageLimits[0].pageSize: ",
        ),
        (json!({ "unified": { "cgroup.kill": "1" } }), "linux.resources.unified[\"cgroup.kill\"]: "),
        (json!({ "devices": [{ "allow": true, "access": "x" }] }), "linux.resources.devices[0]"),
        (json!([]), "linux.resources: not a JSON object"),
    ] {
        update_from(&sandbox, resources).expect(1).fails_with(words);
    }
    for (flags, words) in [
        (&["--memory", "12q"][..], "invalid memory: 12q (not a size such as 512m; -1 is no limit)"),
        (&["--pids-limit", "few"], "invalid pids-limit: few (not an integer)"),
        (&["--blkio-weight", "5"], "linux.resources.blockIO.weight: 5 is not within 10..1000"),
        (&["--l3-cache-schema", "L3:0=f"], "linux.intelRdt: the container was made without it"),
        (&["--mem-bw-schema", "L3:0=f"], "linux.intelRdt.memBwSchema: "),
        (&["--resources", "/nothing"], "/nothing"),
    ] {
        let out = update(&sandbox, flags).expect(1);
        assert!(out.stderr().contains(words), "{}", out.report());
    }
    assert_eq!(kept(&sandbox), before);
    // Nothing is asked for: nothing is done.
    update(&sandbox, &["--kernel-memory", "5m", "--kernel-memory-tcp=1g"]).ok();
    update_from(&sandbox, json!({ "memory": { "limit": 0 }, "cpu": null, "devices": [] })).ok();
    assert_eq!(kept(&sandbox), before);
    bundle.delete_force().ok();
}

#[test]
fn limits_without_their_controller() {
    let sandbox = sandbox!();
    if sandbox.has_controller("memory") {
        skip!("this host has the controllers");
    }
    let bundle = running(sandbox.bundle("c"));
    let out = update(&sandbox, &["--memory", "64m"]).expect(1).fails_with("linux.resources.memory.limit: ");
    assert!(
        out.stderr().contains("the memory controller") && out.stderr().contains("remove the limit"),
        "{}",
        out.report()
    );
    update(&sandbox, &["--pids-limit", "5"]).expect(1).fails_with("the pids controller");
    bundle.delete_force().ok();
}

#[test]
fn huge_pages() {
    let sandbox = sandbox!();
    needs!(sandbox, "hugetlb");
    if !std::path::Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        skip!("no pages of 2 MB");
    }
    // The controller is not among those that every container has: the update enables it.
    let bundle = running(sandbox.bundle("c"));
    update_from(&sandbox, json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }] })).ok();
    assert_eq!(
        (file(&sandbox, "hugetlb.2MB.max"), file(&sandbox, "hugetlb.2MB.rsvd.max")),
        ("4194304".into(), "4194304".into())
    );
    update_from(&sandbox, json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 2 << 20 }] })).ok();
    assert_eq!(file(&sandbox, "hugetlb.2MB.max"), "2097152");
    assert_eq!(kept(&sandbox)["hugepageLimits"], json!([{ "pageSize": "2MB", "limit": 2 << 20 }]));
    bundle.delete_force().ok();
}

/// Of /dev/kmsg, which nobody is allowed to use unless a rule says so.
fn kmsg(allow: bool) -> Value {
    json!([{ "allow": false, "access": "rwm" }, { "allow": allow, "type": "c", "major": 1, "minor": 11, "access": "rw" }])
}

fn with_kmsg<'a>(sandbox: &'a Sandbox) -> Bundle<'a> {
    let node = json!([{ "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666 }]);
    sandbox.bundle("c").set("/linux/devices", node)
}

#[test]
fn device_rules() {
    let sandbox = sandbox!();
    let bundle = running(with_kmsg(&sandbox));
    let open = || bundle.exec(["/bin/probe", "open-dev", "/dev/kmsg", "w"]).ok().stdout();
    assert_eq!(open(), "EPERM\n");
    update_from(&sandbox, json!({ "devices": kmsg(true) })).ok();
    assert_eq!(open(), "ok\n");
    assert_eq!(kept(&sandbox)["devices"], kmsg(true));
    update_from(&sandbox, json!({ "unified": { "cgroup.max.depth": "3" } })).ok();
    assert_eq!(open(), "ok\n", "rules that are not named stay");
    update_from(&sandbox, json!({ "devices": kmsg(false) })).ok();
    assert_eq!(open(), "EPERM\n", "the old program is gone, and with it what it allowed");
    update_from(&sandbox, json!({ "devices": [{ "allow": true, "access": "rwm" }] })).ok();
    assert_eq!(open(), "ok\n", "everything is allowed");
    update_from(&sandbox, json!({ "devices": kmsg(false) })).ok();
    assert_eq!(open(), "EPERM\n");
    // Another part that fails takes the rules with it.
    update_from(&sandbox, json!({ "devices": kmsg(true), "unified": { "cgroup.max.depth": "x" } })).expect(1);
    assert_eq!(open(), "EPERM\n");
    bundle.delete_force().ok();
}

#[test]
fn device_rules_of_a_cgroup_that_existed() {
    let sandbox = sandbox!();
    let dir = sandbox.cgroup_dir("c");
    fs::create_dir(&dir).expect("a cgroup");
    let bundle = running(with_kmsg(&sandbox));
    update_from(&sandbox, json!({ "devices": kmsg(true) })).ok();
    bundle.delete_force().ok();
    // Delete has found the new program and taken it off: a container that allows everything finds none.
    let all = with_kmsg(&sandbox).set("/linux/resources/devices", json!([{ "allow": true, "access": "rwm" }]));
    let out = all.args(["open-dev", "/dev/kmsg", "w"]).run();
    fs::remove_dir(&dir).expect("it existed before");
    assert_eq!(out.ok().stdout(), "ok\n");
}

#[test]
fn never_a_moment_without_a_device_program() {
    let sandbox = sandbox!();
    let bundle = running(with_kmsg(&sandbox));
    let hammer = sandbox.spawn(sandbox.command(["exec", "c", "/bin/probe", "hammer-dev", "/dev/kmsg"]));
    hammer.wait_stdout("ready");
    for minor in 0..20 {
        let mut rules = kmsg(false);
        rules.as_array_mut().expect("rules").push(json!({ "allow": true, "type": "b", "major": 7, "minor": minor }));
        update_from(&sandbox, json!({ "devices": rules })).ok();
    }
    hammer.signal(libc::SIGTERM);
    assert_eq!(hammer.wait().expect(143).stdout(), "ready\n");
    bundle.delete_force().ok();
}

#[test]
fn memory() {
    let sandbox = sandbox!();
    needs!(sandbox, "memory");
    let limits = json!({ "limit": 64 << 20, "swap": 96 << 20 });
    let bundle = running(sandbox.bundle("c").set("/linux/resources/memory", limits));
    let now = || ["memory.max", "memory.low", "memory.swap.max"].map(|name| file(&sandbox, name));
    assert_eq!(now(), ["67108864", "0", "33554432"]);
    // A limit alone leaves the swap as it is; the sum that is kept follows.
    update(&sandbox, &["--memory", "128m"]).ok();
    assert_eq!(now(), ["134217728", "0", "33554432"]);
    assert_eq!(kept(&sandbox)["memory"], json!({ "limit": 128 << 20, "swap": 160 << 20 }));
    // Swap alone is told as a sum, too.
    update(&sandbox, &["--memory-swap", "136m"]).ok();
    assert_eq!(now(), ["134217728", "0", "8388608"]);
    update(&sandbox, &["--memory-reservation", "16m", "--memory-swap", "-1"]).ok();
    assert_eq!(now(), ["134217728", "16777216", "max"]);
    update(&sandbox, &["--memory-swap", "100m"]).expect(1).fails_with("memory+swap limit should be >= memory limit");
    update_from(&sandbox, json!({ "memory": { "limit": 32 << 20, "swap": 32 << 20 } })).ok();
    assert_eq!(now(), ["33554432", "16777216", "0"]);
    update(&sandbox, &["--memory", "-1"]).ok();
    assert_eq!(now(), ["max", "16777216", "max"]);
    // The old value is back, whatever was written before the failure.
    let wrong = json!({ "memory": { "limit": 48 << 20, "swap": 64 << 20 }, "unified": { "memory.nonsense": "1" } });
    update_from(&sandbox, wrong).expect(1).fails_with("memory.nonsense");
    assert_eq!(now(), ["max", "16777216", "max"]);
    bundle.delete_force().ok();
}

/// A container that holds `mebibytes` of memory that cannot be reclaimed.
fn holding<'a>(sandbox: &'a Sandbox, mebibytes: &str) -> Bundle<'a> {
    let bundle = sandbox.bundle("c").set("/linux/resources/memory", json!({ "limit": 128 << 20, "swap": 128 << 20 }));
    let bundle = bundle.args(["hold", mebibytes]);
    bundle.run_with(&["--detach"]).ok().wait_stdout("holding");
    bundle
}

#[test]
fn memory_below_what_is_used() {
    let sandbox = sandbox!();
    needs!(sandbox, "memory");
    let bundle = holding(&sandbox, "40");
    let limit = json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20, "checkBeforeUpdate": true } });
    update_from(&sandbox, limit).expect(1).fails_with("rejecting memory+swap limit 16777216 <= usage ");
    let limit = json!({ "memory": { "limit": 16 << 20, "checkBeforeUpdate": true } });
    update_from(&sandbox, limit).expect(1).fails_with("rejecting memory limit 16777216 <= usage ");
    let out = update(&sandbox, &["--safe", "--memory", "16m"]).expect(1);
    let out = out.fails_with("rejecting memory limit 16777216 <= usage ");
    assert!(out.stderr().contains("without killing") || out.stderr().contains("would kill"), "{}", out.report());
    assert_eq!((file(&sandbox, "memory.max"), file(&sandbox, "memory.high")), ("134217728".into(), "max".into()));
    assert_eq!(bundle.status(), "running");
    // What fits goes through, and leaves memory.high as it was.
    update(&sandbox, &["--safe", "--memory", "64m"]).ok();
    assert_eq!((file(&sandbox, "memory.max"), file(&sandbox, "memory.high")), ("67108864".into(), "max".into()));
    // As with runc nothing else stands between a process and the OOM killer; rt says what it did.
    let out = update(&sandbox, &["--memory", "16m"]).ok();
    assert!(out.stderr().contains("the OOM killer killed 1 process(es) of container c"), "{}", out.report());
    bundle.wait_stopped();
    bundle.delete().ok();
}

/// The numbers of a disk of this machine.
fn disk() -> Option<(u32, u32)> {
    let text = ["vda", "sda"].into_iter().find_map(|name| fs::read_to_string(format!("/sys/block/{name}/dev")).ok())?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[test]
fn safe_reclaims_what_it_can() {
    let sandbox = sandbox!();
    needs!(sandbox, "memory");
    let Some((major, minor)) = disk() else { skip!("no disk, whose cached pages could be reclaimed") };
    let node = json!([{ "path": "/dev/disk", "type": "b", "major": major, "minor": minor, "fileMode": 0o666 }]);
    let bundle = sandbox.bundle("c").set("/linux/devices", node);
    let rule = json!({ "allow": true, "type": "b", "major": major, "minor": minor, "access": "r" });
    let bundle = bundle.set("/linux/resources/devices/-", rule);
    let bundle = bundle.set("/linux/resources/memory", json!({ "limit": 128 << 20 }));
    let bundle = bundle.args("seq cache /dev/disk -- echo cached -- pause".split(' '));
    bundle.run_with(&["--detach"]).ok().wait_stdout("cached");
    let usage = || file(&sandbox, "memory.current").parse::<u64>().expect("a number");
    let before = usage();
    if before < 32 << 20 {
        bundle.delete_force().ok();
        skip!("the disk holds {before} bytes at most");
    }
    let limit = json!({ "memory": { "limit": 16 << 20, "checkBeforeUpdate": true } });
    update_from(&sandbox, limit).expect(1).fails_with("rejecting memory limit");
    update(&sandbox, &["--safe", "--memory", "16m"]).ok();
    assert!(usage() <= 16 << 20, "{before}, then {}", usage());
    assert_eq!((file(&sandbox, "memory.max"), file(&sandbox, "memory.high")), ("16777216".into(), "max".into()));
    assert_eq!((bundle.status(), bundle.state().get("oom")), ("running".into(), None));
    bundle.delete_force().ok();
}

#[test]
fn cpu() {
    let sandbox = sandbox!();
    needs!(sandbox, "cpu");
    let limits = json!({ "shares": 512, "quota": 50_000, "period": 100_000 });
    let bundle = running(sandbox.bundle("c").set("/linux/resources/cpu", limits));
    let now = || ["cpu.max", "cpu.max.burst", "cpu.weight", "cpu.idle"].map(|name| file(&sandbox, name));
    let first = now();
    assert_eq!((first[0].as_str(), first[1].as_str()), ("50000 100000", "0"));
    update(&sandbox, &["--cpu-quota", "20000"]).ok();
    assert_eq!(now()[0], "20000 100000", "the period stays");
    update(&sandbox, &["--cpu-period", "50000"]).ok();
    assert_eq!(now()[0], "20000 50000", "the quota stays");
    // More burst than the old quota, and then less quota than the old burst: each in the order the kernel takes.
    update(&sandbox, &["--cpu-burst", "40000", "--cpu-quota", "45000"]).ok();
    assert_eq!(now()[..2], ["45000 50000", "40000"]);
    update(&sandbox, &["--cpu-burst", "1000", "--cpu-quota", "2000"]).ok();
    assert_eq!(now()[..2], ["2000 50000", "1000"]);
    update(&sandbox, &["--cpu-quota", "-1"]).ok();
    assert_eq!(now()[0], "max 50000");
    update(&sandbox, &["--cpu-share", "1024"]).ok();
    assert_eq!(now()[2], "100");
    update(&sandbox, &["--cpu-idle", "1"]).ok();
    assert_eq!(now()[3], "1");
    update(&sandbox, &["--cpu-idle", "0"]).ok();
    assert_eq!(now()[2..], ["100", "0"], "the shares are those that were asked for last");
    update(&sandbox, &["--cpu-period", "7"]).expect(1).fails_with("linux.resources.cpu.period: ");
    assert_eq!(now()[0], "max 50000");
    bundle.delete_force().ok();
}

#[test]
fn pids_and_cpusets() {
    let sandbox = sandbox!();
    needs!(sandbox, "pids", "cpuset");
    let bundle = running(sandbox.bundle("c").set("/linux/resources/pids", json!({ "limit": 50 })));
    update(&sandbox, &["--pids-limit", "7"]).ok();
    assert_eq!(file(&sandbox, "pids.max"), "7");
    update(&sandbox, &["--pids-limit=-1"]).ok();
    assert_eq!(file(&sandbox, "pids.max"), "max");
    update(&sandbox, &["--cpuset-cpus", "0", "--cpuset-mems", "0"]).ok();
    assert_eq!((file(&sandbox, "cpuset.cpus"), file(&sandbox, "cpuset.mems")), ("0".into(), "0".into()));
    update(&sandbox, &["--pids-limit", "9", "--cpuset-cpus", "nothing"])
        .expect(1)
        .fails_with("linux.resources.cpu.cpus: ");
    assert_eq!((file(&sandbox, "pids.max"), file(&sandbox, "cpuset.cpus")), ("max".into(), "0".into()));
    // In force for what runs: the limit is below what there is by now.
    update(&sandbox, &["--pids-limit", "1"]).ok();
    bundle.exec(["/bin/true"]).expect(255).fails_with("pids.max");
    bundle.delete_force().ok();
}

#[test]
fn disks() {
    let sandbox = sandbox!();
    needs!(sandbox, "io");
    let Some((major, minor)) = disk() else { skip!("no disk") };
    let rate = |key: &str, rate: u64| {
        let row = json!({ "major": major, "minor": minor, "rate": rate });
        json!({ "blockIO": { key: [row] } })
    };
    let bundle = running(sandbox.bundle("c"));
    update_from(&sandbox, rate("throttleReadBpsDevice", 1 << 20)).ok();
    assert_eq!(file(&sandbox, "io.max"), format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=max"));
    update_from(&sandbox, rate("throttleWriteIOPSDevice", 50)).ok();
    assert_eq!(file(&sandbox, "io.max"), format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=50"));
    let mut wrong = rate("throttleReadBpsDevice", 5 << 20);
    wrong["unified"] = json!({ "io.nonsense": "1" });
    update_from(&sandbox, wrong).expect(1).fails_with("io.nonsense");
    assert_eq!(file(&sandbox, "io.max"), format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=50"));
    update_from(&sandbox, rate("throttleReadBpsDevice", 2 << 20)).ok();
    assert_eq!(kept(&sandbox)["blockIO"]["throttleReadBpsDevice"].as_array().map(Vec::len), Some(1));
    update(&sandbox, &["--blkio-weight", "1000"]).ok();
    bundle.delete_force().ok();
}

#[test]
fn intel_rdt() {
    let sandbox = sandbox!();
    let root = sandbox.dir().join("resctrl");
    fs::create_dir_all(root.join("gold")).expect("a tree");
    fs::write(root.join("gold/schemata"), "L3:0=7ff\nMB:0=100\n").expect("a tree");
    fs::write(root.join("gold/tasks"), "").expect("a tree");
    let bundle = sandbox.bundle("c").set("/linux/intelRdt", json!({ "closID": "gold" })).args(["pause"]);
    let mut create = bundle.command("create", &[]);
    create.env("RT_RESCTRL", &root);
    sandbox.finish(create).ok();
    let schemata = || fs::read_to_string(root.join("gold/schemata")).expect("schemata");
    update(&sandbox, &["--l3-cache-schema", "L3:0=f", "--mem-bw-schema", "MB:0=20"]).ok();
    assert_eq!(schemata(), "L3:0=f\nMB:0=20\n");
    let wrong = ["--l3-cache-schema", "L3:0=1", "--memory", "5", "--memory-swap", "4"];
    update(&sandbox, &wrong).expect(1);
    assert_eq!(schemata(), "L3:0=f\nMB:0=20\n");
    bundle.delete_force().ok();
}
