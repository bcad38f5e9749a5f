//! Files that an image brings: its passwd, and a program that cannot be executed.

use crate::confine::{home, why_not};
use nix::errno::Errno;
use std::str::from_utf8;

/// The first two bytes are an id to look for; the rest is the file.
pub fn image(data: &[u8]) {
    let Some((id, file)) = data.split_first_chunk::<2>() else { return };
    passwd(file, u32::from(u16::from_le_bytes(*id)));
    // The id of a line that is there, too.
    if let Some(id) = file.split(|byte| *byte == b':').filter_map(|field| from_utf8(field).ok()?.parse().ok()).next() {
        passwd(file, id);
    }
    program(file);
}

fn passwd(file: &[u8], uid: u32) {
    let found = home::lookup(file, uid);
    assert_eq!(found, naive(file, uid), "the home of {uid}");
    if let Some(found) = found {
        assert!(!found.is_empty() && !found.contains(['\0', ':', '\n']), "{found:?}");
    }
}

/// passwd(5), one field after the other: the home of the first line with this id, and a home.
fn naive(file: &[u8], uid: u32) -> Option<String> {
    for line in file.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        if fields.len() < 6 || fields[2] != uid.to_string().as_bytes() {
            continue;
        }
        if fields[5].is_empty() || fields[5].contains(&0) {
            continue;
        }
        return Some(String::from_utf8_lossy(fields[5]).into_owned());
    }
    None
}

fn program(file: &[u8]) {
    for errno in [Errno::ENOENT, Errno::ENOEXEC, Errno::EACCES, Errno::EIO] {
        if let Some(why) = why_not(file, errno) {
            assert!(!why.is_empty() && !why.contains(char::is_control), "{why:?}");
        }
    }
}
