//! `linux.resources` to the files of cgroup v2: one table of what is written where, one of what has no counterpart.
//!
//! The rules are those of the runtime specification (config-linux.md, "Control groups") read with the kernel's
//! cgroup-v2.rst; where the two leave room, rt does what runc does, so that a container keeps its limits when its
//! runtime changes. Rows are written in the table's order, which the kernel cares about in places said there.

use anyhow::{Result, bail, ensure};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::{Missing, Write};
use crate::spec::{Code, Finding, Findings, at};

/// What a row makes of the resources: nothing, when the field is absent or asks for nothing.
type Convert = fn(&LinuxResources) -> Result<Option<String>>;

struct Row {
    field: &'static str,
    file: &'static str,
    convert: Convert,
}

const fn row(field: &'static str, file: &'static str, convert: Convert) -> Row {
    Row { field, file, convert }
}

/// One value, one file.
static SCALARS: &[Row] = &[
    // Before memory.max: a lower memory.max may have to swap, and must not swap more than is allowed.
    row("memory.swap", "memory.swap.max", |r| on(r.memory(), swap)),
    row("memory.limit", "memory.max", |r| on(r.memory(), |m| bytes(m.limit()))),
    row("memory.reservation", "memory.low", |r| on(r.memory(), |m| bytes(m.reservation()))),
    // Before cpu.weight: in an idle group the kernel refuses any weight (EINVAL).
    row("cpu.idle", "cpu.idle", |r| on(r.cpu(), |c| Ok(c.idle().map(|idle| idle.to_string())))),
    row("cpu.shares", "cpu.weight", |r| on(r.cpu(), weight)),
    // Refused while the quota is lower than the burst: tried again at the end (see `Write::retry`).
    row("cpu.burst", "cpu.max.burst", |r| on(r.cpu(), burst)),
    row("cpu.quota", "cpu.max", |r| on(r.cpu(), bandwidth)),
    row("cpu.cpus", "cpuset.cpus", |r| on(r.cpu(), |c| Ok(nonempty(c.cpus())))),
    row("cpu.mems", "cpuset.mems", |r| on(r.cpu(), |c| Ok(nonempty(c.mems())))),
    row("pids.limit", "pids.max", |r| Ok(r.pids().as_ref().map(|p| pids_max(p.limit())))),
];

/// What to do about a field that version 2 has no file for.
enum Verdict {
    /// Deprecated, or without effect on what the container may use: said in a warning, as all runtimes let it pass.
    Ignored(&'static str),
    /// The specification: a value that cannot be converted must be an error.
    Refused(&'static str),
}
use Verdict::{Ignored, Refused};

struct Foreign {
    field: &'static str,
    /// True when the field asks for something; its neutral value does not.
    asks: fn(&LinuxResources) -> bool,
    verdict: Verdict,
}

const fn foreign(field: &'static str, asks: fn(&LinuxResources) -> bool, verdict: Verdict) -> Foreign {
    Foreign { field, asks, verdict }
}

/// Fields of version 1 only. Engines drop them on cgroup v2 hosts or send them neutral; a real value comes from a person.
static FOREIGN: &[Foreign] = &[
    foreign(
        "memory.kernel",
        |r| r.memory().is_some_and(|m| positive(m.kernel())),
        Ignored("cgroup v2 counts kernel memory in memory.max"),
    ),
    foreign(
        "memory.kernelTCP",
        |r| r.memory().is_some_and(|m| positive(m.kernel_tcp())),
        Ignored("cgroup v2 counts socket memory in memory.max"),
    ),
    // Refusing would stop containers that ran under every other runtime, for a wish that weakens no limit.
    foreign(
        "memory.disableOOMKiller",
        |r| r.memory().is_some_and(|m| m.disable_oom_killer() == Some(true)),
        Ignored("cgroup v2 cannot switch the OOM killer off"),
    ),
    foreign(
        "memory.swappiness",
        |r| r.memory().is_some_and(|m| m.swappiness().is_some()),
        Refused("cgroup v2 has no swappiness: remove it, or limit swap with memory.swap"),
    ),
    foreign(
        "cpu.realtimeRuntime",
        |r| r.cpu().as_ref().is_some_and(|c| c.realtime_runtime().is_some_and(|v| v != 0)),
        Refused("cgroup v2 has no realtime budget: remove it, or use process.scheduler"),
    ),
    foreign(
        "cpu.realtimePeriod",
        |r| r.cpu().as_ref().is_some_and(|c| c.realtime_period().is_some_and(|v| v != 0)),
        Refused("cgroup v2 has no realtime budget: remove it, or use process.scheduler"),
    ),
    foreign(
        "blockIO.leafWeight",
        |r| r.block_io().as_ref().is_some_and(|b| b.leaf_weight().is_some_and(|w| w != 0)),
        Refused("cgroup v2 has no leaf weight: remove it, or set blockIO.weight"),
    ),
    foreign("blockIO.weightDevice[].leafWeight", any_device_leaf, Refused("cgroup v2 has no leaf weight: remove it")),
    foreign(
        "network.classID",
        |r| r.network().as_ref().is_some_and(|n| n.class_id().is_some_and(|id| id != 0)),
        Refused("cgroup v2 marks no packets: remove it and match the cgroup in a firewall rule"),
    ),
    foreign(
        "network.priorities",
        |r| r.network().as_ref().and_then(|n| n.priorities().as_ref()).is_some_and(|list| !list.is_empty()),
        Refused("cgroup v2 sets no packet priority: remove it and match the cgroup in a firewall rule"),
    ),
];

/// Everything the resources ask to be written, in order.
///
/// Devices are not among it: they are a program, not a file.
pub fn writes(resources: &LinuxResources, findings: &mut Findings) -> Vec<Write> {
    for entry in FOREIGN.iter().filter(|entry| (entry.asks)(resources)) {
        let field = format!("linux.resources.{}", entry.field);
        findings.add(match entry.verdict {
            Refused(why) => Finding::phrase(Code::CgroupV1, at(&field), format!("{field}: {why}")),
            Ignored(why) => Finding::lone_warning(Code::NoEffect, at(&field), &format!("{field} has no effect: {why}")),
        });
    }
    let mut writes = Vec::new();
    for row in SCALARS {
        let field = format!("linux.resources.{}", row.field);
        let value = (row.convert)(resources).map_err(|error| anyhow::anyhow!("{field}: {error}"));
        if let Some(value) = findings.keep(Code::Resource, value).flatten() {
            writes.push(scalar(row.file, value, field));
        }
    }
    if let Some(block_io) = resources.block_io() {
        findings.keep(Code::Resource, block_io_writes(block_io, &mut writes));
    }
    findings.keep(Code::Resource, hugetlb_writes(resources, &mut writes));
    findings.keep(Code::Resource, rdma_writes(resources, &mut writes));
    // Last: what is said in the kernel's own words overrides what was converted.
    findings.keep(Code::Resource, unified_writes(resources, &mut writes));
    writes
}

fn scalar(file: &'static str, value: String, field: String) -> Write {
    // "No limit" is no request: where the file does not exist (no controller, no swap accounting, cpu.idle before
    // 5.15) there is nothing to lift.
    let neutral = value.starts_with("max") || value == "0" && matches!(file, "memory.swap.max" | "cpu.idle");
    let missing = if neutral { Missing::Ignore } else { Missing::Fail };
    Write { retry: file == "cpu.max.burst", missing, ..Write::new(file, value, field) }
}

fn on<T>(part: &Option<T>, convert: impl FnOnce(&T) -> Result<Option<String>>) -> Result<Option<String>> {
    part.as_ref().map_or(Ok(None), convert)
}

fn nonempty(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

fn positive(value: Option<i64>) -> bool {
    value.is_some_and(|value| value > 0)
}

/// Bytes: -1 is unlimited, 0 is unset (as runc and its callers have it).
fn bytes(value: Option<i64>) -> Result<Option<String>> {
    match value.unwrap_or(0) {
        0 => Ok(None),
        -1 => Ok(Some("max".into())),
        value if value > 0 => Ok(Some(value.to_string())),
        value => bail!("{value} is not a number of bytes (-1 means unlimited)"),
    }
}

/// OCI's swap is memory plus swap, version 2's is swap alone.
fn swap(memory: &LinuxMemory) -> Result<Option<String>> {
    let limit = memory.limit().unwrap_or(0);
    match memory.swap().unwrap_or(0) {
        // Unlimited memory means unlimited swap too, as it did under version 1.
        0 if limit == -1 => Ok(Some("max".into())),
        0 => Ok(None),
        -1 => Ok(Some("max".into())),
        swap if swap < -1 => bail!("{swap} is not a number of bytes (-1 means unlimited)"),
        _ if limit <= 0 => bail!("unable to set swap limit without memory limit (set linux.resources.memory.limit)"),
        swap if swap < limit => {
            bail!("memory+swap limit should be >= memory limit ({swap} < {limit})")
        }
        swap => Ok(Some((swap - limit).to_string())),
    }
}

/// Shares 2..262144 to weight 1..10000 so that the default of one (1024) is the default of the other (100): the
/// quadratic in log2 that runc 1.3.2 and crun 1.23 brought in the place of a straight line, which made 1024 a mere 39.
fn weight(cpu: &LinuxCpu) -> Result<Option<String>> {
    if cpu.idle() == Some(1) {
        return Ok(None);
    }
    let weight = match cpu.shares().unwrap_or(0) {
        0 => return Ok(None),
        1..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let l = (shares as f64).log2();
            10f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil() as u64
        }
    };
    Ok(Some(weight.to_string()))
}

/// µs. The kernel would refuse the quota for it, which points at the wrong field.
fn burst(cpu: &LinuxCpu) -> Result<Option<String>> {
    let Some(burst) = cpu.burst() else {
        return Ok(None);
    };
    if let Some(quota) = cpu.quota().filter(|quota| *quota > 0) {
        ensure!(burst <= quota as u64, "{burst} is more than cpu.quota ({quota})");
    }
    Ok(Some(burst.to_string()))
}

/// Quota and period in µs. A quota of 0 or less is none; an absent period is the kernel's default.
fn bandwidth(cpu: &LinuxCpu) -> Result<Option<String>> {
    let (quota, period) = (cpu.quota().unwrap_or(0), cpu.period().unwrap_or(0));
    if quota == 0 && period == 0 {
        return Ok(None);
    }
    let quota = if quota > 0 { quota.to_string() } else { "max".into() };
    let period = if period == 0 { 100_000 } else { period };
    Ok(Some(format!("{quota} {period}")))
}

/// 0 is a limit since 1.3 of the specification; the container's own process has to fit, so it becomes 1 as with runc.
fn pids_max(limit: i64) -> String {
    match limit {
        ..0 => "max".into(),
        0 => "1".into(),
        limit => limit.to_string(),
    }
}

fn any_device_leaf(resources: &LinuxResources) -> bool {
    let devices = resources.block_io().as_ref().and_then(|block_io| block_io.weight_device().as_ref());
    devices.is_some_and(|list| list.iter().any(|device| device.leaf_weight().is_some_and(|w| w != 0)))
}

/// 10..1000 of version 1 (CFQ, BFQ) to 1..10000 of io.weight.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight) - 10) * 9999 / 990
}

fn block_io_writes(block_io: &LinuxBlockIo, writes: &mut Vec<Write>) -> Result<()> {
    let mut weigh = |target: &str, weight: Option<u16>, field: String| -> Result<()> {
        let Some(weight) = weight.filter(|weight| *weight != 0) else {
            return Ok(());
        };
        ensure!((10..=1000).contains(&weight), "{field}: {weight} is not within 10..1000");
        // BFQ takes the number as it is; io.weight has another range. BFQ's file is there for every disk once one uses it,
        // so that alone it would leave the others without their weight.
        let scaled = format!("{target}{}", io_weight(weight));
        let instead = Missing::Instead { file: "io.weight", value: scaled.clone() };
        let of_others = Write { missing: Missing::Ignore, ..Write::new("io.weight", scaled, &*field) };
        writes.push(Write { missing: instead, ..Write::new("io.bfq.weight", format!("{target}{weight}"), field) });
        writes.push(of_others);
        Ok(())
    };
    weigh("", block_io.weight(), "linux.resources.blockIO.weight".into())?;
    for (index, device) in block_io.weight_device().iter().flatten().enumerate() {
        let field = format!("linux.resources.blockIO.weightDevice[{index}]");
        weigh(&format!("{}:{} ", device.major(), device.minor()), device.weight(), field)?;
    }
    let throttles: [(&str, &str, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        ("throttleReadBpsDevice", "rbps", block_io.throttle_read_bps_device()),
        ("throttleWriteBpsDevice", "wbps", block_io.throttle_write_bps_device()),
        ("throttleReadIOPSDevice", "riops", block_io.throttle_read_iops_device()),
        ("throttleWriteIOPSDevice", "wiops", block_io.throttle_write_iops_device()),
    ];
    for (name, key, devices) in throttles {
        for (index, device) in devices.iter().flatten().enumerate() {
            let rate = if device.rate() == 0 { "max".into() } else { device.rate().to_string() };
            let value = format!("{}:{} {key}={rate}", device.major(), device.minor());
            writes.push(Write::new("io.max", value, format!("linux.resources.blockIO.{name}[{index}]")));
        }
    }
    Ok(())
}

fn hugetlb_writes(resources: &LinuxResources, writes: &mut Vec<Write>) -> Result<()> {
    for (index, entry) in resources.hugepage_limits().iter().flatten().enumerate() {
        let (size, field) = (entry.page_size(), format!("linux.resources.hugepageLimits[{index}]"));
        ensure!(is_page_size(size), "{field}.pageSize: {size:?} is not a page size such as 2MB");
        let limit = if entry.limit() < 0 { "max".into() } else { entry.limit().to_string() };
        writes.push(Write::new(format!("hugetlb.{size}.max"), limit.clone(), field.clone()));
        // The limit on reservations keeps a process from SIGBUS at its first touch; older kernels lack it.
        let reserved = Write::new(format!("hugetlb.{size}.rsvd.max"), limit, field);
        writes.push(Write { missing: Missing::Ignore, ..reserved });
    }
    Ok(())
}

/// `<number><K, M or G>B`, as the kernel names its files.
fn is_page_size(size: &str) -> bool {
    let Some(number) = size.strip_suffix('B').and_then(|rest| rest.strip_suffix(['K', 'M', 'G'])) else {
        return false;
    };
    !number.is_empty() && !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit())
}

fn rdma_writes(resources: &LinuxResources, writes: &mut Vec<Write>) -> Result<()> {
    let mut entries: Vec<_> = resources.rdma().iter().flatten().collect();
    entries.sort_by_key(|(device, _)| device.as_str());
    for (device, limits) in entries {
        let field = format!("linux.resources.rdma[{device:?}]");
        ensure!(!device.is_empty() && !device.contains(char::is_whitespace), "{field}: not a device name");
        let mut value = device.clone();
        for (key, limit) in [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())] {
            if let Some(limit) = limit {
                value.push_str(&format!(" {key}={limit}"));
            }
        }
        ensure!(value != *device, "{field}: at least one of hcaHandles and hcaObjects must be set");
        writes.push(Write::new("rdma.max", value, field));
    }
    Ok(())
}

/// Files that move, stop or kill processes are no resources: before the clone they could only hit somebody else's.
const NOT_RESOURCES: [&str; 4] = ["cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze"];

fn unified_writes(resources: &LinuxResources, writes: &mut Vec<Write>) -> Result<()> {
    let mut entries: Vec<_> = resources.unified().iter().flatten().collect();
    // A JSON object has no order; a fixed one makes a failure repeat.
    entries.sort();
    for (file, text) in entries {
        let field = format!("linux.resources.unified[{file:?}]");
        let plain = !file.is_empty() && !file.contains('/') && file != "." && file != "..";
        ensure!(plain, "{field}: the key must be the name of one cgroup file, without \"/\"");
        ensure!(!NOT_RESOURCES.contains(&file.as_str()), "{field}: this file sets no resource limit: remove it");
        // One line is one command to the kernel (io.max for several devices, say).
        let lines: Vec<&str> = text.lines().collect();
        ensure!(!lines.is_empty(), "{field}: the value is empty");
        writes.extend(lines.iter().map(|line| Write::new(file.clone(), *line, field.clone())));
    }
    Ok(())
}

#[cfg(test)]
#[path = "resources_tests.rs"]
mod tests;
