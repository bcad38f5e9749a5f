//! Bundles made in the sandbox, and the calls of rt that take one.

use crate::outcome::{Outcome, Running};
use crate::{Sandbox, default_spec, set, spec};
use serde_json::Value;
use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

const NAMES: &[&str] = &["probe", "true", "false", "sleep", "cat"];
const DIRS: &[&str] = &["bin", "dev", "etc", "proc", "sys", "tmp", "root", "mnt", "run", "var"];

/// A container that is to be. The config is written when a call first needs it, and again after a change.
pub struct Bundle<'a> {
    sandbox: &'a Sandbox,
    pub id: String,
    pub dir: PathBuf,
    pub spec: Value,
    written: Cell<bool>,
}

impl<'a> Bundle<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox, id: &str) -> Bundle<'a> {
        let dir = sandbox.dir().join(format!("bundle-{id}"));
        let mut spec = default_spec(&format!("{}/{id}", sandbox.cgroup()));
        if let Some(uid) = sandbox.user() {
            spec::make_rootless(&mut spec, uid, uid);
        }
        let bundle = Bundle { sandbox, id: id.to_owned(), dir, spec, written: Cell::new(false) };
        bundle.make_rootfs();
        bundle
    }

    fn make_rootfs(&self) {
        let rootfs = self.rootfs();
        for dir in DIRS {
            fs::create_dir_all(rootfs.join(dir)).expect("a scratch directory");
        }
        for name in NAMES {
            let link = rootfs.join("bin").join(name);
            // A second bundle of one id stands in the first one's place.
            if !link.exists() {
                fs::hard_link(self.sandbox.probe(), link).expect("the probe in the rootfs");
            }
        }
        fs::set_permissions(rootfs.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("chmod");
        fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/true\nuser:x:1000:1000::/home/user:\n")
            .expect("passwd");
        fs::write(rootfs.join("etc/group"), "root:x:0:\nuser:x:1000:\n").expect("group");
        self.give_away();
    }

    /// An unprivileged sandbox's files are its user's.
    fn give_away(&self) {
        if let Some(uid) = self.sandbox.user() {
            give(&self.dir, uid);
        }
    }

    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// What the probe is to do.
    #[must_use]
    pub fn args<S: AsRef<str>>(self, args: impl IntoIterator<Item = S>) -> Bundle<'a> {
        let words = ["/bin/probe".to_owned()].into_iter().chain(args.into_iter().map(|word| word.as_ref().to_owned()));
        let words: Vec<String> = words.collect();
        self.set("/process/args", words)
    }

    /// Changes the config at a JSON pointer; objects on the way are made, `/a/-` appends to `/a`.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Bundle<'a> {
        set(&mut self.spec, pointer, value.into());
        self.written.set(false);
        self
    }

    #[must_use]
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Bundle<'a> {
        change(&mut self.spec);
        self.written.set(false);
        self
    }

    /// Adds a mount.
    #[must_use]
    pub fn mount(self, destination: &str, kind: &str, source: &str, options: &[&str]) -> Bundle<'a> {
        let mount =
            serde_json::json!({ "destination": destination, "type": kind, "source": source, "options": options });
        self.set("/mounts/-", mount)
    }

    /// Adds a namespace to make, or to join by its path.
    #[must_use]
    pub fn namespace(mut self, kind: &str, path: Option<&str>) -> Bundle<'a> {
        self = self.without_namespace(kind);
        let mut entry = serde_json::json!({ "type": kind });
        if let Some(path) = path {
            entry["path"] = path.into();
        }
        self.set("/linux/namespaces/-", entry)
    }

    #[must_use]
    pub fn without_namespace(self, kind: &str) -> Bundle<'a> {
        self.edit(|spec| {
            let list = spec["linux"]["namespaces"].as_array_mut().expect("namespaces");
            list.retain(|entry| entry["type"] != kind);
        })
    }

    /// Puts a file into the rootfs.
    #[must_use]
    pub fn plant(self, path: &str, content: &str) -> Bundle<'a> {
        let path = self.rootfs().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory of the rootfs");
        fs::write(path, content).expect("a file of the rootfs");
        self.give_away();
        self
    }

    #[must_use]
    pub fn plant_link(self, path: &str, target: &str) -> Bundle<'a> {
        let path = self.rootfs().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory of the rootfs");
        symlink(target, path).expect("a link of the rootfs");
        self.give_away();
        self
    }

    /// Replaces config.json by these bytes, whatever they are.
    #[must_use]
    pub fn raw_config(self, bytes: impl AsRef<[u8]>) -> Bundle<'a> {
        fs::write(self.dir.join("config.json"), bytes).expect("config.json");
        self.written.set(true);
        self
    }

    /// Writes config.json if it is not what `spec` says.
    pub fn write(&self) {
        if !self.written.replace(true) {
            let text = serde_json::to_vec_pretty(&self.spec).expect("JSON");
            fs::write(self.dir.join("config.json"), text).expect("config.json");
            self.give_away();
        }
    }

    /// A call that takes the bundle, ready to be changed.
    pub fn command(&self, command: &str, flags: &[&str]) -> std::process::Command {
        self.write();
        let mut call = self.sandbox.command([command]);
        call.args(flags).arg("--bundle").arg(&self.dir).arg(&self.id);
        call
    }

    /// `rt run`, to its end.
    #[track_caller]
    pub fn run(&self) -> Outcome {
        self.run_with(&[])
    }

    #[track_caller]
    pub fn run_with(&self, flags: &[&str]) -> Outcome {
        self.sandbox.finish(self.command("run", flags))
    }

    /// `rt run` in the foreground, without waiting.
    #[track_caller]
    pub fn spawn(&self, flags: &[&str]) -> Running {
        self.sandbox.spawn(self.command("run", flags))
    }

    #[track_caller]
    pub fn create(&self) -> Outcome {
        self.create_with(&[])
    }

    #[track_caller]
    pub fn create_with(&self, flags: &[&str]) -> Outcome {
        self.sandbox.finish(self.command("create", flags))
    }

    #[track_caller]
    pub fn start(&self) -> Outcome {
        self.sandbox.rt(["start", &self.id])
    }

    #[track_caller]
    pub fn kill(&self, signal: &str) -> Outcome {
        self.sandbox.rt(["kill", &self.id, signal])
    }

    #[track_caller]
    pub fn delete(&self) -> Outcome {
        self.sandbox.rt(["delete", &self.id])
    }

    #[track_caller]
    pub fn delete_force(&self) -> Outcome {
        self.sandbox.rt(["delete", "--force", &self.id])
    }

    /// `rt exec ID …`, to its end.
    #[track_caller]
    pub fn exec<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        let mut command = self.sandbox.command(["exec", &self.id]);
        command.args(args);
        self.sandbox.finish(command)
    }

    /// What `rt state` prints.
    #[track_caller]
    pub fn state(&self) -> Value {
        let out = self.sandbox.rt(["state", &self.id]).ok();
        serde_json::from_str(&out.stdout()).unwrap_or_else(|error| panic!("{error}: {}", out.report()))
    }

    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").to_owned()
    }

    /// The process id that `rt state` tells.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.state()["pid"].as_i64().expect("a pid") as i32
    }

    /// Waits until the container's process has ended, however that comes.
    #[track_caller]
    pub fn wait_stopped(&self) {
        match self.pid() {
            0 => {}
            pid => crate::wait_end(pid),
        }
    }
}

fn give(path: &Path, uid: u32) {
    let meta = path.symlink_metadata().expect("a scratch file");
    // The probe is one file under many names and stays root's: it is only ever executed.
    let shared = meta.is_file() && std::os::unix::fs::MetadataExt::nlink(&meta) > 1;
    if !shared {
        lchown(path, Some(uid), Some(uid)).expect("chown");
    }
    if meta.is_dir() {
        for entry in fs::read_dir(path).expect("a scratch directory").flatten() {
            give(&entry.path(), uid);
        }
    }
}
