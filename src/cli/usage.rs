//! What to say to a caller whose words make no command.

use super::table::Verb;
use super::{Global, command_for_docs, parser};
use clap::error::{ContextKind, ContextValue};
use std::ffi::OsStr;

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
        Usage { message, text, to_stderr: true, exit_code: 1, global: None }
    }

    pub(super) fn unknown_flag(word: &OsStr, verb: Option<&Verb>) -> Usage {
        let command = verb.map_or_else(command_for_docs, parser::command);
        let tip = suggest(command, word, ContextKind::SuggestedArg);
        Usage::new(format!("unknown option: {}{tip}", word.to_string_lossy()), verb)
    }

    pub(super) fn unknown_command(name: &OsStr) -> Usage {
        let tip = if ABSENT.iter().any(|known| name == *known) {
            ": rt does not save and restore running containers, as runc does with CRIU".to_owned()
        } else {
            suggest(command_for_docs(), name, ContextKind::SuggestedSubcommand)
        };
        Usage::new(format!("no such command: {}{tip}", name.to_string_lossy()), None)
    }
}

/// Commands of runc that engines call; what they are nearest to by spelling is no help.
const ABSENT: [&str; 2] = ["checkpoint", "restore"];

/// runc's words, which callers know.
pub(super) const EMPTY_ID: &str = "container id cannot be empty";

fn call(verb: &Verb) -> String {
    let mut call = format!("rt {} [OPTIONS]", verb.name);
    for positional in verb.positionals {
        let name = if positional.many { format!("{}...", positional.name) } else { positional.name.to_owned() };
        call += &if positional.required { format!(" {name}") } else { format!(" [{name}]") };
    }
    call
}

/// What clap, given only this word, thinks was meant.
fn suggest(command: clap::Command, word: &OsStr, kind: ContextKind) -> String {
    let error = command.no_binary_name(true).try_get_matches_from([word]).err();
    let similar = match error.as_ref().and_then(|error| error.get(kind)) {
        Some(ContextValue::String(one)) => Some(one),
        // clap sorts them by likeness, the likest last.
        Some(ContextValue::Strings(several)) => several.last(),
        _ => None,
    };
    similar.map(|similar| format!(" (did you mean {similar}?)")).unwrap_or_default()
}
