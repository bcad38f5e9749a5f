//! The tables as clap commands, for help, man pages, completions and for what to suggest to someone who mistyped.
//!
//! A good command line never comes here: building clap's parser for one command cost 40 µs warm
//! and 170 µs in a fresh process, the tables alone 1 and 7 µs.

use super::table::{Flag, GLOBALS, Kind, Positional, VERBS, Value, Verb};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};

/// Every command with every flag, for help, man pages and completions.
pub fn command_for_docs() -> Command {
    globals()
        .about("Runs containers as the OCI runtime specification describes them")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .disable_version_flag(true)
        .subcommands(VERBS.iter().map(|verb| command(verb).bin_name(format!("rt {}", verb.name))))
}

fn globals() -> Command {
    bare("rt").args(GLOBALS.iter().map(arg))
}

/// One command.
pub(super) fn command(verb: &Verb) -> Command {
    bare(verb.name).about(verb.about).args(verb.flags().map(arg)).args(verb.positionals.iter().map(positional))
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
    let mut arg = Arg::new(flag.long).long(flag.long).help(flag.help).hide(flag.hidden);
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
    match value {
        Value::Path(name) => arg.value_name(name).value_hint(hint(name)),
        Value::Text(name) | Value::Number(name) | Value::Integer(name) | Value::Size(name) | Value::Duration(name) => {
            arg.value_name(name)
        }
        Value::Choice(name, choices) => arg.value_name(name).value_parser(choice(choices)),
    }
}

fn choice(choices: &'static [&'static str]) -> PossibleValuesParser {
    PossibleValuesParser::new(choices)
}

fn hint(name: &str) -> clap::ValueHint {
    if name == "DIR" { clap::ValueHint::DirPath } else { clap::ValueHint::FilePath }
}

fn positional(positional: &Positional) -> Arg {
    let mut arg =
        Arg::new(positional.name).value_name(positional.name).help(positional.help).required(positional.required);
    if positional.many {
        arg = arg.num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
    }
    if !positional.choices.is_empty() {
        arg = arg.value_parser(choice(positional.choices));
    }
    arg
}
