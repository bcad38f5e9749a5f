//! rt with one of its protective steps left out, to see whether a test notices: it runs under ptrace(2), and each system
//! call of that step is not made, or made with what protects taken out of its arguments. Nothing in rt knows of this, so
//! there is nothing that a release could switch on by mistake.

use crate::sys::ptrace::{self, At, Event};
use crate::trace;
use std::io;
use std::process::Command;

/// What becomes of a call.
enum Then {
    /// It is not made, and returns zero.
    Nothing,
    /// It is not made, and its only argument that matters is answered with the root's path.
    SaysRoot,
    /// Bits of the structure that an argument points to, at an offset, are cleared.
    Lacks { pointer: usize, offset: u64, bits: u64 },
    /// A number of 32 bits in that structure becomes the same as another one.
    Equals { pointer: usize, from: u64, to: u64 },
    /// Bits of an argument are cleared.
    Drops { argument: usize, bits: u64 },
    /// Bits of an argument are set.
    Has { argument: usize, bits: u64 },
}

struct Change {
    call: libc::c_long,
    /// The call's first argument, where that chooses what it does.
    first: Option<libc::c_int>,
    then: Then,
}

const fn on(call: libc::c_long, then: Then) -> Change {
    Change { call, first: None, then }
}

const fn on_prctl(first: libc::c_int) -> Change {
    Change { call: libc::SYS_prctl, first: Some(first), then: Then::Nothing }
}

/// Bits of `flags` in struct open_how, or of its `resolve`.
const fn open_without(bits: u64, resolve: bool) -> Change {
    on(libc::SYS_openat2, Then::Lacks { pointer: 2, offset: if resolve { 16 } else { 0 }, bits })
}

const STEPS: &[(&str, &[Change])] = &[
    // How paths below the root are resolved, and opened.
    ("resolution", &[open_without(u64::MAX, true)]),
    (
        "links",
        &[
            open_without(libc::O_NOFOLLOW as u64, false),
            // O_EXCL follows none, either.
            on(libc::SYS_openat, Then::Drops { argument: 2, bits: (libc::O_NOFOLLOW | libc::O_EXCL) as u64 }),
        ],
    ),
    ("non-blocking", &[open_without(libc::O_NONBLOCK as u64, false)]),
    // MOUNT_ATTR_RDONLY in attr_set of struct mount_attr: of the seal, and of read-only mounts.
    ("read-only", &[on(libc::SYS_mount_setattr, Then::Lacks { pointer: 3, offset: 0, bits: 1 })]),
    // Without privilege nobody may look into a process that is not dumpable: all attributes or none.
    ("attributes", &[on(libc::SYS_mount_setattr, Then::Nothing)]),
    ("namespaces", &[on(libc::SYS_clone3, Then::Lacks { pointer: 0, offset: 0, bits: NAMESPACES })]),
    ("undumpable", &[on_prctl(libc::PR_SET_DUMPABLE)]),
    ("close", &[on(libc::SYS_close_range, Then::Nothing)]),
    ("cwd", &[on(libc::SYS_getcwd, Then::SaysRoot)]),
    ("capabilities", &[on(libc::SYS_capset, Then::Nothing)]),
    // The low half of the inheritable set in struct __user_cap_data_struct is what the permitted one is.
    ("inheritable", &[on(libc::SYS_capset, Then::Equals { pointer: 1, from: 4, to: 8 })]),
    ("groups", &[on(libc::SYS_setgroups, Then::Nothing)]),
    ("user", &[on(libc::SYS_setresuid, Then::Nothing), on(libc::SYS_setresgid, Then::Nothing)]),
    ("seccomp", &[on(libc::SYS_seccomp, Then::Nothing)]),
    // Of the state's files and directories.
    (
        "modes",
        &[
            on(libc::SYS_openat, Then::Has { argument: 3, bits: 0o666 }),
            on(libc::SYS_mkdirat, Then::Has { argument: 2, bits: 0o777 }),
        ],
    ),
];

/// One through which nothing of the host is changed.
const NAMESPACES: u64 = libc::CLONE_NEWIPC as u64;

/// The steps that can be left out.
pub fn names() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|(name, _)| *name)
}

/// Runs a command without these steps, down to what it makes, until that executes another program; its exit code.
///
/// # Errors
/// What the kernel has against tracing.
///
/// # Panics
/// There is no such step.
pub fn run(mut command: Command, without: &[&str]) -> io::Result<i32> {
    trace::is_possible().map_err(io::Error::other)?;
    let find =
        |name: &&str| STEPS.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no step {name}")).1;
    let changes: Vec<_> = without.iter().flat_map(find).collect();
    let main = ptrace::traced(&mut command, None).spawn()?.id() as i32;
    ptrace::wait(Some(main))?;
    ptrace::follow_while_here(main)?;
    ptrace::go(main, true, 0);
    // Whatever has not ended by then is let go of by our own end.
    loop {
        match ptrace::wait(None)? {
            (pid, Event::Ended(status)) if pid == main => return Ok(code(status)),
            (_, Event::Ended(_)) => {}
            (pid, Event::Exec) if pid != main => ptrace::release(pid),
            (pid, Event::Call) => {
                for change in &changes {
                    change.meets(pid)?;
                }
                ptrace::go(pid, true, 0);
            }
            (pid, Event::Signal(signal)) if signal != libc::SIGSTOP && signal != libc::SIGTRAP => {
                ptrace::go(pid, true, signal);
            }
            (pid, _) => ptrace::go(pid, true, 0),
        }
    }
}

fn code(status: i32) -> i32 {
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
}

impl Change {
    fn meets(&self, pid: i32) -> io::Result<()> {
        let At::Entry(number) = ptrace::at(pid) else { return Ok(()) };
        let arguments = ptrace::arguments(pid)?;
        let meant = self.call as u64 == number && self.first.is_none_or(|first| first as u64 == arguments[0]);
        if !meant {
            return Ok(());
        }
        match self.then {
            Then::Nothing => answer(pid, 0),
            Then::SaysRoot => {
                ptrace::poke(pid, arguments[0], u64::from_ne_bytes(*b"/\0\0\0\0\0\0\0"))?;
                answer(pid, 2)
            }
            Then::Lacks { pointer, offset, bits } => {
                let at = arguments[pointer] + offset;
                ptrace::poke(pid, at, ptrace::peek(pid, at)? & !bits)
            }
            Then::Equals { pointer, from, to } => {
                let (from, to) = (arguments[pointer] + from, arguments[pointer] + to);
                let (low, high) = (ptrace::peek(pid, from)? & u64::from(u32::MAX), ptrace::peek(pid, to)?);
                ptrace::poke(pid, to, low | high & !u64::from(u32::MAX))
            }
            Then::Drops { argument, bits } => ptrace::set_argument(pid, argument, arguments[argument] & !bits),
            Then::Has { argument, bits } => ptrace::set_argument(pid, argument, arguments[argument] | bits),
        }
    }
}

/// Skips the call at whose entry the process is, and gives it a result.
fn answer(pid: i32, value: u64) -> io::Result<()> {
    ptrace::skip_call(pid)?;
    ptrace::go(pid, true, 0);
    match ptrace::wait(Some(pid))? {
        (_, Event::Call) => ptrace::succeed_call(pid, value),
        _ => Err(io::Error::other("a call that was skipped has no end")),
    }
}
