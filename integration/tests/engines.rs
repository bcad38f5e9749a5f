//! The calls of containerd, conmon, CRI-O, buildah and BuildKit, word for word, and what they read from the answers.

use rt_integration::{Bundle, Outcome, Sandbox, pty, rt_bin, sandbox};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The process.json of an exec.
fn process(sandbox: &Sandbox, args: &[&str]) -> PathBuf {
    let file = sandbox.dir().join("process.json");
    let process = json!({ "args": args, "cwd": "/", "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"] });
    fs::write(&file, process.to_string()).expect("a file");
    file
}

/// A pid file as Go reads it: digits, and nothing else.
#[track_caller]
fn pid_in(file: &Path) -> i32 {
    let text = fs::read_to_string(file).expect("a pid file");
    assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
    text.parse().expect("a number")
}

/// Both streams in one, as callers have it that ask for combined output: any word on standard error spoils the JSON.
#[track_caller]
fn combined(sandbox: &Sandbox, plain: &Command) -> String {
    let mut call = Command::new("/bin/sh");
    call.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    call.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(plain.get_program()).args(plain.get_args());
    sandbox.finish(call).ok().stdout()
}

/// A call that is given this on its standard input.
fn fed(sandbox: &Sandbox, mut call: Command, input: &str) -> Outcome {
    let file = sandbox.dir().join("input");
    fs::write(&file, input).expect("a file");
    call.stdin(fs::File::open(&file).expect("the file"));
    sandbox.finish(call)
}

/// A console socket as an engine makes it; what comes is one message with one fd.
fn console(sandbox: &Sandbox, name: &str) -> (UnixListener, PathBuf) {
    let path = sandbox.dir().join(name);
    (UnixListener::bind(&path).expect("a socket"), path)
}

/// containerd's shim: the same globals on every call, the log beside the bundle.
struct Shim<'a> {
    sandbox: &'a Sandbox,
    log: PathBuf,
}

impl<'a> Shim<'a> {
    fn new(sandbox: &'a Sandbox) -> Shim<'a> {
        Shim { sandbox, log: sandbox.dir().join("log.json") }
    }

    #[track_caller]
    fn call(&self, args: &[&str]) -> Outcome {
        let mut call = self.sandbox.command(["--log"]);
        call.arg(&self.log).args(["--log-format", "json"]).args(args);
        self.sandbox.finish(call)
    }

    /// The message of the last error in the log, which is never truncated between calls.
    #[track_caller]
    fn last_error(&self) -> String {
        let log = fs::read_to_string(&self.log).expect("the log");
        let mut records = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let last = records.rfind(|record| record["level"] == "error").expect("an error");
        let time = last["time"].as_str().expect("a time");
        assert!(time.len() == "2026-01-02T03:04:05Z".len() && time.ends_with('Z'), "{time}");
        last["msg"].as_str().expect("a message").to_owned()
    }
}

#[test]
fn containerd() {
    let sandbox = sandbox!();
    let shim = Shim::new(&sandbox);
    let bundle = sandbox.bundle("c").args(["trap", "TERM"]);
    bundle.write();
    let (init, exec) = (bundle.dir.join("init.pid"), bundle.dir.join("e1.pid"));
    let created = shim.call(&["create", "--bundle", text(&bundle.dir), "--pid-file", text(&init), "c"]).ok();
    assert_eq!((created.stdout(), created.stderr()), (String::new(), String::new()));
    shim.call(&["start", "c"]).ok();
    created.wait_stdout("ready");
    let state: Value = serde_json::from_str(&shim.call(&["state", "c"]).ok().stdout()).expect("JSON");
    assert_eq!((state["pid"].as_i64(), &state["status"]), (Some(pid_in(&init).into()), &json!("running")));
    assert!(fs::read_to_string(format!("/proc/{}/cgroup", pid_in(&init))).expect("procfs").contains(sandbox.cgroup()));
    let file = process(&sandbox, &["/bin/probe", "pause"]);
    shim.call(&["exec", "--process", text(&file), "--detach", "--pid-file", text(&exec), "c"]).ok();
    let pid = pid_in(&exec);
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok());
    assert!(Command::new("kill").arg(pid.to_string()).status().expect("kill").success());
    assert_eq!(fs::read_to_string(&shim.log).expect("the log"), "", "nothing is logged while all is well");
    // An exec that fails: 255, the words, and no pid file.
    fs::remove_file(&exec).expect("the pid file");
    let file = process(&sandbox, &["nothing"]);
    shim.call(&["exec", "--process", text(&file), "--detach", "--pid-file", text(&exec), "c"]).expect(255);
    assert!(!exec.exists());
    assert!(shim.last_error().contains("executable file not found in $PATH"), "{}", shim.last_error());
    shim.call(&["pause", "c"]).ok();
    shim.call(&["resume", "c"]).ok();
    shim.call(&["kill", "c", "15"]).ok();
    bundle.wait_stopped();
    shim.call(&["kill", "c", "9"]).expect(1);
    assert!(shim.last_error().contains("container not running"), "{}", shim.last_error());
    shim.call(&["kill", "--all", "c", "9"]).ok();
    shim.call(&["delete", "c"]).ok();
    shim.call(&["delete", "c"]).expect(1);
    assert!(shim.last_error().contains("does not exist"), "{}", shim.last_error());
    shim.call(&["kill", "c", "9"]).expect(1);
    assert!(shim.last_error().contains("does not exist"), "{}", shim.last_error());
    let gone = shim.call(&["delete", "--force", "c"]).ok();
    assert_eq!((gone.stdout(), gone.stderr()), (String::new(), String::new()));
}

#[test]
fn containerd_asks_for_a_terminal() {
    let sandbox = sandbox!();
    let shim = Shim::new(&sandbox);
    let bundle = sandbox.bundle("c").args(["pause"]).set("/process/terminal", true);
    bundle.write();
    let (listener, socket) = console(&sandbox, "pty.sock");
    let init = bundle.dir.join("init.pid");
    let create =
        ["create", "--bundle", text(&bundle.dir), "--pid-file", text(&init), "--console-socket", text(&socket)];
    shim.call(&[&create[..], &["--no-pivot", "--no-new-keyring", "c"]].concat()).ok();
    assert_eq!(pty::receive(&listener).expect("a message").1.len(), 1, "exactly one fd");
    shim.call(&["start", "c"]).ok();
    let file = process(&sandbox, &["/bin/probe", "tty"]);
    let mut spec: Value = serde_json::from_slice(&fs::read(&file).expect("the file")).expect("JSON");
    spec["terminal"] = true.into();
    fs::write(&file, spec.to_string()).expect("a file");
    let (listener, socket) = console(&sandbox, "exec.sock");
    let exec = bundle.dir.join("e1.pid");
    let exec = ["--console-socket", text(&socket), "--detach", "--pid-file", text(&exec), "c"];
    shim.call(&[&["exec", "--process", text(&file)], &exec[..]].concat()).ok();
    assert_eq!(pty::receive(&listener).expect("a message").1.len(), 1, "exactly one fd");
    shim.call(&["kill", "--all", "c", "9"]).ok();
    bundle.wait_stopped();
    // The shim's cleanup, after which the shim itself may ask once more.
    shim.call(&["delete", "--force", "c"]).ok();
    shim.call(&["delete", "--force", "c"]).ok();
}

#[test]
fn what_else_go_runc_reads() {
    let sandbox = sandbox!();
    let shim = Shim::new(&sandbox);
    let bundle = sandbox.bundle("c").args(["trap", "TERM"]);
    let created = bundle.create().ok();
    bundle.start().ok();
    created.wait_stdout("ready");
    let json = |args: &[&str]| -> Value {
        let answer = combined(&sandbox, &sandbox.command(args));
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{args:?}: {error}: {answer:?}"))
    };
    let pid = i64::from(bundle.pid());
    assert_eq!(json(&["ps", "--format", "json", "c"]), json!([pid]));
    let table = sandbox.rt(["ps", "--format", "table", "c", "-o", "pid,args"]).ok().lines();
    assert!(table.len() == 2 && table[0].contains("PID") && table[1].contains("trap"), "{table:?}");
    let list = json(&["list", "--format=json"]);
    assert_eq!((&list[0]["id"], &list[0]["pid"]), (&json!("c"), &json!(pid)), "{list}");
    for key in ["status", "bundle", "rootfs", "created"] {
        assert!(list[0][key].is_string(), "{key}: {list}");
    }
    let stats = json(&["events", "--stats", "c"]);
    assert_eq!((&stats["type"], &stats["id"]), (&json!("stats"), &json!("c")));
    // The name of the binary may be absolute and without a flag.
    let mut features = Command::new(rt_bin());
    features.arg("features");
    let features: Value = serde_json::from_str(&combined(&sandbox, &features)).expect("JSON");
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
    let has = |at: &str, word: &str| features.pointer(at).and_then(Value::as_array).expect(at).contains(&word.into());
    assert!(has("/mountOptions", "rro") && has("/linux/namespaces", "user") && has("/linux/namespaces", "time"));
    // An update comes by standard input; with nothing in it nothing changes.
    fed(&sandbox, sandbox.command(["update", "--resources=-", "c"]), "{}").ok();
    let wrong = r#"{"memory": {"limit": "much"}}"#;
    fed(&sandbox, sandbox.command(["update", "--resources=-", "c"]), wrong).expect(1).fails_with("memory.limit");
    // The first line of the error is what a user is told.
    let (images, work) = (sandbox.dir().join("images"), sandbox.dir().join("work"));
    let images = ["--image-path", text(&images), "--work-path", text(&work)];
    let refused = "rt does not save and restore running containers";
    let checkpoint =
        ["--parent-path", "../parent", "--tcp-established", "--ext-unix-sk", "--shell-job", "--file-locks"];
    let checkpoint = [&checkpoint[..], &["--empty-ns", "network", "--leave-running", "c"]].concat();
    let out = shim.call(&[&["checkpoint"], &images[..], &checkpoint].concat()).expect(1);
    assert!(out.stderr().starts_with("no such command: checkpoint: "), "{}", out.report());
    assert!(shim.last_error().contains(refused), "{}", shim.last_error());
    let restore =
        ["--detach", "--pid-file", "pid", "--no-pivot", "-no-subreaper", "--bundle", text(&bundle.dir), "new"];
    shim.call(&[&["restore"], &images[..], &restore].concat()).expect(1);
    assert!(shim.last_error().contains(refused), "{}", shim.last_error());
    assert_eq!(bundle.status(), "running");
    assert!(!sandbox.state_dir().join("new").exists());
    bundle.kill("15").ok();
    bundle.wait_stopped();
    bundle.delete().ok();
}

/// Docker takes what stands before and after "version" for the runtime's name and version.
#[test]
fn docker_reads_the_version() {
    let sandbox = sandbox!();
    let mut call = Command::new(rt_bin());
    call.arg("--version");
    let answer = combined(&sandbox, &call);
    let line = answer.lines().find(|line| line.contains("version")).expect("a version");
    let (name, version) = line.rsplit_once("version").expect("a version");
    assert_eq!((name.trim(), version.trim()), ("rt", env!("CARGO_PKG_VERSION")));
    assert!(answer.lines().any(|line| line.starts_with("commit:")), "{answer}");
}

/// Docker 29 asks for one in every container.
#[test]
fn docker_asks_for_a_time_namespace() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["ns"]).namespace("time", None);
    let own = fs::read_link("/proc/self/ns/time").expect("procfs");
    let out = bundle.run().ok().stdout();
    let line = out.lines().find(|line| line.starts_with("time ")).expect("a time namespace");
    let inode = line.trim_start_matches("time ");
    assert!(!text(&own).contains(inode), "{line}, and the host's is {own:?}");
}

#[test]
fn conmon() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.write();
    let (pid_file, log) = (sandbox.dir().join("pidfile"), sandbox.dir().join("oci-log"));
    let call = |args: &[&str]| {
        let globals = ["--log-format=json", "--log", text(&log)];
        sandbox.rt(globals.iter().chain(args))
    };
    let create = ["create", "--bundle", text(&bundle.dir), "--pid-file", text(&pid_file), "--no-new-keyring", "c"];
    call(&create).ok();
    let pid = pid_in(&pid_file);
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok());
    call(&["start", "c"]).ok();
    let exec_pid = sandbox.dir().join("exec-pid");
    let file = process(&sandbox, &["/bin/probe", "exit", "3"]);
    call(&["exec", "--pid-file", text(&exec_pid), "--process", text(&file), "--detach", "c"]).ok();
    pid_in(&exec_pid);
    for (args, words) in [
        (&["nothing"][..], "executable file not found in $PATH"),
        (&["/bin/nothing"], "no such file or directory"),
        // Podman's exec ends with 126 by "permission denied", and with 255 where no phrase is known to it.
        (&["/etc"], "exec: \"/etc\": is a directory: permission denied"),
        (&["/etc/passwd"], "permission denied"),
    ] {
        fs::remove_file(&log).expect("the log");
        let _ = fs::remove_file(&exec_pid);
        let file = process(&sandbox, args);
        let out = call(&["exec", "--pid-file", text(&exec_pid), "--process", text(&file), "--detach", "c"]);
        out.expect(255).fails_with(words);
        // Podman reads the whole file as one object.
        let record: Value = serde_json::from_slice(&fs::read(&log).expect("the log")).expect("one JSON object");
        assert!(record["msg"].as_str().is_some_and(|msg| msg.contains(words)), "{record}");
        assert!(!exec_pid.exists(), "{args:?}: a pid file for a failed exec");
    }
    // What Podman itself calls.
    call(&["pause", "c"]).ok();
    call(&["resume", "c"]).ok();
    let resources = sandbox.dir().join("resources.json");
    fs::write(&resources, "{}").expect("a file");
    call(&["update", &format!("--resources={}", text(&resources)), "c"]).ok();
    call(&["kill", "--all", "c", "9"]).ok();
    bundle.wait_stopped();
    call(&["delete", "--force", "c"]).ok();
    call(&["delete", "--force", "c"]).ok();
}

/// conmon's own standard streams are the container's, and with them the terminal or further descriptors that it was told of.
#[test]
fn conmon_passes_a_console_and_descriptors() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]).set("/process/terminal", true);
    bundle.write();
    let pid_file = sandbox.dir().join("pidfile");
    let (listener, socket) = console(&sandbox, "console");
    let create =
        ["--cgroup-manager", "disabled", "create", "--bundle", text(&bundle.dir), "--pid-file", text(&pid_file)];
    let more = ["--no-pivot", "--no-new-keyring", "--console-socket", text(&socket), "c"];
    sandbox.rt(create.iter().chain(&more)).ok();
    assert_eq!(pty::receive(&listener).expect("a message").1.len(), 1, "exactly one fd");
    sandbox.rt(["start", "c"]).ok();
    let file = process(&sandbox, &["/bin/probe", "writefd", "3", "through"]);
    let (exec_pid, passed) = (sandbox.dir().join("exec-pid"), sandbox.dir().join("passed"));
    let mut exec = sandbox.command(["exec", "--pid-file", text(&exec_pid), "--process", text(&file), "--detach"]);
    exec.args(["--preserve-fds", "1", "c"]);
    rt_integration::pass(&mut exec, fs::File::create(&passed).expect("a file"), 3);
    sandbox.finish(exec).ok();
    pid_in(&exec_pid);
    rt_integration::wait_text(&passed, "through");
    sandbox.rt(["delete", "--force", "c"]).ok();
}

#[test]
fn the_words_by_which_docker_chooses_its_exit_code() {
    let sandbox = sandbox!();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let bundle = sandbox.bundle("c").plant("/bin/script", "#!/bin/missing\n").plant("/bin/plain", "text");
    fs::set_permissions(bundle.rootfs().join("bin/script"), mode).expect("chmod");
    let mut bundle: Bundle = bundle.plant("/bin/dir/x", "");
    for (program, words) in [
        ("foo", "exec: \"foo\": executable file not found in $PATH"),
        ("/etc", "exec: \"/etc\": is a directory"),
        ("dir", "executable file not found in $PATH"),
        ("/bin/plain", "exec: \"/bin/plain\": permission denied"),
        ("/x", "exec: \"/x\": stat /x: no such file or directory"),
        ("/bin/plain/x", "not a directory"),
        ("/bin/script", "no such file or directory"),
        ("./missing", "no such file or directory"),
    ] {
        bundle = bundle.set("/process/args", json!([program]));
        let pid_file = sandbox.dir().join("pid");
        let out = bundle.run_with(&["--pid-file", text(&pid_file)]).expect(1).fails_with(words);
        assert_eq!(out.stdout(), "");
        assert!(!sandbox.state_dir().join("c").exists(), "{program}");
    }
}

/// To "not a directory" Docker adds what its users have to look for: a volume of a file over a directory, or the reverse.
#[test]
fn the_words_by_which_docker_explains_a_volume_of_the_wrong_kind() {
    let sandbox = sandbox!();
    let (file, dir) = (sandbox.dir().join("file"), sandbox.dir().join("dir"));
    fs::write(&file, "").expect("a file");
    fs::create_dir(&dir).expect("a directory");
    for (kind, source, at, why) in [
        ("bind", text(&file), "/inside/dir", "a file over a directory"),
        ("bind", text(&dir), "/inside/dir/file", "a directory over what is none"),
        ("tmpfs", "tmpfs", "/inside/dir/file", "a directory over what is none"),
    ] {
        let options: &[&str] = if kind == "bind" { &["rbind"] } else { &[] };
        let bundle = sandbox.bundle("c").args(["true"]).plant("/inside/dir/file", "").mount(at, kind, source, options);
        let out = bundle.run().expect(1);
        let words = format!("{at}: cannot be mounted: {why}: not a directory");
        out.fails_with("mounts[").fails_with(&words);
        assert!(!sandbox.state_dir().join("c").exists(), "{at}");
    }
}

/// A setting of the drop-in file that the guide shows.
fn drop_in(name: &str) -> &'static str {
    let file = include_str!("../../docs/engines/cri-o/99-rt.conf");
    let line = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    line.expect("a setting").trim_matches('"')
}

#[test]
fn cri_o() {
    let sandbox = sandbox!();
    let combined = |args: &[&str]| combined(&sandbox, &sandbox.command(args));
    assert!(drop_in("runtime_path").ends_with("/rt") && drop_in("runtime_type") == "oci");
    // The last --root counts.
    let features: Value = serde_json::from_str(&combined(&["features"])).expect("JSON");
    assert!(features["ociVersionMin"].is_string() && features["ociVersionMax"].is_string());
    assert!(features["linux"].is_object());
    let version = combined(&["--root", drop_in("runtime_root"), "--version"]);
    assert!(version.starts_with("rt version ") && version.contains("\nspec: "), "{version}");
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.create().ok();
    bundle.start().ok();
    let file = process(&sandbox, &["/bin/probe", "exit", "5"]);
    sandbox.rt(["exec", "--process", text(&file), "c"]).expect(5);
    assert!(combined(&["state", "c"]).contains("\"status\": \"running\""));
    sandbox.rt(["pause", "c"]).ok();
    sandbox.rt(["resume", "c"]).ok();
    fed(&sandbox, sandbox.command(["update", "--resources", "-", "c"]), "{}").ok();
    let images = ["--file-locks", "--image-path", "/images", "--work-path", "/work", "--leave-running", "c"];
    sandbox.rt([&["checkpoint"], &images[..]].concat()).expect(1);
    sandbox.rt(["kill", "c", "KILL"]).ok();
    bundle.wait_stopped();
    sandbox.rt(["kill", "c", "TERM"]).expect(1).fails_with("container not running");
    sandbox.rt(["kill", "-a", "c", "15"]).ok();
    sandbox.rt(["delete", "--force", "c"]).ok();
    sandbox.rt(["state", "c"]).expect(1).fails_with("container does not exist");
}

#[test]
fn conmon_rs_says_its_globals_twice() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.write();
    let root = format!("--root={}", text(&sandbox.state_dir()));
    let pid_file = sandbox.dir().join("pid");
    let create = [&root, &root, "create", "--bundle", text(&bundle.dir), "--pid-file", text(&pid_file), "c"];
    sandbox.rt(create).ok();
    sandbox.rt([&root, "start", "c"]).ok();
    let exec_pid = sandbox.dir().join("exec-pid");
    // Nothing is parsed after the id.
    let exec =
        [&root, "exec", "-d", "--pid-file", text(&exec_pid), "c", "/bin/probe", "args", "--detach", "-d", "--help"];
    let out = sandbox.rt(exec).ok();
    pid_in(&exec_pid);
    out.wait_stdout("--detach\n-d\n--help\n");
    let (listener, socket) = console(&sandbox, "console");
    let socket = format!("--console-socket={}", text(&socket));
    let pid = format!("--pid-file={}", text(&exec_pid));
    sandbox.rt([&root, &root, "exec", "-d", &socket, "--tty", &pid, "c", "/bin/probe", "tty"]).ok();
    assert_eq!(pty::receive(&listener).expect("a message").1.len(), 1, "exactly one fd");
    sandbox.rt([&root, "delete", "--force", "c"]).ok();
}

#[test]
fn buildah() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["trap", "TERM"]);
    bundle.write();
    let pid_file = sandbox.dir().join("pid");
    let create =
        ["create", "--bundle", text(&bundle.dir), "--pid-file", text(&pid_file), "--no-new-keyring", "--no-pivot", "c"];
    let out = sandbox.rt(create).ok();
    assert_eq!(bundle.status(), "created");
    sandbox.rt(["start", "c"]).ok();
    out.wait_stdout("ready");
    // Init is no child of a runtime that stayed: its parent is whoever reaps for the caller.
    let status = fs::read_to_string(format!("/proc/{}/status", pid_in(&pid_file))).expect("procfs");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).expect("a parent");
    let parent = fs::read_to_string(format!("/proc/{parent}/comm")).expect("procfs");
    assert_ne!(parent.trim(), "rt");
    assert_eq!(bundle.status(), "running");
    sandbox.rt(["kill", "c"]).ok();
    bundle.wait_stopped();
    assert_eq!(bundle.status(), "stopped");
    sandbox.rt(["kill", "c", "SIGKILL"]).expect(1).fails_with("container not running");
    sandbox.rt(["delete", "c"]).ok();
}

#[test]
fn buildkit() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["exit", "6"]);
    bundle.write();
    let (pid_file, log) = (sandbox.dir().join("pid"), sandbox.dir().join("runc-log.json"));
    let run = |flags: &[&str]| {
        let globals = ["--log", text(&log), "--log-format", "json", "run", "--bundle", text(&bundle.dir)];
        sandbox.rt(globals.iter().chain(&["--pid-file", text(&pid_file)]).chain(flags).chain(&["c"]))
    };
    run(&[]).expect(6);
    pid_in(&pid_file);
    assert!(!sandbox.state_dir().join("c").exists());
    run(&["--keep"]).expect(6);
    assert_eq!(bundle.status(), "stopped");
    sandbox.rt(["delete", "c"]).ok();
}

/// BuildKit's debugger: an exec in the foreground with its pid in a file, and a build that is given up.
#[test]
fn buildkit_execs_and_kills() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["trap", "TERM"]);
    let (pid_file, exec_pid) = (sandbox.dir().join("pid"), sandbox.dir().join("exec-pid"));
    let running = bundle.spawn(&["--pid-file", text(&pid_file), "--keep"]);
    running.wait_stdout("ready");
    let file = process(&sandbox, &["/bin/probe", "exit", "5"]);
    sandbox.rt(["exec", "--process", text(&file), "--pid-file", text(&exec_pid), "c"]).expect(5);
    pid_in(&exec_pid);
    // It sends the signal to the process itself.
    let pid = pid_in(&pid_file).to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().expect("kill").success());
    running.wait().expect(137);
    sandbox.rt(["kill", "c", "SIGKILL"]).expect(1).fails_with("container not running");
    sandbox.rt(["delete", "c"]).ok();
}
