//! The process between, where something must be entered before init can be cloned.
//!
//! A joined pid, time or user namespace, and clock offsets, hold for the children of whoever enters them. The parent
//! never does that itself: its hooks and helpers would run in the container's namespaces. So a joiner does, and
//! clones init as its own sibling (CLONE_PARENT), which makes it the parent's child.

use super::channel::{Channel, Down, Up};
use crate::fault::{During, Fault, words};
use crate::host::Host;
use crate::namespaces::{self, Joined, NamespacePlan};
use crate::sys::clone::{Cloned, clone3};
use crate::sys::process::set_dumpable;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

const STAGE: &str = "namespaces";

/// The clone flags that are the parent's part, and those that are left for init's own clone.
pub struct Split {
    /// Whether a joiner is needed at all.
    pub needed: bool,
    /// What the joiner is cloned with: a new user namespace, where clock offsets must be set inside one.
    pub joiner: u64,
    /// What init is cloned with.
    pub init: u64,
}

/// Decides who enters what. A cgroup namespace is left to init, which is in its cgroup by then.
pub fn split(plan: &NamespacePlan, joins: &[Joined]) -> Split {
    let offsets = !plan.offsets.is_empty();
    let early = namespaces::USER | namespaces::PID | namespaces::TIME;
    let joins_early = joins.iter().any(|join| join.kind.flag & early != 0);
    let new_user = plan.makes(namespaces::USER);
    let joiner = if offsets && new_user { namespaces::USER } else { 0 };
    let mut init = plan.new & !namespaces::CGROUP & !joiner;
    if offsets {
        init &= !namespaces::TIME;
    }
    Split { needed: joins_early || offsets || new_user && !joins.is_empty(), joiner, init }
}

/// The joiner's whole life up to its clone. Returns in init only; the joiner itself reports and is done.
pub fn run(
    channel: &Channel,
    plan: &NamespacePlan,
    joins: &[Joined],
    split: &Split,
    host: &Host,
) -> Result<Option<()>, Fault> {
    namespaces::join(joins)?;
    if split.joiner & namespaces::USER != 0 {
        channel.report(&Up::NeedMaps).during(STAGE, || "cannot ask for the id maps".to_owned())?;
        if !channel.wait_for(Down::Mapped) {
            return Err(Fault::new(STAGE, "the parent is gone"));
        }
    }
    if !plan.offsets.is_empty() {
        unshare(CloneFlags::from_bits_retain(namespaces::TIME as i32))
            .during(STAGE, || "cannot make a time namespace".to_owned())?;
        crate::proc::write(host.proc(), "self/timens_offsets", plan.offsets.as_bytes()).map_err(offsets_fault)?;
    }
    if host.privileged {
        // Init is seen in a joined pid namespace from its clone on, with the host's root still open to it.
        set_dumpable(false).during(STAGE, || "cannot become undumpable".to_owned())?;
    }
    // Born in the joiner's cgroup, which is the container's.
    match clone3(split.init | libc::CLONE_PARENT as u64, None)
        .map_err(|errno| super::birth::clone_fault(errno, split.init, None))?
    {
        Cloned::Child => Ok(Some(())),
        Cloned::Parent(init) => {
            channel.report(&Up::Init(init)).during(STAGE, || "cannot hand over init".to_owned())?;
            Ok(None)
        }
    }
}

fn offsets_fault(errno: Errno) -> Fault {
    let fault = Fault::new(STAGE, format!("linux.timeOffsets: cannot be set: {}", words(errno))).errno(errno);
    match errno {
        // time_namespaces(7): below zero, or above half of what a clock can count.
        Errno::ERANGE => fault.hint("a clock of the container would be negative, or run for more than 146 years"),
        Errno::EPERM | Errno::EACCES => {
            fault.hint("this takes CAP_SYS_TIME in the user namespace of the time namespace")
        }
        _ => fault,
    }
}
