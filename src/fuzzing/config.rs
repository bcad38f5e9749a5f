//! `config.json` to plan, as `create`, `check` and `exec` read it, and `process.json`.

use super::choices::{names_in, pointers};
use super::position::{position, spellings};
use super::{Chance, Choices};
use crate::cgroups::Manager;
use crate::confine;
use crate::plan::{self, Facts, Options, Plan};
use crate::spec::load::{left_out, parse_for_exec, parse_process, parse_spec};
use crate::spec::{Code, Config, Finding, Findings, Severity};
use serde_json::Value;
use std::path::{Component, Path};
use std::sync::OnceLock;

/// What the edits begin with: a configuration that has nearly every field.
const BASE: &str = include_str!("../../integration/data/runtime-spec-schema/test/config/good/spec-example.json");

/// The parts of a configuration, to which every finding belongs.
const TOP: [&str; 9] =
    ["ociVersion", "process", "root", "hostname", "domainname", "mounts", "hooks", "annotations", "linux"];

struct Base {
    config: Value,
    words: Vec<String>,
}

fn base() -> &'static Base {
    static READ: OnceLock<Base> = OnceLock::new();
    READ.get_or_init(|| {
        let mut config: Value = serde_json::from_str(BASE).expect("the specification's example");
        config["ociVersion"] = "1.3.0".into();
        Base { words: names_in(&config), config }
    })
}

/// Text that begins as JSON does is taken as it is; else the bytes are edits of the specification's example.
pub fn config(data: &[u8]) {
    if data.first().is_some_and(|first| b"{[\"\n\t ".contains(first)) {
        if let Ok(text) = std::str::from_utf8(data) {
            whole(text, &mut Choices(&[]));
            process(text);
        }
        return;
    }
    let choices = &mut Choices(data);
    let alone = choices.below(4) == 0;
    let value = match alone {
        true => choices.edited(&base().config["process"], &base().words),
        false => choices.edited(&base().config, &base().words),
    };
    let text = value.to_string();
    if text.len() > 64 << 10 {
        return;
    }
    match alone {
        true => process(&text),
        false => whole(&text, choices),
    }
    position(&value, choices);
}

fn whole(text: &str, choices: &mut Choices) {
    let mut findings = Findings::default();
    let (rest, cut) = left_out(text, &mut findings);
    match parse_spec(text, &mut Findings::default()) {
        Ok(spec) => {
            assert!(rest.is_some() && cut.is_empty() && findings.iter().count() == 0, "{findings:?}");
            let config = Config { bundle: "/bundle".into(), text: text.to_owned(), spec, findings };
            judged(&config, choices);
            for_exec(&config);
        }
        Err(error) => {
            misfit(text, error);
            assert!(findings.iter().any(|finding| finding.severity == Severity::Error), "{text}");
        }
    }
}

/// What is no configuration is no JSON, or has something of a wrong kind at a place that is there.
fn misfit(text: &str, error: anyhow::Error) {
    let words = format!("{error:#}");
    let Ok(finding) = error.downcast::<Finding>() else { panic!("no place: {words}") };
    match (finding.code, serde_json::from_str::<Value>(text)) {
        (Code::Json, read) => assert!(read.is_err(), "{words}"),
        (_, Err(_)) => assert!(!text.trim_start().starts_with('{'), "{words}"),
        (_, Ok(value)) => {
            let pointer = finding.place.pointer();
            assert!(pointers(&value).contains(&pointer), "{pointer:?} of {words}: {text}");
            spellings(&finding.place);
        }
    }
}

fn judged(config: &Config, choices: &mut Choices) {
    let managers = [Manager::Cgroupfs, Manager::Systemd, Manager::Disabled];
    let options = Options {
        id: "c1".to_owned(),
        no_pivot: choices.below(2) == 1,
        no_new_keyring: choices.below(2) == 1,
        manager: choices.one(&managers),
        preserve_fds: 0,
    };
    let mut yes = || choices.below(4) != 1;
    let facts = Facts {
        own_cgroup: "/user.slice/own".into(),
        has_cgroups: yes(),
        apparmor: yes(),
        selinux: yes(),
        resctrl: yes().then(|| "/sys/fs/resctrl".into()),
        privileged: yes(),
        in_user_namespace: !yes(),
    };
    let mut findings = Findings::default();
    let plan = plan::plan(config, options, &facts, &mut findings);
    let value = serde_json::from_str(&config.text).unwrap_or_default();
    findings.iter().for_each(|finding| placed(finding, &value));
    if findings.verdict(()).is_ok() {
        stays_inside(&plan);
    }
}

/// A finding belongs to a part of the configuration; where it counts items of a list, they are there.
fn placed(finding: &Finding, config: &Value) {
    let pointer = finding.place.pointer();
    let top = pointer.split('/').nth(1).unwrap_or_default();
    assert!(TOP.contains(&top), "{finding}: {pointer:?}");
    assert!(!finding.message.is_empty() && !finding.code.word().is_empty());
    spellings(&finding.place);
    let mut item = Some(finding.place.clone());
    while let Some(place) = item.filter(|place| !place.is_top()) {
        assert!(!place.is_item() || config.pointer(&place.pointer()).is_some(), "{finding}: {pointer:?}");
        item = place.parent();
    }
}

/// No path of a plan leads out of where it belongs; those of mounts, nodes and masks are resolved inside the root.
fn stays_inside(plan: &Plan) {
    let plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    if let Some(cgroup) = &plan.cgroup {
        assert!(plain(&cgroup.path), "{:?}", cgroup.path);
        assert!(cgroup.writes.iter().all(|write| !write.file.contains('/') && !write.file.is_empty()), "{cgroup:?}");
    }
    for sysctl in &plan.sysctls {
        let inside = ["net/", "user/", "fs/mqueue/", "kernel/"].iter().any(|dir| sysctl.path.starts_with(dir));
        assert!(inside && plain(Path::new(&sysctl.path)), "{sysctl:?}");
        assert!(plan.namespaces.has(sysctl.namespace), "{sysctl:?}");
    }
    for device in &plan.devices {
        assert!(!device.inside.contains('/') && device.inside.len() <= 15, "{device:?}");
    }
    assert!(plan.root.path.is_absolute());
    assert!(plan.root.mounts.iter().all(|mount| mount.destination.is_absolute()));
    assert!(plan.root.masked.iter().chain(&plan.root.readonly_paths).all(|path| path.is_absolute()));
    if let Some(filter) = plan.process.as_ref().and_then(|process| process.seccomp.as_ref()) {
        crate::seccomp::meaning::assert_valid(&filter.program);
    }
    if let Some(process) = &plan.process {
        assert!(process.cwd.is_absolute() && !process.args.is_empty() && process.umask <= 0o777);
        assert!(process.uid != u32::MAX && process.gid != u32::MAX);
    }
}

/// exec sees of the configuration what create has seen.
fn for_exec(config: &Config) {
    let exec = parse_for_exec(&config.text, &mut Findings::default());
    let exec = exec.unwrap_or_else(|error| panic!("exec reads {error:#}: {}", config.text));
    assert_eq!(&exec.process, config.spec.process(), "{}", config.text);
    let (seen, whole) = (exec.linux.unwrap_or_default(), config.spec.linux().clone().unwrap_or_default());
    assert_eq!(seen.namespaces(), whole.namespaces());
    assert_eq!(seen.seccomp(), whole.seccomp());
    assert_eq!(seen.personality(), whole.personality());
    assert_eq!(seen.memory_policy(), whole.memory_policy());
}

/// `exec --process`.
fn process(text: &str) {
    let process = match parse_process(text, &mut Findings::default()) {
        Ok(process) => process,
        Err(error) => return misfit(text, error),
    };
    let mut findings = Findings::default();
    let plan = confine::plan(&process, None, None, &mut findings);
    let whole = serde_json::json!({ "process": serde_json::from_str::<Value>(text).unwrap_or_default() });
    findings.iter().for_each(|finding| placed(finding, &whole));
    if findings.verdict(()).is_ok() {
        assert!(plan.cwd.is_absolute() && !plan.args.is_empty());
    }
}
