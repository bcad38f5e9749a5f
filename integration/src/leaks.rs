//! What a test left behind.

use crate::{sys, time_limit};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The sandbox as it was before rt was called.
pub struct Before {
    mounts: BTreeSet<String>,
    /// The scratch filesystem: whatever runs from a file of it, or has its root there, came from this test.
    device: u64,
    /// The mount namespace of this test's thread: whatever lives in it besides the thread came from this test.
    namespace: PathBuf,
}

impl Before {
    pub fn take(scratch: &Path) -> Before {
        Before {
            mounts: mounts(),
            device: fs::metadata(scratch).expect("the scratch directory").dev(),
            namespace: fs::read_link("/proc/thread-self/ns/mnt").expect("procfs"),
        }
    }
}

/// A line for each process, mount, cgroup and state file that should be gone.
pub fn find(before: &Before, scratch: &Path, state: &Path, cgroup: &Path) -> Vec<String> {
    let mut found: Vec<_> =
        processes(before).into_iter().map(|pid| format!("process {pid}: {}", command_line(pid))).collect();
    found.extend(find_things(before, scratch, state, cgroup));
    found
}

/// The same without the processes, for who knows of them already.
pub fn find_things(before: &Before, scratch: &Path, state: &Path, cgroup: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let gone: Vec<_> = before.mounts.difference(&mounts()).cloned().collect();
    found.extend(mounts().difference(&before.mounts).map(|line| format!("mount: {line}")));
    found.extend(gone.iter().map(|line| format!("mount gone: {line}")));
    found.extend(below(cgroup).iter().map(|dir| format!("cgroup {}", dir.display())));
    found.extend(entries(state).iter().map(|path| format!("state {}", path.display())));
    found.extend(
        entries(scratch).iter().filter(|path| is_temporary(path)).map(|path| format!("file {}", path.display())),
    );
    found
}

/// Kills a process that the test has to answer for, and waits for its end.
pub fn end(pid: i32) {
    let pidfd = sys::pidfd_open(pid);
    let _ = sys::kill(pid, libc::SIGKILL);
    if let Ok(pidfd) = pidfd {
        let _ = sys::poll(&[&pidfd], Instant::now() + time_limit());
    }
}

/// Ends and removes all of it. Mounts go with the thread's namespace.
pub fn clean(before: &Before, cgroup: &Path) {
    let _ = fs::write(cgroup.join("cgroup.kill"), "1");
    processes(before).into_iter().for_each(end);
    // Deepest first.
    for dir in below(cgroup).iter().rev() {
        remove_cgroup(dir);
    }
    remove_cgroup(cgroup);
}

/// A killed process leaves its cgroup a moment after its death.
fn remove_cgroup(dir: &Path) {
    let until = Instant::now() + time_limit();
    while fs::remove_dir(dir).is_err() && dir.exists() && Instant::now() < until {
        std::thread::yield_now();
    }
}

fn mounts() -> BTreeSet<String> {
    let all = fs::read_to_string("/proc/thread-self/mountinfo").expect("procfs");
    all.lines().map(str::to_owned).collect()
}

fn processes(before: &Before) -> Vec<i32> {
    let pids = entries(Path::new("/proc"));
    let pids = pids.iter().filter_map(|path| path.file_name()?.to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| pid as u32 != std::process::id() && is_ours(pid, before)).collect()
}

fn is_ours(pid: i32, before: &Before) -> bool {
    let runs_from = fs::metadata(format!("/proc/{pid}/exe")).map(|meta| meta.dev());
    let rooted_in = fs::metadata(format!("/proc/{pid}/root")).map(|meta| meta.dev());
    let lives_in = fs::read_link(format!("/proc/{pid}/ns/mnt"));
    [runs_from, rooted_in].into_iter().flatten().any(|device| device == before.device)
        || lives_in.is_ok_and(|space| space == before.namespace)
}

fn command_line(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned()
}

/// Temporary names of atomic writes.
fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmp")
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Every directory below this one, parents before their children.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in entries(dir).into_iter().filter(|path| path.is_dir()) {
        let deeper = below(&path);
        found.push(path);
        found.extend(deeper);
    }
    found
}
