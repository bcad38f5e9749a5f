//! The process itself: its words, its children, its appetite.

use crate::{Outcome, arg, of, parsed, signals};
use std::ffi::CString;
use std::io::{self, PipeWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

pub fn exit(args: &[String]) -> Outcome {
    let _ = io::stdout().flush();
    std::process::exit(parsed(args, 0, "N")?)
}

pub fn echo(args: &[String]) -> Outcome {
    println!("{}", args.join(" "));
    Ok(())
}

pub fn args(args: &[String]) -> Outcome {
    args.iter().for_each(|arg| println!("{arg}"));
    Ok(())
}

pub fn env(_: &[String]) -> Outcome {
    let mut out = Vec::new();
    for (name, value) in std::env::vars_os() {
        out.extend([name.as_bytes(), b"=", value.as_bytes(), b"\n"].concat());
    }
    of("standard output", io::stdout().write_all(&out))
}

pub fn report(args: &[String]) -> Outcome {
    let path = arg(args, 0, "FILE")?;
    let cwd = of("getcwd", std::env::current_dir())?;
    let node = of("hostname", std::fs::read_to_string("/proc/sys/kernel/hostname"))?;
    let input = of("standard input", std::io::read_to_string(std::io::stdin()))?;
    let mut text = format!("{}\n{}\n{input}\n", cwd.display(), node.trim_end());
    std::env::vars().for_each(|(name, value)| text.push_str(&format!("{name}={value}\n")));
    of(path, std::fs::write(path, text))
}

pub fn cwd(_: &[String]) -> Outcome {
    println!("{}", of("getcwd", std::env::current_dir())?.display());
    Ok(())
}

pub fn exec(args: &[String]) -> Outcome {
    let path = arg(args, 0, "PATH")?;
    let words: Result<Vec<CString>, _> = args.iter().map(|word| CString::new(word.as_str())).collect();
    let words = words.map_err(|error| error.to_string())?;
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let _ = io::stdout().flush();
    // SAFETY: terminated strings in a terminated list, alive until the call returns or the program is gone.
    unsafe { libc::execv(pointers[0], pointers.as_ptr()) };
    of(path, Err(io::Error::last_os_error()))
}

/// Forks; true in the child. Nothing here has threads, so the child may do all that the parent may.
pub fn fork() -> Result<bool, String> {
    let _ = io::stdout().flush();
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => Ok(true),
        -1 => of("fork", Err(io::Error::last_os_error())),
        _ => Ok(false),
    }
}

pub fn fork_tree(args: &[String]) -> Outcome {
    let (width, depth): (u32, u32) = (parsed(args, 0, "N")?, parsed(args, 1, "DEPTH")?);
    let count: u32 = (1..=depth).map(|level| width.pow(level)).sum();
    let (mut done, grown) = std::io::pipe().map_err(|error| error.to_string())?;
    grow(width, depth, &grown)?;
    // A byte of each descendant: it is there, and so are its own.
    done.read_exact(&mut vec![0; count as usize]).map_err(|error| error.to_string())?;
    println!("ready {count}");
    signals::pause(&[])
}

fn grow(width: u32, depth: u32, grown: &PipeWriter) -> Outcome {
    if depth == 0 {
        return Ok(());
    }
    for _ in 0..width {
        if fork()? {
            let told = grow(width, depth - 1, grown).and_then(|()| {
                let mut grown = grown;
                grown.write_all(b".").map_err(|error| error.to_string())
            });
            let outcome = told.and_then(|()| signals::pause(&[]));
            std::process::exit(outcome.is_err() as i32);
        }
    }
    Ok(())
}

pub fn orphan(_: &[String]) -> Outcome {
    if fork()? {
        // SAFETY: takes nothing.
        unsafe { libc::setsid() };
        if !fork()? {
            std::process::exit(0);
        }
        let _ = signals::pause(&[]);
        std::process::exit(0);
    }
    // SAFETY: a null status pointer is allowed.
    unsafe { libc::wait(std::ptr::null_mut()) };
    Ok(())
}

pub fn oom(args: &[String]) -> Outcome {
    let mebibytes: usize = parsed(args, 0, "MEBIBYTES")?;
    let mut kept = Vec::with_capacity(mebibytes);
    for _ in 0..mebibytes {
        kept.push(vec![1u8; 1 << 20]);
    }
    println!("allocated {} MiB", std::hint::black_box(&kept).len());
    Ok(())
}

pub fn hold(args: &[String]) -> Outcome {
    let mebibytes: usize = parsed(args, 0, "MEBIBYTES")?;
    let kept = vec![1u8; mebibytes << 20];
    println!("holding {}", std::hint::black_box(&kept).len());
    signals::pause(&[])
}

pub fn spin(args: &[String]) -> Outcome {
    let until = Instant::now() + Duration::from_secs_f64(parsed(args, 0, "SECONDS")?);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    Ok(())
}

pub fn snoop(_: &[String]) -> Outcome {
    let set = signals::ended();
    println!("ready");
    let _ = io::stdout().flush();
    let own = std::process::id();
    let mut looks = 0_u64;
    while !set.is_pending() {
        for entry in of("/proc", std::fs::read_dir("/proc"))?.flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            if let Some(pid) = pid.filter(|pid| *pid != own) {
                looks += u64::from(look_into(pid));
            }
        }
    }
    println!("looked at {}", if looks > 0 { "some" } else { "none" });
    Ok(())
}

/// Prints what can be had of a process that has not become a program of the container. True if it had not.
fn look_into(pid: u32) -> bool {
    let of = |name: &str| format!("/proc/{pid}/{name}");
    // From the container's root the path of an executable of the host cannot be told, but its link can be read.
    let foreign = || match std::fs::read_link(of("exe")) {
        Ok(path) => !path.starts_with("/bin"),
        // One that has just ended has no memory any more that could be its program's.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    let mut seen = Vec::new();
    if std::fs::File::open(of("mem")).is_ok() {
        seen.push("mem".to_owned());
    }
    for name in ["root", "cwd", "exe"] {
        seen.extend(std::fs::read_link(of(name)).ok().map(|path| format!("{name} {}", path.display())));
    }
    for entry in std::fs::read_dir(of("fd")).into_iter().flatten().flatten() {
        seen.extend(
            std::fs::read_link(entry.path()).ok().map(|path| format!("{} {}", entry.path().display(), path.display())),
        );
    }
    // Only now: it may have become a program while it was looked at, and one that is gone shows nothing.
    let program = seen.iter().any(|found| found.starts_with("exe /bin/"));
    let there = !program && std::path::Path::new(&of("")).exists() && foreign();
    if there && !seen.is_empty() {
        println!("{pid}: {}", seen.join(", "));
    }
    there
}

pub fn hoard_keys(_: &[String]) -> Outcome {
    let set = signals::ended();
    for number in 0.. {
        let name = CString::new(format!("probe-{number}")).map_err(|error| error.to_string())?;
        /// KEY_SPEC_PROCESS_KEYRING, keyctl(2).
        const PROCESS: i32 = -2;
        // SAFETY: terminated strings, and a payload of the length that is said.
        let added =
            unsafe { libc::syscall(libc::SYS_add_key, c"user".as_ptr(), name.as_ptr(), b"x".as_ptr(), 1, PROCESS) };
        if added < 0 {
            println!("{:?}", of::<()>("add_key", Err(io::Error::last_os_error())).err());
            break;
        }
    }
    let _ = io::stdout().flush();
    set.wait();
    Ok(())
}
