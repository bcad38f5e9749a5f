//! `exec`: each flag, each state of the container, and what a hostile container sees of it.

use rt_integration::{Bundle, Outcome, Sandbox, pass, pty, sandbox};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

fn idle<'a>(bundle: Bundle<'a>) -> Bundle<'a> {
    let bundle = bundle.args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    bundle
}

/// `rt exec FLAGS c /bin/probe STEPS`
#[track_caller]
fn exec(sandbox: &Sandbox, flags: &[&str], steps: &str) -> Outcome {
    let words = ["exec"].iter().chain(flags).chain(&["c", "/bin/probe"]).copied();
    sandbox.rt(words.chain(steps.split(' ')))
}

fn file(sandbox: &Sandbox, name: &str, process: &Value) -> String {
    let path = sandbox.dir().join(name);
    fs::write(&path, process.to_string()).expect("a file");
    path.display().to_string()
}

#[test]
fn a_process_from_a_file_is_all_there_is() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c").set("/process/env", json!(["A=1"])));
    let process = json!({
        "cwd": "/tmp",
        "env": ["B=2", "HOME=/"],
        "user": { "uid": 5, "gid": 6, "umask": 63, "additionalGids": [7] },
        "args": "/bin/probe seq cwd -- env -- id -- status NoNewPrivs CapBnd -- limits -- tty 0".split(' ').collect::<Vec<_>>(),
        "capabilities": { "bounding": ["CAP_KILL"] },
        "rlimits": [{ "type": "RLIMIT_CORE", "soft": 3, "hard": 4 }],
        "oomScoreAdj": 300,
    });
    let path = file(&sandbox, "process", &process);
    // The other flags are without effect, as runc has it.
    let out = sandbox.rt(["exec", "--cwd", "/root", "--env", "C=3", "--user", "9", "--process", &path, "c"]).ok();
    let lines = out.lines();
    let id = "uid=5,5,5,5 gid=6,6,6,6 groups=7 umask=0077";
    assert_eq!(lines[..4], ["/tmp", "B=2", "HOME=/", id], "{}", out.report());
    assert!(lines.contains(&"NoNewPrivs:\t0".to_owned()), "{}", out.report());
    assert!(lines.contains(&"CapBnd:\t0000000000000020".to_owned()), "{}", out.report());
    assert!(lines.contains(&"RLIMIT_CORE 3 4".to_owned()), "{}", out.report());
    bundle.delete_force().ok();
}

#[test]
fn a_process_from_a_file_with_a_terminal() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c"));
    let process = json!({ "cwd": "/", "user": { "uid": 0, "gid": 0 }, "args": ["/bin/probe", "tty"], "terminal": true,
        "consoleSize": { "height": 11, "width": 22 } });
    let path = file(&sandbox, "process", &process);
    let out = sandbox.rt(["exec", "--process", &path, "c"]).ok();
    assert_eq!(out.stdout(), "0 tty 11x22\r\n1 tty 11x22\r\n2 tty 11x22\r\n");
    bundle.delete_force().ok();
}

#[test]
fn files_that_are_no_process() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c"));
    let fails = |path: &str, text: &str| _ = sandbox.rt(["exec", "--process", path, "c"]).expect(255).fails_with(text);
    fails("/nothing", "/nothing");
    let plain = |key: &str, value: Value| {
        let mut process = json!({ "cwd": "/", "user": { "uid": 0, "gid": 0 }, "args": ["/bin/true"] });
        process[key] = value;
        process
    };
    for (key, value, text) in [
        ("args", json!([]), "process.args"),
        ("cwd", json!("tmp"), "process.cwd"),
        ("env", json!(["A"]), "process.env[0]"),
        ("user", json!({ "uid": "root" }), "uid"),
        ("rlimits", json!([{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }]), "rlimits[0].type"),
        ("terminal", json!(1), "terminal"),
    ] {
        fails(&file(&sandbox, key, &plain(key, value)), text);
    }
    bundle.delete_force().ok();
}

#[test]
fn flags_that_make_no_sense() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c"));
    let (console, _listener) = socket(&sandbox, "console");
    let cases: &[(&[&str], &str)] = &[
        (&["--cwd", "tmp"], "process.cwd"),
        (&["--cwd", "/nothing"], "/nothing"),
        (&["--env", "A"], "process.env"),
        (&["--user", "root"], "--user \"root\""),
        (&["--user", "0:x"], "--user \"0:x\""),
        (&["--cap", "CAP_NO"], "--cap \"CAP_NO\""),
        (&["--cgroup", "nothing"], "--cgroup nothing"),
        (&["--cgroup", "cpu,memory:nothing"], "--cgroup nothing"),
        (&["--cgroup", "../x"], "must not leave the container's cgroup"),
        (&["--preserve-fds", "1"], "unable to stat preserved-fd 1 (of 1)"),
        (&["--tty", "--detach"], "cannot allocate tty if runc will detach without setting console socket"),
        (&["--console-socket", &console], "cannot use console socket if runc will not detach or allocate tty"),
        (&["--tty", "--console-socket", &console], "cannot use console socket if runc will not detach or allocate tty"),
        (&["--tty", "--detach", "--console-socket", "/nothing"], "--console-socket: cannot connect to /nothing"),
        (&["--pidfd-socket", "/nothing"], "--pidfd-socket: cannot connect to /nothing"),
    ];
    for (flags, text) in cases {
        exec(&sandbox, flags, "true").expect(255).fails_with(text);
    }
    sandbox.rt(["exec", "none", "/bin/true"]).expect(255).fails_with("container does not exist");
    bundle.delete_force().ok();
}

fn socket(sandbox: &Sandbox, name: &str) -> (String, UnixListener) {
    let path = sandbox.dir().join(name);
    (path.display().to_string(), UnixListener::bind(&path).expect("a socket"))
}

#[test]
fn a_label_that_this_host_cannot_give() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c"));
    if !PathBuf::from("/sys/module/apparmor").exists() {
        exec(&sandbox, &["--apparmor", "profile"], "true").expect(255).fails_with("process.apparmorProfile");
    } else {
        exec(&sandbox, &["--apparmor", "no-such-profile"], "true").expect(255).fails_with("no-such-profile");
    }
    if !PathBuf::from("/sys/fs/selinux/enforce").exists() {
        exec(&sandbox, &["--process-label", "a:b:c:d"], "true").expect(255).fails_with("process.selinuxLabel");
    }
    bundle.delete_force().ok();
}

#[test]
fn a_detached_process_and_its_pid_file() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c"));
    let pid_file = sandbox.dir().join("pid");
    let flag = pid_file.display().to_string();
    sandbox.rt(["exec", "--detach", "--pid-file", &flag, "c", "nothing"]).expect(255).fails_with("not found in $PATH");
    assert!(!pid_file.exists(), "written for a program that never ran");
    let out = exec(&sandbox, &["--detach", "--pid-file", &flag], "until TERM").ok();
    out.wait_stdout("ready");
    let text = fs::read_to_string(&pid_file).expect("the pid file");
    let pid: i32 = text.parse().expect("digits and no newline");
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    assert!(cgroup.trim_end().ends_with("/c"), "{cgroup}");
    // In the foreground also.
    exec(&sandbox, &["--pid-file", &flag], "exit 4").expect(4);
    assert_ne!(fs::read_to_string(&pid_file).expect("the pid file"), text);
    // One that cannot be written leaves no process.
    let out = exec(&sandbox, &["--detach", "--pid-file", "/nothing/pid"], "pause").expect(255);
    out.fails_with("cannot write the pid file /nothing/pid");
    let procs = fs::read_to_string(sandbox.cgroup_dir("c").join("cgroup.procs")).expect("the cgroup");
    assert_eq!(procs.lines().count(), 2, "{procs}");
    bundle.delete_force().ok();
}

#[test]
fn no_new_privileges_can_be_added() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c").set("/process/noNewPrivileges", false));
    assert_eq!(exec(&sandbox, &[], "status NoNewPrivs").ok().stdout(), "NoNewPrivs:\t0\n");
    assert_eq!(exec(&sandbox, &["--no-new-privs"], "status NoNewPrivs").ok().stdout(), "NoNewPrivs:\t1\n");
    bundle.delete_force().ok();
}

#[test]
fn codes() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c"));
    for (steps, code) in [("true", 0), ("exit 254", 254), ("exit 255", 255), ("raise SEGV", 139), ("raise KILL", 137)] {
        let out = exec(&sandbox, &[], steps).expect(code);
        assert_eq!(out.stderr(), "", "{steps}");
    }
    exec(&sandbox, &["--detach"], "exit 9").ok();
    bundle.delete_force().ok();
}

/// Its program has not begun, but all else is there.
#[test]
fn into_a_created_container() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.create().ok();
    assert_eq!(exec(&sandbox, &[], "seq hostname -- cwd").ok().stdout(), "probe\n/\n");
    assert_eq!(bundle.status(), "created");
    bundle.start().ok();
    bundle.delete_force().ok();
}

/// Every namespace that init is in, whether it was made, joined or is the host's.
#[test]
fn every_namespace_is_joined() {
    let sandbox = sandbox!();
    let first = idle(sandbox.bundle("first"));
    let of_first = |kind: &str| format!("/proc/{}/ns/{kind}", first.pid());
    let ids = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    let user = sandbox.bundle("c").namespace("user", None);
    let user = user.set("/linux/uidMappings", ids.clone()).set("/linux/gidMappings", ids);
    let time = sandbox.bundle("c").namespace("time", None).set("/linux/timeOffsets/boottime/secs", 1000);
    let joined =
        sandbox.bundle("c").namespace("network", Some(&of_first("net"))).namespace("ipc", Some(&of_first("ipc")));
    let joined = joined.namespace("pid", Some(&of_first("pid")));
    let none = sandbox.bundle("c").without_namespace("network").without_namespace("ipc").without_namespace("cgroup");
    for bundle in [user, time, joined, none] {
        let bundle = idle(bundle);
        let out = exec(&sandbox, &[], "ns").ok();
        for line in out.lines() {
            let (kind, inode) = line.split_once(' ').expect("KIND INODE");
            let of_init = fs::read_link(format!("/proc/{}/ns/{kind}", bundle.pid())).expect("init's namespace");
            assert_eq!(of_init.to_str(), Some(inode), "{kind}");
        }
        assert!(exec(&sandbox, &[], "id").ok().stdout().starts_with("uid=0,0,0,0"));
        bundle.delete_force().ok();
    }
    first.delete_force().ok();
}

/// The state of another user's container is not ours to read.
#[test]
fn a_container_of_another_user() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c"));
    let mut call = sandbox.command(["exec", "c", "/bin/true"]);
    std::os::unix::process::CommandExt::uid(&mut call, 1000);
    let out = sandbox.finish(call).expect(255);
    let owner = fs::metadata(sandbox.state_dir().join("c")).expect("its directory").uid();
    out.fails_with("permission denied").fails_with(&format!("belongs to user {owner}"));
    bundle.delete_force().ok();
}

#[test]
fn activated_sockets_are_for_init_alone() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c").set("/process/env", json!(["HOME=/"])));
    let mut call = sandbox.command("exec --preserve-fds 1 c /bin/probe seq env -- fds".split(' '));
    call.env("LISTEN_FDS", "2").env("LISTEN_PID", "1");
    pass(&mut call, File::open("/").expect("a directory"), 3);
    let out = sandbox.finish(call).ok();
    assert!(!out.stdout().contains("LISTEN"), "{}", out.report());
    assert_eq!(out.lines().len(), 5, "{}", out.report());
    bundle.delete_force().ok();
}

#[test]
fn sockets_get_a_terminal_and_a_pidfd() {
    let sandbox = sandbox!();
    let bundle = idle(sandbox.bundle("c"));
    let (console, masters) = socket(&sandbox, "console");
    let (pidfd, pidfds) = socket(&sandbox, "pidfd");
    let pid_file = sandbox.dir().join("pid");
    let pid_flag = pid_file.display().to_string();
    let flags = ["--tty", "--detach", "--console-socket", &console, "--pidfd-socket", &pidfd, "--pid-file", &pid_flag];
    exec(&sandbox, &flags, "until TERM").ok();
    let (name, master) = pty::receive(&masters).expect("a terminal");
    assert!(name.starts_with(b"/dev/pts/"), "{name:?}");
    pty::read_until(&master[0], &mut String::new(), "ready").expect("the program's output");
    let (kind, fds) = pty::receive(&pidfds).expect("a pidfd");
    assert_eq!(kind, b"setns");
    let pid = fs::read_to_string(&pid_file).expect("the pid file").parse().ok();
    assert_eq!(pty::pid_of(std::os::fd::AsFd::as_fd(&fds[0])), pid);
    bundle.delete_force().ok();
}

/// From inside, with root's rights there, a process on its way in shows neither memory nor fds nor where it came from.
#[test]
fn a_hostile_container_sees_nothing_of_the_host() {
    let sandbox = sandbox!();
    let all = json!(["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_CHOWN"]);
    let sets = json!({ "bounding": all, "permitted": all, "effective": all });
    let bundle = sandbox.bundle("c").set("/process/capabilities", sets).args(["snoop"]);
    let out = bundle.run_with(&["--detach"]).ok();
    out.wait_stdout("ready");
    for round in 0..60 {
        let secret = File::open("/etc/shadow").or_else(|_| File::open("/etc/passwd")).expect("a file of the host");
        let mut call = sandbox.command(["exec", "c", "/bin/probe", "exit", &(round % 100).to_string()]);
        pass(&mut call, secret, 17);
        sandbox.finish(call).expect(round % 100);
    }
    bundle.kill("TERM").ok();
    bundle.wait_stopped();
    assert_eq!(out.lines()[1..], ["looked at some"], "{}", out.report());
    bundle.delete().ok();
}
