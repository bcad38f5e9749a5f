//! The mount option table: every word of config.md "Linux mount options", and one of crun's, and what it does.

use crate::sys::mount::*;

/// What one option word does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sets and clears attributes of this mount.
    Attr {
        set: u64,
        clear: u64,
    },
    /// The same for this mount and all below it.
    AttrRec {
        set: u64,
        clear: u64,
    },
    /// A flag of the superblock, which fsconfig(2) takes by this name.
    Super,
    Propagation {
        flag: u64,
        recursive: bool,
    },
    Bind {
        recursive: bool,
    },
    Remount,
    TmpCopyUp,
    CopySymlink,
    IdMap {
        recursive: bool,
    },
    /// Legal, and already so: `defaults`, or a flag that today's kernels decide themselves.
    Nothing,
}

const fn set(set: u64) -> Effect {
    Effect::Attr { set, clear: 0 }
}

const fn clear(clear: u64) -> Effect {
    Effect::Attr { set: 0, clear }
}

const fn atime(set: u64) -> Effect {
    Effect::Attr { set, clear: MOUNT_ATTR_ATIME }
}

const fn rset(set: u64) -> Effect {
    Effect::AttrRec { set, clear: 0 }
}

const fn rclear(clear: u64) -> Effect {
    Effect::AttrRec { set: 0, clear }
}

const fn ratime(set: u64) -> Effect {
    Effect::AttrRec { set, clear: MOUNT_ATTR_ATIME }
}

const fn propagation(flag: u64, recursive: bool) -> Effect {
    Effect::Propagation { flag, recursive }
}

const SHARED: u64 = libc::MS_SHARED;
const SLAVE: u64 = libc::MS_SLAVE;
const PRIVATE: u64 = libc::MS_PRIVATE;
const UNBINDABLE: u64 = libc::MS_UNBINDABLE;

/// Sorted by name; `rt features` announces exactly these.
///
/// `silent`, `loud`, `iversion` and `noiversion` are accepted without effect: the first two only turn kernel log
/// lines on and off, and filesystems have decided about i_version themselves since Linux 5.17.
pub const TABLE: &[(&str, Effect)] = &[
    ("async", Effect::Super),
    ("atime", atime(0)),
    ("bind", Effect::Bind { recursive: false }),
    ("copy-symlink", Effect::CopySymlink),
    ("defaults", Effect::Nothing),
    ("dev", clear(MOUNT_ATTR_NODEV)),
    ("diratime", clear(MOUNT_ATTR_NODIRATIME)),
    ("dirsync", Effect::Super),
    ("exec", clear(MOUNT_ATTR_NOEXEC)),
    ("idmap", Effect::IdMap { recursive: false }),
    ("iversion", Effect::Nothing),
    ("lazytime", Effect::Super),
    ("loud", Effect::Nothing),
    ("mand", Effect::Super),
    ("noatime", atime(MOUNT_ATTR_NOATIME)),
    ("nodev", set(MOUNT_ATTR_NODEV)),
    ("nodiratime", set(MOUNT_ATTR_NODIRATIME)),
    ("noexec", set(MOUNT_ATTR_NOEXEC)),
    ("noiversion", Effect::Nothing),
    ("nolazytime", Effect::Super),
    ("nomand", Effect::Super),
    ("norelatime", atime(0)),
    ("nostrictatime", atime(0)),
    ("nosuid", set(MOUNT_ATTR_NOSUID)),
    ("nosymfollow", set(MOUNT_ATTR_NOSYMFOLLOW)),
    ("private", propagation(PRIVATE, false)),
    ("ratime", ratime(0)),
    ("rbind", Effect::Bind { recursive: true }),
    ("rdev", rclear(MOUNT_ATTR_NODEV)),
    ("rdiratime", rclear(MOUNT_ATTR_NODIRATIME)),
    ("relatime", atime(0)),
    ("remount", Effect::Remount),
    ("rexec", rclear(MOUNT_ATTR_NOEXEC)),
    ("ridmap", Effect::IdMap { recursive: true }),
    ("rnoatime", ratime(MOUNT_ATTR_NOATIME)),
    ("rnodev", rset(MOUNT_ATTR_NODEV)),
    ("rnodiratime", rset(MOUNT_ATTR_NODIRATIME)),
    ("rnoexec", rset(MOUNT_ATTR_NOEXEC)),
    ("rnorelatime", ratime(0)),
    ("rnostrictatime", ratime(0)),
    ("rnosuid", rset(MOUNT_ATTR_NOSUID)),
    ("rnosymfollow", rset(MOUNT_ATTR_NOSYMFOLLOW)),
    ("ro", set(MOUNT_ATTR_RDONLY)),
    ("rprivate", propagation(PRIVATE, true)),
    ("rrelatime", ratime(0)),
    ("rro", rset(MOUNT_ATTR_RDONLY)),
    ("rrw", rclear(MOUNT_ATTR_RDONLY)),
    ("rshared", propagation(SHARED, true)),
    ("rslave", propagation(SLAVE, true)),
    ("rstrictatime", ratime(MOUNT_ATTR_STRICTATIME)),
    ("rsuid", rclear(MOUNT_ATTR_NOSUID)),
    ("rsymfollow", rclear(MOUNT_ATTR_NOSYMFOLLOW)),
    ("runbindable", propagation(UNBINDABLE, true)),
    ("rw", clear(MOUNT_ATTR_RDONLY)),
    ("shared", propagation(SHARED, false)),
    ("silent", Effect::Nothing),
    ("slave", propagation(SLAVE, false)),
    ("strictatime", atime(MOUNT_ATTR_STRICTATIME)),
    ("suid", clear(MOUNT_ATTR_NOSUID)),
    ("symfollow", clear(MOUNT_ATTR_NOSYMFOLLOW)),
    ("sync", Effect::Super),
    ("tmpcopyup", Effect::TmpCopyUp),
    ("unbindable", propagation(UNBINDABLE, false)),
];

/// All options of one mount, taken together: a later word overrides an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub attr: MountAttr,
    pub recursive_attr: MountAttr,
    /// Superblock flags, in order.
    pub super_flags: Vec<String>,
    pub propagation: Vec<(u64, bool)>,
    /// `Some(recursive)` for a bind mount.
    pub bind: Option<bool>,
    pub remount: bool,
    pub copy_up: bool,
    pub copy_symlink: bool,
    /// `Some(recursive)` for an idmapped mount.
    pub id_map: Option<bool>,
    /// What is the filesystem's own: key and value.
    pub data: Vec<(String, Option<String>)>,
}

/// Reads the option words of one mount.
pub fn parse<S: AsRef<str>>(words: &[S]) -> Options {
    let mut options = Options::default();
    for word in words {
        let word = word.as_ref();
        match TABLE.binary_search_by_key(&word, |(name, _)| name) {
            Ok(i) => options.add(word, TABLE[i].1),
            Err(_) => options.add_data(word),
        }
    }
    options
}

impl Options {
    fn add(&mut self, word: &str, effect: Effect) {
        match effect {
            Effect::Attr { set, clear } => override_attr(&mut self.attr, set, clear),
            Effect::AttrRec { set, clear } => override_attr(&mut self.recursive_attr, set, clear),
            Effect::Super => self.super_flags.push(word.to_owned()),
            Effect::Propagation { flag, recursive } => self.propagation.push((flag, recursive)),
            Effect::Bind { recursive } => self.bind = Some(recursive || self.bind == Some(true)),
            Effect::Remount => self.remount = true,
            Effect::TmpCopyUp => self.copy_up = true,
            Effect::CopySymlink => self.copy_symlink = true,
            Effect::IdMap { recursive } => self.id_map = Some(recursive),
            Effect::Nothing => {}
        }
    }

    /// Whether anything is for the filesystem, not for the mount.
    pub fn has_words(&self) -> bool {
        !(self.super_flags.is_empty() && self.data.is_empty())
    }

    /// What is for the filesystem, as mount(8) would have it after `-o`.
    pub fn words(&self) -> String {
        let data = self.data.iter().map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => key.clone(),
        });
        self.super_flags.iter().cloned().chain(data).collect::<Vec<_>>().join(",")
    }

    /// Has `ro` reach the mounts below, unless a recursive word decides about them.
    ///
    /// A read-only /sys of the host whose cgroups stay writable would let a user's container out of its limits
    /// (CVE-2023-25809).
    pub fn spread_read_only(&mut self) {
        let decided = (self.recursive_attr.set | self.recursive_attr.clear) & MOUNT_ATTR_RDONLY != 0;
        if !decided {
            self.recursive_attr.set |= self.attr.set & MOUNT_ATTR_RDONLY;
        }
    }

    fn add_data(&mut self, word: &str) {
        // One word may carry several, as in fstab.
        for part in word.split(',').filter(|part| !part.is_empty()) {
            self.data.push(match part.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (part.to_owned(), None),
            });
        }
    }
}

fn override_attr(attr: &mut MountAttr, set: u64, clear: u64) {
    attr.set = attr.set & !clear | set;
    attr.clear = attr.clear & !set | clear;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_its_search() {
        assert!(TABLE.is_sorted_by_key(|(name, _)| name));
    }

    #[test]
    fn later_words_win() {
        let options = parse(&["ro", "nosuid", "rw", "nodev", "suid"]);
        assert_eq!(options.attr.set, MOUNT_ATTR_NODEV);
        assert_eq!(options.attr.clear, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
    }

    #[test]
    fn ro_spreads_where_no_recursive_word_decides() {
        let spread = |words: &[&str]| {
            let mut options = parse(words);
            options.spread_read_only();
            options.recursive_attr
        };
        let read_only = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
        let writable = MountAttr { clear: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
        assert_eq!(spread(&["rbind", "ro"]), read_only);
        assert_eq!(spread(&["rbind", "ro", "rrw"]), writable);
        assert_eq!(spread(&["rbind"]), MountAttr::default());
        assert_eq!(spread(&["rbind", "ro", "rw"]), MountAttr::default());
    }

    #[test]
    fn every_atime_word_clears_the_whole_field() {
        let words = TABLE.iter().filter(|(name, _)| name.ends_with("atime") && !name.contains("dir"));
        for (name, effect) in words {
            match effect {
                Effect::Attr { clear, .. } | Effect::AttrRec { clear, .. } => {
                    assert_eq!(clear & MOUNT_ATTR_ATIME, MOUNT_ATTR_ATIME, "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        let options = parse(&["noatime", "strictatime"]);
        assert_eq!((options.attr.set, options.attr.clear), (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME));
    }

    #[test]
    fn what_is_not_in_the_table_is_the_filesystems() {
        let options = parse(&["size=64k,mode=755", "newinstance", "rbind", "bind"]);
        let data = [("size", Some("64k")), ("mode", Some("755")), ("newinstance", None)];
        let data = data.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
        assert_eq!(options.data, data);
        assert_eq!(options.bind, Some(true));
    }
}
