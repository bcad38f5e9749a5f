//! `rt events`, which has runc's JSON, and `rt stats`.

use rt_integration::{Bundle, pty, sandbox, skip};
use serde_json::{Value, json};
use std::process::Command;

fn running<'a>(bundle: Bundle<'a>) -> Bundle<'a> {
    let bundle = bundle.args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    bundle
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn statistics_once() {
    let sandbox = sandbox!();
    sandbox.rt(["events", "--stats", "c"]).expect(1).fails_with("container does not exist");
    let bundle = running(sandbox.bundle("c"));
    let lines = sandbox.rt(["events", "--stats", "c"]).ok().lines();
    assert_eq!(lines.len(), 1);
    let event = parsed(&lines[0]);
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!("c")));
    let data = &event["data"];
    for part in ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt"] {
        assert!(data[part].is_object(), "{part}: {event}");
    }
    // cpu.stat is there without any controller.
    assert!(data["cpu"]["usage"]["total"].as_u64() > Some(0), "{event}");
    if sandbox.has_controller("memory") {
        let memory = &data["memory"];
        assert!(memory["usage"]["usage"].as_u64() > Some(0) && memory["raw"]["anon"].is_u64(), "{event}");
        assert_eq!(memory["usage"]["limit"], json!(u64::MAX));
    }
    assert_eq!(data["pids"], json!({ "current": 1 }));
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    sandbox.rt(["events", "--stats", "c"]).expect(1).fails_with("container with id c is not running");
    sandbox.rt(["events", "c"]).expect(1).fails_with("container with id c is not running");
    bundle.delete().ok();
}

/// The text with each number as 0: keys, their order, and types.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    let mut in_text = false;
    for c in line.trim_end().chars() {
        in_text ^= c == '"';
        let numeral = !in_text && (c.is_ascii_digit() || "+-.e".contains(c) && shape.ends_with('0'));
        if !(numeral && shape.ends_with('0')) {
            shape.push(if numeral { '0' } else { c });
        }
    }
    shape
}

/// The same container on both says the same, but for numbers. What runc 1.1 does not know yet comes out first: PSI (1.2),
/// and the peak of memory.
#[test]
fn statistics_have_the_form_of_runcs() {
    let sandbox = sandbox!();
    if Command::new("runc").arg("--version").output().is_err() {
        skip!("no runc");
    }
    let mut steps = vec!["seq burn 0.3".to_owned()];
    let mut bundle = sandbox.bundle("c");
    if sandbox.has_controller("memory") {
        let limits = json!({
            "memory": { "limit": 64 << 20, "swap": 96 << 20 }, "pids": { "limit": 50 },
            "cpu": { "quota": 30_000, "period": 100_000 }
        });
        bundle = bundle.set("/linux/resources", limits);
    }
    // rt hands this controller down for a limit alone.
    if sandbox.has_controller("hugetlb") && std::path::Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        bundle = bundle.set("/linux/resources/hugepageLimits", json!([{ "pageSize": "2MB", "limit": 4 << 20 }]));
    }
    // Keys of what is 0 are left out, so there has to be something to count.
    if let Some((major, minor)) = disk() {
        let node = json!([{ "path": "/dev/disk", "type": "b", "major": major, "minor": minor }]);
        let rule = json!([{ "allow": true, "type": "b", "major": major, "minor": minor, "access": "rw" }]);
        bundle = bundle.set("/linux/devices", node).set("/linux/resources/devices", rule);
        steps.extend(["disk w /dev/disk 1", "disk r /dev/disk 1", "cache /dev/disk FROM 1"].map(Into::into));
    }
    steps.push("echo done -- pause".into());
    let steps = steps.join(" -- ");
    let bundle = bundle.args(steps.replace("FROM", "8").split(' '));
    bundle.run_with(&["--detach"]).ok().wait_stdout("done");
    let ours = sandbox.rt(["events", "--stats", "c"]).ok().stdout();
    bundle.delete_force().ok();

    let bundle = bundle.args(steps.replace("FROM", "16").split(' '));
    bundle.write();
    let runc = |words: &[&str]| {
        let mut call = Command::new("runc");
        call.arg("--root").arg(sandbox.dir().join("runc")).args(words).stdin(std::process::Stdio::null());
        sandbox.finish(call).ok()
    };
    runc(&["run", "--detach", "--bundle", bundle.dir.to_str().expect("UTF-8"), "c"]).wait_stdout("done");
    let theirs = runc(&["events", "--stats", "c"]).stdout();
    runc(&["delete", "--force", "c"]);

    let stall = "{\"avg10\":0,\"avg60\":0,\"avg300\":0,\"total\":0}";
    let psi = format!("\"psi\":{{\"some\":{stall},\"full\":{stall}}}");
    let known = |line: &str| {
        let shape = shape(line).replace(&format!(",{psi}"), "").replace(&psi, "");
        shape.replacen("\"usage\":0,\"max\":0,", "\"usage\":0,", 1)
    };
    assert_eq!(known(&ours), known(&theirs), "{ours}{theirs}");
}

/// The numbers of the disk that is the test's own.
fn disk() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let number = std::fs::metadata(std::env::var_os("RT_TEST_DISK")?).ok()?.rdev();
    Some((libc::major(number), libc::minor(number)))
}

#[test]
fn again_and_again_until_the_container_stops() {
    let sandbox = sandbox!();
    let bundle = running(sandbox.bundle("c"));
    let events = sandbox.spawn(sandbox.command(["events", "--interval=20ms", "c"]));
    let second = "{\"type\":\"stats\"";
    events.wait_stdout(second);
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    let lines = events.wait().ok().lines();
    assert!(lines.iter().all(|line| parsed(line)["type"] == "stats"), "{lines:?}");
    bundle.delete().ok();
    for bad in ["0s", "-5s", "5", "soon"] {
        let out = sandbox.rt(["events", &format!("--interval={bad}"), "c"]).expect(1);
        assert!(out.stderr().contains("not a duration greater than 0"), "{}", out.report());
    }
}

#[test]
fn kills_of_the_oom_killer() {
    let sandbox = sandbox!();
    if !sandbox.has_controller("memory") {
        skip!("no memory controller");
    }
    let limit = json!({ "limit": 32 << 20, "swap": 32 << 20 });
    let bundle = running(sandbox.bundle("c").set("/linux/resources/memory", limit));
    let events = sandbox.spawn(sandbox.command(["events", "--interval=1h", "c"]));
    // Whether the watch has begun cannot be seen from here, so kills are made until one is told.
    let mut kills = 0;
    while !events.stdout().contains("oom") {
        bundle.exec(["/bin/probe", "oom", "64"]).expect(137);
        kills += 1;
        assert!(kills < 50, "no event of {kills} kills");
    }
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    let lines = events.wait().ok().lines();
    assert!(!lines.is_empty() && lines.len() <= kills, "{lines:?} of {kills}");
    assert!(lines.iter().all(|line| line == "{\"type\":\"oom\",\"id\":\"c\"}"), "{lines:?}");
    bundle.delete().ok();
}

#[test]
fn stats_of_several() {
    let sandbox = sandbox!();
    assert_eq!(sandbox.rt(["stats"]).ok().lines().len(), 1, "a head alone");
    let (first, second) = (running(sandbox.bundle("first")), running(sandbox.bundle("second")));
    let lines = sandbox.rt(["stats"]).ok().lines();
    assert!(lines.len() == 3 && lines[0].starts_with("ID") && lines[1].starts_with("first"), "{lines:?}");
    assert_eq!(sandbox.rt(["stats", "second"]).ok().lines().len(), 2);
    let lines = sandbox.rt(["stats", "--json", "second", "first"]).ok().lines();
    assert_eq!(lines.len(), 2);
    let told = parsed(&lines[0]);
    assert!(told["id"] == "second" && told["cpu"]["usage"].as_u64() > Some(0), "{told}");
    let text = sandbox.rt(["stats", "--prom"]).ok().stdout();
    for id in ["first", "second"] {
        let found =
            text.lines().filter(|line| line.starts_with(&format!("rt_cpu_seconds_total{{id=\"{id}\"}}"))).count();
        assert_eq!(found, 1, "{text}");
    }
    if sandbox.has_controller("memory") {
        assert!(told["memory"]["current"].as_u64() > Some(0) && text.contains("rt_memory_bytes{id=\"first\"}"));
    }
    first.delete_force().ok();
    sandbox.rt(["stats", "first"]).expect(1).fails_with("container does not exist");
    second.kill("KILL").ok();
    second.wait_stopped();
    sandbox.rt(["stats", "second"]).expect(1).fails_with("container with id second is not running");
    sandbox.rt(["stats", "--json", "--prom"]).expect(1);
    second.delete().ok();
}

#[test]
fn a_table_that_is_drawn_anew() {
    let sandbox = sandbox!();
    let bundle = running(sandbox.bundle("c"));
    let (master, slave) = pty::pair(24, 100).expect("a pty");
    let mut command = sandbox.command(["stats", "--interval", "20ms"]);
    command.stdout(slave);
    let stats = sandbox.spawn_as_is(command);
    let mut seen = String::new();
    pty::read_until(&master, &mut seen, "%").expect("a share of the CPU, which the second table has first");
    assert!(seen.matches("ID").count() > 1, "{seen}");
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    stats.wait().ok();
    bundle.delete().ok();
}
