//! `cpuset.cpus` and `cpuset.mems`: on one processor and one node they choose nothing, so these need two of each.
//! integration/vm boots a machine that has them for this program alone.

use rt_integration::{Bundle, Sandbox, sandbox, skip};
use serde_json::{Value, json};
use std::fs;

macro_rules! needs_two {
    ($sandbox:expr) => {
        if !$sandbox.has_controller("cpuset") || !$sandbox.has_controller("memory") {
            skip!("no cpuset and memory controllers in cgroup v2");
        }
        for (what, path) in
            [("processor", "/sys/devices/system/cpu/cpu1"), ("memory node", "/sys/devices/system/node/node1")]
        {
            if fs::metadata(path).is_err() {
                skip!("no second {what}");
            }
        }
    };
}

fn placed<'a>(sandbox: &'a Sandbox, cpu: Value, steps: &str) -> Bundle<'a> {
    sandbox.bundle("c").set("/linux/resources/cpu", cpu).args(steps.split(' '))
}

/// The processor that a process ran on last (proc_pid_stat(5), field 39).
fn processor(pid: i32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("procfs");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    fields.split_whitespace().nth(36).and_then(|field| field.parse().ok()).expect("a processor")
}

/// How many bytes of anonymous memory the container has on each of the two nodes.
fn on_nodes(sandbox: &Sandbox) -> [u64; 2] {
    let text = fs::read_to_string(sandbox.cgroup_dir("c").join("memory.numa_stat")).expect("memory.numa_stat");
    let line = text.lines().find_map(|line| line.strip_prefix("anon ")).expect("anonymous memory");
    ["N0=", "N1="].map(|node| {
        line.split(' ')
            .find_map(|word| word.strip_prefix(node)?.parse().ok())
            .unwrap_or_else(|| panic!("{node}: {line}"))
    })
}

#[test]
fn a_container_keeps_to_its_processors() {
    let sandbox = sandbox!();
    needs_two!(sandbox);
    for (own, other) in [("0", "1"), ("1", "0")] {
        let bundle = placed(
            &sandbox,
            json!({ "cpus": own }),
            &format!("seq pin {other} -- pin {own} -- burn 0.1 -- pin {other}"),
        );
        let expected = format!("EINVAL {own}\nok {own}\nEINVAL {own}\n");
        assert_eq!(bundle.run().ok().stdout(), expected);
    }
    // Without a limit both are there to be had.
    assert_eq!(sandbox.bundle("c").args("seq pin 0 -- pin 1".split(' ')).run().ok().stdout(), "ok 0\nok 1\n");
}

#[test]
fn an_update_moves_what_runs() {
    let sandbox = sandbox!();
    needs_two!(sandbox);
    let bundle = placed(&sandbox, json!({ "cpus": "0" }), "seq echo begins -- burn 1000");
    bundle.run_with(&["--detach"]).ok().wait_stdout("begins");
    assert_eq!(processor(bundle.pid()), 0);
    sandbox.rt(["update", "--cpuset-cpus", "1", "c"]).ok();
    // The kernel moves a task that runs before the write returns.
    assert_eq!(processor(bundle.pid()), 1);
    assert_eq!(bundle.exec(["/bin/probe", "pin", "0"]).ok().stdout(), "EINVAL 1\n");
    bundle.delete_force().ok();
}

#[test]
fn a_container_keeps_to_its_memory_node() {
    let sandbox = sandbox!();
    needs_two!(sandbox);
    const HELD: u64 = 32 << 20;
    for node in [0, 1] {
        // On the other node's processor, so that nothing but the limit leads there.
        let cpu = json!({ "mems": node.to_string(), "cpus": (1 - node).to_string() });
        let bundle = placed(&sandbox, cpu, "hold 32");
        bundle.run_with(&["--detach"]).ok().wait_stdout("holding");
        let held = on_nodes(&sandbox);
        assert!(held[node] >= HELD && held[1 - node] < HELD / 8, "{held:?} with node {node}");
        if node == 1 {
            // What is there moves, too.
            sandbox.rt(["update", "--cpuset-mems", "0", "c"]).ok();
            let held = on_nodes(&sandbox);
            assert!(held[0] >= HELD && held[1] < HELD / 8, "{held:?} after the update");
        }
        bundle.delete_force().ok();
    }
}
