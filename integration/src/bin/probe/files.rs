//! Files, directories, devices and descriptors.

use crate::syscalls::errno_name;
use crate::{Outcome, arg, of, parsed};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

pub fn cat(args: &[String]) -> Outcome {
    let mut content = Vec::new();
    if args.is_empty() {
        of("standard input", io::stdin().read_to_end(&mut content))?;
    }
    for path in args {
        of(path, File::open(path).and_then(|mut file| file.read_to_end(&mut content)))?;
    }
    of("standard output", io::stdout().write_all(&content))
}

pub fn write(args: &[String]) -> Outcome {
    let path = arg(args, 0, "FILE")?;
    of(path, fs::write(path, arg(args, 1, "TEXT")?))
}

pub fn append(args: &[String]) -> Outcome {
    let path = arg(args, 0, "FILE")?;
    let line = format!("{}\n", arg(args, 1, "TEXT")?);
    of(path, OpenOptions::new().append(true).create(true).open(path).and_then(|mut f| f.write_all(line.as_bytes())))
}

pub fn write_fd(args: &[String]) -> Outcome {
    let fd: i32 = parsed(args, 0, "FD")?;
    // SAFETY: the descriptor was passed to this process for this use; nothing else here owns it.
    let mut file = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    of("descriptor", file.write_all(arg(args, 1, "TEXT")?.as_bytes()))
}

pub fn ls(args: &[String]) -> Outcome {
    let path = arg(args, 0, "DIR")?;
    let mut names = Vec::new();
    for entry in of(path, fs::read_dir(path))? {
        names.push(of(path, entry)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    names.iter().for_each(|name| println!("{name}"));
    Ok(())
}

pub fn owner(args: &[String]) -> Outcome {
    for path in args {
        let meta = of(path, fs::metadata(path))?;
        println!("{} {} {:04o}", meta.uid(), meta.gid(), meta.permissions().mode() & 0o7777);
    }
    Ok(())
}

pub fn stat(args: &[String]) -> Outcome {
    for path in args {
        let meta = of(path, fs::symlink_metadata(path))?;
        let (mode, device) = (meta.permissions().mode() & 0o7777, meta.rdev());
        let kind = kind(meta.file_type());
        let (major, minor) = (libc::major(device), libc::minor(device));
        println!("{kind} {mode:04o} {} {} {} {major}:{minor}", meta.uid(), meta.gid(), meta.size());
    }
    Ok(())
}

fn kind(file_type: fs::FileType) -> &'static str {
    match file_type {
        t if t.is_dir() => "dir",
        t if t.is_symlink() => "link",
        t if t.is_char_device() => "char",
        t if t.is_block_device() => "block",
        t if t.is_fifo() => "fifo",
        t if t.is_socket() => "socket",
        _ => "file",
    }
}

pub fn readlink(args: &[String]) -> Outcome {
    for path in args {
        println!("{}", of(path, fs::read_link(path))?.display());
    }
    Ok(())
}

pub fn readonly(args: &[String]) -> Outcome {
    for dir in args {
        let path = format!("{dir}/.probe-{}", std::process::id());
        let answer = match File::create_new(&path) {
            Ok(_) => {
                let _ = fs::remove_file(&path);
                "writable".to_owned()
            }
            Err(error) if error.raw_os_error() == Some(libc::EROFS) => "read-only".to_owned(),
            Err(error) => errno_name(error.raw_os_error().unwrap_or(0)),
        };
        println!("{answer}");
    }
    Ok(())
}

pub fn open_dev(args: &[String]) -> Outcome {
    let mode = arg(args, 1, "MODE")?;
    let mut options = OpenOptions::new();
    options.read(mode.contains('r')).write(mode.contains('w'));
    match options.open(arg(args, 0, "PATH")?) {
        Ok(_) => println!("ok"),
        Err(error) => println!("{}", errno_name(error.raw_os_error().unwrap_or(0))),
    }
    Ok(())
}

pub fn cache(args: &[String]) -> Outcome {
    let path = arg(args, 0, "FILE")?;
    let mut file = of(path, File::open(path))?;
    let mebibyte =
        |at| if args.len() > at { parsed(args, at, "MEBIBYTES").map(|n: u64| Some(n << 20)) } else { Ok(None) };
    of(path, file.seek(io::SeekFrom::Start(mebibyte(1)?.unwrap_or(0))))?;
    of(path, io::copy(&mut (&file).take(mebibyte(2)?.unwrap_or(u64::MAX)), &mut io::sink()))?;
    std::mem::forget(file);
    Ok(())
}

pub fn hammer_dev(args: &[String]) -> Outcome {
    let path = arg(args, 0, "PATH")?;
    println!("ready");
    let _ = io::stdout().flush();
    while OpenOptions::new().write(true).open(path).is_err() {}
    println!("opened");
    Ok(())
}

pub fn fds(_: &[String]) -> Outcome {
    let own = of("/proc/self/fd", File::open("/proc/self/fd"))?;
    let mut found = Vec::new();
    for entry in of("/proc/self/fd", fs::read_dir(format!("/proc/self/fd/{}", own.as_raw_fd())))? {
        let name = of("/proc/self/fd", entry)?.file_name().to_string_lossy().into_owned();
        let target = fs::read_link(format!("/proc/self/fd/{name}"));
        let target = target.map(|target| target.display().to_string()).unwrap_or_default();
        // Our own two handles on the list itself.
        if !(target.starts_with("/proc/") && target.ends_with("/fd")) {
            found.push((name.parse::<i32>().unwrap_or(-1), target));
        }
    }
    found.sort();
    found.iter().for_each(|(fd, target)| println!("{fd} {target}"));
    Ok(())
}

pub fn statfs(args: &[String]) -> Outcome {
    let path = arg(args, 0, "PATH")?;
    let name = std::ffi::CString::new(path).map_err(|error| error.to_string())?;
    // SAFETY: a zeroed statfs is a valid one; the kernel fills it.
    let mut answer: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right type.
    if unsafe { libc::statfs(name.as_ptr(), &mut answer) } != 0 {
        return of(path, Err(io::Error::last_os_error()));
    }
    println!("{:x}", answer.f_type);
    Ok(())
}
