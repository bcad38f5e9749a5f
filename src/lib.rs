//! `rt`, an OCI container runtime. See ARCHITECTURE.md for the map.

mod cgroups;
mod check;
pub mod cli;
mod commands;
mod confine;
mod deadline;
pub mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handover;
mod helper;
mod hooks;
mod host;
mod launch;
mod log;
mod namespaces;
mod net;
mod plan;
mod proc;
mod rootfs;
pub mod seal;
mod seccomp;
mod spec;
mod state;
mod stats;
#[allow(unsafe_code)]
mod sys;
mod terminal;
mod time;

use cli::{Global, LogFormat, LogLevel, Usage};
use commands::App;
use log::Log;
use std::ffi::OsString;
pub use sys::exec::Strings;

/// Runs a command line and returns the exit code. `begun` is what came of the steps before, of which
/// [`seal::ensure`] is the last.
pub fn main(argv: Vec<OsString>, begun: Result<(), fault::Fault>) -> u8 {
    let invocation = match cli::parse(argv) {
        Ok(invocation) => invocation,
        Err(usage) => return explain(&usage),
    };
    let log = match open_log(&invocation.global) {
        Ok(log) => log,
        Err(error) => return fail(&Log::stderr(), &error, 1),
    };
    let code = commands::failure_code(&invocation.command);
    if let Err(fault) = begun {
        return fail(&log, &fault.into(), code);
    }
    let app = match App::new(invocation.global, log) {
        Ok(app) => app,
        Err((error, log)) => return fail(&log, &error, code),
    };
    match commands::run(&app, invocation.command) {
        Ok(code) => code,
        Err(error) => fail(&app.log, &error, code),
    }
}

fn open_log(global: &Global) -> anyhow::Result<Log> {
    let debug = global.log_level == Some(LogLevel::Debug);
    Log::open(global.log.as_deref(), global.log_format == LogFormat::Json, debug)
}

#[cold]
fn fail(log: &Log, error: &anyhow::Error, code: u8) -> u8 {
    log.error(error);
    code
}

/// A command line that makes no sense: told to the person, and to the log if there is one.
#[cold]
fn explain(usage: &Usage) -> u8 {
    if let Some(Ok(log)) = usage.global.as_ref().filter(|global| global.log.is_some()).map(open_log) {
        log.record_error(&usage.message);
    }
    if usage.to_stderr {
        eprint!("{}", usage.text);
    } else {
        print!("{}", usage.text);
    }
    usage.exit_code
}
