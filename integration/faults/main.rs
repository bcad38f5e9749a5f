//! What becomes of a container when rt is killed, or a system call of its fails, at each place where that can happen.
//!
//! For each command, as root and as a user: the command is recorded once; then for every call of that record there is
//! one run in which SIGKILL arrives at the call, and one in which it fails. `faults` runs all; `faults COMMAND FORM`
//! one, with `RT_FAULTS_CALL=NUMBER` only that call of it.

mod commands;
mod errnos;
mod matrix;

use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;

const FORMS: [&str; 2] = ["root", "rootless"];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.as_slice() {
        [] => all(),
        [command, form] => {
            let Some(command) = commands::ALL.iter().find(|known| known.name == command) else {
                eprintln!("no command {command}");
                return ExitCode::FAILURE;
            };
            match matrix::run(command, form == "rootless") {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(why) => {
                    println!("{} {form}: skipped: {why}", command.name);
                    ExitCode::SUCCESS
                }
            }
        }
        _ => {
            eprintln!("usage: faults [COMMAND FORM]");
            ExitCode::FAILURE
        }
    }
}

/// Every command in every form, a process for each, as many at a time as there are processors.
fn all() -> ExitCode {
    let jobs = FORMS.iter().flat_map(|form| commands::ALL.iter().map(move |command| (command.name, *form)));
    let jobs: Mutex<Vec<_>> = Mutex::new(jobs.rev().collect());
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some((command, form)) = { jobs.lock().expect("no panic").pop() } {
            let me = std::env::current_exe().expect("procfs");
            let out = Command::new(me).args([command, form]).stderr(Stdio::inherit()).output().expect("a process");
            print!("{}", String::from_utf8_lossy(&out.stdout));
            if !out.status.success() {
                failed.lock().expect("no panic").push(format!("{command} {form}"));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no panic");
    if failed.is_empty() {
        println!("faults: every call of every command is clean");
        return ExitCode::SUCCESS;
    }
    println!("faults: not clean: {}", failed.join(", "));
    ExitCode::FAILURE
}
