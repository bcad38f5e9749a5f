//! The caller's descriptors that go to the container's process: from 3 on, first those of socket activation
//! (sd_listen_fds(3)), then `--preserve-fds`.

use crate::confine::ProcessPlan;
use anyhow::{Result, bail};
use std::ffi::CString;

/// How many there are.
#[derive(Clone, Copy)]
pub struct Preserved {
    pub count: u32,
    sockets: u32,
}

impl Preserved {
    /// What the flag and the environment announce; each must be there.
    pub fn find(flag: u32) -> Result<Preserved> {
        let sockets = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
        let preserved = Preserved::flag(flag.saturating_add(sockets))?;
        Ok(Preserved { sockets, ..preserved })
    }

    /// What the flag alone announces: activated sockets are for the container's own process.
    pub fn flag(count: u32) -> Result<Preserved> {
        for k in 1..=count {
            if !is_callers(k.saturating_add(2)) {
                bail!("unable to stat preserved-fd {k} (of {count})");
            }
        }
        Ok(Preserved { count, sockets: 0 })
    }

    /// Tells the process about its sockets; in a pid namespace of its own it is process 1, as runc has it.
    pub fn announce(self, process: &mut ProcessPlan) {
        if self.sockets == 0 {
            return;
        }
        let is_old =
            |var: &CString| [b"LISTEN_FDS=", b"LISTEN_PID="].iter().any(|name| var.to_bytes().starts_with(*name));
        process.env.retain(|var| !is_old(var));
        process.env.extend(CString::new(format!("LISTEN_FDS={}", self.sockets)));
        process.env.push(c"LISTEN_PID=1".to_owned());
    }
}

/// Whether the caller left this descriptor open for us. All that we open ourselves is closed at an exec.
fn is_callers(number: u32) -> bool {
    let Ok(raw) = i32::try_from(number) else { return false };
    let flags = crate::sys::fs::descriptor_flags(raw);
    flags.is_ok_and(|flags| flags & libc::FD_CLOEXEC == 0)
}
