//! Images that want out: links where directories should be, planted devices, working directories through descriptors.
//! Nothing outside may change, or be seen.

use rt_integration::{Bundle, Canary, Sandbox, both, sandbox};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// Replaces a directory of the rootfs by a link.
fn replaced<'a>(bundle: Bundle<'a>, name: &str, target: &str) -> Bundle<'a> {
    let at = bundle.rootfs().join(name);
    match at.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(&at).expect("a directory"),
        Ok(_) => fs::remove_file(&at).expect("a file"),
        Err(_) => {}
    }
    symlink(target, at).expect("a link");
    bundle
}

#[test]
fn links_for_directories_lead_nowhere() {
    both(|sandbox| {
        let canary = Canary::new(sandbox);
        let absolute = canary.dir.to_str().expect("UTF-8").to_owned();
        let relative = format!("../../../../../../../..{absolute}");
        let upwards = "../../canary".to_owned();
        for target in [&absolute, &relative, &upwards] {
            for name in ["dev", "proc", "sys", "etc", "tmp", "run", "var"] {
                for bare in [false, true] {
                    let id = format!("{name}-{bare}-{}", target.len());
                    let mut bundle = replaced(sandbox.bundle(&id), name, target);
                    if bare {
                        // Without mounts the devices are made in the image itself.
                        bundle = bundle.set("/mounts", json!([])).set("/linux/maskedPaths", json!([]));
                        bundle = bundle.set("/linux/readonlyPaths", json!([]));
                    }
                    let mut bundle = bundle.set("/root/readonly", false).set("/process/cwd", format!("/{name}/cwd"));
                    if !["proc", "sys"].contains(&name) {
                        bundle = bundle.mount(&format!("/{name}/on/the/way"), "tmpfs", "tmpfs", &[]);
                        bundle = bundle.mount(&format!("/{name}/new"), "none", "/dev/null", &["bind"]);
                    }
                    let ran = bundle.run();
                    canary.is_unchanged(|| format!("run with /{name} -> {target}") + &ran.report());
                    let created = bundle.create();
                    canary.is_unchanged(|| format!("create with /{name} -> {target}") + &created.report());
                    bundle.delete_force().ok();
                }
            }
        }
    });
}

#[test]
fn links_for_files_that_rt_makes_lead_nowhere() {
    both(|sandbox| {
        let canary = Canary::new(sandbox);
        let target = |name: &str| canary.dir.join(name).to_str().expect("UTF-8").to_owned();
        for name in ["null", "zero", "ptmx", "console", "fd", "stdin", "core", "tty", "shm", "pts", "mqueue"] {
            for to in ["ptmx", "missing", "sub"] {
                let bundle = sandbox.bundle(&format!("{name}-{to}")).plant_link(&format!("/dev/{name}"), &target(to));
                let bundle = bundle.edit(|spec| {
                    let mounts = spec["mounts"].as_array_mut().expect("mounts");
                    mounts.retain(|mount| mount["destination"] != "/dev");
                });
                let out = bundle.set("/root/readonly", false).run();
                canary.is_unchanged(|| format!("/dev/{name} -> {to}") + &out.report());
            }
        }
    });
}

/// A container whose /dev is a directory of the host, with a file to be masked.
fn with_dev<'a>(sandbox: &'a Sandbox, id: &str) -> (Bundle<'a>, PathBuf) {
    let dev = sandbox.dir().join(format!("dev-{id}"));
    fs::create_dir_all(&dev).expect("a directory");
    let bundle = sandbox.bundle(id).edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| !mount["destination"].as_str().is_some_and(|at| at.starts_with("/dev")));
    });
    let bundle = bundle.mount("/dev", "none", dev.to_str().expect("UTF-8"), &["bind"]);
    (bundle.plant("/secret", "secret").set("/linux/maskedPaths", json!(["/secret"])), dev)
}

#[test]
fn a_false_null_device_masks_nothing() {
    both(|sandbox| {
        // A link for the device that files are masked with (CVE-2025-31133).
        for target in ["/proc/sys/kernel/core_pattern", "zero", "/secret", "/nowhere"] {
            let (bundle, dev) = with_dev(sandbox, "link");
            let _ = fs::remove_file(dev.join("null"));
            symlink(target, dev.join("null")).expect("a link");
            bundle.run().fails_with("/dev/null");
        }
        let (bundle, dev) = with_dev(sandbox, "file");
        fs::write(dev.join("null"), "").expect("a file");
        bundle.run().fails_with("/dev/null");
        let (bundle, _) = with_dev(sandbox, "missing");
        bundle.run().fails_with("/dev/null");
    });
}

#[test]
fn a_working_directory_through_a_descriptor_is_refused() {
    let sandbox = sandbox!();
    for fd in 3..=40 {
        for process in ["self", "1"] {
            let cwd = format!("/proc/{process}/fd/{fd}");
            for cwd in [cwd.clone(), format!("{cwd}/../..")] {
                let bundle = sandbox.bundle("c").set("/process/cwd", cwd.as_str());
                let out = bundle.args(["cat", "../../../../../../run/t/probe"]).run();
                out.expect(1).fails_with("cwd");
            }
        }
    }
}

#[test]
fn a_program_through_a_descriptor_is_refused() {
    let sandbox = sandbox!();
    for fd in 3..=20 {
        for path in [format!("/proc/self/fd/{fd}"), format!("/proc/self/fd/{fd}/../../bin/sh")] {
            sandbox.bundle("c").set("/process/args", json!([path])).run().expect(1).fails_with("exec");
        }
        // A program of the host's that needs nothing but itself.
        let path = format!("/proc/self/fd/{fd}/../../../../../..{}", sandbox.probe().display());
        sandbox.bundle("c").set("/process/args", json!([path, "true"])).run().expect(1).fails_with("exec");
    }
}

#[test]
fn exec_by_a_link_to_a_descriptor_is_refused() {
    let sandbox = sandbox!();
    let mut bundle = sandbox.bundle("c").args(["pause"]);
    for fd in 3..=24 {
        bundle = bundle.plant_link(&format!("/links/{fd}"), &format!("/proc/self/fd/{fd}"));
    }
    bundle.run_with(&["--detach"]).ok();
    for fd in 3..=24 {
        for cwd in [format!("/links/{fd}"), format!("/proc/self/fd/{fd}")] {
            let out = sandbox.rt(["exec", "--cwd", &cwd, "c", "/bin/probe", "cwd"]);
            out.expect(255).fails_with("cwd");
        }
    }
    bundle.delete_force().ok();
}

#[test]
fn a_working_directory_that_is_a_link_stays_inside() {
    both(|sandbox| {
        let canary = Canary::new(sandbox);
        let target = canary.dir.join("made");
        let bundle = sandbox.bundle("c").plant_link("/srv", target.to_str().expect("UTF-8"));
        let bundle = bundle.set("/root/readonly", false).set("/process/cwd", "/srv/deep");
        let out = bundle.args(["cwd"]).run().ok();
        assert_eq!(out.stdout(), format!("{}/deep\n", target.display()));
        canary.is_unchanged(|| out.report());
        sandbox.bundle("f").set("/process/cwd", "/etc/passwd").run().expect(1).fails_with("/etc/passwd");
        sandbox.bundle("u").set("/process/cwd", "/mnt/../../../made").set("/root/readonly", false).run().ok();
    });
}
