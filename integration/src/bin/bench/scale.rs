//! What a command costs beside many living containers.

use crate::contenders::Runtime;
use crate::timer::Timer;
use rt_integration::Sandbox;
use std::path::Path;

const POPULATIONS: [usize; 3] = [1, 100, 1000];
const ROUNDS: usize = 20;
/// One more than the population: made, asked and deleted in each round.
const GUEST: &str = "guest";

/// Prints a line for each population.
pub fn print(sandbox: &Sandbox, rt: &Runtime) {
    let mut timer = Timer::new();
    let bundle = sandbox.bundle("scale").args(["pause"]);
    let dir = bundle.dir.clone();
    let mut bundle = Some(bundle);
    // The configuration is kept at create, so one bundle serves them all.
    let mut create = |timer: &mut Timer, id: &str| {
        let changed = bundle.take().map(|b| b.set("/linux/cgroupsPath", format!("{}/{id}", sandbox.cgroup())));
        changed.iter().for_each(|bundle| bundle.write());
        bundle = changed;
        timer.time(&rt.call(&["create".as_ref(), "--bundle".as_ref(), &dir, id.as_ref()]))
    };
    let call = |timer: &mut Timer, words: &[&str]| {
        let words: Vec<&Path> = words.iter().map(Path::new).collect();
        timer.time(&rt.call(&words))
    };
    println!(
        "\n{:<26} {:>9} {:>9} {:>9} {:>9}   (µs, medians)",
        "living containers", "create", "state", "delete -f", "list"
    );
    let mut living = 0;
    for population in POPULATIONS {
        while living < population {
            let id = format!("n{living}");
            create(&mut timer, &id);
            call(&mut timer, &["start", &id]);
            living += 1;
        }
        let mut taken = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            taken[0].extend(create(&mut timer, GUEST));
            taken[1].extend(call(&mut timer, &["state", GUEST]));
            taken[2].extend(call(&mut timer, &["delete", "-f", GUEST]));
            taken[3].extend(call(&mut timer, &["list"]));
        }
        let medians = taken.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
        });
        println!("{population:<26} {:>9.0} {:>9.0} {:>9.0} {:>9.0}", medians[0], medians[1], medians[2], medians[3]);
    }
    for number in 0..living {
        call(&mut timer, &["delete", "-f", &format!("n{number}")]);
    }
    crate::timer::reap_orphans();
}
