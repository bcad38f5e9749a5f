//! An open cgroup: what can be asked of it and done to it.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use serde::{Deserialize, Serialize};

use super::files;
use super::hierarchy::Hierarchy;
use super::oom::Oom;
use super::scope::Opening;
use super::systemd::Unit;
use super::tree::{self, Visit};

/// A cgroup, held open.
#[derive(Debug)]
pub struct Cgroup {
    pub(super) dir: OwnedFd,
    pub(super) record: Record,
    /// While a scope has no process of the container yet.
    pub(super) opening: Option<Opening>,
}

/// What finds a cgroup again, and says what may be done to it. Kept in the container's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Absolute, mount included.
    pub path: PathBuf,
    /// The identity: the kernel does not give the number of a removed cgroup to a new one.
    pub inode: u64,
    /// The components of `path` that rt made, outermost first; the cgroup itself is the last, unless it existed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<Made>,
    /// The id of the device program on a cgroup that existed: delete takes it off again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<u32>,
    /// The unit of systemd that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Its memory has a limit of its own, so that the OOM killer may come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub limited: bool,
}

/// One directory that rt made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub path: PathBuf,
    pub inode: u64,
}

impl Record {
    /// Of a cgroup in which nothing was done yet.
    pub(super) fn new(path: PathBuf, inode: u64, made: Vec<Made>) -> Record {
        Record { path, inode, made, program: None, unit: None, limited: false }
    }

    /// True when rt made the cgroup itself: only then may it be killed and removed.
    pub fn is_made(&self) -> bool {
        self.made.last().is_some_and(|made| made.path == self.path && made.inode == self.inode)
    }

    /// Of directories that were about to be made (outermost first) when their maker died; `None` when the cgroup itself was
    /// not made.
    fn of_planned(planned: &[PathBuf]) -> Option<Record> {
        use std::os::unix::fs::MetadataExt;
        let inode = |path: &PathBuf| std::fs::metadata(path).ok().map(|meta| meta.ino());
        let made: Vec<Made> =
            planned.iter().filter_map(|path| Some(Made { path: path.clone(), inode: inode(path)? })).collect();
        let last = made.last().filter(|made| Some(&made.path) == planned.last())?.clone();
        Some(Record::new(last.path, last.inode, made))
    }

    /// True when nothing in the cgroup runs because it, or a cgroup above it, was told to freeze.
    pub fn is_frozen(&self) -> bool {
        self.read("cgroup.events").is_some_and(|text| files::keyed(&text, "frozen") == Some(1))
    }

    /// True when a process that is born in the cgroup would not run. The kernel calls it frozen only once all of it is, and
    /// so for a moment no more, when `exec --ignore-paused` has just put another process in.
    pub fn holds_newcomers(&self) -> bool {
        self.read("cgroup.freeze").is_some_and(|text| text.trim_end() == "1") || self.is_frozen()
    }

    /// What the OOM killer did in the cgroup and below it, if it did anything.
    pub fn oom(&self) -> Option<Oom> {
        Oom::find(|file| self.read(file))
    }

    fn read(&self, file: &str) -> Option<String> {
        let file = crate::sys::fs::open(&self.path.join(file), OFlag::O_RDONLY);
        file.and_then(crate::sys::fs::read_text).ok()
    }
}

impl Cgroup {
    /// Finds a recorded cgroup. `None` when it is gone, also when another stands at its path by now.
    pub fn open(record: &Record) -> Result<Option<Cgroup>> {
        let failed = || format!("cannot open cgroup {}", record.path.display());
        let dir = match open_directory(&record.path) {
            Ok(dir) => dir,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENODEV) => return Ok(None),
            Err(errno) => return Err(errno).with_context(failed),
        };
        let inode = fstat(&dir).with_context(failed)?.st_ino;
        Ok((inode == record.inode).then(|| Cgroup { dir, record: record.clone(), opening: None }))
    }

    /// Finds the last of directories that were about to be made, outermost first, when their maker died. `None` when it was
    /// not made, or is gone.
    pub fn open_planned(planned: &[PathBuf]) -> Result<Option<Cgroup>> {
        Record::of_planned(planned).map_or(Ok(None), |record| Cgroup::open(&record))
    }

    /// The cgroup a process is in, somebody else's as far as removing and killing go. For an exec into a container whose
    /// init has moved itself down and handed controllers to its sub-cgroups: the container's own cgroup can then hold
    /// no process (EBUSY at the clone), and the newcomer joins init, as with runc.
    pub fn of_process(hierarchy: &Hierarchy, pid: i32) -> Result<Cgroup> {
        let inner = hierarchy.path_of(pid)?;
        let path = hierarchy.mount.join(inner.strip_prefix("/").unwrap_or(&inner));
        let failed = || format!("cannot open cgroup {}", path.display());
        let dir = open_directory(&path).with_context(failed)?;
        let inode = fstat(&dir).with_context(failed)?.st_ino;
        Ok(Cgroup { dir, record: Record::new(path, inode, Vec::new()), opening: None })
    }

    /// The directory, open for reading: good for CLONE_INTO_CGROUP and for device programs.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Absolute, mount included.
    pub fn path(&self) -> &Path {
        &self.record.path
    }

    /// What to keep in the state.
    pub fn record(&self) -> Record {
        self.record.clone()
    }

    /// Whether there are cgroups below it: their directories are links to it (kernfs counts two and each of them).
    pub fn has_sub_cgroups(&self) -> bool {
        fstat(&self.dir).is_ok_and(|status| status.st_nlink > 2)
    }

    /// The processes in it and below it, as numbers of the caller's pid namespace (0 for those outside of it).
    pub fn procs(&self) -> Result<Vec<i32>> {
        struct Procs(Vec<i32>);
        impl Visit for Procs {
            fn enter(&mut self, dir: BorrowedFd, _path: &[CString]) {
                let numbers = |text: String| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>();
                match files::read_at(dir, Path::new("cgroup.procs")) {
                    Ok(text) => self.0.extend(numbers(text)),
                    // A threaded cgroup lists threads alone; the domain above it, which may be above the container,
                    // lists their processes.
                    Err(Errno::EOPNOTSUPP) => {
                        let threads = files::read_at(dir, Path::new("cgroup.threads")).map(numbers);
                        self.0.extend(threads.unwrap_or_default().into_iter().filter_map(process_of));
                    }
                    Err(_) => {}
                }
            }
        }
        let mut procs = Procs(Vec::new());
        tree::walk(self.fd(), &mut procs).with_context(|| self.failed("list the processes of"))?;
        let mut seen = std::collections::BTreeSet::new();
        // Processes of other pid namespaces are all 0.
        procs.0.retain(|pid| *pid == 0 || seen.insert(*pid));
        Ok(procs.0)
    }

    /// Sends SIGKILL to everything in it and below it, forks in flight included (`cgroup.kill`, kernel 5.14).
    ///
    /// Errors when rt did not make it: with `cgroupsPath: /system.slice` this would kill the host's services.
    pub fn kill(&self) -> Result<()> {
        ensure!(
            self.record.is_made(),
            "cgroup {} existed before the container: its processes are not killed as a whole",
            self.path().display()
        );
        match files::write_at(&self.dir, Path::new("cgroup.kill"), "1") {
            // Gone, and so are its processes.
            Ok(()) | Err(Errno::ENODEV) => Ok(()),
            Err(Errno::ENOENT) if !self.path().exists() => Ok(()),
            Err(errno) => Err(errno).with_context(|| self.failed("kill the processes of")),
        }
    }

    /// The text of a control file, without the line end; `None` when it is not there.
    pub fn read(&self, file: &str) -> Option<String> {
        let mut text = files::read_at(&self.dir, Path::new(file)).ok()?;
        text.truncate(text.trim_end().len());
        Some(text)
    }

    /// CPU time used, in µs.
    pub fn cpu_time(&self) -> Option<u64> {
        files::keyed(&self.read("cpu.stat")?, "usage_usec")
    }

    /// How many processes the OOM killer has killed in it and below it.
    pub fn oom_kills(&self) -> Option<u64> {
        files::keyed(&self.read("memory.events")?, "oom_kill")
    }

    /// What the OOM killer did in it and below it, if it did anything.
    pub fn oom(&self) -> Option<Oom> {
        Oom::find(|file| self.read(file))
    }

    /// What a clone into this cgroup that failed with `errno` ran into, where the cgroup explains it.
    pub fn clone_refusal(&self, errno: Errno) -> Option<String> {
        let path = self.path().display();
        match errno {
            Errno::EAGAIN => {
                let max = self.read("pids.max").filter(|max| max != "max")?;
                let current = self.read("pids.current").unwrap_or_default();
                Some(format!("cgroup {path} allows {max} process(es) (pids.max) and holds {current}"))
            }
            Errno::EBUSY => {
                let down = self.read("cgroup.subtree_control").filter(|down| !down.is_empty())?;
                Some(format!("cgroup {path} hands down controllers ({down}) and so cannot hold processes itself"))
            }
            Errno::EOPNOTSUPP => {
                let kind = self.read("cgroup.type").unwrap_or_default();
                Some(format!("cgroup {path} is of type \"{kind}\" and cannot take a process"))
            }
            Errno::EACCES | Errno::EPERM => Some(format!(
                "the caller may not move processes into cgroup {path}: it needs write access to cgroup.procs there and \
                 in the cgroup that holds both its own and this one"
            )),
            Errno::ENODEV => Some(format!("cgroup {path} was removed meanwhile")),
            _ => None,
        }
    }

    pub(super) fn failed(&self, what: &str) -> String {
        format!("cannot {what} cgroup {}", self.path().display())
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// The process that a thread belongs to (proc_pid_status(5), Tgid).
fn process_of(thread: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    crate::sys::fs::open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(made: &[(&str, u64)]) -> Record {
        let made = made.iter().map(|(path, inode)| Made { path: path.into(), inode: *inode }).collect();
        Record::new("/sys/fs/cgroup/a/b".into(), 7, made)
    }

    #[test]
    fn made_is_by_path_and_inode() {
        assert!(record(&[("/sys/fs/cgroup/a/b", 7)]).is_made());
        assert!(record(&[("/sys/fs/cgroup/a", 6), ("/sys/fs/cgroup/a/b", 7)]).is_made());
        assert!(!record(&[("/sys/fs/cgroup/a/b", 8)]).is_made());
        assert!(!record(&[("/sys/fs/cgroup/a", 7)]).is_made());
        assert!(!record(&[]).is_made());
    }

    #[test]
    fn a_record_survives_json() {
        let record = record(&[("/sys/fs/cgroup/a/b", 7)]);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }

    #[test]
    fn what_is_gone_is_none() {
        assert!(Cgroup::open(&Record { path: "/proc/self/nothing".into(), ..record(&[]) }).unwrap().is_none());
    }
}
