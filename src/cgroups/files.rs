//! Reading and writing a cgroup's control files through its directory's descriptor.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd;

/// Opens the control file `name` below `dir`. A cgroup file system has no symbolic links, so a clean relative path
/// cannot lead out of it.
pub fn open_at(dir: impl AsFd, name: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    openat(dir, name, flags | OFlag::O_CLOEXEC, Mode::empty())
}

/// The whole text of a control file.
pub fn read_at(dir: impl AsFd, name: &Path) -> Result<String, Errno> {
    read(open_at(dir, name, OFlag::O_RDONLY)?)
}

/// The text of an open control file from its beginning. A read that fills less than the buffer is the last one: one
/// system call for the usual short file.
pub fn read(file: impl AsFd) -> Result<String, Errno> {
    let mut text = Vec::new();
    let mut chunk = [0u8; 4096];
    loop {
        let got = nix::sys::uio::pread(&file, &mut chunk, text.len() as i64)?;
        text.extend_from_slice(&chunk[..got]);
        // seq_file hands out whole records, so a long list may come in short pieces: only a small text may stop early.
        if got == 0 || text.len() < 2048 {
            // Not copied: who watches a file for days must not allocate (sys::alloc).
            return Ok(
                String::from_utf8(text).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
            );
        }
    }
}

/// Writes `value` to a control file in one write(2): the kernel takes each write as one command.
pub fn write_at(dir: impl AsFd, name: &Path, value: &str) -> Result<(), Errno> {
    let file = open_at(dir, name, OFlag::O_WRONLY)?;
    unistd::write(&file, value.as_bytes()).map(drop)
}

/// The value of `key` in a file of `key value` lines such as `cgroup.events`.
pub fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::keyed;

    #[test]
    fn keyed_matches_whole_keys() {
        let text = "oom 1\noom_kill 3\noom_group_kill 0\n";
        assert_eq!(keyed(text, "oom"), Some(1));
        assert_eq!(keyed(text, "oom_kill"), Some(3));
        assert_eq!(keyed(text, "oom_"), None);
        assert_eq!(keyed(text, "max"), None);
    }
}
