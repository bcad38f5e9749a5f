//! A person at a terminal: `run` and `exec` with a terminal that is the session's own, from the first key to its end.

use rt_integration::{Bundle, Running, Sandbox, copy_program, pty, sandbox, skip};
use std::os::fd::OwnedFd;
use std::path::Path;

type Modes = (u32, u32);

/// A terminal window with rt as what runs in it.
struct Window {
    master: OwnedFd,
    /// The test's own copy of what rt has, to ask for the modes; without it only rt keeps the terminal open.
    slave: Option<OwnedFd>,
    before: Modes,
    running: Running,
    seen: String,
}

impl Window {
    fn open(sandbox: &Sandbox, mut call: std::process::Command) -> Window {
        let (master, slave) = pty::pair(30, 90).expect("a pty");
        let before = pty::local_modes(&slave).expect("a terminal");
        pty::attach(&mut call, &slave);
        Window { master, slave: Some(slave), before, running: sandbox.spawn_as_is(call), seen: String::new() }
    }

    /// Waits for the text among what has not been waited for yet.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        pty::read_until(&self.master, &mut self.seen, text).expect("on the terminal");
        let end = self.seen.find(text).expect("it was there") + text.len();
        self.seen.drain(..end);
    }

    fn types(&self, keys: &str) {
        pty::write(&self.master, keys.as_bytes()).expect("input");
    }

    fn modes(&self) -> Modes {
        pty::local_modes(self.slave.as_ref().expect("not hung up")).expect("a terminal")
    }

    /// Closes the window.
    fn hang_up(self) -> Running {
        self.running
    }

    /// rt's exit code, with the terminal as it was before rt.
    #[track_caller]
    fn ends_with(self, code: i32) {
        assert_ne!(self.before.0 & libc::ICANON, 0);
        let (slave, before) = (self.slave, self.before);
        self.running.wait().expect(code);
        let after = pty::local_modes(slave.as_ref().expect("not hung up")).expect("a terminal");
        assert_eq!(after, before, "the terminal's modes are restored");
    }
}

fn with_terminal(bundle: Bundle<'_>) -> Bundle<'_> {
    bundle.set("/process/terminal", true)
}

/// A container that does nothing, for what is executed in it.
fn idle<'a>(sandbox: &'a Sandbox) -> Bundle<'a> {
    let bundle = sandbox.bundle("idle").args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    bundle
}

fn exec(sandbox: &Sandbox, words: &str) -> Window {
    let mut call = sandbox.command(["exec", "--tty", "idle"]);
    call.args(words.split(' '));
    Window::open(sandbox, call)
}

/// A shell with job control, in a root filesystem that may be written to.
fn with_shell<'a>(sandbox: &'a Sandbox, id: &str) -> Option<Bundle<'a>> {
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].into_iter().map(Path::new).find(|path| path.exists())?;
    let bundle = sandbox.bundle(id).set("/root/readonly", false);
    copy_program(busybox, &bundle.rootfs().join("bin/busybox")).expect("busybox in the rootfs");
    let works = bundle.set("/process/args", vec!["/bin/busybox", "true"]);
    // Only a static one runs in an empty root.
    works.run().status.success().then(|| works.set("/process/args", vec!["/bin/busybox", "sh", "-i"]))
}

/// All that a shell does with its terminal; ends with `exit 7`.
fn session(window: &mut Window) {
    window.shows("# ");
    assert_eq!(window.modes().0 & (libc::ICANON | libc::ISIG | libc::ECHO), 0, "raw: keys are the container's");
    // What is typed is echoed: only what the shell makes of it is waited for.
    window.types("/bin/busybox stty size\r");
    window.shows("30 90\r\n");
    window.types("/bin/probe seq echo be''gun -- sleep 1000\r");
    window.shows("begun");
    window.types("\x03");
    window.shows("# ");
    window.types("echo st''atus $?\r");
    window.shows("status 130");
    window.types("/bin/probe seq trap CONT -- sleep 1000\r");
    window.shows("ready");
    window.types("\x1a");
    window.shows("Stopped");
    window.types("jobs | /bin/busybox wc -l | /bin/busybox sed 's/^ */jo''bs: /'\r");
    window.shows("jobs: 1");
    window.types("fg\r");
    // The shell says what it continues, then gives it the terminal, and then continues it.
    window.shows("/bin/probe seq");
    window.shows("caught CONT");
    window.types("\x03");
    window.shows("# ");
    window.types("echo st''atus $?\r");
    window.shows("status 130");
    window.types("/bin/busybox vi /tmp/text\r");
    window.shows("~");
    window.types("i");
    window.shows("I /tmp/text");
    window.types("hello");
    window.shows("hello");
    // Alone: with what follows at once it would be a key's sequence.
    window.types("\x1b");
    window.shows("- /tmp/text");
    window.types(":wq\r");
    window.shows("# ");
    window.types("/bin/busybox tr a-z A-Z < /tmp/text\r");
    window.shows("HELLO");
    window.types("exit 7\r");
}

#[test]
fn a_shell_has_job_control() {
    let sandbox = sandbox!();
    let Some(bundle) = with_shell(&sandbox, "c") else { skip!("no static busybox") };
    let bundle = with_terminal(bundle);
    let mut window = Window::open(&sandbox, bundle.command("run", &[]));
    session(&mut window);
    window.ends_with(7);
}

#[test]
fn a_shell_that_is_executed_has_job_control() {
    let sandbox = sandbox!();
    let Some(bundle) = with_shell(&sandbox, "idle") else { skip!("no static busybox") };
    let bundle = bundle.args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let mut window = exec(&sandbox, "/bin/busybox sh -i");
    session(&mut window);
    window.ends_with(7);
    bundle.delete_force().ok();
}

/// The kernel tells rt, whose terminal it is; nobody else does.
#[test]
fn a_new_size_arrives_by_itself() {
    let sandbox = sandbox!();
    let bundle = with_terminal(sandbox.bundle("c")).args("seq trap WINCH -- tty 0".split(' '));
    let mut window = Window::open(&sandbox, bundle.command("run", &[]));
    window.shows("ready");
    pty::resize(&window.master, 31, 91).expect("resize");
    window.shows("0 tty 31x91");
    window.ends_with(0);
    let bundle = idle(&sandbox);
    let mut window = exec(&sandbox, "/bin/probe seq tty 0 -- trap WINCH -- tty 0");
    window.shows("0 tty 30x90");
    window.shows("ready");
    pty::resize(&window.master, 32, 92).expect("resize");
    window.shows("0 tty 32x92");
    window.ends_with(0);
    bundle.delete_force().ok();
}

#[test]
fn an_interrupt_is_for_the_program() {
    let sandbox = sandbox!();
    let bundle = with_terminal(sandbox.bundle("c")).args(["trap", "INT"]);
    let mut window = Window::open(&sandbox, bundle.command("run", &[]));
    window.shows("ready");
    window.types("\x03");
    window.shows("caught INT");
    window.ends_with(0);
    let bundle = idle(&sandbox);
    let mut window = exec(&sandbox, "/bin/probe seq echo begun -- sleep 1000");
    window.shows("begun");
    window.types("\x03");
    window.ends_with(130);
    let mut window = exec(&sandbox, "/bin/probe seq echo begun -- sleep 1000");
    window.shows("begun");
    window.types("\x1c");
    window.ends_with(131);
    bundle.delete_force().ok();
}

/// The window is closed: what runs in it is told, and ends.
#[test]
fn a_terminal_that_hangs_up() {
    let sandbox = sandbox!();
    let bundle = with_terminal(sandbox.bundle("c")).args(["until", "HUP"]);
    let mut window = Window::open(&sandbox, bundle.command("run", &[]));
    window.shows("ready");
    window.hang_up().wait().expect(0);
    // A program that reads its terminal finds it gone, though process 1 of a namespace gets no signal unasked.
    let bundle = with_terminal(sandbox.bundle("reader")).args("seq echo begun -- cat".split(' '));
    let mut window = Window::open(&sandbox, bundle.command("run", &[]));
    window.shows("begun");
    // An end of file or an error, as the moment has it.
    window.hang_up().wait();
    let bundle = idle(&sandbox);
    let mut window = exec(&sandbox, "/bin/probe seq echo begun -- sleep 1000");
    window.shows("begun");
    window.hang_up().wait().expect(128 + libc::SIGHUP);
    bundle.delete_force().ok();
}

/// The terminal is only rt's input, and no signal tells it of the end.
#[test]
fn a_terminal_of_another_session_that_hangs_up() {
    let sandbox = sandbox!();
    let bundle = with_terminal(sandbox.bundle("c")).args("seq until HUP -- exit 5".split(' '));
    let (master, slave) = pty::pair(30, 90).expect("a pty");
    let mut call = bundle.command("run", &[]);
    call.stdin(slave);
    let running = sandbox.spawn(call);
    running.wait_stdout("ready");
    drop(master);
    running.wait().expect(5);
}

/// As with nohup(1): who does not care goes on, and rt stays with it.
#[test]
fn a_container_that_outlives_its_terminal() {
    let sandbox = sandbox!();
    let bundle = with_terminal(sandbox.bundle("c")).args(["until", "TERM"]);
    let mut window = Window::open(&sandbox, bundle.command("run", &[]));
    window.shows("ready");
    let running = window.hang_up();
    assert_eq!(bundle.status(), "running");
    bundle.kill("TERM").ok();
    running.wait().ok();
}

#[test]
fn signals_to_rt_are_the_programs_and_the_terminal_is_restored() {
    let sandbox = sandbox!();
    for (name, signal) in
        [("TERM", libc::SIGTERM), ("INT", libc::SIGINT), ("HUP", libc::SIGHUP), ("QUIT", libc::SIGQUIT)]
    {
        let bundle = with_terminal(sandbox.bundle("c")).args(["trap", name]);
        let mut window = Window::open(&sandbox, bundle.command("run", &[]));
        window.shows("ready");
        window.running.signal(signal);
        window.shows(&format!("caught {name}"));
        window.ends_with(0);
    }
    let bundle = idle(&sandbox);
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1] {
        let mut window = exec(&sandbox, "/bin/probe seq echo begun -- sleep 1000");
        window.shows("begun");
        window.running.signal(signal);
        window.ends_with(128 + signal);
    }
    bundle.delete_force().ok();
}

/// `fg` after a stop: the shell has used the terminal in between.
#[test]
fn a_stopped_rt_that_continues() {
    let sandbox = sandbox!();
    let bundle = with_terminal(sandbox.bundle("c")).args("seq trap CONT -- until TERM".split(' '));
    let mut window = Window::open(&sandbox, bundle.command("run", &[]));
    window.shows("ready");
    let raw = window.modes();
    window.running.stop();
    pty::set_local_modes(window.slave.as_ref().expect("the terminal"), window.before).expect("the shell's modes");
    window.running.signal(libc::SIGCONT);
    window.shows("caught CONT");
    assert_eq!(window.modes(), raw, "raw again");
    window.shows("ready");
    window.running.signal(libc::SIGTERM);
    window.ends_with(0);
}

/// Nothing can be restored or removed by who is killed: the container is still there, for `delete --force`.
#[test]
fn a_killed_rt() {
    let sandbox = sandbox!();
    let bundle = with_terminal(sandbox.bundle("c")).args("seq echo begun -- pause".split(' '));
    let mut window = Window::open(&sandbox, bundle.command("run", &[]));
    window.shows("begun");
    window.running.signal(libc::SIGKILL);
    window.running.wait().expect(128 + libc::SIGKILL);
    assert_eq!(bundle.status(), "running");
    bundle.delete_force().ok();
    // The container's terminal hangs up with rt.
    let bundle = with_terminal(sandbox.bundle("told")).args(["trap", "HUP"]);
    let mut window = Window::open(&sandbox, bundle.command("run", &[]));
    window.shows("ready");
    window.running.signal(libc::SIGKILL);
    window.running.wait().expect(128 + libc::SIGKILL);
    bundle.wait_stopped();
    assert_eq!(bundle.status(), "stopped");
    bundle.delete_force().ok();
    let bundle = idle(&sandbox);
    let mut window = exec(&sandbox, "/bin/probe until HUP");
    window.shows("ready");
    window.running.signal(libc::SIGKILL);
    window.running.wait().expect(128 + libc::SIGKILL);
    bundle.delete_force().ok();
}

/// Where the program cannot be run, the terminal was never touched.
#[test]
fn a_failure_leaves_the_terminal() {
    let sandbox = sandbox!();
    let bundle = with_terminal(sandbox.bundle("c")).set("/process/args", vec!["/bin/nothing"]);
    Window::open(&sandbox, bundle.command("run", &[])).ends_with(1);
    let bundle = idle(&sandbox);
    exec(&sandbox, "/bin/nothing").ends_with(255);
    bundle.delete_force().ok();
}
