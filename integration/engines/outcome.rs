//! What came of an operation, in words that are the same for the same outcome.

use std::fmt;
use std::path::Path;

/// What runc says in front of a cause where rt says nothing, or other words. No engine looks at them.
const WORDS: [(&str, &str); 1] = [("unable to start container process: ", "")];

/// Exit code and output.
pub struct Outcome {
    pub code: i32,
    /// `exit N`, then the lines of standard output, then those of standard error with `! ` before each.
    pub text: String,
}

impl Outcome {
    pub fn new(code: i32, stdout: &str, stderr: &str) -> Outcome {
        let mut text = format!("exit {code}");
        stdout.lines().for_each(|line| text.extend(["\n", line]));
        stderr.lines().for_each(|line| text.extend(["\n! ", line]));
        Outcome { code, text }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.pad(&format!("exit {}", self.code))
    }
}

/// The text without what differs from one run to the next: the runtime's name and path, identifiers, times.
pub fn normal(text: &str, name: &str, path: &Path) -> String {
    let mut text = text.replace(&*path.to_string_lossy(), "RUNTIME");
    for (words, neutral) in WORDS {
        text = text.replace(words, neutral);
    }
    let text = map_words(
        &text,
        |char| char.is_ascii_alphanumeric(),
        |word| match word {
            _ if word == name => "RUNTIME".to_owned(),
            _ if is_id(word) => "ID".to_owned(),
            _ => word.to_owned(),
        },
    );
    map_words(
        &text,
        |char| char.is_ascii_alphanumeric() || "-:.+".contains(char),
        |word| {
            if is_time(word) { "TIME".to_owned() } else { word.to_owned() }
        },
    )
}

/// Engines' identifiers, whole or as they are shown to people.
fn is_id(word: &str) -> bool {
    matches!(word.len(), 12 | 64) && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `2026-01-02T03:04:05` and whatever follows.
fn is_time(word: &str) -> bool {
    word.len() >= 19
        && word.bytes().zip("0000-00-00T00:00:00".bytes()).all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

fn map_words(text: &str, inside: impl Fn(char) -> bool, map: impl Fn(&str) -> String) -> String {
    let mut mapped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(&inside) {
        let (between, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|char| !inside(char)).unwrap_or(from.len()));
        mapped.push_str(between);
        mapped.push_str(&map(word));
        rest = after;
    }
    mapped + rest
}

#[cfg(test)]
mod tests {
    use super::normal;
    use std::path::Path;

    #[test]
    fn only_what_changes_is_replaced() {
        let normal = |text| normal(text, "rt", Path::new("/a/rt"));
        assert_eq!(normal("rt create: /a/rt: start rt-x"), "RUNTIME create: RUNTIME: start RUNTIME-x");
        assert_eq!(normal("0123456789ab deadbeef"), "ID deadbeef");
        assert_eq!(normal("at 2026-01-02T03:04:05.678Z, 12:00"), "at TIME, 12:00");
    }
}
