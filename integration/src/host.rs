//! The host as a test arranges it: both kinds of propagation, mounts beside the container, trees that must not change.

use crate::{Sandbox, skip, sys};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Runs the test in a sandbox with private mounts and in one with shared mounts; each in a thread of its own, since
/// a sandbox's namespace is its thread's.
pub fn both(test: impl Fn(&Sandbox) + Copy + Send + 'static) {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    for make in [Sandbox::new, Sandbox::shared] {
        let run = move || match make() {
            Ok(sandbox) => {
                test(&sandbox);
                None
            }
            Err(why) => Some(why),
        };
        let thread = std::thread::Builder::new().name(name.clone()).spawn(run).expect("a thread");
        match thread.join() {
            Ok(None) => {}
            Ok(Some(why)) => skip!("{why}"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// A mount of the test's own, gone with this value.
pub struct HostMount(PathBuf);

impl HostMount {
    /// A new tmpfs; `data` as mount(8) has it after `-o`, `flags` as mount(2).
    pub fn tmpfs(at: &Path, flags: libc::c_ulong, data: &str) -> HostMount {
        fs::create_dir_all(at).expect("a directory");
        sys::mount("tmpfs", at, "tmpfs", flags, data).expect("a tmpfs");
        HostMount(at.to_owned())
    }

    /// A file or directory over another one, which must be there.
    ///
    /// # Errors
    /// It is not.
    pub fn bind(source: &Path, at: &Path) -> std::io::Result<HostMount> {
        sys::mount(&source.to_string_lossy(), at, "", libc::MS_BIND, "")?;
        Ok(HostMount(at.to_owned()))
    }

    /// The propagation of this mount alone.
    #[must_use]
    pub fn propagation(self, flag: libc::c_ulong) -> HostMount {
        sys::mount("none", &self.0, "", flag, "").expect("propagation");
        self
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        let _ = sys::detach(&self.0);
    }
}

/// A FUSE filesystem whose server never answers: who asks it for anything waits, and cannot be frozen meanwhile, only
/// killed. Gone with this value, as far as processes that wait are concerned with an error.
pub struct Silent {
    at: PathBuf,
    _server: fs::File,
}

impl Silent {
    /// # Errors
    /// This kernel has no FUSE.
    pub fn mount(at: PathBuf) -> std::io::Result<Silent> {
        let server = fs::File::options().read(true).write(true).open("/dev/fuse")?;
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", server.as_raw_fd());
        sys::mount("silent", &at, "fuse", 0, &data)?;
        Ok(Silent { at, _server: server })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = sys::detach(&self.at);
    }
}

/// A line for each file of a tree, with all that a careless runtime could have changed.
pub fn snapshot(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    look(dir, &mut lines);
    lines.sort();
    lines
}

fn look(path: &Path, lines: &mut Vec<String>) {
    let meta = path.symlink_metadata().expect("a file of the tree");
    let kind = meta.file_type();
    let content = match () {
        () if kind.is_symlink() => fs::read_link(path).expect("a link").display().to_string(),
        () if kind.is_file() => format!("{:?}", fs::read(path).expect("a file")),
        () if kind.is_char_device() || kind.is_block_device() => format!("device {}", meta.rdev()),
        () => String::new(),
    };
    let at = path.display();
    lines.push(format!("{at} {:o} {} {} {} {content}", meta.mode(), meta.uid(), meta.gid(), meta.nlink()));
    if meta.is_dir() {
        for entry in fs::read_dir(path).expect("a directory").flatten() {
            look(&entry.path(), lines);
        }
    }
}

/// A directory of the host that no container may change, or look into.
pub struct Canary {
    pub dir: PathBuf,
    before: Vec<String>,
}

impl Canary {
    /// With files of the names that a runtime makes, or looks for, in a root filesystem.
    pub fn new(sandbox: &Sandbox) -> Canary {
        let dir = sandbox.dir().join("canary");
        for folder in ["sub", "inside"] {
            fs::create_dir_all(dir.join(folder)).expect("a directory");
        }
        // No `null`: a careless runtime would make it first, and stop before it has done any other harm.
        for file in ["file", "ptmx", "passwd", "mtab", "sub/file", "inside/file"] {
            fs::write(dir.join(file), "canary").expect("a file");
        }
        let before = snapshot(&dir);
        Canary { dir, before }
    }

    /// Fails if anything of it has changed, and says after `what`.
    #[track_caller]
    pub fn is_unchanged(&self, what: impl FnOnce() -> String) {
        if let Some(change) = self.change() {
            panic!("the canary has changed: {}: {change}", what());
        }
    }

    /// What of it has changed.
    pub fn change(&self) -> Option<String> {
        let now = snapshot(&self.dir);
        let new = |line: &&String| !self.before.contains(line);
        (now != self.before).then(|| now.iter().filter(new).cloned().collect::<Vec<_>>().join("\n"))
    }
}
