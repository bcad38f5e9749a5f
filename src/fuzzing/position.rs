//! From a line and a column to a place, against a writer that knows where it has put each value.

use super::{Chance, Choices};
use crate::spec::{Place, at, place_at};
use serde_json::Value;

/// How many are asked for: each takes a walk through the whole text.
const ASKED: usize = 8;

/// Writes `value` with blanks of the fuzzer's choice, and asks for the places of plain values by where they end.
pub fn position(value: &Value, choices: &mut Choices) {
    let mut writer = Writer { text: String::new(), ends: Vec::new(), choices };
    writer.value(value, Place::default());
    let Writer { text, ends, .. } = writer;
    let first = text.len() % ends.len().max(1);
    for (end, place) in ends.into_iter().skip(first).take(ASKED) {
        let line_start = text[..end].rfind('\n').map_or(0, |at| at + 1);
        let line = text[..end].matches('\n').count() + 1;
        assert_eq!(place_at(&text, line, end - line_start), place, "byte {end} of {text}");
        spellings(&place);
    }
}

/// A place is the same after it was written and read.
pub fn spellings(place: &Place) {
    let written = place.to_string();
    assert_eq!(&at(&written), place, "{written}");
    assert_eq!(Place::leading(&format!("{written}: words")), (place.clone(), written.len()));
}

struct Writer<'a, 'b> {
    text: String,
    ends: Vec<(usize, Place)>,
    choices: &'a mut Choices<'b>,
}

impl Writer<'_, '_> {
    fn put(&mut self, text: &str) {
        self.text.push_str(self.choices.one(&["", "", "", " ", "\n", "\t", "\r\n"]));
        self.text.push_str(text);
    }

    fn value(&mut self, value: &Value, place: Place) {
        match value {
            Value::Array(items) => {
                self.put("[");
                for (i, item) in items.iter().enumerate() {
                    self.put(if i > 0 { "," } else { "" });
                    self.value(item, place.clone().item(i));
                }
                self.put("]");
            }
            Value::Object(fields) => {
                self.put("{");
                for (i, (name, field)) in fields.iter().enumerate() {
                    self.put(if i > 0 { "," } else { "" });
                    self.put(&Value::from(name.as_str()).to_string());
                    self.put(":");
                    self.value(field, place.clone().field(name));
                }
                self.put("}");
            }
            plain => {
                self.put(&plain.to_string());
                self.ends.push((self.text.len(), place));
            }
        }
    }
}
