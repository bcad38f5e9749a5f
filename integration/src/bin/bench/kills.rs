//! What each runtime leaves where its `create` is killed: SIGKILL at each system call of its process in turn, then
//! `delete --force`, then a look at what is still there.
//!
//! A runtime of many threads makes thousands of calls, not in the same order twice; of those as many are taken, evenly
//! spread, as there is time for, and the table says how many.

use crate::contenders::Runtime;
use rt_integration::{Bundle, Sandbox, kills, leaks, trace};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For one runtime.
const BUDGET: Duration = Duration::from_secs(40);
const ID: &str = "it";
/// What no call of a runtime should take.
const BOUND: Duration = Duration::from_secs(10);

/// A process for each runtime: it becomes the parent of whatever is orphaned.
pub fn print(runtimes: &[Runtime]) {
    println!("\ncreate, killed at each system call of its process; after delete --force there is left:");
    for runtime in runtimes {
        let me = std::env::current_exe().expect("our own path");
        let out = Command::new(me).arg("kills").arg(&runtime.path).stderr(Stdio::inherit()).output();
        match out {
            Ok(out) => print!("{}", String::from_utf8_lossy(&out.stdout)),
            Err(error) => println!("{:<8} {error}", runtime.name),
        }
    }
}

/// The work on one runtime, by its path.
pub fn of(runtime: &Path) -> Result<(), String> {
    trace::prepare().map_err(|error| error.to_string())?;
    let sandbox = Sandbox::new()?;
    let cgroup = format!("{}/{ID}", sandbox.cgroup());
    let bundle = sandbox.bundle(ID).args(["pause"]).set("/ociVersion", "1.0.2").set("/linux/cgroupsPath", cgroup);
    // To load a program for devices some raise a limit, which not every root may.
    let bundle = bundle.edit(|spec| drop(spec["linux"].as_object_mut().expect("an object").remove("resources")));
    bundle.write();
    let before = leaks::Before::take(&sandbox.scratch());
    let tries = Tries { sandbox: &sandbox, runtime, root: sandbox.dir().join("root"), bundle, before };
    // The first container of a place has more to make than the next.
    tries.create(None)?;
    tries.clear(&mut BTreeMap::new());
    let total = tries.create(None)?;
    tries.clear(&mut BTreeMap::new());
    let (begun, mut cases, mut left, mut unclean) = (Instant::now(), 0, BTreeMap::new(), 0);
    // Every call where there is time; else the spread is made wider by what the first cases took.
    let (mut at, mut stride) = (0, 1);
    while at < total {
        let before: usize = left.values().sum();
        tries.create(Some(at))?;
        tries.clear(&mut left);
        unclean += usize::from(left.values().sum::<usize>() > before);
        cases += 1;
        if cases == FIRST {
            let whole = begun.elapsed() * (total as u32) / FIRST as u32;
            stride = (whole.as_secs_f64() / BUDGET.as_secs_f64()).ceil().max(1.0) as usize;
        }
        at += stride;
    }
    let kinds: Vec<_> = left.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
    let kinds = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
    let name = runtime.file_name().unwrap_or_default().to_string_lossy();
    println!("{name:<8} {unclean:>4} of {cases:>4} cases ({total} calls): {kinds}");
    Ok(())
}

/// Cases by which the time of the rest is estimated.
const FIRST: usize = 20;

/// Where a runtime has mounted itself, to be safe from its containers.
fn mounted() -> Vec<String> {
    let all = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = all.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| point.starts_with("/tmp/")).map(str::to_owned).collect()
}

struct Tries<'a> {
    sandbox: &'a Sandbox,
    runtime: &'a Path,
    root: PathBuf,
    bundle: Bundle<'a>,
    before: leaks::Before,
}

impl Tries<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.runtime);
        command.arg("--root").arg(&self.root).args(words).current_dir(&self.bundle.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// How many calls it made.
    fn create(&self, at: Option<usize>) -> Result<usize, String> {
        let ended = kills::run(self.command(&["create", ID]), at, BOUND).map_err(|error| error.to_string())?;
        match (at, ended.status) {
            (None, Some(0)) | (Some(_), _) => Ok(ended.calls),
            (None, status) => Err(format!("create ended with {status:?}")),
        }
    }

    /// `delete --force`, a look at what is left, and the removal of that.
    fn clear(&self, left: &mut BTreeMap<&'static str, usize>) {
        let mut count = |kind| *left.entry(kind).or_default() += 1;
        match trace::plainly(self.command(&["delete", "--force", ID]), BOUND) {
            Some(0) => {}
            Some(_) => count("delete that failed"),
            None => count("delete that hung"),
        }
        let cgroup = Path::new("/sys/fs/cgroup").join(self.sandbox.cgroup().trim_start_matches('/'));
        if !trace::reap(Duration::from_secs(2)) {
            count("process");
        }
        if cgroup.join(ID).exists() {
            count("cgroup");
        }
        if self.root.join(ID).exists() {
            count("state directory");
        }
        for point in mounted() {
            count("mount");
            let _ = Command::new("umount").args(["-l", &point]).status();
            let _ = std::fs::remove_dir(&point);
        }
        leaks::clean(&self.before, &cgroup.join(ID));
        let _ = std::fs::remove_dir_all(self.root.join(ID));
        trace::reap(Duration::from_secs(2));
    }
}
