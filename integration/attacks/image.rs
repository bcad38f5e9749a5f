//! Images that make the runtime work on the host: a /dev that leads there, a null device that is none, a console that is a
//! link, a /proc of the image's own. The same attacks on rt and on others.

use super::victim::{Victim, fails, harms};
use rt_integration::{Bundle, Canary, Outcome, Sandbox, both, pty};
use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

/// The container, less all that is mounted at or below `place`.
fn without<'a>(bundle: Bundle<'a>, place: &str) -> Bundle<'a> {
    bundle.edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| !mount["destination"].as_str().is_some_and(|at| at.starts_with(place)));
    })
}

/// CVE-2026-41579, CVE-2026-47766.
fn dev_leads_to_the_host(sandbox: &Sandbox, victim: Victim) -> Result<(), String> {
    let canary = Canary::new(sandbox);
    for target in [canary.dir.display().to_string(), "../../canary".to_owned()] {
        let bundle = without(sandbox.bundle("c"), "/dev").set("/root/readonly", false).args(["true"]);
        let dev = bundle.rootfs().join("dev");
        let _ = fs::remove_dir(&dev).or_else(|_| fs::remove_file(&dev));
        symlink(&target, dev).expect("a link");
        let out = victim.run(sandbox, bundle, &[]);
        canary.change().map_or(Ok(()), |change| Err(format!("/dev -> {target}: {change}\n{}", out.report())))?;
    }
    Ok(())
}

#[test]
fn a_dev_that_leads_to_the_host() {
    fails(dev_leads_to_the_host);
}

#[test]
fn a_dev_that_leads_to_the_host_harms_others() {
    harms("runc", [1, 3, 6], dev_leads_to_the_host);
    harms("crun", [1, 28, 0], dev_leads_to_the_host);
}

/// A directory of the host to be shared as /dev, with the usual devices but for one.
fn shared_dev(sandbox: &Sandbox, except: &str) -> PathBuf {
    let dev = sandbox.dir().join("shared-dev");
    fs::create_dir_all(dev.join("pts")).expect("a directory");
    symlink("pts/ptmx", dev.join("ptmx")).expect("a link");
    for (name, minor) in [("null", "3"), ("zero", "5"), ("full", "7"), ("random", "8"), ("urandom", "9")] {
        if name != except {
            let made = Command::new("mknod").args(["-m", "666"]).arg(dev.join(name)).args(["c", "1", minor]).status();
            assert!(made.is_ok_and(|status| status.success()), "{name}");
        }
    }
    dev
}

fn with_dev<'a>(bundle: Bundle<'a>, dev: &std::path::Path) -> Bundle<'a> {
    without(bundle, "/dev").mount("/dev", "none", dev.to_str().expect("UTF-8"), &["bind"])
}

/// CVE-2025-31133: what is laid over a masked path is what /dev/null leads to.
fn null_is_a_link(sandbox: &Sandbox, victim: Victim) -> Result<(), String> {
    let canary = Canary::new(sandbox);
    let dev = shared_dev(sandbox, "null");
    symlink("/open", dev.join("null")).expect("a link");
    let bundle = with_dev(sandbox.bundle("c"), &dev).plant("/secret", "secret").plant("/open", "open");
    let bundle = bundle.set("/linux/maskedPaths", json!(["/secret"])).args(["cat", "/secret"]);
    let out = victim.run(sandbox, bundle, &[]);
    canary.is_unchanged(|| out.report());
    if out.stdout().is_empty() { Ok(()) } else { Err(format!("the masked path reads {:?}", out.stdout())) }
}

#[test]
fn a_null_device_that_is_a_link() {
    fails(null_is_a_link);
}

#[test]
fn a_null_device_that_is_a_link_harms_others() {
    harms("runc", [1, 2, 8], null_is_a_link);
}

/// What a call says on the terminal that it is given.
pub fn in_terminal(sandbox: &Sandbox, mut call: Command) -> (Outcome, String) {
    let (master, slave) = pty::pair(24, 80).expect("a pty");
    pty::attach(&mut call, &slave);
    let out = sandbox.spawn_as_is(call).wait();
    drop(slave);
    // A master without slaves reads as EIO at the end.
    let mut text = Vec::new();
    let _ = fs::File::from(master).read_to_end(&mut text);
    (out, String::from_utf8_lossy(&text).into_owned())
}

/// CVE-2025-52565: the container's terminal is laid over what /dev/console leads to, and what is there is written to.
fn console_is_a_link(sandbox: &Sandbox, victim: Victim) -> Result<(), String> {
    let canary = Canary::new(sandbox);
    let dev = shared_dev(sandbox, "");
    symlink("/victim", dev.join("console")).expect("a link");
    let bundle =
        with_dev(sandbox.bundle("c"), &dev).mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666"]);
    let bundle = bundle.plant("/victim", "untouched").set("/root/readonly", false).set("/process/terminal", true);
    let bundle = bundle.args(["seq", "echo", "here", "--", "mounts", "/victim"]);
    let (out, text) = in_terminal(sandbox, victim.run_command(sandbox, bundle, &[]));
    canary.is_unchanged(|| out.report());
    assert!(text.contains("here"), "{}: {text}", out.report());
    if text.contains(" /victim ") { Err(format!("the terminal is mounted elsewhere: {text}")) } else { Ok(()) }
}

#[test]
fn a_console_that_is_a_link() {
    fails(console_is_a_link);
}

#[test]
fn a_console_that_is_a_link_harms_others() {
    harms("runc", [1, 2, 8], console_is_a_link);
}

/// The file that is made for the terminal to lie on, where a link of the image leads to the host.
#[test]
fn a_console_that_leads_to_the_host() {
    both(|sandbox| {
        let canary = Canary::new(sandbox);
        for name in ["missing", "file", "sub"] {
            let bundle = sandbox.bundle(name).edit(|spec| {
                spec["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/dev");
            });
            let target = canary.dir.join(name);
            let bundle = bundle.plant_link("/dev/console", target.to_str().expect("UTF-8")).args(["true"]);
            let bundle = bundle.set("/root/readonly", false).set("/process/terminal", true);
            let (out, text) = in_terminal(sandbox, bundle.command("run", &[]));
            canary.is_unchanged(|| out.report());
            assert!(out.code() == 1 && (text + &out.stderr()).contains("/dev/console"), "{}", out.report());
        }
    });
}

/// CVE-2025-52881: what is meant for one file of procfs is written to another, by way of a /proc that the image brings.
fn sysctl_goes_elsewhere(sandbox: &Sandbox, victim: Victim) -> Result<(), String> {
    let canary = Canary::new(sandbox);
    let bundle = without(sandbox.bundle("c"), "/proc").mount("/real", "proc", "proc", &[]);
    let mut bundle = bundle.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
    for name in ["self", "thread-self"] {
        bundle = bundle.plant_link(&format!("/proc/{name}"), &format!("/real/{name}"));
    }
    bundle = bundle.plant_link("/proc/sys/kernel/domainname", "/real/sys/kernel/hostname").set("/hostname", "mine");
    let bundle = bundle.set("/linux/sysctl", json!({ "kernel.domainname": "redirected" }));
    let out = victim.run(sandbox, bundle.args(["cat", "/real/sys/kernel/hostname"]), &[]);
    canary.is_unchanged(|| out.report());
    let host = out.stdout();
    if host.contains("redirected") { Err(format!("kernel.domainname was written to hostname: {host}")) } else { Ok(()) }
}

#[test]
fn a_proc_of_the_images_own() {
    fails(sysctl_goes_elsewhere);
}

#[test]
fn a_proc_of_the_images_own_harms_others() {
    harms("runc", [1, 2, 8], sysctl_goes_elsewhere);
}
