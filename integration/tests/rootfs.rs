//! Mounts, devices, masked paths, the root itself. Each test that mounts runs under private and under shared
//! propagation: in neither may anything appear outside the container.

use rt_integration::{Bundle, Outcome, both, sandbox};
use serde_json::json;
use std::fs;

/// The options of the mount at a place inside, as mountinfo has them.
#[track_caller]
fn options(bundle: Bundle<'_>, at: &str) -> (Vec<String>, Outcome) {
    let out = bundle.args(["mounts", at]).run().ok();
    let line = out.stdout();
    let list = line.split(' ').nth(5).unwrap_or_else(|| panic!("{}", out.report()));
    (list.split(',').map(str::to_owned).collect(), out)
}

#[test]
fn root_readonly_or_not() {
    both(|sandbox| {
        for (readonly, answer) in [(true, "read-only\n"), (false, "writable\n")] {
            let bundle = sandbox.bundle("c").set("/root/readonly", readonly);
            assert_eq!(bundle.args(["readonly", "/"]).run().ok().stdout(), answer);
        }
    });
}

#[test]
fn root_may_be_absolute_or_missing() {
    both(|sandbox| {
        let bundle = sandbox.bundle("c");
        let rootfs = bundle.rootfs();
        bundle.set("/root/path", rootfs.to_str().expect("UTF-8")).run().ok();
        sandbox.bundle("c").set("/root/path", "nowhere").run().fails_with("nowhere");
        sandbox.bundle("c").set("/root/path", "config.json").run().fails_with("config.json");
    });
}

#[test]
fn no_pivot() {
    both(|sandbox| {
        sandbox.bundle("c").args(["ls", "/mnt"]).run_with(&["--no-pivot"]).ok();
    });
}

#[test]
fn mount_flags() {
    both(|sandbox| {
        let cases: &[(&[&str], &[&str], &[&str])] = &[
            (&["ro"], &["ro"], &["rw"]),
            (&["rw", "nosuid"], &["rw", "nosuid"], &["ro"]),
            (&["nodev"], &["nodev"], &["noexec"]),
            (&["noexec"], &["noexec"], &["nosuid"]),
            (&["noexec", "exec"], &[], &["noexec"]),
            (&["noatime"], &["noatime"], &["relatime"]),
            (&["nodiratime", "strictatime"], &["nodiratime"], &["noatime", "relatime"]),
            (&["nosymfollow"], &["nosymfollow"], &[]),
        ];
        for (asked, present, absent) in cases {
            let bundle = sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", asked);
            let (found, out) = options(bundle, "/mnt");
            let has = |option: &&&str| found.iter().any(|have| have == **option);
            assert!(present.iter().all(|o| has(&o)) && !absent.iter().any(|o| has(&o)), "{asked:?}: {}", out.report());
        }
    });
}

#[test]
fn mount_data() {
    both(|sandbox| {
        let bundle = sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", &["size=1m", "mode=0751", "uid=3"]);
        let out = bundle.args(["seq", "owner", "/mnt", "--", "mounts", "/mnt"]).run().ok();
        assert_eq!(out.lines()[0], "3 0 0751");
        assert!(out.lines()[1].contains("size=1024k"), "{}", out.report());
        sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", &["nonsense=1"]).run().fails_with("/mnt");
        sandbox.bundle("c").mount("/mnt", "nothingfs", "none", &[]).run().fails_with("nothingfs");
    });
}

#[test]
fn binds() {
    both(|sandbox| {
        let source = sandbox.dir().join("source");
        fs::create_dir_all(source.join("sub")).expect("a directory");
        fs::write(source.join("file"), "content").expect("a file");
        let path = source.to_str().expect("UTF-8");
        let file = source.join("file");
        let file = file.to_str().expect("UTF-8");
        // Targets that are not there are made: a directory for a directory, a file for a file.
        let bundle = sandbox.bundle("c").mount("/made/dir", "bind", path, &["bind", "ro"]).mount(
            "/made/file",
            "none",
            file,
            &["rbind"],
        );
        let out = bundle.args(["seq", "ls", "/made/dir", "--", "cat", "/made/file", "--", "readonly", "/made/dir"]);
        assert_eq!(out.run().ok().stdout(), "file\nsub\ncontentread-only\n");
        let relative = sandbox.bundle("c").mount("/mnt", "bind", "rootfs/etc", &["bind"]);
        assert_eq!(relative.args(["ls", "/mnt"]).run().ok().stdout(), "group\npasswd\n");
        sandbox.bundle("c").mount("/mnt", "bind", "/nowhere", &["bind"]).run().fails_with("/nowhere");
    });
}

#[test]
fn recursive_readonly_binds_reach_below() {
    both(|sandbox| {
        let source = sandbox.dir().join("source");
        fs::create_dir_all(source.join("sub")).expect("a directory");
        let path = source.to_str().expect("UTF-8");
        let nested = |options: &[&str]| {
            let first = sandbox.bundle("c").mount("/mnt", "bind", path, &["rbind"]);
            let first = first.mount("/mnt/sub", "tmpfs", "tmpfs", &[]);
            first.mount("/tmp", "bind", path, options)
        };
        let out = nested(&["rbind", "rro"]).args(["readonly", "/tmp", "/tmp/sub"]).run().ok();
        assert_eq!(out.stdout(), "read-only\nread-only\n");
    });
}

#[test]
fn propagation_of_the_root_and_of_a_mount() {
    both(|sandbox| {
        let line = |bundle: Bundle<'_>, at: &str| bundle.args(["mounts", at]).run().ok().stdout();
        let private = line(sandbox.bundle("c"), "/");
        // On a shared host the root may receive, never send.
        assert!(!private.contains("shared:"), "{private}");
        let bundle = || sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", &["shared"]);
        assert!(line(bundle(), "/mnt").contains("shared:"));
        let unbindable = sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", &["unbindable"]);
        assert!(line(unbindable, "/mnt").contains("unbindable"));
    });
}

#[test]
fn tmpcopyup() {
    both(|sandbox| {
        let bundle = sandbox.bundle("c").mount("/etc", "tmpfs", "tmpfs", &["tmpcopyup"]);
        let out = bundle.args(["seq", "ls", "/etc", "--", "readonly", "/etc"]).run().ok();
        assert_eq!(out.stdout(), "group\npasswd\nwritable\n");
    });
}

#[test]
fn targets_are_resolved_inside() {
    both(|sandbox| {
        let source = sandbox.dir().join("resolv");
        fs::write(&source, "inside").expect("a file");
        let source = source.to_str().expect("UTF-8");
        // Dangling links, absolute and relative and upwards, lead to places inside.
        for (at, target) in [("abs", "/run/made/abs"), ("rel", "../run/made/rel"), ("up", "../../../../run/made/up")] {
            let link = format!("/etc/{at}");
            let bundle = sandbox.bundle(at).plant_link(&link, target).mount(&link, "bind", source, &["bind"]);
            let made = format!("/run/made/{at}");
            assert_eq!(bundle.args(["cat", &link, &made]).run().ok().stdout(), "insideinside");
            assert!(!std::path::Path::new(&made).exists(), "{made} was made on the host");
        }
        let escape = sandbox.bundle("e").mount("/../../../mnt/x", "tmpfs", "tmpfs", &[]);
        escape.args(["mounts", "/mnt/x"]).run().ok();
        assert!(!std::path::Path::new("/mnt/x").exists());
    });
}

#[test]
fn proc_and_sys_must_be_real_directories() {
    both(|sandbox| {
        let bundle = sandbox.bundle("c");
        fs::remove_dir(bundle.rootfs().join("proc")).expect("the directory");
        bundle.plant_link("/proc", "/tmp").run().fails_with("/proc");
    });
}

#[test]
fn masked_and_readonly_paths() {
    both(|sandbox| {
        let bundle = sandbox
            .bundle("c")
            .plant("/secret/file", "x")
            .plant("/secret-file", "x")
            .plant("/kept/file", "x")
            .set("/root/readonly", false)
            .set("/linux/maskedPaths", json!(["/secret", "/secret-file", "/not/there"]))
            .set("/linux/readonlyPaths", json!(["/kept", "/not/there"]));
        let steps = ["seq", "ls", "/secret", "--", "cat", "/secret-file", "--", "readonly", "/secret", "/kept", "/tmp"];
        assert_eq!(bundle.args(steps).run().ok().stdout(), "read-only\nread-only\nwritable\n");
    });
}

#[test]
fn default_devices_and_links() {
    both(|sandbox| {
        let devices = ["null", "zero", "full", "random", "urandom", "tty"].map(|name| format!("/dev/{name}"));
        let steps = ["stat".to_owned()].into_iter().chain(devices);
        let out = sandbox.bundle("c").args(steps).run().ok();
        let numbers: Vec<_> =
            out.lines().iter().map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned()).collect();
        assert_eq!(numbers, ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0"]);
        assert!(out.lines().iter().all(|line| line.starts_with("char 0666 0 0")), "{}", out.report());
        let links = ["readlink", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/ptmx"];
        let out = sandbox.bundle("c").args(links).run().ok();
        let expected = ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx"];
        assert_eq!(out.lines(), expected);
    });
}

#[test]
fn devices_of_the_config_and_who_may_open_them() {
    both(|sandbox| {
        let device = json!([{ "path": "/dev/mine", "type": "c", "major": 1, "minor": 11, "fileMode": 0o640, "uid": 7, "gid": 8 }]);
        let rules = json!([
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" },
            { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" }
        ]);
        let bundle = sandbox
            .bundle("c")
            .set("/linux/devices", device)
            .set("/linux/resources/devices", rules)
            .set("/process/capabilities", json!({ "bounding": ["CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_SYSLOG"],
                "permitted": ["CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_SYSLOG"], "effective": ["CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_SYSLOG"] }));
        // Making a node is harmless, as runc sees it too; opening it is what the rules are about.
        let steps = "seq stat /dev/mine -- open-dev /dev/mine r -- open-dev /dev/mine w \
            -- open-dev /dev/null rw -- try mknodat -100 /dev/other 020666 0x101 -- open-dev /dev/other r";
        let out = bundle.args(steps.split_whitespace()).run().ok();
        let lines = out.lines();
        assert_eq!(lines[0], "char 0640 7 8 0 1:11");
        assert_eq!(lines[1..], ["ok", "EPERM", "ok", "ok", "EPERM"], "{}", out.report());
    });
}

#[test]
fn the_words_of_the_roots_propagation() {
    both(|sandbox| {
        for (word, kind) in [
            ("shared", "shared"),
            ("rshared", "shared"),
            ("slave", "master"),
            ("rslave", "master"),
            ("private", ""),
            ("rprivate", ""),
            ("unbindable", "unbindable"),
            ("runbindable", "unbindable"),
        ] {
            let bundle = sandbox.bundle("c").set("/linux/rootfsPropagation", word);
            let line = bundle.args(["mounts", "/"]).run().ok().stdout();
            let fields = line.split_once(" - ").expect("mountinfo").0.to_owned();
            let fields: Vec<_> = fields.split(' ').skip(6).filter_map(|field| field.split(':').next()).collect();
            // On a private host there is nobody to be a slave of.
            let right = if kind.is_empty() || (kind == "master" && fields.is_empty()) {
                fields.is_empty()
            } else {
                fields.contains(&kind)
            };
            assert!(right, "{word}: {line}");
        }
    });
}

#[test]
fn the_roots_propagation_reaches_below_with_an_r() {
    both(|sandbox| {
        for (word, kind, below) in [
            ("shared", "shared", false),
            ("rshared", "shared", true),
            ("unbindable", "unbindable", false),
            ("runbindable", "unbindable", true),
        ] {
            let bundle = sandbox.bundle("c").set("/linux/rootfsPropagation", word).mount("/mnt", "tmpfs", "t", &[]);
            let out = bundle.args("seq mounts / -- mounts /mnt".split(' ')).run().ok();
            let fields = |line: &String| line.split(" - ").next().unwrap_or_default().to_owned();
            let lines: Vec<_> = out.lines().iter().map(fields).collect();
            assert!(lines[0].contains(kind), "{word}: {}", out.report());
            assert_eq!(lines[1].contains(kind), below, "{word}: {}", out.report());
        }
        // What a mount is by its own word, the root's recursive word changes last: it is about all of them.
        let bundle = sandbox.bundle("c").set("/linux/rootfsPropagation", "rprivate");
        let out = bundle.mount("/mnt", "tmpfs", "t", &["shared"]).args(["mounts", "/mnt"]).run().ok();
        assert!(!out.stdout().contains("shared:"), "{}", out.report());
        for word in ["Shared", "rsharedx", "ro", "bind", "shared,rw"] {
            let out = sandbox.bundle("c").set("/linux/rootfsPropagation", word).run().expect(1);
            out.fails_with("linux.rootfsPropagation: ");
        }
        sandbox.bundle("c").set("/linux/rootfsPropagation", "").run().ok();
        // The host's mounts are still below a root that is moved over them.
        for (word, refused) in [("private", true), ("rprivate", true), ("rslave", false), ("rshared", false)] {
            let out = sandbox.bundle("c").set("/linux/rootfsPropagation", word).run_with(&["--no-pivot"]);
            match refused {
                true => {
                    drop(out.expect(1).fails_with("rootfsPropagation of [r]private is not safe without pivot_root"))
                }
                false => drop(out.ok()),
            }
        }
    });
}

#[test]
fn without_pivot_the_hosts_sys_is_gone() {
    both(|sandbox| {
        // The kernel lets a user namespace mount a sysfs of its own only where one without masks is in the mount
        // namespace already: the container's own is masked, so that could only be the host's.
        let steps = "seq try unshare 0x50020000 -- try mount sysfs /tmp sysfs 0 0";
        for flags in [&["--no-pivot"][..], &[]] {
            let out = sandbox.bundle("c").args(steps.split(' ')).run_with(flags).ok();
            assert_eq!(out.lines(), ["ok", "EPERM"], "{flags:?}: {}", out.report());
        }
        // With a user namespace what is the host's cannot be unmounted, and is covered.
        let map = serde_json::json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
        let bundle = sandbox.bundle("c").namespace("user", None).set("/linux/uidMappings", map.clone());
        let bundle = bundle.set("/linux/gidMappings", map).args(["ls", "/"]);
        assert!(bundle.run_with(&["--no-pivot"]).ok().lines().contains(&"bin".to_owned()));
    });
}

#[test]
fn without_pivot_the_host_is_gone_as_well() {
    both(|sandbox| {
        let bundle = sandbox.bundle("c").args("seq ls / -- cwd -- mounts / -- readonly /".split(' '));
        let out = bundle.run_with(&["--no-pivot"]).ok();
        let lines = out.lines();
        assert!(lines.contains(&"bin".to_owned()) && !lines.contains(&"boot".to_owned()), "{}", out.report());
        assert_eq!(lines.last().map(String::as_str), Some("read-only"));
        let pause = sandbox.bundle("c").args(["pause"]);
        pause.run_with(&["--no-pivot", "--detach"]).ok();
        assert!(pause.exec(["/bin/probe", "ls", "/"]).ok().lines().contains(&"bin".to_owned()));
        pause.delete_force().ok();
    });
}

#[test]
fn a_root_by_way_of_a_link() {
    both(|sandbox| {
        let bundle = sandbox.bundle("c");
        let (link, rootfs) = (bundle.dir.join("link"), bundle.rootfs());
        std::os::unix::fs::symlink(&rootfs, &link).expect("a link");
        bundle.set("/root/path", "link").args(["ls", "/etc"]).run().ok();
        let bundle = sandbox.bundle("c").set("/root/path", "../bundle-c/./rootfs/").args(["ls", "/etc"]);
        assert_eq!(bundle.run().ok().stdout(), "group\npasswd\n");
    });
}

#[test]
fn read_only_paths_keep_their_other_flags() {
    both(|sandbox| {
        let bundle = sandbox.bundle("c").mount("/mnt", "tmpfs", "t", &["nosuid", "nodev", "noexec", "noatime"]);
        let bundle = bundle.set("/linux/readonlyPaths", json!(["/mnt", "/etc/passwd", "/proc/sys"]));
        let (found, out) = options(bundle, "/mnt");
        for option in ["ro", "nosuid", "nodev", "noexec", "noatime"] {
            assert!(found.iter().any(|own| own == option), "{option}: {}", out.report());
        }
    });
}

#[test]
fn masks_cover_what_links_lead_to() {
    both(|sandbox| {
        let bundle = sandbox.bundle("c").plant("/real/secret", "x").plant("/real/dir/file", "x");
        let bundle = bundle.plant_link("/to-file", "/real/secret").plant_link("/to-dir", "real/dir");
        let bundle = bundle.plant_link("/dangling", "/nowhere").plant_link("/out", "/../../etc/hostname");
        let bundle =
            bundle.set("/linux/maskedPaths", json!(["/to-file", "/to-dir", "/dangling", "/out", "/etc/passwd/x"]));
        let out = bundle.args("seq cat /real/secret -- ls /real/dir -- cat /to-file -- echo end".split(' ')).run().ok();
        assert_eq!(out.stdout(), "end\n");
    });
}

/// Without a mount namespace the rootfs is entered by chroot(2), and nothing stays mounted on the host.
#[test]
fn without_a_mount_namespace_nothing_is_mounted() {
    let sandbox = sandbox!();
    let before = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("mountinfo");
    let bundle = sandbox.bundle("c").without_namespace("mount").args(["ls", "/bin"]).edit(|spec| {
        spec["root"]["readonly"] = false.into();
        spec["mounts"] = json!([]);
        spec["linux"]["maskedPaths"] = json!([]);
        spec["linux"]["readonlyPaths"] = json!([]);
    });
    assert!(bundle.run().ok().stdout().contains("probe"));
    assert_eq!(std::fs::read_to_string("/proc/thread-self/mountinfo").expect("mountinfo"), before);
}
