//! The numbers in the form that runc's `events` has, for callers who parse that: its keys in its order, made for cgroup
//! version 1, with version 2's numbers where runc puts them (types/events.go, opencontainers/cgroups fs2).

use super::{Memory, Pressure, Stats};
use serde::Serialize;
use std::collections::BTreeMap;

/// What v1 says for "no limit".
const UNLIMITED: u64 = u64::MAX;

fn zero(value: &u64) -> bool {
    *value == 0
}

#[derive(Serialize)]
struct Told<'a> {
    cpu: Cpu<'a>,
    cpuset: Cpuset,
    memory: MemoryParts<'a>,
    pids: Pids,
    blkio: Blkio<'a>,
    hugetlb: BTreeMap<&'a str, Hugetlb>,
    intel_rdt: BTreeMap<(), ()>,
    network_interfaces: Option<()>,
}

#[derive(Serialize)]
struct Cpu<'a> {
    usage: Usage,
    throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<&'a Pressure>,
}

/// Nanoseconds.
#[derive(Serialize)]
struct Usage {
    #[serde(skip_serializing_if = "zero")]
    total: u64,
    kernel: u64,
    user: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    #[serde(skip_serializing_if = "zero")]
    periods: u64,
    #[serde(skip_serializing_if = "zero")]
    throttled_periods: u64,
    #[serde(skip_serializing_if = "zero")]
    throttled_time: u64,
}

/// Of v1 alone.
#[derive(Default, Serialize)]
struct Cpuset {
    cpu_exclusive: u64,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

#[derive(Default, Serialize)]
struct Entry {
    limit: u64,
    #[serde(skip_serializing_if = "zero")]
    usage: u64,
    #[serde(skip_serializing_if = "zero")]
    max: u64,
    failcnt: u64,
}

#[derive(Default, Serialize)]
struct MemoryParts<'a> {
    #[serde(skip_serializing_if = "zero")]
    cache: u64,
    usage: Entry,
    /// Memory and swap together.
    swap: Entry,
    kernel: Entry,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<&'a Pressure>,
}

#[derive(Default, Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "zero")]
    current: u64,
    #[serde(skip_serializing_if = "zero")]
    limit: u64,
}

#[derive(Serialize)]
struct Blkio<'a> {
    #[serde(rename = "ioServiceBytesRecursive", skip_serializing_if = "Vec::is_empty")]
    bytes: Vec<Operation>,
    #[serde(rename = "ioServicedRecursive", skip_serializing_if = "Vec::is_empty")]
    operations: Vec<Operation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<&'a Pressure>,
}

#[derive(Serialize)]
struct Operation {
    #[serde(skip_serializing_if = "zero")]
    major: u64,
    #[serde(skip_serializing_if = "zero")]
    minor: u64,
    op: &'static str,
    #[serde(skip_serializing_if = "zero")]
    value: u64,
}

#[derive(Serialize)]
struct Hugetlb {
    #[serde(skip_serializing_if = "zero")]
    usage: u64,
    failcnt: u64,
}

/// The `data` of a `stats` event.
pub fn as_runc(stats: &Stats) -> impl Serialize {
    let cpu = &stats.cpu;
    Told {
        cpu: Cpu {
            usage: Usage { total: cpu.usage * 1000, kernel: cpu.system * 1000, user: cpu.user * 1000 },
            throttling: Throttling {
                periods: cpu.periods,
                throttled_periods: cpu.throttled_periods,
                throttled_time: cpu.throttled * 1000,
            },
            psi: cpu.pressure.as_ref(),
        },
        cpuset: Cpuset::default(),
        memory: stats.memory.as_ref().map(memory).unwrap_or_default(),
        pids: stats
            .pids
            .as_ref()
            .map_or(Pids::default(), |pids| Pids { current: pids.current, limit: pids.max.unwrap_or(0) }),
        blkio: Blkio {
            bytes: operations(stats, "rbytes", "wbytes"),
            operations: operations(stats, "rios", "wios"),
            psi: stats.io.pressure.as_ref(),
        },
        hugetlb: stats
            .hugetlb
            .iter()
            .map(|(size, pages)| (size.as_str(), Hugetlb { usage: pages.current, failcnt: pages.failures }))
            .collect(),
        intel_rdt: BTreeMap::new(),
        network_interfaces: None,
    }
}

fn memory(memory: &Memory) -> MemoryParts<'_> {
    let limit = memory.max.unwrap_or(UNLIMITED);
    let swap = memory.swap.as_ref();
    let swap_limit = swap.map_or(0, |swap| swap.max.unwrap_or(UNLIMITED));
    MemoryParts {
        cache: memory.stat.get("file").copied().unwrap_or(0),
        usage: Entry { limit, usage: memory.current, max: memory.peak.unwrap_or(0), failcnt: 0 },
        swap: Entry {
            limit: swap_limit.saturating_add(limit),
            usage: swap.map_or(0, |swap| swap.current) + memory.current,
            ..Entry::default()
        },
        raw: Some(&memory.stat).filter(|stat| !stat.is_empty()),
        psi: memory.pressure.as_ref(),
        ..MemoryParts::default()
    }
}

fn operations(stats: &Stats, read: &str, write: &str) -> Vec<Operation> {
    let rows = stats.io.devices.iter().flat_map(|device| {
        [(read, "Read"), (write, "Write")].into_iter().filter_map(move |(key, op)| {
            let value = *device.counts.get(key)?;
            Some(Operation { major: device.major, minor: device.minor, op, value })
        })
    });
    rows.collect()
}
