//! Mounts with a mind of their own: cgroup, proc, sysfs, tmpcopyup, the root itself, and targets that are missing,
//! links or files.

use rt_integration::{Bundle, both};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

fn without<'a>(bundle: Bundle<'a>, destination: &str) -> Bundle<'a> {
    let destination = destination.to_owned();
    bundle.edit(move |spec| {
        spec["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != destination.as_str());
    })
}

fn mapped(bundle: Bundle<'_>) -> Bundle<'_> {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    bundle.namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
}

#[test]
fn tmpcopyup_copies_everything_as_it_was() {
    both(|sandbox| {
        let bundle = sandbox.bundle("c").plant("/data/deep/er/file", "text").plant("/data/run", "#!");
        let data = bundle.rootfs().join("data");
        symlink("../etc/passwd", data.join("link")).expect("a link");
        symlink("/dangling", data.join("deep/dangling")).expect("a link");
        fs::set_permissions(data.join("run"), fs::Permissions::from_mode(0o4751)).expect("chmod");
        fs::set_permissions(data.join("deep"), fs::Permissions::from_mode(0o1775)).expect("chmod");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o711)).expect("chmod");
        for (path, uid, gid) in [("run", 12, 34), ("deep", 56, 78), ("deep/er", 9, 10), ("", 3, 4)] {
            chown(data.join(path), Some(uid), Some(gid)).expect("chown");
        }
        // The owner changes last: chown clears set-id bits.
        fs::set_permissions(data.join("run"), fs::Permissions::from_mode(0o4751)).expect("chmod");
        let paths = "/data /data/run /data/deep /data/deep/er /data/deep/er/file /data/link";
        let steps = format!("seq stat {paths} -- readlink /data/link /data/deep/dangling -- cat /data/deep/er/file");
        let plain = |line: &String| line.split(' ').take(4).map(str::to_owned).collect::<Vec<_>>().join(" ");
        let before: Vec<String> =
            sandbox.bundle("c").args(steps.split(' ')).run().ok().lines().iter().take(6).map(plain).collect();
        let bundle = bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
        let out = bundle.args(steps.split(' ')).run().ok();
        let lines = out.lines();
        let after: Vec<String> = lines.iter().take(6).map(plain).collect();
        assert_eq!(after, before, "{}", out.report());
        assert_eq!(lines[6..], ["../etc/passwd", "/dangling", "text"], "{}", out.report());
        let bind = sandbox.bundle("c").mount("/data", "none", "/etc", &["bind", "tmpcopyup"]).run();
        bind.fails_with("tmpcopyup works on tmpfs only");
    });
}

#[test]
fn a_link_is_copied_for_who_asks() {
    both(|sandbox| {
        let link = sandbox.dir().join("link");
        symlink("../etc/passwd", &link).expect("a link");
        let source = link.to_str().expect("UTF-8");
        let copied = |id: &str| sandbox.bundle(id).mount("/etc/link", "none", source, &["rbind", "ro", "copy-symlink"]);
        assert_eq!(copied("c").args(["readlink", "/etc/link"]).run().ok().stdout(), "../etc/passwd\n");
        assert_eq!(copied("b").plant_link("/etc/link", "../etc/passwd").args(["true"]).run().ok().stdout(), "");
        copied("d").plant_link("/etc/link", "/other").run().fails_with("mounts[7] /etc/link: cannot make the link");
        // It is made inside, wherever the way to it leads.
        let outside = sandbox.dir().join("outside");
        fs::create_dir(&outside).expect("a directory");
        let way = copied("e").plant_link("/way", outside.to_str().expect("UTF-8"));
        let way = way.mount("/way/link", "none", source, &["bind", "copy-symlink"]);
        assert_eq!(way.args(["readlink", "/way/link"]).run().ok().stdout(), "../etc/passwd\n");
        assert!(!outside.join("link").is_symlink());
        // What is no link is bound.
        let bound = sandbox.bundle("f").mount("/mnt", "none", "/etc", &["bind", "copy-symlink"]);
        assert!(bound.args(["mounts", "/mnt"]).run().ok().stdout().contains(" /mnt "));
        let fresh = sandbox.bundle("g").mount("/mnt", "tmpfs", "tmpfs", &["copy-symlink"]);
        fresh.run().fails_with("mounts[7] /mnt: copy-symlink is for bind mounts");
    });
}

#[test]
fn a_mount_over_the_root_is_the_root() {
    both(|sandbox| {
        let other = sandbox.bundle("other").plant("/etc/other", "other").rootfs();
        let path = other.to_str().expect("UTF-8");
        let bundle = sandbox.bundle("c").edit(|spec| {
            let root = json!({ "destination": "/", "type": "none", "source": path, "options": ["rbind"] });
            spec["mounts"].as_array_mut().expect("mounts").insert(0, root);
        });
        assert_eq!(bundle.args(["cat", "/etc/other"]).run().ok().stdout(), "other");
    });
}

#[test]
fn a_new_filesystem_over_the_root_is_the_root() {
    both(|sandbox| {
        for (options, answer) in [(&["mode=755"][..], "writable\n"), (&["mode=755", "ro"], "read-only\n")] {
            let probe = sandbox.probe();
            let bundle = sandbox.bundle("c").set("/root/readonly", false).edit(|spec| {
                let mounts = spec["mounts"].as_array_mut().expect("mounts");
                mounts.insert(0, json!({ "destination": "/", "type": "tmpfs", "source": "top", "options": options }));
                // A file over a file that is not there yet.
                let probe = json!({ "destination": "/bin/probe", "source": probe, "options": ["bind"] });
                mounts.insert(1, probe);
            });
            let out = bundle.args("seq mounts / -- ls / -- readonly /".split(' ')).run().ok();
            let lines = out.lines();
            assert!(lines[0].contains(" - tmpfs top "), "{}", out.report());
            assert_eq!(lines[1..lines.len() - 1], ["bin", "dev", "proc", "sys"], "{}", out.report());
            assert!(out.stdout().ends_with(answer), "{options:?}: {}", out.report());
        }
    });
}

#[test]
fn a_relative_destination_is_taken_from_the_root_with_a_warning() {
    both(|sandbox| {
        let out = sandbox.bundle("c").mount("mnt/deep", "tmpfs", "t", &[]).args(["mounts", "/mnt/deep"]).run().ok();
        assert!(out.stdout().contains(" /mnt/deep "), "{}", out.report());
        let words = "mounts[7].destination: mnt/deep is relative, which is deprecated; it is taken from /";
        assert!(out.stderr().contains(words), "{}", out.report());
        let out = sandbox.bundle("c").mount("/mnt", "tmpfs", "t", &[]).run().ok();
        assert_eq!(out.stderr(), "");
    });
}

#[test]
fn sources_of_binds() {
    both(|sandbox| {
        // Relative to the bundle, without a type, a file over nothing.
        let bundle = sandbox.bundle("c");
        fs::create_dir_all(bundle.dir.join("data")).expect("a directory");
        fs::write(bundle.dir.join("data/file"), "content").expect("a file");
        for source in ["data/file", "./data/file", "../bundle-c/data/file"] {
            let mount = json!({ "destination": "/run/made/file", "source": source, "options": ["bind"] });
            let out = sandbox.bundle("c").set("/mounts/-", mount).args(["cat", "/run/made/file"]).run().ok();
            assert_eq!(out.stdout(), "content", "{source}");
        }
        // A type is only a word on a bind.
        let out = sandbox.bundle("c").mount("/mnt", "nonsense", "data", &["rbind"]).args(["ls", "/mnt"]).run().ok();
        assert_eq!(out.stdout(), "file\n");
        let missing = sandbox.bundle("c").mount("/mnt", "none", "nowhere/at/all", &["bind"]).run().expect(1);
        let missing = missing.fails_with("mounts[7] /mnt: cannot bind ");
        assert!(missing.stderr().contains("bundle-c/nowhere/at/all: "), "{}", missing.report());
        let add = |mount| sandbox.bundle("c").set("/mounts/-", mount).run().expect(1);
        add(json!({ "destination": "/mnt", "options": ["bind"] }))
            .fails_with("mounts[7] /mnt: a bind mount needs a source");
        let empty = json!({ "destination": "/mnt", "source": "", "options": ["rbind"] });
        add(empty).fails_with("mounts[7] /mnt: a bind mount needs a source");
        add(json!({ "destination": "/mnt" })).fails_with("mounts[7] /mnt: type is missing");
        add(json!({ "destination": "/mnt", "source": "data" })).fails_with("mounts[7] /mnt: type is missing");
        add(json!({ "destination": "/mnt", "type": "nonsense" })).fails_with("no filesystem \"nonsense\"");
    });
}

#[test]
fn tmpcopyup_with_files_of_every_kind() {
    both(|sandbox| {
        let bundle = |id: &str| {
            let bundle = sandbox.bundle(id).plant("/data/plain", "text");
            let data = bundle.rootfs().join("data");
            let make = |name: &str, kind: libc::mode_t, device: libc::dev_t| {
                let path =
                    std::ffi::CString::new(data.join(name).into_os_string().into_encoded_bytes()).expect("a path");
                // SAFETY: a terminated string that outlives the call.
                let made = unsafe { libc::mknod(path.as_ptr(), kind | 0o640, device) };
                assert_eq!(made, 0, "{name}: {}", std::io::Error::last_os_error());
            };
            make("fifo", libc::S_IFIFO, 0);
            make("socket", libc::S_IFSOCK, 0);
            make("char", libc::S_IFCHR, libc::makedev(1, 3));
            make("block", libc::S_IFBLK, libc::makedev(7, 200));
            bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"])
        };
        let out = bundle("own").args("stat /data/fifo /data/socket /data/char /data/block".split(' ')).run().ok();
        let expected =
            ["fifo 0640 0 0 0 0:0", "socket 0640 0 0 0 0:0", "char 0640 0 0 0 1:3", "block 0640 0 0 0 7:200"];
        assert_eq!(out.lines(), expected, "{}", out.report());
        // Root of the image's files, so that their copies can be: a user namespace may make all but devices.
        let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        let inside = bundle("userns").namespace("user", None).set("/linux/uidMappings", map.clone());
        let out = inside.set("/linux/gidMappings", map).args(["ls", "/data"]).run().ok();
        assert_eq!(out.lines(), ["fifo", "plain", "socket"], "{}", out.report());
    });
}

#[test]
fn a_users_read_only_sys_is_read_only_below() {
    let sandbox = rt_integration::sandbox!().as_user(12345);
    // CVE-2023-25809: a cgroup that is the user's, below a /sys that is bound read-only.
    let cgroup = format!("/sys/fs/cgroup{}", sandbox.cgroup());
    chown(&cgroup, Some(12345), Some(12345)).expect("chown");
    chown(format!("{cgroup}/cgroup.procs"), Some(12345), Some(12345)).expect("chown");
    let procs = format!("{cgroup}/cgroup.procs");
    let steps = ["seq", "mounts", "/sys/fs/cgroup", "--", "open-dev", &procs, "w", "--", "try", "mkdirat", "-100"];
    let made = format!("{cgroup}/made");
    let out = sandbox.bundle("c").args(steps.into_iter().chain([made.as_str(), "0755"])).run().ok();
    let lines = out.lines();
    assert!(lines[0].contains(" /sys/fs/cgroup ro,"), "{}", out.report());
    assert_eq!(lines[1..], ["EROFS", "EROFS"], "{}", out.report());
    // A recursive word of the config's own decides.
    let writable = sandbox.bundle("c").edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().expect("mounts");
        let sys = mounts.iter_mut().find(|mount| mount["destination"] == "/sys").expect("the default spec");
        sys["options"] = json!(["rbind", "ro", "rrw"]);
    });
    assert_eq!(writable.args(["open-dev", &procs, "w"]).run().ok().stdout(), "ok\n");
}

#[test]
fn targets_that_are_links_or_missing() {
    both(|sandbox| {
        // A link to a directory of the image: the mount is where the link leads.
        let bundle = sandbox.bundle("l").plant("/real/file", "x").plant_link("/alias", "/real");
        let bundle = bundle.mount("/alias", "tmpfs", "tmpfs", &[]);
        let out = bundle.args(["seq", "mounts", "/real", "--", "ls", "/real"]).run().ok();
        assert!(out.stdout().contains(" /real "), "{}", out.report());
        // A link that leads out of the image and back is a link inside it.
        let bundle = sandbox.bundle("o").plant_link("/out", "/../../../../../../var").mount("/out", "tmpfs", "t", &[]);
        assert!(bundle.args(["mounts", "/var"]).run().ok().stdout().contains(" /var "));
        // A chain of links, the last of them dangling.
        let bundle = sandbox.bundle("d").plant_link("/one", "two").plant_link("/two", "/var/three");
        let bundle = bundle.plant_link("/var/three", "../made/here").mount("/one", "tmpfs", "t", &[]);
        assert!(bundle.args(["mounts", "/made/here"]).run().ok().stdout().contains(" /made/here "));
        sandbox.bundle("x").plant_link("/loop", "loop").mount("/loop", "tmpfs", "t", &[]).run().fails_with("/loop");
        // A file is no directory, and the other way round.
        sandbox.bundle("f").mount("/etc/passwd", "tmpfs", "t", &[]).run().fails_with("/etc/passwd");
        sandbox.bundle("f").mount("/etc/passwd/x", "tmpfs", "t", &[]).run().fails_with("/etc/passwd/x");
        let file = sandbox.dir().join("file");
        fs::write(&file, "").expect("a file");
        let file = file.to_str().expect("UTF-8");
        sandbox.bundle("f").mount("/mnt", "none", file, &["bind"]).run().fails_with("/mnt");
        // A relative destination is the root's.
        let bundle = sandbox.bundle("r").mount("mnt/deep", "tmpfs", "t", &[]).args(["mounts", "/mnt/deep"]);
        assert!(bundle.run().ok().stdout().contains(" /mnt/deep "));
    });
}

#[test]
fn a_read_only_tmpfs_at_dev_still_has_its_nodes() {
    both(|sandbox| {
        let bundle = without(sandbox.bundle("c"), "/dev").edit(|spec| {
            let dev = json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "ro", "mode=755"] });
            spec["mounts"].as_array_mut().expect("mounts").insert(1, dev);
        });
        let out = bundle.args("seq open-dev /dev/null rw -- readonly /dev /dev/shm -- readlink /dev/fd".split(' '));
        assert_eq!(out.run().ok().stdout(), "ok\nread-only\nwritable\n/proc/self/fd\n");
    });
}

#[test]
fn the_cgroup_mount() {
    both(|sandbox| {
        let cgroup = |option: &str| {
            without(sandbox.bundle("c"), "/sys/fs/cgroup").mount(
                "/sys/fs/cgroup",
                "cgroup",
                "cgroup",
                &["nosuid", "noexec", "nodev", option],
            )
        };
        // With a cgroup namespace the container's own cgroup is the root of what it sees.
        let steps = "seq mounts /sys/fs/cgroup -- cat /proc/self/cgroup -- try mkdirat -100 /sys/fs/cgroup/below 0755";
        let out = cgroup("rw").args(steps.split(' ')).run().ok();
        let lines = out.lines();
        assert!(lines[0].contains(" / /sys/fs/cgroup rw,nosuid,nodev,noexec"), "{}", out.report());
        assert!(
            lines.contains(&"0::/".to_owned()) && lines.last().is_some_and(|line| line == "ok"),
            "{}",
            out.report()
        );
        let out = cgroup("ro").args(steps.split(' ')).run().ok();
        assert!(out.lines()[0].contains(" / /sys/fs/cgroup ro,"), "{}", out.report());
        assert_eq!(out.lines().last().map(String::as_str), Some("EROFS"), "{}", out.report());
        // Without one, the path in it is the host's.
        let out = cgroup("ro").without_namespace("cgroup").args(["cat", "/proc/self/cgroup"]).run().ok();
        assert!(out.stdout().contains(sandbox.cgroup()), "{}", out.report());
        let out = cgroup("ro").edit(|spec| spec["mounts"][6]["type"] = "cgroup2".into());
        out.run().ok();
    });
}

#[test]
fn proc_and_sysfs_only_on_real_directories() {
    both(|sandbox| {
        for name in ["proc", "sys"] {
            for target in ["/tmp", "tmp", "/proc/self/cwd", "/dangling"] {
                let bundle = sandbox.bundle(&format!("{name}-{}", target.replace('/', "_")));
                fs::remove_dir(bundle.rootfs().join(name)).expect("the directory");
                symlink(target, bundle.rootfs().join(name)).expect("a link");
                bundle.run().fails_with("must be mounted on ordinary directory");
                assert_eq!(fs::read_dir(bundle.rootfs().join("tmp")).expect("tmp").count(), 0);
            }
            let bundle = sandbox.bundle(&format!("file-{name}"));
            fs::remove_dir(bundle.rootfs().join(name)).expect("the directory");
            bundle.plant(&format!("/{name}"), "a file").run().fails_with("must be mounted on ordinary directory");
        }
        // Missing ones are made.
        let bundle = sandbox.bundle("made");
        fs::remove_dir(bundle.rootfs().join("proc")).expect("the directory");
        fs::remove_dir(bundle.rootfs().join("sys")).expect("the directory");
        bundle.run().ok();
    });
}

#[test]
fn what_may_lie_over_and_inside_proc() {
    both(|sandbox| {
        sandbox
            .bundle("c")
            .mount("/proc", "tmpfs", "t", &[])
            .run()
            .fails_with(": \"/proc\" cannot be mounted because it is not of type proc");
        for at in ["/proc/self", "/proc/1/attr", "/proc/sys", "/./proc//self/", "/mnt/../proc/self"] {
            sandbox
                .bundle("c")
                .mount(at, "tmpfs", "t", &[])
                .run()
                .fails_with("cannot be mounted because it is inside /proc");
        }
        // What lxcfs does.
        let file = sandbox.dir().join("meminfo");
        fs::write(&file, "MemTotal: 1 kB\n").expect("a file");
        let bundle = sandbox.bundle("c").mount("/proc/meminfo", "none", file.to_str().expect("UTF-8"), &["bind"]);
        assert_eq!(bundle.args(["cat", "/proc/meminfo"]).run().ok().stdout(), "MemTotal: 1 kB\n");
        // By way of a link the same place is the same place.
        let bundle = sandbox.bundle("s").plant_link("/p", "/proc").mount("/p/self/attr", "tmpfs", "t", &[]);
        bundle.run().fails_with("/proc");
    });
}

#[test]
fn sysfs_needs_a_network_namespace_of_the_user_namespace() {
    both(|sandbox| {
        let out = mapped(sandbox.bundle("c")).without_namespace("network").run().fails_with("/sys");
        assert!(out.stderr().contains("bind /sys with rbind,ro instead"), "{}", out.report());
        mapped(sandbox.bundle("c")).run().ok();
    });
}
