//! `state`: what the kernel says about a container, as JSON.

use super::{App, print};
use crate::host::Host;
use anyhow::Result;

#[inline(never)]
pub fn run(app: &App, id: &str) -> Result<u8> {
    let host = Host::probe()?;
    let dir = app.root.open(id)?;
    let record = dir.record()?;
    let (status, _) = dir.status(&record, host.proc());
    let mut text = serde_json::to_string_pretty(&record.told(status, String::new()))?;
    text.push('\n');
    print(&text)
}
