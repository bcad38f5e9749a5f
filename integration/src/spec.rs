//! The config.json that tests start from.

use serde_json::{Map, Value, json};

/// What `runc spec` would write, with the probe as its program, no terminal, and this cgroup.
pub fn default_spec(cgroup: &str) -> Value {
    let caps = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/probe", "true"],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "probe",
        "mounts": mounts(),
        "linux": {
            "cgroupsPath": cgroup,
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" },
                { "type": "network" },
                { "type": "ipc" },
                { "type": "uts" },
                { "type": "mount" },
                { "type": "cgroup" }
            ],
            "maskedPaths": [
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": source, "options": options });
    json!([
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"])
    ])
}

/// Turns the default into what a user without privileges can run: a user namespace that maps `uid` and `gid` to root,
/// no network namespace, no cgroup, no resources.
pub(crate) fn make_rootless(spec: &mut Value, uid: u32, gid: u32) {
    let linux = spec["linux"].as_object_mut().expect("the default spec");
    linux.remove("resources");
    linux.remove("cgroupsPath");
    let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1 }]);
    linux.insert("uidMappings".into(), map(uid));
    linux.insert("gidMappings".into(), map(gid));
    linux["namespaces"] = json!(["pid", "ipc", "uts", "mount", "cgroup", "user"].map(|kind| json!({ "type": kind })));
    let mounts = spec["mounts"].as_array_mut().expect("the default spec");
    for mount in mounts.iter_mut() {
        if mount["destination"] == "/sys" {
            // A new sysfs needs a network namespace that the user namespace owns.
            *mount = json!({ "destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"] });
        }
        let options = mount["options"].as_array_mut().expect("the default spec");
        options.retain(|option| !option.as_str().is_some_and(|text| text.starts_with("gid=")));
    }
    mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
}

/// Puts `value` at a JSON pointer, making the objects on the way; `/a/-` appends to the array at `/a`.
///
/// # Panics
/// If something on the way is neither an object nor an array with that index.
pub fn set(root: &mut Value, pointer: &str, value: Value) {
    let mut at = root;
    for key in pointer.split('/').skip(1) {
        if at.is_null() {
            *at = if key == "-" { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        }
        at = step(at, key, pointer);
    }
    *at = value;
}

fn step<'v>(at: &'v mut Value, key: &str, pointer: &str) -> &'v mut Value {
    match at {
        Value::Object(map) => map.entry(key.replace("~1", "/").replace("~0", "~")).or_insert(Value::Null),
        Value::Array(list) => {
            if key == "-" {
                list.push(Value::Null);
            }
            let index = if key == "-" { Ok(list.len() - 1) } else { key.parse() };
            let element = index.ok().and_then(|index: usize| list.get_mut(index));
            element.unwrap_or_else(|| panic!("{pointer}: no element {key}"))
        }
        other => panic!("{pointer}: {key} is below {other}"),
    }
}
