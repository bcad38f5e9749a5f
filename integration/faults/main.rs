//! What becomes of a container when rt is killed, or a system call of its fails, at each place where that can happen.
//!
//! For each command on each shape of container, as root and as a user: the command is recorded once; then for every call
//! of that record there is one run in which SIGKILL arrives at the call, and one in which it fails. `faults` runs all;
//! `faults COMMAND SHAPE FORM` one, or all of which `-` stands for; with `RT_FAULTS_CALL=NUMBER` only that call,
//! with `RT_FAULTS_WORDS=1` every error that was printed is shown, with `RT_FAULTS_SHOW=1` every case.

mod commands;
mod errnos;
mod holder;
mod judge;
mod matrix;
mod programs;
mod scene;
mod shapes;
mod words;

use commands::Subject;
use shapes::{Form, Shape};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;

/// One process's work.
struct Job(&'static Subject, &'static Shape, Form);

impl Job {
    fn words(&self) -> [&'static str; 3] {
        [self.0.name, self.1.name, self.2.name()]
    }
}

fn main() -> ExitCode {
    if let Err(why) = rt_integration::trace::is_possible() {
        println!("faults: skipped: {why}");
        return ExitCode::FAILURE;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["job", words @ ..] => match jobs(words).as_slice() {
            [job] => work(job),
            _ => usage(),
        },
        words @ ([] | [_, _, _]) => match jobs(words) {
            none if none.is_empty() => usage(),
            jobs => all(jobs),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: faults [COMMAND SHAPE FORM], of which - is any");
    ExitCode::FAILURE
}

/// All that these words name; each shape with the commands of which a step is its.
fn jobs(words: &[&str]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for shape in shapes::ALL {
        for form in shape.forms {
            let fits = |subject: &&Subject| shape.commands.is_empty() || shape.commands.contains(&subject.name);
            jobs.extend(commands::ALL.iter().filter(fits).map(|subject| Job(subject, shape, *form)));
        }
    }
    let wanted = |job: &Job| job.words().iter().zip(words).all(|(word, wanted)| *wanted == "-" || word == wanted);
    jobs.retain(wanted);
    jobs
}

fn work(Job(subject, shape, form): &Job) -> ExitCode {
    match matrix::run(subject, shape, *form) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            println!("{} {} {}: skipped: {why}", subject.name, shape.name, form.name());
            ExitCode::SUCCESS
        }
    }
}

/// A process for each, as many at a time as there are processors.
fn all(mut jobs: Vec<Job>) -> ExitCode {
    let holder = holder::Holder::start();
    if let Err(why) = &holder {
        println!("faults: nobody holds a namespace to join: {why}");
    }
    let programs = programs::loaded();
    jobs.reverse();
    let jobs = Mutex::new(jobs);
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(job) = { jobs.lock().expect("no panic").pop() } {
            let me = std::env::current_exe().expect("procfs");
            let mut command = Command::new(me);
            command.arg("job").args(job.words()).stderr(Stdio::inherit());
            let out = command.output().expect("a process");
            print!("{}", String::from_utf8_lossy(&out.stdout));
            if !out.status.success() {
                failed.lock().expect("no panic").push(job.words().join(" "));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().expect("no panic");
    failed.extend(programs::more_than(&programs));
    if failed.is_empty() {
        println!("faults: every call of every command is clean");
        return ExitCode::SUCCESS;
    }
    println!("faults: not clean: {}", failed.join(", "));
    ExitCode::FAILURE
}
