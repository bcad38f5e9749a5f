//! What a control file says now, held against what is to be written there: whether that is in force already, and what to
//! write to have the old state back.

/// Files with a line for each device: what a device without a line has, which is also what takes its line away.
const BY_DEVICE: &[(&str, &str)] = &[
    ("io.max", "rbps=max wbps=max riops=max wiops=max"),
    ("io.weight", "default"),
    ("io.bfq.weight", "default"),
    ("io.latency", "target=0"),
    ("rdma.max", "hca_handle=max hca_object=max"),
    ("misc.max", "max"),
    ("dmem.max", "max"),
    ("dmem.min", "0"),
    ("dmem.low", "0"),
];

/// True when writing `value` would change nothing of a file that reads `text`.
pub fn is_in_force(file: &str, text: &str, value: &str) -> bool {
    let Some((key, wanted, neutral)) = split(file, value) else {
        // A quota alone leaves the period of cpu.max as it is.
        let (text, value) = (text.trim(), value.trim());
        return text == value || file == "cpu.max" && text.split(' ').next() == Some(value);
    };
    let found = line(text, key).unwrap_or(neutral);
    wanted.split_ascii_whitespace().all(|word| found.split_ascii_whitespace().any(|is| is == word))
}

/// What brings back the state of a file that read `text` before `value` was written to it.
pub fn undo(file: &str, text: &str, value: &str) -> String {
    match split(file, value) {
        Some((key, _, neutral)) => format!("{key} {}", line(text, key).unwrap_or(neutral)),
        // An empty list of CPUs is written as an empty line: a write of no bytes does nothing.
        None => format!("{}\n", text.trim_end()),
    }
}

/// The device that a value is about, what it is to have, and what it has without a line.
fn split<'a>(file: &str, value: &'a str) -> Option<(&'a str, &'a str, &'static str)> {
    let (_, neutral) = BY_DEVICE.iter().find(|(name, _)| *name == file)?;
    match value.trim().split_once(' ') {
        Some((key, wanted)) => Some((key, wanted.trim(), neutral)),
        // A weight alone is that of all devices without one of their own.
        None => Some(("default", value.trim(), "100")),
    }
}

fn line<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force() {
        let io = "8:0 rbps=max wbps=1048576 riops=max wiops=max\n";
        for (file, text, value) in [
            ("memory.max", "4096\n", "4096"),
            ("memory.max", "max\n", "max"),
            ("cpu.max", "50000 100000\n", "50000"),
            ("cpu.max", "50000 100000\n", "50000 100000"),
            ("cpuset.cpus", "\n", ""),
            ("io.max", io, "8:0 wbps=1048576"),
            ("io.max", io, "8:16 rbps=max"),
            ("io.weight", "default 100\n8:0 50\n", "100"),
            ("io.weight", "default 100\n8:0 50\n", "8:0 50"),
            ("rdma.max", "mlx4_0 hca_handle=2 hca_object=max\n", "mlx4_0 hca_handle=2"),
        ] {
            assert!(is_in_force(file, text, value), "{file}: {text:?} {value:?}");
        }
        for (file, text, value) in [
            ("memory.max", "4096\n", "409"),
            ("cpu.max", "50000 100000\n", "50000 50000"),
            ("cpu.max", "50000 100000\n", "5000"),
            ("io.max", io, "8:0 wbps=max"),
            ("io.max", io, "8:16 rbps=5"),
            ("io.weight", "default 100\n8:0 50\n", "50"),
            ("io.weight", "default 100\n8:0 50\n", "8:16 50"),
        ] {
            assert!(!is_in_force(file, text, value), "{file}: {text:?} {value:?}");
        }
    }

    #[test]
    fn the_way_back() {
        let io = "8:0 rbps=max wbps=1048576 riops=max wiops=max\n";
        for (file, text, value, back) in [
            ("memory.max", "4096\n", "8192", "4096\n"),
            ("cpuset.cpus", "\n", "0-3", "\n"),
            ("cpu.max", "max 100000\n", "5000", "max 100000\n"),
            ("io.max", io, "8:0 rbps=1", "8:0 rbps=max wbps=1048576 riops=max wiops=max"),
            ("io.max", io, "8:16 rbps=1", "8:16 rbps=max wbps=max riops=max wiops=max"),
            ("io.weight", "default 70\n8:0 50\n", "80", "default 70"),
            ("io.weight", "default 70\n", "8:0 80", "8:0 default"),
        ] {
            assert_eq!(undo(file, text, value), back, "{file}: {text:?} {value:?}");
        }
    }
}
