//! The table of RESULTS.md, which is for people and for the comparison alike.

/// One row.
pub struct Recorded {
    pub name: &'static str,
    pub passes: bool,
}

/// Every program that RESULTS.md records, in its order.
pub fn recorded() -> Vec<Recorded> {
    include_str!("RESULTS.md").lines().filter_map(row).collect()
}

/// `| name | pass or fail | why |`.
fn row(line: &'static str) -> Option<Recorded> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let (name, result) = (cells.next()?, cells.next()?);
    let passes = match result {
        "pass" => true,
        "fail" => false,
        _ => return None,
    };
    Some(Recorded { name, passes })
}

#[cfg(test)]
mod tests {
    use super::recorded;

    #[test]
    fn the_table_is_read() {
        let rows = recorded();
        assert_eq!(rows.len(), 44);
        assert!(rows.iter().any(|row| row.name == "linux_seccomp" && row.passes));
        assert!(rows.iter().any(|row| row.name == "delete" && !row.passes));
    }
}
