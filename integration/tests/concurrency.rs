//! Commands about the same few containers, 64 at a time: one clear winner, nothing half done, nobody who waits for ever.

use rt_integration::{Bundle, Outcome, Running, Sandbox, sandbox};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::fd::AsRawFd;

/// Rounds of each kind. `$RT_CONCURRENCY_ROUNDS` changes it, for runs of minutes.
const ROUNDS: usize = 3;
const AT_A_TIME: usize = 64;
const CONTAINERS: usize = 8;

fn rounds() -> usize {
    std::env::var("RT_CONCURRENCY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

const EXISTS: &str = "container with given ID already exists";
const GONE: &str = "container does not exist";
const STOPPED: &str = "container not running";
const START_TOO_LATE: &[&str] =
    &["cannot start an already running container", "cannot start a container that has stopped"];

/// What commands of one kind may say when they fail.
type May = (&'static str, &'static [&'static str]);

/// All of them at once; their outcomes in the order of the calls. Each may fail in the words given for its command alone.
fn together(calls: Vec<std::process::Command>, sandbox: &Sandbox, may: &[May]) -> Vec<(String, Outcome)> {
    assert_eq!(calls.len(), AT_A_TIME);
    let name = |call: &std::process::Command| {
        let words = call.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>();
        words[2].clone()
    };
    let running: Vec<(String, Running)> = calls.into_iter().map(|call| (name(&call), sandbox.spawn(call))).collect();
    let ended: Vec<_> = running.into_iter().map(|(name, call)| (name, call.wait())).collect();
    for (name, out) in &ended {
        let words = may.iter().find(|(of, _)| of == name).map_or(&[][..], |(_, words)| words);
        let said = out.stderr();
        assert!(out.status.success() || words.iter().any(|words| said.contains(words)), "{}", out.report());
        assert!(!said.contains("cannot be read") && !said.contains("held by another"), "{}", out.report());
    }
    ended
}

/// How many of a command's calls succeeded.
fn won(ended: &[(String, Outcome)], command: &str) -> usize {
    ended.iter().filter(|(name, out)| name == command && out.status.success()).count()
}

/// `command` about every container, so often; a third of a list is there to look on.
fn calls(sandbox: &Sandbox, bundles: &[Bundle], commands: &[&[&str]]) -> Vec<std::process::Command> {
    let mut calls: Vec<_> = (0..AT_A_TIME - CONTAINERS * commands.len()).map(|_| list(sandbox)).collect();
    for words in commands {
        for bundle in bundles {
            let mut call = sandbox.command([words[0]]);
            call.args(&words[1..]);
            match words[0] {
                "create" => drop(call.arg("--bundle").arg(&bundle.dir).arg(&bundle.id)),
                "exec" => drop(call.args([bundle.id.as_str(), "/bin/exit", "0"])),
                "kill" => drop(call.args([bundle.id.as_str(), "KILL"])),
                _ => drop(call.arg(&bundle.id)),
            }
            calls.push(call);
        }
    }
    calls
}

fn list(sandbox: &Sandbox) -> std::process::Command {
    sandbox.command(["list", "--format", "json"])
}

/// What each list has shown is whole: known ids, each once, each with a status.
fn lists_are_whole(ended: &[(String, Outcome)]) {
    for (_, out) in ended.iter().filter(|(name, _)| name == "list") {
        let listed: Value = serde_json::from_str(&out.stdout()).unwrap_or_else(|_| panic!("{}", out.report()));
        let mut ids: Vec<_> = listed.as_array().into_iter().flatten().map(|item| item["id"].to_string()).collect();
        let known = ["creating", "created", "running", "paused", "stopped"];
        let status = |item: &Value| known.iter().any(|status| item["status"] == *status);
        assert!(listed.as_array().into_iter().flatten().all(status), "{}", out.report());
        assert!(ids.len() <= CONTAINERS && ids.is_sorted(), "{}", out.report());
        ids.dedup();
        assert_eq!(ids.len(), listed.as_array().map_or(0, Vec::len));
        assert_eq!(out.stderr(), "", "{}", out.report());
    }
}

fn bundles<'a>(sandbox: &'a Sandbox, args: &[&str]) -> Vec<Bundle<'a>> {
    let bundles: Vec<_> = (0..CONTAINERS).map(|k| sandbox.bundle(&format!("c{k}")).args(args)).collect();
    bundles.iter().for_each(Bundle::write);
    fs::create_dir_all(sandbox.state_dir()).expect("the directory of containers");
    bundles
}

#[test]
fn creates_of_one_id() {
    let sandbox = sandbox!();
    let bundles = bundles(&sandbox, &["pause"]);
    for _ in 0..rounds() {
        let commands: [&[&str]; 6] = [&["create"]; 6];
        let ended = together(calls(&sandbox, &bundles, &commands), &sandbox, &[("create", &[EXISTS])]);
        lists_are_whole(&ended);
        assert_eq!(won(&ended, "create"), CONTAINERS);
        for bundle in &bundles {
            assert_eq!(bundle.status(), "created");
            bundle.start().ok();
            bundle.delete_force().ok();
        }
    }
}

#[test]
fn create_against_delete() {
    let sandbox = sandbox!();
    let bundles = bundles(&sandbox, &["pause"]);
    for _ in 0..rounds() {
        let commands: [&[&str]; 7] = [
            &["create"],
            &["delete"],
            &["create"],
            &["delete", "--force"],
            &["create"],
            &["delete", "--force"],
            &["delete"],
        ];
        let may: [May; 2] = [("create", &[EXISTS]), ("delete", &[GONE, "that is not stopped: creating"])];
        let ended = together(calls(&sandbox, &bundles, &commands), &sandbox, &may);
        lists_are_whole(&ended);
        assert!(won(&ended, "create") >= CONTAINERS);
        for bundle in &bundles {
            let there = sandbox.state_dir().join(&bundle.id).exists();
            assert_eq!(bundle.create().status.success(), !there, "{} is taken, or is not", bundle.id);
            assert_eq!(bundle.status(), "created");
            bundle.delete_force().ok();
        }
    }
}

#[test]
fn start_against_kill() {
    let sandbox = sandbox!();
    let bundles = bundles(&sandbox, &["pause"]);
    for _ in 0..rounds() {
        bundles.iter().for_each(|bundle| drop(bundle.create().ok()));
        let commands: [&[&str]; 6] = [&["start"], &["kill"], &["start"], &["start"], &["kill"], &["start"]];
        let may: [May; 2] = [("start", START_TOO_LATE), ("kill", &[STOPPED])];
        let ended = together(calls(&sandbox, &bundles, &commands), &sandbox, &may);
        lists_are_whole(&ended);
        assert!(won(&ended, "start") <= CONTAINERS && won(&ended, "kill") >= CONTAINERS);
        for bundle in &bundles {
            bundle.wait_stopped();
            assert_eq!(bundle.status(), "stopped");
            bundle.delete().ok();
        }
    }
}

#[test]
fn delete_against_exec() {
    let sandbox = sandbox!();
    let bundles = bundles(&sandbox, &["pause"]);
    for _ in 0..rounds() {
        bundles.iter().for_each(|bundle| drop(bundle.run_with(&["--detach"]).ok()));
        let commands: [&[&str]; 7] =
            [&["exec"], &["exec"], &["exec"], &["delete", "--force"], &["exec"], &["exec"], &["delete", "--force"]];
        let running: Vec<_> =
            calls(&sandbox, &bundles, &commands).into_iter().map(|call| sandbox.spawn(call)).collect();
        for out in running.into_iter().map(Running::wait) {
            // Either it ran, or the kernel killed it with the container, or it came too late.
            let late = out.code() == 255 && out.stderr().trim_end().lines().count() == 1;
            assert!(out.status.success() || out.code() == 128 + libc::SIGKILL || late, "{}", out.report());
            assert!(!out.stderr().contains("cannot be read"), "{}", out.report());
        }
        assert!(bundles.iter().all(|bundle| !sandbox.state_dir().join(&bundle.id).exists()));
    }
}

#[test]
fn update_against_pause() {
    let sandbox = sandbox!();
    let bundles = bundles(&sandbox, &["pause"]);
    bundles.iter().for_each(|bundle| drop(bundle.run_with(&["--detach"]).ok()));
    let file = |depth: u32| {
        let path = sandbox.dir().join(format!("depth-{depth}.json"));
        fs::write(&path, json!({"unified": {"cgroup.max.depth": depth.to_string()}}).to_string()).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (three, four) = (file(3), file(4));
    for _ in 0..rounds() {
        let commands: [&[&str]; 6] =
            [&["update", "-r", &three], &["pause"], &["resume"], &["update", "-r", &four], &["pause"], &["resume"]];
        let may: [May; 2] = [("pause", &["container paused"]), ("resume", &["container not paused"])];
        let ended = together(calls(&sandbox, &bundles, &commands), &sandbox, &may);
        lists_are_whole(&ended);
        assert_eq!(won(&ended, "update"), 2 * CONTAINERS);
        for bundle in &bundles {
            // In force is what is kept, whichever came last.
            let kept = fs::read_to_string(sandbox.state_dir().join(&bundle.id).join("config.json")).expect("kept");
            let kept: Value = serde_json::from_str(&kept).expect("whole");
            let kept = kept.pointer("/linux/resources/unified/cgroup.max.depth").and_then(Value::as_str).expect("kept");
            let now = fs::read_to_string(sandbox.cgroup_dir(&bundle.id).join("cgroup.max.depth")).expect("the file");
            assert_eq!(now.trim_end(), kept, "{}", bundle.id);
            if bundle.status() == "paused" {
                sandbox.rt(["resume", &bundle.id]).ok();
            }
            assert_eq!(bundle.status(), "running");
        }
    }
    bundles.iter().for_each(|bundle| drop(bundle.delete_force().ok()));
}

/// A `delete` that waited while the container went does not take away what has its name by then.
#[test]
fn a_delete_that_comes_too_late() {
    let sandbox = sandbox!();
    for force in [false, true] {
        let bundle = sandbox.bundle("c").args(["true"]);
        bundle.create().ok();
        let dir = sandbox.state_dir().join("c");
        let held = File::open(&dir).expect("the container's directory");
        lock(&held);
        let words: &[&str] = if force { &["delete", "--force", "c"] } else { &["delete", "c"] };
        let late = sandbox.spawn(sandbox.command(words.iter().copied()));
        waits_for_a_lock(late.pid());
        // As another `delete` does, and then a `create` that has not written its record yet.
        let moved = sandbox.dir().join("moved");
        fs::rename(&dir, &moved).expect("the container is gone");
        let record: Vec<_> =
            fs::read_dir(&moved).expect("its files").map(|file| file.expect("a file").path()).collect();
        let kept = sandbox.dir().join("kept");
        fs::create_dir(&kept).expect("a directory");
        for file in &record {
            fs::rename(file, kept.join(file.file_name().expect("a name"))).expect("moved");
        }
        fs::remove_dir(&moved).expect("empty");
        fs::create_dir(&dir).expect("the next one's directory");
        drop(held);
        match (late.wait(), force) {
            (out, true) => drop(out.ok()),
            (out, false) => drop(out.expect(1).fails_with("container does not exist: c")),
        }
        assert!(dir.exists(), "the next one's directory");
        fs::remove_dir(&dir).expect("empty");
        fs::rename(&kept, &dir).expect("the container again");
        bundle.delete_force().ok();
    }
}

fn lock(file: &File) {
    // SAFETY: flock(2) of an open file.
    assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0);
}

/// Until the kernel lists the process among those that wait for a lock (proc_locks(5)).
fn waits_for_a_lock(pid: i32) {
    let until = std::time::Instant::now() + rt_integration::time_limit();
    let waits = |line: &str| line.contains("->") && line.split_whitespace().any(|word| word == pid.to_string());
    while !fs::read_to_string("/proc/locks").expect("procfs").lines().any(waits) {
        assert!(std::time::Instant::now() < until, "it does not wait");
        std::thread::yield_now();
    }
}
