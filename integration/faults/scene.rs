//! Where one shape is tried: its sandbox, its bundle, and all that a call of rt needs around it.

use crate::commands::Subject;
use crate::shapes::{Form, Shape, ip};
use rt_integration::{Bundle, Sandbox, leaks, pass};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

/// A name that no other process of the matrix uses: keyrings bear it.
pub fn id() -> String {
    format!("c{}", std::process::id())
}

pub struct Scene<'a> {
    pub sandbox: &'a Sandbox,
    /// Flags of rt itself.
    pub global: Vec<String>,
    /// Flags of `create` and of a detached `run`, of one in the foreground, of `exec`.
    pub detached: Vec<String>,
    pub foreground: Vec<String>,
    pub exec: Vec<String>,
    /// How many descriptors are passed, from 3 up.
    pub passed: i32,
    bundle: PathBuf,
    update: PathBuf,
    listeners: Vec<UnixListener>,
    device: Option<&'static str>,
    unit: Option<String>,
    covered: Vec<&'static str>,
    keys: Vec<(u32, usize)>,
}

/// Ids that no other process of the matrix uses: the kernel counts keys by user.
fn own_ids() -> u32 {
    1_000_000 + std::process::id() % 10_000 * 100_000
}

/// A sandbox of this form.
///
/// # Errors
/// What this machine lacks.
pub fn sandbox(shape: &Shape, form: Form) -> Result<Sandbox, String> {
    let mut sandbox = Sandbox::new()?;
    if shape.name == "devices" {
        sandbox = sandbox.with_network();
    }
    Ok(match form {
        Form::Root => sandbox,
        Form::Rootless => sandbox.as_user(own_ids()).delegated(),
    })
}

impl<'a> Scene<'a> {
    /// # Errors
    /// What this machine lacks for the shape.
    pub fn set(sandbox: &'a Sandbox, shape: &Shape, subject: &Subject) -> Result<Scene<'a>, String> {
        let cgroups = format!("{}/{}", sandbox.cgroup(), id());
        let bundle = sandbox.bundle(&id()).args([subject.program]).set("/linux/cgroupsPath", cgroups);
        let update = sandbox.dir().join("update.json");
        fs::write(&update, json!({ "devices": [{ "allow": true, "access": "rwm" }] }).to_string()).expect("a file");
        let mut scene = Scene {
            sandbox,
            global: Vec::new(),
            detached: Vec::new(),
            foreground: Vec::new(),
            exec: Vec::new(),
            passed: 0,
            bundle: bundle.dir.clone(),
            update,
            listeners: Vec::new(),
            device: None,
            unit: None,
            covered: Vec::new(),
            keys: Vec::new(),
        };
        // Looked at by some commands before there is a container.
        fs::create_dir_all(sandbox.state_dir()).expect("a directory");
        std::os::unix::fs::chown(sandbox.state_dir(), sandbox.user(), sandbox.user()).expect("chown");
        let bundle: Bundle = (shape.dress)(&mut scene, bundle)?;
        bundle.write();
        Ok(scene)
    }

    /// The first id of the container's own range.
    pub fn range(&self) -> u32 {
        own_ids() + 10_000
    }

    /// A socket that takes whatever is sent; its path.
    pub fn listen(&mut self, name: &str) -> Result<String, String> {
        let path = self.sandbox.dir().join(name);
        let listener = UnixListener::bind(&path).map_err(|error| error.to_string())?;
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).map_err(|error| error.to_string())?;
        self.listeners.push(listener);
        Ok(path.to_string_lossy().into_owned())
    }

    /// A network device that is there before each call.
    pub fn device(&mut self, name: &'static str) -> Result<(), String> {
        self.device = Some(name);
        self.prepare()
    }

    /// The container's cgroup is a unit of systemd's; its path in a configuration.
    pub fn unit(&mut self) -> String {
        self.unit = Some(format!("rt-faults-{}.scope", id()));
        format!(":rt-faults:{}", id())
    }

    /// Puts another file over one of the host's.
    pub fn cover(&mut self, path: &'static str, text: &str) -> Result<(), String> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let file = self.sandbox.scratch().join(name);
        fs::write(&file, text).map_err(|error| error.to_string())?;
        let status = Command::new("mount").arg("--bind").arg(&file).arg(path).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("cannot mount over {path}"));
        }
        self.covered.push(path);
        Ok(())
    }

    /// What a call uses up.
    pub fn prepare(&self) -> Result<(), String> {
        let Some(name) = self.device.filter(|name| !self.is_here(name)) else { return Ok(()) };
        // Its other end goes with it, a moment after the container's network.
        let _ = ip(&format!("link delete {name}-peer"));
        ip(&format!("link add {name} type veth peer name {name}-peer")).map(drop)
    }

    fn is_here(&self, name: &str) -> bool {
        interfaces().is_ok_and(|all| all.contains(name))
    }

    /// The words of a call, each that stands for something replaced.
    pub fn words(&self, words: &[&str]) -> Vec<String> {
        let mut all = self.global.clone();
        for word in words {
            match *word {
                "ID" => all.push(id()),
                "BUNDLE" => all.push(self.bundle.to_string_lossy().into_owned()),
                "UPDATE" => all.push(self.update.to_string_lossy().into_owned()),
                "DETACHED" => all.extend(self.detached.iter().cloned()),
                "FOREGROUND" => all.extend(self.foreground.iter().cloned()),
                "EXEC" => all.extend(self.exec.iter().cloned()),
                word => all.push(word.to_owned()),
            }
        }
        all
    }

    /// What the caller hands in beside words.
    pub fn hand_in(&self, command: &mut Command) {
        for number in 3..3 + self.passed {
            pass(command, File::open("/dev/null").expect("/dev/null"), number);
        }
    }

    /// Takes up what was sent, and closes it.
    pub fn receive(&self) {
        for listener in &self.listeners {
            while listener.accept().is_ok() {}
        }
    }

    /// Remembers how many keys there are, before the calls that count.
    pub fn count_keys(&mut self) {
        self.keys = [own_ids(), self.range()].map(|user| (user, keys_of(user))).to_vec();
    }

    /// What is left of a container that leaks of the sandbox do not show.
    pub fn left(&self) -> Vec<String> {
        let mut found = Vec::new();
        // The kernel collects keys a moment after their last holder.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            found.clear();
            found.extend(session_keyrings().into_iter().map(|line| format!("keyring: {line}")));
            let more = self.keys.iter().filter(|(user, before)| keys_of(*user) > *before);
            found.extend(more.map(|(user, before)| format!("keys of {user}: more than {before}")));
            found.extend(self.unit.iter().filter(|unit| is_loaded(unit)).map(|unit| format!("unit {unit}")));
            if found.is_empty() || std::time::Instant::now() > until {
                break;
            }
            std::thread::yield_now();
        }
        if let Some(name) = self.device {
            let strange = |other: &&String| *other != "lo" && !other.starts_with(name);
            found.extend(interfaces().iter().flatten().filter(strange).map(|other| format!("network device {other}")));
        }
        found
    }

    /// Takes away what was left, so that the next case has what it needs.
    pub fn clean(&self) {
        if let Some(unit) = &self.unit {
            let _ = Command::new("systemctl").args(["stop", unit]).status();
        }
    }

    /// Whether what was lent to a container that failed is back.
    pub fn has_all_back(&self) -> bool {
        self.device.is_none_or(|name| self.is_here(name))
    }

    pub fn before(&self) -> leaks::Before {
        leaks::Before::take(&self.sandbox.scratch())
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        for path in &self.covered {
            let _ = Command::new("umount").arg(path).status();
        }
    }
}

/// Those of the network that this process is in.
fn interfaces() -> Result<BTreeSet<String>, String> {
    // sysfs shows the network of who mounted it.
    let text = fs::read_to_string("/proc/thread-self/net/dev").map_err(|error| error.to_string())?;
    Ok(text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect())
}

/// Whether systemd knows the unit, or has left its cgroup.
fn is_loaded(unit: &str) -> bool {
    let told = Command::new("systemctl").args(["show", "--value", "--property=LoadState", unit]).output();
    let unknown = told.is_ok_and(|told| told.stdout == *b"not-found\n");
    !unknown || PathBuf::from("/sys/fs/cgroup/system.slice").join(unit).exists()
}

/// Of containers of this name, as far as root may see them: another user's are only counted.
fn session_keyrings() -> Vec<String> {
    let (text, ours) = (fs::read_to_string("/proc/keys").unwrap_or_default(), format!(" _ses.{}:", id()));
    text.lines().filter(|line| line.contains(&ours)).map(str::to_owned).collect()
}

/// keyrings(7), /proc/key-users: how many keys the user has.
fn keys_of(user: u32) -> usize {
    let text = fs::read_to_string("/proc/key-users").unwrap_or_default();
    let of = |line: &str| {
        let (uid, rest) = line.trim().split_once(':')?;
        (uid.parse() == Ok(user)).then(|| rest.split_whitespace().nth(1)?.split('/').next()?.parse().ok())?
    };
    text.lines().find_map(of).unwrap_or(0)
}
