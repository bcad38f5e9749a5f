//! `gc`: what a dead rt left goes, and nothing else.

use rt_integration::{Bundle, HostMount, Outcome, Sandbox, both, leaks, sandbox, wait_end};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

fn gc(sandbox: &Sandbox) -> Outcome {
    sandbox.rt(["gc"])
}

/// Says this once as a plan, with nothing changed, and then as done.
fn clears(sandbox: &Sandbox, line: &str) {
    let plan = sandbox.rt(["gc", "--dry-run"]).ok().stdout();
    assert_eq!(plan, format!("{line}: would be removed\n"));
    assert_eq!(sandbox.rt(["gc", "--dry-run"]).ok().stdout(), plan);
    let done = gc(sandbox).ok();
    assert_eq!((done.stdout(), done.stderr()), (format!("{line}: removed\n"), String::new()));
    assert_eq!(gc(sandbox).ok().stdout(), "");
}

/// Calls `rt create` and kills it in a createRuntime hook; before, `meanwhile` is done.
fn half_made(sandbox: &Sandbox, bundle: Bundle, meanwhile: impl FnOnce()) {
    let fifos = ["begun", "end"].map(|name| sandbox.scratch().join(format!("{name}-{}", bundle.id)));
    for path in &fifos {
        assert!(Command::new("mkfifo").args(["-m", "666"]).arg(path).status().expect("mkfifo").success());
    }
    let [begun, end] = &fifos;
    let script = format!("echo $$ > {}; read line < {}", begun.display(), end.display());
    let bundle = bundle.set("/hooks/createRuntime/-", json!({ "path": "/bin/sh", "args": ["sh", "-c", script] }));
    bundle.write();
    let mut call = sandbox.command(["create", "--bundle"]);
    call.arg(&bundle.dir).arg(&bundle.id);
    let create = sandbox.spawn(call);
    // Opening for reading waits for the hook, which is the moment.
    let hook = fs::read_to_string(begun).expect("the hook has begun");
    meanwhile();
    create.signal(libc::SIGKILL);
    create.wait().expect(128 + libc::SIGKILL);
    // The hook is a process of its own, and goes on to its end.
    drop(File::options().write(true).open(end).expect("the fifo"));
    wait_end(hook.trim_end().parse().expect("a number"));
    fifos.iter().for_each(|path| fs::remove_file(path).expect("the fifo"));
}

#[test]
fn a_creation_cut_short() {
    both(|sandbox| {
        half_made(sandbox, sandbox.bundle("c"), || assert_eq!(gc(sandbox).ok().stdout(), ""));
        clears(sandbox, "container c: its maker died before it was made");
        assert!(!sandbox.cgroup_dir("c").exists());
    });
}

#[test]
fn a_directory_without_a_record() {
    let sandbox = sandbox!();
    fs::create_dir_all(sandbox.state_dir().join("c")).expect("a directory");
    clears(&sandbox, "container c: its maker died before it made anything");
}

/// As if `--root` had outlived a reboot: the record of every process and cgroup means something else now.
#[test]
fn what_was_there_before_a_reboot() {
    let sandbox = sandbox!();
    let old = sandbox.bundle("old").args(["true"]);
    old.run_with(&["--keep"]).ok();
    let stranger = sandbox.bundle("new").args(["pause"]);
    stranger.run_with(&["--detach"]).ok();
    let file = |id: &str| sandbox.state_dir().join(id).join("state.json");
    let read = |id: &str| serde_json::from_slice::<Value>(&fs::read(file(id)).expect("a record")).expect("JSON");
    let mut record = read("old");
    fs::remove_dir(sandbox.cgroup_dir("old")).expect("its cgroup");
    // A later container has its cgroup: the same path, and by chance the same inode.
    record["cgroup"] = read("new")["cgroup"].clone();
    for process in ["creator", "init"] {
        record[process]["boot"] = "00000000-0000-0000-0000-000000000000".into();
    }
    fs::write(file("old"), record.to_string()).expect("a record");
    clears(&sandbox, "container old: it was made before the last boot");
    assert_eq!(stranger.status(), "running");

    // `delete` is as careful.
    fs::create_dir(sandbox.state_dir().join("old")).expect("a directory");
    fs::write(file("old"), record.to_string()).expect("a record");
    old.delete_force().ok();
    assert_eq!(stranger.status(), "running");
    stranger.delete_force().ok();
}

/// Their callers have yet to delete them.
#[test]
fn containers_in_use_stay() {
    let sandbox = sandbox!();
    let ended = sandbox.bundle("ended").args(["true"]);
    ended.run_with(&["--keep"]).ok();
    let created = sandbox.bundle("created").args(["pause"]);
    created.create().ok();
    let running = sandbox.bundle("running").args(["pause"]);
    running.run_with(&["--detach"]).ok();
    for flags in [&["gc", "--dry-run"][..], &["gc"]] {
        assert_eq!(sandbox.rt(flags).ok().stdout(), "");
    }
    let status = [&ended, &created, &running].map(|bundle| bundle.status());
    assert_eq!(status, ["stopped", "created", "running"]);
    [ended, created, running].iter().for_each(|bundle| drop(bundle.delete_force().ok()));
}

/// The container's directory is gone, as if somebody had emptied /run: its cgroup says whose it was.
#[test]
fn a_lost_directory() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    let path = format!("{}/made/c", sandbox.cgroup());
    let bundle = bundle.set("/linux/cgroupsPath", path).without_namespace("pid");
    bundle.run_with(&["--detach"]).ok();
    let pid = bundle.pid();
    fs::remove_dir_all(sandbox.state_dir().join("c")).expect("the container's directory");
    let cgroup = sandbox.cgroup_dir("made/c");
    let line = |cgroup: &Path| format!("cgroup {}: container c of it does not exist", cgroup.display());
    let alone = format!("{}, but processes run in it: {pid} (probe): left alone\n", line(&cgroup));
    for flags in [&["gc", "--dry-run"][..], &["gc"]] {
        assert_eq!(sandbox.rt(flags).ok().stdout(), alone);
        assert!(cgroup.exists());
    }
    leaks::end(pid);
    let above = sandbox.cgroup_dir("made");
    // The plan cannot know that the one above will be empty then; it says what is so now.
    let plan = sandbox.rt(["gc", "--dry-run"]).ok().stdout();
    assert_eq!(plan, format!("{}: would be removed\n{}: would be removed\n", line(&cgroup), line(&above)));
    assert_eq!(gc(&sandbox).ok().stdout(), format!("{}: removed\n{}: removed\n", line(&cgroup), line(&above)));
    assert!(!above.exists() && !sandbox.state_dir().join("c").exists());
}

/// Not ours to touch: an unmarked cgroup, that of a container of another `--root`, one above a container's.
#[test]
fn cgroups_of_others_stay() {
    let sandbox = sandbox!();
    let other = sandbox.scratch().join("other");
    let running = sandbox.bundle("c").args(["pause"]).set("/linux/cgroupsPath", format!("{}/made/c", sandbox.cgroup()));
    running.write();
    let mut call = sandbox.command(["--root"]);
    call.arg(&other).args(["run", "--detach", "--bundle"]).arg(&running.dir).arg("c");
    sandbox.finish(call).ok();
    fs::create_dir_all(sandbox.state_dir()).expect("the directory of containers");
    let unmarked = sandbox.cgroup_dir("unmarked");
    fs::create_dir(&unmarked).expect("a cgroup");
    assert_eq!(gc(&sandbox).ok().stdout(), "");
    assert!(unmarked.exists() && sandbox.cgroup_dir("made/c").exists());
    fs::remove_dir(unmarked).expect("a cgroup");
    let mut call = sandbox.command(["--root"]);
    call.arg(&other).args(["delete", "--force", "c"]);
    sandbox.finish(call).ok();
}

/// A cgroup outlives its container's `--root`, whose number the kernel then gives to another tmpfs at the same path.
#[test]
fn a_cgroup_of_a_file_system_that_is_gone() {
    let sandbox = sandbox!();
    let root = sandbox.scratch().join("root");
    let bundle = sandbox.bundle("c").args(["true"]);
    bundle.write();
    let call = |words: &[&str]| {
        let mut call = sandbox.command(["--root"]);
        call.arg(&root).args(words);
        sandbox.finish(call).ok()
    };
    let gone = HostMount::tmpfs(&root, 0, "mode=700");
    call(&["run", "--keep", "--bundle", &bundle.dir.to_string_lossy(), "c"]);
    let number = fs::metadata(&root).expect("--root").dev();
    drop(gone);
    // Another test may be faster than the first of these.
    let mut others = Vec::new();
    while fs::metadata(&root).expect("--root").dev() != number {
        assert!(others.len() < 1000, "nobody got the number of the file system that is gone");
        others.push(HostMount::tmpfs(&root, 0, "mode=700"));
    }
    assert_eq!(call(&["gc"]).stdout(), "");
    fs::remove_dir(sandbox.cgroup_dir("c")).expect("its cgroup");
}
