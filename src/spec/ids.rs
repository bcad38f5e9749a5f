//! Container ids: they become file names and cgroup names, so their alphabet is small.

use anyhow::{Result, bail};

/// The longest file name that Linux takes; an id is one.
const LONGEST: usize = 255;

/// Checks a container id: letters, digits and `_ + - .`, not `.` or `..` (the alphabet of runc).
pub fn check(id: &str) -> Result<()> {
    if id.is_empty() {
        bail!("container id cannot be empty");
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    if id == "." || id == ".." || !id.chars().all(fits) {
        bail!("invalid container ID format: {id:?} (allowed: letters, digits and _ + - .)");
    }
    if id.len() > LONGEST {
        bail!("invalid container ID format: {} characters, at most {LONGEST} are allowed", id.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn the_alphabet() {
        for good in ["a", "A.b-c_d+e", "...", "-x", &"f".repeat(64), &"f".repeat(255)] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\0", "../x", &"f".repeat(256)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
