//! What to say to a caller whose words make no command.

use super::Global;
use super::table::Verb;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// A command line that cannot be carried out.
#[derive(Debug)]
pub struct Usage {
    /// The error in one line, for the log.
    pub message: String,
    /// All that a person at a terminal should read: the message, a tip, how to call the command.
    pub text: String,
    pub to_stderr: bool,
    pub exit_code: u8,
    /// The global flags if they at least could be read, so that the error reaches the caller's log.
    pub global: Option<Global>,
}

impl Usage {
    pub(super) fn new(message: String, verb: Option<&Verb>) -> Usage {
        let name = verb.map_or("rt".to_owned(), |verb| format!("rt {}", verb.name));
        let call = verb.map_or("rt [OPTIONS] COMMAND".to_owned(), call);
        let text = format!("{message}\n\nUsage: {call}\nTry '{name} --help' for what it takes.\n");
        Usage {
            message,
            text,
            to_stderr: true,
            exit_code: 1,
            global: None,
        }
    }

    pub(super) fn from_clap(error: &Error, verb: Option<&Verb>) -> Usage {
        let message = match error.kind() {
            ErrorKind::MissingRequiredArgument if verb.is_some_and(takes_id) => EMPTY_ID.to_owned(),
            ErrorKind::MissingRequiredArgument => {
                "a shell must be named: bash, zsh or fish".to_owned()
            }
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => bad_value(error),
            ErrorKind::InvalidSubcommand => format!(
                "no such command: {}",
                context(error, ContextKind::InvalidSubcommand)
            ),
            ErrorKind::UnknownArgument => unknown(error),
            _ => first_line(error),
        };
        let tip = suggestion(error).map(|similar| format!(" (did you mean {similar}?)"));
        Usage::new(message + tip.as_deref().unwrap_or(""), verb)
    }
}

/// runc's words, which callers know.
pub(super) const EMPTY_ID: &str = "container id cannot be empty";

fn takes_id(verb: &Verb) -> bool {
    verb.positionals
        .first()
        .is_some_and(|first| first.name == "ID")
}

fn call(verb: &Verb) -> String {
    let mut call = format!("rt {} [OPTIONS]", verb.name);
    for positional in verb.positionals {
        let name = if positional.many {
            format!("{}...", positional.name)
        } else {
            positional.name.to_owned()
        };
        call += &if positional.required {
            format!(" {name}")
        } else {
            format!(" [{name}]")
        };
    }
    call
}

fn bad_value(error: &Error) -> String {
    let flag = context(error, ContextKind::InvalidArg);
    let name = flag
        .trim_start_matches('-')
        .split([' ', '='])
        .next()
        .unwrap_or_default()
        .to_owned();
    let value = context(error, ContextKind::InvalidValue);
    let valid = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            format!(" (use one of: {})", values.join(", "))
        }
        _ if value.is_empty() => String::new(),
        _ => " (not a number in range)".to_owned(),
    };
    if value.is_empty() {
        return format!("--{name} needs a value{valid}");
    }
    format!("invalid {}: {value}{valid}", name.trim_matches(['<', '>']))
}

fn unknown(error: &Error) -> String {
    let what = context(error, ContextKind::InvalidArg);
    if what.starts_with('-') {
        format!("unknown option: {what}")
    } else {
        format!("one argument too many: {what}")
    }
}

fn context(error: &Error, kind: ContextKind) -> String {
    error.get(kind).map(ToString::to_string).unwrap_or_default()
}

fn suggestion(error: &Error) -> Option<String> {
    let found = error
        .get(ContextKind::SuggestedArg)
        .or_else(|| error.get(ContextKind::SuggestedSubcommand))?;
    match found {
        ContextValue::String(one) => Some(one.clone()),
        // clap sorts them by likeness, the likest last.
        ContextValue::Strings(several) => several.last().cloned(),
        _ => None,
    }
}

fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
