//! The command line.
//!
//! The tables say what can be said. `parse` takes an argv apart by them in two steps: [`normalise`] settles every
//! spelling that callers use, then each value is checked. clap is built from the same tables, but only where a person
//! reads: help, man pages, completions, suggestions.

mod args;
mod found;
mod global;
mod normalise;
mod parser;
mod table;
#[cfg(test)]
mod tests;
mod usage;
mod values;

pub use args::{
    CheckArgs, CreateArgs, DeleteArgs, EventsArgs, ExecArgs, GcArgs, IdArgs, KillArgs, ListArgs, ListFormat, PsArgs,
    RunArgs, SpecArgs, StartArgs, StatsArgs, StatsFormat, UpdateArgs,
};
pub use global::{CgroupManager, Global, LogFormat, LogLevel, Rootless};
pub use normalise::normalise;
pub use parser::command_for_docs;
pub use usage::Usage;

use found::Found;
use normalise::Words;
use std::ffi::{OsStr, OsString};
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
    Start(StartArgs),
    Run(RunArgs),
    Exec(ExecArgs),
    State(IdArgs),
    Kill(KillArgs),
    Pause(IdArgs),
    Resume(IdArgs),
    Update(UpdateArgs),
    Ps(PsArgs),
    Events(EventsArgs),
    Stats(StatsArgs),
    Delete(DeleteArgs),
    List(ListArgs),
    Gc(GcArgs),
    Spec(SpecArgs),
    Check(CheckArgs),
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
    let mut words = normalise::split(argv);
    let mut found = Found::globals(std::mem::take(&mut words.globals))?;
    let (version, help) = (found.switch("version"), found.switch("help"));
    let global = Global::from_found(&mut found);
    if global.root.as_deref() == Some(Path::new("/")) {
        let message = "--root must not be /: state would be mixed with the system's files";
        return Err(Usage::new(message.to_owned(), None));
    }
    let command = if version {
        Ok(Command::Version)
    } else if help {
        Ok(help_of(words.command.as_deref()))
    } else {
        parse_command(words)
    };
    match command {
        Ok(command) => Ok(Invocation { global, command }),
        Err(usage) => Err(Usage { global: Some(global), ..usage }),
    }
}

fn parse_command(words: Words) -> Result<Command, Usage> {
    let Some(name) = words.command else {
        return Ok(help_of(None));
    };
    if name == "help" {
        return Ok(help_of(words.positionals.first().map(OsString::as_os_str)));
    }
    let Some(verb) = name.to_str().and_then(table::verb) else {
        return Err(Usage::unknown_command(&name));
    };
    if words.flags.iter().any(|seen| seen.is("help")) {
        return Ok(help_of(Some(&name)));
    }
    let mut found = Found::command(verb, words.flags, words.positionals)?;
    build(verb, &mut found)
}

fn build(verb: &Verb, f: &mut Found) -> Result<Command, Usage> {
    Ok(match verb.name {
        "create" => Command::Create(CreateArgs::from_found(f)),
        "start" => Command::Start(StartArgs::from_found(f)),
        "run" => Command::Run(RunArgs::from_found(f)),
        "exec" => {
            let exec = ExecArgs::from_found(f);
            if exec.command.is_empty() && exec.process.is_none() {
                let message = "process args cannot be empty: name a command or a --process FILE";
                return Err(Usage::new(message.to_owned(), Some(verb)));
            }
            Command::Exec(exec)
        }
        "state" => Command::State(IdArgs::from_found(f)),
        "kill" => Command::Kill(KillArgs::from_found(f)),
        "pause" => Command::Pause(IdArgs::from_found(f)),
        "resume" => Command::Resume(IdArgs::from_found(f)),
        "update" => Command::Update(UpdateArgs::from_found(f)),
        "ps" => Command::Ps(PsArgs::from_found(f)),
        "events" => Command::Events(EventsArgs::from_found(f)),
        "stats" => {
            if f.switch("json") && f.switch("prom") {
                return Err(Usage::new("--json and --prom are two formats: name one".to_owned(), Some(verb)));
            }
            Command::Stats(StatsArgs::from_found(f))
        }
        "delete" => Command::Delete(DeleteArgs::from_found(f)),
        "list" => Command::List(ListArgs::from_found(f)),
        "gc" => Command::Gc(GcArgs::from_found(f)),
        "spec" => Command::Spec(SpecArgs::from_found(f)),
        "check" => Command::Check(CheckArgs::from_found(f)),
        "completion" => Command::Completion(match f.positional() {
            Some(shell) if shell == "zsh" => Shell::Zsh,
            Some(shell) if shell == "fish" => Shell::Fish,
            _ => Shell::Bash,
        }),
        "features" => Command::Features,
        name => unreachable!("{name} has a row in the table but no arm here"),
    })
}

fn help_of(name: Option<&OsStr>) -> Command {
    let verb = name.and_then(OsStr::to_str).and_then(table::verb);
    let mut command = match verb {
        Some(verb) => parser::command(verb).bin_name(format!("rt {}", verb.name)),
        None => command_for_docs(),
    };
    Command::Help(command.render_help().to_string())
}
