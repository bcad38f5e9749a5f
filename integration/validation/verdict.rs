//! What a program's output means. Its exit status alone says little: most end with 0 whatever happened.

use std::process::Output;

/// How one program ended.
pub struct Verdict {
    pub passed: bool,
    /// The first thing that went wrong.
    pub why: String,
}

impl Verdict {
    pub fn absent() -> Verdict {
        Verdict { passed: false, why: "is not in the suite's folder".to_owned() }
    }
}

pub fn judge(output: &Output) -> Verdict {
    let text = String::from_utf8_lossy(&output.stdout);
    match trouble(&text, output.status.code()) {
        None => Verdict { passed: true, why: String::new() },
        Some(why) if why.is_empty() => {
            let errors = String::from_utf8_lossy(&output.stderr);
            Verdict { passed: false, why: errors.lines().last().unwrap_or("no word").to_owned() }
        }
        Some(why) => Verdict { passed: false, why },
    }
}

/// A test point that is not ok; without any, an error that is only a diagnostic; a bad end. Empty where only standard
/// error can say what it was.
fn trouble(text: &str, code: Option<i32>) -> Option<String> {
    if let Some(point) = text.lines().find(|line| line.starts_with("not ok")) {
        return Some(point.to_owned());
    }
    let points = text.lines().any(|line| line.starts_with("ok "));
    if let (false, Some(error)) = (points, text.lines().find(|line| line.trim_start().starts_with("\"error\": "))) {
        return Some(error.trim().to_owned());
    }
    match code {
        Some(0) => None,
        Some(124 | 137) => Some("ran out of time".to_owned()),
        _ => Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::trouble;

    #[test]
    fn what_counts_as_failed() {
        assert_eq!(trouble("TAP version 13\nok 1 - a\n1..1\n", Some(0)), None);
        assert_eq!(
            trouble("ok 1 - a\n  \"error\": \"exit status 1\",\n1..1\n", Some(0)),
            None,
            "an error that was due"
        );
        assert_eq!(trouble("TAP version 13\n1..0\n", Some(0)), None);
        assert_eq!(trouble("ok 1 - a\nnot ok 2 - b\n1..2\n", Some(0)).as_deref(), Some("not ok 2 - b"));
        assert!(trouble("TAP version 13\n  {\n  \"error\": \"hooks\"\n  }\n1..0\n", Some(0)).is_some());
        assert_eq!(trouble("ok 1 - a\n", Some(1)).as_deref(), Some(""));
        assert_eq!(trouble("ok 1 - a\n", None).as_deref(), Some(""));
        assert_eq!(trouble("", Some(124)).as_deref(), Some("ran out of time"));
    }
}
