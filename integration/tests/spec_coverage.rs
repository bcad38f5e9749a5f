//! docs/spec.md against the specification's schema, its example configs against `rt check`, and `rt features` against
//! the features schema.

use rt_integration::schema::{Schemas, directory};
use rt_integration::{Sandbox, sandbox};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The cells of each row of docs/spec.md.
fn rows() -> Vec<[String; 3]> {
    let text = std::fs::read_to_string(top().join("docs/spec.md")).expect("docs/spec.md");
    let table = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fields"));
    table
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            cells.try_into().unwrap_or_else(|_| panic!("not three cells: {line}"))
        })
        .collect()
}

/// Whether `pattern`, where `*` stands for letters, is this field.
fn is(pattern: &str, field: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == field,
        Some((before, after)) => field.strip_prefix(before).is_some_and(|rest| {
            let letters = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            (1..=letters).any(|n| is(after, &rest[n..]))
        }),
    }
}

#[test]
fn every_field_has_its_row() {
    let fields = Schemas::load().fields("config-schema.json");
    assert!(fields.len() > 200, "the schema was not read: {fields:?}");
    let rows = rows();
    let patterns: Vec<&str> = rows.iter().flat_map(|row| row[0].split(", ")).collect();
    let without: Vec<_> = fields.iter().filter(|field| !patterns.iter().any(|pattern| is(pattern, field))).collect();
    assert!(without.is_empty(), "not in docs/spec.md: {without:#?}");
    let idle: Vec<_> = patterns.iter().filter(|pattern| !fields.iter().any(|field| is(pattern, field))).collect();
    assert!(idle.is_empty(), "in docs/spec.md, but not in the schema: {idle:#?}");
}

#[test]
fn every_row_is_proved() {
    let mut wrong = Vec::new();
    for [fields, file, proof] in rows() {
        if !file.is_empty() && !top().join(&file).is_file() {
            wrong.push(format!("{fields}: no file {file}"));
        }
        for proof in
            proof.split("; ").filter(|proof| !proof.starts_with("refused: ") && !proof.starts_with("ignored: "))
        {
            let exists = proof.split_once(": ").is_some_and(|(file, name)| has_test(file, name));
            if !exists {
                wrong.push(format!("{fields}: no test {proof:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn has_test(file: &str, name: &str) -> bool {
    let path = if file.starts_with("tests/") { top().join("integration").join(file) } else { top().join(file) };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.windows(2).any(|pair| pair[0] == "#[test]" && pair[1].starts_with(&format!("fn {name}()")))
}

/// What is wrong with a good example on this host alone.
const OF_THE_HOST: &[&str] = &[
    "rootfs-missing",
    "program-not-found",
    "mount-source-missing",
    "hook-missing",
    "hook-not-executable",
    "lsm-missing",
    "cgroup-controller-missing",
    "namespace-path-invalid",
    "intel-rdt-invalid",
    "capability-unknown",
];

/// Valid for the schema, and refused by rt with good reason: the file, pointers and why.
const REFUSED: &[(&str, &str, &str)] = &[
    ("freebsd-example.json", "/hostname", "a Linux host needs a UTS namespace for it"),
    ("linux-netdevice.json", "/linux/netDevices", "devices of the host need a network namespace to go to"),
    ("zos-example.json", "/hostname", "a Linux host needs a UTS namespace for it"),
    ("zos-example.json", "/ociVersion", "of before 1.0"),
    ("spec-example.json", "/ociVersion", "of before 1.0"),
    ("spec-example.json", "/linux/resources/cpu/realtimeRuntime", "cgroup v2 has no realtime budget"),
    ("spec-example.json", "/linux/resources/cpu/realtimePeriod", "cgroup v2 has no realtime budget"),
    ("spec-example.json", "/linux/resources/memory/swappiness", "cgroup v2 has no swappiness"),
    ("spec-example.json", "/linux/resources/network/classID", "cgroup v2 marks no packets"),
    ("spec-example.json", "/linux/resources/network/priorities", "cgroup v2 marks no packets"),
    ("spec-example.json", "/linux/resources/blockIO/leafWeight", "cgroup v2 has no leaf weight"),
    ("spec-example.json", "/linux/resources/blockIO/weightDevice", "cgroup v2 has no leaf weight"),
];

/// `severity code pointer` of all that `check` finds in a bundle with this config.
fn check(sandbox: &Sandbox, config: &Path) -> Vec<[String; 3]> {
    let bundle = sandbox.bundle("c").raw_config(std::fs::read(config).expect("an example"));
    let out = sandbox.rt(["check", "--json", "--bundle", bundle.dir.to_str().unwrap()]);
    let report: Value = serde_json::from_str(&out.stdout()).unwrap_or_else(|error| panic!("{error}: {}", out.report()));
    let findings = report["findings"].as_array().expect("findings").iter();
    findings.map(|f| ["severity", "code", "pointer"].map(|key| f[key].as_str().unwrap().to_owned())).collect()
}

fn examples(kind: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory().join("test/config").join(kind)).expect("examples");
    let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
    files.sort();
    files
}

#[test]
fn good_examples_are_taken() {
    let sandbox = sandbox!();
    let mut wrong = Vec::new();
    let mut met = BTreeSet::new();
    for file in examples("good") {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        for [severity, code, pointer] in check(&sandbox, &file) {
            let reason = REFUSED.iter().find(|(of, at, _)| *of == name && *at == pointer);
            met.extend(reason.map(|(of, at, _)| (*of, *at)));
            if severity == "error" && reason.is_none() && !OF_THE_HOST.contains(&code.as_str()) {
                wrong.push(format!("{name}: {code} {pointer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let idle: Vec<_> = REFUSED.iter().filter(|(of, at, _)| !met.contains(&(*of, *at))).collect();
    assert!(idle.is_empty(), "no longer refused: {idle:?}");
}

#[test]
fn bad_examples_are_refused_where_they_are_bad() {
    let sandbox = sandbox!();
    for (name, pointer) in [
        ("invalid-json.json", ""),
        ("linux-hugepage.json", "/linux/resources/hugepageLimits/0/pageSize"),
        ("linux-netdevice.json", "/linux/netDevices/eth0/name"),
        ("linux-rdma.json", "/linux/resources/rdma/mlx5_1/hcaHandles"),
    ] {
        let found = check(&sandbox, &directory().join("test/config/bad").join(name));
        let there = found.iter().any(|[severity, _, at]| severity == "error" && at == pointer);
        assert!(there, "{name}: {found:?}");
    }
    let names: Vec<_> = examples("bad").iter().map(|file| file.file_name().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 5, "a new example, or the one of FreeBSD is gone: {names:?}");
}

#[test]
fn features_are_what_the_schema_says() {
    let sandbox = sandbox!();
    let schemas = Schemas::load();
    let features: Value = serde_json::from_str(&sandbox.rt(["features"]).ok().stdout()).expect("JSON");
    // Fields of the specification's text that its schema lacks.
    let beyond = [".linux.intelRdt.schemata", ".linux.intelRdt.monitoring", ".linux.memoryPolicy"];
    let misfits = schemas.misfits("features-schema.json", &features);
    let misfits: Vec<_> = misfits.iter().filter(|misfit| !beyond.iter().any(|at| misfit.starts_with(at))).collect();
    assert!(misfits.is_empty(), "{misfits:#?}");
    let capabilities = features["linux"]["capabilities"].as_array().unwrap();
    assert!(capabilities.len() > 40 && capabilities.iter().all(|name| name.as_str().unwrap().starts_with("CAP_")));
    let annotations = &features["annotations"];
    assert_eq!(annotations["org.opencontainers.runc.checkpoint.enabled"], "false");
    let version: Vec<_> = annotations["org.opencontainers.runc.version"].as_str().unwrap().split('.').collect();
    assert!(version.len() == 3 && version.iter().all(|part| part.parse::<u32>().is_ok()), "{version:?}");
    assert_eq!(features["potentiallyUnsafeConfigAnnotations"], serde_json::json!(["run.oci.keep_original_groups"]));
}

/// The walk itself tells right from wrong.
#[test]
fn the_schemas_own_examples_of_features() {
    let schemas = Schemas::load();
    for (name, good) in
        [("good/minimal.json", true), ("good/runc.json", true), ("bad/missing-ociVersionMax.json", false)]
    {
        let text = std::fs::read_to_string(directory().join("test/features").join(name)).expect("an example");
        let misfits = schemas.misfits("features-schema.json", &serde_json::from_str(&text).expect("JSON"));
        assert_eq!(misfits.is_empty(), good, "{name}: {misfits:?}");
    }
}
