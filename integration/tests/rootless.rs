//! Ordinary users: what README says works, with and without helpers, nested, with a cgroup of their own; and what a host
//! forbids is named.

use rt_integration::{Bundle, HostMount, Outcome, Sandbox, copy_program, rt_bin, skip};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const USER: u32 = 12345;

macro_rules! user {
    () => {
        match Sandbox::new() {
            Ok(sandbox) => sandbox.as_user(USER),
            Err(why) => skip!("{why}"),
        }
    };
}

/// A container whose cgroup is the test's, and so none that the user may make.
fn container<'a>(sandbox: &'a Sandbox, id: &str) -> Bundle<'a> {
    sandbox.bundle(id).set("/linux/cgroupsPath", format!("{}/{id}", sandbox.cgroup()))
}

/// The call below `wrapper`, whose last words are rt's; both are the user's.
fn below(sandbox: &Sandbox, wrapper: &[&str], call: &Command) -> Outcome {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(rt_bin()).args(call.get_args()).current_dir(sandbox.dir()).env_clear();
    command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").uid(USER).gid(USER);
    sandbox.finish(command)
}

/// Makes the user one that newuidmap(1) knows, with these ranges of ids.
fn with_ranges(sandbox: &Sandbox) {
    let passwd = fs::read_to_string("/etc/passwd").expect("passwd") + &format!("somebody:x:{USER}:{USER}::/:/bin/sh\n");
    for (name, text) in
        [("passwd", passwd), ("subuid", "somebody:100000:65536\n".into()), ("subgid", "somebody:100000:65536\n".into())]
    {
        let file = sandbox.dir().join(name);
        fs::write(&file, text).expect("a file");
        let at = Path::new("/etc").join(name);
        assert!(at.exists(), "{}", at.display());
        let status = Command::new("mount").arg("--bind").arg(&file).arg(&at).status().expect("mount(8)");
        assert!(status.success(), "{}", at.display());
    }
}

/// What `with_ranges` has mounted.
fn without_ranges() {
    for name in ["passwd", "subuid", "subgid"] {
        let status = Command::new("umount").arg(format!("/etc/{name}")).status().expect("umount(8)");
        assert!(status.success(), "{name}");
    }
}

fn has_helpers() -> bool {
    Path::new("/usr/bin/newuidmap").exists() && Path::new("/etc/subuid").exists()
}

fn section() -> String {
    let readme = include_str!("../../README.md");
    let start = readme.find("**Rootless.**").expect("the section");
    readme[start..start + readme[start..].find("\n## ").expect("its end")].to_owned()
}

fn block(kind: &str) -> String {
    let section = section();
    let start = section.find(&format!("```{kind}\n")).expect("a block") + kind.len() + 4;
    section[start..start + section[start..].find("```").expect("its end")].to_owned()
}

/// Each line that README shows, in one shell, and all that it says they print.
#[test]
fn readme_line_by_line() {
    let sandbox = user!();
    let Some(busybox) = ["/usr/bin/busybox", "/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists())
    else {
        skip!("no busybox")
    };
    let bin = sandbox.dir().join("bin");
    let rootfs = sandbox.dir().join("bundles/rootfs");
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(rootfs.join(dir)).expect("a directory");
    }
    fs::create_dir(&bin).expect("a directory");
    symlink(rt_bin(), bin.join("rt")).expect("a link");
    copy_program(busybox, &rootfs.join("bin/busybox")).expect("busybox");
    for name in ["id", "sleep", "cat"] {
        symlink("busybox", rootfs.join("bin").join(name)).expect("a link");
    }
    for (name, line) in [("passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("group", "root:x:0:\n")] {
        fs::write(rootfs.join("etc").join(name), line).expect("a file");
    }
    let text = block("console");
    let (commands, printed): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("$ "));
    assert!(commands.len() > 5, "{text}");
    let script: String = commands.iter().map(|line| format!("{} || exit 1\n", &line[2..])).collect();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).current_dir(sandbox.dir()).env_clear();
    shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    shell.env("XDG_RUNTIME_DIR", sandbox.state_dir().parent().expect("a directory"));
    shell.uid(USER).gid(USER);
    let out = sandbox.finish(shell).ok();
    assert_eq!(out.lines(), printed, "{}", out.report());
    assert_eq!(out.stderr(), "");
}

#[test]
fn readme_several_ranges() {
    let sandbox = user!();
    if !has_helpers() {
        skip!("newuidmap and /etc/subuid are missing");
    }
    with_ranges(&sandbox);
    let text = block("json").replace("1000,", &format!("{USER},"));
    let maps: Value = serde_json::from_str(&format!("{{{text}}}")).expect("JSON");
    let maps = &maps["uidMappings"];
    assert_eq!(maps[0]["hostID"], USER);
    let bundle =
        container(&sandbox, "c").set("/linux/uidMappings", maps.clone()).set("/linux/gidMappings", maps.clone());
    let user = json!({ "uid": 1000, "gid": 65536, "additionalGids": [7] });
    let bundle = bundle.set("/process/user", user).args("seq id -- cat /proc/self/uid_map".split(' '));
    let out = bundle.run().ok();
    let lines = out.lines();
    assert!(lines[0].starts_with("uid=1000,1000,1000,1000 gid=65536,65536,65536,65536 groups=7"), "{}", out.report());
    let ranges: Vec<Vec<_>> = lines[1..].iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(ranges, [["0", "12345", "1"], ["1", "100000", "65536"]]);
    // exec as another of these users.
    let bundle = bundle.args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let out = sandbox.rt("exec --user 5:6 c /bin/probe id".split(' ')).ok();
    assert!(out.stdout().starts_with("uid=5,5,5,5 gid=6,6,6,6 groups=7"), "{}", out.report());
    bundle.delete_force().ok();
    // A range that is somebody else's.
    let foreign =
        json!([{ "containerID": 0, "hostID": 12345, "size": 1 }, { "containerID": 1, "hostID": 300_000, "size": 9 }]);
    let bundle = bundle.set("/linux/gidMappings", foreign).set("/process/user", json!({ "uid": 0, "gid": 0 }));
    bundle
        .run()
        .expect(1)
        .fails_with("the ranges must be the caller's in /etc/subgid, and newgidmap must be setuid root");
    without_ranges();
}

fn ranges<'a>(bundle: Bundle<'a>) -> Bundle<'a> {
    let maps =
        json!([{ "containerID": 0, "hostID": USER, "size": 1 }, { "containerID": 1, "hostID": 100_000, "size": 9 }]);
    bundle.set("/linux/uidMappings", maps.clone()).set("/linux/gidMappings", maps)
}

#[test]
fn helpers_that_cannot_help() {
    let sandbox = user!();
    let bundle = ranges(container(&sandbox, "c"));
    let with_path = |path: &str| {
        let mut call = bundle.command("run", &[]);
        call.env("PATH", path);
        sandbox.finish(call).expect(1)
    };
    with_path("/nothing").fails_with("cannot run newgidmap").fails_with("(package uidmap)");
    if !has_helpers() {
        skip!("newuidmap and /etc/subuid are missing");
    }
    with_ranges(&sandbox);
    let dir = sandbox.dir().join("plain");
    fs::create_dir(&dir).expect("a directory");
    for name in ["newuidmap", "newgidmap"] {
        copy_program(&Path::new("/usr/bin").join(name), &dir.join(name)).expect("a program");
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    with_path(dir.to_str().expect("UTF-8")).fails_with("newgidmap must be setuid root");
    without_ranges();
}

/// As root of a user namespace that somebody without privilege has made, and as an ordinary user of one.
#[test]
fn inside_another_user_namespace() {
    let sandbox = user!();
    let state = sandbox.state_dir();
    let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1 }]);
    let mapped = |bundle: Bundle<'_>, host: u32| {
        bundle
            .set("/linux/uidMappings", map(host))
            .set("/linux/gidMappings", map(host))
            .args("seq id -- cat /proc/self/uid_map".split(' '))
            .command("run", &[])
    };
    let root = mapped(container(&sandbox, "c"), 0);
    let out = below(&sandbox, &["unshare", "--user", "--map-root-user", "--mount"], &root).ok();
    assert!(out.lines()[0].starts_with("uid=0,0,0,0 gid=0,0,0,0"), "{}", out.report());
    let user = mapped(container(&sandbox, "d"), USER);
    let out = below(&sandbox, &["unshare", "--user", "--map-current-user"], &user).ok();
    assert!(out.lines()[0].starts_with("uid=0,0,0,0 gid=0,0,0,0"), "{}", out.report());
    // Without a user namespace of the container's own; the device rules are the host's affair there.
    let bundle = container(&sandbox, "e").without_namespace("user").args(["id"]).edit(|spec| {
        spec["linux"].as_object_mut().expect("linux").retain(|key, _| !key.ends_with("Mappings"));
    });
    let bundle = bundle.set("/linux/resources/devices", json!([{ "allow": false, "access": "rwm" }]));
    let out = below(&sandbox, &["unshare", "--user", "--map-root-user", "--mount"], &bundle.command("run", &[]));
    assert!(out.ok().stdout().starts_with("uid=0,0,0,0"));
    assert!(state.exists());
}

/// `--rootless` decides whether a cgroup that cannot be made is an error; by itself it is none for an ordinary user.
#[test]
fn without_a_cgroup() {
    let sandbox = user!();
    let bundle = container(&sandbox, "c").args(["true"]);
    let with = |rootless: &str| {
        let mut call = sandbox.command([rootless]);
        call.args(bundle.command("run", &[]).get_args().skip(2));
        sandbox.finish(call)
    };
    with("--rootless=true").ok();
    with("--rootless=auto").ok();
    let remedy = "no cgroup is delegated to the caller: run it within systemd-run --user --scope -p Delegate=yes";
    with("--rootless=false").expect(1).fails_with(remedy);
    with("--rootless=maybe").expect(1);
    let limited = container(&sandbox, "d").set("/linux/resources/pids/limit", 50);
    limited.run().expect(1).fails_with("linux.resources.pids.limit: cannot make cgroup").fails_with(remedy);
}

/// The caller lives in a cgroup that was given to the user, as systemd gives one with Delegate=yes.
#[test]
fn with_a_cgroup_of_ones_own() {
    let sandbox = user!();
    let given = sandbox.cgroup_dir("given");
    let caller = given.join("caller");
    fs::create_dir_all(&caller).expect("a cgroup");
    for path in [
        given.clone(),
        given.join("cgroup.procs"),
        given.join("cgroup.subtree_control"),
        caller.clone(),
        caller.join("cgroup.procs"),
    ] {
        chown(path, Some(USER), Some(USER)).expect("chown");
    }
    let bundle =
        container(&sandbox, "c").args(["pause"]).set("/linux/cgroupsPath", format!("{}/given/c", sandbox.cgroup()));
    let within = |call: &Command| {
        let script = "echo $$ > \"$0\" && exec setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\"";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).arg(caller.join("cgroup.procs")).arg(rt_bin()).args(call.get_args());
        command.current_dir(sandbox.dir()).env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        sandbox.finish(command)
    };
    within(&bundle.command("run", &["--detach"])).ok();
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", bundle.pid())).expect("it runs");
    assert!(cgroup.trim_end().ends_with("/given/c"), "{cgroup}");
    within(&sandbox.command(["exec", "c", "/bin/probe", "exit", "3"])).expect(3);
    sandbox.rt(["pause", "c"]).ok();
    assert_eq!(bundle.status(), "paused");
    sandbox.rt(["resume", "c"]).ok();
    bundle.delete_force().ok();
    fs::remove_dir(caller).and_then(|()| fs::remove_dir(given)).expect("empty cgroups");
}

/// The hook of bundles/rootless: the container reaches a listener on this host's loopback by the address that slirp4netns
/// has for it.
#[test]
fn a_network_by_slirp4netns() {
    if !Path::new("/usr/bin/slirp4netns").exists() {
        skip!("slirp4netns is not installed");
    }
    let sandbox = user!();
    // The device is the same on every host, but not everywhere it is for all.
    let tun = sandbox.scratch().join("tun");
    let made = Command::new("mknod").args(["-m", "666"]).arg(&tun).args(["c", "10", "200"]).status().expect("mknod(1)");
    assert!(made.success());
    let Ok(_tun) = HostMount::bind(&tun, Path::new("/dev/net/tun")) else { skip!("no /dev/net/tun") };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let bundle = container(&sandbox, "c").namespace("network", None);
    let hook = json!({ "path": sandbox.dir().join("hook") });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundles/rootless/slirp4netns");
    copy_program(&script, &sandbox.dir().join("hook")).expect("the hook");
    let bundle = bundle.set("/hooks/createRuntime/-", hook.clone()).set("/hooks/poststop/-", hook);
    let steps = format!("seq addresses -- connect tcp:10.0.2.2:{port}");
    let out = bundle.args(steps.split(' ')).run().ok();
    let lines = out.lines();
    assert!(lines.contains(&"tap0 10.0.2.100/24".to_owned()), "{}", out.report());
    assert_eq!(lines.last().map(String::as_str), Some("ok"), "{}", out.report());
}

#[test]
fn a_group_that_is_not_mapped() {
    let sandbox = user!();
    let bundle = container(&sandbox, "c").edit(|spec| {
        for mount in spec["mounts"].as_array_mut().expect("mounts") {
            if mount["destination"] == "/dev/pts" {
                mount["options"].as_array_mut().expect("options").push(json!("gid=5"));
            }
        }
    });
    let out = bundle.run().expect(1);
    out.fails_with("does not take \"gid=5\"").fails_with("the id must be mapped by linux.uidMappings or gidMappings");
}

#[test]
fn no_more_user_namespaces() {
    let sandbox = user!();
    let bundle = container(&sandbox, "c");
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    let call = bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map).command("run", &[]);
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" \"$@\"";
    let out = below(&sandbox, &["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c", script], &call);
    out.expect(1).fails_with("user.max_user_namespaces");
}

#[test]
fn no_more_keys() {
    // The quota is the user's, in whatever test he is.
    let sandbox = match Sandbox::new() {
        Ok(sandbox) => sandbox.as_user(USER + 1),
        Err(why) => skip!("{why}"),
    };
    let hoard = container(&sandbox, "hoard").args(["hoard-keys"]);
    let out = hoard.run_with(&["--detach"]).ok();
    out.wait_stdout("\n");
    assert!(out.stdout().contains("EDQUOT"), "{}", out.report());
    let bundle = container(&sandbox, "c");
    let refused = "the user's key quota is used up; raise kernel.keys.maxkeys or use --no-new-keyring";
    bundle.run().expect(1).fails_with(refused);
    bundle.run_with(&["--no-new-keyring"]).ok();
    hoard.delete_force().ok();
}

/// Neither XDG_RUNTIME_DIR nor --root: the system's place is not the user's.
#[test]
fn nowhere_to_keep_the_state() {
    let sandbox = user!();
    let bundle = container(&sandbox, "c");
    bundle.write();
    let mut call = Command::new(rt_bin());
    call.args(["run", "--bundle"]).arg(&bundle.dir).arg("c").current_dir(sandbox.dir()).env_clear();
    call.uid(USER).gid(USER);
    sandbox.finish(call).expect(1).fails_with("an ordinary user sets XDG_RUNTIME_DIR");
}

/// Where AppArmor keeps user namespaces from programs that it does not know, as Ubuntu does.
#[test]
fn user_namespaces_restricted_by_apparmor() {
    let switch = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    if !Path::new(switch).exists() {
        skip!("no {switch}");
    }
    let sandbox = user!();
    let before = fs::read_to_string(switch).expect("the switch");
    if fs::write(switch, "1").is_err() {
        skip!("{switch} cannot be changed");
    }
    let out = container(&sandbox, "c").run();
    fs::write(switch, before).expect("the switch");
    out.expect(1).fails_with("kernel.apparmor_restrict_unprivileged_userns is 1 and no AppArmor profile names rt");
}
