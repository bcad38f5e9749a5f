//! Runs a built copy of the OCI runtime-tools validation suite against rt, and compares with what RESULTS.md records.
//!
//! The suite's folder (`runtimetest`, the rootfs archives and `validation/*/*.t` in it) is named by `RT_VALIDATION_SUITE`. Each
//! program runs alone: in its own mount, pid and cgroup namespaces, with cgroup v2 alone and an empty /run and /tmp.

mod recorded;
mod verdict;

use recorded::{Recorded, recorded};
use rt_integration::rt_bin;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs, io};
use verdict::{Verdict, judge};

/// Seconds that one program may take; the suite's own waits add up to about 30.
const TIME_LIMIT: u32 = 90;

/// Enters a cgroup of the program's own before the namespaces are made, so that it is their root.
const ENTER: &str =
    "echo 0 >\"$CGROUP/cgroup.procs\" && exec unshare --cgroup --mount --propagation private sh -e -c \"$INSIDE\"";

/// The program runs in a cgroup below: one with processes in it could not hand down controllers.
const INSIDE: &str = "while umount -R /sys/fs/cgroup 2>/dev/null; do :; done
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/program
echo 0 >/sys/fs/cgroup/program/cgroup.procs
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/scratch
exec unshare --pid --fork --kill-child --mount-proc timeout --kill-after=5 \"$LIMIT\" \"$PROGRAM\"";

fn main() -> ExitCode {
    let Some(suite) = env::var_os("RT_VALIDATION_SUITE") else {
        eprintln!("RT_VALIDATION_SUITE names no folder of a built opencontainers/runtime-tools; nothing was run");
        return ExitCode::from(2);
    };
    match run_all(&PathBuf::from(suite)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("validation: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether no program did worse than recorded.
fn run_all(suite: &Path) -> io::Result<bool> {
    let suite = suite.canonicalize()?;
    let hierarchy = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    let hierarchy = hierarchy.into_iter().find(|at| at.join("cgroup.controllers").exists());
    let hierarchy = hierarchy.ok_or_else(|| io::Error::other("no cgroup v2 hierarchy"))?;
    let (mut passed, mut ran, mut worse, mut better) = (0, 0, Vec::new(), Vec::new());
    for Recorded { name, passes, .. } in recorded() {
        let program = suite.join(format!("validation/{name}/{name}.t"));
        let verdict = if program.exists() { run(&suite, &program, hierarchy, name)? } else { Verdict::absent() };
        let change = match (passes, verdict.passed) {
            (true, false) => "  WORSE",
            (false, true) => "  better",
            _ => "",
        };
        println!("{:4}  {name:32}{}{change}", if verdict.passed { "pass" } else { "FAIL" }, verdict.why);
        ran += 1;
        passed += u32::from(verdict.passed);
        if passes && !verdict.passed {
            worse.push(name);
        } else if verdict.passed && !passes {
            better.push(name);
        }
    }
    println!("\nvalidation: {passed} of {ran} pass, {} worse than recorded, {} better", worse.len(), better.len());
    Ok(worse.is_empty())
}

fn run(suite: &Path, program: &Path, hierarchy: &Path, name: &str) -> io::Result<Verdict> {
    let cgroup = hierarchy.join(format!("rt-validation-{}-{name}", std::process::id()));
    fs::create_dir(&cgroup)?;
    let slow = env::var("RT_TEST_SLOW").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    let output = Command::new("sh")
        .args(["-c", ENTER])
        .env("CGROUP", &cgroup)
        .env("INSIDE", INSIDE)
        .env("LIMIT", (TIME_LIMIT * slow).to_string())
        .env("PROGRAM", program)
        .env("RUNTIME", rt_bin())
        .env("TMPDIR", "/run/scratch")
        .current_dir(suite)
        .stdin(Stdio::null())
        .output();
    remove(&cgroup)?;
    output.map(|output| judge(&output))
}

/// Removes a cgroup and those that a program left below it; their processes died with its pid namespace.
fn remove(cgroup: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}
