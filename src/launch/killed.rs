//! A process that the OOM killer takes has no last words: its end of a connection closes as it does at execve.

use crate::cgroups::{Oom, Record};
use crate::fault::Fault;
use crate::proc::has_executed;
use std::os::fd::BorrowedFd;

/// After the connection with `pid` has ended: what to say if that was the OOM killer's doing, before the program ran. Asked
/// only where the cgroup has a limit of its own, and so costs other containers nothing; of a cgroup above `state` tells.
pub fn before_execve(cgroup: Option<&Record>, proc: BorrowedFd, pid: i32) -> Option<Fault> {
    let oom = cgroup.filter(|cgroup| cgroup.limited)?.oom()?;
    (has_executed(proc, pid) == Some(false)).then(|| fault(&oom, "before it ran the program"))
}

#[cold]
pub fn fault(oom: &Oom, when: &str) -> Fault {
    let what = format!("init was killed by the OOM killer, {oom}, {when}");
    Fault::new("init", what).hint("raise linux.resources.memory.limit")
}
