//! What a container uses, as its cgroup's files say it. Reading is apart from understanding, which is pure.
//!
//! Source: kernel Documentation/admin-guide/cgroup-v2.rst, "Controllers"; Documentation/accounting/psi.rst.

mod runc;
mod show;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde::{Serialize, Serializer};

use crate::cgroups::Cgroup;

pub use runc::as_runc;
pub use show::{Share, prometheus, table};

/// All numbers of one container. What no controller counts is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    pub cpu: Cpu,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Pids>,
    pub io: Io,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hugetlb: BTreeMap<String, Hugetlb>,
}

/// Times in µs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    pub usage: u64,
    pub user: u64,
    pub system: u64,
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// Bytes; a limit that is absent is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    pub current: u64,
    pub max: Option<u64>,
    /// Since kernel 5.19.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<Swap>,
    /// How often each thing happened: low, high, max, oom, oom_kill, oom_group_kill.
    pub events: BTreeMap<String, u64>,
    pub stat: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Swap {
    pub current: u64,
    pub max: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pids {
    pub current: u64,
    pub max: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Io {
    pub devices: Vec<Device>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// One disk: rbytes, wbytes, rios, wios, dbytes, dios.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Device {
    pub major: u64,
    pub minor: u64,
    #[serde(flatten)]
    pub counts: BTreeMap<String, u64>,
}

/// Bytes, and how often the limit was hit.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hugetlb {
    pub current: u64,
    pub max: Option<u64>,
    pub failures: u64,
}

/// Pressure stall information.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    pub some: Stall,
    pub full: Stall,
}

/// Percent of the time in which tasks waited, over the last 10, 60 and 300 seconds, and in µs altogether.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stall {
    #[serde(serialize_with = "short")]
    pub avg10: f64,
    #[serde(serialize_with = "short")]
    pub avg60: f64,
    #[serde(serialize_with = "short")]
    pub avg300: f64,
    pub total: u64,
}

/// Whole numbers without a fraction, as Go prints them.
fn short<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 { to.serialize_u64(*value as u64) } else { to.serialize_f64(*value) }
}

impl Stats {
    /// Reads all there is now.
    pub fn read(cgroup: &Cgroup) -> Stats {
        Stats::from_files(&|file| cgroup.read(file), &page_sizes(cgroup))
    }

    /// Understands the files that `read` gives the text of; `sizes` are those of huge pages, as the files have them.
    fn from_files(read: &dyn Fn(&str) -> Option<String>, sizes: &[String]) -> Stats {
        let number = |file: &str| read(file).and_then(|text| text.parse::<u64>().ok());
        // Without the controller, as runc counts them.
        let processes = || read("cgroup.procs").map(|text| text.lines().count() as u64);
        let pressure = |file: &str| read(file).map(|text| parse_pressure(&text));
        let cpu = read("cpu.stat").map(|text| parse_cpu(&text)).unwrap_or_default();
        let memory = number("memory.current").map(|current| Memory {
            current,
            max: number("memory.max"),
            peak: number("memory.peak"),
            swap: number("memory.swap.current").map(|current| Swap { current, max: number("memory.swap.max") }),
            events: read("memory.events").map(|text| keyed(&text)).unwrap_or_default(),
            stat: read("memory.stat").map(|text| keyed(&text)).unwrap_or_default(),
            pressure: pressure("memory.pressure"),
        });
        let hugetlb = sizes.iter().filter_map(|size| {
            let current = number(&format!("hugetlb.{size}.current"))?;
            let failures = read(&format!("hugetlb.{size}.events")).map(|text| keyed(&text)).unwrap_or_default();
            let failures = failures.get("max").copied().unwrap_or(0);
            Some((size.clone(), Hugetlb { current, max: number(&format!("hugetlb.{size}.max")), failures }))
        });
        Stats {
            cpu: Cpu { pressure: pressure("cpu.pressure"), ..cpu },
            memory,
            pids: number("pids.current").or_else(processes).map(|current| Pids { current, max: number("pids.max") }),
            io: Io {
                devices: read("io.stat").map(|text| parse_io(&text)).unwrap_or_default(),
                pressure: pressure("io.pressure"),
            },
            hugetlb: hugetlb.collect(),
        }
    }
}

/// The sizes of huge pages that the cgroup counts: `2MB` and the like.
fn page_sizes(cgroup: &Cgroup) -> Vec<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let Ok(mut dir) = Dir::openat(cgroup.fd(), c".", flags, Mode::empty()) else { return Vec::new() };
    let names = dir.iter().map_while(Result::ok).filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    let size = |name: String| Some(name.strip_prefix("hugetlb.")?.strip_suffix(".current")?.to_owned());
    let mut sizes: Vec<String> = names.filter_map(size).filter(|size| !size.contains('.')).collect();
    sizes.sort();
    sizes
}

/// Lines of `key value`.
fn keyed(text: &str) -> BTreeMap<String, u64> {
    let pair =
        |line: &str| line.split_once(' ').and_then(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)));
    text.lines().filter_map(pair).collect()
}

fn parse_cpu(text: &str) -> Cpu {
    let all = keyed(text);
    let of = |key: &str| all.get(key).copied().unwrap_or(0);
    Cpu {
        usage: of("usage_usec"),
        user: of("user_usec"),
        system: of("system_usec"),
        periods: of("nr_periods"),
        throttled_periods: of("nr_throttled"),
        throttled: of("throttled_usec"),
        pressure: None,
    }
}

fn parse_io(text: &str) -> Vec<Device> {
    let device = |line: &str| {
        let (numbers, counts) = line.split_once(' ')?;
        let (major, minor) = numbers.split_once(':')?;
        let count = |word: &str| word.split_once('=').and_then(|(key, n)| Some((key.to_owned(), n.parse().ok()?)));
        let counts = counts.split_ascii_whitespace().filter_map(count).collect();
        Some(Device { major: major.parse().ok()?, minor: minor.parse().ok()?, counts })
    };
    text.lines().filter_map(device).collect()
}

fn parse_pressure(text: &str) -> Pressure {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let (kind, words) = line.split_once(' ').unwrap_or_default();
        let stall = match kind {
            "some" => &mut pressure.some,
            "full" => &mut pressure.full,
            _ => continue,
        };
        for (key, value) in words.split(' ').filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => stall.avg10 = value.parse().unwrap_or_default(),
                "avg60" => stall.avg60 = value.parse().unwrap_or_default(),
                "avg300" => stall.avg300 = value.parse().unwrap_or_default(),
                "total" => stall.total = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
    }
    pressure
}
