//! How many system calls rt makes, and how much memory it needs: bounds, so that neither creeps.
//!
//! The counts hold for every build: what a development build adds, a look at each descriptor before it is closed
//! (`fcntl(F_GETFD)`), is not counted. Its code is larger, so the memory bound is asserted for a release build alone
//! (one below a directory named `release`).

use rt_integration::{Bundle, Sandbox, probe_bin, rt_bin, sandbox, skip};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Every call of rt, of the container's init and of its program, by name; and the lines themselves.
struct Trace {
    lines: Vec<String>,
    calls: BTreeMap<String, usize>,
}

impl Trace {
    fn parse(text: &str) -> Trace {
        let lines: Vec<String> = text.lines().filter_map(call).map(str::to_owned).collect();
        let mut calls = BTreeMap::new();
        for line in &lines {
            let name = line.split('(').next().unwrap_or_default();
            *calls.entry(name.to_owned()).or_default() += 1;
        }
        Trace { lines, calls }
    }

    fn count(&self, name: &str) -> usize {
        self.calls.get(name).copied().unwrap_or(0)
    }

    fn total(&self) -> usize {
        self.lines.len()
    }

    #[track_caller]
    fn at_most(&self, bound: usize) {
        assert!(self.total() <= bound, "{} system calls, {bound} allowed: {:#?}", self.total(), self.calls);
    }
}

/// `PID name(…) = …`: the call's part of a line that begins a call. The rest are signals, ends, and second halves.
fn call(line: &str) -> Option<&str> {
    let call = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
    let begins = call.starts_with(|c: char| c.is_ascii_lowercase());
    let checks_only = call.starts_with("fcntl(") && call.contains(", F_GETFD");
    (begins && !checks_only).then_some(call)
}

/// Calls rt below strace, which follows every task.
#[track_caller]
fn trace(sandbox: &Sandbox, words: &[&str]) -> Trace {
    let file = sandbox.dir().join(format!("trace-{}", words[0]));
    let rt = sandbox.command(words);
    // A signal that the caller of the tests ignores would be a call more: the program is to have it by default.
    let mut command = Command::new("env");
    command
        .args(["--default-signal", "strace", "-f", "-qq", "-s", "64", "-o"])
        .arg(&file)
        .arg(rt.get_program())
        .args(rt.get_args());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(sandbox.dir());
    sandbox.finish(command).ok();
    Trace::parse(&fs::read_to_string(&file).expect("what strace wrote"))
}

/// Why calls cannot be counted here, if so.
fn uncountable() -> Option<String> {
    if !cfg!(target_env = "musl") {
        return Some("this is not the build that is shipped: its C library makes calls of its own".to_owned());
    }
    match Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("strace cannot trace here: {status}")),
        Err(error) => Some(format!("strace: {error}")),
    }
}

fn path(bundle: &Bundle) -> String {
    bundle.write();
    bundle.dir.to_str().expect("UTF-8").to_owned()
}

#[test]
fn one_run_is_few_system_calls() {
    if let Some(why) = uncountable() {
        skip!("{why}");
    }
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").set("/process/args", vec!["/bin/true"]);
    // The first container below a cgroup has the controllers handed down to it.
    bundle.run().ok();
    let trace = trace(&sandbox, &["run", "--bundle", &path(&bundle), "c"]);
    println!("run: {} system calls", trace.total());
    // With all controllers rt reads which of them are handed down; such a host has more paths to mask, too.
    trace.at_most(if sandbox.has_controller("memory") { 375 } else { 355 });
    assert_eq!(trace.count("clone3"), 1, "{:#?}", trace.calls);
    for other in ["clone", "fork", "vfork"] {
        assert_eq!(trace.count(other), 0, "{other}: {:#?}", trace.calls);
    }
    // strace's own start of rt, the container's program: the sealed copy takes none.
    assert_eq!(trace.count("execve") + trace.count("execveat"), 2, "{:#?}", trace.calls);
    assert_eq!(trace.count("sched_setaffinity"), 1, "{:#?}", trace.calls);
    // An RCU grace period each, milliseconds on a busy host: init is born in its cgroup instead.
    let moved = trace.lines.iter().find(|line| line.contains("cgroup.procs"));
    assert!(moved.is_none(), "{moved:?}");
    for slow in ["/proc/self/mountinfo", "/proc/mounts", "/proc/self/mounts"] {
        let line = trace.lines.iter().find(|line| line.contains(slow));
        assert!(line.is_none(), "grows with the host's mounts: {line:?}");
    }
}

#[test]
fn a_life_is_few_system_calls() {
    if let Some(why) = uncountable() {
        skip!("{why}");
    }
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    // Not below strace: it would stay with init as long as that lives.
    bundle.create().ok();
    for (words, bound) in [
        (&["start", "c"] as &[&str], 50),
        (&["state", "c"], 46),
        (&["exec", "c", "/bin/true"], 170),
        (&["delete", "--force", "c"], 58),
    ] {
        let trace = trace(&sandbox, words);
        println!("{}: {} system calls", words[0], trace.total());
        trace.at_most(bound);
    }
}

/// What a command does beside a hundred containers is what it does beside one; `list` looks at each once.
#[test]
fn many_containers_cost_list_alone() {
    if let Some(why) = uncountable() {
        skip!("{why}");
    }
    let sandbox = sandbox!();
    let create = |id: &str| {
        // They share a rootfs; the configuration is kept at create.
        let bundle = sandbox.bundle("c").set("/linux/cgroupsPath", format!("{}/{id}", sandbox.cgroup()));
        let bundle = bundle.args(["pause"]);
        bundle.write();
        sandbox.rt(["create", "--bundle", bundle.dir.to_str().expect("UTF-8"), id]).ok();
    };
    let totals = || [&["state", "c0"][..], &["list"]].map(|words| trace(&sandbox, words).total());
    create("c0");
    let [state, list] = totals();
    (1..100).for_each(|number| create(&format!("c{number}")));
    let [state_of_many, list_of_many] = totals();
    println!("state: {state}, then {state_of_many} system calls; list: {list}, then {list_of_many}");
    assert_eq!(state_of_many, state);
    assert!(list_of_many - list <= 99 * 8, "{} system calls for 99 more", list_of_many - list);
    (0..100).for_each(|number| drop(sandbox.rt(["delete", "--force", &format!("c{number}")]).ok()));
}

/// The peak of rt's resident memory in kB, and its page faults with those of its children; nothing where `floor` is missing.
fn usage(sandbox: &Sandbox, words: &[&str]) -> Option<(usize, usize)> {
    let floor: PathBuf = probe_bin().with_file_name("floor");
    if !floor.exists() {
        return None;
    }
    let rt = sandbox.command(words);
    let mut command = Command::new(floor);
    command.arg("usage").arg(rt.get_program()).args(rt.get_args()).current_dir(sandbox.dir());
    let out = sandbox.finish(command).ok().stdout();
    let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("no number: {out:?}"));
    // Behind what the command itself says.
    let last = out.lines().last().unwrap_or_default();
    let (peak, faults) = last.split_once(' ').unwrap_or_else(|| panic!("no two words: {out:?}"));
    Some((number(peak), number(faults)))
}

/// The bounds are those of what users run.
fn is_release() -> bool {
    rt_bin().components().any(|part| part.as_os_str() == "release")
}

#[test]
fn peak_memory() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").set("/process/args", vec!["/bin/true"]);
    let Some((peak, _)) = usage(&sandbox, &["run", "--bundle", &path(&bundle), "c"]) else {
        skip!("no floor to measure with");
    };
    println!("peak of {}: {peak} kB", rt_bin().display());
    // Where the page cache holds rt in large pieces, 2 MB of the program are mapped at once.
    assert!(!is_release() || peak <= 3072 + 2048, "{peak} kB");
}

/// Each costs about a microsecond. A build whose functions lie in another order than src/sys/hot.ld says has many more.
#[test]
fn few_pages() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.create().ok();
    for (words, bound) in [(&["state", "c"][..], 30), (&["exec", "c", "/bin/true"], 80)] {
        let Some((_, faults)) = usage(&sandbox, words) else {
            skip!("no floor to measure with");
        };
        println!("{}: {faults} page faults", words[0]);
        assert!(
            !is_release() || faults <= bound,
            "{faults} page faults of {}, {bound} allowed: run `make hot`",
            words[0]
        );
    }
    sandbox.rt(["delete", "--force", "c"]).ok();
}
