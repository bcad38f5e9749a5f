//! `ps`: the processes of a container.

use super::{App, destroy, print};
use crate::cli::{ListFormat, PsArgs};
use crate::helper;
use crate::host::Host;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::process::Command;

/// Prints the container's processes as a list of numbers, or as those lines of the host's ps(1) that are about them.
#[inline(never)]
pub fn run(app: &App, args: &PsArgs) -> Result<u8> {
    let dir = app.root.open(&args.id)?;
    let record = dir.record()?;
    // The cgroup of a container that has stopped may be gone, and its processes with it.
    let host = Host::probe()?;
    let cgroup = destroy::open_cgroup(&record, host.proc())?;
    let pids = match &cgroup {
        Some(cgroup) => cgroup.procs().context("unable to get all container pids")?,
        None => {
            let living = dir.status(&record, host.proc())?.1.is_some();
            record.init.iter().filter(|_| living).map(|init| init.pid).collect()
        }
    };
    match args.format {
        // As Go prints an empty list.
        ListFormat::Json if pids.is_empty() => print("null\n"),
        ListFormat::Json => print(&(serde_json::to_string(&pids)? + "\n")),
        ListFormat::Table => {
            let all = [OsString::from("-ef")];
            let arguments = if args.arguments.is_empty() { &all[..] } else { &args.arguments };
            let said = helper::run(Command::new("ps").args(arguments)).context("cannot run the host's ps")?;
            if !said.status.success() {
                bail!("ps: {}: {}", said.status, (said.out + &said.err).trim_end());
            }
            print(&of_these(&said.out, &pids)?)
        }
    }
}

/// The head of a table of ps, and the lines about `pids`. Errors are runc's.
fn of_these(table: &str, pids: &[i32]) -> Result<String> {
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    let Some(column) = head.split_whitespace().position(|name| name == "PID") else {
        bail!("couldn't find PID field in ps output");
    };
    let mut text = format!("{head}\n");
    for line in lines.filter(|line| !line.is_empty()) {
        let word = line.split_whitespace().nth(column).unwrap_or_default();
        let pid = word.parse::<i32>().with_context(|| format!("unable to parse pid: {word:?}"))?;
        if pids.contains(&pid) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::of_these;

    #[test]
    fn lines_are_chosen_by_the_pid_column() {
        let table = "UID   PID  PPID CMD\nroot    1     0 init 7\nroot    7     1 sh\nroot   17     7 sleep\n\n";
        assert_eq!(of_these(table, &[7]).unwrap(), "UID   PID  PPID CMD\nroot    7     1 sh\n");
        assert_eq!(of_these(table, &[]).unwrap(), "UID   PID  PPID CMD\n");
    }

    #[test]
    fn tables_that_do_not_say() {
        let error = |table: &str| of_these(table, &[1]).unwrap_err().to_string();
        assert_eq!(error("COMMAND\nsh\n"), "couldn't find PID field in ps output");
        assert_eq!(error(""), "couldn't find PID field in ps output");
        assert!(error("PID CMD\nx sh\n").starts_with("unable to parse pid: \"x\""));
    }
}
