//! Many short containers, and many processes in one, several at a time: what happens once in a thousand happens here.

use rt_integration::{Bundle, Running, Sandbox, sandbox, time_limit};
use std::fs;
use std::time::Instant;

/// `$RT_STRESS_RUNS` changes it, for emulated machines.
const RUNS: usize = 2000;
const EXECS: usize = 1000;
const AT_A_TIME: usize = 8;

fn number(full: usize) -> usize {
    std::env::var("RT_STRESS_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(full)
}

/// None hangs (the harness kills and tells), none fails, and the sandbox finds nothing left.
#[test]
fn programs_that_end_at_once() {
    let runs = number(RUNS);
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

/// Into one container, which is paused and resumed meanwhile, while some are killed: nothing hangs, every exit code is
/// right, and nothing is left.
#[test]
fn executions_in_one_container() {
    let execs = number(EXECS);
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let began = Instant::now();
    for round in 0..execs.div_ceil(AT_A_TIME) {
        eight(&sandbox, &bundle, round);
    }
    println!("{execs} execs, {AT_A_TIME} at a time: {:.1} s", began.elapsed().as_secs_f64());
    alone(&sandbox, &bundle);
    bundle.delete_force().ok();
}

/// Half of them begin while the container runs, and half while it is frozen.
fn eight(sandbox: &Sandbox, bundle: &Bundle, round: usize) {
    let status = (round % 255) as i32;
    let text = status.to_string();
    let exec = |words: &[&str]| {
        let mut call = sandbox.command(["exec", "--ignore-paused", "c", "/bin/probe"]);
        call.args(words);
        sandbox.spawn(call)
    };
    let mut all: Vec<(Running, i32)> = vec![
        (exec(&["exit", &text]), status),
        (exec(&["raise", "TERM"]), 128 + libc::SIGTERM),
        (exec(&["raise", "KILL"]), 128 + libc::SIGKILL),
        (exec(&["sleep", "1000"]), 128 + libc::SIGTERM),
    ];
    all[3].0.signal(libc::SIGTERM);
    sandbox.rt(["pause", "c"]).ok();
    let refused = "cannot exec in a paused container (use --ignore-paused to override)";
    bundle.exec(["/bin/true"]).expect(255).fails_with(refused);
    all.push((exec(&["exit", &text]), status));
    all.push((exec(&["raise", "SEGV"]), 128 + libc::SIGSEGV));
    all.push((exec(&["sleep", "1000"]), 128 + libc::SIGTERM));
    // It leaves a process behind that is born frozen, and whose end is nobody's to wait for.
    all.push((exec(&["true"]), 128 + libc::SIGKILL));
    all[6].0.signal(libc::SIGTERM);
    all[7].0.signal(libc::SIGKILL);
    sandbox.rt(["resume", "c"]).ok();
    for (at, (running, code)) in all.into_iter().enumerate() {
        let out = running.wait().expect(code);
        assert_eq!((out.stdout(), out.stderr()), (String::new(), String::new()), "{at} of round {round}");
    }
}

/// What has ended is gone from the cgroup a moment later.
fn alone(sandbox: &Sandbox, bundle: &Bundle) {
    let (file, init) = (sandbox.cgroup_dir("c").join("cgroup.procs"), format!("{}\n", bundle.pid()));
    let until = Instant::now() + time_limit();
    while fs::read_to_string(&file).expect("the cgroup") != init {
        assert!(Instant::now() < until, "left: {:?}", fs::read_to_string(&file));
        std::thread::yield_now();
    }
}
