//! Each limit of `linux.resources`: the value in the file, seen from inside and from outside, and that it holds.
//!
//! Nothing is timed but from below: what a throttle holds back cannot be early. Tests that overwrite a disk, or change
//! the machine, take one that is theirs alone: `RT_TEST_DISK` names its disk, as integration/vm does.

use rt_integration::{Bundle, Sandbox, sandbox, skip};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Ends the test where the hierarchy lacks one of these controllers.
macro_rules! needs {
    ($sandbox:expr, $($controller:literal),+) => {
        $(if !$sandbox.has_controller($controller) {
            skip!(concat!("no ", $controller, " controller in cgroup v2"));
        })+
    };
}

macro_rules! test_disk {
    () => {
        match std::env::var("RT_TEST_DISK") {
            Ok(disk) => Disk::find(disk),
            Err(_) => skip!("RT_TEST_DISK names no disk to overwrite"),
        }
    };
}

fn with<'a>(sandbox: &'a Sandbox, id: &str, resources: Value) -> Bundle<'a> {
    sandbox.bundle(id).edit(|spec| {
        let all = spec["linux"]["resources"].as_object_mut().expect("resources");
        all.extend(resources.as_object().expect("an object").clone());
    })
}

fn outside(sandbox: &Sandbox, id: &str, file: &str) -> String {
    let path = sandbox.cgroup_dir(id).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim_end().to_owned()
}

/// A number of a file of `key value` lines.
fn count(sandbox: &Sandbox, id: &str, file: &str, key: &str) -> u64 {
    let text = outside(sandbox, id, file);
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("{file} has no {key}: {text}"))
}

/// A container with these resources finds these values, and so does the host.
#[track_caller]
fn shows(sandbox: &Sandbox, resources: Value, files: &[(&str, &str)]) {
    let mut steps: Vec<String> = vec!["seq".into()];
    for (file, _) in files {
        steps.extend(
            ["echo", &format!("@{file}"), "--", "cat", &format!("/sys/fs/cgroup/{file}"), "--"].map(Into::into),
        );
    }
    steps.extend(["echo", "@end", "--", "pause"].map(Into::into));
    let bundle = with(sandbox, "shows", resources).args(&steps);
    let out = bundle.run_with(&["--detach"]).ok();
    out.wait_stdout("@end\n");
    let text = out.stdout();
    for (file, value) in files {
        let inside = text.split('@').find_map(|part| part.strip_prefix(file)?.strip_prefix('\n')).unwrap_or_default();
        assert_eq!(inside.trim_end(), *value, "{file} from inside");
        assert_eq!(outside(sandbox, "shows", file), *value, "{file} from outside");
    }
    bundle.delete_force().ok();
}

/// A disk to overwrite.
struct Disk {
    path: String,
    major: u64,
    minor: u64,
}

impl Disk {
    fn find(path: String) -> Disk {
        let number = fs::metadata(&path).expect("RT_TEST_DISK").rdev();
        Disk { path, major: libc::major(number).into(), minor: libc::minor(number).into() }
    }

    /// A container that has the disk as /dev/disk, may use it, and has these limits.
    fn given_to<'a>(&self, sandbox: &'a Sandbox, resources: Value) -> Bundle<'a> {
        self.given_as(sandbox, "c", resources)
    }

    fn given_as<'a>(&self, sandbox: &'a Sandbox, id: &str, mut resources: Value) -> Bundle<'a> {
        resources["devices"] = json!([
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "b", "major": self.major, "minor": self.minor, "access": "rw" }
        ]);
        let node = json!({ "path": "/dev/disk", "type": "b", "major": self.major, "minor": self.minor });
        with(sandbox, id, resources).set("/linux/devices", json!([node]))
    }

    fn number(&self) -> String {
        format!("{}:{}", self.major, self.minor)
    }
}

const MIB: i64 = 1 << 20;

#[test]
fn memory_values() {
    let sandbox = sandbox!();
    needs!(sandbox, "memory");
    let memory = json!({ "limit": 64 * MIB, "reservation": 32 * MIB, "swap": 96 * MIB });
    let files = [("memory.max", "67108864"), ("memory.low", "33554432"), ("memory.swap.max", "33554432")];
    shows(&sandbox, json!({ "memory": memory }), &files);
    let memory = json!({ "limit": 64 * MIB, "swap": 64 * MIB });
    shows(&sandbox, json!({ "memory": memory }), &[("memory.swap.max", "0")]);
    let memory = json!({ "limit": -1, "reservation": -1, "swap": -1 });
    let files = [("memory.max", "max"), ("memory.low", "max"), ("memory.swap.max", "max")];
    shows(&sandbox, json!({ "memory": memory }), &files);
    let unified =
        json!({ "memory.high": "8388608", "memory.min": "4096", "memory.max": "max", "memory.oom.group": "1" });
    let files = [("memory.high", "8388608"), ("memory.min", "4096"), ("memory.max", "max"), ("memory.oom.group", "1")];
    shows(&sandbox, json!({ "memory": { "limit": 64 * MIB }, "unified": unified }), &files);
}

#[test]
fn memory_max_kills() {
    let sandbox = sandbox!();
    needs!(sandbox, "memory");
    let memory = json!({ "memory": { "limit": 16 * MIB, "swap": 16 * MIB } });
    let out = with(&sandbox, "c", memory.clone()).args(["oom", "64"]).run().expect(137);
    assert!(out.stderr().contains("OOM killer") && out.stderr().contains("memory.max=16777216"), "{}", out.report());
    with(&sandbox, "c", memory.clone()).args(["oom", "8"]).run().ok();
    // The container outlives what is killed in it, and the kernel has counted.
    let bundle = with(&sandbox, "c", memory).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    bundle.exec(["/bin/probe", "oom", "64"]).expect(137);
    assert_eq!(count(&sandbox, "c", "memory.events", "oom_kill"), 1);
    assert_eq!(bundle.status(), "running");
    bundle.delete_force().ok();
}

/// What rt's own init needs inside the limit is little; where it is too much, the error says what to raise.
#[test]
fn a_start_within_little_memory() {
    let sandbox = sandbox!();
    needs!(sandbox, "memory");
    let run = |limit: i64| {
        let memory = json!({ "memory": { "limit": limit, "swap": limit } });
        with(&sandbox, "c", memory).set("/process/args", vec!["/bin/true"]).run()
    };
    run(MIB / 2).ok();
    let out = run(4096);
    assert!(out.stderr().contains("memory.max=4096"), "{}", out.report());
    assert!(!out.status.success() && !sandbox.cgroup_dir("c").exists(), "{}", out.report());
}

/// Beyond `memory.high` the page cache is given back: more is read than may be kept.
#[test]
fn memory_high_reclaims() {
    let sandbox = sandbox!();
    needs!(sandbox, "memory");
    let disk = test_disk!();
    let limits = json!({ "unified": { "memory.high": "8388608" } });
    let bundle = disk.given_to(&sandbox, limits).args("seq read /dev/disk 8192 -- pause".split(' '));
    bundle.run_with(&["--detach"]).ok().wait_stdout("8192\n");
    assert!(count(&sandbox, "c", "memory.events", "high") > 0);
    let peak: i64 = outside(&sandbox, "c", "memory.peak").parse().expect("a number");
    assert!(peak < 24 * MIB, "32 MiB were read, and {peak} bytes kept");
    bundle.delete_force().ok();
}

/// Where all below one cgroup have to give memory back, the one with a reservation keeps what it has.
#[test]
fn a_reservation_protects() {
    let sandbox = sandbox!();
    needs!(sandbox, "memory");
    let disk = test_disk!();
    const CACHED: u64 = 16 << 20;
    // A page of the disk counts for whoever reads it first, or ahead.
    let container = |id: &str, from: &str, reservation: i64| {
        let memory = json!({ "memory": { "reservation": reservation } });
        let steps = ["seq", "cache", "/dev/disk", from, "16", "--", "echo", "cached", "--", "pause"];
        let bundle = disk.given_as(&sandbox, id, memory).args(steps);
        bundle.run_with(&["--detach"]).ok().wait_stdout("cached");
        bundle
    };
    let kept = |id: &str| count(&sandbox, id, "memory.stat", "file");
    let both = [container("kept", "0", 64 * MIB), container("taken", "40", 0)];
    let before = ["kept", "taken"].map(kept);
    assert!(before.iter().all(|bytes| *bytes >= CACHED), "{before:?}");
    fs::write(sandbox.cgroup_dir("memory.reclaim"), "12M").expect("memory.reclaim");
    let after = ["kept", "taken"].map(kept);
    assert!(after[0] == before[0] && after[1] <= before[1] - (11 << 20), "{before:?} bytes, then {after:?}");
    both.iter().for_each(|bundle| drop(bundle.delete_force().ok()));
}

/// The same load lives with swap and dies without.
#[test]
fn swap_in_force() {
    let sandbox = sandbox!();
    needs!(sandbox, "memory");
    let disk = test_disk!();
    let run = |program: &str| {
        let status = Command::new(program).arg(&disk.path).output().expect(program).status;
        assert!(status.success(), "{program} {}", disk.path);
    };
    run("/sbin/mkswap");
    run("/sbin/swapon");
    let load = |swap: i64| {
        let memory = json!({ "memory": { "limit": 16 * MIB, "swap": swap } });
        with(&sandbox, "c", memory).args(["oom", "24"]).run()
    };
    let (with_swap, without) = (load(48 * MIB), load(16 * MIB));
    run("/sbin/swapoff");
    with_swap.ok();
    without.expect(137);
}

#[test]
fn cpu_values() {
    let sandbox = sandbox!();
    needs!(sandbox, "cpu", "cpuset");
    let cpu = json!({ "shares": 512, "quota": 50_000, "period": 200_000, "burst": 20_000, "cpus": "0", "mems": "0" });
    let files = [
        ("cpu.weight", "59"),
        ("cpu.max", "50000 200000"),
        ("cpu.max.burst", "20000"),
        ("cpuset.cpus", "0"),
        ("cpuset.cpus.effective", "0"),
        ("cpuset.mems", "0"),
        ("cpuset.mems.effective", "0"),
    ];
    shows(&sandbox, json!({ "cpu": cpu }), &files);
    for (cpu, file, value) in [
        (json!({ "shares": 1024 }), "cpu.weight", "100"),
        (json!({ "shares": 2 }), "cpu.weight", "1"),
        (json!({ "shares": 262_144 }), "cpu.weight", "10000"),
        (json!({ "quota": -1 }), "cpu.max", "max 100000"),
        (json!({ "period": 50_000 }), "cpu.max", "max 50000"),
        (json!({ "quota": 30_000 }), "cpu.max", "30000 100000"),
        (json!({ "idle": 1, "shares": 512 }), "cpu.idle", "1"),
        (json!({ "idle": 0 }), "cpu.idle", "0"),
    ] {
        shows(&sandbox, json!({ "cpu": cpu }), &[(file, value)]);
    }
    let bundle = with(&sandbox, "c", json!({ "cpu": { "cpus": "0", "mems": "0" } })).args(["affinity"]);
    assert_eq!(bundle.run().ok().lines(), ["Cpus_allowed_list:\t0", "Mems_allowed_list:\t0"]);
}

#[test]
fn a_quota_throttles() {
    let sandbox = sandbox!();
    needs!(sandbox, "cpu");
    let burn = |cpu: Value| {
        let bundle = with(&sandbox, "c", json!({ "cpu": cpu })).args("seq burn 0.2 -- echo done -- pause".split(' '));
        bundle.run_with(&["--detach"]).ok().wait_stdout("done");
        let stat = |key: &str| count(&sandbox, "c", "cpu.stat", key);
        let found = (stat("nr_throttled"), stat("throttled_usec"), stat("usage_usec"));
        bundle.delete_force().ok();
        found
    };
    // A tenth of a processor for a fifth of a second: ten periods are used up at the least.
    let (throttled, waited, used) = burn(json!({ "quota": 10_000, "period": 100_000 }));
    assert!(throttled >= 5 && waited > used, "throttled {throttled} times, {waited} µs; used {used} µs");
    assert_eq!(burn(json!({ "shares": 100 })).0, 0);
}

/// What was not used before may be used at once, beyond the quota.
#[test]
fn a_burst_is_let_through() {
    let sandbox = sandbox!();
    needs!(sandbox, "cpu");
    let bursts = |burst: u64| {
        let cpu = json!({ "quota": 100_000, "period": 1_000_000, "burst": burst });
        // Unused periods come first, which is what a burst is made of; then more than it can be.
        let bundle = with(&sandbox, "c", json!({ "cpu": cpu }));
        let bundle = bundle.args("seq sleep 3 -- burn 0.4 -- echo done -- pause".split(' '));
        bundle.run_with(&["--detach"]).ok().wait_stdout("done");
        let found = ["nr_bursts", "burst_usec"].map(|key| count(&sandbox, "c", "cpu.stat", key));
        bundle.delete_force().ok();
        found
    };
    let [times, used] = bursts(100_000);
    assert!(times > 0 && used > 0, "{times} bursts of {used} µs altogether");
    assert_eq!(bursts(0), [0, 0]);
}

/// Two busy containers on one processor get it by their weights.
#[test]
fn weights_share_a_processor() {
    let sandbox = sandbox!();
    needs!(sandbox, "cpu", "cpuset");
    for (heavy, light) in [(json!({ "shares": 65_536 }), json!({ "shares": 128 })), (json!({}), json!({ "idle": 1 }))] {
        let container = |id: &str, mut cpu: Value, seconds: &str| {
            cpu["cpus"] = "0".into();
            let steps = ["seq", "echo", "begins", "--", "burn", seconds];
            with(&sandbox, id, json!({ "cpu": cpu })).args(steps)
        };
        let light = container("light", light, "1000");
        light.run_with(&["--detach"]).ok().wait_stdout("begins");
        let heavy = container("heavy", heavy, "1");
        let running = heavy.spawn(&[]);
        running.wait_stdout("begins");
        let used = || count(&sandbox, "light", "cpu.stat", "usage_usec");
        let before = used();
        running.wait().ok();
        let meanwhile = used() - before;
        light.delete_force().ok();
        // The ratio is over thirty; what is left is for the moments in which the heavy one did not run.
        assert!(meanwhile < 500_000, "{meanwhile} µs beside a second of the heavy one");
    }
}

#[test]
fn pids_max_refuses_the_fork() {
    let sandbox = sandbox!();
    needs!(sandbox, "pids");
    for (limit, value) in [(7, "7"), (0, "1"), (-1, "max")] {
        shows(&sandbox, json!({ "pids": { "limit": limit } }), &[("pids.max", value)]);
    }
    let bundle = with(&sandbox, "c", json!({ "pids": { "limit": 7 } })).args("seq forks 100 -- pause".split(' '));
    bundle.run_with(&["--detach"]).ok().wait_stdout("6 fork: EAGAIN\n");
    assert_eq!(outside(&sandbox, "c", "pids.current"), "7");
    assert!(count(&sandbox, "c", "pids.events", "max") > 0);
    let out = bundle.exec(["/bin/true"]).expect(255);
    assert!(out.stderr().contains("pids.max"), "{}", out.report());
    bundle.delete_force().ok();
}

#[test]
fn throttles_of_a_disk() {
    let sandbox = sandbox!();
    needs!(sandbox, "io");
    let disk = test_disk!();
    let rate = |rate: u64| json!([{ "major": disk.major, "minor": disk.minor, "rate": rate }]);
    let move_blocks = |resources: Value, way: &str, blocks: &str| {
        let bundle = disk.given_to(&sandbox, resources);
        let bundle = bundle.args(["seq", "disk", way, "/dev/disk", blocks, "--", "echo", "done", "--", "pause"]);
        let out = bundle.run_with(&["--detach"]).ok();
        out.wait_stdout("done");
        let (max, stat) = (outside(&sandbox, "c", "io.max"), outside(&sandbox, "c", "io.stat"));
        bundle.delete_force().ok();
        (out.lines()[0].parse::<u64>().expect("milliseconds"), max, stat)
    };
    let free = |way: &str| move_blocks(json!({}), way, "512").0;
    // Twice what a second allows takes more than a second, whatever the kernel lets pass at first.
    for (field, way, value, file, blocks) in [
        ("throttleReadBpsDevice", "r", 1 << 20, "rbps=1048576 wbps=max riops=max wiops=max", "512"),
        ("throttleWriteBpsDevice", "w", 1 << 20, "rbps=max wbps=1048576 riops=max wiops=max", "512"),
        ("throttleReadIOPSDevice", "r", 50, "rbps=max wbps=max riops=50 wiops=max", "100"),
        ("throttleWriteIOPSDevice", "w", 50, "rbps=max wbps=max riops=max wiops=50", "100"),
    ] {
        let (took, max, stat) = move_blocks(json!({ "blockIO": { field: rate(value) } }), way, blocks);
        assert_eq!(max, format!("{} {file}", disk.number()), "{field}");
        assert!(took >= 1000, "{field}: {blocks} blocks in {took} ms; without the limit 512 in {} ms", free(way));
        let counted = format!("{}bytes={}", way, blocks.parse::<u64>().expect("a number") * 4096);
        assert!(stat.contains(&counted), "{field}: {stat}");
    }
    let none = json!({ "blockIO": { "throttleReadBpsDevice": rate(0) } });
    assert_eq!(move_blocks(none, "r", "1").1, "");
}

#[test]
fn weights_of_a_disk() {
    let sandbox = sandbox!();
    needs!(sandbox, "io");
    let disk = test_disk!();
    let scheduler = format!("/sys/dev/block/{}/queue/scheduler", disk.number());
    let use_scheduler = |name: &str| fs::write(&scheduler, name).unwrap_or_else(|error| panic!("{name}: {error}"));
    shows(&sandbox, json!({ "blockIO": { "weight": 500 } }), &[("io.weight", "default 4950")]);
    use_scheduler("bfq");
    let device = json!([{ "major": disk.major, "minor": disk.minor, "weight": 300 }]);
    let weights = json!({ "blockIO": { "weight": 500, "weightDevice": device } });
    let expected = format!("default 500\n{} 300", disk.number());
    shows(&sandbox, weights, &[("io.bfq.weight", &expected)]);
    use_scheduler("none");
}

/// Two containers that read a disk get it by their weights. The kernel schedules by `io.weight` where its cost model is
/// switched on (cgroup-v2.rst, `io.cost.qos`).
#[test]
fn weights_share_a_disk() {
    let sandbox = sandbox!();
    needs!(sandbox, "io");
    let disk = test_disk!();
    let set = |file: &str, value: &str| {
        fs::write(Path::new("/sys/fs/cgroup").join(file), format!("{} {value}", disk.number())).expect(file);
    };
    let blocks_read = |id: &str| {
        let stat = outside(&sandbox, id, "io.stat");
        let bytes = stat.split(' ').find_map(|word| word.strip_prefix("rbytes="));
        bytes.map_or(0, |bytes| bytes.parse::<u64>().expect("a number") / 4096)
    };
    // A disk that is never taken to be faster or slower than this.
    let model = ["rbps", "wbps"].map(|key| format!("{key}=104857600"));
    let rates = ["rseqiops", "rrandiops", "wseqiops", "wrandiops"].map(|key| format!("{key}=100"));
    set("io.cost.model", &format!("ctrl=user model=linear {} {}", model.join(" "), rates.join(" ")));
    set("io.cost.qos", "enable=1 ctrl=user min=100.00 max=100.00");
    let of_one =
        |weight: u64| json!({ "weightDevice": [{ "major": disk.major, "minor": disk.minor, "weight": weight }] });
    let of_all = |weight: u64| json!({ "weight": weight });
    for weights in [&of_all as &dyn Fn(u64) -> Value, &of_one] {
        let container = |id: &str, weight: u64, blocks: &str| {
            let bundle = disk.given_as(&sandbox, id, json!({ "blockIO": weights(weight) }));
            bundle.args(["seq", "echo", "begins", "--", "disk", "r", "/dev/disk", blocks])
        };
        let light = container("light", 10, "16384");
        light.run_with(&["--detach"]).ok().wait_stdout("begins");
        let heavy = container("heavy", 1000, "200");
        let running = heavy.spawn(&[]);
        running.wait_stdout("begins");
        let before = blocks_read("light");
        running.wait().ok();
        let meanwhile = blocks_read("light") - before;
        light.delete_force().ok();
        assert!(meanwhile < 80, "{meanwhile} blocks beside 200 of the heavy one, with {}", weights(10));
    }
    set("io.cost.qos", "enable=0");
}

#[test]
fn huge_pages() {
    let sandbox = sandbox!();
    needs!(sandbox, "hugetlb");
    let pool = Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    if !pool.exists() {
        skip!("no huge pages of 2 MB");
    }
    let limits = |pages: i64| json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": pages * 2 * MIB }] });
    shows(&sandbox, limits(2), &[("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")]);
    let _disk = test_disk!();
    fs::write(pool, "8").expect("a pool of huge pages");
    let map = |pages: &str| with(&sandbox, "c", limits(2)).args(["huge", pages]).run();
    let (fits, beyond) = (map("2"), map("3"));
    fs::write(pool, "0").expect("no pool of huge pages");
    assert_eq!(fits.ok().stdout(), "ok\n");
    assert_eq!(beyond.ok().stdout(), "ENOMEM\n");
}

/// Neither has a device or a resource to limit in an ordinary machine: the file is there, and its refusal is told.
#[test]
fn rdma_and_misc() {
    let sandbox = sandbox!();
    needs!(sandbox, "rdma", "misc");
    for (resources, field, file) in [
        (json!({ "rdma": { "nothing0": { "hcaHandles": 3 } } }), "linux.resources.rdma", "rdma.max"),
        (json!({ "unified": { "rdma.max": "nothing0 hca_handle=3" } }), "linux.resources.unified", "rdma.max"),
        (json!({ "unified": { "misc.max": "nothing 3" } }), "linux.resources.unified", "misc.max"),
    ] {
        let out = with(&sandbox, "c", resources).run().expect(1).fails_with(field);
        assert!(out.stderr().contains(&format!("/{file}: ")), "{}", out.report());
    }
}

/// What version 2 has no file for is refused by its place and with a way out, here and on every host.
#[test]
fn fields_of_version_1() {
    let sandbox = sandbox!();
    for (resources, words) in [
        (json!({ "memory": { "swappiness": 60 } }), "linux.resources.memory.swappiness: "),
        (json!({ "cpu": { "realtimeRuntime": 100 } }), "linux.resources.cpu.realtimeRuntime: "),
        (json!({ "cpu": { "realtimePeriod": 100 } }), "linux.resources.cpu.realtimePeriod: "),
        (json!({ "blockIO": { "leafWeight": 100 } }), "linux.resources.blockIO.leafWeight: "),
        (json!({ "network": { "classID": 1 } }), "linux.resources.network.classID: "),
        (
            json!({ "network": { "priorities": [{ "name": "lo", "priority": 1 }] } }),
            "linux.resources.network.priorities: ",
        ),
        (
            json!({ "blockIO": { "weightDevice": [{ "major": 8, "minor": 0, "leafWeight": 10 }] } }),
            "linux.resources.blockIO.weightDevice[].leafWeight: ",
        ),
    ] {
        let out = with(&sandbox, "c", resources).run().expect(1).fails_with(words);
        assert!(out.stderr().contains("cgroup v2") && out.stderr().contains("remove it"), "{}", out.report());
    }
}

/// What Docker asks for in bundles/docker.
#[test]
fn the_limits_of_bundles_docker() {
    let sandbox = sandbox!();
    needs!(sandbox, "memory", "cpu", "pids", "io");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundles/docker/config.json");
    let sample: Value = serde_json::from_slice(&fs::read(sample).expect("the sample")).expect("JSON");
    let files = [
        ("memory.max", "134217728"),
        ("memory.swap.max", "134217728"),
        ("cpu.weight", "59"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "128"),
    ];
    shows(&sandbox, sample["linux"]["resources"].clone(), &files);
}
