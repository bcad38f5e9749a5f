//! Bytes as decisions, so that a fuzzer reaches what is behind a parser: documents that are nearly right.

use serde_json::{Map, Value, json};

/// Where decisions come from.
pub trait Chance {
    fn next(&mut self) -> u64;

    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize;

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// A small deterministic generator (xorshift64*).
pub struct Random(pub u64);

impl Chance for Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n
    }
}

/// A fuzzer's bytes; zeros when they are used up.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Up to 255 bytes, as text.
    pub fn text(&mut self) -> String {
        let (text, rest) = self.0.split_at(usize::from(self.byte()).min(self.0.len()));
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    /// Any JSON value, small.
    fn value(&mut self) -> Value {
        let palette = [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(1),
            json!(-1),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(1e300),
            json!(""),
            json!("/"),
            json!(".."),
            json!("/../../x"),
            json!("a\0b"),
            json!("1"),
            json!("max"),
            json!("x".repeat(300)),
            json!([]),
            json!({}),
            json!([{}]),
            json!([""]),
            json!({"a": 1}),
            json!({"\"\\\u{7f}/~": "é"}),
        ];
        match self.below(palette.len() + 4) {
            at if at < palette.len() => palette[at].clone(),
            at if at < palette.len() + 2 => json!(self.text()),
            _ => json!(self.next() as i64),
        }
    }

    /// `base` with some of its parts replaced, removed, added or copied elsewhere. `words` are names for new fields.
    pub fn edited(&mut self, base: &Value, words: &[String]) -> Value {
        let mut value = base.clone();
        for _ in 0..12 {
            if self.is_empty() {
                break;
            }
            let all = pointers(&value);
            let at = all[self.below(all.len())].clone();
            let found = value.pointer(&all[self.below(all.len())]).cloned().unwrap_or_default();
            let Some(place) = value.pointer_mut(&at) else { continue };
            match (self.below(5), &mut *place) {
                (0, Value::Object(fields)) => {
                    let name = if words.is_empty() { self.text() } else { words[self.below(words.len())].clone() };
                    fields.insert(name, self.value());
                }
                (1, Value::Object(fields)) => drop(fields.insert(self.text(), found)),
                (0 | 1, Value::Array(items)) => items.push(found),
                (2, _) if size(&found) < 200 => *place = found,
                (3, _) => drop(removed(&mut value, &at)),
                _ => *place = self.value(),
            }
        }
        value
    }
}

impl Chance for Choices<'_> {
    fn next(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    fn below(&mut self, n: usize) -> usize {
        let high = if n > 256 { usize::from(self.byte()) << 8 } else { 0 };
        (high | usize::from(self.byte())) % n.max(1)
    }
}

/// The JSON pointers of a value and of all in it.
pub fn pointers(value: &Value) -> Vec<String> {
    fn add(value: &Value, at: String, all: &mut Vec<String>) {
        all.push(at.clone());
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| add(item, format!("{at}/{i}"), all));
            }
            Value::Object(fields) => {
                let name = |name: &str| name.replace('~', "~0").replace('/', "~1");
                fields.iter().for_each(|(key, field)| add(field, format!("{at}/{}", name(key)), all));
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    add(value, String::new(), &mut all);
    all
}

fn size(value: &Value) -> usize {
    pointers(value).len()
}

fn removed(value: &mut Value, at: &str) -> Option<Value> {
    let (parent, name) = at.rsplit_once('/')?;
    match value.pointer_mut(parent)? {
        Value::Object(fields) => fields.remove(&name.replace("~1", "/").replace("~0", "~")),
        Value::Array(items) => name.parse().ok().filter(|at| *at < items.len()).map(|at: usize| items.remove(at)),
        _ => None,
    }
}

/// The names of all fields in a document, each once.
pub fn names_in(value: &Value) -> Vec<String> {
    fn add(value: &Value, all: &mut Map<String, Value>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| add(item, all)),
            Value::Object(fields) => fields.iter().for_each(|(key, field)| {
                all.insert(key.clone(), Value::Null);
                add(field, all);
            }),
            _ => {}
        }
    }
    let mut all = Map::new();
    add(value, &mut all);
    all.into_iter().map(|(name, _)| name).collect()
}
