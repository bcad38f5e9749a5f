//! `state.json`: what was written is read again, whatever else a file of that name may hold.

use super::choices::names_in;
use super::{Chance, Choices};
use crate::state::{Record, Status};
use serde_json::{Value, json};
use std::sync::OnceLock;

const EVERY_FIELD: &str = include_str!("../../integration/data/states/0.1.0/every-field/state.json");

fn base() -> &'static (Value, Vec<String>) {
    static MADE: OnceLock<(Value, Vec<String>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let base: Value = serde_json::from_str(EVERY_FIELD).expect("a record");
        let words = names_in(&base);
        (base, words)
    })
}

/// Text that begins as JSON does is the file; else the bytes are edits of a record that has every field.
pub fn state(data: &[u8]) {
    if data.first() == Some(&b'{') {
        return read(data);
    }
    let (base, words) = base();
    let choices = &mut Choices(data);
    let text = choices.edited(base, words).to_string();
    // Cut short, as by a crash of the machine.
    let end = if choices.below(4) == 3 { choices.below(text.len()) } else { text.len() };
    read(&text.as_bytes()[..end]);
    assert!(end == text.len() || serde_json::from_slice::<Record>(&text.as_bytes()[..end]).is_err(), "half a record");
}

fn read(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record>(data) else { return };
    let written = serde_json::to_vec(&record).expect("a record is written");
    let again: Record = serde_json::from_slice(&written).expect("and read");
    assert_eq!(serde_json::to_vec(&again).expect("as before"), written);
    for status in [Status::Creating, Status::Created, Status::Running, Status::Paused, Status::Stopped] {
        let told: Value = serde_json::from_str(&record.for_hooks(status, 1)).expect("what hooks are told is JSON");
        assert_eq!(told["id"], json!(record.id));
        let told = serde_json::to_value(record.told(status, String::new())).expect("what callers are told is JSON");
        assert_eq!(told["status"], json!(status.to_string()));
    }
}
