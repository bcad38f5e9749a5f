//! createContainer hooks: in the container's namespaces, while the host's root is still `/`, and outside of the
//! container's cgroup, so they are the parent's children and not init's.

use crate::deadline::Deadline;
use crate::fault::{During, Fault};
use crate::namespaces;
use crate::plan::Plan;
use crate::state::{Record, Status};
use crate::sys::clone::{Child, Cloned, Ended, clone3, wait};
use crate::sys::exec::exit_now;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// Runs the createContainer hooks of a container whose init waits with its mounts made.
pub fn run(plan: &Plan, record: &Record, init: &Child, proc: BorrowedFd, deadline: Deadline) -> Result<(), Fault> {
    let hooks = &plan.hooks.create_container;
    if hooks.is_empty() {
        return Ok(());
    }
    let what = || "cannot run createContainer hooks".to_owned();
    let state = record.for_hooks(Status::Creating, pid_inside(init, proc));
    let kinds = namespaces::foreign(&plan.namespaces, init.pid.as_raw(), proc);
    let (from, to) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).during("hooks", what)?;
    let left = deadline.left();
    let helper = match clone3(0, None).during("hooks", what)? {
        Cloned::Parent(helper) => helper,
        Cloned::Child => {
            // With the host's root still open to us, nothing inside may look into us.
            let _ = crate::sys::process::set_dumpable(false);
            let joined = setns(init.pidfd.as_fd(), CloneFlags::from_bits_retain(kinds as i32)).during("hooks", what);
            let rootfs = Some(plan.root.path.as_path());
            let joined = match plan.namespaces.has(namespaces::USER) {
                true => joined.and_then(|()| super::init::become_root(false)),
                false => joined,
            };
            let result = joined.and_then(|()| {
                let deadline = deadline.on_another_clock(left);
                crate::hooks::run(hooks, "createContainer", &state, rootfs, &|| Ok(()), deadline)
            });
            if let Err(fault) = result {
                let _ = File::from(to).write_all(&fault.to_send());
            }
            exit_now(0)
        }
    };
    drop(to);
    let mut told = Vec::new();
    File::from(from).read_to_end(&mut told).during("hooks", what)?;
    let ended = wait(helper.pidfd.as_fd()).during("hooks", what)?;
    match (told.is_empty(), ended) {
        (true, Ended::Exited(0)) => Ok(()),
        (true, _) => Err(Fault::new("hooks", format!("{}: their helper was killed", what()))),
        (false, _) => Err(Fault::received(&told)),
    }
}

/// Init's pid as its own pid namespace counts it: the last of `NSpid` (proc_pid_status(5)).
fn pid_inside(init: &Child, proc: BorrowedFd) -> i32 {
    let status = crate::proc::read(proc, &format!("{}/status", init.pid)).unwrap_or_default();
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    pids.and_then(|pids| pids.split_whitespace().last()?.parse().ok()).unwrap_or(init.pid.as_raw())
}
