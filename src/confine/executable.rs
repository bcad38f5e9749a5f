//! Finding `process.args[0]` as execvp(3) does, and saying why it cannot be run.

use crate::fault::Fault;
use nix::errno::Errno;
use nix::sys::stat::stat;
use nix::unistd::{AccessFlags, eaccess};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const STAGE: &str = "exec";

/// The path to execute: `name` itself where it holds a slash, else its first executable match in PATH of `env`.
/// Called inside the container, with the user's own rights. The errors are the words that Docker and podman turn into
/// exit codes 126 and 127.
pub fn find_executable(name: &CStr, env: &[CString]) -> Result<CString, Fault> {
    let shown = name.to_string_lossy();
    let fault = |text: &str, errno| Fault::new(STAGE, format!("exec: \"{shown}\": {text}")).errno(errno).path(&shown);
    if name.to_bytes().contains(&b'/') {
        return match usable(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(Errno::ENOENT) => Err(fault(&format!("stat {shown}: no such file or directory"), Errno::ENOENT)),
            // With execve(2)'s own words after runc's: those Podman's exec takes for 126, "is a directory" for 255.
            Err(Errno::EISDIR) => Err(fault("is a directory: permission denied", Errno::EISDIR)),
            Err(errno) => Err(fault(&crate::fault::words(errno), errno)),
        };
    }
    let path = env.iter().rev().find_map(|var| var.to_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
    let mut denied = None;
    for dir in path.split(|byte| *byte == b':') {
        let dir = if dir.is_empty() { b".".as_slice() } else { dir };
        let Ok(candidate) = CString::new([dir, b"/", name.to_bytes()].concat()) else { continue };
        match usable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EACCES) => denied = Some(Errno::EACCES),
            Err(_) => {}
        }
    }
    match denied {
        Some(errno) => Err(fault("permission denied", errno)),
        None => Err(fault("executable file not found in $PATH", Errno::ENOENT)),
    }
}

fn usable(path: &CStr) -> Result<(), Errno> {
    let mode = stat(path)?.st_mode & libc::S_IFMT;
    match mode {
        libc::S_IFDIR => return Err(Errno::EISDIR),
        libc::S_IFREG => {}
        _ => return Err(Errno::EACCES),
    }
    match eaccess(path, AccessFlags::X_OK) {
        // Old seccomp profiles answer faccessat2 so; execve itself will tell.
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        result => result,
    }
}

/// Why execve(2) of `path` failed with `errno`: the kernel's ENOENT may mean the interpreter, its ENOEXEC the machine.
#[cold]
pub fn explain(path: &CStr, errno: Errno) -> Fault {
    let shown = path.to_string_lossy();
    let words = crate::fault::words(errno);
    let fault = Fault::new(STAGE, format!("exec {shown}: {words}")).errno(errno).path(&shown);
    match reason(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())), errno) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

fn reason(path: &Path, errno: Errno) -> Option<String> {
    let mut head = [0; 4096];
    // Never block on what the image planted there.
    let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let n = file.read(&mut head).ok()?;
    why_not(&head[..n], errno)
}

/// The same for a file that begins so.
pub fn why_not(head: &[u8], errno: Errno) -> Option<String> {
    match errno {
        Errno::ENOENT => missing_interpreter(head),
        Errno::ENOEXEC if head.is_empty() => Some("the file is empty".to_owned()),
        Errno::ENOEXEC if head.starts_with(b"\x7fELF") => foreign(head),
        Errno::ENOEXEC => Some("it is neither a program nor a script that starts with #!".to_owned()),
        Errno::EACCES => Some("it, or its interpreter, is not executable, or its mount is noexec".to_owned()),
        _ => None,
    }
}

fn missing_interpreter(head: &[u8]) -> Option<String> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        if line.ends_with(b"\r") {
            return Some("its first line ends in a carriage return; save the script with Unix line ends".to_owned());
        }
        let line = String::from_utf8_lossy(line);
        let interpreter = line.split_whitespace().next()?;
        return Some(format!("its interpreter {interpreter:?} is not in the rootfs"));
    }
    let interpreter = elf_interpreter(head)?;
    Some(format!("its interpreter {interpreter:?} is not in the rootfs"))
}

/// PT_INTERP of a 64-bit little-endian ELF file whose headers are in `head` (elf(5)).
fn elf_interpreter(head: &[u8]) -> Option<String> {
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number = |at: usize, size: usize| {
        let bytes = head.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0_usize, |value, byte| value << 8 | usize::from(*byte)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    const PT_INTERP: usize = 3;
    let header = (0..count)
        .map(|i| table.checked_add(i * size))
        .find(|at| at.and_then(|at| number(at, 4)) == Some(PT_INTERP))??;
    let (offset, length) = (number(header + 8, 8)?, number(header + 32, 8)?);
    let text = head.get(offset..offset.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

fn foreign(head: &[u8]) -> Option<String> {
    let machine = u16::from_le_bytes([*head.get(18)?, *head.get(19)?]);
    let name = match machine {
        3 => "i386",
        8 => "MIPS",
        20 | 21 => "PowerPC",
        22 => "s390",
        40 => "ARM",
        62 => "x86_64",
        183 => "aarch64",
        243 => "RISC-V",
        258 => "LoongArch",
        _ => "another machine",
    };
    Some(format!("it is built for {name}, and this host is {}", std::env::consts::ARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters() {
        let script = |line: &[u8]| missing_interpreter(line);
        assert_eq!(script(b"#! /bin/bash -e\n"), Some("its interpreter \"/bin/bash\" is not in the rootfs".to_owned()));
        assert!(script(b"#!/bin/sh\r\nx").unwrap().contains("carriage return"));
        assert_eq!(script(b"hello"), None);
        let mut elf = vec![0; 300];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[32], elf[54], elf[56]) = (64, 56, 1);
        (elf[64], elf[64 + 8], elf[64 + 32]) = (3, 200, 11);
        elf[200..211].copy_from_slice(b"/lib/ld.so\0");
        assert_eq!(script(&elf), Some("its interpreter \"/lib/ld.so\" is not in the rootfs".to_owned()));
        elf[64 + 9] = 0xff;
        assert_eq!(script(&elf), None);
    }

    #[test]
    fn path_lookup() {
        let env = [c"PATH=/nowhere:/bin".to_owned()];
        assert_eq!(find_executable(c"sh", &env).unwrap(), c"/bin/sh".to_owned());
        let error = |name: &CStr| find_executable(name, &env).unwrap_err().to_string();
        assert_eq!(error(c"no-such"), "exec: \"no-such\": executable file not found in $PATH");
        assert_eq!(error(c"/etc"), "exec: \"/etc\": is a directory: permission denied");
        assert_eq!(error(c"/no/such"), "exec: \"/no/such\": stat /no/such: no such file or directory");
        assert_eq!(error(c"/dev/null"), "exec: \"/dev/null\": permission denied");
    }
}
