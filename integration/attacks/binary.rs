//! A program `#!/proc/self/exe` makes whoever executes it run itself in the container, where others can reach for its
//! binary and write to it once it has ended (CVE-2019-5736).

use super::tries;
use rt_integration::{Bundle, Outcome, Sandbox, probe_bin, sandbox};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Most need a few; on a busy machine the attacker may be away each time for long.
const ATTEMPTS: u32 = 30_000;

/// A container whose init reaches for the binaries of all others, and says what came of it.
fn attacker<'a>(sandbox: &'a Sandbox, bundle: Bundle<'a>) -> (Bundle<'a>, Outcome) {
    let bundle = bundle.plant("/evil", "#!/proc/self/exe\n");
    bundle.write();
    fs::set_permissions(bundle.rootfs().join("evil"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let started = bundle.run_with(&["--detach"]).ok();
    started.wait_stdout("ready");
    assert_eq!(sandbox.rt(["state", "c"]).ok().code(), 0);
    (bundle, started)
}

/// What ends an attack: a binary was held to the end, and could be written or not.
const HELD: [&str; 2] = ["open", "EROFS"];

/// Calls `join` until the attacker has said a line that begins so; what it says then.
fn attack(started: &Outcome, ends: &[&str], mut join: impl FnMut()) -> String {
    for _ in 0..tries(ATTEMPTS) {
        join();
        let told = started.stdout();
        if told.lines().any(|line| ends.iter().any(|end| line.starts_with(end))) {
            return told;
        }
    }
    started.stdout()
}

/// [`attack`] on rt, which is held to the end, and neither it nor its file can be written to.
fn attack_in_vain(sandbox: &Sandbox, bundle: &Bundle, started: &Outcome, join: impl FnMut()) {
    let before = fs::read(sandbox.rt_bin()).expect("rt");
    let told = attack(started, &HELD, join);
    let safe = told.contains("held") && told.contains("EROFS") && !told.contains("open") && !told.contains("unsealed");
    assert!(safe, "{told}");
    assert!(fs::read(sandbox.rt_bin()).expect("rt") == before, "rt was changed");
    bundle.delete_force().ok();
}

#[test]
fn the_binary_of_rt_cannot_be_written() {
    let sandbox = sandbox!().with_own_rt();
    let (bundle, started) = attacker(&sandbox, sandbox.bundle("c").args(["seize"]));
    attack_in_vain(&sandbox, &bundle, &started, || drop(sandbox.rt(["exec", "c", "/evil"])));
}

/// The first process of a container can be seen where it joins the pid namespace of another one.
#[test]
fn the_binary_of_run_cannot_be_written() {
    let sandbox = sandbox!().with_own_rt();
    let (bundle, started) = attacker(&sandbox, sandbox.bundle("c").args(["seize"]));
    let place = format!("/proc/{}/ns/pid", bundle.pid());
    let beside = sandbox.bundle("beside").namespace("pid", Some(&place)).plant("/evil", "#!/proc/self/exe\n");
    let beside = beside.set("/process/args", serde_json::json!(["/evil"]));
    fs::set_permissions(beside.rootfs().join("evil"), fs::Permissions::from_mode(0o755)).expect("a mode");
    attack_in_vain(&sandbox, &bundle, &started, || drop(beside.run()));
}

/// With every power over mounts the container cannot take the flag off the clone that rt runs from: it is attached
/// nowhere, in no namespace that anybody could be in.
#[test]
fn the_seal_cannot_be_taken_off() {
    let sandbox = sandbox!().with_own_rt();
    let (bundle, started) = attacker(&sandbox, privileged(sandbox.bundle("c")).args(["seize", "unseal"]));
    attack_in_vain(&sandbox, &bundle, &started, || drop(sandbox.rt(["exec", "c", "/evil"])));
}

fn privileged(bundle: Bundle<'_>) -> Bundle<'_> {
    let list = serde_json::json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT"]);
    let sets = serde_json::json!({ "bounding": list, "permitted": list, "effective": list });
    bundle
        .set("/process/capabilities", sets)
        .set("/root/readonly", false)
        .set("/linux/maskedPaths", serde_json::json!([]))
}

/// A read-only file that is mounted where the container can reach its mount is not sealed at all.
#[test]
fn a_seal_that_is_attached_can_be_taken_off() {
    let sandbox = sandbox!();
    let file = sandbox.dir().join("sealed");
    fs::copy(probe_bin(), &file).expect("a copy");
    let bundle =
        privileged(sandbox.bundle("c")).mount("/sealed", "none", file.to_str().expect("UTF-8"), &["bind", "ro"]);
    let (bundle, started) = attacker(&sandbox, bundle.args(["seize", "unseal"]));
    let told = attack(&started, &["unsealed"], || drop(sandbox.rt(["exec", "c", "/sealed", "sleep", "0.05"])));
    assert!(told.contains("unsealed by"), "{told}");
    bundle.delete_force().ok();
}

/// The same attack on who has no protection: were it too weak to succeed, the test above would say nothing.
#[test]
fn the_attack_succeeds_on_another() {
    let sandbox = sandbox!();
    let careless = sandbox.dir().join("careless");
    fs::copy(probe_bin(), &careless).expect("a copy");
    let (bundle, started) = attacker(&sandbox, sandbox.bundle("c").args(["seize"]));
    let pid = bundle.pid().to_string();
    let told = attack(&started, &HELD, || {
        drop(Command::new(&careless).args(["join", &pid, "/evil"]).output().expect("the copy"));
    });
    assert!(told.contains("open"), "{told}");
    bundle.delete_force().ok();
}

/// As the container's first process it is alone: what it is must not be the host's file, whoever looks.
#[test]
fn init_is_not_the_file_of_the_host() {
    let sandbox = sandbox!().with_own_rt();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.create().ok();
    let exe = format!("/proc/{}/exe", bundle.pid());
    assert_ne!(fs::read_link(&exe).expect("a link"), sandbox.rt_bin());
    let held = fs::File::open(&exe).expect("readable");
    bundle.delete_force().ok();
    // ETXTBSY until the last process that ran it has ended.
    let until = std::time::Instant::now() + rt_integration::time_limit();
    let mut errno = Some(libc::ETXTBSY);
    while errno == Some(libc::ETXTBSY) && std::time::Instant::now() < until {
        let again = fs::OpenOptions::new().append(true).open(format!("/proc/self/fd/{}", held.as_raw_fd()));
        errno = again.expect_err("it is read-only").raw_os_error();
        std::thread::yield_now();
    }
    assert_eq!(errno, Some(libc::EROFS));
}
