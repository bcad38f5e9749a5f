//! A place in a configuration, in both of its spellings: `process.rlimits[1].type` and `/process/rlimits/1/type`.

use std::fmt;

/// One step from a value to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
}

/// The way from the top of the configuration to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(Vec<Step>);

/// The place that `path` names, such as `process.rlimits[1]`; what follows it in the text is left alone.
pub fn at(path: &str) -> Place {
    Place::leading(path).0
}

impl Place {
    /// The field `name` of the object here.
    pub fn field(mut self, name: impl Into<String>) -> Place {
        self.0.push(Step::Field(name.into()));
        self
    }

    /// Item `index` of the list here.
    pub fn item(mut self, index: usize) -> Place {
        self.0.push(Step::Index(index));
        self
    }

    /// The place of the object or list that holds this one; `None` at the top.
    pub fn parent(&self) -> Option<Place> {
        let (_, before) = self.0.split_last()?;
        Some(Place(before.to_vec()))
    }

    /// The field's own name, if this is one.
    pub fn name(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Field(name)) => Some(name),
            _ => None,
        }
    }

    pub fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is an item of a list.
    pub fn is_item(&self) -> bool {
        matches!(self.0.last(), Some(Step::Index(_)))
    }

    /// Whether one of the two holds the other.
    pub fn overlaps(&self, other: &Place) -> bool {
        self.0.iter().zip(&other.0).all(|(own, theirs)| own == theirs)
    }

    /// The JSON pointer (RFC 6901).
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.0 {
            pointer.push('/');
            match step {
                Step::Field(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
                Step::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }

    /// The place with which `text` begins, and where it ends there.
    pub fn leading(text: &str) -> (Place, usize) {
        let mut place = Place::default();
        let mut end = 0;
        loop {
            let rest = &text[end..];
            let taken = match rest.as_bytes().first() {
                Some(b'[') => place.take_bracket(rest),
                Some(b'.') if end > 0 => place.take_word(&rest[1..]).map(|taken| taken + 1),
                _ if end == 0 => place.take_word(rest),
                _ => None,
            };
            match taken {
                Some(taken) => end += taken,
                None => return (place, end),
            }
        }
    }

    fn take_word(&mut self, text: &str) -> Option<usize> {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
        self.0.extend((end > 0).then(|| Step::Field(text[..end].to_owned())));
        (end > 0).then_some(end)
    }

    /// `[3]`, or the quoted key of a map, `["memory.max"]`.
    fn take_bracket(&mut self, text: &str) -> Option<usize> {
        let mut keys = serde_json::Deserializer::from_str(&text[1..]).into_iter::<serde_json::Value>();
        let key = keys.next()?.ok()?;
        let end = 1 + keys.byte_offset();
        let step = match (&key, key.as_u64()) {
            (serde_json::Value::String(name), _) => Step::Field(name.clone()),
            (_, Some(index)) => Step::Index(index as usize),
            _ => return None,
        };
        (text.as_bytes().get(end) == Some(&b']')).then(|| self.0.push(step))?;
        Some(end + 1)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Field(name)
                    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
                {
                    write!(f, "{}{name}", if i > 0 { "." } else { "" })?;
                }
                Step::Field(name) => write!(f, "[{}]", serde_json::Value::from(name.as_str()))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings() {
        for (path, pointer) in [
            ("process.rlimits[1].type", "/process/rlimits/1/type"),
            ("linux.resources.unified[\"memory.max\"]", "/linux/resources/unified/memory.max"),
            ("annotations[\"a/b~c\"]", "/annotations/a~1b~0c"),
            ("annotations[\"\\u0000 \u{301}\"]", "/annotations/\0 \u{301}"),
            ("linux.sysctl[\"\"]", "/linux/sysctl/"),
            ("", ""),
        ] {
            assert_eq!(at(path).pointer(), pointer);
            assert_eq!(at(path).to_string(), path);
        }
        assert_eq!(at("process").field("rlimits").item(1).field("type"), at("process.rlimits[1].type"));
    }

    #[test]
    fn a_place_ends_where_words_begin() {
        for (text, path) in [
            ("mounts[3] /x: type is missing", "mounts[3]"),
            ("process.cwd: Cwd must be", "process.cwd"),
            ("linux.resources.blockIO.weightDevice[].leafWeight: no", "linux.resources.blockIO.weightDevice"),
            ("exec: \"\": not found", "exec"),
            (": x", ""),
        ] {
            assert_eq!(at(text).to_string(), path);
        }
    }

    #[test]
    fn places_that_hold_each_other() {
        assert!(at("process").overlaps(&at("process.cwd")) && at("process.cwd").overlaps(&at("process")));
        assert!(!at("process.cwd").overlaps(&at("process.env")));
    }
}
