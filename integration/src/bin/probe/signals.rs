//! Waiting for signals, and sending them to oneself.
//!
//! Signals are blocked and fetched, not handled: that works for process 1 too, to which the kernel delivers
//! only what it asked for.

use crate::{Outcome, arg, of, parsed};
use std::fs;
use std::io::{self, Write};
use std::time::Duration;

const NAMES: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("ABRT", libc::SIGABRT),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

fn number(name: &str) -> Result<i32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    NAMES.iter().find(|(known, _)| *known == bare).map(|(_, n)| *n).ok_or_else(|| format!("no signal {name}"))
}

fn name(number: i32) -> String {
    NAMES.iter().find(|(_, n)| *n == number).map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// TERM, blocked from here on, to be asked for and waited for.
pub fn ended() -> Set {
    let set = Set::of(&[libc::SIGTERM]);
    set.block();
    set
}

pub struct Set(libc::sigset_t);

impl Set {
    fn of(signals: &[i32]) -> Set {
        // SAFETY: all zeroes is a valid value to hand to sigemptyset, which makes it an empty set.
        let mut set = unsafe { std::mem::zeroed() };
        // SAFETY: the set is live and initialised; sigaddset refuses numbers out of range.
        unsafe {
            libc::sigemptyset(&mut set);
            for &signal in signals {
                libc::sigaddset(&mut set, signal);
            }
        }
        Set(set)
    }

    fn block(&self) {
        // SAFETY: the set is initialised; the old mask is not asked for.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, &self.0, std::ptr::null_mut()) };
    }

    /// Takes one that has come, if one has.
    pub fn is_pending(&self) -> bool {
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set is initialised, the time is live; no details are asked for.
        unsafe { libc::sigtimedwait(&self.0, std::ptr::null_mut(), &now) > 0 }
    }

    pub fn wait(&self) -> i32 {
        // SAFETY: the set is initialised; no details are asked for.
        unsafe { libc::sigwaitinfo(&self.0, std::ptr::null_mut()) }
    }
}

pub fn pause(_: &[String]) -> Outcome {
    let set = Set::of(&[libc::SIGTERM, libc::SIGINT]);
    set.block();
    let _ = io::stdout().flush();
    while set.wait() < 0 {}
    Ok(())
}

pub fn sleep(args: &[String]) -> Outcome {
    let _ = io::stdout().flush();
    std::thread::sleep(Duration::from_secs_f64(parsed(args, 0, "SECONDS")?));
    Ok(())
}

pub fn trap(args: &[String]) -> Outcome {
    let mut missing = args.iter().map(|name| number(name)).collect::<Result<Vec<_>, _>>()?;
    let set = Set::of(&missing);
    set.block();
    println!("ready");
    while !missing.is_empty() {
        let _ = io::stdout().flush();
        let caught = set.wait();
        if caught > 0 {
            println!("caught {}", name(caught));
            missing.retain(|&signal| signal != caught);
        }
    }
    Ok(())
}

pub fn until(args: &[String]) -> Outcome {
    let set = Set::of(&args.iter().map(|name| number(name)).collect::<Result<Vec<_>, _>>()?);
    set.block();
    println!("ready");
    let _ = io::stdout().flush();
    while set.wait() < 0 {}
    Ok(())
}

pub fn raise(args: &[String]) -> Outcome {
    let signal = number(arg(args, 0, "SIGNAL")?)?;
    let _ = io::stdout().flush();
    // SAFETY: plain integers, the process's own id; the default action needs no handler.
    let result = unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal)
    };
    if result == 0 { Ok(()) } else { of("kill", Err(io::Error::last_os_error())) }
}

pub fn mask(_: &[String]) -> Outcome {
    let status = of("/proc/self/status", fs::read_to_string("/proc/self/status"))?;
    let wanted = |line: &&str| line.starts_with("SigBlk:") || line.starts_with("SigIgn:");
    status.lines().filter(wanted).for_each(|line| println!("{line}"));
    Ok(())
}
