//! Many short containers, several at a time: what happens once in a thousand runs happens here.

use rt_integration::{Sandbox, sandbox};
use std::time::Instant;

/// `$RT_STRESS_RUNS` changes it, for emulated machines.
const RUNS: usize = 2000;
const AT_A_TIME: usize = 8;

/// None hangs (the harness kills and tells), none fails, and the sandbox finds nothing left.
#[test]
fn programs_that_end_at_once() {
    let runs = std::env::var("RT_STRESS_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(RUNS);
    let sandbox = sandbox!();
    let began = Instant::now();
    many(&sandbox, runs);
    println!("{runs} runs, {AT_A_TIME} at a time: {:.1} s", began.elapsed().as_secs_f64());
}

fn many(sandbox: &Sandbox, runs: usize) {
    let bundles: Vec<_> = (0..AT_A_TIME).map(|slot| sandbox.bundle(&format!("s{slot}")).args(["true"])).collect();
    let mut running: Vec<_> = bundles.iter().map(|bundle| Some(bundle.spawn(&[]))).collect();
    for k in 0..runs {
        let slot = k % AT_A_TIME;
        let out = running[slot].take().expect("one in each slot").wait().ok();
        assert_eq!((out.stdout(), out.stderr()), (String::new(), String::new()), "run {k}");
        // The id is free the moment its run has ended.
        if k + AT_A_TIME < runs {
            running[slot] = Some(bundles[slot].spawn(&[]));
        }
    }
}
