//! ptrace(2): stopping another process at each of its system calls.

use super::check;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// PTRACE_GET_SYSCALL_INFO (Linux 5.3) and PTRACE_SET_SYSCALL_INFO (6.16), with their structure.
const GET: libc::c_uint = 0x420e;
const SET: libc::c_uint = 0x4212;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Info {
    op: u8,
    reserved: u8,
    flags: u16,
    arch: u32,
    ip: u64,
    sp: u64,
    /// On entry the number and six arguments; on exit the result, and in the next byte whether that is an error.
    words: [u64; 8],
}

/// Where a stopped process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Entry(u64),
    Exit,
    Elsewhere,
}

/// What waitpid(2) tells of a process.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// With the raw status.
    Ended(i32),
    /// Before or after a system call.
    Call,
    /// A new task, by its id.
    Child(i32),
    Exec,
    Signal(i32),
}

/// Makes the process that this command starts a tracee of the calling thread: it stops after its execve. It becomes the
/// user only then: the kernel keeps the rights with which tracing began, and a setuid program that is traced with less than
/// root's gets none (ptrace(2), "Interaction with setuid").
pub fn traced(command: &mut Command, user: Option<u32>) -> &mut Command {
    let begin = move || {
        // SAFETY: system calls without pointers, or with a null pointer and no elements.
        unsafe {
            check(libc::ptrace(libc::PTRACE_TRACEME as _, 0, 0, 0) as libc::c_int)?;
            if let Some(user) = user {
                check(libc::setgroups(0, std::ptr::null()))?;
                check(libc::setresgid(user, user, user))?;
                check(libc::setresuid(user, user, user))?;
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it does nothing but system calls, which is async-signal-safe.
    unsafe { command.pre_exec(begin) }
}

fn request(what: libc::c_uint, pid: i32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: the requests that come here take numbers, or the structure below with its size.
    check(unsafe { libc::ptrace(what as _, pid, address, data) } as libc::c_int).map(drop)
}

/// To stop at every new task and execve, and to die with the tracer.
const OPTIONS: libc::c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_EXITKILL;

pub fn follow(pid: i32) -> io::Result<()> {
    request(libc::PTRACE_SETOPTIONS as _, pid, 0, OPTIONS as usize)
}

/// As [`follow`], but what is traced goes on alone when its tracer ends.
pub fn follow_while_here(pid: i32) -> io::Result<()> {
    request(libc::PTRACE_SETOPTIONS as _, pid, 0, (OPTIONS & !libc::PTRACE_O_EXITKILL) as usize)
}

/// As [`follow`], but for threads alone.
pub fn follow_threads(pid: i32) -> io::Result<()> {
    let options = OPTIONS & !(libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK);
    request(libc::PTRACE_SETOPTIONS as _, pid, 0, options as usize)
}

/// Traces a process that runs already.
pub fn seize(pid: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE as _, pid, 0, OPTIONS as usize)?;
    request(libc::PTRACE_INTERRUPT as _, pid, 0, 0)
}

/// Lets a stopped process go on: to its next system call, or until something else happens.
pub fn go(pid: i32, to_next_call: bool, signal: i32) {
    let what = if to_next_call { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT };
    // A process that is dead is told by the next wait.
    let _ = request(what as _, pid, 0, signal as usize);
}

pub fn release(pid: i32) {
    let _ = request(libc::PTRACE_DETACH as _, pid, 0, 0);
}

fn info(pid: i32) -> io::Result<Info> {
    let mut info = Info::default();
    request(GET, pid, size_of::<Info>(), (&raw mut info).expose_provenance()).map(|()| info)
}

pub fn at(pid: i32) -> At {
    match info(pid) {
        Ok(info) if info.op == 1 => At::Entry(info.words[0]),
        Ok(info) if info.op == 2 => At::Exit,
        _ => At::Elsewhere,
    }
}

/// At its entry: the call is not made.
pub fn skip_call(pid: i32) -> io::Result<()> {
    let mut info = info(pid)?;
    info.words[0] = u64::MAX;
    request(SET, pid, size_of::<Info>(), (&raw mut info).expose_provenance())
}

/// At its exit: the call has failed.
pub fn fail_call(pid: i32, errno: i32) -> io::Result<()> {
    let mut info = info(pid)?;
    info.words[0] = i64::from(-errno).cast_unsigned();
    info.words[1] = u64::from_ne_bytes([1, 0, 0, 0, 0, 0, 0, 0]);
    request(SET, pid, size_of::<Info>(), (&raw mut info).expose_provenance())
}

/// At its exit: the call has returned this.
pub fn succeed_call(pid: i32, value: u64) -> io::Result<()> {
    let mut info = info(pid)?;
    (info.words[0], info.words[1]) = (value, 0);
    request(SET, pid, size_of::<Info>(), (&raw mut info).expose_provenance())
}

/// At its entry: the six arguments of the call.
pub fn arguments(pid: i32) -> io::Result<[u64; 6]> {
    let words = info(pid)?.words;
    Ok(std::array::from_fn(|at| words[at + 1]))
}

/// At its entry: the call is made with another value for this argument.
pub fn set_argument(pid: i32, argument: usize, value: u64) -> io::Result<()> {
    let mut info = info(pid)?;
    info.words[argument + 1] = value;
    request(SET, pid, size_of::<Info>(), (&raw mut info).expose_provenance())
}

/// A word of a stopped process's memory.
pub fn peek(pid: i32, address: u64) -> io::Result<u64> {
    let mut word = 0_u64;
    // The system call itself, which stores the word where `data` points; the C library's returns it.
    // SAFETY: `word` is live.
    let done = unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_PEEKDATA, pid, address, &raw mut word) };
    check(done as libc::c_int).map(|_| word)
}

/// Overwrites a word of a stopped process's memory.
pub fn poke(pid: i32, address: u64, word: u64) -> io::Result<()> {
    request(libc::PTRACE_POKEDATA as _, pid, address as usize, word as usize)
}

/// The next event of any child, of this one alone if named; `Interrupted` at a tick of [`tick`].
pub fn wait(pid: Option<i32>) -> io::Result<(i32, Event)> {
    let mut status = 0;
    // SAFETY: the status is live.
    let pid = check(unsafe { libc::waitpid(pid.unwrap_or(-1), &raw mut status, libc::__WALL) })?;
    if !libc::WIFSTOPPED(status) {
        return Ok((pid, Event::Ended(status)));
    }
    let event = match status >> 16 {
        0 => match libc::WSTOPSIG(status) {
            stop if stop == libc::SIGTRAP | 0x80 => Event::Call,
            signal => Event::Signal(signal),
        },
        libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => {
            let mut child: libc::c_ulong = 0;
            request(libc::PTRACE_GETEVENTMSG as _, pid, 0, (&raw mut child).expose_provenance())?;
            Event::Child(child as i32)
        }
        libc::PTRACE_EVENT_EXEC => Event::Exec,
        // PTRACE_EVENT_STOP, of what was seized: as the first stop of a child.
        _ => Event::Signal(libc::SIGSTOP),
    };
    Ok((pid, event))
}

/// Interrupts every wait of this process ten times a second, so that each can have a bound.
pub fn tick() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the structures are live, and zeroes are valid for them; the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        check(libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()))?;
        let every = libc::timeval { tv_sec: 0, tv_usec: 100_000 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        check(libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()))?;
    }
    Ok(())
}

/// Makes this process the parent of every orphan below it: nothing gets away unseen.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}
