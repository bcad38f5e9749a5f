//! HOME, from the image's own /etc/passwd.

use crate::sys::fs::{RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2};
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// As much of a passwd file as is read: an image may bring one of any size.
const MOST: u64 = 1 << 20;

/// `env`, with HOME added where it is absent or empty. Called with the container's root as `/`.
pub fn with_home(env: &[CString], uid: u32) -> Vec<CString> {
    let mut env = env.to_vec();
    let home = |var: &CString| var.to_bytes().starts_with(b"HOME=");
    if !env.iter().any(|var| home(var) && var.to_bytes().len() > 5) {
        env.retain(|var| !home(var));
        let found = passwd().and_then(|text| lookup(&text, uid)).unwrap_or_else(|| "/".to_owned());
        env.extend(CString::new(["HOME=", &found].concat()));
    }
    env
}

/// The text of /etc/passwd, if it is a plain file: a FIFO, a device or a link into /proc could block or lie.
fn passwd() -> Option<Vec<u8>> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    let fd = openat2(nix::fcntl::AT_FDCWD, Path::new("/etc/passwd"), flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        .ok()?;
    let file = File::from(fd);
    if !file.metadata().ok()?.is_file()
        || crate::sys::fs::filesystem_magic(&file).ok()? == crate::sys::fs::PROC_SUPER_MAGIC
    {
        return None;
    }
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text).ok()?;
    Some(text)
}

/// The home directory of an id, by the first line of it that has one.
pub fn lookup(text: &[u8], uid: u32) -> Option<String> {
    let uid = uid.to_string();
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let matches = fields.nth(2)? == uid.as_bytes();
        let home = fields.nth(2)?;
        (matches && !home.is_empty() && !home.contains(&0)).then(|| String::from_utf8_lossy(home).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_of_an_id() {
        let text =
            b"root:x:0:0:root:/root:/bin/sh\nbroken\n1000:x:0:0::/evil:\nu:x:1000:1000::/home/u:/bin/sh\nn:x:7:7:::\n";
        assert_eq!(lookup(text, 0).as_deref(), Some("/root"));
        assert_eq!(lookup(text, 1000).as_deref(), Some("/home/u"));
        assert_eq!(lookup(text, 7), None);
        assert_eq!(lookup(text, 5), None);
    }

    #[test]
    fn a_home_that_is_set_stays() {
        let env = [c"HOME=/x".to_owned(), c"A=".to_owned()];
        assert_eq!(with_home(&env, 0), env);
    }
}
