//! Idmapped mounts: whose the files are inside, what lands on the host, and what is refused.

use rt_integration::{Bundle, HostMount, Sandbox, both, sandbox};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

fn range(inside: u32, host: u32, size: u32) -> Value {
    json!([{ "containerID": inside, "hostID": host, "size": size }])
}

/// A user namespace for the container. The rootfs keeps its owners, so it stays readable only.
fn in_user_namespace(bundle: Bundle<'_>, uid: u32, gid: u32) -> Bundle<'_> {
    let bundle = bundle.namespace("user", None);
    bundle.set("/linux/uidMappings", range(0, uid, 1000)).set("/linux/gidMappings", range(0, gid, 1000))
}

/// A mount with mappings of its own.
fn mapped<'a>(bundle: Bundle<'a>, at: &str, source: &Path, options: &[&str], uids: Value, gids: Value) -> Bundle<'a> {
    let mount = json!({ "destination": at, "type": "bind", "source": text(source), "options": options,
        "uidMappings": uids, "gidMappings": gids });
    bundle.set("/mounts/-", mount)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn owned(path: &Path, uid: u32, gid: u32) {
    fs::write(path, "content").expect("a file");
    chown(path, Some(uid), Some(gid)).expect("chown");
}

/// A directory of root's with a file of 3:4.
fn volume(sandbox: &Sandbox, name: &str) -> PathBuf {
    let dir = sandbox.dir().join(name);
    fs::create_dir_all(&dir).expect("a directory");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("chmod");
    owned(&dir.join("file"), 3, 4);
    dir
}

fn owner(path: &Path) -> (u32, u32) {
    let meta = fs::metadata(path).expect("a file");
    (meta.uid(), meta.gid())
}

#[test]
fn by_the_containers_own_namespace() {
    both(|sandbox| {
        let dir = volume(sandbox, "volume");
        let steps = "seq owner /mnt /mnt/file -- write /mnt/new x -- owner /mnt/new";
        for option in ["idmap", "ridmap"] {
            let bundle = in_user_namespace(sandbox.bundle("c"), 100_000, 200_000);
            let bundle = bundle.mount("/mnt", "none", text(&dir), &["rbind", option]);
            let out = bundle.args(steps.split(' ')).run().ok();
            assert_eq!(out.lines(), ["0 0 0755", "3 4 0644", "0 0 0644"], "{option}: {}", out.report());
            assert_eq!(owner(&dir.join("new")), (0, 0), "{option}");
            fs::remove_file(dir.join("new")).expect("the file");
        }
        // The same mount without a mapping belongs to nobody that the container knows.
        let bundle = in_user_namespace(sandbox.bundle("c"), 100_000, 200_000);
        let out = bundle.mount("/mnt", "none", text(&dir), &["rbind"]).args(["owner", "/mnt/file"]).run().ok();
        assert_eq!(out.stdout(), "65534 65534 0644\n");
    });
}

#[test]
fn what_a_user_inside_writes_is_that_users_on_the_host() {
    let sandbox = sandbox!();
    let dir = volume(&sandbox, "volume");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("chmod");
    let bundle =
        in_user_namespace(sandbox.bundle("c"), 100_000, 200_000).set("/process/user", json!({ "uid": 7, "gid": 8 }));
    let bundle = bundle.mount("/mnt", "none", text(&dir), &["bind", "idmap"]);
    bundle.args(["write", "/mnt/new", "x"]).run().ok();
    assert_eq!(owner(&dir.join("new")), (7, 8));
}

#[test]
fn by_mappings_of_the_mount() {
    both(|sandbox| {
        let dir = volume(sandbox, "volume");
        // Without a user namespace, and without the word: the mappings alone are enough. What is not mapped is nobody's.
        let bundle = mapped(sandbox.bundle("c"), "/mnt", &dir, &["bind"], range(3, 30, 1), range(0, 40, 10));
        let out = bundle.args(["owner", "/mnt", "/mnt/file"]).run().ok();
        assert_eq!(out.lines(), ["65534 40 0755", "30 44 0644"], "{}", out.report());
        // What root writes is on disk as whoever root is mapped from.
        let bundle = mapped(sandbox.bundle("c"), "/mnt", &dir, &["bind", "idmap"], range(5, 0, 1), range(6, 0, 1));
        chown(&dir, Some(5), Some(6)).expect("chown");
        let out = bundle.args("seq write /mnt/new x -- owner /mnt/new".split(' ')).run().ok();
        assert_eq!(out.stdout(), "0 0 0644\n");
        assert_eq!(owner(&dir.join("new")), (5, 6));
        fs::remove_file(dir.join("new")).expect("the file");
        // With a user namespace: the ids of the mapping are the host's, and go through the container's.
        let bundle = in_user_namespace(sandbox.bundle("c"), 100_000, 200_000);
        let bundle = mapped(bundle, "/mnt", &dir, &["rbind", "ridmap"], range(0, 100_100, 10), range(0, 200_200, 10));
        let out = bundle.args(["owner", "/mnt/file"]).run().ok();
        assert_eq!(out.stdout(), "103 204 0644\n");
        // What an engine sends with each volume of a pod: the container's mappings once more.
        let bundle = in_user_namespace(sandbox.bundle("c"), 100_000, 200_000);
        let bundle =
            mapped(bundle, "/mnt", &dir, &["rbind", "ridmap"], range(0, 100_000, 1000), range(0, 200_000, 1000));
        assert_eq!(bundle.args(["owner", "/mnt/file"]).run().ok().stdout(), "3 4 0644\n");
    });
}

#[test]
fn several_mappings_side_by_side() {
    let sandbox = sandbox!();
    let dir = volume(&sandbox, "volume");
    let mut bundle = in_user_namespace(sandbox.bundle("c"), 100_000, 100_000);
    for (at, host) in [("/mnt/a", 100_100), ("/mnt/b", 100_200), ("/mnt/c", 100_100)] {
        bundle = mapped(bundle, at, &dir, &["bind", "idmap"], range(0, host, 10), range(0, host, 10));
    }
    let bundle =
        bundle.mount("/mnt/d", "none", text(&dir), &["bind", "idmap"]).mount("/mnt/e", "none", text(&dir), &["bind"]);
    // Mount points inside a rootfs that is not the container's root's: they have to exist.
    for name in ["a", "b", "c", "d", "e"] {
        fs::create_dir_all(bundle.rootfs().join("mnt").join(name)).expect("a directory");
    }
    let files = ["/mnt/a/file", "/mnt/b/file", "/mnt/c/file", "/mnt/d/file", "/mnt/e/file"];
    let out = bundle.args(["owner"].iter().chain(&files)).run().ok();
    let expected = ["103 104 0644", "203 204 0644", "103 104 0644", "3 4 0644", "65534 65534 0644"];
    assert_eq!(out.lines(), expected, "{}", out.report());
}

#[test]
fn the_recursive_word_reaches_the_mounts_below() {
    both(|sandbox| {
        let dir = volume(sandbox, "volume");
        let _below = HostMount::tmpfs(&dir.join("sub"), 0, "");
        owned(&dir.join("sub/file"), 5, 6);
        for (option, below) in [("idmap", "5 6 0644"), ("ridmap", "15 26 0644")] {
            let bundle =
                mapped(sandbox.bundle("c"), "/mnt", &dir, &["rbind", option], range(0, 10, 10), range(0, 20, 10));
            let out = bundle.args(["owner", "/mnt/file", "/mnt/sub/file"]).run().ok();
            assert_eq!(out.lines(), ["13 24 0644", below], "{option}: {}", out.report());
        }
    });
}

#[test]
fn a_single_file_and_a_relative_source() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c");
    owned(&bundle.dir.join("secret"), 3, 4);
    let bundle = mapped(bundle, "/run/secret", Path::new("secret"), &["bind", "idmap"], range(3, 0, 1), range(4, 0, 1));
    assert_eq!(bundle.args(["owner", "/run/secret"]).run().ok().stdout(), "0 0 0644\n");
}

#[test]
fn together_with_other_options() {
    both(|sandbox| {
        let dir = volume(sandbox, "volume");
        let _below = HostMount::tmpfs(&dir.join("sub"), 0, "");
        let run = |words: &[&str]| {
            let words: Vec<_> = ["rbind", "ridmap"].iter().chain(words).copied().collect();
            let bundle =
                in_user_namespace(sandbox.bundle("c"), 100_000, 200_000).mount("/mnt", "none", text(&dir), &words);
            let out = bundle.args("seq mounts /mnt -- mounts /mnt/sub -- owner /mnt/file".split(' ')).run().ok();
            let lines = out.lines();
            assert_eq!(lines[2], "3 4 0644", "{}", out.report());
            let fields = |line: &String| line.split(" - ").next().unwrap_or_default().to_owned();
            (fields(&lines[0]), fields(&lines[1]))
        };
        let (top, below) = run(&["ro", "nosuid"]);
        assert!(top.contains(" ro,nosuid") && top.contains("idmapped"), "{top}");
        assert!(below.contains(" rw,") && below.contains("idmapped"), "{below}");
        let (top, below) = run(&["rro", "rnoexec"]);
        assert!(top.contains(" ro,noexec") && below.contains(" ro,noexec"), "{top}; {below}");
        let (top, _) = run(&["shared"]);
        assert!(top.contains("shared:"), "{top}");
        let (top, below) = run(&["rprivate"]);
        assert!(!top.contains("master:") && !top.contains("shared:"), "{top}");
        assert!(!below.contains("master:"), "{below}");
    });
}

/// A new sysfs needs a network namespace that the container's user namespace owns.
fn without_sysfs(bundle: Bundle<'_>) -> Bundle<'_> {
    bundle.edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| !matches!(mount["type"].as_str(), Some("sysfs" | "cgroup")));
    })
}

#[test]
fn with_a_joiner_between() {
    let sandbox = sandbox!();
    let dir = volume(&sandbox, "volume");
    let holder = sandbox.bundle("holder").args(["pause"]);
    holder.run_with(&["--detach"]).ok();
    let network = format!("/proc/{}/ns/net", holder.pid());
    // A new user namespace and a joined other one; then one with clock offsets.
    let bundle = || {
        let bundle = in_user_namespace(sandbox.bundle("c"), 100_000, 200_000);
        bundle.mount("/mnt", "none", text(&dir), &["bind", "idmap"]).args(["owner", "/mnt/file"])
    };
    let joining = without_sysfs(bundle().namespace("network", Some(&network))).run();
    assert_eq!(joining.ok().stdout(), "3 4 0644\n");
    let offsets = bundle().namespace("time", None).set("/linux/timeOffsets", json!({ "monotonic": { "secs": 5 } }));
    assert_eq!(offsets.run().ok().stdout(), "3 4 0644\n");
    holder.delete_force().ok();
}

#[test]
fn by_the_namespace_that_is_joined() {
    let sandbox = sandbox!();
    let dir = volume(&sandbox, "volume");
    let holder = in_user_namespace(sandbox.bundle("holder"), 100_000, 200_000).args(["pause"]);
    holder.run_with(&["--detach"]).ok();
    let user = format!("/proc/{}/ns/user", holder.pid());
    let bundle =
        sandbox.bundle("c").namespace("user", Some(&user)).mount("/mnt", "none", text(&dir), &["bind", "idmap"]);
    let out = bundle.args("seq owner /mnt/file -- write /mnt/new x".split(' ')).run().ok();
    assert_eq!(out.stdout(), "3 4 0644\n");
    assert_eq!(owner(&dir.join("new")), (0, 0));
    // Our own is not a mapping at all.
    let own = sandbox.bundle("c").namespace("user", Some("/proc/self/ns/user"));
    let out = own.mount("/mnt", "none", text(&dir), &["bind", "idmap"]).run().expect(1);
    out.fails_with("the user namespace to join is our own");
    holder.delete_force().ok();
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let sandbox = sandbox!();
    let dir = volume(&sandbox, "volume");
    let add = |mount: Value| sandbox.bundle("c").set("/mounts/-", mount).run().expect(1);
    let mount = |kind: &str, options: &[&str], more: Value| {
        let mut mount = json!({ "destination": "/mnt", "type": kind, "source": text(&dir), "options": options });
        mount.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        mount
    };
    let both = || json!({ "uidMappings": range(0, 7, 1), "gidMappings": range(0, 8, 1) });
    add(mount("bind", &["bind", "idmap"], json!({}))).fails_with("mounts[7] /mnt: idmap needs uidMappings");
    add(mount("tmpfs", &["ridmap"], both()))
        .fails_with("mounts[7] /mnt: id-mapped mounts are only supported for bind-mounts");
    add(mount("tmpfs", &[], both())).fails_with("id-mapped mounts are only supported for bind-mounts");
    let half = json!({ "uidMappings": range(0, 7, 1) });
    add(mount("bind", &["bind", "idmap"], half)).fails_with("mounts[7].gidMappings: /mnt has uidMappings only");
    let half = json!({ "gidMappings": range(0, 7, 1) });
    add(mount("bind", &["bind"], half)).fails_with("mounts[7].uidMappings: /mnt has gidMappings only");
    let empty = json!({ "uidMappings": range(0, 7, 0), "gidMappings": range(0, 7, 1) });
    add(mount("bind", &["bind"], empty)).fails_with("mounts[7].uidMappings[0].size: is 0");
    let many: Vec<_> = (0..340).map(|at| json!({ "containerID": at, "hostID": 100_000 + 2 * at, "size": 1 })).collect();
    let page = json!({ "uidMappings": many, "gidMappings": many });
    add(mount("bind", &["bind"], page)).fails_with("mounts[7] /mnt: uidMappings, gidMappings: ");
}

#[test]
fn a_filesystem_without_idmapped_mounts_is_named() {
    let sandbox = sandbox!();
    let source = Path::new("/sys/kernel");
    let out =
        mapped(sandbox.bundle("c"), "/mnt", source, &["bind", "idmap"], range(0, 7, 1), range(0, 8, 1)).run().expect(1);
    let out = out.fails_with("mounts[7] /mnt: cannot map the ids of /sys/kernel, of filesystem sysfs: ");
    assert!(out.stderr().contains("use another filesystem for the source"), "{}", out.report());
    let bundle = in_user_namespace(sandbox.bundle("c"), 100_000, 200_000);
    let out = bundle.mount("/mnt", "none", "/sys/kernel", &["bind", "idmap"]).run().expect(1);
    out.fails_with("mounts[7] /mnt: cannot map the ids of /sys/kernel, of filesystem sysfs: ");
}

#[test]
fn not_for_a_user_without_privilege() {
    let sandbox = sandbox!().as_user(12345);
    let dir = sandbox.dir().join("volume");
    fs::create_dir(&dir).expect("a directory");
    let out = sandbox.bundle("c").mount("/mnt", "none", text(&dir), &["bind", "idmap"]).run().expect(1);
    let out = out.fails_with("/mnt: id-mapped mounts are not supported for rootless containers");
    assert!(out.stderr().contains("mounts["), "{}", out.report());
}

#[test]
fn it_is_announced() {
    let sandbox = sandbox!();
    let features: Value = serde_json::from_str(&sandbox.rt(["features"]).ok().stdout()).expect("JSON");
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
    let options = features["mountOptions"].as_array().expect("options");
    assert!(options.contains(&"idmap".into()) && options.contains(&"ridmap".into()));
}
