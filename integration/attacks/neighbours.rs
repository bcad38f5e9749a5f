//! Other users of the same machine: they start, read and signal nothing that is not theirs, and what they find of a
//! container's state is closed.

use rt_integration::sandbox;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

const STRANGER: u32 = 4321;

#[test]
fn a_stranger_can_do_nothing_with_a_container() {
    let sandbox = sandbox!();
    let secret = json!(["SECRET=yes", "PATH=/bin"]);
    let created = sandbox.bundle("created").set("/process/env", secret.clone()).args(["pause"]);
    created.create().ok();
    let running = sandbox.bundle("running").set("/process/env", secret).args(["pause"]);
    running.run_with(&["--detach"]).ok();
    for id in ["created", "running"] {
        let pid = sandbox.state_dir().join(id);
        let before = rt_integration::snapshot(&pid);
        for words in [
            &["state", id][..],
            &["start", id],
            &["kill", id, "KILL"],
            &["delete", id],
            &["delete", "--force", id],
            &["exec", id, "/bin/true"],
            &["pause", id],
            &["resume", id],
            &["ps", id],
            &["update", "--pids-limit", "3", id],
            &["events", "--stats", id],
        ] {
            let mut call = sandbox.command(words);
            call.uid(STRANGER).gid(STRANGER);
            let out = sandbox.finish(call);
            assert!(out.code() != 0 && out.stdout().is_empty(), "{words:?}: {}", out.report());
        }
        assert_eq!(rt_integration::snapshot(&pid), before, "{id}");
    }
    assert_eq!((created.status(), running.status()), ("created".to_owned(), "running".to_owned()));
    created.delete_force().ok();
    running.delete_force().ok();
}

/// What the stranger's own programs find: no text of the record or the configuration, and nobody who hears `start`.
#[test]
fn a_stranger_reads_and_writes_nothing_of_the_state() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.create().ok();
    let dir = sandbox.state_dir().join("c");
    let try_as_stranger = |words: &[&str]| {
        let mut call = Command::new(sandbox.probe());
        let out = call.args(words).uid(STRANGER).gid(STRANGER).stdin(Stdio::null()).output().expect("the probe");
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).trim_end().to_owned()
    };
    let path = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
    let names: Vec<_> = fs::read_dir(&dir).expect("the state").flatten().map(|entry| entry.file_name()).collect();
    assert!(["state.json", "config.json", "start"].iter().all(|name| names.iter().any(|found| found == name)));
    for name in names.iter().map(|name| name.to_str().expect("UTF-8")) {
        for mode in ["r", "w"] {
            let told = try_as_stranger(&["open-dev", &path(name), mode]);
            // A socket is not opened but connected to.
            assert!(told == "EACCES" || name == "start" && told == "ENXIO", "{name} {mode}: {told}");
        }
    }
    let told = try_as_stranger(&["connect", &format!("unix:{}", path("start"))]);
    assert!(told.contains("EACCES") || told.contains("EPROTOTYPE"), "{told}");
    assert_eq!(try_as_stranger(&["try", "mkdirat", "-100", &path("new"), "0755"]), "EACCES");
    assert_eq!(try_as_stranger(&["try", "unlinkat", "-100", &path("state.json"), "0"]), "EACCES");
    assert_eq!(bundle.status(), "created");
    assert_eq!(try_as_stranger(&["try", "kill", &bundle.pid().to_string(), "9"]), "EPERM");
    let environment = format!("/proc/{}/environ", bundle.pid());
    assert!(try_as_stranger(&["open-dev", &environment, "r"]).starts_with("EACCES"));
    bundle.delete_force().ok();
}

/// A container that is given the state directory's place, under any name, finds none of it writable as a user of its own.
#[test]
fn a_link_in_place_of_a_container() {
    let sandbox = sandbox!();
    let canary = rt_integration::Canary::new(&sandbox);
    let root = sandbox.state_dir();
    fs::create_dir_all(&root).expect("a directory");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o711)).expect("chmod");
    symlink(&canary.dir, root.join("c")).expect("a link");
    let bundle = sandbox.bundle("c");
    bundle.create().fails_with("already exists");
    for words in
        [&["delete", "--force", "c"][..], &["delete", "c"], &["start", "c"], &["state", "c"], &["kill", "c", "9"]]
    {
        let out = sandbox.rt(words);
        canary.is_unchanged(|| out.report());
    }
    fs::remove_file(root.join("c")).expect("the link is still there");
}
