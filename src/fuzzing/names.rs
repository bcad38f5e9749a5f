//! Words that become paths or flags: mount options, sysctls, places of cgroups, ids.

use super::{Chance, Choices};
use crate::cgroups::{self, Manager, Request};
use crate::namespaces::NamespacePlan;
use crate::plan::{Sysctl, plan_sysctls};
use crate::rootfs::options::{self, Effect, Options};
use crate::spec::{Findings, ids};
use crate::sys::mount::{MOUNT_ATTR_ATIME, MountAttr};
use std::collections::HashMap;
use std::path::{Component, Path};

/// The first byte says of what kind the words are that follow, one to a line.
pub fn names(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind % 4 {
        0 => mount_options(&text.lines().collect::<Vec<_>>()),
        1 => mount_options(&picked(&mut Choices(rest))),
        2 => sysctl(&text),
        _ => {
            cgroup_place(&text, *kind);
            id(&text);
        }
    }
}

/// Words of the table, mostly.
fn picked(choices: &mut Choices) -> Vec<&'static str> {
    let mut words = Vec::new();
    while !choices.is_empty() && words.len() < 40 {
        let at = choices.below(options::TABLE.len() + 4);
        words.push(options::TABLE.get(at).map_or(["size=1,ro", "x", "", "a=b=c"][at % 4], |(name, _)| *name));
    }
    words
}

fn mount_options(words: &[&str]) {
    let parsed = options::parse(words);
    let effects: Vec<(&str, Option<Effect>)> = words.iter().map(|word| (*word, effect(word))).collect();
    let attrs = |recursive: bool| {
        effects.iter().filter_map(move |(_, effect)| match effect {
            Some(Effect::Attr { set, clear }) if !recursive => Some((*set, *clear)),
            Some(Effect::AttrRec { set, clear }) if recursive => Some((*set, *clear)),
            _ => None,
        })
    };
    last_wins(&parsed.attr, &attrs(false).collect::<Vec<_>>());
    last_wins(&parsed.recursive_attr, &attrs(true).collect::<Vec<_>>());
    let said = |wanted: fn(&Effect) -> bool| effects.iter().any(|(_, effect)| effect.as_ref().is_some_and(wanted));
    assert_eq!(parsed.remount, said(|effect| *effect == Effect::Remount));
    assert_eq!(parsed.copy_up, said(|effect| *effect == Effect::TmpCopyUp));
    assert_eq!(parsed.bind.is_some(), said(|effect| matches!(effect, Effect::Bind { .. })));
    assert_eq!(parsed.bind == Some(true), said(|effect| *effect == Effect::Bind { recursive: true }));
    filesystems_own(&parsed, &effects);
    let mut spread = parsed.clone();
    spread.spread_read_only();
    spread.recursive_attr = parsed.recursive_attr;
    assert_eq!(spread, parsed, "only what is recursive changes");
}

/// The table, searched from its beginning.
fn effect(word: &str) -> Option<Effect> {
    options::TABLE.iter().find(|(name, _)| *name == word).map(|(_, effect)| *effect)
}

/// For each flag the last word about it decides; the access times are one field.
fn last_wins(attr: &MountAttr, words: &[(u64, u64)]) {
    for bit in (0..64).map(|bit| 1_u64 << bit) {
        let field = if MOUNT_ATTR_ATIME & bit != 0 { MOUNT_ATTR_ATIME } else { bit };
        let last = words.iter().rev().find(|(set, clear)| (set | clear) & field != 0);
        let (set, clear) = last.map_or((0, 0), |(set, clear)| (set & bit, clear & bit));
        assert_eq!((attr.set & bit, attr.clear & bit), (set, clear), "{bit:#x} of {words:x?}");
    }
}

/// What is not in the table goes to the filesystem, in its order, and nothing else does.
fn filesystems_own(parsed: &Options, effects: &[(&str, Option<Effect>)]) {
    let of =
        |wanted: Option<Effect>| effects.iter().filter(move |(_, effect)| *effect == wanted).map(|(word, _)| *word);
    assert!(of(Some(Effect::Super)).eq(parsed.super_flags.iter().map(String::as_str)));
    let parts = of(None).flat_map(|word| word.split(',')).filter(|part| !part.is_empty());
    let data = parsed.data.iter().map(|(key, value)| value.as_ref().map_or(key.clone(), |v| format!("{key}={v}")));
    assert!(parts.eq(data), "{parsed:?}");
    assert_eq!(parsed.has_words(), !parsed.words().is_empty() || parsed.data.iter().any(|(key, _)| key.is_empty()));
}

fn sysctl(name: &str) {
    let namespaces = NamespacePlan { new: u64::MAX, ..NamespacePlan::default() };
    let mut findings = Findings::default();
    let planned = plan_sysctls(Some(&HashMap::from([(name.to_owned(), "1".to_owned())])), &namespaces, &mut findings);
    let Ok(planned) = findings.verdict(planned) else { return };
    let [Sysctl { path, .. }] = &planned[..] else { panic!("one sysctl") };
    assert_eq!(path, &turned(name));
    let inside = ["net/", "user/", "fs/mqueue/"].iter().any(|dir| path.starts_with(dir));
    let known = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced", "domainname"];
    assert!(inside || known.iter().any(|name| *path == format!("kernel/{name}")), "{path}");
    assert!(plain(Path::new(path)) && !path.ends_with('/') && !path.contains('\0'), "{path:?}");
}

/// sysctl(8), a letter at a time.
fn turned(name: &str) -> String {
    let slashes = name.chars().find(|c| ['.', '/'].contains(c)) != Some('.');
    let turn = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    if slashes { name.to_owned() } else { name.chars().map(turn).collect() }
}

fn cgroup_place(text: &str, kind: u8) {
    let manager = if kind & 4 == 0 { Manager::Cgroupfs } else { Manager::Systemd };
    let request = Request {
        manager,
        resources: None,
        cgroups_path: Some(Path::new(text)),
        id: "c1",
        own: Path::new("/user.slice/own"),
        owner: None,
        may_load_programs: kind & 8 == 0,
        annotations: None,
    };
    let mut findings = Findings::default();
    let plan = cgroups::plan(&request, &mut findings);
    if let Err(error) = findings.verdict(()) {
        assert!(error.to_string().starts_with("linux.cgroupsPath: "), "{error}");
        return;
    }
    assert!(plain(&plan.path), "{:?}", plan.path);
    if let Some(unit) = &plan.unit {
        let file = plan.path.file_name().and_then(|name| name.to_str()).unwrap_or("-.slice");
        assert!(file == unit.name.unit && file.len() <= 255, "{unit:?}");
    } else {
        assert!(plan.path.file_name().is_some());
        // The kernel's own resolution of the same path stays below the hierarchy and ends at the same place.
        assert_eq!(plan.path, naive(text), "{text:?}");
    }
}

/// A chroot's way through the path: ".." at the root stays there. Relative ones are beside the caller's own cgroup.
fn naive(text: &str) -> std::path::PathBuf {
    let mut way: Vec<&str> = Vec::new();
    for part in if text.is_empty() { "c1" } else { text }.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(way.pop()),
            name => way.push(name),
        }
    }
    if !text.starts_with('/') {
        way.insert(0, "user.slice");
    }
    way.iter().collect()
}

fn plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

fn id(text: &str) {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_+-.".contains(&b);
    let naive = (1..=255).contains(&text.len()) && text.bytes().all(good) && text != "." && text != "..";
    assert_eq!(ids::check(text).is_ok(), naive, "{text:?}");
}
