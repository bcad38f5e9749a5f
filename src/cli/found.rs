//! The checked words of one command line: once a `Found` exists, every value in it is of its table's kind.

use super::normalise::Seen;
use super::table::{Flag, Kind, Positional, Value, Verb};
use super::usage::{EMPTY_ID, Usage};
use super::values;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

pub(super) struct Found {
    flags: Vec<(&'static Flag, Option<OsString>)>,
    positionals: VecDeque<OsString>,
}

impl Found {
    pub fn globals(seen: Vec<Seen>) -> Result<Found, Usage> {
        Ok(Found { flags: check_flags(seen, None)?, positionals: VecDeque::new() })
    }

    pub fn command(verb: &'static Verb, seen: Vec<Seen>, positionals: Vec<OsString>) -> Result<Found, Usage> {
        let flags = check_flags(seen, Some(verb))?;
        check_positionals(verb, &positionals).map_err(|why| Usage::new(why, Some(verb)))?;
        Ok(Found { flags, positionals: positionals.into() })
    }

    pub fn switch(&self, long: &str) -> bool {
        self.flags.iter().any(|(flag, _)| flag.long == long)
    }

    /// The value of a flag; when it was repeated, the last.
    pub fn one(&mut self, long: &str) -> Option<OsString> {
        let last = self.flags.iter_mut().rfind(|(flag, _)| flag.long == long)?;
        last.1.take()
    }

    pub fn path(&mut self, long: &str) -> Option<PathBuf> {
        self.one(long).map(PathBuf::from)
    }

    /// The value of a flag as text, such as one that has choices.
    pub fn text(&self, long: &str) -> Option<&str> {
        let last = self.flags.iter().rfind(|(flag, _)| flag.long == long)?;
        last.1.as_deref().and_then(OsStr::to_str)
    }

    /// Zero if the flag is absent.
    pub fn number(&self, long: &str) -> u32 {
        self.numbers(long).pop().unwrap_or(0)
    }

    /// The value of a flag that is an integer or a size.
    pub fn integer(&self, long: &str) -> Option<i64> {
        self.text(long).and_then(values::size_or_integer)
    }

    pub fn duration(&self, long: &str) -> Option<Duration> {
        self.text(long).and_then(values::duration)
    }

    pub fn numbers(&self, long: &str) -> Vec<u32> {
        let values = self.flags.iter().filter(|(flag, _)| flag.long == long);
        values.filter_map(|(_, value)| number(value.as_deref()?)).collect()
    }

    /// All values of a flag, in order.
    pub fn many(&mut self, long: &str) -> Vec<OsString> {
        let values = self.flags.iter_mut().filter(|(flag, _)| flag.long == long);
        values.filter_map(|(_, value)| value.take()).collect()
    }

    /// The next positional argument.
    pub fn positional(&mut self) -> Option<OsString> {
        self.positionals.pop_front()
    }

    /// All positional arguments not yet asked for.
    pub fn rest(&mut self) -> Vec<OsString> {
        std::mem::take(&mut self.positionals).into()
    }
}

fn check_flags(seen: Vec<Seen>, verb: Option<&'static Verb>) -> Result<Vec<(&'static Flag, Option<OsString>)>, Usage> {
    let mut flags = Vec::with_capacity(seen.len());
    for seen in seen {
        match seen {
            Seen::Unknown(word) => return Err(Usage::unknown_flag(&word, verb)),
            Seen::Known(flag, value) => {
                check_value(flag, value.as_deref()).map_err(|why| Usage::new(why, verb))?;
                flags.push((flag, value));
            }
        }
    }
    Ok(flags)
}

fn check_value(flag: &Flag, value: Option<&OsStr>) -> Result<(), String> {
    let (of, value) = match (flag.kind, value) {
        (Kind::Switch, None) => return Ok(()),
        (Kind::Switch, Some(value)) => (Value::Choice("", &["true", "false"]), value),
        (_, None) => return Err(format!("--{} needs a value", flag.long)),
        (Kind::One(of) | Kind::Many(of), Some(value)) => (of, value),
    };
    let why = match of {
        Value::Number(_) if number(value).is_none() => "not a number in range".to_owned(),
        Value::Integer(_) if value.to_str().and_then(|text| text.parse::<i64>().ok()).is_none() => {
            "not an integer".to_owned()
        }
        Value::Size(_) if value.to_str().and_then(values::size).is_none() => {
            "not a size such as 512m; -1 is no limit".to_owned()
        }
        Value::Duration(_) if value.to_str().and_then(values::duration).is_none() => {
            "not a duration greater than 0, such as 5s".to_owned()
        }
        Value::Choice(_, choices) if !choices.iter().any(|choice| value == *choice) => one_of(choices),
        // An empty path or text is "not given" to Go programs, and callers rely on it nowhere; its user refuses it.
        _ => return Ok(()),
    };
    Err(format!("invalid {}: {} ({why})", flag.long, value.to_string_lossy()))
}

fn check_positionals(verb: &Verb, words: &[OsString]) -> Result<(), String> {
    for (at, positional) in verb.positionals.iter().enumerate() {
        match words.get(at) {
            None if positional.required => return Err(missing(positional)),
            Some(word) if positional.required && word.is_empty() => {
                return Err(missing(positional));
            }
            Some(word) if !fits(positional, word) => {
                let (name, why) = (positional.name.to_lowercase(), one_of(positional.choices));
                return Err(format!("invalid {name}: {} ({why})", word.to_string_lossy()));
            }
            _ => {}
        }
    }
    let takes_all = verb.positionals.last().is_some_and(|last| last.many);
    match words.get(verb.positionals.len()) {
        Some(extra) if !takes_all => Err(format!("one argument too many: {}", extra.to_string_lossy())),
        _ => Ok(()),
    }
}

fn fits(positional: &Positional, word: &OsStr) -> bool {
    positional.choices.is_empty() || positional.choices.iter().any(|choice| word == *choice)
}

fn missing(positional: &Positional) -> String {
    if positional.choices.is_empty() {
        return EMPTY_ID.to_owned();
    }
    format!("{} is missing ({})", positional.name, one_of(positional.choices))
}

fn one_of(choices: &[&str]) -> String {
    format!("use one of: {}", choices.join(", "))
}

fn number(value: &OsStr) -> Option<u32> {
    value.to_str()?.parse().ok()
}
