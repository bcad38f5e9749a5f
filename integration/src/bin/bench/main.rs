//! `make bench`: what rt costs, as ratios to the floor (floor.rs) and beside every other runtime in $PATH.
//!
//! All contenders take turns in every round, so that whatever disturbs the machine disturbs all of them. Medians are
//! compared; the minimum says how quiet it was. Nothing is asserted: times belong to the machine.
//!
//! `bench [ROUNDS]`, 60 without; 0 for what is no matter of time alone; `bench kills PATH` for what that one leaves when
//! it is killed. The work is done in a mount namespace of its own, with a pure cgroup2 hierarchy and
//! a tmpfs on /run; the sandbox complains if anything is left.

mod contenders;
mod kills;
mod lowest;
mod scale;
mod table;
mod timer;

use contenders::{Contender, Floor, Runtime, Shapes};
use rt_integration::{Sandbox, leaks, rt_bin};
use std::path::Path;
use std::process::ExitCode;
use table::Table;
use timer::Timer;

const ROUNDS: usize = 60;
/// Rounds before those that count: caches and allocators settle.
const WARM: usize = 3;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, path] = words.as_slice()
        && verb == "kills"
    {
        if let Err(why) = kills::of(Path::new(path)) {
            println!("{path}: {why}");
        }
        return ExitCode::SUCCESS;
    }
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let sandbox = match Sandbox::new() {
        Ok(sandbox) => sandbox,
        Err(why) => {
            eprintln!("bench: {why}");
            return ExitCode::FAILURE;
        }
    };
    let shapes = Shapes::make(&sandbox);
    let floor = Floor::new(&sandbox, &shapes);
    let runtimes = Runtime::all(&sandbox, &shapes);
    for runtime in &runtimes {
        println!("{:<8} {}", runtime.name, runtime.version());
    }
    if sandbox.has_controller("memory") {
        lowest::print(&sandbox, &runtimes);
    }
    if rounds == 0 {
        kills::print(&runtimes);
        return ExitCode::SUCCESS;
    }
    let steady = timer::steady();
    println!("{rounds} rounds{}", if steady { "" } else { "; without real-time priority, which would steady them" });
    let mut table = Table::default();
    let mut timer = Timer::new();
    let before = leaks::Before::take(&sandbox.dir());
    // What a runtime that failed has left would be in the next one's way.
    let clear = || {
        if shapes.cgroup.exists() {
            leaks::clean(&before, &shapes.cgroup);
        }
    };
    for round in 0..rounds + WARM {
        let counts = round >= WARM;
        one_life(&floor, &mut timer, &mut table, counts);
        for runtime in &runtimes {
            one_life(runtime, &mut timer, &mut table, counts);
            for shape in ["docker", "default seccomp"] {
                table.add(shape, runtime.name(), timer.time(&runtime.run_of(shape)), counts);
            }
            clear();
        }
        timer::reap_orphans();
    }
    table.print_ratios(&["run", "create", "start", "state", "exec", "delete -f"]);
    table.print_differences("run", &[("docker", "bundles/docker"), ("default seccomp", "the default seccomp profile")]);
    println!("\n{:<26} {:>9} {:>12}", "", "peak RSS", "binary");
    for runtime in &runtimes {
        let size = std::fs::metadata(&runtime.path).map_or(0, |meta| meta.len());
        println!("{:<26} {:>6} kB {:>9} kB", runtime.name, runtime.peak_rss(&floor), size / 1000);
        clear();
    }
    scale::print(&sandbox, &runtimes[0]);
    kills::print(&runtimes);
    if !rt_bin().components().any(|part| part.as_os_str() == "release") {
        println!("\nThis is not a release build of rt: its numbers mean little.");
    }
    if table.failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Each command once, on containers of this contender's.
fn one_life(contender: &impl Contender, timer: &mut Timer, table: &mut Table, counts: bool) {
    for (verb, call) in contender.life() {
        table.add(verb, contender.name(), timer.time(&call), counts);
    }
}
