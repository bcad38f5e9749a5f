//! Every argv that engines are known to write, and what people type.

use super::*;
use std::path::PathBuf;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[track_caller]
fn ok(line: &str) -> Invocation {
    parse(words(line)).unwrap_or_else(|usage| panic!("{line}: {}", usage.text))
}

#[track_caller]
fn command(line: &str) -> Command {
    ok(line).command
}

#[track_caller]
fn err(line: &str) -> String {
    let usage = parse(words(line)).expect_err(line);
    assert!(usage.text.starts_with(&usage.message) && usage.to_stderr && usage.exit_code == 1, "{usage:?}");
    assert!(!usage.message.contains('\n'), "{usage:?}");
    usage.message
}

fn path(path: &str) -> Option<PathBuf> {
    Some(path.into())
}

fn id(id: &str) -> IdArgs {
    IdArgs { id: id.into() }
}

const SHIM: &str = "rt --root /run/containerd/runc/k8s.io --log /b/log.json --log-format json";

fn shim_global(cgroup_manager: CgroupManager) -> Global {
    Global {
        root: path("/run/containerd/runc/k8s.io"),
        log: path("/b/log.json"),
        log_format: LogFormat::Json,
        cgroup_manager,
        ..Global::default()
    }
}

#[test]
fn containerd_create() {
    let line = format!(
        "{SHIM} --systemd-cgroup create --bundle /b --pid-file /b/init.pid --console-socket /tmp/s --no-pivot --no-new-keyring c1"
    );
    let expected = CreateArgs {
        id: "c1".into(),
        bundle: path("/b"),
        pid_file: path("/b/init.pid"),
        console_socket: path("/tmp/s"),
        no_pivot: true,
        no_new_keyring: true,
        ..CreateArgs::default()
    };
    let got = ok(&line);
    assert_eq!(got.command, Command::Create(expected));
    assert_eq!(got.global, shim_global(CgroupManager::Systemd));
}

#[test]
fn containerd_short_commands() {
    let got = ok(&format!("{SHIM} start c1"));
    assert_eq!(got.global, shim_global(CgroupManager::Cgroupfs));
    assert_eq!(got.command, Command::Start(StartArgs { id: "c1".into(), timeout: None }));
    let kill = |all| Command::Kill(KillArgs { id: "c1".into(), signal: Some("9".into()), all });
    assert_eq!(command(&format!("{SHIM} kill --all c1 9")), kill(true));
    assert_eq!(command(&format!("{SHIM} kill c1 9")), kill(false));
    let delete = |force| Command::Delete(DeleteArgs { id: "c1".into(), force });
    assert_eq!(command(&format!("{SHIM} delete c1")), delete(false));
    assert_eq!(command(&format!("{SHIM} delete --force c1")), delete(true));
    assert_eq!(command("/usr/bin/rt features"), Command::Features);
}

#[test]
fn containerd_exec() {
    let got = command(&format!(
        "{SHIM} exec --process /tmp/runc-process1 --console-socket /tmp/s --detach --pid-file /b/e.pid c1"
    ));
    let expected = ExecArgs {
        id: "c1".into(),
        process: path("/tmp/runc-process1"),
        console_socket: path("/tmp/s"),
        detach: true,
        pid_file: path("/b/e.pid"),
        ..ExecArgs::default()
    };
    assert_eq!(got, Command::Exec(expected));
}

#[test]
fn limits_and_numbers() {
    use std::time::Duration;
    let update = |line: &str| match command(line) {
        Command::Update(args) => args,
        other => panic!("{line}: {other:?}"),
    };
    let got = update(&format!("{SHIM} update --resources=- c1"));
    assert_eq!((got.id.as_str(), got.resources, got.limits), ("c1", path("-"), serde_json::json!({})));
    assert_eq!(update("rt update --resources - c1").resources, path("-"));
    let got = update(
        "rt update c1 --memory 512m --memory-swap -1 --cpu-quota=-1 --cpuset-cpus 0-3 --kernel-memory 1k --pids-limit 0",
    );
    let limits = serde_json::json!({"memory": {"limit": 512 << 20, "swap": -1}, "cpu": {"quota": -1, "cpus": "0-3"},
        "pids": {"limit": 0}});
    assert_eq!(got.limits, limits);
    let ps = |format, arguments: &str| Command::Ps(PsArgs { id: "c1".into(), format, arguments: words(arguments) });
    assert_eq!(command(&format!("{SHIM} ps --format json c1")), ps(ListFormat::Json, ""));
    assert_eq!(command("rt ps --format table c1 -o pid --format x"), ps(ListFormat::Table, "-o pid --format x"));
    let events = |interval, stats| Command::Events(EventsArgs { id: "c1".into(), interval, stats });
    assert_eq!(command("rt events --stats c1"), events(None, true));
    assert_eq!(command("rt events --interval=5s c1"), events(Some(Duration::from_secs(5)), false));
    assert!(err("rt update --memory lots c1").starts_with("invalid memory: lots"));
}

#[test]
fn go_runc_and_docker() {
    assert_eq!(command("rt list --format=json"), Command::List(ListArgs { format: ListFormat::Json, quiet: false }));
    assert_eq!(command("rt state c1"), Command::State(id("c1")));
    assert_eq!(command("/usr/bin/rt --version"), Command::Version);
    let RunArgs { create, .. } = run("rt run --bundle /b c1");
    assert_eq!((create.id.as_str(), create.bundle), ("c1", path("/b")));
    let docker = ok("rt --root /var/run/docker/runtime-runc/moby --log /b/log.json --log-format json --debug start c1");
    assert_eq!(docker.global.root, path("/var/run/docker/runtime-runc/moby"));
    assert_eq!(docker.global.log_level, Some(LogLevel::Debug));
}

#[track_caller]
fn run(line: &str) -> RunArgs {
    match command(line) {
        Command::Run(args) => args,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn exec(line: &str) -> ExecArgs {
    match command(line) {
        Command::Exec(args) => args,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn conmon_and_podman() {
    let got = ok("rt --systemd-cgroup --log-format=json --log /r/oci-log create --bundle /b --pid-file /r/pidfile \
        --no-pivot --no-new-keyring --preserve-fds 2 --console-socket /r/attach abc");
    let expected = CreateArgs {
        id: "abc".into(),
        bundle: path("/b"),
        pid_file: path("/r/pidfile"),
        no_pivot: true,
        no_new_keyring: true,
        preserve_fds: 2,
        console_socket: path("/r/attach"),
        ..CreateArgs::default()
    };
    assert_eq!(got.command, Command::Create(expected));
    assert_eq!(got.global.cgroup_manager, CgroupManager::Systemd);
    let got = exec("rt exec --pid-file /p --process /f --detach --preserve-fds 1 --console-socket /s abc");
    assert_eq!((got.id.as_str(), got.preserve_fds, got.detach), ("abc", 1, true));
    let off = ok("rt --cgroup-manager disabled create --bundle /b abc");
    assert_eq!(off.global.cgroup_manager, CgroupManager::Disabled);
    for (all, line) in [(true, "rt kill --all abc 15"), (false, "rt kill abc 15")] {
        assert_eq!(command(line), Command::Kill(KillArgs { id: "abc".into(), signal: Some("15".into()), all }));
    }
    assert_eq!(command("rt delete --force abc"), Command::Delete(DeleteArgs { id: "abc".into(), force: true }));
}

#[test]
fn cri_o() {
    let got = ok("rt --root /run/runc --systemd-cgroup state abc");
    assert_eq!(got.command, Command::State(id("abc")));
    let kill = |signal: &str, all| Command::Kill(KillArgs { id: "abc".into(), signal: Some(signal.into()), all });
    assert_eq!(command("rt --root /run/runc kill abc SIGTERM"), kill("SIGTERM", false));
    assert_eq!(command("rt --root /run/runc kill abc KILL"), kill("KILL", false));
    assert_eq!(command("rt --root /run/runc kill -a abc 9"), kill("9", true));
    assert_eq!(exec("rt --root /run/runc exec --process /f abc").process, path("/f"));
    assert_eq!(ok("rt --root=/run/runc create --bundle /b --pid-file /p abc").global.root, path("/run/runc"));
}

#[test]
fn conmon_rs_repeats_its_globals() {
    let got = ok(
        "rt --root=/old --systemd-cgroup --root=/r --systemd-cgroup create --bundle /b --pid-file /p --console-socket=/s abc",
    );
    assert_eq!(got.global.root, path("/r"));
    assert_eq!(got.global.cgroup_manager, CgroupManager::Systemd);
    let got =
        exec("rt --root=/r --root=/r exec -d --console-socket=/s --tty --pid-file=/p abc ls -l --detach=false --");
    assert!(got.detach && got.tty);
    assert_eq!(got.command, words("ls -l --detach=false --"));
    let got = ok("rt --log=journald:abc --log-level=debug --root=/r state abc");
    assert_eq!((got.global.log, got.global.log_level), (path("journald:abc"), Some(LogLevel::Debug)));
}

#[test]
fn buildah_and_buildkit() {
    let Command::Create(got) = command("rt create --bundle /b --pid-file /p --no-new-keyring --no-pivot abc") else {
        panic!("not a create");
    };
    assert!(got.no_new_keyring && got.no_pivot);
    let signal =
        |signal: Option<&str>| Command::Kill(KillArgs { id: "abc".into(), signal: signal.map(Into::into), all: false });
    assert_eq!(command("rt kill abc"), signal(None));
    assert_eq!(command("rt kill abc SIGKILL"), signal(Some("SIGKILL")));
    assert!(run("rt --log runc-log.json --log-format json run --bundle /b --pid-file /p --keep abc").keep);
    assert_eq!(exec("rt exec --process /f --pid-file /p abc").pid_file, path("/p"));
}

#[test]
fn one_dash_is_as_good_as_two() {
    let got = run("rt -root /r -debug run -bundle /b -no-subreaper -pid-file=/p -d c1");
    assert!(got.no_subreaper && got.detach);
    assert_eq!((got.create.bundle, got.create.pid_file), (path("/b"), path("/p")));
    assert_eq!(exec("rt exec -env A=1 -e B=2 -eC=3 -user 5:6 c1 sh").env, words("A=1 B=2 C=3"));
    assert_eq!(command("rt -version"), Command::Version);
}

#[test]
fn short_flags_and_clusters() {
    assert_eq!(run("rt run -b/b -f=conf.json c1").create.config, path("conf.json"));
    let got = exec("rt exec -dt -u 1000:100 -g 5 -g=6 -c CAP_KILL -p f c1");
    assert!(got.detach && got.tty);
    assert_eq!(
        (got.user.as_deref(), got.additional_gids, got.caps),
        (Some("1000:100"), vec![5, 6], vec!["CAP_KILL".into()])
    );
    assert_eq!(got.process, path("f"));
    assert_eq!(command("rt list -q -f json"), Command::List(ListArgs { format: ListFormat::Json, quiet: true }));
}

#[test]
fn flags_may_follow_the_id_except_in_exec() {
    assert_eq!(run("rt run c1 --bundle /b -d").create.bundle, path("/b"));
    assert_eq!(command("rt delete c1 -f"), Command::Delete(DeleteArgs { id: "c1".into(), force: true }));
    let got = command("rt kill c1 --all TERM");
    assert_eq!(got, Command::Kill(KillArgs { id: "c1".into(), signal: Some("TERM".into()), all: true }));
    let got = exec("rt exec c1 ps --help -d");
    assert!(!got.detach);
    assert_eq!(got.command, words("ps --help -d"));
    assert_eq!(exec("rt exec -- c1 --env x").command, words("--env x"));
    assert_eq!(command("rt state -- -odd"), Command::State(id("-odd")));
}

#[test]
fn switches_take_go_booleans_and_the_last_counts() {
    assert_eq!(ok("rt --systemd-cgroup=false state c").global.cgroup_manager, CgroupManager::Cgroupfs);
    assert_eq!(ok("rt --systemd-cgroup --systemd-cgroup=f state c").global.cgroup_manager, CgroupManager::Cgroupfs);
    assert!(run("rt run --detach=true c").detach);
    assert!(run("rt run --detach=false -d=1 c").detach);
    assert!(err("rt run --detach=maybe c").contains("detach"));
}

#[test]
fn globals() {
    let got = ok("rt --criu /usr/sbin/criu --rootless=true --cgroup-manager cgroupfs --systemd-cgroup state c").global;
    assert_eq!((got.rootless, got.cgroup_manager), (Rootless::Yes, CgroupManager::Cgroupfs));
    assert_eq!(ok("rt --rootless false state c").global.rootless, Rootless::No);
    assert_eq!(ok("rt state c").global, Global::default());
    // After the command too, where the command has no flag of that name.
    assert_eq!(ok("rt state c --root /r").global.root, path("/r"));
    let spec = ok("rt spec --rootless --bundle /b --seccomp default");
    assert_eq!(spec.global.rootless, Rootless::Auto);
    assert_eq!(spec.command, Command::Spec(SpecArgs { bundle: path("/b"), rootless: true, seccomp: true }));
}

#[test]
fn values_may_begin_with_a_dash() {
    assert_eq!(exec("rt exec --cwd -x -e -1 c sh").env, words("-1"));
    assert_eq!(run("rt run --bundle --keep c").create.bundle, path("--keep"));
    assert_eq!(err("rt run --preserve-fds -1 c"), "invalid preserve-fds: -1 (not a number in range)");
}

#[test]
fn a_signal_may_be_written_as_for_kill() {
    let expected = KillArgs { id: "c".into(), signal: Some("9".into()), all: false };
    assert_eq!(command("rt kill c -9"), Command::Kill(expected));
}

#[test]
fn errors_say_what_and_how() {
    for name in ["create", "start", "run", "exec", "state", "kill", "delete"] {
        assert_eq!(err(&format!("rt {name}")), "container id cannot be empty");
        let empty = parse([words("rt"), words(name), vec!["".into()]].concat()).expect_err(name);
        assert_eq!(empty.message, "container id cannot be empty");
    }
    assert_eq!(err("rt statr c"), "no such command: statr (did you mean start?)");
    assert_eq!(err("rt bogus"), "no such command: bogus");
    assert_eq!(err("rt run --bundel /b c"), "unknown option: --bundel (did you mean --bundle?)");
    assert_eq!(err("rt run -x c"), "unknown option: -x");
    assert_eq!(err("rt start a b"), "one argument too many: b");
    assert_eq!(err("rt --log-format xml state c"), "invalid log-format: xml (use one of: text, json)");
    assert_eq!(err("rt run --bundle"), "--bundle needs a value");
    assert_eq!(err("rt completion"), "SHELL is missing (use one of: bash, zsh, fish)");
    assert!(err("rt completion tcsh").contains("tcsh (use one of: bash, zsh, fish)"));
    assert!(err("rt exec c").contains("process args cannot be empty"));
    assert!(err("rt --root / state c").contains("--root"));
    let usage = parse(words("rt --log /l start")).expect_err("no id");
    assert!(usage.text.contains("Usage: rt start [OPTIONS] ID"), "{}", usage.text);
    assert_eq!(usage.global.expect("the globals were fine").log, path("/l"));
}

#[test]
fn help() {
    for line in ["rt", "rt --help", "rt -h", "rt help"] {
        let Command::Help(text) = command(line) else { panic!("{line}") };
        assert!(table::VERBS.iter().all(|verb| text.contains(verb.about)), "{text}");
        assert!(!text.contains("--criu"), "{text}");
    }
    for verb in table::VERBS {
        for line in
            [format!("rt {} --help", verb.name), format!("rt help {}", verb.name), format!("rt --help {}", verb.name)]
        {
            let Command::Help(text) = command(&line) else { panic!("{line}") };
            assert!(text.contains(&format!("Usage: rt {}", verb.name)), "{text}");
        }
    }
}

#[test]
fn canonical_form() {
    let got = normalise(words("rt -root /r --debug=false kill c -a 9"));
    assert_eq!(got, words("rt --root=/r kill --all -- c 9"));
    assert_eq!(normalise(words("rt")), words("rt"));
    assert_eq!(normalise(vec![]), vec![OsString::new()]);
}

#[test]
fn the_whole_tree_is_sound() {
    command_for_docs().debug_assert();
}

#[test]
fn a_bound_on_the_time() {
    for words in [
        "rt create --timeout 2s c",
        "rt run --timeout=1m30s c",
        "rt start --timeout 200ms c",
        "rt exec --timeout 2s c x",
    ] {
        let timeout = match command(words) {
            Command::Create(args) => args.timeout,
            Command::Run(args) => args.create.timeout,
            Command::Start(args) => args.timeout,
            Command::Exec(args) => args.timeout,
            other => panic!("{other:?}"),
        };
        assert!(timeout.is_some(), "{words}");
    }
}
