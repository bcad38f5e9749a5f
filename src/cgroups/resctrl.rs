//! Intel RDT: a group of the resctrl filesystem for the container (config-linux.md, "IntelRdt"; the kernel's
//! Documentation/filesystems/resctrl.rst).

use crate::fault::{During, Fault};
use crate::host::mount_table;
use crate::spec::{Code, Finding, Findings, at};
use anyhow::{Result, bail};
use oci_spec::runtime::LinuxIntelRdt;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const STAGE: &str = "intelRdt";

/// What `linux.intelRdt` asks for.
#[derive(Debug)]
pub struct RdtPlan {
    /// Where resctrl is mounted.
    root: PathBuf,
    group: Group,
    /// The lines of `schemata`, in the order in which they are written.
    lines: Vec<String>,
    /// How many of them, from the first, have to agree with a group that exists.
    compared: usize,
    /// The name of the monitoring group.
    monitor: Option<String>,
}

/// Whose class of service.
#[derive(Debug, PartialEq, Eq)]
enum Group {
    /// `closID: "/"`: the root group.
    Default,
    /// `closID`: an administrator's, that outlives the container.
    Named(String),
    /// No `closID`: the container's own.
    Own(String),
}

/// What the container's record says of its groups, written before they are made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    group: PathBuf,
    /// rt makes the group.
    #[serde(default)]
    fresh: bool,
    /// It stays when the container goes.
    #[serde(default)]
    keep: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitor: Option<PathBuf>,
}

/// Plans `linux.intelRdt` for the container `id`. `root` is where resctrl is mounted, if it is.
pub fn plan(rdt: &LinuxIntelRdt, id: &str, root: Option<&Path>, findings: &mut Findings) -> Option<RdtPlan> {
    if root.is_none() {
        let words = "intelRdt is specified in config, but Intel RDT is not supported or enabled";
        let remedy = "no resctrl filesystem is mounted; mount -t resctrl resctrl /sys/fs/resctrl";
        findings.add(Finding::error(Code::Rdt, at("linux.intelRdt"), words).remedy(remedy));
    }
    let group = match rdt.clos_id().as_deref() {
        Some("/") => Some(Group::Default),
        Some(name) => findings.keep(Code::Rdt, group_name(name)).map(Group::Named),
        None => Some(Group::Own(id.to_owned())),
    };
    let cache = rdt.l3_cache_schema().iter().map(|line| (line, "l3CacheSchema".to_owned(), ""));
    let memory = rdt.mem_bw_schema().iter().map(|line| (line, "memBwSchema".to_owned(), "MB:"));
    let rest = rdt.schemata().iter().flatten().enumerate();
    let rest = rest.map(|(i, line)| (line, format!("schemata[{i}]"), ""));
    let set = |(line, ..): &(&String, String, &str)| !line.is_empty();
    let lines = cache.chain(memory).filter(set).chain(rest);
    let lines = lines.map(|(line, field, start)| check_line(line, &field, start).map(|()| line.clone()));
    let lines = findings.keep_all(Code::Rdt, lines);
    let compared = lines.len().saturating_sub(rdt.schemata().as_ref().map_or(0, Vec::len));
    let monitor = rdt.enable_monitoring().unwrap_or(false).then(|| id.to_owned());
    Some(RdtPlan { root: root?.to_owned(), group: group?, lines, compared, monitor })
}

fn check_line(line: &str, field: &str, start: &str) -> Result<()> {
    if line.contains('\n') || !line.trim_start().starts_with(start) || !line.contains(':') {
        let start = if start.is_empty() { "RESOURCE:" } else { start };
        bail!("linux.intelRdt.{field}: {line:?} is not one line that starts with {start}");
    }
    Ok(())
}

/// The lines of an update's two schemata.
pub fn update_lines(l3_cache: Option<&str>, memory: Option<&str>) -> Result<Vec<String>> {
    let given = [(l3_cache, "l3CacheSchema", ""), (memory, "memBwSchema", "MB:")];
    let given = given.into_iter().filter_map(|(line, field, start)| Some((line?, field, start)));
    let lines = given.filter(|(line, ..)| !line.is_empty());
    lines.map(|(line, field, start)| check_line(line, field, start).map(|()| line.to_owned())).collect()
}

fn group_name(name: &str) -> Result<String> {
    /// Directories of the kernel's own.
    const TAKEN: [&str; 6] = ["", ".", "..", "info", "mon_data", "mon_groups"];
    if TAKEN.contains(&name) || name.contains(['/', '\n', '\0']) {
        bail!("linux.intelRdt.closID: {name:?} cannot be the name of a group");
    }
    Ok(name.to_owned())
}

/// Where resctrl is mounted.
pub fn mounted() -> Result<Option<PathBuf>> {
    // A development build takes a directory that looks like it: few machines have the hardware.
    #[cfg(debug_assertions)]
    if let Some(fake) = std::env::var_os("RT_RESCTRL") {
        return Ok(Some(fake.into()));
    }
    Ok(mount_table()?.into_iter().find(|mount| mount.fs_type == "resctrl").map(|mount| mount.mount_point))
}

impl RdtPlan {
    /// What is there already, and what will be made.
    ///
    /// # Errors
    /// A group that has to exist and does not, or exists and has another schema.
    pub fn survey(&self) -> Result<Record, Fault> {
        let (group, keep) = match &self.group {
            Group::Default => (self.root.clone(), true),
            Group::Named(name) => (self.root.join(name), true),
            Group::Own(id) => (self.root.join(id), false),
        };
        let fresh = !group.exists();
        let at = group.display();
        if fresh && keep && self.lines.is_empty() {
            let what = format!("linux.intelRdt.closID: {at} does not exist, and there is no schema to make it with");
            return Err(Fault::new(STAGE, what).path(at));
        }
        if !fresh && !keep {
            let what = format!("linux.intelRdt: {at} exists already");
            return Err(Fault::new(STAGE, what).path(at).hint("name it in linux.intelRdt.closID, or remove it"));
        }
        if !fresh && self.compared > 0 {
            self.compare(&group)?;
        }
        let monitor = self.monitor.as_ref().map(|id| group.join("mon_groups").join(id));
        Ok(Record { group, fresh, keep, monitor })
    }

    fn compare(&self, group: &Path) -> Result<(), Fault> {
        let file = group.join("schemata");
        let found = fs::read_to_string(&file).during(STAGE, || format!("cannot read {}", file.display()))?;
        match self.lines[..self.compared].iter().find(|line| !agrees(line, &found)) {
            None => Ok(()),
            Some(line) => {
                let what = format!("linux.intelRdt: {line:?} differs from what is in {}", file.display());
                Err(Fault::new(STAGE, what).path(file.display()).hint("take another closID, or leave the schema out"))
            }
        }
    }

    /// Makes what [`RdtPlan::survey`] has announced.
    pub fn make(&self, record: &Record) -> Result<(), Fault> {
        if record.fresh {
            make_directory(&record.group)?;
        }
        if !self.lines.is_empty() {
            let file = record.group.join("schemata");
            let text = self.lines.join("\n") + "\n";
            let status = self.root.join("info/last_cmd_status");
            fs::write(&file, text)
                .during(STAGE, || format!("linux.intelRdt: cannot write {}", file.display()))
                .map_err(|fault| fault.hint(format!("the kernel says why in {}", status.display())))?;
        }
        record.monitor.as_deref().map_or(Ok(()), make_directory)
    }
}

fn make_directory(path: &Path) -> Result<(), Fault> {
    let made = fs::create_dir(path).during(STAGE, || format!("linux.intelRdt: cannot make {}", path.display()));
    made.map_err(|fault| {
        fault.path(path.display()).hint("the hardware has only so many groups; see info/*/num_closids")
    })
}

/// Whether every domain of `line` (`L3:0=7f0;1=1f`) has that value in a `schemata` file.
fn agrees(line: &str, schemata: &str) -> bool {
    let parse = |line: &str| -> Option<(String, Vec<(String, String)>)> {
        let (resource, domains) = line.split_once(':')?;
        let domains = domains.split(';').map(|domain| {
            let (id, value) = domain.split_once('=')?;
            Some((id.trim().to_owned(), value.trim().trim_start_matches('0').to_ascii_lowercase()))
        });
        Some((resource.trim().to_owned(), domains.collect::<Option<_>>()?))
    };
    let Some((resource, wanted)) = parse(line) else { return false };
    let found = schemata.lines().filter_map(parse).find(|(name, _)| *name == resource);
    found.is_some_and(|(_, found)| wanted.iter().all(|domain| found.contains(domain)))
}

impl Record {
    /// Puts a process into the groups.
    ///
    /// # Errors
    /// Those of writing `tasks`.
    pub fn assign(&self, pid: i32) -> Result<(), Fault> {
        for group in [Some(&self.group), self.monitor.as_ref()].into_iter().flatten() {
            let file = group.join("tasks");
            fs::write(&file, pid.to_string())
                .during(STAGE, || format!("linux.intelRdt: cannot add pid {pid} to {}", file.display()))?;
        }
        Ok(())
    }

    /// Gives the group other schemata. Returns the text that brings back those it had.
    ///
    /// # Errors
    /// Those of writing `schemata`.
    pub fn change(&self, lines: &[String]) -> Result<String, Fault> {
        let file = self.group.join("schemata");
        let before = fs::read_to_string(&file).during(STAGE, || format!("cannot read {}", file.display()))?;
        self.restore(&(lines.join("\n") + "\n"))?;
        Ok(before)
    }

    /// Writes whole schemata.
    ///
    /// # Errors
    /// Those of writing `schemata`.
    pub fn restore(&self, text: &str) -> Result<(), Fault> {
        let file = self.group.join("schemata");
        fs::write(&file, text)
            .during(STAGE, || format!("linux.intelRdt: cannot write {}", file.display()))
            .map_err(|fault| fault.hint("the kernel says why in info/last_cmd_status of the resctrl mount"))
    }

    /// Removes what rt made; of a container that was `finished`, a group named by closID stays.
    pub fn remove(&self, finished: bool) -> Result<(), Fault> {
        let group = (self.fresh && !(self.keep && finished)).then_some(&self.group);
        for made in [self.monitor.as_ref(), group].into_iter().flatten() {
            match fs::remove_dir(made) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).during(STAGE, || format!("cannot remove {}", made.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: &str) -> Result<RdtPlan> {
        let mut findings = Findings::default();
        let root = Some(Path::new("/sys/fs/resctrl"));
        let plan = plan(&serde_json::from_str(json).unwrap(), "c1", root, &mut findings);
        findings.verdict(plan).map(Option::unwrap)
    }

    #[test]
    fn lines_keep_the_order_of_the_specification() {
        let all =
            planned(r#"{"schemata": ["L2:0=f"], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=7f0"}"#).unwrap();
        assert_eq!(all.lines, ["L3:0=7f0", "MB:0=20", "L2:0=f"]);
        assert_eq!((all.compared, all.group, all.monitor), (2, Group::Own("c1".to_owned()), None));
        assert_eq!(planned(r#"{"closID": "/", "enableMonitoring": true}"#).unwrap().group, Group::Default);
    }

    #[test]
    fn what_is_no_group_and_no_line() {
        for (json, path) in [
            (r#"{"closID": "a/b"}"#, "linux.intelRdt.closID: \"a/b\""),
            (r#"{"closID": ".."}"#, "linux.intelRdt.closID: \"..\""),
            (r#"{"memBwSchema": "L3:0=1"}"#, "linux.intelRdt.memBwSchema"),
            (r#"{"l3CacheSchema": "L3:0=1\nMB:0=1"}"#, "linux.intelRdt.l3CacheSchema"),
            (r#"{"schemata": ["L3:0=1", "nothing"]}"#, "linux.intelRdt.schemata[1]"),
        ] {
            let error = planned(json).unwrap_err().to_string();
            assert!(error.starts_with(path), "{error}");
        }
    }

    #[test]
    fn what_agrees_with_a_file() {
        let file = "    MB:0=100;1=100\n    L3:0=007ff;1=0001f\n";
        assert!(agrees("L3:0=7ff;1=1F", file));
        assert!(agrees("MB:1=100", file));
        assert!(!agrees("L3:0=7fe;1=1f", file));
        assert!(!agrees("L3:2=7ff", file));
        assert!(!agrees("L2:0=f", file));
    }
}
