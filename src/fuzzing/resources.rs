//! `update`: resources laid over those in force.

use super::Choices;
use super::choices::{names_in, pointers};
use crate::cgroups::{UpdateRequest, merge, plan_update};
use crate::spec::Findings;
use crate::spec::load::parse_spec;
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};
use std::sync::OnceLock;

const BASE: &str = include_str!("../../integration/data/runtime-spec-schema/test/config/good/spec-example.json");

fn base() -> &'static (Value, Vec<String>) {
    static READ: OnceLock<(Value, Vec<String>)> = OnceLock::new();
    READ.get_or_init(|| {
        let config: Value = serde_json::from_str(BASE).expect("the specification's example");
        let mut resources = config["linux"]["resources"].clone();
        resources["unified"] = json!({"memory.high": "10M"});
        // What version 2 does not have is refused before anything else is seen.
        for pointer in ["/network", "/memory/swappiness", "/cpu/realtimeRuntime", "/cpu/realtimePeriod"] {
            let (parent, name) = pointer.rsplit_once('/').expect("a slash");
            resources.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(name);
        }
        resources["blockIO"]["leafWeight"] = Value::Null;
        resources["memory"] = json!({"limit": 536_870_912, "swap": 1_073_741_824, "reservation": 1000});
        (resources.clone(), names_in(&resources))
    })
}

/// Text that begins as JSON does is an update of the specification's example; else the bytes are edits that make both.
pub fn resources(data: &[u8]) {
    let (base, words) = base();
    if data.first() == Some(&b'{') {
        if let Ok(update) = serde_json::from_slice(data) {
            updated(base, update);
        }
        return;
    }
    let (first, second) = data.split_at(data.len() / 2);
    let (recorded, update) = (Choices(first).edited(base, words), Choices(second).edited(base, words));
    if pointers(&recorded).len() + pointers(&update).len() < 2000 {
        updated(&recorded, update);
    }
}

fn typed(resources: &Value) -> Option<LinuxResources> {
    let text = json!({"ociVersion": "1.0.0", "linux": {"resources": resources}}).to_string();
    let spec = parse_spec(&text, &mut Findings::default()).ok()?;
    Some(spec.linux().as_ref()?.resources().clone().unwrap_or_default())
}

/// What an update of these resources would write, if nothing is wrong with them.
fn lines(resources: &Value, borrowed_limit: bool) -> Option<Vec<(String, String)>> {
    let resources = typed(resources)?;
    let request = UpdateRequest {
        resources: &resources,
        borrowed_limit,
        devices_changed: false,
        may_load_programs: true,
        safe: false,
    };
    let mut findings = Findings::default();
    let plan = plan_update(&request, &mut findings);
    findings.verdict(()).ok()?;
    Some(plan.writes.into_iter().map(|write| (write.file, write.value)).collect())
}

fn updated(recorded: &Value, mut update: Value) {
    merge::prune(&mut update);
    let pruned = update.clone();
    merge::prune(&mut update);
    assert_eq!(update, pruned, "what was pruned stays so");
    if !update.is_object() || lines(recorded, false).is_none() {
        return;
    }
    let merged = merge::merged(recorded, &update);
    assert!(!recorded.is_object() || merge::merged(recorded, &json!({})) == *recorded, "of nothing nothing changes");
    let full = merge::complete(&update, recorded);
    let borrowed = full.pointer("/memory/limit") != update.pointer("/memory/limit");
    // Refused, and so never merged.
    let Some(writes) = lines(&full, borrowed) else { return };
    assert_eq!(merge::merged(&merged, &update), merged, "the same update once more: {update} over {recorded}");
    let Some(kept) = lines(&merged, false) else {
        panic!("what is kept is refused: {update} over {recorded} makes {merged}")
    };
    for (file, value) in writes {
        // Beside a period that is not named, or a quota; a list of two devices in one file.
        let whole = |(other, kept): &&(String, String)| *other == file && (*kept == value || file == "cpu.max");
        assert!(
            kept.iter().any(|write| whole(&write)),
            "{file}={value} is not kept: {kept:?}, {update} over {recorded}"
        );
    }
}
