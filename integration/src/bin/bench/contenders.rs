//! Who is measured, and what each of them is asked to do.

use crate::table::FLOOR;
use crate::timer::{Call, is_program};
use rt_integration::{Bundle, Sandbox, rt_bin, set};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runtimes that are measured where they are installed.
const PEERS: &[&str] = &["runc", "crun", "youki"];

pub trait Contender {
    fn name(&self) -> &str;
    /// One `run`, then the commands of a container's life, in order.
    fn life(&self) -> Vec<(&'static str, Call)>;
}

/// The containers, as bundles on the scratch filesystem.
pub struct Shapes {
    plain: PathBuf,
    pause: PathBuf,
    docker: PathBuf,
    seccomp: PathBuf,
    /// Of all of them: there is one container at a time.
    pub cgroup: PathBuf,
}

impl Shapes {
    /// `plain` is bundles/hello with a program that ends at once, `pause` the same with one that waits, `docker` is
    /// bundles/docker without the limits whose controllers are missing here and what older peers refuse, `seccomp` is
    /// `plain` with rt's default profile.
    pub fn make(sandbox: &Sandbox) -> Shapes {
        let hello = read("hello");
        let seccomp = default_profile(sandbox);
        let bundle = |id: &str, spec: &Value, args: &[&str]| {
            let mut spec = spec.clone();
            set(&mut spec, "/process/args", json!(args));
            // Older peers take no newer one.
            set(&mut spec, "/ociVersion", json!("1.0.2"));
            set(&mut spec, "/root/path", json!("rootfs"));
            set(&mut spec, "/linux/cgroupsPath", json!(format!("{}/it", sandbox.cgroup())));
            let bundle: Bundle = sandbox.bundle(id).edit(|old| *old = spec);
            bundle.write();
            bundle.dir
        };
        let mut with_seccomp = hello.clone();
        set(&mut with_seccomp, "/linux/seccomp", seccomp);
        let docker = bundle("docker", &docker(sandbox), &["/bin/true"]);
        for file in ["resolv.conf", "hostname", "hosts"] {
            std::fs::copy(sample("docker").join(file), docker.join(file)).expect("a file of bundles/docker");
        }
        Shapes {
            plain: bundle("plain", &hello, &["/bin/true"]),
            pause: bundle("pause", &hello, &["/bin/probe", "pause"]),
            docker,
            seccomp: bundle("seccomp", &with_seccomp, &["/bin/true"]),
            cgroup: sandbox.cgroup_dir("it"),
        }
    }
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundles").join(name)
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(sample(name).join("config.json")).expect("a sample bundle");
    serde_json::from_str(&text).expect("JSON")
}

fn docker(sandbox: &Sandbox) -> Value {
    let mut spec = read("docker");
    // Older peers know no time namespaces.
    let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("namespaces");
    namespaces.retain(|namespace| namespace["type"] != "time");
    let resources = spec["linux"]["resources"].as_object_mut().expect("resources");
    for (key, controller) in [("memory", "memory"), ("cpu", "cpu"), ("pids", "pids"), ("blockIO", "io")] {
        if !sandbox.has_controller(controller) && resources.remove(key).is_some() {
            println!("bundles/docker without linux.resources.{key}: no {controller} controller here");
        }
    }
    spec
}

fn default_profile(sandbox: &Sandbox) -> Value {
    let dir = sandbox.dir().join("spec");
    std::fs::create_dir(&dir).expect("a scratch directory");
    sandbox.rt(["spec", "--seccomp", "default", "--bundle", dir.to_str().expect("UTF-8")]).ok();
    let text = std::fs::read_to_string(dir.join("config.json")).expect("what rt spec wrote");
    serde_json::from_str::<Value>(&text).expect("JSON")["linux"]["seccomp"].take()
}

/// The yardstick.
pub struct Floor<'a> {
    program: PathBuf,
    state: PathBuf,
    shapes: &'a Shapes,
}

impl<'a> Floor<'a> {
    pub fn new(sandbox: &Sandbox, shapes: &'a Shapes) -> Floor<'a> {
        let own = std::env::current_exe().expect("our own path");
        Floor { program: own.with_file_name("floor"), state: sandbox.dir().join("floor"), shapes }
    }

    /// floor VERB [ROOTFS] [CGROUP] STATE …, as floor.rs has it.
    fn call(&self, verb: &str, rest: &[&Path]) -> Call {
        Call::new([self.program.as_path(), Path::new(verb)].iter().chain(rest))
    }
}

impl Contender for Floor<'_> {
    fn name(&self) -> &str {
        FLOOR
    }

    fn life(&self) -> Vec<(&'static str, Call)> {
        let (state, group) = (self.state.as_path(), self.shapes.cgroup.as_path());
        let (plain, pause) = (self.shapes.plain.join("rootfs"), self.shapes.pause.join("rootfs"));
        let (yes, probe) = (Path::new("/bin/true"), Path::new("/bin/probe"));
        vec![
            ("run", self.call("run", &[&plain, group, state, yes])),
            ("create", self.call("create", &[&pause, group, state, probe, Path::new("pause")])),
            ("start", self.call("start", &[state])),
            ("state", self.call("state", &[state])),
            ("exec", self.call("exec", &[state, group, yes])),
            ("delete -f", self.call("delete", &[state, group])),
        ]
    }
}

/// rt, or a runtime that is called as rt is.
pub struct Runtime<'a> {
    pub name: String,
    pub path: PathBuf,
    root: PathBuf,
    shapes: &'a Shapes,
}

impl<'a> Runtime<'a> {
    /// rt, and each peer in $PATH.
    pub fn all(sandbox: &Sandbox, shapes: &'a Shapes) -> Vec<Runtime<'a>> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let find = |name: &&'static str| {
            let found = std::env::split_paths(&search).map(|dir| dir.join(name)).find(|path| is_program(path));
            Some((*name, found?))
        };
        let peers = PEERS.iter().filter_map(find);
        let all = [("rt", rt_bin().to_owned())].into_iter().chain(peers);
        let root = |name: &str| if name == "rt" { sandbox.state_dir() } else { sandbox.dir().join(name) };
        all.map(|(name, path)| Runtime { name: name.to_owned(), path, root: root(name), shapes }).collect()
    }

    pub fn version(&self) -> String {
        let out = Command::new(&self.path).arg("--version").output();
        let text = out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or("(says no version)").to_owned()
    }

    fn words<'w>(&'w self, words: &[&'w Path]) -> Vec<&'w Path> {
        [&[self.path.as_path(), Path::new("--root"), self.root.as_path()], words].concat()
    }

    pub fn call(&self, words: &[&Path]) -> Call {
        Call::new(self.words(words))
    }

    /// A `run` of another shape.
    pub fn run_of(&self, shape: &str) -> Call {
        let bundle = if shape == "docker" { &self.shapes.docker } else { &self.shapes.seccomp };
        self.call(&["run".as_ref(), "--bundle".as_ref(), bundle, "it".as_ref()])
    }

    /// Of a plain `run`, in kB, the container's process included.
    pub fn peak_rss(&self, floor: &Floor) -> String {
        let plain: &Path = &self.shapes.plain;
        let words = self.words(&["run".as_ref(), "--bundle".as_ref(), plain, "it".as_ref()]);
        let out = Command::new(&floor.program).arg("usage").args(words).output();
        let peak = |out: std::process::Output| {
            String::from_utf8_lossy(&out.stdout).split_whitespace().next().unwrap_or_default().to_owned()
        };
        out.map_or_else(|error| error.to_string(), peak)
    }
}

impl Contender for Runtime<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn life(&self) -> Vec<(&'static str, Call)> {
        let (plain, pause): (&Path, &Path) = (&self.shapes.plain, &self.shapes.pause);
        let call = |words: &[&str], bundle: Option<&Path>, rest: &[&str]| {
            let bundle = bundle.map(|dir| [Path::new("--bundle"), dir]);
            let words = words.iter().map(Path::new).chain(bundle.into_iter().flatten());
            self.call(&words.chain(rest.iter().map(Path::new)).collect::<Vec<_>>())
        };
        vec![
            ("run", call(&["run"], Some(plain), &["it"])),
            ("create", call(&["create"], Some(pause), &["it"])),
            ("start", call(&["start"], None, &["it"])),
            ("state", call(&["state"], None, &["it"])),
            ("exec", call(&["exec"], None, &["it", "/bin/true"])),
            ("delete -f", call(&["delete", "-f"], None, &["it"])),
        ]
    }
}
