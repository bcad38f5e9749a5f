//! What a process gets from its caller, from the image and from the config: environment, home, descriptors.

use rt_integration::{Bundle, Sandbox, close, pass, sandbox};
use serde_json::json;
use std::fs::{self, File};
use std::process::Command;

fn env<'a>(bundle: Bundle<'a>, list: &[&str]) -> Bundle<'a> {
    bundle.set("/process/env", json!(list)).args(["env"])
}

fn home_of(bundle: Bundle<'_>, uid: u32) -> String {
    let bundle = env(bundle, &["A=1"]).set("/process/user", json!({ "uid": uid, "gid": 0 }));
    let out = bundle.run().ok();
    let lines = out.lines();
    assert_eq!(lines[0], "A=1", "{}", out.report());
    lines[1].strip_prefix("HOME=").unwrap_or_else(|| panic!("{}", out.report())).to_owned()
}

#[test]
fn home_by_the_images_passwd() {
    let sandbox = sandbox!();
    assert_eq!(home_of(sandbox.bundle("c"), 0), "/root");
    assert_eq!(home_of(sandbox.bundle("c"), 1000), "/home/user");
    assert_eq!(home_of(sandbox.bundle("c"), 4321), "/");
    // A user whose *name* is a number is not that number (CVE-2016-3697).
    let numbers = "1000:x:0:0::/evil:\nx:x:01000:0::/zero:\nuser:x:1000:1000::/right:\n";
    assert_eq!(home_of(sandbox.bundle("c").plant("/etc/passwd", numbers), 1000), "/right");
    let broken = ":::\n\n::\nroot\nroot:x:0\nlast:x:0:0::/last";
    assert_eq!(home_of(sandbox.bundle("b").plant("/etc/passwd", broken), 0), "/last");
}

#[test]
fn home_as_the_config_has_it() {
    let sandbox = sandbox!();
    assert_eq!(env(sandbox.bundle("c"), &["HOME=/given"]).run().ok().stdout(), "HOME=/given\n");
    assert_eq!(env(sandbox.bundle("c"), &["HOME=", "A=1"]).run().ok().stdout(), "A=1\nHOME=/root\n");
}

#[test]
fn home_whatever_passwd_is() {
    let sandbox = sandbox!();
    let with = |id: &str, make: &dyn Fn(&std::path::Path)| {
        let bundle = sandbox.bundle(id);
        let passwd = bundle.rootfs().join("etc/passwd");
        fs::remove_file(&passwd).expect("the file");
        make(&passwd);
        home_of(bundle, 0)
    };
    assert_eq!(with("absent", &|_| ()), "/");
    assert_eq!(with("directory", &|path| fs::create_dir(path).expect("a directory")), "/");
    let fifo = |path: &std::path::Path| {
        assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
    };
    assert_eq!(with("fifo", &fifo), "/");
    // Two gibibytes that are not there: nobody may read them all, or fail over them.
    assert_eq!(with("huge", &|path| File::create(path).and_then(|file| file.set_len(2 << 30)).expect("a file")), "/");
    for target in ["/proc/kmsg", "/dev/zero", "/dev/tty", "/proc/self/environ", "passwd", "/proc/self/fd/0"] {
        let link = |path: &std::path::Path| std::os::unix::fs::symlink(target, path).expect("a link");
        assert_eq!(with(&format!("link{}", target.replace('/', "-")), &link), "/", "{target}");
    }
    // Out of the image leads back into it.
    let outside =
        |path: &std::path::Path| std::os::unix::fs::symlink("../../../../../etc/group", path).expect("a link");
    assert_eq!(with("outside", &outside), "/");
}

#[test]
fn of_a_variable_that_is_set_twice_the_last_counts() {
    let sandbox = sandbox!();
    let out = env(sandbox.bundle("c"), &["A=1", "B=2", "HOME=/x", "A=3", "B="]).run().ok();
    assert_eq!(out.stdout(), "HOME=/x\nA=3\nB=\n");
    env(sandbox.bundle("c"), &["NO_VALUE"]).run().expect(1).fails_with("process.env[0]");
    env(sandbox.bundle("c"), &["=x"]).run().expect(1).fails_with("process.env[0]");
}

#[test]
fn the_callers_environment_stays_outside() {
    let sandbox = sandbox!();
    let bundle = env(sandbox.bundle("c"), &["HOME=/x"]);
    bundle.write();
    let mut call = sandbox.command(["run", "--bundle"]);
    call.arg(&bundle.dir).arg("c").env("SECRET", "1").env("LD_PRELOAD", "/x").env("NOTIFY", "y");
    assert_eq!(sandbox.finish(call).ok().stdout(), "HOME=/x\n");
}

/// A call of `rt` with files at these descriptors.
fn call_with(sandbox: &Sandbox, bundle: &Bundle, flags: &[&str], numbers: &[i32]) -> Command {
    bundle.write();
    let mut call = sandbox.command(flags);
    call.arg("--bundle").arg(&bundle.dir).arg(&bundle.id);
    for number in numbers {
        let path = sandbox.dir().join(format!("fd{number}"));
        fs::write(&path, number.to_string()).expect("a file");
        pass(&mut call, File::open(path).expect("the file"), *number);
    }
    call
}

#[test]
fn no_descriptor_of_the_caller_gets_in() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["fds"]);
    let numbers: Vec<i32> = (60..80).chain([3, 4, 5, 9, 255, 700]).collect();
    let out = sandbox.finish(call_with(&sandbox, &bundle, &["run"], &numbers)).ok();
    let seen: Vec<_> = out.lines().iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(seen, ["0", "1", "2"], "{}", out.report());
    let bundle = sandbox.bundle("d").args(["pause"]);
    sandbox.finish(call_with(&sandbox, &bundle, &["create"], &numbers)).ok();
    let fds = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).expect("procfs").count();
    bundle.start().ok();
    assert_eq!(fds(bundle.pid()), 3);
    let mut exec = sandbox.command(["exec", "d", "/bin/probe", "fds"]);
    pass(&mut exec, File::open("/").expect("a directory"), 17);
    assert_eq!(sandbox.finish(exec).ok().lines().len(), 3);
    bundle.delete_force().ok();
}

#[test]
fn preserved_descriptors_do() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args("seq fds -- cat /proc/self/fd/3 /proc/self/fd/4".split(' '));
    let out = sandbox.finish(call_with(&sandbox, &bundle, &["run", "--preserve-fds", "2"], &[3, 4, 5, 6])).ok();
    let lines = out.lines();
    assert!(lines[3].starts_with("3 ") && lines[4].starts_with("4 "), "{}", out.report());
    assert_eq!(lines[5..], ["34"], "{}", out.report());
    let out = sandbox.finish(call_with(&sandbox, &bundle, &["run", "--preserve-fds", "3"], &[3, 4]));
    out.expect(1).fails_with("unable to stat preserved-fd 3 (of 3)");
    let bundle = sandbox.bundle("e").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let mut exec = sandbox.command(["exec", "--preserve-fds", "1", "e", "/bin/probe", "cat", "/proc/self/fd/3"]);
    pass(&mut exec, File::open(sandbox.dir().join("fd3")).expect("the file"), 3);
    pass(&mut exec, File::open(sandbox.dir().join("fd4")).expect("the file"), 4);
    assert_eq!(sandbox.finish(exec).ok().stdout(), "3");
    bundle.delete_force().ok();
}

#[test]
fn sockets_of_an_activated_service() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").set("/process/env", json!(["HOME=/"])).args("seq env -- fds".split(' '));
    let mut call = call_with(&sandbox, &bundle, &["run", "--preserve-fds", "1"], &[3, 4, 5, 6]);
    call.env("LISTEN_FDS", "2").env("LISTEN_PID", "12345");
    let out = sandbox.finish(call).ok();
    let lines = out.lines();
    assert!(
        lines.contains(&"LISTEN_FDS=2".to_owned()) && lines.contains(&"LISTEN_PID=1".to_owned()),
        "{}",
        out.report()
    );
    let seen: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()?.parse::<i32>().ok()).collect();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5], "{}", out.report());
}

#[test]
fn a_caller_without_standard_streams() {
    let sandbox = sandbox!();
    for missing in [&[0][..], &[0, 1, 2], &[1], &[2]] {
        let bundle = sandbox.bundle("c").args(["write", "/mnt/answer", "ran"]);
        let mnt = sandbox.dir().join("out");
        fs::create_dir_all(&mnt).expect("a directory");
        let bundle = bundle.mount("/mnt", "none", mnt.to_str().expect("UTF-8"), &["bind"]);
        let mut call = call_with(&sandbox, &bundle, &["run"], &[]);
        missing.iter().for_each(|number| close(&mut call, *number));
        sandbox.finish(call).ok();
        assert_eq!(fs::read_to_string(mnt.join("answer")).expect("an answer"), "ran", "{missing:?}");
        fs::remove_file(mnt.join("answer")).expect("the answer");
    }
    // What the kernel hands out lowest must not be one of rt's own: no directory of the host below 3.
    let bundle = sandbox.bundle("c").args(["seq", "fds"]);
    let mut call = call_with(&sandbox, &bundle, &["run"], &[]);
    close(&mut call, 0);
    let out = sandbox.finish(call).ok();
    for line in out.lines() {
        let target = line.split_once(' ').map_or("", |(_, target)| target);
        assert!(target.ends_with(".out") || target.ends_with(".err") || target == "/dev/null", "{}", out.report());
    }
}

/// The shim of containerd gives the host's /dev/null as output, open for reading only.
#[test]
fn the_hosts_null_becomes_the_containers() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args("seq writefd 2 text -- fds".split(' '));
    bundle.write();
    let mut call = sandbox.command(["run", "--bundle"]);
    call.arg(&bundle.dir).arg("c");
    pass(&mut call, File::open("/dev/null").expect("a device"), 2);
    let out = sandbox.finish(call).ok();
    assert_eq!(out.lines()[2], "2 /dev/null", "{}", out.report());
}

#[test]
fn an_ordinary_user_opens_his_output_by_its_path() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["append", "/dev/stdout", "text"]);
    let bundle = bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    assert_eq!(bundle.run().ok().stdout(), "text\n");
    let bundle = sandbox.bundle("e").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let exec = ["exec", "--user", "1000:1000", "e", "/bin/probe", "append", "/dev/stdout", "text"];
    assert_eq!(sandbox.rt(exec).ok().stdout(), "text\n");
    bundle.delete_force().ok();
}
