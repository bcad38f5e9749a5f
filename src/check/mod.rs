//! Judging a bundle without making anything: all that `create` would find wrong, and what looks odd.

mod host;
mod program;

use crate::commands::App;
use crate::host::Host;
use crate::plan::{self, Facts, Options, Plan};
use crate::spec::{Code, Config, Findings, Place, at, load};
use anyhow::Result;
use std::path::Path;

/// Everything there is to say about the configuration of `bundle`, from `file` where another name than `config.json`
/// is given.
///
/// # Errors
/// Only what keeps rt from judging at all, such as a missing /proc.
pub fn judge(app: &App, bundle: &Path, file: Option<&Path>) -> Result<Findings> {
    let mut findings = Findings::default();
    let (config, cut) = load::as_far_as_possible(bundle, file, &mut findings);
    let Some(config) = config else { return Ok(findings) };
    let host = Host::probe()?;
    let mut judged = Findings::default();
    judge_values(app, &host, &config, &mut judged)?;
    // What is wrong only because a part had to be left out is no finding.
    let whole = |place: &Place| place.is_top() || !cut.iter().any(|cut| cut.overlaps(place));
    findings.extend(judged.into_iter().filter(|finding| whole(&finding.place)));
    Ok(findings)
}

fn judge_values(app: &App, host: &Host, config: &Config, findings: &mut Findings) -> Result<()> {
    findings.extend(config.findings.clone());
    let options = Options {
        id: "check".to_owned(),
        no_pivot: false,
        no_new_keyring: false,
        manager: app.manager(),
        preserve_fds: 0,
    };
    let hierarchy = findings.keep(Code::Hierarchy, app.hierarchy(host)).flatten();
    let facts = Facts::find(config, host, hierarchy.as_ref(), options.manager)?;
    let plan = plan::plan(config, options, &facts, findings);
    unknown_calls(&plan, findings);
    host::look(&plan, findings);
    if config.spec.root().is_some() {
        program::look(&plan, findings);
    }
    if let (Some(hierarchy), Some(cgroup), false) = (&hierarchy, &plan.cgroup, app.rootless(host)) {
        findings.keep(Code::Controller, cgroup.could_be_limited(hierarchy));
    }
    if let Some(unit) = plan.cgroup.as_ref().and_then(|cgroup| cgroup.unit.as_ref()) {
        findings.keep(Code::CgroupManager, unit.could_be_started());
    }
    Ok(())
}

/// The system calls of the filter that nobody knows here.
fn unknown_calls(plan: &Plan, findings: &mut Findings) {
    for note in plan.process.iter().flat_map(|process| &process.notes) {
        findings.add(crate::spec::Finding::lone_warning(Code::SeccompName, at(note), note));
    }
}
