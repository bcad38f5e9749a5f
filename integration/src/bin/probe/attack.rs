//! What a hostile container does all day.

use super::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}

fn others() -> Vec<i32> {
    let own = std::process::id() as i32;
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|pid| *pid != own).collect()
}

/// Without any right to it: std drops this flag where the C library is musl.
fn open_path(path: &str) -> io::Result<File> {
    let path = CString::new(path)?;
    // SAFETY: a terminated string that outlives the call.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: nobody else has this descriptor.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Opens for writing what is behind a held descriptor, until the kernel says something else than "text file busy".
pub fn seize(_: &[String]) -> Outcome {
    let own = fs::metadata("/proc/self/exe").map_err(|error| error.to_string())?;
    let mut held: BTreeMap<i32, File> = BTreeMap::new();
    say("ready");
    loop {
        for pid in others() {
            let Ok(file) = open_path(&format!("/proc/{pid}/exe")) else { continue };
            let foreign = file.metadata().is_ok_and(|meta| (meta.dev(), meta.ino()) != (own.dev(), own.ino()));
            if foreign && held.insert(pid, file).is_none() {
                say("held");
            }
        }
        held.retain(|_, file| {
            let again = OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd()));
            match again.map_err(|error| error.raw_os_error()) {
                Ok(_) => say("open"),
                Err(Some(libc::ETXTBSY)) => return true,
                Err(errno) => say(&crate::syscalls::errno_name(errno.unwrap_or(0))),
            }
            false
        });
    }
}

/// Follows the links of other processes' descriptors, roots and working directories.
pub fn spy(_: &[String]) -> Outcome {
    let own: Vec<(u64, u64)> = ["/", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"]
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        .map(|meta| (meta.dev(), meta.ino()))
        .collect();
    let mut seen = BTreeSet::new();
    say("ready");
    loop {
        for pid in others() {
            if seen.insert(pid) {
                say("seen");
            }
            for link in ["root".to_owned(), "cwd".to_owned()].into_iter().chain((0..32).map(|fd| format!("fd/{fd}"))) {
                let path = format!("/proc/{pid}/{link}");
                let Ok(meta) = fs::metadata(&path) else { continue };
                if meta.is_dir() && !own.contains(&(meta.dev(), meta.ino())) {
                    let target = fs::read_link(&path).unwrap_or_default();
                    say(&format!("leak {link} {}", target.display()));
                }
            }
        }
    }
}

/// Enters a container as one should not: with a descriptor of the host's root, from a binary that can be written.
pub fn join(args: &[String]) -> Outcome {
    let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let pid: i32 = super::parsed(args, 0, "PID")?;
    let root = open_path("/").map_err(said("/"))?;
    // SAFETY: plain numbers.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
    // SAFETY: as above.
    if pidfd < 0 || unsafe { libc::setns(pidfd, libc::CLONE_NEWNS | libc::CLONE_NEWPID) } < 0 {
        return Err(format!("setns: {}", io::Error::last_os_error()));
    }
    let mut program = Command::new(super::arg(args, 1, "PATH")?);
    let prepare = move || {
        let (header, none) = ([0x2008_0522_u32, 0], [0_u32; 6]);
        // SAFETY: a header of version 3 and two elements of three words; plain numbers.
        let failed = unsafe {
            libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) < 0 || libc::dup2(root.as_raw_fd(), 7) < 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { program.pre_exec(prepare) };
    let status = program.args(&args[2..]).status().map_err(said("exec"))?;
    std::process::exit(status.code().unwrap_or(1))
}
