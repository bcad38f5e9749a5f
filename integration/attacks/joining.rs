//! A container looks at whoever joins it, from the first moment on, for a way along its descriptors to the host
//! (CVE-2016-9962, CVE-2024-21626).

use super::tries;
use rt_integration::{Sandbox, probe_bin, sandbox};
use std::process::Command;

const EXECS: u32 = 500;

/// What a spy tells of those who `join` it, so many times or until one has shown something.
fn spied(sandbox: &Sandbox, times: u32, mut join: impl FnMut(&str)) -> String {
    let bundle = sandbox.bundle("c").args(["spy"]);
    let started = bundle.run_with(&["--detach"]).ok();
    started.wait_stdout("ready");
    let pid = bundle.pid().to_string();
    for _ in 0..times {
        join(&pid);
        if started.stdout().contains("leak") {
            break;
        }
    }
    let told = started.stdout();
    bundle.delete_force().ok();
    told
}

#[test]
fn who_joins_shows_nothing_of_the_host() {
    let sandbox = sandbox!();
    let told = spied(&sandbox, tries(EXECS), |_| drop(sandbox.rt(["exec", "c", "/bin/probe", "true"]).ok()));
    // Each was seen, and none had a descriptor, a root or a working directory of the host's.
    assert!(told.lines().any(|line| line.starts_with("seen")), "{told}");
    assert!(!told.contains("leak"), "{told}");
}

/// The same look at who joins with a directory of the host open.
#[test]
fn the_spy_sees_what_another_shows() {
    let sandbox = sandbox!();
    let told = spied(&sandbox, tries(EXECS * 10), |pid| {
        let mut call = Command::new(probe_bin());
        drop(call.args(["join", pid, "/bin/probe", "sleep", "0.2"]).output().expect("the probe"));
    });
    assert!(told.contains("leak"), "{told}");
}
