//! A program `#!/proc/self/exe` makes whoever executes it run itself in the container, where others can reach for its
//! binary and write to it once it has ended (CVE-2019-5736).

use super::tries;
use rt_integration::{Bundle, Outcome, Sandbox, probe_bin, rt_bin, sandbox};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const ATTEMPTS: u32 = 300;

/// A container whose init reaches for the binaries of all others, and says what came of it.
fn attacker<'a>(sandbox: &'a Sandbox, bundle: Bundle<'a>) -> (Bundle<'a>, Outcome) {
    let bundle = bundle.plant("/evil", "#!/proc/self/exe\n").args(["seize"]);
    bundle.write();
    fs::set_permissions(bundle.rootfs().join("evil"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let started = bundle.run_with(&["--detach"]).ok();
    started.wait_stdout("ready");
    assert_eq!(sandbox.rt(["state", "c"]).ok().code(), 0);
    (bundle, started)
}

/// Calls `join` until the attacker has held a binary to the end; what it says then.
fn attack(started: &Outcome, mut join: impl FnMut()) -> String {
    for _ in 0..tries(ATTEMPTS) {
        join();
        let told = started.stdout();
        if told.contains("open") || told.contains("EROFS") {
            return told;
        }
    }
    started.stdout()
}

#[test]
fn the_binary_of_rt_cannot_be_written() {
    let sandbox = sandbox!();
    let before = fs::read(rt_bin()).expect("rt");
    let (bundle, started) = attacker(&sandbox, sandbox.bundle("c"));
    let told = attack(&started, || drop(sandbox.rt(["exec", "c", "/evil"])));
    assert!(told.contains("held") && told.contains("EROFS") && !told.contains("open"), "{told}");
    assert!(fs::read(rt_bin()).expect("rt") == before, "rt was changed");
    bundle.delete_force().ok();
}

/// The same attack on who has no protection: were it too weak to succeed, the test above would say nothing.
#[test]
fn the_attack_succeeds_on_another() {
    let sandbox = sandbox!();
    let careless = sandbox.dir().join("careless");
    fs::copy(probe_bin(), &careless).expect("a copy");
    let (bundle, started) = attacker(&sandbox, sandbox.bundle("c"));
    let pid = bundle.pid().to_string();
    let told = attack(&started, || {
        drop(Command::new(&careless).args(["join", &pid, "/evil"]).output().expect("the copy"));
    });
    assert!(told.contains("open"), "{told}");
    bundle.delete_force().ok();
}

/// As the container's first process it is alone: what it is must not be the host's file, whoever looks.
#[test]
fn init_is_not_the_file_of_the_host() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.create().ok();
    let exe = format!("/proc/{}/exe", bundle.pid());
    assert_ne!(fs::read_link(&exe).expect("a link"), rt_bin());
    let held = fs::File::open(&exe).expect("readable");
    bundle.delete_force().ok();
    // EROFS, or ETXTBSY as long as another test runs the same binary.
    let again = fs::OpenOptions::new().append(true).open(format!("/proc/self/fd/{}", held.as_raw_fd()));
    assert!(matches!(again.expect_err("it is read-only").raw_os_error(), Some(26 | 30)));
}
