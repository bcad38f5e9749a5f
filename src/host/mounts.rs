//! The mount table of this process. It grows with the host, so the common path never asks for it.

use crate::fault::Fault;
use procfs::process::{MountInfo, Process};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Every mount in our namespace, in the kernel's order, its mount point as a path and not as mountinfo writes it.
pub fn mount_table() -> Result<Vec<MountInfo>, Fault> {
    let mounts = Process::myself().and_then(|own| own.mountinfo());
    let mounts = mounts.map_err(|error| Fault::new("proc", format!("cannot read /proc/self/mountinfo: {error}")))?;
    let plain = |mount: MountInfo| MountInfo { mount_point: unescaped(&mount.mount_point), ..mount };
    Ok(mounts.into_iter().map(plain).collect())
}

/// A path as mountinfo writes it: blank, tab, newline and backslash are `\\` and three octal digits (proc_pid_mountinfo(5)).
fn unescaped(path: &Path) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = path.as_os_str().as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => (bytes.push(byte), rest = &after[3..]),
            None => (bytes.push(first), rest = after),
        };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mountinfo() {
        for (escaped, plain) in
            [("/a\\040b", "/a b"), ("/a\\134040", "/a\\040"), ("/plain", "/plain"), ("/end\\04", "/end\\04")]
        {
            assert_eq!(unescaped(Path::new(escaped)), Path::new(plain));
        }
    }
}
