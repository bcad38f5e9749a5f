//! Containers of another version of rt: the records that every released version wrote (integration/data/states), and what no
//! version wrote.

use rt_integration::{Bundle, Sandbox, rt_bin, sandbox, skip};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory of each recorded container; its parent is named after the version.
fn recorded() -> Vec<PathBuf> {
    let dirs = |dir: &Path| {
        let entries = fs::read_dir(dir).expect("the recorded states").map(|entry| entry.expect("an entry").path());
        let mut dirs: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        dirs.sort();
        dirs
    };
    let versions = dirs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/states"));
    let all: Vec<_> = versions.iter().flat_map(|version| dirs(version)).collect();
    assert!(all.len() >= 10, "{all:?}");
    all
}

fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_else(|error| panic!("{}/{file}: {error}", dir.display()))
}

fn parsed(dir: &Path) -> Value {
    serde_json::from_str(&text(dir, "state.json")).expect("a record")
}

fn name(dir: &Path) -> &str {
    dir.file_name().and_then(|name| name.to_str()).expect("UTF-8")
}

/// A container's directory in the sandbox, as rt makes it.
fn place(sandbox: &Sandbox, id: &str, record: &str, config: &str) -> PathBuf {
    let dir = sandbox.state_dir().join(id);
    fs::DirBuilder::new().recursive(true).mode(0o711).create(&dir).expect("a directory");
    fs::write(dir.join("state.json"), record).expect("a record");
    fs::write(dir.join("config.json"), config).expect("a configuration");
    dir
}

/// The machine has been started anew since: all of them have stopped, whatever they were.
#[test]
fn containers_of_every_version_are_known() {
    let sandbox = sandbox!();
    for dir in recorded() {
        let (id, record) = (name(&dir), parsed(&dir));
        let here = place(&sandbox, id, &text(&dir, "state.json"), &text(&dir, "config.json"));
        let state: Value = serde_json::from_str(&sandbox.rt(["state", id]).ok().stdout()).expect("JSON");
        for field in ["id", "ociVersion", "bundle", "rootfs", "created"] {
            assert_eq!(state[field], record[field], "{id}: {field}");
        }
        assert_eq!((&state["status"], &state["pid"]), (&json!("stopped"), &json!(0)), "{id}");
        assert_eq!(state["annotations"]["org.example.note"], "recorded", "{id}");
        sandbox.rt(["exec", id, "/bin/probe", "true"]).expect(255).fails_with("cannot exec in a stopped container");
        sandbox.rt(["kill", id, "TERM"]).expect(1).fails_with("container not running");
        sandbox.rt(["pause", id]).expect(1).fails_with("container not running");
        let start = match (&record["init"], &record["notify"]) {
            (Value::Null, _) => "creation was interrupted",
            (_, Value::Null) => "has stopped",
            // Its agent is looked for first.
            _ => "linux.seccomp.listenerPath: cannot connect",
        };
        sandbox.rt(["start", id]).expect(1).fails_with(start);
        assert_eq!(text(&here, "state.json"), text(&dir, "state.json"), "only to look changes nothing");
    }
    let list: Value = serde_json::from_str(&sandbox.rt(["list", "--format", "json"]).ok().stdout()).expect("JSON");
    let listed: Vec<_> = list.as_array().expect("a list").iter().map(|item| (&item["id"], &item["status"])).collect();
    assert_eq!(listed.len(), recorded().len());
    assert!(listed.iter().all(|(_, status)| *status == "stopped"), "{listed:?}");
    for (i, dir) in recorded().iter().enumerate() {
        let delete: &[&str] = if i % 2 == 0 { &["delete"] } else { &["delete", "--force"] };
        let out = sandbox.rt(delete.iter().copied().chain([name(dir)])).ok();
        // Hooks run in the bundle, which is not there.
        let hooks = text(dir, "config.json").contains("poststop");
        let warned = out.stderr().starts_with("rt: warning: error running poststop hook #0");
        assert!(warned == hooks && (hooks || out.stderr().is_empty()), "{}", out.report());
        assert!(!sandbox.state_dir().join(name(dir)).exists());
    }
}

/// The fields that the recorded one has, with the values of a container that lives.
fn as_recorded(recorded: &Value, living: &Value) -> Value {
    match (recorded, living) {
        (Value::Object(fields), Value::Object(values)) => {
            let field = |(name, field): (&String, &Value)| {
                let value = values.get(name).map_or_else(|| field.clone(), |value| as_recorded(field, value));
                (name.clone(), value)
            };
            fields.iter().map(field).collect()
        }
        _ => living.clone(),
    }
}

/// Rewrites the record of a container that lives in the form of a recorded one.
fn take_form(bundle: &Bundle, state_dir: &Path, dir: &Path) {
    let file = state_dir.join(&bundle.id).join("state.json");
    let living: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a record")).expect("JSON");
    let mut record = as_recorded(&parsed(dir), &living);
    // What is about other kinds of containers than this one.
    for other in
        ["rdt", "notify", "rootfs_base", "chrooted", "no_process", "oom", "poststop", "cgroup_planned", "unit_planned"]
    {
        if living.get(other).is_none() {
            record.as_object_mut().expect("an object").remove(other);
        }
    }
    if let (Some(cgroup), None) =
        (record.get_mut("cgroup").and_then(Value::as_object_mut), living.pointer("/cgroup/unit"))
    {
        cgroup.remove("unit");
        cgroup.remove("program");
    }
    fs::write(&file, record.to_string()).expect("the record");
}

/// A container whose record has the form of each version: waiting, running, with another process, killed and removed.
#[test]
fn living_containers_of_every_version() {
    let sandbox = sandbox!();
    for (i, dir) in recorded().iter().enumerate().filter(|(_, dir)| parsed(dir)["init"].is_object()) {
        let mut bundle = sandbox.bundle(&format!("c{i}")).args(["pause"]);
        if parsed(dir)["poststart"] == true {
            bundle = bundle.set("/hooks/poststart/-", json!({"path": "/bin/true"}));
        }
        bundle.create().ok();
        take_form(&bundle, &sandbox.state_dir(), dir);
        lives(&sandbox, &bundle, dir);
    }
}

/// A created container's further life, by this version.
fn lives(sandbox: &Sandbox, bundle: &Bundle, dir: &Path) {
    assert_eq!(bundle.status(), "created", "{}", dir.display());
    bundle.start().ok();
    assert_eq!(bundle.status(), "running", "{}", dir.display());
    assert_eq!(bundle.exec(["/bin/probe", "echo", "inside"]).ok().stdout(), "inside\n");
    if sandbox.cgroup_dir(&bundle.id).exists() && !parsed(dir)["cgroup"].is_null() {
        sandbox.rt(["pause", &bundle.id]).ok();
        assert_eq!(bundle.status(), "paused");
        sandbox.rt(["resume", &bundle.id]).ok();
    }
    bundle.kill("KILL").ok();
    bundle.wait_stopped();
    bundle.delete_force().ok();
    if sandbox.cgroup_dir(&bundle.id).exists() {
        assert!(parsed(dir)["cgroup"].is_null(), "{}", dir.display());
        // A record without a cgroup leaves the one that this test's container had all the same.
        fs::remove_dir(sandbox.cgroup_dir(&bundle.id)).expect("an empty cgroup");
    }
}

/// With another binary in $RT_PREVIOUS: its containers, in the hands of this one.
#[test]
fn containers_of_a_previous_binary() {
    let Some(previous) = std::env::var_os("RT_PREVIOUS") else {
        skip!("RT_PREVIOUS names no binary of a previous version");
    };
    let sandbox = sandbox!();
    let call = |words: &[&str], bundle: &Bundle| {
        let mut command: Command = sandbox.command(words);
        command.arg("--bundle").arg(&bundle.dir).arg(&bundle.id);
        let (args, env) =
            (command.get_args().collect::<Vec<_>>(), command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        let mut other = Command::new(&previous);
        other.args(args).env_clear().envs(env).current_dir(sandbox.dir()).stdin(std::process::Stdio::null());
        sandbox.finish(other).ok()
    };
    assert_ne!(Path::new(&previous), rt_bin());
    for (id, words) in [("created", &["create"][..]), ("running", &["run", "--detach"])] {
        let bundle = sandbox.bundle(id).args(["pause"]).set("/annotations/a", "b");
        bundle.write();
        call(words, &bundle);
        assert_eq!(bundle.status(), id);
        if id == "created" {
            bundle.start().ok();
        }
        assert_eq!(bundle.exec(["/bin/probe", "echo", "inside"]).ok().stdout(), "inside\n");
        sandbox.rt(["pause", id]).ok();
        assert_eq!(bundle.status(), "paused");
        sandbox.rt(["resume", id]).ok();
        bundle.kill("KILL").ok();
        bundle.wait_stopped();
        bundle.delete().ok();
    }
}

/// Each damage is told of by the container's name, hides no other container, and is cleared by force alone.
#[test]
fn records_that_cannot_be_read() {
    let sandbox = sandbox!();
    let other = sandbox.bundle("other").args(["pause"]);
    other.run_with(&["--detach"]).ok();
    let dir = recorded().into_iter().find(|dir| name(dir) == "running").expect("it is recorded");
    let (whole, config) = (text(&dir, "state.json"), text(&dir, "config.json"));
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut record = parsed(&dir);
        edit(&mut record);
        record.to_string()
    };
    let cases = [
        ("later", edited(&|record| record["format"] = json!(99)), "format 99 is of a newer version of rt"),
        ("cut", whole[..whole.len() / 2].to_owned(), "EOF while parsing"),
        ("empty", String::new(), "EOF while parsing"),
        ("binary", "\0\0\0\0".to_owned(), "expected value"),
        ("list", "[]".to_owned(), "invalid length"),
        ("type", edited(&|record| record["init"]["pid"] = json!("1")), "invalid type"),
        ("field", edited(&|record| drop(record.as_object_mut().map(|fields| fields.remove("bundle")))), "`bundle`"),
    ];
    for (id, record, words) in &cases {
        let here = place(&sandbox, id, record, &config);
        let named = format!("container {id}: {}", here.join("state.json").display());
        for command in [&["state", id][..], &["exec", id, "true"], &["kill", id], &["start", id], &["delete", id]] {
            sandbox.rt(command).fails_with(&named).fails_with(words);
        }
        sandbox.rt(["create", "--bundle", "/nowhere", id]).expect(1);
        let list = sandbox.rt(["list"]).ok();
        assert!(list.stdout().contains("\nother ") && !list.stdout().contains(id), "{}", list.stdout());
        assert!(list.stderr().contains(&format!("load container {id}: ")), "{}", list.stderr());
        assert!(here.join("state.json").exists());
        let deleted = sandbox.rt(["delete", "--force", id]).ok();
        assert!(deleted.stderr().contains(&named) && deleted.stderr().contains(words), "{}", deleted.stderr());
        assert!(!here.exists());
    }
    // Fields that only a later version knows are no damage.
    let later = edited(&|record| record["of_a_later_version"] = json!({"a": 1}));
    place(&sandbox, "running", &later, &config);
    assert!(sandbox.rt(["state", "running"]).ok().stdout().contains("\"stopped\""));
    sandbox.rt(["delete", "running"]).ok();
    assert_eq!(other.status(), "running");
    other.delete_force().ok();
}

/// What a damaged record still says of a living container is ended and removed.
#[test]
fn a_damaged_record_of_a_living_container() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let file = sandbox.state_dir().join("c/state.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a record")).expect("JSON");
    record["format"] = json!(7);
    record["owner"] = json!("root");
    fs::write(&file, record.to_string()).expect("the record");
    sandbox.rt(["state", "c"]).expect(1).fails_with("container c: ");
    bundle.delete_force().ok();
    assert!(!sandbox.cgroup_dir("c").exists());
}
