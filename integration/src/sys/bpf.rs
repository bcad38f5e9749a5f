//! bpf(2), as far as the kernel's list of programs needs it.

use super::check;
use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const NEXT_ID: libc::c_int = 11;
const FD_BY_ID: libc::c_int = 13;
const INFO_BY_FD: libc::c_int = 15;
const CGROUP_DEVICE: u32 = 15;

/// A command, with the first words of its attributes; they are written to where the command answers there.
fn bpf(command: libc::c_int, words: &mut [u32; 4]) -> std::io::Result<libc::c_int> {
    // SAFETY: the kernel reads and writes as much as it is told there is; pointers in it are the caller's affair.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, words.as_mut_ptr(), size_of_val(words)) } as libc::c_int)
}

/// The ids of all programs that decide over devices. Nothing, for who may not ask.
pub fn device_programs() -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut id = 0;
    loop {
        let mut words = [id, 0, 0, 0];
        if bpf(NEXT_ID, &mut words).is_err() {
            return found;
        }
        id = words[1];
        if kind(id) == Some(CGROUP_DEVICE) {
            found.insert(id);
        }
    }
}

fn kind(id: u32) -> Option<u32> {
    let raw = bpf(FD_BY_ID, &mut [id, 0, 0, 0]).ok()?;
    // SAFETY: a new descriptor that nobody else owns.
    let program = unsafe { OwnedFd::from_raw_fd(raw) };
    let mut info = [0_u32; 8];
    let at = (&raw mut info).expose_provenance() as u64;
    let mut words = [program.as_raw_fd() as u32, size_of_val(&info) as u32, at as u32, (at >> 32) as u32];
    bpf(INFO_BY_FD, &mut words).ok()?;
    Some(info[0])
}
