//! `engines NAME… --rt PATH --runc PATH`: each operation of an engine with rt as its runtime and then with runc, and where
//! the two differ.
//!
//! A difference that the engine's table of known ones does not explain is a failure, and so are one explained there that
//! did not show and an operation whose exit code is not the one that it states. The engines must be installed; what they
//! keep lies in a folder below /var/tmp. `--native` leaves out what needs every cgroup controller, systemd or a bridge;
//! else `--whole` adds what takes long there; `--only TEXT`, which may come several times, all operations but those with TEXT in their name.
//! Its scripts call it for `daemon PROGRAM ARGUMENT…` and `ended PROGRAM`.

mod buildah;
mod compare;
mod containerd;
mod cri;
mod daemon;
mod docker;
mod known;
mod outcome;
mod podman;

use compare::{Engine, Tally};
use std::path::PathBuf;
use std::process::ExitCode;

/// All there are; a name on the command line chooses one.
const ENGINES: [&Engine; 7] = [
    &docker::ENGINE,
    &docker::CGROUPFS,
    &podman::ENGINE,
    &podman::ROOTLESS,
    &buildah::ENGINE,
    &containerd::ENGINE,
    &cri::ENGINE,
];

/// What the command line says.
pub struct Options {
    pub rt: PathBuf,
    pub runc: PathBuf,
    pub native: bool,
    pub whole: bool,
    pub only: Vec<String>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["daemon", ..] => daemon::start(&words[1..]),
        ["ended", program] => daemon::ended(program),
        _ => return compare(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> ExitCode {
    let (engines, options) = match arguments() {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("engines: {error}");
            return ExitCode::from(2);
        }
    };
    let mut tally = Tally::default();
    for engine in engines {
        match engine.compare(&options) {
            Ok(one) => tally.add(&one),
            Err(error) => {
                eprintln!("engines: {}: {error}", engine.name);
                return ExitCode::from(2);
            }
        }
    }
    println!("{tally}");
    if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments() -> Result<(Vec<&'static Engine>, Options), String> {
    let (mut engines, mut rt, mut runc, mut only) = (Vec::new(), None, None, Vec::new());
    let (mut native, mut whole) = (false, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--rt" => rt = Some(absolute(&value()?)?),
            "--runc" => runc = Some(absolute(&value()?)?),
            "--only" => only.push(value()?),
            "--native" => native = true,
            "--whole" => whole = true,
            name => engines.push(*ENGINES.iter().find(|engine| engine.name == name).ok_or_else(|| {
                let names: Vec<_> = ENGINES.iter().map(|engine| engine.name).collect();
                format!("no engine {name:?}; there are {}", names.join(", "))
            })?),
        }
    }
    let missing = |what| format!("{what} PATH is missing");
    let (rt, runc) = (rt.ok_or(missing("--rt"))?, runc.ok_or(missing("--runc"))?);
    Ok((engines, Options { rt, runc, native, whole, only }))
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    std::fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// What people copy is what the operations ran with.
    #[test]
    fn the_guide_shows_the_files_that_are_used() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let guide = fs::read_to_string(docs.join("engines.md")).expect("the guide");
        for folder in fs::read_dir(docs.join("engines")).expect("docs/engines") {
            for file in fs::read_dir(folder.expect("an entry").path()).expect("a folder") {
                let file = file.expect("an entry").path();
                let text = fs::read_to_string(&file).expect("text");
                assert!(guide.contains(&format!("\n{text}```\n")), "docs/engines.md is without {}", file.display());
            }
        }
    }
}
