//! Limits as properties of a unit (systemd.resource-control(5)): by a table from the same writes that cgroupfs gets.
//!
//! systemd writes what its properties say again at every `daemon-reload`, so what it manages has to be told to it. What it
//! has no property for it leaves alone.

use super::wire::Value;
use crate::cgroups::{Missing, Write};

/// A name and a value of a unit.
pub type Property = (String, Value);

/// Text of a control file to the properties that stand for it; `None`: the kernel will say what is wrong with it.
type Convert = fn(&str, &str) -> Option<Vec<Property>>;

/// No limit, `infinity`.
const NONE: u64 = u64::MAX;

static TABLE: &[(&str, &str, Convert)] = &[
    ("memory.max", "MemoryMax", bytes),
    ("memory.low", "MemoryLow", bytes),
    ("memory.swap.max", "MemorySwapMax", bytes),
    ("memory.zswap.max", "MemoryZSwapMax", bytes),
    ("memory.high", "MemoryHigh", bytes),
    ("memory.min", "MemoryMin", bytes),
    ("pids.max", "TasksMax", bytes),
    ("cpu.weight", "CPUWeight", number),
    ("cpu.idle", "CPUWeight", idle),
    ("cpu.max", "", bandwidth),
    ("cpuset.cpus", "AllowedCPUs", list),
    ("cpuset.mems", "AllowedMemoryNodes", list),
    ("io.weight", "IOWeight", number),
];

/// The properties for these writes, each name once: a later write is what holds.
pub fn of(writes: &[Write]) -> Vec<Property> {
    let mut properties: Vec<Property> = Vec::new();
    for write in writes {
        let (file, value) = match &write.missing {
            // BFQ's weight is another scale of the same property.
            Missing::Instead { file, value } => (*file, value.as_str()),
            _ => (write.file.as_str(), write.value.as_str()),
        };
        let Some((_, name, convert)) = TABLE.iter().find(|(known, ..)| *known == file) else { continue };
        for property in convert(name, value.trim()).unwrap_or_default() {
            properties.retain(|(known, _)| *known != property.0);
            properties.push(property);
        }
    }
    properties
}

fn one(name: &str, value: Value) -> Option<Vec<Property>> {
    Some(vec![(name.to_owned(), value)])
}

/// "max", or a number with one of the kernel's suffixes (memparse).
fn bytes(name: &str, text: &str) -> Option<Vec<Property>> {
    if text == "max" {
        return one(name, Value::Uint64(NONE));
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return None,
    };
    one(name, Value::Uint64(digits.parse::<u64>().ok()?.checked_mul(1 << shift)?))
}

/// A weight; for io.weight also as `default N`, while the weights of single devices are no unit's.
fn number(name: &str, text: &str) -> Option<Vec<Property>> {
    let text = text.strip_prefix("default ").unwrap_or(text);
    one(name, Value::Uint64(text.parse().ok()?))
}

/// A weight of 0 is systemd's word for idle (252). Not idle is what a unit is anyway.
fn idle(name: &str, text: &str) -> Option<Vec<Property>> {
    if text == "1" { one(name, Value::Uint64(0)) } else { None }
}

/// `QUOTA PERIOD`. systemd keeps whole percents of a CPU, so the rest is rounded up, or what is below could not be given
/// what was asked for; the exact value is written after.
fn bandwidth(_: &str, text: &str) -> Option<Vec<Property>> {
    const PERCENT: u64 = 10_000;
    const SECOND: u64 = 1_000_000;
    let (quota, period) = text.split_once(' ').unwrap_or((text, "100000"));
    let period: u64 = period.parse().ok().filter(|period| *period > 0)?;
    let quota = match quota {
        "max" => NONE,
        quota => quota.parse::<u64>().ok()?.checked_mul(SECOND)?.div_ceil(period).next_multiple_of(PERCENT),
    };
    let property = |name: &str, value| (name.to_owned(), Value::Uint64(value));
    Some(vec![property("CPUQuotaPerSecUSec", quota), property("CPUQuotaPeriodUSec", period)])
}

/// `0-2,5` as bits, the lowest first.
fn list(name: &str, text: &str) -> Option<Vec<Property>> {
    /// More than any kernel has.
    const MOST: usize = 1 << 16;
    let mut bits: Vec<u8> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MOST {
            return None;
        }
        bits.resize(bits.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|bit| bits[bit / 8] |= 1 << (bit % 8));
    }
    one(name, Value::Array("y", bits.into_iter().map(Value::Byte).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Name=value` each.
    fn told(writes: &[(&str, &str)]) -> Vec<String> {
        let writes: Vec<Write> = writes.iter().map(|(file, value)| Write::new(*file, *value, "")).collect();
        let text = |value: &Value| match value {
            Value::Uint64(NONE) => "infinity".into(),
            Value::Uint64(value) => value.to_string(),
            Value::Array(_, bytes) => format!("{bytes:?}").replace("Byte", ""),
            other => format!("{other:?}"),
        };
        of(&writes).iter().map(|(name, value)| format!("{name}={}", text(value))).collect()
    }

    #[test]
    fn one_file_one_property() {
        assert_eq!(
            told(&[("memory.swap.max", "500"), ("memory.max", "1000"), ("memory.low", "max"), ("pids.max", "7")]),
            ["MemorySwapMax=500", "MemoryMax=1000", "MemoryLow=infinity", "TasksMax=7"]
        );
        assert_eq!(told(&[("cpu.weight", "100"), ("io.weight", "default 20")]), ["CPUWeight=100", "IOWeight=20"]);
        assert_eq!(told(&[("cpu.idle", "1")]), ["CPUWeight=0"]);
        assert_eq!(told(&[("cpu.idle", "0"), ("cpu.weight", "100")]), ["CPUWeight=100"]);
        assert_eq!(
            told(&[("cpuset.cpus", "0-2,9"), ("cpuset.mems", "0")]),
            ["AllowedCPUs=[(7), (2)]", "AllowedMemoryNodes=[(1)]"]
        );
    }

    #[test]
    fn the_quota_is_rounded_up_to_whole_percents() {
        let quota = |text| told(&[("cpu.max", text)]);
        assert_eq!(quota("50000 100000"), ["CPUQuotaPerSecUSec=500000", "CPUQuotaPeriodUSec=100000"]);
        assert_eq!(quota("50001 100000"), ["CPUQuotaPerSecUSec=510000", "CPUQuotaPeriodUSec=100000"]);
        assert_eq!(quota("max 20000"), ["CPUQuotaPerSecUSec=infinity", "CPUQuotaPeriodUSec=20000"]);
        assert_eq!(quota("7000"), ["CPUQuotaPerSecUSec=70000", "CPUQuotaPeriodUSec=100000"]);
        assert!(quota("5 0").is_empty());
    }

    #[test]
    fn unified_holds_over_what_came_before() {
        assert_eq!(
            told(&[("memory.max", "5"), ("memory.high", "1G"), ("memory.max", "7")]),
            ["MemoryHigh=1073741824", "MemoryMax=7"]
        );
        assert!(
            told(&[
                ("memory.max", "many"),
                ("hugetlb.2MB.max", "1"),
                ("io.max", "8:0 rbps=1"),
                ("io.weight", "8:0 10")
            ])
            .is_empty()
        );
        assert!(told(&[("cpuset.cpus", "3-99999999999")]).is_empty());
    }

    #[test]
    fn a_weight_of_bfq_is_told_on_the_other_scale() {
        let missing = Missing::Instead { file: "io.weight", value: "10000".into() };
        let write = Write { missing, ..Write::new("io.bfq.weight", "1000", "") };
        assert_eq!(of(&[write]), [("IOWeight".to_owned(), Value::Uint64(10000))]);
    }
}
