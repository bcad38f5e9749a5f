//! Another container that shares a volume exchanges a directory there for a link, again and again, while this one starts
//! (CVE-2019-19921, CVE-2021-30465, CVE-2024-45310, CVE-2025-31133): every answer of rt is right but one that reaches out.

use super::tries;
use rt_integration::{Bundle, Canary, Sandbox, both, exchange};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

const STARTS: u32 = 500;

/// Exchanges two names for as long as it lives.
struct Swapper {
    stop: Arc<AtomicBool>,
    turns: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Swapper {
    fn of(one: PathBuf, other: PathBuf) -> Swapper {
        let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, turned) = (stop.clone(), turns.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                exchange(&one, &other).expect("renameat2");
                turned.fetch_add(1, Ordering::Relaxed);
                // On one processor nobody else would run.
                std::thread::yield_now();
            }
        });
        Swapper { stop, turns, thread: Some(thread) }
    }

    fn turns(&self) -> u32 {
        self.turns.load(Ordering::Relaxed)
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A volume with `place`, a directory, and `link`, which leads to the canary.
fn volume(sandbox: &Sandbox, canary: &Canary) -> PathBuf {
    let volume = sandbox.dir().join("volume");
    fs::create_dir_all(volume.join("place")).expect("a directory");
    symlink(&canary.dir, volume.join("link")).expect("a link");
    volume
}

fn with_volume<'a>(bundle: Bundle<'a>, volume: &Path) -> Bundle<'a> {
    bundle.mount("/vol", "none", volume.to_str().expect("UTF-8"), &["bind"])
}

/// Starts `bundle` until both answers were seen often, and nothing was reached.
fn race(canary: &Canary, swapper: &Swapper, bundle: &Bundle) {
    let mut went_well = 0;
    for _ in 0..tries(STARTS) {
        let out = bundle.run();
        canary.is_unchanged(String::new);
        went_well += u32::from(out.code() == 0);
        assert!(matches!(out.code(), 0 | 1), "{}", out.report());
    }
    println!("{went_well} of {} starts went well, {} exchanges", tries(STARTS), swapper.turns());
    assert!(swapper.turns() > tries(STARTS), "nobody raced");
}

#[test]
fn a_destination_that_becomes_a_link() {
    both(|sandbox| {
        let canary = Canary::new(sandbox);
        let volume = volume(sandbox, &canary);
        let mut bundle = with_volume(sandbox.bundle("c"), &volume);
        for number in 0..3 {
            bundle = bundle.mount("/vol/place", "tmpfs", "tmpfs", &[]);
            let at = format!("/vol/place/{number}");
            bundle = bundle.mount(&at, "tmpfs", "tmpfs", &[]);
        }
        // What is mounted last would lie on the host's directory, and be written to through the link.
        let bundle = bundle.args(["write", "/vol/place/2/file", "from inside"]);
        let swapper = Swapper::of(volume.join("place"), volume.join("link"));
        race(&canary, &swapper, &bundle);
    });
}

#[test]
fn a_destination_that_is_made_below_a_link() {
    both(|sandbox| {
        let canary = Canary::new(sandbox);
        let volume = volume(sandbox, &canary);
        let bundle = with_volume(sandbox.bundle("c"), &volume);
        let bundle = bundle.mount("/vol/place/made/on/the/way", "tmpfs", "tmpfs", &[]);
        let file = sandbox.probe();
        let bundle = bundle.mount("/vol/place/made/file", "none", file.to_str().expect("UTF-8"), &["bind", "ro"]);
        let swapper = Swapper::of(volume.join("place"), volume.join("link"));
        race(&canary, &swapper, &bundle.args(["true"]));
    });
}

#[test]
fn a_source_below_the_bundle_that_becomes_a_link_is_what_it_says() {
    // The source is the host's word, not the container's: whichever it was, the container sees one of the two, whole.
    both(|sandbox| {
        let canary = Canary::new(sandbox);
        let volume = volume(sandbox, &canary);
        fs::write(volume.join("place/file"), "place").expect("a file");
        let source = volume.join("place");
        let bundle = sandbox.bundle("c").mount("/mnt", "none", source.to_str().expect("UTF-8"), &["rbind", "ro"]);
        let bundle = bundle.args(["cat", "/mnt/file"]);
        let swapper = Swapper::of(volume.join("place"), volume.join("link"));
        for _ in 0..tries(100) {
            let out = bundle.run().ok().stdout();
            assert!(out == "place" || out == "canary", "{out}");
        }
        canary.is_unchanged(String::new);
        drop(swapper);
    });
}

#[test]
fn a_root_file_system_whose_proc_becomes_a_link() {
    both(|sandbox| {
        let canary = Canary::new(sandbox);
        let bundle = sandbox.bundle("c").args(["statfs", "/proc"]);
        bundle.write();
        let (proc, link) = (bundle.rootfs().join("proc"), bundle.rootfs().join("link"));
        fs::create_dir_all(&proc).expect("a directory");
        symlink(&canary.dir, &link).expect("a link");
        let swapper = Swapper::of(proc, link);
        for _ in 0..tries(STARTS) {
            let out = bundle.run();
            canary.is_unchanged(String::new);
            if out.code() == 0 {
                assert_eq!(out.stdout(), "9fa0\n");
            }
        }
        assert!(swapper.turns() > tries(STARTS), "nobody raced");
    });
}

/// Files are hidden below the null device: one that is exchanged for a link hides nothing, or opens what it names.
#[test]
fn a_null_device_that_becomes_a_link() {
    let sandbox = rt_integration::sandbox!();
    let canary = Canary::new(&sandbox);
    let dev = sandbox.dir().join("dev");
    fs::create_dir(&dev).expect("a directory");
    let bundle = sandbox.bundle("c").edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| !mount["destination"].as_str().is_some_and(|at| at.starts_with("/dev")));
    });
    let bundle = bundle.mount("/dev", "none", dev.to_str().expect("UTF-8"), &["bind"]);
    let bundle = bundle.plant("/secret", "secret").plant("/open", "open").set("/linux/maskedPaths", json!(["/secret"]));
    let bundle = bundle.args(["cat", "/secret"]);
    let made = Command::new("mknod").args(["-m", "666"]).arg(dev.join("null")).args(["c", "1", "3"]).status();
    assert!(made.is_ok_and(|status| status.success()), "no device");
    bundle.run().ok();
    symlink("/open", dev.join("link")).expect("a link");
    let swapper = Swapper::of(dev.join("null"), dev.join("link"));
    for _ in 0..tries(STARTS) {
        let out = bundle.run();
        assert_eq!(out.stdout(), "", "{}", out.report());
        canary.is_unchanged(String::new);
    }
    assert!(swapper.turns() > tries(STARTS), "nobody raced");
}

/// The file that the terminal is laid over (CVE-2025-52565): one that is exchanged for a link takes it elsewhere.
#[test]
fn a_console_that_becomes_a_link() {
    let sandbox = rt_integration::sandbox!();
    let canary = Canary::new(&sandbox);
    let bundle = sandbox.bundle("c").edit(|spec| {
        spec["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/dev");
    });
    let bundle = bundle.plant("/victim", "untouched").plant("/dev/console", "").plant_link("/dev/link", "../victim");
    let bundle = bundle.set("/root/readonly", false).set("/process/terminal", true);
    let bundle = bundle.args(["seq", "mounts", "/dev/console", "--", "mounts", "/victim"]);
    let dev = bundle.rootfs().join("dev");
    let swapper = Swapper::of(dev.join("console"), dev.join("link"));
    let (mut went_well, mut refused) = (0, 0);
    for _ in 0..tries(STARTS) {
        let (out, text) = super::image::in_terminal(&sandbox, bundle.command("run", &[]));
        canary.is_unchanged(|| out.report());
        if out.code() == 0 {
            went_well += 1;
            // By the time it looks the name may be the link's again: what counts is where the mount is.
            assert!(!text.contains(" /victim "), "{text}");
        } else {
            refused += 1;
            assert!(text.contains("/dev/console") || out.stderr().contains("/dev/console"), "{text}{}", out.report());
        }
        assert_eq!(fs::read_to_string(bundle.rootfs().join("victim")).expect("a file"), "untouched");
    }
    println!("{went_well} starts went well, {refused} were refused, {} exchanges", swapper.turns());
    assert!(swapper.turns() > tries(STARTS), "nobody raced");
}
