//! `rt events`, which has runc's JSON, and `rt stats`.

use rt_integration::{Bundle, pty, sandbox, skip};
use serde_json::{Value, json};

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
    if sandbox.has_controller("pids") {
        assert_eq!(data["pids"], json!({ "current": 1 }));
    }
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    sandbox.rt(["events", "--stats", "c"]).expect(1).fails_with("container with id c is not running");
    sandbox.rt(["events", "c"]).expect(1).fails_with("container with id c is not running");
    bundle.delete().ok();
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
