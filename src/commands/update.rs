//! `update`: other limits for a container that exists.

use super::{App, destroy};
use crate::cgroups::{Hierarchy, UpdatePlan, UpdateRequest, merge, plan_update, resctrl};
use crate::cli::UpdateArgs;
use crate::host::Host;
use crate::spec::Findings;
use crate::spec::load::{parse_spec, read, read_stdin};
use crate::state::{Directory, Record, Status};
use anyhow::{Context, Result, bail};
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};
use std::path::Path;

#[inline(never)]
pub fn run(app: &App, args: &UpdateArgs) -> Result<u8> {
    let host = Host::probe()?;
    let dir = app.root.open(&args.id)?;
    dir.lock()?;
    let mut record = dir.record()?;
    if let status @ (Status::Stopped | Status::Creating) = dir.status(&record, host.proc())?.0 {
        bail!("container not running: {} is {status}", args.id);
    }
    let mut config: Value = serde_json::from_str(&dir.config()?).context("the container's configuration")?;
    let recorded = merge::resources_of(&mut config).clone();
    let mut update = wanted(args)?;
    merge::prune(&mut update);
    let full = merge::complete(&update, &recorded);
    let mut findings = Findings::default();
    let resources = typed(&full, &mut findings)?;
    let request = UpdateRequest {
        resources: &resources,
        borrowed_limit: full.pointer("/memory/limit") != update.pointer("/memory/limit"),
        devices_changed: full.get("devices").is_some_and(|rules| recorded.get("devices") != Some(rules)),
        may_load_programs: host.privileged && !host.in_user_namespace(),
        safe: args.safe,
    };
    if request.devices_changed && !request.may_load_programs {
        app.log.debug(|| "device rules are left to the host: the kernel takes none without privilege".to_owned());
    }
    let plan = plan_update(&request, &mut findings);
    let schemata = resctrl::update_lines(args.l3_cache_schema.as_deref(), args.mem_bw_schema.as_deref())?;
    let plan = findings.verdict(plan)?;
    for warning in findings.warnings() {
        app.log.warn(&warning.to_string());
    }
    *merge::resources_of(&mut config) = merge::merged(&recorded, &update);
    keep_schemata(&mut config, args);
    // Before anything is changed: a disk that is full leaves all as it was.
    dir.stage_config(&config.to_string())?;
    let undo_schemata = change_schemata(&record, &schemata).inspect_err(|_| dir.drop_staged())?;
    let changed = if plan.is_empty() { dir.replace_config() } else { change(app, &host, &dir, &mut record, &plan) };
    changed.inspect_err(|_| {
        dir.drop_staged();
        if let (Some(text), Some(rdt)) = (undo_schemata, &record.rdt) {
            let _ = rdt.restore(&text);
        }
    })?;
    Ok(0)
}

/// Puts the limits in force, and the staged configuration in the old one's place.
fn change(app: &App, host: &Host, dir: &Directory, record: &mut Record, plan: &UpdatePlan) -> Result<()> {
    let cgroup = destroy::open_cgroup(record, host.proc())?;
    let mut cgroup = cgroup.context("linux.resources: the container has no cgroup of its own that could be limited")?;
    let updated = cgroup.update(&Hierarchy::detect()?, plan)?;
    let recorded = match updated.record {
        true => {
            record.cgroup = Some(cgroup.record());
            dir.write(record)
        }
        false => Ok(()),
    };
    recorded.and_then(|()| dir.replace_config()).inspect_err(|_| cgroup.revert(&updated))?;
    if updated.killed > 0 {
        app.log.warn(&format!(
            "the OOM killer killed {} process(es) of container {} while its limits changed (--safe would have refused)",
            updated.killed, record.id
        ));
    }
    Ok(())
}

/// `linux.resources` as the caller wants it; a file makes all flags of limits void, as with runc.
fn wanted(args: &UpdateArgs) -> Result<Value> {
    let Some(file) = &args.resources else { return Ok(args.limits.clone()) };
    let (text, name) = match file == Path::new("-") {
        true => (read_stdin()?, "standard input".to_owned()),
        false => (read(file)?, file.display().to_string()),
    };
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{name}: invalid JSON"))?;
    if !value.is_object() {
        bail!("{name}: linux.resources: not a JSON object");
    }
    Ok(value)
}

/// The resources, judged as those of a whole configuration are.
fn typed(resources: &Value, findings: &mut Findings) -> Result<LinuxResources> {
    let text = json!({ "ociVersion": "1.0.0", "linux": { "resources": resources } }).to_string();
    let spec = parse_spec(&text, findings)?;
    Ok(spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default())
}

/// Returns the way back, if anything changed.
fn change_schemata(record: &Record, lines: &[String]) -> Result<Option<String>> {
    if lines.is_empty() {
        return Ok(None);
    }
    let rdt = record.rdt.as_ref();
    let rdt = rdt.context("linux.intelRdt: the container was made without it, so it has no group to be changed")?;
    Ok(Some(rdt.change(lines)?))
}

fn keep_schemata(config: &mut Value, args: &UpdateArgs) {
    for (name, line) in [("l3CacheSchema", &args.l3_cache_schema), ("memBwSchema", &args.mem_bw_schema)] {
        if let Some(line) = line.as_ref().filter(|line| !line.is_empty()) {
            config["linux"]["intelRdt"][name] = json!(line);
        }
    }
}
