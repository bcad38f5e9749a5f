//! Values that are more than a word: sizes and spans of time.

use std::time::Duration;

/// Bytes, as Docker's tools write them: `1048576`, `1024k`, `1.5G`, `1GiB`, in any case, always in powers of 1024; -1 is
/// no limit.
pub(super) fn size(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = lower[digits.len()..].trim_start();
    let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(unit);
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == unit)?;
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let factor = 1i64 << (10 * power);
    match digits.split_once('.') {
        None if plain(digits) => digits.parse::<i64>().ok()?.checked_mul(factor),
        Some((whole, part)) if !whole.is_empty() && plain(whole) && plain(part) => {
            let bytes = digits.parse::<f64>().ok()? * factor as f64;
            (bytes < i64::MAX as f64).then_some(bytes as i64)
        }
        _ => None,
    }
}

/// What a checked flag of either kind says.
pub(super) fn size_or_integer(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| size(text))
}

/// A span of time longer than none, as Go programs write it: numbers with a unit each (`1h`, `1m30s`, `1.5s`, `200ms`).
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, after) = rest.split_at(number);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let unit = match &after[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += value.parse::<f64>().ok()? * unit;
        rest = &after[end..];
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("-1", -1),
            ("0", 0),
            ("4096", 4096),
            ("1k", 1024),
            ("512M", 512 << 20),
            ("1.5g", 3 << 29),
            ("2GiB", 2 << 30),
            ("3mb", 3 << 20),
            ("10b", 10),
            ("1 kb", 1024),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "k", "-2", "1x", "1kk", "0x10", "1.2.3", ".5k", "+1", "9999999p", "1e3"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [("5s", 5000), ("1m30s", 90_000), ("200ms", 200), ("1.5s", 1500), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "5", "0s", "-1s", "1x", "s", "1s2", "1d", "99999999999999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
