//! The command line.
//!
//! `parse` takes an argv apart in two steps: [`normalise`] settles every spelling that callers use, then clap checks
//! what is left against the tables. Nothing is built for commands that were not named.

mod args;
mod global;
mod normalise;
mod parser;
mod table;
#[cfg(test)]
mod tests;
mod usage;

pub use args::{
    CreateArgs, DeleteArgs, ExecArgs, IdArgs, KillArgs, ListArgs, ListFormat, RunArgs, SpecArgs,
};
pub use global::{CgroupManager, Global, LogFormat, LogLevel, Rootless};
pub use normalise::normalise;
pub use parser::command_for_docs;
pub use usage::Usage;

use clap::ArgMatches;
use normalise::Words;
use std::ffi::OsString;
use std::path::Path;
use table::Verb;

/// A command line that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    pub global: Global,
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Create(CreateArgs),
    Start(IdArgs),
    Run(RunArgs),
    Exec(ExecArgs),
    State(IdArgs),
    Kill(KillArgs),
    Delete(DeleteArgs),
    List(ListArgs),
    Spec(SpecArgs),
    Features,
    Completion(Shell),
    Version,
    /// The text to print on standard output.
    Help(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// The completion script, made from [`command_for_docs`] when the flags last changed.
    pub fn script(self) -> &'static str {
        match self {
            Shell::Bash => include_str!("../../completions/rt.bash"),
            Shell::Zsh => include_str!("../../completions/_rt"),
            Shell::Fish => include_str!("../../completions/rt.fish"),
        }
    }
}

/// Understands an argv, the program's name included.
///
/// # Errors
/// What the caller got wrong, ready to print. An id is only required here; whether it is a valid one is not asked.
pub fn parse(argv: Vec<OsString>) -> Result<Invocation, Usage> {
    let words = normalise::split(argv);
    let mut matches = parser::globals()
        .no_binary_name(true)
        .try_get_matches_from(&words.globals)
        .map_err(|error| Usage::from_clap(&error, None))?;
    let (version, help) = (matches.get_flag("version"), matches.get_flag("help"));
    let global = Global::from_matches(&mut matches);
    if global.root.as_deref() == Some(Path::new("/")) {
        return Err(Usage::new(
            "--root must not be /: state would be mixed with the system's files".to_owned(),
            None,
        ));
    }
    let command = if version {
        Ok(Command::Version)
    } else if help {
        Ok(help_of(
            words.positionals.first().or(words.command.as_ref()),
        ))
    } else {
        parse_command(words)
    };
    match command {
        Ok(command) => Ok(Invocation { global, command }),
        Err(usage) => Err(Usage {
            global: Some(global),
            ..usage
        }),
    }
}

fn parse_command(words: Words) -> Result<Command, Usage> {
    let Some(name) = words.command else {
        return Ok(help_of(None));
    };
    if name == "help" {
        return Ok(help_of(words.positionals.first()));
    }
    let Some(verb) = name.to_str().and_then(table::verb) else {
        return Err(unknown_command(name));
    };
    let asked_help = words.flags.iter().any(|flag| flag == "--help");
    if asked_help {
        return Ok(help_of(Some(&name)));
    }
    let argv = words
        .flags
        .into_iter()
        .chain(["--".into()])
        .chain(words.positionals);
    let mut matches = parser::command(verb)
        .no_binary_name(true)
        .try_get_matches_from(argv)
        .map_err(|error| Usage::from_clap(&error, Some(verb)))?;
    build(verb, &mut matches)
}

fn build(verb: &Verb, m: &mut ArgMatches) -> Result<Command, Usage> {
    let empty_id = m
        .try_get_one::<OsString>("ID")
        .is_ok_and(|id| id.is_some_and(|id| id.is_empty()));
    if empty_id {
        return Err(Usage::new(usage::EMPTY_ID.to_owned(), Some(verb)));
    }
    Ok(match verb.name {
        "create" => Command::Create(CreateArgs::from_matches(m)),
        "start" => Command::Start(IdArgs::from_matches(m)),
        "run" => Command::Run(RunArgs::from_matches(m)),
        "exec" => {
            let exec = ExecArgs::from_matches(m);
            if exec.command.is_empty() && exec.process.is_none() {
                let message =
                    "exec needs a command or --process FILE: process args cannot be empty";
                return Err(Usage::new(message.to_owned(), Some(verb)));
            }
            Command::Exec(exec)
        }
        "state" => Command::State(IdArgs::from_matches(m)),
        "kill" => Command::Kill(KillArgs::from_matches(m)),
        "delete" => Command::Delete(DeleteArgs::from_matches(m)),
        "list" => Command::List(ListArgs::from_matches(m)),
        "spec" => Command::Spec(SpecArgs::from_matches(m)),
        "completion" => {
            Command::Completion(match m.get_one::<String>("SHELL").map(String::as_str) {
                Some("zsh") => Shell::Zsh,
                Some("fish") => Shell::Fish,
                _ => Shell::Bash,
            })
        }
        "features" => Command::Features,
        name => unreachable!("{name} has a row in the table but no arm here"),
    })
}

fn help_of(name: Option<&OsString>) -> Command {
    let verb = name.and_then(|name| name.to_str()).and_then(table::verb);
    let mut command = match verb {
        Some(verb) => parser::command(verb).bin_name(format!("rt {}", verb.name)),
        None => command_for_docs(),
    };
    Command::Help(command.render_help().to_string())
}

/// The slow way through the whole tree, which knows the command that was meant.
fn unknown_command(name: OsString) -> Usage {
    match command_for_docs()
        .no_binary_name(true)
        .try_get_matches_from([name.clone()])
    {
        Err(error) => Usage::from_clap(&error, None),
        Ok(_) => Usage::new(format!("no such command: {}", name.to_string_lossy()), None),
    }
}
