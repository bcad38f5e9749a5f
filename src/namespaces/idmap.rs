//! Id mappings: which ids of the host a user namespace has, and writing them from outside (user_namespaces(7)).

use crate::fault::{During, Fault, words};
use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::unistd::{Pid, geteuid};
use oci_spec::runtime::LinuxIdMapping;
use std::os::fd::BorrowedFd;
use std::process::Command;

const STAGE: &str = "idmap";

/// One range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMap {
    pub inside: u32,
    pub host: u32,
    pub size: u32,
}

impl IdMap {
    /// The host's id of `id`, if this range holds it.
    pub fn to_host(self, id: u32) -> Option<u32> {
        let offset = id.checked_sub(self.inside)?;
        (offset < self.size).then(|| self.host.wrapping_add(offset))
    }
}

/// As many lines as the kernel takes in one map (Linux 4.15).
const MOST: usize = 340;

/// A map is written at once, and has to be shorter than a page (user_namespaces(7)).
const SMALLEST_PAGE: usize = 4096;

/// Checks the ranges of one map; `field` names them in errors.
pub fn plan(maps: &[LinuxIdMapping], field: &str) -> Result<Vec<IdMap>> {
    if maps.len() > MOST {
        bail!("{field}: {} ranges, but the kernel takes at most {MOST}", maps.len());
    }
    let mut planned: Vec<IdMap> = Vec::with_capacity(maps.len());
    for (i, map) in maps.iter().enumerate() {
        let map = IdMap { inside: map.container_id(), host: map.host_id(), size: map.size() };
        if map.size == 0 {
            bail!("{field}[{i}].size: is 0");
        }
        let past_the_end = |start: u32| u64::from(start) + u64::from(map.size) > u64::from(u32::MAX);
        if past_the_end(map.inside) || past_the_end(map.host) {
            bail!("{field}[{i}]: the range goes past the last id");
        }
        let overlap = |a: u32, a_size: u32, b: u32, b_size: u32| {
            u64::from(a) < u64::from(b) + u64::from(b_size) && u64::from(b) < u64::from(a) + u64::from(a_size)
        };
        let clash = planned.iter().position(|other| {
            overlap(map.inside, map.size, other.inside, other.size)
                || overlap(map.host, map.size, other.host, other.size)
        });
        if let Some(other) = clash {
            bail!("{field}[{i}]: overlaps {field}[{other}]");
        }
        planned.push(map);
    }
    Ok(planned)
}

fn lines(maps: &[IdMap]) -> String {
    maps.iter().map(|map| format!("{} {} {}\n", map.inside, map.host, map.size)).collect()
}

/// Writes the maps of the process `pid`, which waits in its new user namespace. `proc` is the host's /proc.
///
/// Without privilege a single id of one's own is written directly, after setgroups(2) has been given up (the kernel
/// demands that since CVE-2014-8989); more ids need the setuid helpers newuidmap(1) and newgidmap(1).
pub fn write_maps(
    proc: BorrowedFd,
    pid: Pid,
    uid_map: &[IdMap],
    gid_map: &[IdMap],
    privileged: bool,
) -> Result<(), Fault> {
    let one_of_ours = |maps: &[IdMap], own: u32| matches!(maps, [map] if map.size == 1 && map.host == own);
    if privileged {
        write(proc, pid, "gid_map", &lines(gid_map))?;
        return write(proc, pid, "uid_map", &lines(uid_map));
    }
    if one_of_ours(gid_map, nix::unistd::getegid().as_raw()) {
        write(proc, pid, "setgroups", "deny")?;
        write(proc, pid, "gid_map", &lines(gid_map))?;
    } else {
        helper("newgidmap", pid, gid_map)?;
    }
    match one_of_ours(uid_map, geteuid().as_raw()) {
        true => write(proc, pid, "uid_map", &lines(uid_map)),
        false => helper("newuidmap", pid, uid_map),
    }
}

fn write(proc: BorrowedFd, pid: Pid, name: &str, text: &str) -> Result<(), Fault> {
    let fault = |errno: Errno| {
        let what = format!("cannot write {name} of the new user namespace: {}", words(errno));
        let fault = Fault::new(STAGE, what).errno(errno).path(format!("/proc/{pid}/{name}"));
        match errno {
            Errno::EPERM => {
                fault.hint("the caller lacks rights over these host ids; see linux.uidMappings and gidMappings")
            }
            Errno::EINVAL if text.len() >= SMALLEST_PAGE => fault.hint(format!(
                "the ranges take {} bytes, and the kernel reads less than a page of them; merge neighbours",
                text.len()
            )),
            _ => fault,
        }
    };
    crate::proc::write(proc, &format!("{pid}/{name}"), text.as_bytes()).map_err(fault)
}

/// newuidmap(1) or newgidmap(1), which check /etc/subuid and /etc/subgid.
fn helper(program: &str, pid: Pid, maps: &[IdMap]) -> Result<(), Fault> {
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    for map in maps {
        command.args([map.inside, map.host, map.size].map(|id| id.to_string()));
    }
    let said = crate::helper::run(&mut command).during(STAGE, || format!("cannot run {program}"));
    let said =
        said.map_err(|fault| fault.hint("more than one's own id needs newuidmap and newgidmap (package uidmap)"))?;
    if said.status.success() {
        return Ok(());
    }
    let said = match said.err.trim() {
        "" => said.status.to_string(),
        words => words.replace('\n', "; "),
    };
    let file = if program == "newuidmap" { "/etc/subuid" } else { "/etc/subgid" };
    Err(Fault::new(STAGE, format!("{program} failed: {said}"))
        .hint(format!("the ranges must be the caller's in {file}, and {program} must be setuid root")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(ranges: &[(u32, u32, u32)]) -> Vec<LinuxIdMapping> {
        let map = |(inside, host, size): &(u32, u32, u32)| {
            serde_json::from_value(serde_json::json!({"containerID": inside, "hostID": host, "size": size})).unwrap()
        };
        ranges.iter().map(map).collect()
    }

    #[test]
    fn ranges_are_checked() {
        let error = |ranges: &[(u32, u32, u32)]| plan(&maps(ranges), "linux.uidMappings").unwrap_err().to_string();
        assert_eq!(error(&[(0, 0, 0)]), "linux.uidMappings[0].size: is 0");
        assert_eq!(error(&[(0, 0, 5), (4, 100, 5)]), "linux.uidMappings[1]: overlaps linux.uidMappings[0]");
        assert_eq!(error(&[(0, 100, 5), (10, 104, 5)]), "linux.uidMappings[1]: overlaps linux.uidMappings[0]");
        assert!(error(&[(1, 0, u32::MAX)]).ends_with("goes past the last id"));
        assert!(error(&vec![(0, 0, 1); 341]).contains("at most 340"));
        assert!(plan(&maps(&[(0, 1000, 1), (1, 100_000, 65_536)]), "x").is_ok());
    }

    #[test]
    fn the_text_the_kernel_reads() {
        let planned = plan(&maps(&[(0, 1000, 1), (1, 100_000, 65_536)]), "x").unwrap();
        assert_eq!(lines(&planned), "0 1000 1\n1 100000 65536\n");
    }
}
