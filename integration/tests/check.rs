//! `rt check`: everything that is wrong with a bundle at once, in create's words, and nothing made.

mod bad_configs;

use rt_integration::{Bundle, Outcome, Sandbox, rt_bin, sandbox, skip};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn check(sandbox: &Sandbox, bundle: &Bundle<'_>, flags: &[&str]) -> Outcome {
    bundle.write();
    let mut call = sandbox.command(["check", "--bundle"]);
    call.arg(&bundle.dir).args(flags);
    sandbox.finish(call)
}

/// The object that `--json` prints, after a look at its sums and the exit code.
#[track_caller]
fn judged(sandbox: &Sandbox, bundle: &Bundle<'_>) -> Value {
    let out = check(sandbox, bundle, &["--json"]);
    let report: Value = serde_json::from_str(&out.stdout()).unwrap_or_else(|error| panic!("{error}: {}", out.report()));
    let of = |severity: &str| list(&report).filter(|finding| finding["severity"] == severity).count();
    assert_eq!((report["errors"].clone(), report["warnings"].clone()), (json!(of("error")), json!(of("warning"))));
    assert_eq!(out.code(), i32::from(of("error") > 0), "{}", out.report());
    assert_eq!(report["bundle"], bundle.dir.to_str().unwrap());
    for finding in list(&report) {
        assert!(["message", "remedy", "code"].iter().all(|key| finding[*key] != ""), "{finding}");
    }
    report
}

fn list(report: &Value) -> impl Iterator<Item = &Value> {
    report["findings"].as_array().expect("findings").iter()
}

/// Each as `severity code pointer`.
fn short(report: &Value) -> Vec<String> {
    let text = |finding: &Value, key: &str| finding[key].as_str().expect("text").to_owned();
    let line = |f: &Value| format!("{} {} {}", text(f, "severity"), text(f, "code"), text(f, "pointer"));
    list(report).map(line).collect()
}

#[test]
fn nothing_is_wrong() {
    fine(&sandbox!());
}

#[test]
fn nothing_is_wrong_without_privilege() {
    fine(&sandbox!().as_user(1000));
}

fn fine(sandbox: &Sandbox) {
    let bundle = sandbox.bundle("c");
    let out = check(sandbox, &bundle, &[]).ok();
    assert_eq!(out.stdout(), "config.json: ok\n");
    assert_eq!(list(&judged(sandbox, &bundle)).count(), 0);
}

#[test]
fn many_findings_in_one_run() {
    let sandbox = sandbox!();
    let bundle = sandbox
        .bundle("c")
        .set("/process/args", json!(["/bin/nowhere"]))
        .set("/process/cwd", "tmp")
        .set("/process/env", json!(["A=1", "A=2", "nothing"]))
        .set("/process/terminal", "yes")
        .set(
            "/process/rlimits",
            json!([
                { "type": "RLIMIT_CPU", "soft": 3, "hard": 2 },
                { "type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 },
                { "type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 },
            ]),
        )
        .set("/hostname", json!(["x"]))
        .set("/linux/sysctl", json!({ "vm.swappiness": "1" }))
        .set("/linux/resources/memory", json!({ "kernel": 4096, "swappiness": 3 }))
        .mount("/data", "bind", "/no/such/source", &["rbind"])
        .mount("relative/x", "nothing\0", "x", &[]);
    let mut found = short(&judged(&sandbox, &bundle));
    found.sort();
    let last = bundle.spec["mounts"].as_array().unwrap().len() - 1;
    let mut expected = [
        "error type-mismatch /hostname",
        "error type-mismatch /process/terminal",
        "error cwd-invalid /process/cwd",
        "error env-invalid /process/env/2",
        "warning env-duplicate /process/env/0",
        "error rlimit-invalid /process/rlimits/0",
        "error rlimit-invalid /process/rlimits/2/type",
        "error sysctl-not-namespaced /linux/sysctl",
        "error cgroup-v1-only /linux/resources/memory/swappiness",
        "warning no-effect /linux/resources/memory/kernel",
        "warning path-invalid /mounts/8/destination",
        "warning program-not-found /process/args/0",
        &format!("error mount-source-missing /mounts/{}/source", last - 1),
        &format!("error mount-invalid /mounts/{last}"),
    ]
    .map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
    let out = check(&sandbox, &bundle, &[]).expect(1);
    let text = out.stdout();
    assert!(text.ends_with("10 errors, 4 warnings\n"), "{text}");
    assert_eq!(text.lines().count(), 15, "{text}");
    assert!(text.contains("error: process.cwd: Cwd must be an absolute path, not tmp [cwd-invalid] ("), "{text}");
}

#[test]
fn a_part_that_is_left_out_is_no_finding() {
    let sandbox = sandbox!();
    for (pointer, value, expected) in [
        ("/process/args", json!("true"), "error type-mismatch /process/args"),
        ("/process/args/0", json!(1), "error type-mismatch /process/args/0"),
        ("/process/user/uid", json!("root"), "error type-mismatch /process/user/uid"),
        ("/root", json!("rootfs"), "error type-mismatch /root"),
        ("/linux/namespaces", json!(["pid"]), "error type-mismatch /linux/namespaces/0"),
        ("/linux/namespaces/0/type", json!("moon"), "error value-unknown /linux/namespaces/0/type"),
    ] {
        assert_eq!(short(&judged(&sandbox, &sandbox.bundle("c").set(pointer, value))), [expected]);
    }
}

#[test]
fn create_and_check_say_the_same() {
    let sandbox = sandbox!();
    for case in bad_configs::wrong_types().iter().chain(&bad_configs::senseless()) {
        let bundle = case.apply(sandbox.bundle("c"));
        let report = judged(&sandbox, &bundle);
        let first = list(&report).find(|finding| finding["severity"] == "error");
        assert_eq!(first.is_none(), case.late, "{}: {report:#}", case.name);
        let Some(first) = first else { continue };
        let said = bundle.create().expect(1).stderr();
        let message = first["message"].as_str().unwrap();
        assert!(said.contains(message), "{}: check: {message}\ncreate: {said}", case.name);
        assert!(message.to_lowercase().contains(&case.words.to_lowercase()), "{}: {message}", case.name);
    }
}

#[test]
fn nothing_is_made() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").mount("/new", "tmpfs", "tmpfs", &[]).set("/process/cwd", "tmp");
    bundle.write();
    // The sandbox looks for cgroups, mounts and processes itself.
    let before = names(&bundle);
    check(&sandbox, &bundle, &[]).expect(1);
    assert_eq!(names(&bundle), before, "the bundle was changed");
    assert!(!sandbox.state_dir().exists(), "state was made");
}

/// What lies in the bundle, the rootfs and its /dev, where a mount or a device would leave its target.
fn names(bundle: &Bundle<'_>) -> BTreeSet<std::path::PathBuf> {
    let dirs = [bundle.dir.clone(), bundle.rootfs(), bundle.rootfs().join("dev")];
    dirs.iter().flat_map(|dir| std::fs::read_dir(dir).expect("a directory")).flatten().map(|at| at.path()).collect()
}

#[test]
fn the_file_and_the_manager_can_be_chosen() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c");
    bundle.write();
    std::fs::write(bundle.dir.join("other.json"), "{}").unwrap();
    let out = check(&sandbox, &bundle, &["--config", "other.json"]).expect(1);
    assert!(out.stdout().starts_with("error: ociVersion: \"\" is not a version"), "{}", out.report());
    let mut call = sandbox.command(["--cgroup-manager", "disabled", "check", "-b"]);
    call.arg(&bundle.dir);
    assert_eq!(sandbox.finish(call).ok().stdout(), "config.json: ok\n");
}

/// The log of a failed create names code and pointer.
#[test]
fn the_log_has_the_code() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").set("/process/cwd", "tmp");
    bundle.write();
    let log = sandbox.dir().join("log.json");
    let mut call = sandbox.command(["--log-format", "json", "--log"]);
    call.arg(&log).args(["create", "--bundle"]).arg(&bundle.dir).arg("c");
    sandbox.finish(call).expect(1);
    let record: Value = serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!((record["code"].as_str(), record["path"].as_str()), (Some("cwd-invalid"), Some("/process/cwd")));
}

type Change = for<'a> fn(Bundle<'a>) -> Bundle<'a>;

/// What brings each code out, and where. A code that only another host brings out has no row here, but a reason below.
const CODES: &[(&str, &str, Change)] = &[
    ("config-unreadable", "", |b| b.raw_config(b"\xff")),
    ("json-invalid", "", |b| b.raw_config("{")),
    ("type-mismatch", "/process/cwd", |b| b.set("/process/cwd", 1)),
    ("value-unknown", "/linux/personality/domain", |b| b.set("/linux/personality", json!({ "domain": "OS2" }))),
    ("field-missing", "/process", |b| b.set("/process", json!({}))),
    ("version-unknown", "/ociVersion", |b| b.set("/ociVersion", "2.0.0")),
    ("value-invalid", "/process/oomScoreAdj", |b| b.set("/process/oomScoreAdj", 2000)),
    ("cpu-list-invalid", "/process/execCPUAffinity/initial", |b| {
        b.set("/process/execCPUAffinity", json!({ "initial": "9-1" }))
    }),
    ("memory-policy-invalid", "/linux/memoryPolicy/nodes", |b| {
        b.set("/linux/memoryPolicy", json!({ "mode": "MPOL_LOCAL", "nodes": "0" }))
    }),
    ("net-device-invalid", "/linux/netDevices/eth0/name", |b| {
        b.set("/linux/netDevices", json!({ "eth0": { "name": "a/b" } }))
    }),
    ("no-effect", "/process/user/username", |b| b.set("/process/user/username", "me")),
    ("namespace-invalid", "/linux/namespaces/0/path", |b| b.set("/linux/namespaces/0/path", "x")),
    ("namespace-missing", "/linux/timeOffsets", |b| b.set("/linux/timeOffsets", json!({ "boottime": { "secs": 1 } }))),
    ("namespace-path-invalid", "/linux/namespaces/5", |b| b.namespace("network", Some("/no/such/namespace"))),
    ("id-mappings-invalid", "/linux/uidMappings", |b| b.namespace("user", None)),
    ("id-unmapped", "/process/user/uid", |b| {
        let map = json!([{ "containerID": 1, "hostID": 1, "size": 1 }]);
        b.namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
    }),
    ("sysctl-invalid", "/linux/sysctl", |b| b.set("/linux/sysctl", json!({ "../x": "1" }))),
    ("sysctl-not-namespaced", "/linux/sysctl", |b| b.set("/linux/sysctl", json!({ "vm.swappiness": "1" }))),
    ("args-invalid", "/process/args", |b| b.set("/process/args", json!([]))),
    ("cwd-invalid", "/process/cwd", |b| b.set("/process/cwd", "tmp")),
    ("env-invalid", "/process/env/0", |b| b.set("/process/env", json!(["A"]))),
    ("env-duplicate", "/process/env/0", |b| b.set("/process/env", json!(["A=1", "A=2"]))),
    ("rlimit-invalid", "/process/rlimits/0", |b| {
        b.set("/process/rlimits", json!([{ "type": "RLIMIT_CPU", "soft": 2, "hard": 1 }]))
    }),
    ("scheduler-invalid", "/process/scheduler/nice", |b| {
        b.set("/process/scheduler", json!({ "policy": "SCHED_OTHER", "nice": 50 }))
    }),
    ("capability-unknown", "/process/capabilities/bounding", |b| b.set("/process/capabilities/bounding/-", "CAP_MOON")),
    ("lsm-missing", "/process/selinuxLabel", |b| b.set("/process/selinuxLabel", "system_u:system_r:x_t:s0")),
    ("seccomp-syscall-unknown", "/linux/seccomp/syscalls/0/names/0", |b| {
        let rule = json!({ "names": ["moonwalk"], "action": "SCMP_ACT_ERRNO" });
        b.set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }))
    }),
    ("seccomp-invalid", "/linux/seccomp/syscalls/0/names", |b| {
        let rule = json!({ "names": [], "action": "SCMP_ACT_ERRNO" });
        b.set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }))
    }),
    ("seccomp-blocks-start", "/linux/seccomp", |b| {
        b.set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ERRNO" }))
    }),
    ("root-invalid", "/root/path", |b| b.set("/root/path", "")),
    ("mount-invalid", "/mounts/0", |b| b.set("/mounts/0/type", "")),
    ("path-invalid", "/linux/maskedPaths/0", |b| b.set("/linux/maskedPaths", json!(["x"]))),
    ("device-invalid", "/linux/devices/0", |b| b.set("/linux/devices", json!([{ "path": "/dev/x", "type": "c" }]))),
    ("hook-invalid", "/hooks/poststop/0", |b| b.set("/hooks/poststop", json!([{ "path": "x" }]))),
    ("rootfs-missing", "/root/path", |b| b.set("/root/path", "config.json")),
    ("mount-source-missing", "/mounts/4/source", |b| {
        b.set(
            "/mounts/4",
            json!({
                "destination": "/x", "type": "bind", "source": "none", "options": ["bind"]
            }),
        )
    }),
    ("hook-missing", "/hooks/createRuntime/0/path", |b| b.set("/hooks/createRuntime", json!([{ "path": "/no/hook" }]))),
    ("hook-not-executable", "/hooks/poststart/0/path", |b| {
        b.set("/hooks/poststart", json!([{ "path": "/etc/passwd" }]))
    }),
    ("program-not-found", "/process/args/0", |b| b.set("/process/args", json!(["/bin/moon"]))),
    ("program-noexec", "/process/args/0", |b| b.mount("/bin", "bind", "rootfs/bin", &["bind", "noexec"])),
    ("cgroup-path-invalid", "/linux/cgroupsPath", |b| b.set("/linux/cgroupsPath", "/")),
    ("resource-invalid", "/linux/resources/memory/swap", |b| b.set("/linux/resources/memory", json!({ "swap": 5 }))),
    ("cgroup-v1-only", "/linux/resources/network/classID", |b| {
        b.set("/linux/resources/network", json!({ "classID": 5 }))
    }),
    ("intel-rdt-invalid", "/linux/intelRdt", |b| b.set("/linux/intelRdt", json!({ "closID": "x" }))),
    ("device-rule-invalid", "/linux/resources/devices/0", |b| {
        b.set("/linux/resources/devices", json!([{ "allow": true, "access": "x" }]))
    }),
];

/// The flags, the caller or the host bring these out; each in a test of its own.
const ELSEWHERE: &[&str] =
    &["privilege-missing", "cgroup-manager-unavailable", "cgroup-hierarchy-missing", "cgroup-controller-missing"];

#[test]
fn every_code() {
    let sandbox = sandbox!();
    let mut wrong = Vec::new();
    for (code, pointer, change) in CODES {
        let report = judged(&sandbox, &change(sandbox.bundle("c")));
        if !list(&report).any(|finding| finding["code"] == *code && finding["pointer"] == *pointer) {
            wrong.push(format!("{code} {pointer}: {:?}", short(&report)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_code_is_forgotten() {
    let sandbox = sandbox!();
    let printed = sandbox.rt(["check", "--codes"]).ok().stdout();
    let printed: BTreeSet<&str> = printed.lines().filter_map(|line| line.split(' ').next()).collect();
    let tested: BTreeSet<&str> = CODES.iter().map(|(code, ..)| *code).chain(ELSEWHERE.iter().copied()).collect();
    assert_eq!(printed, tested);
}

#[test]
fn codes_of_the_caller() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c");
    bundle.write();
    let mut call = sandbox.command(["--systemd-cgroup", "check", "--json", "-b"]);
    call.arg(&bundle.dir);
    let out = sandbox.finish(call).expect(1);
    assert!(out.stdout().contains("\"cgroup-path-invalid\""), "{}", out.report());
}

#[test]
fn codes_of_a_caller_without_privilege() {
    let sandbox = sandbox!().as_user(1000);
    let bundle = sandbox.bundle("c").without_namespace("user");
    let report = judged(&sandbox, &bundle);
    assert!(short(&report).contains(&"error privilege-missing /linux/namespaces".to_owned()), "{report:#}");
}

#[test]
fn codes_of_a_host_without_cgroups() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c");
    bundle.write();
    let script = "umount -l /sys/fs/cgroup && mount -t tmpfs none /sys/fs/cgroup && exec \"$0\" check --json -b \"$1\"";
    let mut call = std::process::Command::new("unshare");
    call.args(["-m", "sh", "-c", script]).arg(rt_bin()).arg(&bundle.dir);
    let out = sandbox.finish(call).expect(1);
    assert!(out.stdout().contains("\"cgroup-hierarchy-missing\""), "{}", out.report());
}

#[test]
fn codes_of_a_host_without_a_controller() {
    let sandbox = sandbox!();
    let limits = [
        ("misc", "misc.max"),
        ("rdma", "rdma.max"),
        ("hugetlb", "hugetlb.2MB.max"),
        ("io", "io.max"),
        ("cpuset", "cpuset.cpus"),
    ];
    let Some((_, file)) = limits.into_iter().find(|(name, _)| !sandbox.has_controller(name)) else {
        skip!("this host has every controller");
    };
    let bundle = sandbox.bundle("c").set("/linux/resources/unified", json!({ file: "1" }));
    let expected = format!("error cgroup-controller-missing /linux/resources/unified/{file}");
    let report = judged(&sandbox, &bundle);
    assert_eq!(short(&report), [expected]);
    let message = list(&report).next().unwrap()["message"].as_str().unwrap().to_owned();
    bundle.create().fails_with(&message);
}

/// The rootfs is walked inside of itself, and what a mount would bring is not missed.
#[test]
fn where_the_program_is() {
    let sandbox = sandbox!();
    let missing = "warning program-not-found /process/args/0";
    let cases: [(&str, Change, &[&str]); 7] = [
        ("by PATH", |b| b.set("/process/args/0", "true"), &[]),
        ("not by PATH", |b| b.set("/process/args/0", "moon"), &[missing]),
        ("relative", |b| b.set("/process/cwd", "/bin").set("/process/args/0", "./true"), &[]),
        // The host has this file; the rootfs has not.
        ("a link out", |b| b.plant_link("/bin/link", "/usr/bin/env").set("/process/args/0", "/bin/link"), &[missing]),
        ("a directory", |b| b.set("/process/args/0", "/etc"), &[missing]),
        (
            "what a mount may bring",
            |b| b.mount("/opt", "bind", "rootfs", &["bind"]).set("/process/args/0", "/opt/x"),
            &[],
        ),
        (
            "what a mount may bring by a link",
            |b| {
                let b = b.plant_link("/sbin", "opt/bin").mount("/opt", "tmpfs", "tmpfs", &[]);
                b.set("/process/args/0", "/sbin/x")
            },
            &[],
        ),
    ];
    for (name, change, expected) in cases {
        assert_eq!(short(&judged(&sandbox, &change(sandbox.bundle("c")))), expected, "{name}");
    }
}
