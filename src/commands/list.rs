//! `list`: all containers of the root directory.

use super::{App, print};
use crate::cli::{ListArgs, ListFormat};
use crate::host::Host;
use crate::log::told;
use crate::state::Told;
use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::{Uid, User};
use std::collections::BTreeMap;
use std::fmt::Write;

#[inline(never)]
pub fn run(app: &App, args: &ListArgs) -> Result<u8> {
    let ids = match app.root.ids() {
        Err(fault) if fault.is(Errno::ENOENT) && app.global.root.is_none() => Vec::new(),
        ids => ids?,
    };
    if args.quiet {
        return print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>());
    }
    let host = Host::probe()?;
    let mut owners = BTreeMap::new();
    let mut owner = |uid: u32| owners.entry(uid).or_insert_with(|| name_of(uid)).clone();
    let mut items = Vec::new();
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    for id in &ids {
        match app.root.glance(id, host.proc()) {
            Ok(None) => {}
            Ok(Some((record, status))) => {
                let told = record.told(status, owner(record.owner));
                match args.format {
                    ListFormat::Json => items.push(serde_json::to_string(&told)?),
                    ListFormat::Table => rows.push(row(told)),
                }
            }
            // One that is broken does not hide the others.
            Err(error) => eprintln!("load container {id}: {}", told(&error)),
        }
    }
    match args.format {
        // As Go prints an empty list; callers know it.
        ListFormat::Json if items.is_empty() => print("null\n"),
        ListFormat::Json => print(&format!("[{}]\n", items.join(","))),
        ListFormat::Table => print(&table(&rows)),
    }
}

fn row(told: Told) -> [String; 6] {
    let created = told.created.unwrap_or_default().to_owned();
    let bundle = told.bundle.display().to_string();
    [told.id.to_owned(), told.pid.to_string(), told.status, bundle, created, told.owner.unwrap_or_default()]
}

fn name_of(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("#{uid}"), |user| user.name)
}

/// Columns at least 12 wide, with three blanks between, as runc's.
fn table(rows: &[[String; 6]]) -> String {
    let mut text = String::new();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12);
    let widths: Vec<usize> = (0..5).map(width).collect();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:width$}");
        }
        text.push_str(&row[5]);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns() {
        let row = |id: &str| [id, "1", "running", "/b", "now", "root"].map(str::to_owned);
        let text = super::table(&[row("a"), row(&"x".repeat(20))]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].find("1 "), Some(23));
        assert_eq!(lines[0].len(), lines[1].len());
        assert!(lines[0].ends_with("root"));
    }
}
