//! Every word of the mount option table, read back from mountinfo inside the container. All under private and under
//! shared propagation: in neither may anything appear outside.

use rt_integration::{Bundle, HostMount, Sandbox, both, sandbox};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// The last line of mountinfo for a place inside.
struct Line {
    /// Of the mount: the sixth field.
    options: Vec<String>,
    /// `shared:1`, `master:2`, `unbindable`.
    propagation: Vec<String>,
    /// Of the filesystem: the last field.
    superblock: Vec<String>,
    text: String,
}

#[track_caller]
fn line(bundle: Bundle<'_>, at: &str) -> Line {
    lines(bundle, &[at]).remove(0)
}

#[track_caller]
fn lines(bundle: Bundle<'_>, at: &[&str]) -> Vec<Line> {
    let words: Vec<&str> = at.iter().flat_map(|at| ["--", "mounts", at]).skip(1).collect();
    let out = bundle.args(["seq"].iter().chain(&words)).run().ok();
    out.lines().iter().map(|text| parse(text)).collect()
}

fn parse(text: &str) -> Line {
    let list = |field: &str| field.split(',').map(str::to_owned).collect::<Vec<_>>();
    let (mount, filesystem) = text.split_once(" - ").unwrap_or_else(|| panic!("not in mountinfo: {text:?}"));
    let fields: Vec<_> = mount.split(' ').collect();
    Line {
        options: list(fields[5]),
        propagation: fields[6..].iter().map(|field| (*field).to_owned()).collect(),
        superblock: list(filesystem.rsplit(' ').next().unwrap_or_default()),
        text: text.to_owned(),
    }
}

impl Line {
    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    fn propagates(&self, kind: &str) -> bool {
        self.propagation.iter().any(|field| field.split(':').next() == Some(kind))
    }
}

/// Words, what mountinfo must show, what it must not.
type Case = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// Set, cleared, and set again: the last word counts. Without a word about times the kernel says relatime.
const PLAIN: &[Case] = &[
    (&[], &["rw", "relatime"], &["ro", "nosuid", "nodev", "noexec", "nosymfollow"]),
    (&["defaults"], &["rw", "relatime"], &["ro", "nosuid", "nodev", "noexec", "nosymfollow"]),
    (&["ro"], &["ro"], &["rw"]),
    (&["ro", "rw"], &["rw"], &["ro"]),
    (&["rw", "ro"], &["ro"], &["rw"]),
    (&["nosuid"], &["nosuid"], &[]),
    (&["nosuid", "suid"], &[], &["nosuid"]),
    (&["nodev"], &["nodev"], &[]),
    (&["nodev", "dev"], &[], &["nodev"]),
    (&["noexec"], &["noexec"], &[]),
    (&["noexec", "exec"], &[], &["noexec"]),
    (&["nosymfollow"], &["nosymfollow"], &[]),
    (&["nosymfollow", "symfollow"], &[], &["nosymfollow"]),
    (&["noatime"], &["noatime"], &["relatime"]),
    (&["noatime", "atime"], &["relatime"], &["noatime"]),
    (&["relatime"], &["relatime"], &["noatime"]),
    (&["norelatime"], &["relatime"], &["noatime"]),
    (&["noatime", "relatime"], &["relatime"], &["noatime"]),
    (&["strictatime"], &[], &["noatime", "relatime"]),
    (&["strictatime", "nostrictatime"], &["relatime"], &["noatime"]),
    (&["strictatime", "noatime"], &["noatime"], &["relatime"]),
    (&["nodiratime"], &["nodiratime", "relatime"], &[]),
    (&["nodiratime", "diratime"], &["relatime"], &["nodiratime"]),
    (&["ro", "nosuid", "nodev", "noexec", "noatime"], &["ro", "nosuid", "nodev", "noexec", "noatime"], &["rw"]),
    (&["loud", "silent", "iversion", "noiversion"], &["rw"], &[]),
];

#[track_caller]
fn check(line: &Line, case: &Case, what: &str) {
    let (words, present, absent) = case;
    let right = present.iter().all(|word| line.has(word)) && !absent.iter().any(|word| line.has(word));
    assert!(right, "{what} with {words:?}: {}", line.text);
}

#[test]
fn plain_words_on_a_new_filesystem() {
    both(|sandbox| {
        for case in PLAIN {
            check(&line(sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", case.0), "/mnt"), case, "tmpfs");
        }
    });
}

#[test]
fn plain_words_on_a_bind() {
    both(|sandbox| {
        let source = tree(sandbox);
        for case in PLAIN {
            let words: Vec<_> = ["bind"].iter().chain(case.0).copied().collect();
            check(&line(sandbox.bundle("c").mount("/mnt", "none", text(&source), &words), "/mnt"), case, "bind");
        }
    });
}

#[test]
fn a_bind_keeps_what_its_source_has_unless_told_otherwise() {
    both(|sandbox| {
        let source = sandbox.dir().join("locked");
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME;
        let _mount = HostMount::tmpfs(&source, flags, "");
        let bind = |words: &[&str]| {
            let words: Vec<_> = ["bind"].iter().chain(words).copied().collect();
            line(sandbox.bundle("c").mount("/mnt", "none", text(&source), &words), "/mnt")
        };
        let case: Case = (&[], &["nosuid", "nodev", "noexec", "noatime"], &[]);
        check(&bind(&[]), &case, "bind");
        let case: Case = (&["ro"], &["ro", "nosuid", "nodev", "noexec", "noatime"], &[]);
        check(&bind(&["ro"]), &case, "bind");
        let case: Case =
            (&["suid", "dev", "exec", "relatime"], &["relatime"], &["nosuid", "nodev", "noexec", "noatime"]);
        check(&bind(case.0), &case, "bind");
    });
}

/// Words, what the last field of mountinfo must show, what it must not.
const SUPERBLOCK: &[Case] = &[
    (&["sync"], &["sync"], &[]),
    (&["dirsync"], &["dirsync"], &[]),
    (&["lazytime"], &["lazytime"], &[]),
    (&["mand"], &["mand"], &[]),
    (&["sync", "async"], &[], &["sync"]),
    (&["lazytime", "nolazytime"], &[], &["lazytime"]),
    (&["mand", "nomand"], &[], &["mand"]),
];

#[test]
fn words_of_the_superblock() {
    both(|sandbox| {
        for (words, present, absent) in SUPERBLOCK {
            let line = line(sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", words), "/mnt");
            let has = |word: &&str| line.superblock.iter().any(|own| own == *word);
            assert!(present.iter().all(has) && !absent.iter().any(has), "{words:?}: {}", line.text);
        }
    });
}

/// A directory of the host with a file and a mount below it.
fn tree(sandbox: &Sandbox) -> PathBuf {
    let source = sandbox.dir().join("source");
    fs::create_dir_all(source.join("sub")).expect("a directory");
    fs::write(source.join("file"), "content").expect("a file");
    source
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("UTF-8")
}

const RECURSIVE: &[Case] = &[
    (&["rro"], &["ro"], &["rw"]),
    (&["rrw"], &["rw"], &["ro"]),
    (&["rnosuid"], &["nosuid"], &[]),
    (&["rnosuid", "rsuid"], &[], &["nosuid"]),
    (&["rnodev"], &["nodev"], &[]),
    (&["rnodev", "rdev"], &[], &["nodev"]),
    (&["rnoexec"], &["noexec"], &[]),
    (&["rnoexec", "rexec"], &[], &["noexec"]),
    (&["rnoatime"], &["noatime"], &["relatime"]),
    (&["rnoatime", "ratime"], &["relatime"], &["noatime"]),
    (&["rrelatime"], &["relatime"], &["noatime"]),
    (&["rnorelatime"], &["relatime"], &["noatime"]),
    (&["rstrictatime"], &[], &["relatime", "noatime"]),
    (&["rnostrictatime"], &["relatime"], &["noatime"]),
    (&["rnodiratime"], &["nodiratime"], &[]),
    (&["rnodiratime", "rdiratime"], &[], &["nodiratime"]),
    (&["rnosymfollow"], &["nosymfollow"], &[]),
    (&["rnosymfollow", "rsymfollow"], &[], &["nosymfollow"]),
];

#[test]
fn recursive_words_reach_the_mounts_below() {
    both(|sandbox| {
        let source = tree(sandbox);
        let _below = HostMount::tmpfs(&source.join("sub"), 0, "");
        for case in RECURSIVE {
            let words: Vec<_> = ["rbind"].iter().chain(case.0).copied().collect();
            let found = lines(sandbox.bundle("c").mount("/mnt", "none", text(&source), &words), &["/mnt", "/mnt/sub"]);
            found.iter().for_each(|line| check(line, case, "rbind"));
        }
        // They clear what the host has set, too.
        let locked = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME | libc::MS_RDONLY;
        let _covering = HostMount::tmpfs(&source.join("sub"), locked, "");
        let case: Case = (
            &["rrw", "rsuid", "rdev", "rexec", "rrelatime"],
            &["rw", "relatime"],
            &["nosuid", "nodev", "noexec", "noatime"],
        );
        let words: Vec<_> = ["rbind"].iter().chain(case.0).copied().collect();
        check(&line(sandbox.bundle("c").mount("/mnt", "none", text(&source), &words), "/mnt/sub"), &case, "rbind");
    });
}

#[test]
fn plain_words_do_not_reach_the_mounts_below() {
    both(|sandbox| {
        let source = tree(sandbox);
        let _below = HostMount::tmpfs(&source.join("sub"), 0, "");
        let bundle = sandbox.bundle("c").mount("/mnt", "none", text(&source), &["rbind", "ro"]);
        let out = bundle.args(["readonly", "/mnt", "/mnt/sub"]).run().ok();
        assert_eq!(out.stdout(), "read-only\nwritable\n");
        // Without the r there is no mount below.
        let bundle = sandbox.bundle("c").mount("/mnt", "none", text(&source), &["bind"]);
        assert_eq!(bundle.args(["mounts", "/mnt/sub"]).run().ok().stdout(), "none\n");
    });
}

/// A word, what the mount is then, and whether the mount below is as well.
const PROPAGATION: &[(&str, Option<&str>, bool)] = &[
    ("shared", Some("shared"), false),
    ("rshared", Some("shared"), true),
    ("private", None, false),
    ("rprivate", None, true),
    ("unbindable", Some("unbindable"), false),
    ("runbindable", Some("unbindable"), true),
];

/// A slave gets what the host mounts later, and gives nothing back: also what no word at all means.
const SLAVES: [&str; 2] = ["slave", "rslave"];

#[test]
fn the_eight_words_of_propagation() {
    both(|sandbox| {
        let source = tree(sandbox);
        let _below = HostMount::tmpfs(&source.join("sub"), 0, "").propagation(libc::MS_SHARED);
        for &(word, kind, below) in PROPAGATION {
            let bundle = sandbox.bundle("c").mount("/mnt", "none", text(&source), &["rbind", word]);
            let found = lines(bundle, &["/mnt", "/mnt/sub"]);
            let is = |line: &Line| match kind {
                Some(kind) => line.propagates(kind),
                None => line.propagation.is_empty(),
            };
            assert!(is(&found[0]), "{word}: {}", found[0].text);
            if below {
                assert!(is(&found[1]), "{word}, below: {}", found[1].text);
            } else if kind != Some("shared") {
                assert!(found[1].propagates("master"), "{word}, below: {}", found[1].text);
            }
        }
        for words in [&["rbind"][..], &["rbind", SLAVES[0]], &["rbind", SLAVES[1]]] {
            let found = lines(sandbox.bundle("c").mount("/mnt", "none", text(&source), words), &["/mnt/sub"]);
            assert!(found[0].propagates("master") && !found[0].propagates("shared"), "{words:?}: {}", found[0].text);
        }
    });
}

#[test]
fn a_later_mount_on_a_shared_volume_stays_inside() {
    both(|sandbox| {
        let source = tree(sandbox);
        let _volume = HostMount::tmpfs(&source, 0, "").propagation(libc::MS_SHARED);
        fs::create_dir(source.join("sub")).expect("a directory");
        let bundle = sandbox.bundle("c").mount("/mnt", "none", text(&source), &["rbind"]);
        let bundle = bundle.mount("/mnt/sub", "tmpfs", "inside", &[]).args(["pause"]);
        bundle.run_with(&["--detach"]).ok();
        let host = fs::read_to_string("/proc/thread-self/mountinfo").expect("procfs");
        assert!(!host.contains(" inside "), "{host}");
        bundle.delete_force().ok();
    });
}

#[test]
fn remount_changes_what_is_there() {
    both(|sandbox| {
        let bundle = sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", &["nosuid"]);
        let case: Case = (&["remount", "ro", "noexec"], &["ro", "noexec", "nosuid"], &["rw"]);
        check(&line(bundle.mount("/mnt", "", "", case.0), "/mnt"), &case, "tmpfs");
        // A bind that is remounted in a second step is the oldest way to a read-only bind.
        let source = tree(sandbox);
        let bundle = sandbox.bundle("c").mount("/mnt", "none", text(&source), &["bind"]);
        let case: Case = (&["bind", "remount", "ro"], &["ro"], &["rw"]);
        check(&line(bundle.mount("/mnt", "none", text(&source), case.0), "/mnt"), &case, "bind");
        sandbox.bundle("c").mount("/nowhere", "", "", &["remount", "ro"]).run().fails_with("/nowhere");
    });
}

#[test]
fn remount_changes_the_filesystem_as_well() {
    both(|sandbox| {
        let remounted = |words: &[&str]| {
            let words: Vec<_> = ["remount"].iter().chain(words).copied().collect();
            sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", &["size=64k"]).mount("/mnt", "", "", &words)
        };
        let line = line(remounted(&["size=128k", "sync", "nosuid"]), "/mnt");
        let has = |word: &str| line.superblock.iter().any(|own| own == word);
        assert!(has("size=128k") && has("sync") && line.has("nosuid"), "{}", line.text);
        remounted(&["nonsense"])
            .run()
            .expect(1)
            .fails_with("mounts[8] /mnt: the filesystem does not take \"nonsense\"");
        remounted(&["size=lots"])
            .run()
            .expect(1)
            .fails_with("mounts[8] /mnt: the filesystem does not take \"size=lots\"");
    });
}

#[test]
fn a_word_of_a_filesystem_on_a_bind_is_a_warning() {
    both(|sandbox| {
        let source = tree(sandbox);
        let out = sandbox.bundle("c").mount("/mnt", "none", text(&source), &["bind", "sync"]).run().ok();
        let words = "mounts[7] /mnt: \"sync\" has no effect: it is an option of a filesystem, and this is a bind";
        assert!(out.stderr().contains(words), "{}", out.report());
    });
}

type ShowsItsEffect = fn(&Sandbox);

/// Words that the tables above do not have, each with its effect.
const OTHERS: &[(&str, ShowsItsEffect)] = &[
    ("bind", |sandbox| {
        let source = tree(sandbox);
        let bundle = sandbox.bundle("c").mount("/mnt", "none", text(&source), &["bind"]);
        assert_eq!(bundle.args(["cat", "/mnt/file"]).run().ok().stdout(), "content");
    }),
    ("copy-symlink", |sandbox| {
        let link = sandbox.dir().join("a-link");
        std::os::unix::fs::symlink("/nowhere/yet", &link).expect("a link");
        let bundle = sandbox.bundle("c").mount("/new/link", "none", text(&link), &["bind", "copy-symlink"]);
        assert_eq!(bundle.args(["readlink", "/new/link"]).run().ok().stdout(), "/nowhere/yet\n");
    }),
    ("rbind", |sandbox| {
        let source = tree(sandbox);
        let _below = HostMount::tmpfs(&source.join("sub"), 0, "");
        let bundle = sandbox.bundle("c").mount("/mnt", "none", text(&source), &["rbind"]);
        assert!(bundle.args(["mounts", "/mnt/sub"]).run().ok().stdout().contains(" /mnt/sub "));
    }),
    ("remount", |sandbox| {
        let bundle = sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", &[]).mount("/mnt", "", "", &["remount", "ro"]);
        assert!(line(bundle, "/mnt").has("ro"));
    }),
    ("tmpcopyup", |sandbox| {
        let bundle = sandbox.bundle("c").plant("/data/file", "kept").mount("/data", "tmpfs", "t", &["tmpcopyup"]);
        assert_eq!(bundle.args(["cat", "/data/file"]).run().ok().stdout(), "kept");
    }),
    ("idmap", |sandbox| assert_eq!(mapped_owners(sandbox, "idmap"), ["7 8 0755", "0 0 1777"])),
    ("ridmap", |sandbox| assert_eq!(mapped_owners(sandbox, "ridmap"), ["7 8 0755", "7 8 1777"])),
];

/// Root's directory and a filesystem below it, as a mapping of 0 to 7 and 8 shows them.
fn mapped_owners(sandbox: &Sandbox, word: &str) -> Vec<String> {
    let source = tree(sandbox);
    let _below = HostMount::tmpfs(&source.join("sub"), 0, "");
    let map = |host: u32| serde_json::json!([{ "containerID": 0, "hostID": host, "size": 1 }]);
    let mount = serde_json::json!({ "destination": "/mnt", "source": text(&source), "options": ["rbind", word],
        "uidMappings": map(7), "gidMappings": map(8) });
    sandbox.bundle("c").set("/mounts/-", mount).args(["owner", "/mnt", "/mnt/sub"]).run().ok().lines()
}

#[test]
fn every_word_that_is_announced_has_its_case() {
    let sandbox = rt_integration::sandbox!();
    for (_, shows_its_effect) in OTHERS {
        shows_its_effect(&sandbox);
    }
    let of_cases = [PLAIN, SUPERBLOCK, RECURSIVE].into_iter().flatten().flat_map(|(words, ..)| words.iter().copied());
    let rest = PROPAGATION.iter().map(|(word, ..)| *word).chain(SLAVES).chain(OTHERS.iter().map(|(word, _)| *word));
    let tested: BTreeSet<String> = of_cases.chain(rest).map(str::to_owned).collect();
    let features: serde_json::Value =
        serde_json::from_str(&sandbox.rt(["features"]).ok().stdout()).expect("features are JSON");
    let announced = features["mountOptions"].as_array().expect("a list");
    let announced: BTreeSet<String> = announced.iter().filter_map(|word| Some(word.as_str()?.to_owned())).collect();
    assert!(announced.len() > 60, "{announced:?}");
    let difference: Vec<_> = announced.symmetric_difference(&tested).collect();
    assert!(difference.is_empty(), "announced without a case, or a case of what is not announced: {difference:?}");
}

#[test]
fn unknown_words_are_named() {
    both(|sandbox| {
        let fresh = |word: &str| sandbox.bundle("c").mount("/mnt", "tmpfs", "tmpfs", &["nosuid", word]).run();
        fresh("nonsense").fails_with("\"nonsense\"");
        fresh("nonsense=1").fails_with("\"nonsense=1\"");
        fresh("size=lots").fails_with("size");
        let bind = sandbox.bundle("c").mount("/mnt", "none", "rootfs/etc", &["bind", "size=1"]).run().ok();
        assert!(bind.stderr().contains("mounts[7] /mnt: \"size\" has no effect"), "{}", bind.report());
        sandbox.bundle("c").mount("/mnt", "proc", "proc", &["hidepid=much"]).run().fails_with("hidepid");
        sandbox.bundle("c").mount("/mnt", "cgroup", "cgroup", &["ro", "nonsense"]).run().fails_with("\"nonsense\"");
    });
}

#[test]
fn flags_of_the_host_are_locked_for_a_user() {
    let sandbox = rt_integration::sandbox!().as_user(12345);
    let source = sandbox.dir().join("locked");
    let _mount = HostMount::tmpfs(&source, libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC, "mode=777");
    let bind = |words: &[&str]| {
        let words: Vec<_> = ["rbind"].iter().chain(words).copied().collect();
        sandbox.bundle("c").mount("/mnt", "none", text(&source), &words).args(["mounts", "/mnt"]).run()
    };
    for (words, present) in [
        (&[][..], &["rw", "nosuid", "nodev", "noexec"][..]),
        (&["ro"], &["ro", "nosuid", "nodev", "noexec"]),
        (&["rw", "nosuid", "rprivate"], &["rw", "nosuid", "nodev", "noexec"]),
        (&["rro"], &["ro", "nosuid", "nodev", "noexec"]),
    ] {
        let line = parse(bind(words).ok().stdout().trim_end());
        assert!(present.iter().all(|word| line.has(word)), "{words:?}: {}", line.text);
    }
    for words in [&["suid"][..], &["dev"], &["exec"], &["rsuid"]] {
        bind(words).expect(1).fails_with("cannot clear locked flags");
    }
}

/// The kernel lists mounts by their age, and whoever reads the list expects the order of the configuration.
#[test]
fn the_order_is_the_configurations() {
    both(|sandbox| {
        let own = ["/one", "/two", "/three", "/four"];
        let bundle =
            sandbox.bundle("c").mount("/one", "", "rootfs/etc", &["rbind"]).mount("/two", "tmpfs", "tmpfs", &[]);
        let bundle =
            bundle.mount("/three", "", "rootfs/etc", &["bind", "private"]).mount("/four", "tmpfs", "tmpfs", &[]);
        let seen = bundle.args(["mounts"]).run().ok().lines();
        let targets = seen.iter().filter_map(|line| line.split(' ').nth(4)).filter(|at| own.contains(at));
        assert_eq!(targets.collect::<Vec<_>>(), own);
    });
}

#[test]
fn a_way_that_leads_to_the_root_is_refused() {
    let sandbox = sandbox!();
    for (i, destination) in ["/etc/..", "/top", "/etc/../top/."].into_iter().enumerate() {
        let bundle = sandbox.bundle(&format!("c{i}")).plant_link("top", "/").mount(destination, "tmpfs", "tmpfs", &[]);
        bundle.run().fails_with("leads to the container's root");
    }
}
