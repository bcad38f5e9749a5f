//! Joining namespaces that exist.

use super::{Join, KINDS, Kind, NamespacePlan, USER};
use crate::fault::{Fault, words};
use crate::sys::mount::namespace_kind;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{fstat, fstatat, stat};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const STAGE: &str = "namespaces";

/// A namespace to join, opened and known to be of its kind.
pub struct Joined {
    pub kind: &'static Kind,
    pub field: String,
    fd: OwnedFd,
}

impl AsFd for Joined {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens the namespaces to join and checks that each is what it is said to be. Our own user namespace is left out:
/// setns(2) refuses to join it again.
pub fn open_joins(joins: &[Join]) -> Result<Vec<Joined>, Fault> {
    let opened = joins.iter().map(open_one).collect::<Result<Vec<_>, _>>()?;
    Ok(opened.into_iter().flatten().collect())
}

fn open_one(join: &Join) -> Result<Option<Joined>, Fault> {
    let at = join.path.display();
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
    let fd = crate::sys::fs::open(&join.path, flags).map_err(|errno| {
        let what = format!("{}: cannot open {at}: {}", join.field, words(errno));
        Fault::new(STAGE, what).errno(errno).path(&at)
    })?;
    let wrong = |what: String| Fault::new(STAGE, format!("{}: {at} {what}", join.field)).path(&at);
    match namespace_kind(fd.as_fd()) {
        Ok(kind) if kind == join.kind.flag => {}
        Ok(kind) => {
            let is = super::KINDS.iter().find(|other| other.flag == kind).map_or("other", |kind| kind.name);
            return Err(wrong(format!("is a namespace of type {is}, not {}", join.kind.name)));
        }
        Err(_) => return Err(wrong("is not a namespace".to_owned())),
    }
    if join.kind.flag == USER && same_as_ours(&fd, join.kind) {
        return Ok(None);
    }
    Ok(Some(Joined { kind: join.kind, field: join.field.clone(), fd }))
}

fn same_as_ours(fd: &OwnedFd, kind: &Kind) -> bool {
    let own = stat(format!("/proc/self/ns/{}", kind.file).as_str());
    matches!((own, fstat(fd)), (Ok(own), Ok(other)) if (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
}

/// Whether the namespace of kind `flag` that the plan joins is our own; `joins` is what [`open_joins`] made of the plan.
pub fn is_ours(plan: &NamespacePlan, joins: &[Joined], flag: u64) -> bool {
    let joined = joins.iter().find(|join| join.kind.flag == flag);
    plan.joins(flag) && joined.is_none_or(|join| same_as_ours(&join.fd, join.kind))
}

/// The kinds of namespaces that the process `pid` of a container with this plan does not share with us. To join one's
/// own user namespace is an error (setns(2)). `proc` is the host's /proc.
pub fn foreign(plan: &NamespacePlan, pid: i32, proc: BorrowedFd) -> u64 {
    let inode = |name: &str| fstatat(proc, name, AtFlags::empty()).map(|stat| (stat.st_dev, stat.st_ino));
    let differs = |kind: &&Kind| kind.flag != USER || inode(&format!("{pid}/ns/user")) != inode("self/ns/user");
    let listed = KINDS.iter().filter(|kind| plan.has(kind.flag));
    listed.filter(differs).fold(0, |all, kind| all | kind.flag)
}

/// Joins all of `joins`.
///
/// Namespaces may belong to the user namespace that is joined with them, or to the host's: what is refused before the
/// user namespace is joined is tried again after.
pub fn join(joins: &[Joined]) -> Result<(), Fault> {
    let enter = |join: &Joined| setns(&join.fd, CloneFlags::from_bits_retain(join.kind.flag as i32));
    let fault = |join: &Joined, errno: Errno| {
        let what = format!("{}: cannot be joined: {}", join.field, words(errno));
        Fault::new(STAGE, what).errno(errno).path(join.kind.name)
    };
    let user = joins.iter().find(|join| join.kind.flag == USER);
    let mut refused = Vec::new();
    for join in joins.iter().filter(|join| join.kind.flag != USER) {
        match enter(join) {
            Ok(()) => {}
            Err(Errno::EPERM) if user.is_some() => refused.push(join),
            Err(errno) => return Err(fault(join, errno)),
        }
    }
    for join in user.into_iter().chain(refused) {
        enter(join).map_err(|errno| fault(join, errno))?;
    }
    Ok(())
}
