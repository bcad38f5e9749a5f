//! `kill`: a signal for the container's init.

use super::{App, destroy};
use crate::cli::KillArgs;
use crate::host::Host;
use crate::state::Status;
use crate::sys::clone::pidfd_send_signal;
use anyhow::{Result, bail};
use nix::errno::Errno;
use std::os::fd::AsFd;

#[inline(never)]
pub fn run(app: &App, args: &KillArgs) -> Result<u8> {
    let signal = signal(args.signal.as_deref().unwrap_or("TERM"))?;
    let host = Host::probe()?;
    let dir = app.root.open(&args.id)?;
    let record = dir.record()?;
    let (status, init) = dir.status(&record, host.proc())?;
    let kill_cgroup = || destroy::kill_cgroup(&record, destroy::open_cgroup(&record, host.proc())?.as_ref());
    let Some(init) = init.filter(|_| status != Status::Creating) else {
        // A stopped init may have left processes behind that only share its cgroup.
        if signal == libc::SIGKILL && !record.own_pids {
            kill_cgroup()?;
        }
        if args.all {
            return Ok(0);
        }
        bail!("container not running: {} is {status}", args.id);
    };
    if signal == libc::SIGKILL && !record.own_pids && kill_cgroup()? {
        return Ok(0);
    }
    match pidfd_send_signal(init.as_fd(), signal) {
        Ok(()) => Ok(0),
        Err(Errno::ESRCH) if args.all => Ok(0),
        Err(Errno::ESRCH) => bail!("container not running: {}: no such process", args.id),
        Err(errno) => bail!("cannot signal container {}: {}", args.id, crate::fault::words(errno)),
    }
}

/// A signal by number or by name, with or without `SIG`, in any case; real-time ones as `RTMIN+n` or `RTMAX-n`.
fn signal(text: &str) -> Result<i32> {
    /// The first and last real-time signals that the kernel numbers; libcs keep some of them for themselves.
    const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
    let unknown = || anyhow::anyhow!("unknown signal {text:?}");
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=*REAL_TIME.end()).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let relative = |prefix: &str, sign: &str| name.strip_prefix(prefix)?.strip_prefix(sign)?.parse::<i32>().ok();
    let real_time = match name {
        "RTMIN" => Some(*REAL_TIME.start()),
        "RTMAX" => Some(*REAL_TIME.end()),
        _ => relative("RTMIN", "+")
            .map(|n| REAL_TIME.start() + n)
            .or(relative("RTMAX", "-").map(|n| REAL_TIME.end() - n)),
    };
    match real_time {
        Some(number) if REAL_TIME.contains(&number) => Ok(number),
        Some(_) => Err(unknown()),
        None => match name {
            "IOT" => Ok(libc::SIGABRT),
            "POLL" => Ok(libc::SIGIO),
            "CLD" => Ok(libc::SIGCHLD),
            name => format!("SIG{name}").parse::<nix::sys::signal::Signal>().map(|s| s as i32).map_err(|_| unknown()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::signal;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("SIGKILL", 9),
            ("9", 9),
            ("0", 0),
            ("usr1", 10),
            ("RTMIN", 34),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("RTMAX", 64),
            ("64", 64),
            ("IOT", 6),
            ("POLL", 29),
            ("WINCH", 28),
        ] {
            assert_eq!(signal(text).unwrap(), number, "{text}");
        }
        for bad in ["", "SIG", "FOO", "65", "-1", "RTMIN+31", "RTMAX-31", "9x", "SIG9"] {
            assert!(signal(bad).is_err(), "{bad}");
        }
    }
}
