//! The numbers for people, and for Prometheus.

use super::{Pressure, Stats};
use std::fmt::Write;

/// Rows of a table: a name, the numbers, and which part of one CPU was used since the last look, if there was one.
pub struct Share<'a> {
    pub id: &'a str,
    pub stats: Stats,
    pub cpu: Option<f64>,
}

/// One line per container.
pub fn table(rows: &[Share]) -> String {
    let head = ["ID", "CPU", "MEMORY", "LIMIT", "PEAK", "OOM", "PIDS", "READ", "WRITTEN", "PRESSURE cpu/mem/io"];
    let mut cells: Vec<[String; 10]> = vec![head.map(str::to_owned)];
    cells.extend(rows.iter().map(row));
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(share: &Share) -> [String; 10] {
    let none = || "-".to_owned();
    let stats = &share.stats;
    let memory = stats.memory.as_ref();
    let limit = |max: Option<u64>| max.map_or_else(|| "none".to_owned(), bytes);
    let io = |key: &str| bytes(stats.io.devices.iter().filter_map(|device| device.counts.get(key)).sum());
    let some = |pressure: &Option<Pressure>| pressure.as_ref().map_or_else(none, |p| format!("{:.1}", p.some.avg10));
    let memory_pressure = memory.map_or_else(none, |memory| some(&memory.pressure));
    [
        share.id.to_owned(),
        share.cpu.map_or_else(none, |cpu| format!("{:.1}%", cpu * 100.0)),
        memory.map_or_else(none, |memory| bytes(memory.current)),
        memory.map_or_else(none, |memory| limit(memory.max)),
        memory.and_then(|memory| memory.peak).map_or_else(none, bytes),
        memory.map_or_else(none, |memory| memory.events.get("oom_kill").copied().unwrap_or(0).to_string()),
        stats.pids.as_ref().map_or_else(none, |pids| match pids.max {
            Some(max) => format!("{}/{max}", pids.current),
            None => pids.current.to_string(),
        }),
        io("rbytes"),
        io("wbytes"),
        format!("{}/{memory_pressure}/{}", some(&stats.cpu.pressure), some(&stats.io.pressure)),
    ]
}

/// Three digits and a unit, in powers of 1024.
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let digits = if unit == "B" || value >= 100.0 { 0 } else { 1 };
    format!("{value:.digits$} {unit}")
}

/// The text format of Prometheus, version 0.0.4: each metric once with its kind, then a line per container.
pub fn prometheus(rows: &[Share]) -> String {
    let mut metrics: Vec<Metric> = Vec::new();
    for row in rows {
        collect(row, &mut metrics);
    }
    let mut text = String::new();
    for metric in &metrics {
        let _ = writeln!(text, "# HELP rt_{} {}", metric.name, metric.help);
        let _ = writeln!(text, "# TYPE rt_{} {}", metric.name, metric.kind);
        metric.lines.iter().for_each(|line| {
            let _ = writeln!(text, "rt_{}{line}", metric.name);
        });
    }
    text
}

struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    lines: Vec<String>,
}

fn collect(row: &Share, metrics: &mut Vec<Metric>) {
    let id = escape(row.id);
    let mut add = |name: &'static str, kind: &'static str, help: &'static str, labels: &str, value: String| {
        let line = format!("{{id=\"{id}\"{labels}}} {value}");
        match metrics.iter_mut().find(|metric| metric.name == name) {
            Some(metric) => metric.lines.push(line),
            None => metrics.push(Metric { name, kind, help, lines: vec![line] }),
        }
    };
    let seconds = |micros: u64| format!("{}", micros as f64 / 1e6);
    let (stats, cpu) = (&row.stats, &row.stats.cpu);
    add("cpu_seconds_total", "counter", "CPU time used.", "", seconds(cpu.usage));
    add("cpu_user_seconds_total", "counter", "CPU time used in user mode.", "", seconds(cpu.user));
    add("cpu_system_seconds_total", "counter", "CPU time used in the kernel.", "", seconds(cpu.system));
    add("cpu_periods_total", "counter", "Periods of the CPU quota.", "", cpu.periods.to_string());
    add("cpu_throttled_periods_total", "counter", "Periods with throttling.", "", cpu.throttled_periods.to_string());
    add("cpu_throttled_seconds_total", "counter", "Time spent throttled.", "", seconds(cpu.throttled));
    if let Some(memory) = &stats.memory {
        add("memory_bytes", "gauge", "Memory in use.", "", memory.current.to_string());
        if let Some(max) = memory.max {
            add("memory_limit_bytes", "gauge", "Memory limit.", "", max.to_string());
        }
        if let Some(peak) = memory.peak {
            add("memory_peak_bytes", "gauge", "Most memory ever in use.", "", peak.to_string());
        }
        if let Some(swap) = &memory.swap {
            add("memory_swap_bytes", "gauge", "Swap in use.", "", swap.current.to_string());
        }
        for (event, count) in &memory.events {
            let label = format!(",event=\"{event}\"");
            add("memory_events_total", "counter", "Events of memory.events.", &label, count.to_string());
        }
    }
    if let Some(pids) = &stats.pids {
        add("pids", "gauge", "Processes and threads.", "", pids.current.to_string());
        if let Some(max) = pids.max {
            add("pids_limit", "gauge", "Limit of processes and threads.", "", max.to_string());
        }
    }
    for device in &stats.io.devices {
        for (count, value) in &device.counts {
            let label = format!(",device=\"{}:{}\",count=\"{count}\"", device.major, device.minor);
            add("io_total", "counter", "Bytes and operations of io.stat.", &label, value.to_string());
        }
    }
    for (size, pages) in &stats.hugetlb {
        let label = format!(",size=\"{size}\"");
        add("hugetlb_bytes", "gauge", "Huge pages in use.", &label, pages.current.to_string());
        add("hugetlb_failures_total", "counter", "Hits of the limit.", &label, pages.failures.to_string());
    }
    let memory = stats.memory.as_ref().and_then(|memory| memory.pressure.as_ref());
    for (resource, pressure) in [("cpu", cpu.pressure.as_ref()), ("memory", memory), ("io", stats.io.pressure.as_ref())]
    {
        for (kind, stall) in pressure.iter().flat_map(|p| [("some", &p.some), ("full", &p.full)]) {
            let label = format!(",resource=\"{resource}\",kind=\"{kind}\"");
            add("pressure_seconds_total", "counter", "Time that tasks waited.", &label, seconds(stall.total));
        }
    }
}

/// A label's value.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_for_people() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (200 << 20, "200 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
