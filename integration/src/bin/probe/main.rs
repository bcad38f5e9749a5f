//! The image of test containers: one static binary that can say what it sees and try what it may do.
//!
//! `probe SUBCOMMAND ARGS…`, or installed under a subcommand's name. Output is one fact per line, made to be asserted.
//! There is no Rust runtime before `main`: its start would poll descriptors and set signal handlers, and tests ask
//! what a container's program finds.

#![no_main]

mod attack;
mod facts;
mod files;
mod load;
mod net;
mod process;
mod signals;
mod syscalls;

use std::ffi::{CStr, OsStr};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

/// Says what failed; `main` prints it.
type Outcome = Result<(), String>;
type Subcommand = fn(&[String]) -> Outcome;

const SUBCOMMANDS: &[(&str, Subcommand, &str)] = &[
    ("true", |_| Ok(()), "exit 0"),
    ("false", |_| std::process::exit(1), "exit 1"),
    ("exit", process::exit, "N: exit with this status"),
    ("echo", process::echo, "TEXT…: print it"),
    ("seq", sequence, "A ARGS -- B ARGS -- …: several subcommands in order, in one process"),
    ("exec", process::exec, "PATH ARGS…: execve with the same environment"),
    ("cat", files::cat, "FILE…: print them; standard input without FILE"),
    (
        "cache",
        files::cache,
        "FILE [FROM MEBIBYTES]: read it, or this much from there, and keep it open, so that the kernel keeps that",
    ),
    ("write", files::write, "FILE TEXT: replace the file's content"),
    ("append", files::append, "FILE TEXT: add a line in one write"),
    ("writefd", files::write_fd, "FD TEXT"),
    ("ls", files::ls, "DIR: sorted names"),
    ("owner", files::owner, "PATH…: UID GID MODE"),
    ("stat", files::stat, "PATH…: TYPE MODE UID GID SIZE MAJOR:MINOR, links not followed"),
    ("readlink", files::readlink, "PATH…"),
    ("readonly", files::readonly, "DIR…: read-only, writable or an errno"),
    ("open-dev", files::open_dev, "PATH r|w|rw: ok or an errno"),
    ("hammer-dev", files::hammer_dev, "PATH: open it for writing again and again, until killed; say when that works"),
    (
        "seize",
        attack::seize,
        "[unseal]: hold the binary of every other process, and try to write to it: held, open or an errno; with the word \
         take the read-only flag off its mount first, and say so if that works",
    ),
    ("join", attack::join, "PID PATH ARGS…: run it in that process's mount and pid namespace, carelessly"),
    ("spy", attack::spy, "look at every other process: seen, and a leak for what of it lies outside"),
    ("fds", files::fds, "FD TARGET for each open descriptor"),
    ("statfs", files::statfs, "PATH: the file system's magic number, in hex"),
    ("mounts", facts::mounts, "[PATH]: mountinfo, or the last line of it for PATH"),
    ("args", process::args, "each argument on a line"),
    ("env", process::env, "each variable on a line, in order"),
    ("report", process::report, "FILE: cwd, node name, standard input and environment, a line each, into it"),
    ("cwd", process::cwd, "the working directory"),
    ("id", facts::id, "uid, gid, groups and umask"),
    ("caps", facts::caps, "the five capability sets in hex"),
    ("status", facts::status, "KEY…: lines of /proc/self/status"),
    ("limits", facts::limits, "NAME SOFT HARD for each resource limit"),
    ("ns", facts::namespaces, "KIND INODE for each namespace"),
    ("hostname", facts::hostname, "the node name"),
    ("domainname", facts::domainname, "the NIS domain name"),
    ("sysctl", facts::sysctl, "NAME…: values"),
    ("seccomp", facts::seccomp, "mode and number of filters"),
    ("snoop", process::snoop, "look into every other process until TERM: what could be seen of one that is no probe"),
    ("hoard-keys", process::hoard_keys, "add keys until the kernel takes no more: the errno; keep them until TERM"),
    ("keyring", facts::keyring, "the session keyring's description"),
    ("ioprio", facts::ioprio, "CLASS LEVEL"),
    ("sched", facts::sched, "POLICY PRIORITY NICE"),
    ("sched_attr", facts::sched_attr, "POLICY FLAGS NICE PRIORITY RUNTIME DEADLINE PERIOD"),
    ("mempolicy", facts::memory_policy, "MODE in decimal and the nodes in hex"),
    ("affinity", facts::affinity, "the CPUs that may be used"),
    ("personality", facts::personality, "in hex"),
    ("uname", facts::machine, "the machine's name"),
    ("oom-score", facts::oom_score, "oom_score_adj"),
    ("time", facts::time, "MONOTONIC BOOTTIME in seconds"),
    ("timens_offsets", facts::timens_offsets, "the time namespace's offsets"),
    ("label", facts::label, "the LSM label"),
    ("tty", facts::tty, "FD tty ROWSxCOLUMNS or FD none, for 0 to 2"),
    ("net", net::interfaces, "NAME FLAGS for each interface"),
    ("addresses", net::addresses, "NAME ADDRESS/PREFIX for each address"),
    ("connect", net::connect, "unix:PATH or tcp:ADDRESS:PORT: ok or an errno"),
    ("notify", net::notify, "TEXT: send it to $NOTIFY_SOCKET"),
    ("try", syscalls::attempt, "NAME|NUMBER ARGS…: ok or an errno"),
    ("compat", syscalls::compat, "NUMBER [ARG]: the call of 32-bit programs: ok or an errno"),
    ("clone3", syscalls::clone3, "FLAGS: ok or an errno"),
    ("ret", syscalls::result, "NAME|NUMBER ARGS…: what the call returned, or an errno"),
    ("sleep", signals::sleep, "SECONDS"),
    ("pause", signals::pause, "until TERM or INT, then exit 0"),
    ("trap", signals::trap, "SIGNAL…: print each when caught; end when all were"),
    ("until", signals::until, "SIGNAL…: say that it waits, and end silently at the first of them"),
    ("raise", signals::raise, "SIGNAL: with its default action, to itself"),
    ("sigmask", signals::mask, "blocked and ignored signals"),
    ("fork-tree", process::fork_tree, "N DEPTH: N sleeping children each with N below, until TERM"),
    ("orphan", process::orphan, "leave a sleeping process behind and exit"),
    ("oom", process::oom, "MEBIBYTES: allocate and touch"),
    ("hold", process::hold, "MEBIBYTES: allocate and touch, and keep until TERM"),
    ("spin", process::spin, "SECONDS: use a CPU"),
    ("burn", load::burn, "SECONDS: use this much processor time"),
    ("pin", load::pin, "CPU: run on this one alone: ok or an errno, and the processor that it runs on"),
    ("forks", load::forks, "N: this many waiting children, or as many as there may be and an errno"),
    ("zombies", load::zombies, "N: children that end and are never waited for"),
    ("fork-bomb", load::fork_bomb, "fork without end, and so does each child"),
    ("disk", load::disk, "r|w PATH BLOCKS: 4 KiB each, around the page cache: the milliseconds it took"),
    ("read", load::read, "PATH BLOCKS: 4 KiB each, through the page cache: how many there were"),
    ("huge", load::huge, "PAGES: map and touch pages of 2 MB: ok or an errno"),
    ("help", help, "this list"),
];

/// # Safety
/// Called once by the C start code with the process's own argument vector.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: libc::c_int, argv: *const *const libc::c_char) -> libc::c_int {
    let words = (0..argc as usize).map(|at| {
        // SAFETY: the kernel gives argc terminated strings that live as long as the process.
        let word = unsafe { CStr::from_ptr(*argv.add(at)) };
        OsStr::from_bytes(word.to_bytes()).to_string_lossy().into_owned()
    });
    let words: Vec<String> = words.collect();
    let own = words.first().and_then(|name| name.rsplit('/').next()).unwrap_or_default();
    let by_name = find(own).is_some();
    let words = if by_name { &words[..] } else { words.get(1..).unwrap_or_default() };
    let outcome = dispatch(words, own);
    let _ = std::io::stdout().flush();
    match outcome {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("probe: {why}");
            1
        }
    }
}

fn find(name: &str) -> Option<Subcommand> {
    SUBCOMMANDS.iter().find(|(known, ..)| *known == name).map(|(_, run, _)| *run)
}

fn dispatch(words: &[String], alias: &str) -> Outcome {
    let Some((name, args)) = words.split_first() else {
        return help(&[]);
    };
    let name = if find(alias).is_some() { alias } else { name };
    match find(name) {
        Some(run) => run(args),
        None => Err(format!("no subcommand {name}")),
    }
}

fn sequence(words: &[String]) -> Outcome {
    for part in words.split(|word| word == "--") {
        dispatch(part, "")?;
    }
    Ok(())
}

fn help(_: &[String]) -> Outcome {
    for (name, _, what) in SUBCOMMANDS {
        println!("{name:15} {what}");
    }
    Ok(())
}

/// The argument at this place, or what is missing.
fn arg<'a>(args: &'a [String], at: usize, what: &str) -> Result<&'a str, String> {
    args.get(at).map(String::as_str).ok_or_else(|| format!("{what} is missing"))
}

fn parsed<T: std::str::FromStr>(args: &[String], at: usize, what: &str) -> Result<T, String> {
    let word = arg(args, at, what)?;
    word.parse().map_err(|_| format!("{what}: {word} does not parse"))
}

fn of<T>(what: &str, result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {}", syscalls::errno_name(error.raw_os_error().unwrap_or(0))))
}
