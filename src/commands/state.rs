//! `state`: what the kernel says about a container, as JSON.

use super::{App, print};
use crate::host::Host;
use anyhow::Result;

#[inline(never)]
pub fn run(app: &App, id: &str) -> Result<u8> {
    let host = Host::probe()?;
    let dir = app.root.open(id)?;
    let record = dir.record()?;
    let (status, _) = dir.status(&record, host.proc())?;
    let mut told = record.told(status, String::new());
    told.oom = record.cgroup.as_ref().and_then(|cgroup| cgroup.oom()).or_else(|| record.oom.clone());
    let mut text = serde_json::to_string_pretty(&told)?;
    text.push('\n');
    print(&text)
}
