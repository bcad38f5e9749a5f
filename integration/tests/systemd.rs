//! The cgroup driver that asks systemd: containers as its units, for root and for a user with a manager of his own. The
//! runs need a host with systemd (`make test-vm` has one).

use rt_integration::{Bundle, Outcome, Sandbox, sandbox, skip, systemd_runs, time_limit};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const TOP: &str = "/sys/fs/cgroup";
/// The user of the full virtual machine.
const USER: u32 = 1000;

macro_rules! systemd {
    () => {{
        if !systemd_runs() {
            skip!("PID 1 is not systemd");
        }
        sandbox!()
    }};
}

/// Whose manager the units are.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    System,
    Users,
}

fn systemctl(whose: Whose, args: &[&str]) -> String {
    let mut call = Command::new("systemctl");
    if whose == Whose::Users {
        call.arg("--user").uid(USER).gid(USER).env("XDG_RUNTIME_DIR", format!("/run/user/{USER}"));
    }
    let out = call.args(args).output().expect("systemctl");
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

fn show(whose: Whose, unit: &str, property: &str) -> String {
    systemctl(whose, &["show", "--value", "--property", property, unit]).trim().to_owned()
}

fn load_state(unit: &str) -> String {
    show(Whose::System, unit, "LoadState")
}

/// rt with the systemd driver, as the sandbox's user from within his manager's cgroups: there he may move processes.
fn call(sandbox: &Sandbox, bundle: &Bundle, command: &str, flags: &[&str]) -> Outcome {
    bundle.write();
    let plain = sandbox.command(["--systemd-cgroup", command]);
    let mut full = match sandbox.user() {
        None => plain,
        Some(uid) => within_manager(&plain, uid),
    };
    full.args(flags).arg("--bundle").arg(&bundle.dir).arg(&bundle.id);
    sandbox.finish(full)
}

fn within_manager(plain: &Command, uid: u32) -> Command {
    let mut full = Command::new("systemd-run");
    full.args(["--user", "--scope", "--quiet", "--collect", "--"]).arg(plain.get_program()).args(plain.get_args());
    full.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("XDG_RUNTIME_DIR", format!("/run/user/{uid}"));
    full.uid(uid).gid(uid).stdin(std::process::Stdio::null());
    full
}

fn rt(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    let plain = sandbox.command(args);
    sandbox.finish(sandbox.user().map_or_else(|| sandbox.command(args), |uid| within_manager(&plain, uid)))
}

/// The cgroup of a process, as a directory.
fn cgroup_of(pid: i32) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("procfs");
    let path = text.lines().find_map(|line| line.strip_prefix("0::")).expect("a line");
    PathBuf::from(format!("{TOP}{path}"))
}

fn in_unit<'a>(sandbox: &'a Sandbox, path: &str) -> Bundle<'a> {
    sandbox.bundle("c").set("/linux/cgroupsPath", path).args(["pause"])
}

fn running<'a>(sandbox: &'a Sandbox, bundle: Bundle<'a>) -> Bundle<'a> {
    call(sandbox, &bundle, "run", &["--detach"]).ok();
    bundle
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_else(|error| panic!("{file}: {error}")).trim_end().to_owned()
}

/// All of a container's life; only `create` is told of the driver.
fn lifecycle(sandbox: &Sandbox, whose: Whose) {
    let bundle = in_unit(sandbox, ":rt-test:life");
    let unit = "rt-test-life.scope";
    call(sandbox, &bundle, "create", &[]).ok();
    let dir = cgroup_of(bundle.pid());
    assert!(dir.ends_with(unit), "{}", dir.display());
    assert_eq!(format!("{TOP}{}", show(whose, unit, "ControlGroup")), dir.display().to_string());
    assert_eq!(show(whose, unit, "Delegate"), "yes");
    assert_eq!(read(&dir, "cgroup.procs"), bundle.pid().to_string(), "init and nobody else");
    rt(sandbox, &["start", "c"]).ok();
    let inside = rt(sandbox, &["exec", "c", "/bin/probe", "cat", "/proc/self/cgroup"]).ok().stdout();
    assert_eq!(inside.trim_end(), "0::/", "the namespace's root is the scope");
    rt(sandbox, &["exec", "--detach", "c", "/bin/probe", "pause"]).ok();
    assert_eq!(read(&dir, "cgroup.procs").lines().count(), 2, "exec is born in the scope");
    rt(sandbox, &["pause", "c"]).ok();
    assert_eq!(bundle.status(), "paused");
    rt(sandbox, &["resume", "c"]).ok();
    assert_eq!(bundle.status(), "running");
    assert_eq!(show(whose, unit, "ActiveState"), "active");
    rt(sandbox, &["kill", "c", "KILL"]).ok();
    bundle.wait_stopped();
    rt(sandbox, &["delete", "c"]).ok();
    assert!(!dir.exists());
    assert_eq!(show(whose, unit, "LoadState"), "not-found");
    // The name is free at once.
    let bundle = running(sandbox, in_unit(sandbox, ":rt-test:life"));
    rt(sandbox, &["delete", "--force", &bundle.id]).ok();
    assert_eq!(show(whose, unit, "LoadState"), "not-found");
}

/// What is in force is in the files and with systemd, and stays through a reload.
fn limits(sandbox: &Sandbox, whose: Whose) {
    let resources = json!({
        "memory": { "limit": 67_108_864, "reservation": 33_554_432, "swap": 100_663_296 },
        "cpu": { "shares": 512, "quota": 25_000, "period": 50_000, "cpus": "0", "mems": "0" },
        "pids": { "limit": 9 },
        "unified": { "memory.high": "50331648", "io.weight": "50" },
    });
    let bundle = running(sandbox, in_unit(sandbox, ":rt-test:limits").set("/linux/resources", resources));
    let unit = "rt-test-limits.scope";
    let dir = cgroup_of(bundle.pid());
    let weight = read(&dir, "cpu.weight");
    let files = [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.swap.max", "33554432"),
        ("memory.high", "50331648"),
        ("cpu.weight", weight.as_str()),
        ("cpu.max", "25000 50000"),
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
        ("pids.max", "9"),
        ("io.weight", "default 50"),
    ];
    for round in ["made", "reloaded"] {
        for (file, value) in files {
            assert_eq!(read(&dir, file), value, "{file}, {round}");
        }
        systemctl(whose, &["daemon-reload"]);
    }
    for (property, value) in [
        ("MemoryMax", "67108864"),
        ("MemoryLow", "33554432"),
        ("MemorySwapMax", "33554432"),
        ("MemoryHigh", "50331648"),
        ("CPUWeight", weight.as_str()),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("CPUQuotaPeriodUSec", "50ms"),
        ("AllowedCPUs", "0"),
        ("AllowedMemoryNodes", "0"),
        ("TasksMax", "9"),
        ("IOWeight", "50"),
    ] {
        assert_eq!(show(whose, unit, property), value, "{property}");
    }
    rt(sandbox, &["delete", "--force", "c"]).ok();
}

fn users() -> Option<String> {
    let manager = format!("/run/user/{USER}/systemd/private");
    (!Path::new(&manager).exists()).then(|| format!("user {USER} has no manager"))
}

#[test]
fn a_life_as_a_unit() {
    let sandbox = systemd!();
    lifecycle(&sandbox, Whose::System);
}

#[test]
fn limits_are_systemds_too() {
    let sandbox = systemd!();
    limits(&sandbox, Whose::System);
}

/// systemd writes its own view of a unit at every reload, and so has to know.
#[test]
fn an_update_lasts() {
    let sandbox = systemd!();
    let bundle = in_unit(&sandbox, "system.slice:rt:updated").set("/linux/resources/pids/limit", 50);
    let bundle = running(&sandbox, bundle);
    let dir = cgroup_of(bundle.pid());
    rt(&sandbox, &["update", "--pids-limit", "77", "--memory", "128m", "--cpu-quota", "30000", "c"]).ok();
    let in_force = || ["pids.max", "memory.max", "cpu.max"].map(|file| read(&dir, file));
    let wanted = ["77", "134217728", "30000 100000"];
    assert_eq!(in_force(), wanted);
    let unit = "rt-updated.scope";
    assert_eq!(show(Whose::System, unit, "TasksMax"), "77");
    assert_eq!(show(Whose::System, unit, "MemoryMax"), "134217728");
    systemctl(Whose::System, &["daemon-reload"]);
    assert_eq!(in_force(), wanted);
    rt(&sandbox, &["delete", "--force", "c"]).ok();
}

#[test]
fn a_life_as_a_users_unit() {
    let sandbox = systemd!().as_user(USER);
    if let Some(why) = users() {
        skip!("{why}");
    }
    lifecycle(&sandbox, Whose::Users);
}

#[test]
fn limits_of_a_users_unit() {
    let sandbox = systemd!().as_user(USER);
    if let Some(why) = users() {
        skip!("{why}");
    }
    limits(&sandbox, Whose::Users);
}

/// Start, update and stop by the message bus, where systemd's own socket is hidden from rt (and from nobody else: systemctl
/// knows no other way).
fn by_the_bus(sandbox: &Sandbox, whose: Whose) {
    let hidden = |words: &[&str]| {
        let plain = sandbox.command(words);
        let mut call = Command::new("unshare");
        let script = "mount --bind /dev/null /run/systemd/private; exec \"$@\"";
        call.args(["--mount", "sh", "-c", script, "sh"]);
        if whose == Whose::Users {
            call = Command::new("env");
            call.arg(format!("DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{USER}/bus"))
                .arg("XDG_RUNTIME_DIR=/nowhere");
        }
        call.arg(plain.get_program()).args(plain.get_args());
        let call = match sandbox.user() {
            Some(uid) => within_manager(&call, uid),
            None => call,
        };
        sandbox.finish(call).ok()
    };
    let bundle = in_unit(sandbox, ":rt-test:bus").set("/linux/resources/pids", json!({ "limit": 9 }));
    bundle.write();
    hidden(&["--systemd-cgroup", "run", "--detach", "--bundle", bundle.dir.to_str().expect("UTF-8"), "c"]);
    let (unit, dir) = ("rt-test-bus.scope", cgroup_of(bundle.pid()));
    assert!(dir.ends_with(unit), "{}", dir.display());
    assert_eq!((read(&dir, "pids.max").as_str(), show(whose, unit, "TasksMax").as_str()), ("9", "9"));
    hidden(&["update", "--pids-limit", "7", "c"]);
    assert_eq!((read(&dir, "pids.max").as_str(), show(whose, unit, "TasksMax").as_str()), ("7", "7"));
    hidden(&["delete", "--force", "c"]);
    assert_eq!(show(whose, unit, "LoadState"), "not-found");
}

#[test]
fn a_unit_by_the_bus() {
    let sandbox = systemd!();
    by_the_bus(&sandbox, Whose::System);
}

#[test]
fn a_users_unit_by_the_bus() {
    let sandbox = systemd!().as_user(USER);
    if let Some(why) = users() {
        skip!("{why}");
    }
    by_the_bus(&sandbox, Whose::Users);
}

/// From a scope beside the user's manager, as a login session is one.
#[test]
fn a_user_calls_from_his_session() {
    let sandbox = systemd!().as_user(USER);
    if let Some(why) = users() {
        skip!("{why}");
    }
    let session = |words: &[&str]| {
        let plain = sandbox.command(words);
        let mut call = Command::new("systemd-run");
        call.args([
            "--scope",
            "--quiet",
            "--collect",
            &format!("--slice=user-{USER}.slice"),
            &format!("--uid={USER}"),
            "--",
        ]);
        call.arg(plain.get_program()).args(plain.get_args()).stdin(std::process::Stdio::null());
        call.env("XDG_RUNTIME_DIR", format!("/run/user/{USER}"));
        sandbox.finish(call)
    };
    let bundle = in_unit(&sandbox, ":rt-test:session").set("/linux/resources/pids", json!({ "limit": 9 }));
    bundle.write();
    let dir = bundle.dir.to_str().expect("UTF-8");
    session(&["--systemd-cgroup", "run", "--detach", "--bundle", dir, "c"]).ok();
    let cgroup = cgroup_of(bundle.pid());
    assert!(cgroup.ends_with("rt-test-session.scope"), "{}", cgroup.display());
    assert_eq!(
        (read(&cgroup, "pids.max").as_str(), show(Whose::Users, "rt-test-session.scope", "TasksMax").as_str()),
        ("9", "9")
    );
    let inside = session(&["exec", "c", "/bin/probe", "cat", "/proc/self/cgroup"]).ok().stdout();
    assert_eq!(inside.trim_end(), "0::/");
    session(&["delete", "--force", "c"]).ok();
    assert!(!cgroup.exists());
    assert_eq!(show(Whose::Users, "rt-test-session.scope", "LoadState"), "not-found");
    assert!(!systemctl(Whose::Users, &["list-units", "--all"]).contains("rt-caller-"), "none is left");
}

#[test]
fn units_have_the_names_that_callers_compute() {
    let sandbox = systemd!();
    for (path, place) in [
        ("rttest-a_b.slice:cri-containerd:x", "rttest.slice/rttest-a_b.slice/cri-containerd-x.scope"),
        ("system.slice:docker:x", "system.slice/docker-x.scope"),
        (":docker:x", "system.slice/docker-x.scope"),
        ("-:docker:x", "docker-x.scope"),
        ("", "system.slice/rt-c.scope"),
        ("::rttest-own.slice", "rttest.slice/rttest-own.slice"),
    ] {
        let bundle = running(&sandbox, in_unit(&sandbox, path));
        let dir = cgroup_of(bundle.pid());
        rt(&sandbox, &["delete", "--force", "c"]).ok();
        assert_eq!(dir, Path::new(TOP).join(place), "{path}");
        assert!(!dir.exists(), "{path}");
    }
    systemctl(Whose::System, &["stop", "rttest.slice", "rttest-a_b.slice"]);
}

/// The process that a scope begins with takes no place of the container's.
#[test]
fn a_limit_of_one_process() {
    let sandbox = systemd!();
    let bundle = in_unit(&sandbox, ":rt-test:one").set("/linux/resources/pids", json!({ "limit": 1 }));
    let bundle = running(&sandbox, bundle);
    assert_eq!(read(&cgroup_of(bundle.pid()), "pids.max"), "1");
    rt(&sandbox, &["exec", "c", "/bin/true"]).expect(255).fails_with("pids.max");
    rt(&sandbox, &["delete", "--force", "c"]).ok();
}

#[test]
fn annotations_are_properties() {
    let sandbox = systemd!();
    let with = |name: &str, text: &str| {
        let annotations = json!({ format!("org.systemd.property.{name}"): text });
        in_unit(&sandbox, ":rt-test:notes").set("/annotations", annotations)
    };
    for (name, text, property, value) in [
        ("TimeoutStopSec", "uint64 7", "TimeoutStopUSec", "7s"),
        ("Description", "'words of its own'", "Description", "words of its own"),
        ("After", "['system.slice', '-.mount']", "After", "system.slice -.mount"),
    ] {
        running(&sandbox, with(name, text));
        let told = show(Whose::System, "rt-test-notes.scope", property);
        rt(&sandbox, &["delete", "--force", "c"]).ok();
        assert!(value.split(' ').all(|word| told.contains(word)), "{name}: {told}");
    }
    for (name, text, why) in [
        ("MemoryMax", "many", "annotations[\"org.systemd.property.MemoryMax\"]: "),
        ("PIDs", "[uint32 1]", "PIDs is set by the runtime itself"),
        ("NoSuchThing", "true", "cannot start systemd unit rt-test-notes.scope (by /run/systemd/private)"),
    ] {
        call(&sandbox, &with(name, text), "run", &[]).expect(1).fails_with(why);
        assert_eq!(load_state("rt-test-notes.scope"), "not-found");
    }
}

#[test]
fn a_failed_create_leaves_no_unit() {
    let sandbox = systemd!();
    let failing = [
        ("/process/args", json!(["/nothing"])),
        ("/linux/resources/unified", json!({ "memory.max": "many" })),
        ("/hooks/createRuntime", json!([{ "path": "/bin/false" }])),
    ];
    for (pointer, value) in failing {
        call(&sandbox, &in_unit(&sandbox, ":rt-test:failed").set(pointer, value), "create", &[]).expect(1);
        assert_eq!(load_state("rt-test-failed.scope"), "not-found", "{pointer}");
    }
}

#[test]
fn a_unit_that_lives_is_left_alone() {
    let sandbox = systemd!();
    let first = running(&sandbox, in_unit(&sandbox, ":rt-test:taken"));
    let second = sandbox.bundle("second").set("/linux/cgroupsPath", ":rt-test:taken");
    let out = call(&sandbox, &second, "create", &[]).expect(1);
    assert!(out.stderr().contains("rt-test-taken.scope") && out.stderr().contains("UnitExists"), "{}", out.report());
    assert_eq!(first.status(), "running");
    assert_eq!(show(Whose::System, "rt-test-taken.scope", "ActiveState"), "active");
    rt(&sandbox, &["delete", "--force", "c"]).ok();
}

#[test]
fn a_dead_unit_of_the_name_is_no_hindrance() {
    let sandbox = systemd!();
    let mut call_ = Command::new("systemd-run");
    call_.args(["--scope", "--unit", "rt-test-dead.scope", "-p", "RuntimeMaxSec=1", "sleep", "1000"]);
    call_.output().expect("systemd-run");
    assert_eq!(show(Whose::System, "rt-test-dead.scope", "ActiveState"), "failed");
    running(&sandbox, in_unit(&sandbox, ":rt-test:dead"));
    rt(&sandbox, &["delete", "--force", "c"]).ok();
    assert_eq!(load_state("rt-test-dead.scope"), "not-found");
}

/// Killed after the unit's start, before the record says anything of it.
#[test]
fn a_creator_that_is_killed() {
    let sandbox = systemd!();
    let fifo = sandbox.dir().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let hook =
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("echo $$ > {}; exec sleep 1000", fifo.display())] }]);
    let bundle = in_unit(&sandbox, ":rt-test:crash").set("/hooks/createRuntime", hook);
    bundle.write();
    let mut create = sandbox.command(["--systemd-cgroup", "create", "--bundle"]);
    create.arg(&bundle.dir).arg("c");
    let create = sandbox.spawn(create);
    let hook = fs::read_to_string(&fifo).expect("the hook has begun");
    assert_eq!(show(Whose::System, "rt-test-crash.scope", "ActiveState"), "active");
    create.signal(libc::SIGKILL);
    create.wait().expect(128 + libc::SIGKILL);
    Command::new("kill").args(["-KILL", hook.trim()]).status().expect("kill");
    rt(&sandbox, &["delete", "--force", "c"]).ok();
    let until = Instant::now() + time_limit();
    while load_state("rt-test-crash.scope") != "not-found" && Instant::now() < until {
        std::thread::yield_now();
    }
    assert_eq!(load_state("rt-test-crash.scope"), "not-found");
    running(&sandbox, in_unit(&sandbox, ":rt-test:crash"));
    rt(&sandbox, &["delete", "--force", "c"]).ok();
}

#[test]
fn device_rules_hold_in_a_unit() {
    let sandbox = systemd!();
    for (allow, result) in [(false, "EPERM\n"), (true, "ok\n")] {
        let rules =
            json!([{ "allow": false, "access": "rwm" }, { "allow": allow, "type": "c", "major": 1, "minor": 11 }]);
        // Writing to the kernel's log takes no capability, so that the rules alone keep it closed.
        let device = json!([{ "path": "/dev/message", "type": "c", "major": 1, "minor": 11 }]);
        let bundle = in_unit(&sandbox, ":rt-test:devices").set("/linux/resources/devices", rules);
        let bundle = bundle.set("/linux/devices", device).args(["open-dev", "/dev/message", "w"]);
        assert_eq!(call(&sandbox, &bundle, "run", &[]).stdout(), result);
    }
}

/// The rules are a program of ours on the unit's cgroup: systemd is told of no policy, and so neither takes the program
/// away nor lays one of its own beside it when it goes over its units again.
#[test]
fn a_reload_leaves_device_rules_alone() {
    let sandbox = systemd!();
    let rules = json!([{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 1, "minor": 3 }]);
    let device = json!([{ "path": "/dev/message", "type": "c", "major": 1, "minor": 11 }]);
    let bundle = in_unit(&sandbox, ":rt-test:reloaded").set("/linux/resources/devices", rules);
    let _running = running(&sandbox, bundle.set("/linux/devices", device));
    let opened = |device: &str| rt(&sandbox, &["exec", "c", "/bin/probe", "open-dev", device, "w"]).stdout();
    let in_force = || assert_eq!((opened("/dev/message"), opened("/dev/null")), ("EPERM\n".into(), "ok\n".into()));
    in_force();
    assert_eq!(show(Whose::System, "rt-test-reloaded.scope", "DevicePolicy"), "auto");
    systemctl(Whose::System, &["daemon-reload"]);
    in_force();
    systemctl(Whose::System, &["set-property", "--runtime", "rt-test-reloaded.scope", "CPUWeight=200"]);
    in_force();
    // systemd's own rules would come on top, and may take away, never add.
    systemctl(Whose::System, &["set-property", "--runtime", "rt-test-reloaded.scope", "DevicePolicy=closed"]);
    in_force();
    rt(&sandbox, &["delete", "--force", "c"]).ok();
}

#[test]
fn nobody_to_ask() {
    let sandbox = sandbox!();
    let bundle = in_unit(&sandbox, ":rt-test:alone");
    bundle.write();
    let script = "for dir in /run/systemd /run/dbus; do mkdir -p $dir; mount -t tmpfs none $dir; done
        exec \"$0\" --root \"$1\" --systemd-cgroup create --bundle \"$2\" c";
    let mut call = Command::new("unshare");
    call.args(["-m", "sh", "-c", script]).arg(rt_integration::rt_bin()).arg(sandbox.state_dir()).arg(&bundle.dir);
    let out = sandbox.finish(call).expect(1).fails_with("systemd cannot be reached at /run/systemd/private");
    assert!(out.stderr().contains("/run/dbus/system_bus_socket"), "{}", out.report());
    assert!(out.stderr().contains("rt-test-alone.scope"), "{}", out.report());
}

#[test]
fn features_say_so() {
    let sandbox = sandbox!();
    let text = sandbox.rt(["features"]).ok().stdout();
    let features: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(features["linux"]["cgroup"]["systemd"], true);
    assert_eq!(features["linux"]["cgroup"]["systemdUser"], true);
}
