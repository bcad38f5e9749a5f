//! NOTIFY_SOCKET: a container as a service that says when it is ready (sd_notify(3)).

use rt_integration::{Bundle, Running, Sandbox, pty, sandbox, time_limit};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

/// The service manager.
struct Manager {
    socket: UnixDatagram,
    address: String,
}

impl Manager {
    fn new(sandbox: &Sandbox) -> Manager {
        let address = sandbox.dir().join("manager").display().to_string();
        Manager::with(UnixDatagram::bind(&address).expect("a socket"), address)
    }

    fn with(socket: UnixDatagram, address: String) -> Manager {
        socket.set_read_timeout(Some(time_limit())).expect("a time limit");
        Manager { socket, address }
    }

    fn call(&self, mut call: Command) -> Command {
        call.env("NOTIFY_SOCKET", &self.address);
        call
    }

    /// The next message, as text.
    fn hears(&self) -> String {
        let mut space = [0; 4096];
        let n = self.socket.recv(&mut space).expect("a message in time");
        String::from_utf8_lossy(&space[..n]).into_owned()
    }

    /// Hears that the container's process is the service's, and lets rt go.
    fn hears_main(&self, bundle: &Bundle) {
        let said = self.hears();
        assert_eq!(said, format!("MAINPID={}\nREADY=1\n", bundle.pid()));
        let (data, fds) = pty::message(&self.socket).expect("a message");
        assert_eq!((data.as_slice(), fds.len()), (&b"BARRIER=1"[..], 1));
    }
}

/// Says other things, then that it is ready, and stays.
fn service<'a>(bundle: Bundle<'a>) -> Bundle<'a> {
    bundle.args("seq notify STATUS=begun -- notify READY=0 -- notify X=1\nREADY=1\nY=2 -- until TERM".split(' '))
}

fn spawn(sandbox: &Sandbox, manager: &Manager, call: Command) -> Running {
    sandbox.spawn(manager.call(call))
}

#[test]
fn a_detached_run_hands_over_its_place() {
    let sandbox = sandbox!();
    let manager = Manager::new(&sandbox);
    let bundle = service(sandbox.bundle("c"));
    let running = spawn(&sandbox, &manager, bundle.command("run", &["--detach"]));
    let said = manager.hears();
    assert_eq!(said, format!("MAINPID={}\nREADY=1\n", bundle.pid()));
    // Until the manager has read all, and so knows whose messages they were.
    let (data, fds) = pty::message(&manager.socket).expect("a message");
    assert_eq!((data.as_slice(), fds.len()), (&b"BARRIER=1"[..], 1));
    assert!(running.is_running(), "it waits behind the barrier");
    drop(fds);
    running.wait().ok();
    bundle.delete_force().ok();
}

#[test]
fn start_waits_until_it_is_ready() {
    let sandbox = sandbox!();
    let manager = Manager::new(&sandbox);
    let bundle = service(sandbox.bundle("c"));
    sandbox.finish(manager.call(bundle.command("create", &[]))).ok();
    let start = spawn(&sandbox, &manager, sandbox.command(["start", "c"]));
    manager.hears_main(&bundle);
    start.wait().ok();
    bundle.delete_force().ok();
}

#[test]
fn in_the_foreground_rt_is_the_service() {
    let sandbox = sandbox!();
    let manager = Manager::new(&sandbox);
    let bundle = service(sandbox.bundle("c"));
    let running = spawn(&sandbox, &manager, bundle.command("run", &[]));
    assert_eq!(manager.hears(), "READY=1\n");
    running.wait_stdout("ready");
    running.signal(libc::SIGTERM);
    running.wait().ok();
}

/// Nothing is waited for that cannot come any more, and nothing is told that was not said.
#[test]
fn a_program_that_ends_without_a_word() {
    let sandbox = sandbox!();
    let manager = Manager::new(&sandbox);
    let bundle = sandbox.bundle("c").args("seq notify STATUS=x -- exit 3".split(' '));
    sandbox.finish(manager.call(bundle.command("run", &[]))).expect(3);
    sandbox.finish(manager.call(bundle.command("run", &["--detach"]))).ok();
    bundle.delete().ok();
    // One that is killed while it is waited for.
    let bundle = sandbox.bundle("d").args(["pause"]);
    let running = spawn(&sandbox, &manager, bundle.command("run", &["--detach"]));
    while sandbox.rt(["state", "d"]).stdout().find("\"running\"").is_none() {
        assert!(running.is_running());
    }
    bundle.kill("KILL").ok();
    running.wait().ok();
    bundle.delete().ok();
    manager.socket.set_nonblocking(true).expect("a socket");
    assert!(manager.socket.recv(&mut [0; 16]).is_err(), "the manager heard something");
}

#[test]
fn what_the_container_sees() {
    let sandbox = sandbox!();
    let manager = Manager::new(&sandbox);
    let steps = "seq env -- ls /run/notify -- readonly /run/notify -- mounts /run/notify";
    let bundle = sandbox.bundle("c").args(steps.split(' '));
    let out = sandbox.finish(manager.call(bundle.command("run", &[]))).ok();
    let lines = out.lines();
    assert!(lines.contains(&"NOTIFY_SOCKET=/run/notify/notify.sock".to_owned()), "{}", out.report());
    assert!(lines.contains(&"notify.sock".to_owned()) && lines.contains(&"read-only".to_owned()), "{}", out.report());
    assert!(lines.last().is_some_and(|line| line.contains("nosuid,nodev,noexec")), "{}", out.report());
    // Without a manager there is nothing of it.
    let out = bundle.run();
    assert!(!out.stdout().contains("NOTIFY_SOCKET"), "{}", out.report());
    // Nor in what is executed later.
    let bundle = sandbox.bundle("d").args(["pause"]);
    sandbox.finish(manager.call(bundle.command("create", &[]))).ok();
    let out = sandbox.finish(manager.call(sandbox.command(["exec", "d", "/bin/probe", "env"]))).ok();
    assert!(!out.stdout().contains("NOTIFY_SOCKET"), "{}", out.report());
    bundle.delete_force().ok();
}

#[test]
fn any_user_of_the_container_may_say_it() {
    let sandbox = sandbox!();
    let manager = Manager::new(&sandbox);
    let ids = serde_json::json!([{ "containerID": 0, "hostID": 100_000, "size": 2000 }]);
    let bundle = service(sandbox.bundle("c")).set("/process/user", serde_json::json!({ "uid": 1000, "gid": 1000 }));
    let bundle = bundle.namespace("user", None).set("/linux/uidMappings", ids.clone()).set("/linux/gidMappings", ids);
    // Where the mount point is made.
    std::os::unix::fs::chown(bundle.rootfs().join("run"), Some(100_000), Some(100_000)).expect("chown");
    let running = spawn(&sandbox, &manager, bundle.command("run", &["--detach"]));
    manager.hears_main(&bundle);
    running.wait().ok();
    bundle.delete_force().ok();
}

#[test]
fn an_abstract_address() {
    let sandbox = sandbox!();
    let name = format!("rt-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = Manager::with(UnixDatagram::bind_addr(&address).expect("a socket"), format!("@{name}"));
    let bundle = service(sandbox.bundle("c"));
    let running = spawn(&sandbox, &manager, bundle.command("run", &["--detach"]));
    manager.hears_main(&bundle);
    running.wait().ok();
    bundle.delete_force().ok();
}

#[test]
fn a_manager_that_is_not_there() {
    let sandbox = sandbox!();
    let bundle = service(sandbox.bundle("c"));
    for (address, why) in [("/nothing", "no such file or directory"), ("vsock:2:1", "address family not supported")] {
        let mut call = bundle.command("run", &[]);
        call.env("NOTIFY_SOCKET", address);
        let out = sandbox.finish(call).expect(1);
        out.fails_with(&format!("NOTIFY_SOCKET: cannot connect to {address}: {why}"));
    }
}
