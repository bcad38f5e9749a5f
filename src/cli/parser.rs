//! The tables as clap commands. Only what an invocation names is built: a parser of every command costs more than
//! the rest of a `state`.

use super::table::{Flag, GLOBALS, Kind, Positional, VERBS, Value, Verb};
use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, Command, value_parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// Every command with every flag, for help, man pages and completions.
pub fn command_for_docs() -> Command {
    globals()
        .about("Runs containers as the OCI runtime specification describes them")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .disable_version_flag(true)
        .subcommands(
            VERBS
                .iter()
                .map(|verb| command(verb).bin_name(format!("rt {}", verb.name))),
        )
}

/// The parser of what stands before the command.
pub(super) fn globals() -> Command {
    bare("rt").args(GLOBALS.iter().map(arg))
}

/// The parser of one command.
pub(super) fn command(verb: &Verb) -> Command {
    bare(verb.name)
        .about(verb.about)
        .args(verb.flags().map(arg))
        .args(verb.positionals.iter().map(positional))
}

fn bare(name: &'static str) -> Command {
    // clap's own help and version flags are actions that exit; ours are rows of the tables.
    Command::new(name)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(true)
}

fn arg(flag: &Flag) -> Arg {
    let mut arg = Arg::new(flag.long)
        .long(flag.long)
        .help(flag.help)
        .hide(flag.hidden);
    if let Some(short) = flag.short {
        arg = arg.short(short);
    }
    match flag.kind {
        Kind::Switch => arg.action(ArgAction::SetTrue),
        Kind::One(value) => valued(arg.action(ArgAction::Set), value),
        Kind::Many(value) => valued(arg.action(ArgAction::Append), value),
    }
}

fn valued(arg: Arg, value: Value) -> Arg {
    // Without this a value such as -1 would need care here; the normaliser has joined every value to its flag.
    let arg = arg.allow_hyphen_values(true);
    match value {
        Value::Path(name) => arg
            .value_name(name)
            .value_parser(value_parser!(PathBuf))
            .value_hint(hint(name)),
        Value::Text(name) => arg.value_name(name).value_parser(value_parser!(OsString)),
        Value::Number(name) => arg.value_name(name).value_parser(value_parser!(u32)),
        Value::Choice(name, choices) => arg.value_name(name).value_parser(choice(choices)),
    }
}

fn choice(choices: &'static [&'static str]) -> ValueParser {
    PossibleValuesParser::new(choices).into()
}

fn hint(name: &str) -> clap::ValueHint {
    if name == "DIR" {
        clap::ValueHint::DirPath
    } else {
        clap::ValueHint::FilePath
    }
}

fn positional(positional: &Positional) -> Arg {
    let arg = Arg::new(positional.name)
        .value_name(positional.name)
        .help(positional.help)
        .required(positional.required)
        .action(if positional.many {
            ArgAction::Append
        } else {
            ArgAction::Set
        });
    let arg = if positional.many {
        arg.num_args(0..)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
    } else {
        arg
    };
    if positional.choices.is_empty() {
        arg.value_parser(value_parser!(OsString))
    } else {
        arg.value_parser(choice(positional.choices))
    }
}
