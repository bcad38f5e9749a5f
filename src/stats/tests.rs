//! Files as a 6.18 kernel writes them; runc's form as its types/events.go has it.

use super::*;
use serde_json::{Value, json};

const FILES: &[(&str, &str)] = &[
    (
        "cpu.stat",
        "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnice_usec 0\nnr_periods 7\nnr_throttled 2\nthrottled_usec 90",
    ),
    ("cpu.pressure", "some avg10=1.50 avg60=2.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.25 total=3"),
    ("memory.current", "4096"),
    ("memory.max", "8192"),
    ("memory.peak", "6000"),
    ("memory.swap.current", "100"),
    ("memory.swap.max", "max"),
    ("memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0"),
    ("memory.stat", "anon 1000\nfile 2000"),
    ("pids.current", "3"),
    ("pids.max", "max"),
    ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n253:1 \n"),
    ("hugetlb.2MB.current", "2097152"),
    ("hugetlb.2MB.max", "max"),
    ("hugetlb.2MB.events", "max 5"),
];

fn stats(files: &[(&str, &str)]) -> Stats {
    let read = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned());
    Stats::from_files(&read, &["2MB".to_owned()])
}

#[test]
fn numbers() {
    let stats = stats(FILES);
    assert_eq!((stats.cpu.usage, stats.cpu.periods, stats.cpu.throttled), (5000, 7, 90));
    let pressure = stats.cpu.pressure.as_ref().unwrap();
    assert_eq!((pressure.some.avg10, pressure.some.total, pressure.full.avg300), (1.5, 12, 0.25));
    let memory = stats.memory.as_ref().unwrap();
    assert_eq!((memory.current, memory.max, memory.peak), (4096, Some(8192), Some(6000)));
    assert_eq!(memory.swap, Some(Swap { current: 100, max: None }));
    assert_eq!((memory.events["oom_kill"], memory.stat["file"]), (1, 2000));
    assert_eq!(stats.pids, Some(Pids { current: 3, max: None }));
    assert_eq!(stats.io.devices.len(), 2);
    assert_eq!(stats.io.devices[0].counts["wbytes"], 20);
    assert_eq!(stats.hugetlb["2MB"], Hugetlb { current: 2_097_152, max: None, failures: 5 });
}

#[test]
fn runcs_keys_in_runcs_order() {
    let text = serde_json::to_string(&as_runc(&stats(FILES))).unwrap();
    let expected = concat!(
        r#"{"cpu":{"usage":{"total":5000000,"kernel":2000000,"user":3000000},"#,
        r#""throttling":{"periods":7,"throttledPeriods":2,"throttledTime":90000},"#,
        r#""psi":{"some":{"avg10":1.5,"avg60":2,"avg300":0,"total":12},"full":{"avg10":0,"avg60":0,"avg300":0.25,"total":3}}},"#,
        r#""cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"#,
        r#""memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},"#,
        r#""memory":{"cache":2000,"usage":{"limit":8192,"usage":4096,"max":6000,"failcnt":0},"#,
        r#""swap":{"limit":18446744073709551615,"usage":4196,"failcnt":0},"#,
        r#""kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"raw":{"anon":1000,"file":2000}},"#,
        r#""pids":{"current":3},"#,
        r#""blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":10},{"major":8,"op":"Write","value":20}],"#,
        r#""ioServicedRecursive":[{"major":8,"op":"Read","value":1},{"major":8,"op":"Write","value":2}]},"#,
        r#""hugetlb":{"2MB":{"usage":2097152,"failcnt":5}},"intel_rdt":{},"network_interfaces":null}"#,
    );
    assert_eq!(text, expected);
}

#[test]
fn no_controllers_at_all() {
    let stats = stats(&[("cpu.stat", "usage_usec 1\nuser_usec 1\nsystem_usec 0")]);
    let told: Value = serde_json::to_value(as_runc(&stats)).unwrap();
    assert_eq!(told["memory"]["usage"], json!({"limit": 0, "failcnt": 0}));
    assert_eq!((&told["pids"], &told["blkio"], &told["hugetlb"]), (&json!({}), &json!({}), &json!({})));
    let own = serde_json::to_value(&stats).unwrap();
    assert_eq!((own.get("memory"), &own["io"]), (None, &json!({"devices": []})));
}

#[test]
fn tables_and_metrics() {
    let share = || Share { id: "c\"1", stats: stats(FILES), cpu: Some(0.5) };
    let rows = [share(), Share { id: "second", stats: Stats::default(), cpu: None }];
    let lines: Vec<String> = table(&rows).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].contains("50.0%") && lines[1].contains("4.0 KiB") && lines[1].contains("8.0 KiB"), "{lines:?}");
    assert!(lines[2].starts_with("second   -"), "{lines:?}");
    let text = prometheus(&rows);
    for line in [
        "# TYPE rt_memory_bytes gauge",
        "rt_memory_bytes{id=\"c\\\"1\"} 4096",
        "rt_memory_events_total{id=\"c\\\"1\",event=\"oom_kill\"} 1",
        "rt_cpu_seconds_total{id=\"second\"} 0",
        "rt_pressure_seconds_total{id=\"c\\\"1\",resource=\"cpu\",kind=\"some\"} 0.000012",
    ] {
        assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line}: {text}");
    }
    assert_eq!(text.matches("# HELP rt_cpu_seconds_total").count(), 1);
}
