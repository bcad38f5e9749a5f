//! Who is attacked: rt, and what is installed beside it and known to fall. An attack for which nobody falls shows nothing.

use rt_integration::{Bundle, Outcome, Sandbox, both};
use std::process::Command;

/// A runtime: `None` is rt, else the name of a program, which keeps its state apart.
#[derive(Clone, Copy)]
pub struct Victim(Option<&'static str>);

impl Victim {
    /// A call of the runtime: its command and what follows that.
    pub fn command(self, sandbox: &Sandbox, words: &[&str]) -> Command {
        let Some(name) = self.0 else { return sandbox.command(words) };
        let mut command = Command::new(name);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(std::process::Stdio::null());
        command.current_dir(sandbox.dir()).arg("--root").arg(sandbox.dir().join("peer")).args(words);
        command
    }

    #[track_caller]
    pub fn call(self, sandbox: &Sandbox, words: &[&str]) -> Outcome {
        sandbox.finish(self.command(sandbox, words))
    }

    /// `run` with the bundle, to its end or, detached, to its start.
    #[track_caller]
    pub fn run(self, sandbox: &Sandbox, bundle: Bundle, flags: &[&str]) -> Outcome {
        sandbox.finish(self.run_command(sandbox, bundle, flags))
    }

    pub fn run_command(self, sandbox: &Sandbox, bundle: Bundle, flags: &[&str]) -> Command {
        // The peers know no later version, and crun raises a limit for device rules, which not every root may.
        let bundle = bundle.set("/ociVersion", "1.0.2").set("/linux/resources", serde_json::json!({}));
        bundle.write();
        let dir = bundle.dir.to_str().expect("UTF-8");
        self.command(sandbox, &[&["run"], flags, &["--bundle", dir, &bundle.id]].concat())
    }

    /// `exec` of the probe in a container.
    #[track_caller]
    pub fn exec(self, sandbox: &Sandbox, flags: &[&str], probe: &str) -> Outcome {
        let probe: Vec<_> = probe.split(' ').collect();
        self.call(sandbox, &[&["exec"], flags, &["c", "/bin/probe"], &probe[..]].concat())
    }

    pub fn delete(self, sandbox: &Sandbox) {
        self.call(sandbox, &["delete", "--force", "c"]);
    }
}

/// The harm that an attack has done, if any. It leaves no container behind.
pub type Attack = fn(&Sandbox, Victim) -> Result<(), String>;

/// Fails if the attack harms rt, on either kind of host.
pub fn fails(attack: Attack) {
    both(move |sandbox| attack(sandbox, Victim(None)).unwrap_or_else(|harm| panic!("rt: {harm}")));
}

/// Fails unless the attack harms this program, in a version before the one that was mended. Where there is none that
/// falls this says so.
pub fn harms(name: &'static str, mended: [u32; 3], attack: Attack) {
    let told = Command::new(name).arg("--version").output().map(|out| out.stdout).unwrap_or_default();
    let told = String::from_utf8_lossy(&told).into_owned();
    let version = version(&told);
    if version.is_none_or(|version| version >= mended) {
        let found = told.lines().next().unwrap_or("none installed");
        return println!("not shown on {name} ({found}): it takes one before {mended:?}");
    }
    let fall = move || match Sandbox::new() {
        Ok(sandbox) => match attack(&sandbox, Victim(Some(name))) {
            Err(harm) => println!("{name} falls: {harm}"),
            Ok(()) => panic!("{name} {version:?} is not harmed: the attack is too weak"),
        },
        Err(why) => rt_integration::skip!("{why}"),
    };
    // A sandbox's namespace is its thread's.
    let thread = std::thread::Builder::new().name(std::thread::current().name().unwrap_or("test").to_owned());
    if let Err(panic) = thread.spawn(fall).expect("a thread").join() {
        std::panic::resume_unwind(panic);
    }
}

/// Of `runc version 1.1.5+ds1` and its like.
fn version(told: &str) -> Option<[u32; 3]> {
    let mut numbers = told.split_whitespace().nth(2)?.split(|other: char| !other.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some([next()?, next()?, next().unwrap_or(0)])
}

#[test]
fn versions_are_read() {
    assert_eq!(version("runc version 1.1.5+ds1\ncommit: x"), Some([1, 1, 5]));
    assert_eq!(version("crun version 1.28\n"), Some([1, 28, 0]));
    assert_eq!(version(""), None);
}
