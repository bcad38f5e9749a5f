//! Points in time as RFC 3339 text, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, with `digits` (0 to 9) digits of the second's fraction.
pub fn rfc3339_now(digits: usize) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(now.as_secs(), now.subsec_nanos(), digits)
}

fn rfc3339(seconds: u64, nanos: u32, digits: usize) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if digits > 0 {
        text.push('.');
        text.push_str(&format!("{nanos:09}")[..digits.min(9)]);
    }
    text.push('Z');
    text
}

/// Year, month and day of a number of days since 1970-01-01, counted in 400-year eras that start on a 1 March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_in_time() {
        assert_eq!(rfc3339(0, 0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400, 5, 9), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(rfc3339(1_709_251_199, 999_999_999, 3), "2024-02-29T23:59:59.999Z");
        assert_eq!(rfc3339(4_102_444_800, 0, 0), "2100-01-01T00:00:00Z");
    }
}
