//! What the kernel says about this process and where it stands.

use crate::{Outcome, arg, of};
use std::fs;
use std::io;

fn read(path: &str) -> Result<String, String> {
    of(path, fs::read_to_string(path))
}

fn check(what: &str, result: i64) -> Result<i64, String> {
    if result < 0 { of(what, Err(io::Error::last_os_error())) } else { Ok(result) }
}

pub fn mounts(args: &[String]) -> Outcome {
    let all = read("/proc/self/mountinfo")?;
    let Some(path) = args.first() else {
        print!("{all}");
        return Ok(());
    };
    // A later mount covers an earlier one.
    match all.lines().rfind(|line| line.split(' ').nth(4) == Some(path)) {
        Some(line) => println!("{line}"),
        None => println!("none"),
    }
    Ok(())
}

pub fn status(args: &[String]) -> Outcome {
    let all = read("/proc/self/status")?;
    for key in args {
        let line = all.lines().find(|line| line.split(':').next() == Some(key));
        println!("{}", line.unwrap_or("none"));
    }
    Ok(())
}

pub fn caps(_: &[String]) -> Outcome {
    let keys = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    status(&keys.map(String::from))
}

pub fn seccomp(_: &[String]) -> Outcome {
    status(&["Seccomp", "Seccomp_filters"].map(String::from))
}

pub fn id(_: &[String]) -> Outcome {
    let all = read("/proc/self/status")?;
    let line = |key: &str| {
        let found = all.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        found.split_whitespace().collect::<Vec<_>>().join(",")
    };
    println!("uid={} gid={} groups={} umask={}", line("Uid:"), line("Gid:"), line("Groups:"), line("Umask:"));
    Ok(())
}

const LIMITS: &[(&str, u32)] = &[
    ("RLIMIT_CPU", 0),
    ("RLIMIT_FSIZE", 1),
    ("RLIMIT_DATA", 2),
    ("RLIMIT_STACK", 3),
    ("RLIMIT_CORE", 4),
    ("RLIMIT_RSS", 5),
    ("RLIMIT_NPROC", 6),
    ("RLIMIT_NOFILE", 7),
    ("RLIMIT_MEMLOCK", 8),
    ("RLIMIT_AS", 9),
    ("RLIMIT_LOCKS", 10),
    ("RLIMIT_SIGPENDING", 11),
    ("RLIMIT_MSGQUEUE", 12),
    ("RLIMIT_NICE", 13),
    ("RLIMIT_RTPRIO", 14),
    ("RLIMIT_RTTIME", 15),
];

pub fn limits(_: &[String]) -> Outcome {
    for (name, number) in LIMITS {
        let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the last pointer is to a live rlimit64, which the kernel fills; the others may be null.
        let result = unsafe { libc::syscall(libc::SYS_prlimit64, 0, *number, 0usize, &mut limit) };
        check(name, result)?;
        println!("{name} {} {}", amount(limit.rlim_cur), amount(limit.rlim_max));
    }
    Ok(())
}

fn amount(value: u64) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() }
}

pub fn namespaces(_: &[String]) -> Outcome {
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let path = format!("/proc/self/ns/{kind}");
        println!("{kind} {}", of(&path, fs::read_link(&path))?.display());
    }
    Ok(())
}

pub fn hostname(_: &[String]) -> Outcome {
    print!("{}", read("/proc/sys/kernel/hostname")?);
    Ok(())
}

pub fn domainname(_: &[String]) -> Outcome {
    print!("{}", read("/proc/sys/kernel/domainname")?);
    Ok(())
}

pub fn sysctl(args: &[String]) -> Outcome {
    for name in args {
        print!("{}", read(&format!("/proc/sys/{}", name.replace('.', "/")))?);
    }
    Ok(())
}

pub fn keyring(_: &[String]) -> Outcome {
    let mut text = [0u8; 256];
    let (describe, session) = (6, -3);
    // SAFETY: the kernel writes at most the given length into the buffer.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, describe, session, text.as_mut_ptr(), text.len()) };
    let length = check("keyctl", result)? as usize;
    println!("{}", String::from_utf8_lossy(&text[..length.saturating_sub(1).min(text.len())]));
    Ok(())
}

pub fn ioprio(_: &[String]) -> Outcome {
    // SAFETY: takes integers only; 1 is IOPRIO_WHO_PROCESS, 0 this process.
    let value = check("ioprio_get", unsafe { libc::syscall(libc::SYS_ioprio_get, 1, 0) })?;
    println!("{} {}", value >> 13, value & 0x1fff);
    Ok(())
}

pub fn sched(_: &[String]) -> Outcome {
    // SAFETY: all zeroes is a valid sched_param: it is made of integers.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: takes an integer only.
    let policy = check("sched_getscheduler", unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) })?;
    // SAFETY: the pointer is to a live sched_param, which the kernel fills.
    check("sched_getparam", unsafe { libc::syscall(libc::SYS_sched_getparam, 0, &mut param) })?;
    // SAFETY: takes integers only; the raw call answers 20 - nice.
    let nice = 20 - check("getpriority", unsafe { libc::syscall(libc::SYS_getpriority, 0, 0) })?;
    println!("{policy} {} {nice}", param.sched_priority);
    Ok(())
}

pub fn sched_attr(_: &[String]) -> Outcome {
    // size, policy; flags; nice, priority; runtime; deadline; period
    let mut attr = [0u64; 6];
    let size = size_of_val(&attr);
    // SAFETY: the pointer is to as many bytes as the size says, which the kernel fills.
    check("sched_getattr", unsafe { libc::syscall(libc::SYS_sched_getattr, 0, attr.as_mut_ptr(), size, 0) })?;
    let (policy, nice, priority) = (attr[0] >> 32, attr[2] as u32 as i32, attr[2] >> 32);
    println!("{policy} {} {nice} {priority} {} {} {}", attr[1], attr[3], attr[4], attr[5]);
    Ok(())
}

pub fn memory_policy(_: &[String]) -> Outcome {
    let (mut mode, mut nodes) = (0i32, [0u64; 16]);
    let bits = nodes.len() * 64;
    // SAFETY: the pointers are to a live integer and to as many bits as said, which the kernel fills.
    let result = unsafe { libc::syscall(libc::SYS_get_mempolicy, &mut mode, nodes.as_mut_ptr(), bits, 0usize, 0) };
    check("get_mempolicy", result)?;
    println!("{mode} {:x}", nodes[0]);
    Ok(())
}

pub fn affinity(_: &[String]) -> Outcome {
    status(&["Cpus_allowed_list", "Mems_allowed_list"].map(String::from))
}

pub fn personality(_: &[String]) -> Outcome {
    // SAFETY: takes an integer only; this one asks and changes nothing.
    println!("{:x}", unsafe { libc::personality(0xffff_ffff) });
    Ok(())
}

pub fn machine(_: &[String]) -> Outcome {
    // SAFETY: all zeroes is a valid utsname: it is made of byte arrays.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live utsname, which the kernel fills with terminated strings.
    check("uname", i64::from(unsafe { libc::uname(&mut names) }))?;
    // SAFETY: as above.
    println!("{}", unsafe { std::ffi::CStr::from_ptr(names.machine.as_ptr()) }.to_string_lossy());
    Ok(())
}

pub fn oom_score(_: &[String]) -> Outcome {
    print!("{}", read("/proc/self/oom_score_adj")?);
    Ok(())
}

pub fn time(_: &[String]) -> Outcome {
    let seconds = |clock| {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a live timespec, which the kernel fills.
        unsafe { libc::clock_gettime(clock, &mut now) };
        now.tv_sec
    };
    println!("{} {}", seconds(libc::CLOCK_MONOTONIC), seconds(libc::CLOCK_BOOTTIME));
    Ok(())
}

pub fn timens_offsets(_: &[String]) -> Outcome {
    print!("{}", read("/proc/self/timens_offsets")?);
    Ok(())
}

pub fn label(args: &[String]) -> Outcome {
    let file = args.first().map_or("current", String::as_str);
    println!("{}", read(&format!("/proc/self/attr/{file}"))?.trim_end_matches(['\0', '\n']));
    Ok(())
}

pub fn tty(args: &[String]) -> Outcome {
    let last = if args.is_empty() { 2 } else { arg(args, 0, "FD")?.parse().unwrap_or(2) };
    for fd in 0..=last {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the pointer is to a live winsize, which the kernel fills if the descriptor is a terminal.
        let is_tty = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ as _, &mut size) } == 0;
        if is_tty {
            println!("{fd} tty {}x{}", size.ws_row, size.ws_col);
        } else {
            println!("{fd} none");
        }
    }
    Ok(())
}
