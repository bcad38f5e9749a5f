//! From a position in a JSON text to the place of the value there: the typed parser knows only line and column.

use super::place::Place;

/// The place of what stands at `line` and `column` (both from 1, as serde_json counts).
pub fn place_at(text: &str, line: usize, column: usize) -> Place {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = (before + column).min(text.len());
    let mut walk = Walk { frames: Vec::new(), text: text.as_bytes(), at: 0 };
    while walk.at < end {
        walk.step(end);
    }
    walk.place()
}

enum Frame {
    /// An object, and the key whose value is being read, if any.
    Object(Option<String>),
    /// An array, and the index of the element being read.
    Array(usize),
}

struct Walk<'a> {
    frames: Vec<Frame>,
    text: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    /// Takes one token, unless it would leave what ends at `end`.
    fn step(&mut self, end: usize) {
        match self.text[self.at] {
            b'{' => self.frames.push(Frame::Object(None)),
            // The parser complains about a list as a whole at its opening or its closing bracket.
            b'[' if self.at + 1 < end => self.frames.push(Frame::Array(0)),
            b']' => drop(self.frames.pop()),
            b'}' if self.at + 1 < end => drop(self.frames.pop()),
            // About an object at its closing one.
            b'}' => self.forget_key(),
            b',' if self.at + 1 < end => match self.frames.last_mut() {
                Some(Frame::Array(index)) => *index += 1,
                _ => self.forget_key(),
            },
            b'"' => return self.string(end),
            _ => {}
        }
        self.at += 1;
    }

    fn forget_key(&mut self) {
        if let Some(Frame::Object(key)) = self.frames.last_mut() {
            *key = None;
        }
    }

    /// A string: the key of the innermost object if that has none yet.
    fn string(&mut self, end: usize) {
        let start = self.at + 1;
        let mut close = start;
        while close < self.text.len() && self.text[close] != b'"' {
            close += if self.text[close] == b'\\' { 2 } else { 1 };
        }
        let close = close.min(self.text.len());
        if let Some(Frame::Object(key @ None)) = self.frames.last_mut()
            && close < end
        {
            let quoted = self.text.get(self.at..=close).unwrap_or_default();
            let raw = || String::from_utf8_lossy(&self.text[start..close]).into_owned();
            *key = Some(serde_json::from_slice(quoted).unwrap_or_else(|_| raw()));
        }
        self.at = close + 1;
    }

    fn place(&self) -> Place {
        self.frames.iter().fold(Place::default(), |place, frame| match frame {
            Frame::Object(Some(key)) => place.field(key),
            Frame::Object(None) => place,
            Frame::Array(index) => place.item(*index),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::place_at;

    /// The path where `|` stands in `text`.
    fn at(text: &str) -> String {
        let column = text.find('|').unwrap();
        place_at(&text.replace('|', ""), 1, column).to_string()
    }

    #[test]
    fn paths() {
        assert_eq!(at(r#"{"a": {"b": "x"|}}"#), "a.b");
        assert_eq!(at(r#"{"a": [{"t": 1}, {"t": 2|}]}"#), "a[1].t");
        assert_eq!(at(r#"{"a": 1, "b": [1, 2|]}"#), "b[1]");
        assert_eq!(at(r#"{"a": {"b": 1}|}"#), "a");
        assert_eq!(at(r#"{"a": {"b": 1}, "c": 2|}"#), "c");
        assert_eq!(at(r#"{"a": "}],\"{", "b": true|}"#), "b");
        assert_eq!(at(r#"{"a": ["x,y", {"k": "v"}, 3|]}"#), "a[2]");
        assert_eq!(at(r#"{"a": {"b": [|1]}}"#), "a.b");
        assert_eq!(at(r#"{"a": [[], []|]}"#), "a[1]");
        assert_eq!(at("|{}"), "");
        assert_eq!(super::super::at(&at(r#"{"a\"b": {"\\n": 1|}}"#)).pointer(), "/a\"b/\\n");
        assert_eq!(place_at("{\n \"a\": {\n  \"b\": 7\n }\n}", 3, 8).to_string(), "a.b");
    }
}
