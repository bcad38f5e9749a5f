//! A `cgroupsPath` that names what is not the container's: a delete that would end the host's services, and ways out of
//! the hierarchy.

use super::victim::{Victim, fails, harms};
use rt_integration::{Sandbox, sandbox};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

/// A service of the host's, in a cgroup below `services`.
struct Service {
    child: Child,
    dir: PathBuf,
}

impl Service {
    fn start(sandbox: &Sandbox) -> Service {
        let dir = sandbox.cgroup_dir("services/one");
        fs::create_dir_all(&dir).expect("a cgroup");
        let child = Command::new("sleep").arg("1000").spawn().expect("sleep");
        fs::write(dir.join("cgroup.procs"), child.id().to_string()).expect("cgroup.procs");
        Service { child, dir }
    }

    fn lives(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir(&self.dir);
        let _ = fs::remove_dir(self.dir.parent().expect("services"));
    }
}

/// The services are there before the container, or come while it runs; it has no pid namespace whose end would end the
/// rest, so that all of the cgroup looks like the container's.
fn among_services(sandbox: &Sandbox, victim: Victim) -> Result<(), String> {
    let mut harm = Vec::new();
    for before in [true, false] {
        let path = format!("{}/services", sandbox.cgroup());
        let bundle = sandbox.bundle("c").set("/linux/cgroupsPath", path).without_namespace("pid").args(["pause"]);
        fs::create_dir_all(sandbox.cgroup_dir("services")).expect("a cgroup");
        let early = before.then(|| Service::start(sandbox));
        victim.run(sandbox, bundle, &["--detach"]);
        let mut service = early.unwrap_or_else(|| Service::start(sandbox));
        victim.delete(sandbox);
        if !service.lives() {
            harm.push(format!(
                "a service that came {} the container was killed",
                if before { "before" } else { "after" }
            ));
        }
    }
    if harm.is_empty() { Ok(()) } else { Err(harm.join(", ")) }
}

#[test]
fn a_delete_among_the_hosts_services() {
    fails(among_services);
}

#[test]
fn a_delete_among_the_hosts_services_harms_others() {
    harms("runc", [1, 2, 0], among_services);
    harms("crun", [1, 28, 0], among_services);
}

/// Whatever the way, the container is below the hierarchy's mount, and what lies beside is not touched.
#[test]
fn ways_out_of_the_hierarchy() {
    let sandbox = sandbox!();
    let name = sandbox.cgroup().trim_start_matches('/').to_owned();
    let outside = sandbox.dir().join("outside");
    fs::create_dir(&outside).expect("a directory");
    let up = "/..".repeat(20);
    for path in [format!("{up}{}/{name}", outside.display()), format!("/{name}/x{up}{}/{name}", outside.display())] {
        let bundle = sandbox.bundle("c").set("/linux/cgroupsPath", path.as_str()).args(["pause"]);
        bundle.run_with(&["--detach"]).ok();
        let own = fs::read_to_string(format!("/proc/{}/cgroup", bundle.pid())).expect("procfs");
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).expect("cgroup v2").to_owned();
        bundle.delete_force().ok();
        assert_eq!(own, format!("{}/{name}", outside.display()), "{path}");
        assert_eq!(fs::read_dir(&outside).expect("the directory").count(), 0, "{path}");
    }
    for path in [format!("/{name}/a\0b"), format!("/{name}/{}", "x".repeat(300)), format!("/{name}/a\nb")] {
        let bundle = sandbox.bundle("c").set("/linux/cgroupsPath", path.as_str());
        let out = bundle.run();
        assert!(matches!(out.code(), 0 | 1), "{path:?}: {}", out.report());
    }
}
