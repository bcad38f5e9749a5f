//! Expected values come from the specification's prose, the kernel's documentation and runc's published conversions.

use super::*;

fn convert(json: &str) -> Result<(Vec<Write>, Vec<String>)> {
    let mut findings = Findings::default();
    let writes = writes(&serde_json::from_str(json).unwrap(), &mut findings);
    let warnings = findings.warnings().map(ToString::to_string).collect();
    findings.verdict((writes, warnings))
}

/// The writes as `file=value` in order.
fn lines(json: &str) -> Vec<String> {
    convert(json).unwrap().0.iter().map(|write| format!("{}={}", write.file, write.value)).collect()
}

fn error(json: &str) -> String {
    convert(json).unwrap_err().to_string()
}

#[test]
fn memory() {
    assert_eq!(
        lines(r#"{"memory":{"limit":1000,"reservation":500,"swap":1500}}"#),
        ["memory.swap.max=500", "memory.max=1000", "memory.low=500"]
    );
    assert_eq!(lines(r#"{"memory":{"limit":1000,"swap":1000}}"#), ["memory.swap.max=0", "memory.max=1000"]);
    assert_eq!(lines(r#"{"memory":{"limit":-1}}"#), ["memory.swap.max=max", "memory.max=max"]);
    assert_eq!(lines(r#"{"memory":{"limit":1000,"swap":-1}}"#), ["memory.swap.max=max", "memory.max=1000"]);
    assert_eq!(lines(r#"{"memory":{"limit":0,"reservation":-1}}"#), ["memory.low=max"]);
    assert!(lines(r#"{"memory":{"disableOOMKiller":false,"kernel":0,"useHierarchy":true}}"#).is_empty());
}

#[test]
fn memory_errors_speak_as_runc() {
    let text = error(r#"{"memory":{"swap":1000}}"#);
    assert!(text.contains("linux.resources.memory.swap: unable to set swap limit without memory limit"), "{text}");
    let text = error(r#"{"memory":{"limit":1000,"swap":999}}"#);
    assert!(text.contains("memory+swap limit should be >= memory limit"), "{text}");
    assert!(error(r#"{"memory":{"limit":-2}}"#).contains("linux.resources.memory.limit: -2"));
}

#[test]
fn shares_become_weight() {
    let pairs = [(1u64, 1u64), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)];
    for (shares, weight) in pairs {
        assert_eq!(lines(&format!(r#"{{"cpu":{{"shares":{shares}}}}}"#)), [format!("cpu.weight={weight}")]);
    }
    assert!(lines(r#"{"cpu":{"shares":0}}"#).is_empty());
    let mut last = 0;
    for shares in (2..262_144).step_by(97) {
        let cpu: LinuxCpu = serde_json::from_str(&format!(r#"{{"shares":{shares}}}"#)).unwrap();
        let now: u64 = weight(&cpu).unwrap().unwrap().parse().unwrap();
        assert!((1..=10_000).contains(&now) && now >= last, "{shares}: {now} after {last}");
        last = now;
    }
}

#[test]
fn cpu() {
    assert_eq!(lines(r#"{"cpu":{"quota":50000}}"#), ["cpu.max=50000 100000"]);
    assert_eq!(lines(r#"{"cpu":{"period":20000}}"#), ["cpu.max=max 20000"]);
    assert_eq!(lines(r#"{"cpu":{"quota":-1,"period":20000}}"#), ["cpu.max=max 20000"]);
    assert!(lines(r#"{"cpu":{"quota":0,"period":0,"cpus":"","realtimeRuntime":0}}"#).is_empty());
    assert_eq!(lines(r#"{"cpu":{"idle":1,"shares":1024}}"#), ["cpu.idle=1"]);
    assert_eq!(lines(r#"{"cpu":{"idle":0,"shares":1024}}"#), ["cpu.idle=0", "cpu.weight=100"]);
    assert_eq!(lines(r#"{"cpu":{"cpus":"0-1,4","mems":"0"}}"#), ["cpuset.cpus=0-1,4", "cpuset.mems=0"]);
    let (writes, _) = convert(r#"{"cpu":{"quota":5,"burst":3}}"#).unwrap();
    assert_eq!((writes[0].file.as_str(), writes[0].retry), ("cpu.max.burst", true));
    assert!(!writes[1].retry);
    assert!(error(r#"{"cpu":{"quota":3,"burst":5}}"#).contains("cpu.burst: 5 is more than cpu.quota (3)"));
}

#[test]
fn pids() {
    assert_eq!(lines(r#"{"pids":{"limit":7}}"#), ["pids.max=7"]);
    assert_eq!(lines(r#"{"pids":{"limit":0}}"#), ["pids.max=1"]);
    assert_eq!(lines(r#"{"pids":{"limit":-1}}"#), ["pids.max=max"]);
}

#[test]
fn block_io() {
    let (writes, _) = convert(
        r#"{"blockIO":{"weight":1000,"weightDevice":[{"major":8,"minor":0,"weight":10}],
            "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":600}],
            "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}}"#,
    )
    .unwrap();
    let told: Vec<_> = writes.iter().map(|w| (w.file.as_str(), w.value.as_str())).collect();
    assert_eq!(
        told,
        [
            ("io.bfq.weight", "1000"),
            ("io.weight", "10000"),
            ("io.bfq.weight", "8:0 10"),
            ("io.weight", "8:0 1"),
            ("io.max", "8:0 rbps=600"),
            ("io.max", "8:16 wiops=max")
        ]
    );
    assert_eq!(writes[0].missing, Missing::Instead { file: "io.weight", value: "10000".into() });
    assert_eq!(writes[1].missing, Missing::Ignore);
    assert_eq!(writes[2].missing, Missing::Instead { file: "io.weight", value: "8:0 1".into() });
    assert!(lines(r#"{"blockIO":{"weight":0,"leafWeight":0}}"#).is_empty());
    assert!(error(r#"{"blockIO":{"weight":5}}"#).contains("10..1000"));
}

#[test]
fn hugetlb_limits_use_and_reservation() {
    let json = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#;
    assert_eq!(lines(json), ["hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max=4194304"]);
    assert_eq!(convert(json).unwrap().0[1].missing, Missing::Ignore);
    for bad in ["", "MB", "2M", "2TB", "../2MB", "02MB"] {
        let text = error(&format!(r#"{{"hugepageLimits":[{{"pageSize":"{bad}","limit":1}}]}}"#));
        assert!(text.contains("hugepageLimits[0].pageSize"), "{text}");
    }
}

#[test]
fn rdma() {
    assert_eq!(
        lines(r#"{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10000},"mlx4_0":{"hcaObjects":1}}}"#),
        ["rdma.max=mlx4_0 hca_object=1", "rdma.max=mlx5_1 hca_handle=3 hca_object=10000"]
    );
    assert!(error(r#"{"rdma":{"mlx5_1":{}}}"#).contains("at least one"));
}

#[test]
fn unified_comes_last_line_by_line() {
    assert_eq!(
        lines(r#"{"memory":{"limit":5},"unified":{"memory.max":"7","io.max":"8:0 rbps=1\n8:16 wbps=2\n"}}"#),
        ["memory.max=5", "io.max=8:0 rbps=1", "io.max=8:16 wbps=2", "memory.max=7"]
    );
    for bad in ["", ".", "..", "a/b", "cgroup.procs", "cgroup.kill"] {
        assert!(convert(&format!(r#"{{"unified":{{"{bad}":"1"}}}}"#)).is_err(), "{bad}");
    }
}

#[test]
fn fields_of_version_one() {
    let (writes, warnings) = convert(r#"{"memory":{"kernel":4096,"kernelTCP":4096,"disableOOMKiller":true}}"#).unwrap();
    assert!(writes.is_empty());
    assert_eq!(warnings.len(), 3);
    let refused = [
        (r#"{"memory":{"swappiness":60}}"#, "memory.swappiness"),
        (r#"{"cpu":{"realtimeRuntime":950000}}"#, "cpu.realtimeRuntime"),
        (r#"{"cpu":{"realtimePeriod":1000000}}"#, "cpu.realtimePeriod"),
        (r#"{"blockIO":{"leafWeight":10}}"#, "blockIO.leafWeight"),
        (r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"leafWeight":10}]}}"#, "leafWeight"),
        (r#"{"network":{"classID":1048577}}"#, "network.classID"),
        (r#"{"network":{"priorities":[{"name":"eth0","priority":5}]}}"#, "network.priorities"),
    ];
    for (json, field) in refused {
        let text = error(json);
        assert!(text.starts_with("linux.resources.") && text.contains(field), "{text}");
    }
    assert!(lines(r#"{"network":{"classID":0,"priorities":[]}}"#).is_empty());
}
