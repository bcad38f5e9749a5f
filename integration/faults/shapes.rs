//! The containers with which the commands are tried: a plain one, and one for each thing that takes steps of its own.

use crate::scene::Scene;
use rt_integration::{Bundle, systemd_runs};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Root,
    Rootless,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Form::Root => "root",
            Form::Rootless => "rootless",
        }
    }
}

pub struct Shape {
    pub name: &'static str,
    pub forms: &'static [Form],
    /// Those of which a step is the shape's; none is all.
    pub commands: &'static [&'static str],
    /// What is added to the plain one, or what this machine lacks for it.
    pub dress: for<'a> fn(&mut Scene<'a>, Bundle<'a>) -> Result<Bundle<'a>, String>,
}

const BOTH: &[Form] = &[Form::Root, Form::Rootless];
const ROOT: &[Form] = &[Form::Root];
const ROOTLESS: &[Form] = &[Form::Rootless];

const MAKING: &[&str] = &["create", "run"];
const FILTERED: &[&str] = &["run", "start", "exec"];
const DRIVEN: &[&str] = &["create", "run", "exec", "delete-force", "update"];

pub const ALL: &[Shape] = &[
    Shape { name: "plain", forms: BOTH, commands: &[], dress: |_, bundle| Ok(bundle) },
    Shape { name: "hooks", forms: BOTH, commands: &["run", "start", "delete-force"], dress: hooks },
    Shape { name: "terminal", forms: BOTH, commands: &["create", "run", "start", "exec"], dress: terminal },
    Shape { name: "seccomp", forms: BOTH, commands: FILTERED, dress: |_, bundle| Ok(filtered(bundle, "unshare")) },
    Shape { name: "seccomp-privileges", forms: ROOT, commands: FILTERED, dress: privileges },
    Shape { name: "seccomp-mute", forms: ROOT, commands: FILTERED, dress: |_, bundle| Ok(filtered(bundle, "sendto")) },
    Shape { name: "seccomp-agent", forms: ROOT, commands: FILTERED, dress: agent },
    Shape { name: "devices", forms: ROOT, commands: MAKING, dress: devices },
    Shape { name: "user-namespace", forms: ROOT, commands: &["run", "exec"], dress: user_namespace },
    Shape { name: "idmapped", forms: ROOT, commands: &["run"], dress: idmapped },
    Shape { name: "joined-pids", forms: ROOT, commands: &["run", "exec", "delete-force"], dress: joined_pids },
    Shape { name: "joined-user", forms: ROOT, commands: &["run", "exec"], dress: joined_user },
    Shape { name: "clocks", forms: BOTH, commands: &["run", "exec"], dress: clocks },
    Shape { name: "flags", forms: BOTH, commands: &["create", "run-detached", "exec"], dress: flags },
    Shape { name: "systemd", forms: ROOT, commands: DRIVEN, dress: systemd },
    Shape { name: "ranges", forms: ROOTLESS, commands: &["run", "exec"], dress: ranges },
];

/// Of all six kinds.
fn hooks<'a>(scene: &mut Scene<'a>, mut bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let hook = json!({ "path": scene.sandbox.probe(), "args": ["probe", "true"] });
        bundle = bundle.set(&format!("/hooks/{kind}"), json!([hook]));
    }
    Ok(bundle.set("/hooks/startContainer", json!([{ "path": "/bin/probe", "args": ["probe", "true"] }])))
}

fn terminal<'a>(scene: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    let socket = scene.listen("console")?;
    scene.detached.extend(["--console-socket".to_owned(), socket]);
    scene.exec.push("--tty".to_owned());
    Ok(bundle.set("/process/terminal", true))
}

fn filtered<'a>(bundle: Bundle<'a>, name: &str) -> Bundle<'a> {
    let rules = json!([{ "names": [name], "action": "SCMP_ACT_ERRNO" }]);
    bundle.set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules }))
}

/// The filter is loaded by the power that is given up after it.
fn privileges<'a>(_: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    Ok(filtered(bundle, "unshare").set("/process/noNewPrivileges", false))
}

/// A call that the program never makes is asked about.
fn agent<'a>(scene: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    let socket = scene.listen("agent")?;
    let rules = json!([{ "names": ["personality"], "action": "SCMP_ACT_NOTIFY" }]);
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket, "syscalls": rules });
    Ok(bundle.set("/linux/seccomp", profile))
}

fn devices<'a>(scene: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    scene.device("fault0")?;
    Ok(bundle.set("/linux/netDevices", json!({ "fault0": { "name": "eth7" } })))
}

fn map(first: u32) -> Value {
    json!([{ "containerID": 0, "hostID": first, "size": 65536 }])
}

fn user_namespace<'a>(scene: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    let first = scene.range();
    Ok(bundle.namespace("user", None).set("/linux/uidMappings", map(first)).set("/linux/gidMappings", map(first)))
}

/// By the container's own namespace, and by mappings of the mount's.
fn idmapped<'a>(scene: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    let volume = scene.sandbox.dir().join("volume");
    std::fs::create_dir(&volume).map_err(|error| error.to_string())?;
    let first = scene.range();
    let own = json!({ "destination": "/var", "type": "bind", "source": volume, "options": ["bind"],
        "uidMappings": map(first), "gidMappings": map(first) });
    let bundle = user_namespace(scene, bundle)?.set("/mounts/-", own);
    Ok(bundle.mount("/mnt", "none", volume.to_str().ok_or("a path")?, &["rbind", "idmap"]))
}

fn joined_pids<'a>(_: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    Ok(bundle.namespace("pid", Some(&crate::holder::path("pid")?)))
}

fn joined_user<'a>(_: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    Ok(bundle.namespace("user", Some(&crate::holder::path("user")?)))
}

/// Must be set before the first process of a time namespace.
fn clocks<'a>(_: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    Ok(bundle.namespace("time", None).set("/linux/timeOffsets", json!({ "boottime": { "secs": 1000 } })))
}

/// What callers want to be told, and hand in.
fn flags<'a>(scene: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    let socket = scene.listen("pidfd")?;
    let file = scene.sandbox.dir().join("pid").to_string_lossy().into_owned();
    let words = ["--pid-file", &file, "--pidfd-socket", &socket, "--preserve-fds", "2"].map(str::to_owned);
    for flags in [&mut scene.detached, &mut scene.foreground, &mut scene.exec] {
        flags.extend(words.clone());
    }
    scene.passed = 2;
    Ok(bundle)
}

/// The cgroup is asked of systemd.
fn systemd<'a>(scene: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    if !systemd_runs() {
        return Err("PID 1 is not systemd".to_owned());
    }
    scene.global.push("--systemd-cgroup".to_owned());
    Ok(bundle.set("/linux/cgroupsPath", scene.unit()))
}

/// Ids of a user's own that newuidmap(1) and newgidmap(1) map.
fn ranges<'a>(scene: &mut Scene<'a>, bundle: Bundle<'a>) -> Result<Bundle<'a>, String> {
    let Some(user) = scene.sandbox.user() else { return Err("is for users".to_owned()) };
    if !Path::new("/usr/bin/newuidmap").exists() {
        return Err("no newuidmap".to_owned());
    }
    let (first, passwd) = (scene.range(), std::fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?);
    let range = format!("somebody:{first}:65536\n");
    scene.cover("/etc/passwd", &format!("{passwd}somebody:x:{user}:{user}::/:/bin/sh\n"))?;
    scene.cover("/etc/subuid", &range)?;
    scene.cover("/etc/subgid", &range)?;
    let maps = json!([
        { "containerID": 0, "hostID": user, "size": 1 },
        { "containerID": 1, "hostID": first, "size": 65536 }
    ]);
    Ok(bundle.set("/linux/uidMappings", maps.clone()).set("/linux/gidMappings", maps))
}

/// ip(8), on the network of this process.
pub fn ip(words: &str) -> Result<String, String> {
    let out = Command::new("ip").args(words.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    match out.status.success() {
        true => Ok(String::from_utf8_lossy(&out.stdout).into_owned()),
        false => Err(format!("ip {words}: {}", String::from_utf8_lossy(&out.stderr).trim_end())),
    }
}
