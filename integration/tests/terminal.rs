//! Terminals: the console socket, the foreground, /dev/console.

use rt_integration::{Bundle, Sandbox, pty, sandbox};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

fn terminal<'a>(bundle: Bundle<'a>) -> Bundle<'a> {
    bundle.set("/process/terminal", true)
}

/// A console socket, and its path for the flag.
fn console(sandbox: &Sandbox, name: &str) -> (UnixListener, String) {
    let path = sandbox.dir().join(name);
    let listener = UnixListener::bind(&path).expect("a socket");
    (listener, path.to_str().expect("UTF-8").to_owned())
}

/// What one connection brought: the payload, and exactly one fd.
fn receive(listener: &UnixListener) -> (String, OwnedFd) {
    let (data, mut fds) = pty::receive(listener).expect("a message with an fd");
    assert_eq!(fds.len(), 1, "exactly one fd");
    (String::from_utf8(data).expect("UTF-8"), fds.remove(0))
}

/// All that comes out of a master until its last slave is closed, which reads as EIO.
fn output(master: OwnedFd) -> String {
    let mut text = Vec::new();
    let _ = File::from(master).read_to_end(&mut text);
    String::from_utf8_lossy(&text).replace("\r\n", "\n")
}

const LOOK: &str = "seq tty -- mounts /dev/console -- owner /dev/console";

#[test]
fn a_console_socket_receives_the_master() {
    let sandbox = sandbox!();
    let (listener, socket) = console(&sandbox, "console");
    let bundle = terminal(sandbox.bundle("c"))
        .set("/process/consoleSize", serde_json::json!({ "height": 40, "width": 132 }))
        .set("/process/user/uid", 1000)
        .args(LOOK.split(' '));
    bundle.create_with(&["--console-socket", &socket]).ok();
    let (name, master) = receive(&listener);
    assert_eq!(name, "/dev/pts/0");
    bundle.start().ok();
    let text = output(master);
    bundle.wait_stopped();
    bundle.delete().ok();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..3], ["0 tty 40x132", "1 tty 40x132", "2 tty 40x132"], "{text}");
    assert!(lines[3].contains(" /0 /dev/console ") && lines[3].contains(" - devpts "), "{text}");
    assert!(lines[4].starts_with("1000 "), "{text}");
}

#[test]
fn a_detached_run_has_a_controlling_terminal() {
    let sandbox = sandbox!();
    // Longer than a unix socket's address may be.
    let deep = sandbox.dir().join("d".repeat(60)).join("e".repeat(60));
    std::fs::create_dir_all(&deep).expect("a directory");
    let directory = File::open(&deep).expect("the directory");
    let near = PathBuf::from(format!("/proc/self/fd/{}/s", std::os::fd::AsRawFd::as_raw_fd(&directory)));
    let listener = UnixListener::bind(near).expect("a socket");
    let socket = deep.join("s");
    let bundle = terminal(sandbox.bundle("c")).args("seq open-dev /dev/tty rw -- readlink /proc/self/fd/0".split(' '));
    bundle.run_with(&["--detach", "--console-socket", socket.to_str().expect("UTF-8")]).ok();
    let (_, master) = receive(&listener);
    assert_eq!(output(master), "ok\n/dev/pts/0\n");
    bundle.wait_stopped();
    bundle.delete().ok();
}

#[test]
fn a_rootless_container_has_a_terminal() {
    let sandbox = sandbox!().as_user(1000);
    let (listener, socket) = console(&sandbox, "console");
    std::os::unix::fs::chown(&socket, Some(1000), None).expect("chown");
    let bundle = terminal(sandbox.bundle("c")).args(["tty"]);
    // No cgroup is delegated to this user.
    let mut call = sandbox.command(["--cgroup-manager", "disabled"]);
    call.args(bundle.command("run", &["--detach", "--console-socket", &socket]).get_args().skip(2));
    sandbox.finish(call).ok();
    let (_, master) = receive(&listener);
    assert_eq!(output(master).lines().count(), 3);
    bundle.wait_stopped();
    bundle.delete().ok();
}

#[test]
fn an_exec_has_a_terminal() {
    let sandbox = sandbox!();
    let (listener, socket) = console(&sandbox, "console");
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let mut call = sandbox.command(["exec", "--tty", "--detach", "--console-socket", &socket, "c"]);
    call.args("/bin/probe seq tty -- open-dev /dev/tty rw".split(' '));
    sandbox.finish(call).ok();
    let (name, master) = receive(&listener);
    assert_eq!(name, "/dev/pts/0");
    assert_eq!(output(master), "0 tty 0x0\n1 tty 0x0\n2 tty 0x0\nok\n");
    let mut call = sandbox.command(["exec", "--tty", "c", "/bin/probe", "tty"]);
    call.stdin(std::process::Stdio::null());
    let out = sandbox.finish(call).ok();
    assert_eq!(out.stdout(), "0 tty 0x0\r\n1 tty 0x0\r\n2 tty 0x0\r\n");
    bundle.delete_force().ok();
}

#[test]
fn the_foreground_relays() {
    let sandbox = sandbox!();
    let (master, slave) = pty::pair(30, 90).expect("a pty");
    let before = pty::local_modes(&slave).expect("a terminal");
    let bundle = terminal(sandbox.bundle("c")).args("seq tty -- cat".split(' '));
    let mut call = bundle.command("run", &[]);
    call.stdin(slave.try_clone().expect("dup")).stdout(slave.try_clone().expect("dup"));
    let running = sandbox.spawn_as_is(call);
    let mut seen = String::new();
    pty::read_until(&master, &mut seen, "2 tty 30x90\r\n").expect("the container's terminal has our size");
    assert_ne!(pty::local_modes(&slave).expect("a terminal"), before, "raw while the container runs");
    pty::write(&master, b"hello\r").expect("input");
    pty::read_until(&master, &mut seen, "hello\r\n").expect("the container's terminal echoes");
    // End of file on an empty line.
    pty::write(&master, b"\x04").expect("input");
    running.wait().ok();
    pty::read_until(&master, &mut seen, "hello\r\nhello\r\n").expect("what the container said last");
    assert_eq!(pty::local_modes(&slave).expect("a terminal"), before, "restored at the end");
}

#[test]
fn a_resize_reaches_the_container() {
    let sandbox = sandbox!();
    let (master, slave) = pty::pair(30, 90).expect("a pty");
    let bundle = terminal(sandbox.bundle("c")).args("seq tty 0 -- trap WINCH -- tty 0".split(' '));
    let mut call = bundle.command("run", &[]);
    call.stdin(slave.try_clone().expect("dup")).stdout(slave);
    let running = sandbox.spawn_as_is(call);
    let mut seen = String::new();
    pty::read_until(&master, &mut seen, "0 tty 30x90").expect("the size at first");
    // A signal that nobody waits for yet is lost: by default WINCH is ignored.
    pty::read_until(&master, &mut seen, "ready").expect("the trap");
    pty::resize(&master, 31, 91).expect("resize");
    running.signal(libc::SIGWINCH);
    pty::read_until(&master, &mut seen, "0 tty 31x91").expect("the size after");
    running.wait().ok();
}

#[test]
fn the_rules_of_terminals() {
    let sandbox = sandbox!();
    let (_listener, socket) = console(&sandbox, "console");
    let with = terminal(sandbox.bundle("with"));
    let no_socket = "cannot allocate tty if runc will detach without setting console socket";
    with.create().fails_with(no_socket);
    with.run_with(&["--detach"]).fails_with(no_socket);
    let useless = "cannot use console socket if runc will not detach or allocate tty";
    with.run_with(&["--console-socket", &socket]).fails_with(useless);
    sandbox.bundle("without").create_with(&["--console-socket", &socket]).fails_with(useless);
    let gone = sandbox.dir().join("gone");
    let gone = gone.to_str().expect("UTF-8");
    with.create_with(&["--console-socket", gone]).fails_with("--console-socket: cannot connect");
}

/// CVE-2025-52565.
#[test]
fn a_planted_console_is_not_followed() {
    let sandbox = sandbox!();
    let (_listener, socket) = console(&sandbox, "console");
    let bundle = terminal(sandbox.bundle("c")).plant("victim", "").plant_link("dev/console", "/victim").edit(|spec| {
        spec["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/dev");
    });
    let out = bundle.create_with(&["--console-socket", &socket]);
    out.fails_with("/dev/console in the rootfs is a symbolic link");
}

/// Something else than a devpts where the pty should come from.
#[test]
fn a_planted_multiplexer_is_not_opened() {
    let sandbox = sandbox!();
    let (_listener, socket) = console(&sandbox, "console");
    let bundle = terminal(sandbox.bundle("c")).plant("fake/ptmx", "").edit(|spec| {
        for mount in spec["mounts"].as_array_mut().expect("mounts") {
            if mount["destination"] == "/dev/pts" {
                mount["type"] = "tmpfs".into();
                mount["options"] = serde_json::json!([]);
            }
        }
    });
    bundle.create_with(&["--console-socket", &socket]).fails_with("cannot open a pty");
}

#[test]
fn a_pidfd_socket_receives_the_pidfd() {
    let sandbox = sandbox!();
    let (listener, socket) = console(&sandbox, "pidfd");
    let bundle = sandbox.bundle("c").args(["pause"]);
    bundle.run_with(&["--detach", "--pidfd-socket", &socket]).ok();
    let (kind, pidfd) = receive(&listener);
    assert_eq!((kind.as_str(), pty::pid_of(pidfd.as_fd())), ("standard", Some(bundle.pid())));
    let mut call = sandbox.command(["exec", "--pidfd-socket", &socket, "c"]);
    call.args(["/bin/probe", "true"]);
    sandbox.finish(call).ok();
    assert_eq!(receive(&listener).0, "setns");
    bundle.delete_force().ok();
}
