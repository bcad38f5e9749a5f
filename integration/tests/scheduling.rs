//! Where and when a process runs: scheduler, I/O priority, CPUs, memory nodes.

use rt_integration::{Outcome, Sandbox, sandbox, skip};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

#[track_caller]
fn with(sandbox: &Sandbox, pointer: &str, value: Value, args: &[&str]) -> Outcome {
    sandbox.bundle("c").set(pointer, value).args(args).run()
}

#[track_caller]
fn scheduled(sandbox: &Sandbox, value: Value) -> Outcome {
    with(sandbox, "/process/scheduler", value, &["sched_attr"])
}

/// POLICY FLAGS NICE PRIORITY RUNTIME DEADLINE PERIOD, as far as a policy has them.
#[test]
fn every_scheduling_policy() {
    let sandbox = sandbox!();
    let start =
        |value: Value| scheduled(&sandbox, value).ok().stdout().split(' ').take(4).collect::<Vec<_>>().join(" ");
    assert_eq!(start(json!({ "policy": "SCHED_OTHER", "nice": 7 })), "0 0 7 0");
    assert_eq!(start(json!({ "policy": "SCHED_OTHER" })), "0 0 0 0");
    assert_eq!(start(json!({ "policy": "SCHED_BATCH", "nice": 19 })), "3 0 19 0");
    assert_eq!(start(json!({ "policy": "SCHED_IDLE" })), "5 0 0 0");
    // Both spellings of a flag: that of config.md, and that of sched.h.
    for flag in ["SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"] {
        assert_eq!(start(json!({ "policy": "SCHED_BATCH", "nice": 3, "flags": [flag] })), "3 1 3 0");
    }
    for (policy, number) in [("SCHED_FIFO", "1"), ("SCHED_RR", "2")] {
        let out = scheduled(&sandbox, json!({ "policy": policy, "priority": 10 }));
        if out.stderr().contains("process.scheduler: cannot be set: operation not permitted (") {
            skip!("real-time scheduling is not permitted here");
        }
        assert!(out.ok().stdout().starts_with(&format!("{number} 0 0 10 ")));
    }
}

#[test]
fn a_deadline() {
    let sandbox = sandbox!();
    let times =
        json!({ "policy": "SCHED_DEADLINE", "runtime": 2_000_000, "deadline": 50_000_000, "period": 100_000_000 });
    let out = scheduled(&sandbox, times);
    if out.stderr().contains("process.scheduler: cannot be set: operation not permitted (SCHED_DEADLINE takes") {
        skip!("SCHED_DEADLINE is not permitted here");
    }
    assert_eq!(out.ok().stdout(), "6 0 0 0 2000000 50000000 100000000\n");
    // It may not fork, so hooks would fail: unless its children are ordinary again.
    let hook = json!([{ "path": "/bin/true" }]);
    let mut times = json!({ "policy": "SCHED_DEADLINE", "runtime": 2_000_000, "deadline": 50_000_000 });
    let with_hook = |times: &Value| {
        sandbox.bundle("h").set("/process/scheduler", times.clone()).set("/hooks/startContainer", hook.clone()).run()
    };
    with_hook(&times).fails_with("hooks.startContainer: a process under SCHED_DEADLINE cannot run hooks");
    times["flags"] = json!(["SCHED_FLAG_RESET_ON_FORK"]);
    with_hook(&times).ok();
    // More than a CPU has: the kernel refuses, and the error says why.
    let greedy = json!({ "policy": "SCHED_DEADLINE", "runtime": 100_000_000, "deadline": 100_000_000 });
    scheduled(&sandbox, json!({ "policy": "SCHED_DEADLINE", "runtime": 100_000_000, "deadline": 99 }))
        .fails_with("process.scheduler.deadline: 99 ns is less than the runtime");
    let all: Vec<_> = (0..4)
        .map(|i| {
            let bundle = sandbox.bundle(&format!("c{i}")).set("/process/scheduler", greedy.clone()).args(["pause"]);
            let out = bundle.run_with(&["--detach"]);
            (bundle, out)
        })
        .collect();
    let refused = all
        .iter()
        .filter(|(_, out)| out.stderr().contains("cannot be set: device or resource busy (the kernel cannot grant"));
    let refused = refused.count();
    for (bundle, out) in &all {
        if out.status.success() {
            bundle.delete_force().ok();
        }
    }
    assert!(refused > 0, "{}", all[0].1.report());
}

#[test]
fn a_scheduler_that_makes_no_sense() {
    let sandbox = sandbox!();
    for (wrong, text) in [
        (json!({ "policy": "SCHED_OTHER", "nice": 20 }), "process.scheduler.nice: 20 is not in -20..19"),
        (json!({ "policy": "SCHED_OTHER", "nice": -21 }), "process.scheduler.nice: -21 is not in -20..19"),
        (
            json!({ "policy": "SCHED_FIFO", "priority": 1, "nice": 1 }),
            "process.scheduler.nice: is for SCHED_OTHER and SCHED_BATCH only",
        ),
        (
            json!({ "policy": "SCHED_OTHER", "priority": 3 }),
            "process.scheduler.priority: is for SCHED_FIFO and SCHED_RR only",
        ),
        (json!({ "policy": "SCHED_FIFO", "priority": 1000 }), "process.scheduler.priority: 1000 is not in 1..99"),
        (json!({ "policy": "SCHED_RR" }), "process.scheduler.priority: 0 is not in 1..99"),
        (json!({ "policy": "SCHED_BATCH", "runtime": 1000 }), "process.scheduler.runtime: is for SCHED_DEADLINE only"),
        (json!({ "policy": "SCHED_DEADLINE" }), "process.scheduler.runtime: SCHED_DEADLINE needs"),
        (json!({ "policy": "SCHED_ISO" }), "process.scheduler.policy: SCHED_ISO is not implemented by Linux"),
        (json!({ "policy": "SCHED_WRONG" }), "process.scheduler.policy: unknown variant `SCHED_WRONG`"),
        (
            json!({ "policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_WRONG"] }),
            "process.scheduler.flags[0]: unknown variant `SCHED_FLAG_WRONG`",
        ),
    ] {
        scheduled(&sandbox, wrong).expect(1).fails_with(text);
    }
}

#[test]
fn every_io_priority_class() {
    let sandbox = sandbox!();
    let io = |class: &str, priority: i32| {
        let value = json!({ "class": class, "priority": priority });
        with(&sandbox, "/process/ioPriority", value, &["ioprio"])
    };
    assert_eq!(io("IOPRIO_CLASS_BE", 0).ok().stdout(), "2 0\n");
    assert_eq!(io("IOPRIO_CLASS_BE", 7).ok().stdout(), "2 7\n");
    assert_eq!(io("IOPRIO_CLASS_IDLE", 0).ok().stdout(), "3 0\n");
    let real_time = io("IOPRIO_CLASS_RT", 3);
    if !real_time.stderr().contains("operation not permitted") {
        assert_eq!(real_time.ok().stdout(), "1 3\n");
    }
    for wrong in [8, -1] {
        io("IOPRIO_CLASS_BE", wrong).fails_with(&format!("process.ioPriority.priority: {wrong} is not in 0..7"));
    }
    io("IOPRIO_CLASS_WRONG", 1).fails_with("process.ioPriority.class: unknown variant `IOPRIO_CLASS_WRONG`");
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A call by somebody who may use the first CPU only.
fn narrowed(sandbox: &Sandbox, plain: &Command) -> Outcome {
    let mut call = Command::new("taskset");
    call.args(["-c", "0"]).arg(plain.get_program()).args(plain.get_args()).env_clear().env("PATH", "/usr/bin:/bin");
    sandbox.finish(call)
}

#[test]
fn every_cpu_may_be_used_whatever_the_caller_has() {
    if Command::new("taskset").arg("--version").output().is_err() || cpus() < 2 {
        skip!("this takes taskset and two CPUs");
    }
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["affinity"]);
    let unbound = bundle.run().ok().lines()[0].clone();
    assert_ne!(unbound, "Cpus_allowed_list:\t0");
    assert_eq!(narrowed(&sandbox, &bundle.command("run", &[])).ok().lines()[0], unbound);
    let bundle = sandbox.bundle("e").args(["pause"]);
    narrowed(&sandbox, &bundle.command("run", &["--detach"])).ok();
    let plain = sandbox.command(["exec", "e", "/bin/probe", "affinity"]);
    assert_eq!(narrowed(&sandbox, &plain).ok().lines()[0], unbound);
    bundle.delete_force().ok();
}

/// `process.execCPUAffinity` is for exec alone, from the container's process and from a file.
#[test]
fn cpus_of_an_exec() {
    if cpus() < 2 {
        skip!("this takes two CPUs");
    }
    let sandbox = sandbox!();
    let all = sandbox.bundle("c").args(["affinity"]).run().ok().lines()[0].clone();
    for (affinity, seen) in [
        (json!({ "initial": "0", "final": "1" }), "Cpus_allowed_list:\t1"),
        (json!({ "final": "1" }), "Cpus_allowed_list:\t1"),
        // Nobody but the kernel changes it then.
        (json!({ "initial": "1" }), "Cpus_allowed_list:\t1"),
        (json!({ "initial": "1", "final": "" }), "Cpus_allowed_list:\t1"),
        (json!({ "initial": "", "final": "0-1" }), "Cpus_allowed_list:\t0-1"),
        (json!({}), all.as_str()),
    ] {
        let bundle = sandbox.bundle("c").set("/process/execCPUAffinity", affinity.clone());
        let bundle = bundle.args(["seq", "affinity", "--", "pause"]);
        let init = bundle.run_with(&["--detach"]).ok();
        init.wait_stdout("Mems_allowed_list");
        assert_eq!(init.lines()[0], all, "not for init: {affinity}");
        assert_eq!(bundle.exec(["/bin/probe", "affinity"]).ok().lines()[0], seen, "{affinity}");
        let file = sandbox.dir().join("process.json");
        let mut process = bundle.spec["process"].clone();
        process["args"] = json!(["/bin/probe", "affinity"]);
        fs::write(&file, process.to_string()).expect("a file");
        let file = file.to_str().expect("UTF-8");
        let out = sandbox.rt(["exec", "--process", file, "c"]).ok();
        assert_eq!(out.lines()[0], seen, "{affinity}");
        bundle.delete_force().ok();
    }
}

#[test]
fn cpus_that_make_no_sense() {
    let sandbox = sandbox!();
    for (affinity, text) in [
        (json!({ "initial": "x" }), "process.execCPUAffinity: Invalid execCPUAffinity format: x"),
        (json!({ "final": "0,,1" }), "process.execCPUAffinity: Invalid execCPUAffinity format: 0,,1"),
        (json!({ "final": "3-1" }), "process.execCPUAffinity.final: the range 3-1 runs backwards"),
        (json!({ "initial": "8192" }), "process.execCPUAffinity.initial: 8192 is not below 8192"),
    ] {
        sandbox.bundle("c").set("/process/execCPUAffinity", affinity).create().fails_with(text);
    }
    for which in ["initial", "final"] {
        let bundle = sandbox.bundle("c").set("/process/execCPUAffinity", json!({ which: "8191" })).args(["pause"]);
        bundle.run_with(&["--detach"]).ok();
        let text = format!("process.execCPUAffinity.{which}: cannot be set: invalid argument (none of these CPUs");
        bundle.exec(["/bin/probe", "true"]).fails_with(&text);
        bundle.delete_force().ok();
    }
}

/// Every mode and flag that `features` announces, as get_mempolicy(2) tells it inside.
#[test]
fn every_memory_policy() {
    let sandbox = sandbox!();
    let announced: Value = serde_json::from_str(&sandbox.rt(["features"]).ok().stdout()).expect("JSON");
    let announced = |list: &str| announced["linux"]["memoryPolicy"][list].as_array().expect("a list").clone();
    let modes = [
        ("MPOL_DEFAULT", "", "0 0"),
        ("MPOL_PREFERRED", "0", "1 1"),
        ("MPOL_BIND", "0", "2 1"),
        ("MPOL_INTERLEAVE", "0", "3 1"),
        ("MPOL_LOCAL", "", "4 0"),
        ("MPOL_PREFERRED_MANY", "0-3", "5 1"),
        ("MPOL_WEIGHTED_INTERLEAVE", "0", "6 1"),
    ];
    let flags =
        [("MPOL_F_NUMA_BALANCING", 1 << 13), ("MPOL_F_RELATIVE_NODES", 1 << 14), ("MPOL_F_STATIC_NODES", 1 << 15)];
    let run = |policy: Value| with(&sandbox, "/linux/memoryPolicy", policy, &["mempolicy"]);
    if run(json!({ "mode": "MPOL_LOCAL" })).stderr().contains("CONFIG_NUMA") {
        skip!("a kernel without CONFIG_NUMA");
    }
    for mode in announced("modes") {
        let (_, nodes, seen) =
            modes.iter().find(|(name, ..)| mode == *name).unwrap_or_else(|| panic!("no case of {mode}"));
        let out = run(json!({ "mode": mode, "nodes": nodes }));
        if mode == "MPOL_WEIGHTED_INTERLEAVE" && out.stderr().contains("does not know this mode") {
            continue; // Linux 6.9
        }
        assert_eq!(out.ok().stdout(), format!("{seen}\n"), "{mode}");
    }
    for flag in announced("flags") {
        let (_, bit) = flags.iter().find(|(name, _)| flag == *name).unwrap_or_else(|| panic!("no case of {flag}"));
        let out = run(json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": [flag] })).ok();
        assert_eq!(out.stdout(), format!("{} 1\n", 2 | bit), "{flag}");
    }
    assert_eq!((announced("modes").len(), announced("flags").len()), (modes.len(), flags.len()));
    // As under runc, it holds for who joins later, too.
    let policy = json!({ "mode": "MPOL_BIND", "nodes": "0" });
    let bundle = sandbox.bundle("e").set("/linux/memoryPolicy", policy).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    assert_eq!(bundle.exec(["/bin/probe", "mempolicy"]).ok().stdout(), "2 1\n");
    bundle.delete_force().ok();
}

#[test]
fn a_memory_policy_that_makes_no_sense() {
    let sandbox = sandbox!();
    for (policy, text) in [
        (json!({ "mode": "MPOL_WRONG" }), "linux.memoryPolicy.mode: unknown variant `MPOL_WRONG`"),
        (json!({ "nodes": "0" }), "linux.memoryPolicy: missing field `mode`"),
        (
            json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_WRONG"] }),
            "linux.memoryPolicy.flags[0]: unknown variant `MPOL_F_WRONG`",
        ),
        (json!({ "mode": "MPOL_BIND" }), "linux.memoryPolicy.nodes: MPOL_BIND needs at least one node"),
        (
            json!({ "mode": "MPOL_LOCAL", "nodes": "0" }),
            "linux.memoryPolicy.nodes: MPOL_LOCAL takes no nodes, not \"0\"",
        ),
        (
            json!({ "mode": "MPOL_BIND", "nodes": "0-x" }),
            "linux.memoryPolicy.nodes: \"0-x\" is not a list of numbers and ranges",
        ),
        (
            json!({ "mode": "MPOL_BIND", "nodes": "1023" }),
            "linux.memoryPolicy: cannot be set: invalid argument (none of the nodes",
        ),
    ] {
        sandbox.bundle("c").set("/linux/memoryPolicy", policy).create().fails_with(text);
    }
}
