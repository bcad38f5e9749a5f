//! Carrying out a plan: the cgroup is made and limited before any process of the container exists, so that the clone can
//! be born inside it. No pid is ever written to cgroup.procs, which costs an RCU grace period.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::{Uid, UnlinkatFlags, fchownat, unlinkat};

use super::cgroup::{Cgroup, Made, Record};
use super::devices::Program;
use super::remove::remove_parents;
use super::{CgroupPlan, Hierarchy, Manager, Mark, Missing, Write, controllers, files, scope};
use crate::sys::bpf;

/// What `bpftool prog` shows, and by which an update finds the program again.
pub(super) const PROGRAM_NAME: &str = "rt_devices";

/// How often parents that vanish while they are being made are made again: another container's delete removes its own.
const ATTEMPTS: usize = 16;

impl Cgroup {
    /// Makes the cgroup with all missing parents, marks them, enables controllers, writes the limits, hands it to its owner
    /// and puts the device program on it. On failure exactly what was made is removed.
    ///
    /// `None` when the plan's manager is disabled, or when the caller may not make cgroups, nothing needs one, and
    /// `tolerate_denied` (a rootless caller) allows to go without: the container then stays in the caller's cgroup.
    /// An existing cgroup must be empty and not frozen; errors have runc's words, which callers match.
    pub fn create(
        hierarchy: &Hierarchy,
        plan: &CgroupPlan,
        mark: &Mark,
        tolerate_denied: impl Fn() -> bool,
    ) -> Result<Option<Cgroup>> {
        if plan.manager == Manager::Disabled {
            return Ok(None);
        }
        if let Some(unit) = &plan.unit {
            return scope::create(hierarchy, plan, unit).map(Some);
        }
        let made = match make(hierarchy, &plan.path) {
            Ok(made) => made,
            Err(errno) if is_denied(errno) && tolerate_denied() && !needs_cgroup(plan) => {
                return Ok(None);
            }
            Err(errno) => return Err(not_made(hierarchy, plan, errno)),
        };
        let mut cgroup = match open_made(hierarchy, &plan.path, made) {
            Ok(cgroup) => cgroup,
            Err((errno, made)) => {
                undo(hierarchy, &made);
                bail!("cannot open cgroup {}: {}", hierarchy.mount.join(&plan.path).display(), errno.desc());
            }
        };
        mark.put(&cgroup);
        if let Err(error) = furnish(&mut cgroup, hierarchy, plan) {
            cgroup.detach_program();
            remove_parents(&cgroup.record.made);
            return Err(error);
        }
        Ok(Some(cgroup))
    }

    /// Which directories [`Cgroup::create`] will have to make, absolute and outermost first: kept on disk before they
    /// are made, so that a maker who is killed in between leaves nothing unknown. Those of a unit are systemd's.
    pub fn missing(hierarchy: &Hierarchy, plan: &CgroupPlan) -> Vec<PathBuf> {
        if plan.unit.is_some() {
            return Vec::new();
        }
        let absent = |path: &&Path| fstatat(&hierarchy.root, *path, AtFlags::AT_SYMLINK_NOFOLLOW) == Err(Errno::ENOENT);
        let levels = plan.path.ancestors().filter(|level| !level.as_os_str().is_empty());
        let mut missing: Vec<PathBuf> = levels.take_while(absent).map(|level| hierarchy.mount.join(level)).collect();
        missing.reverse();
        missing
    }
}

/// Makes the directory, with its parents only if need be; returns those made, outermost first.
fn make(hierarchy: &Hierarchy, path: &Path) -> Result<Vec<PathBuf>, Errno> {
    match make_directory(hierarchy, path) {
        Ok(true) => return Ok(vec![path.to_path_buf()]),
        Ok(false) => return Ok(Vec::new()),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    let mut levels: Vec<&Path> = path.ancestors().filter(|level| !level.as_os_str().is_empty()).collect();
    levels.reverse();
    let mut last = Errno::ENOENT;
    for _ in 0..ATTEMPTS {
        let mut made = Vec::new();
        let failure = levels.iter().find_map(|level| match make_directory(hierarchy, level) {
            Ok(true) => {
                made.push(level.to_path_buf());
                None
            }
            Ok(false) => None,
            Err(errno) => Some(errno),
        });
        match failure {
            None => return Ok(made),
            Some(errno) => {
                undo(hierarchy, &made);
                last = errno;
                if errno != Errno::ENOENT {
                    break;
                }
            }
        }
    }
    Err(last)
}

/// True when it was made, false when it existed.
fn make_directory(hierarchy: &Hierarchy, path: &Path) -> Result<bool, Errno> {
    match mkdirat(&hierarchy.root, path, Mode::from_bits_truncate(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EEXIST) => Ok(false),
        // Where writing is refused the kernel looks no further, also at a directory that exists.
        Err(Errno::EROFS) if fstatat(&hierarchy.root, path, AtFlags::empty()).is_ok() => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn undo(hierarchy: &Hierarchy, made: &[PathBuf]) {
    for path in made.iter().rev() {
        let _ = unlinkat(&hierarchy.root, path.as_path(), UnlinkatFlags::RemoveDir);
    }
}

pub(super) fn open_made(
    hierarchy: &Hierarchy,
    path: &Path,
    made: Vec<PathBuf>,
) -> Result<Cgroup, (Errno, Vec<PathBuf>)> {
    let open = || -> Result<(OwnedFd, u64, Vec<Made>), Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = openat(&hierarchy.root, path, flags, Mode::empty())?;
        let inode = fstat(&dir)?.st_ino;
        let identify = |level: &PathBuf| {
            let inode =
                if level == path { inode } else { fstatat(&hierarchy.root, level.as_path(), AtFlags::empty())?.st_ino };
            Ok(Made { path: hierarchy.mount.join(level), inode })
        };
        let made = made.iter().map(identify).collect::<Result<_, Errno>>()?;
        Ok((dir, inode, made))
    };
    match open() {
        Ok((dir, inode, made)) => {
            Ok(Cgroup { dir, record: Record::new(hierarchy.mount.join(path), inode, made), opening: None })
        }
        Err(errno) => Err((errno, made)),
    }
}

pub(super) fn furnish(cgroup: &mut Cgroup, hierarchy: &Hierarchy, plan: &CgroupPlan) -> Result<()> {
    if !cgroup.record.is_made() {
        let processes = cgroup.procs()?.len();
        ensure!(processes == 0, "container's cgroup is not empty: {processes} process(es) found");
        ensure!(!cgroup.frozen()?, "container's cgroup unexpectedly frozen");
        if let Some(above) = cgroup.frozen_above() {
            bail!("container's cgroup unexpectedly frozen: cgroup {} above it is", above.display());
        }
    }
    let path = cgroup.path().strip_prefix(&hierarchy.mount).unwrap_or(&plan.path);
    controllers::enable(hierarchy, path, &cgroup.dir, &plan.controllers)?;
    apply(cgroup, &plan.writes)?;
    cgroup.record.limited = plan.writes.iter().any(limits_memory);
    if let Some(owner) = plan.owner {
        hand_over(cgroup, owner)?;
    }
    if let Some(program) = &plan.devices {
        let program = attach(cgroup, program, None)?;
        // On a cgroup that stays when the container goes, the program must be found again.
        if !cgroup.record.is_made() {
            cgroup.record.program =
                Some(bpf::program_id(program.as_fd()).context("cannot identify the device program")?);
        }
    }
    Ok(())
}

/// Whether the OOM killer may come because of it.
pub(super) fn limits_memory(write: &Write) -> bool {
    write.file == "memory.max" && write.value != "max"
}

/// Writes in order; what may be tried again comes once more at the end.
fn apply(cgroup: &Cgroup, writes: &[Write]) -> Result<()> {
    let mut again = Vec::new();
    for write in writes {
        match put(cgroup, write) {
            Err(Errno::EINVAL) if write.retry => again.push(write),
            result => result.map_err(|errno| not_written(cgroup, write, errno))?,
        }
    }
    for write in again {
        put(cgroup, write).map_err(|errno| not_written(cgroup, write, errno))?;
    }
    Ok(())
}

fn put(cgroup: &Cgroup, write: &Write) -> Result<(), Errno> {
    match (files::write_at(&cgroup.dir, Path::new(&write.file), &write.value), &write.missing) {
        (Err(Errno::ENOENT | Errno::EOPNOTSUPP), Missing::Ignore) => Ok(()),
        // BFQ's file can be there and still refuse (EOPNOTSUPP) while no disk uses it.
        (Err(Errno::ENOENT | Errno::EOPNOTSUPP), Missing::Instead { file, value }) => {
            files::write_at(&cgroup.dir, Path::new(file), value)
        }
        (result, _) => result,
    }
}

pub(super) fn not_written(cgroup: &Cgroup, write: &Write, errno: Errno) -> anyhow::Error {
    let Write { file, value, field, .. } = write;
    let meaning = match errno {
        Errno::ENOENT => "this kernel or hierarchy has no such file",
        Errno::EINVAL => "the kernel takes no such value",
        Errno::ERANGE => "the value is out of the kernel's range",
        Errno::ENODEV => "there is no such device",
        Errno::ENOSPC => "a cgroup above has less to give",
        Errno::EBUSY => "it is in use",
        Errno::EACCES | Errno::EPERM => "the caller may not change it: have the cgroup delegated",
        Errno::EOPNOTSUPP => "the kernel does not support it here",
        _ => "the write failed",
    };
    anyhow::anyhow!("{field}: cannot write {value:?} to {}: {meaning} ({errno:?})", cgroup.path().join(file).display())
}

/// Hands the directory and the files that the kernel lists as delegatable to `owner`, a host uid (config-linux.md,
/// "Cgroup Ownership"). The group stays.
fn hand_over(cgroup: &Cgroup, owner: u32) -> Result<()> {
    let listed = std::fs::read_to_string("/sys/kernel/cgroup/delegate");
    let files = listed.as_deref().unwrap_or("cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n");
    let owner = Some(Uid::from_raw(owner));
    let failed = |name: &str| format!("cannot hand cgroup {} to its owner: {name}", cgroup.path().display());
    fchownat(&cgroup.dir, c"", owner, None, AtFlags::AT_EMPTY_PATH).with_context(|| failed("its directory"))?;
    for name in files.lines() {
        match fchownat(&cgroup.dir, name, owner, None, AtFlags::AT_SYMLINK_NOFOLLOW) {
            // The list is the kernel's; this cgroup has only its controllers' part of it.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno).with_context(|| failed(name)),
        }
    }
    Ok(())
}

impl Program {
    /// Loads the program. Errors say what privilege lacks.
    pub(super) fn load(&self) -> Result<OwnedFd> {
        // Device programs call no helper that asks for a licence; the project's own is the honest answer.
        bpf::load_device_program(&self.insns, c"Apache-2.0", PROGRAM_NAME).map_err(|errno| match errno {
            Errno::EPERM => anyhow::anyhow!(
                "linux.resources.devices: cannot load the device program: {}: it takes CAP_BPF or CAP_SYS_ADMIN in the \
                 initial user namespace",
                errno.desc()
            ),
            errno => anyhow::anyhow!("linux.resources.devices: cannot load the device program: {}", errno.desc()),
        })
    }
}

/// Puts the program on the cgroup, in the place of `old` if there is one.
pub(super) fn attach(cgroup: &Cgroup, program: &Program, old: Option<BorrowedFd>) -> Result<OwnedFd> {
    let program = program.load()?;
    bpf::attach_device_program(cgroup.fd(), program.as_fd(), old).map_err(|errno| {
        let meaning = match errno {
            Errno::EPERM => "a cgroup above it holds a device program that allows no other",
            Errno::E2BIG => "it holds as many device programs as the kernel takes",
            _ => "the kernel refused",
        };
        anyhow::anyhow!(
            "linux.resources.devices: cannot attach the device program to cgroup {}: {meaning} ({errno:?})",
            cgroup.path().display()
        )
    })?;
    Ok(program)
}

fn is_denied(errno: Errno) -> bool {
    matches!(errno, Errno::EACCES | Errno::EPERM | Errno::EROFS)
}

/// Without a cgroup these would silently be no limits.
fn needs_cgroup(plan: &CgroupPlan) -> bool {
    plan.devices.is_some() || plan.writes.iter().any(|write| write.missing != Missing::Ignore)
}

fn not_made(hierarchy: &Hierarchy, plan: &CgroupPlan, errno: Errno) -> anyhow::Error {
    let field = plan.writes.first().map_or("linux.cgroupsPath", |write| &write.field);
    let meaning = match errno {
        Errno::EROFS => "the cgroup mount is read-only: mount it writable or use --cgroup-manager disabled",
        Errno::EACCES | Errno::EPERM => {
            "no cgroup is delegated to the caller: run it within systemd-run --user --scope -p Delegate=yes (and see \
             Delegate= in user@.service.d/delegate.conf for the controllers), or remove the limits"
        }
        Errno::EAGAIN => "cgroup.max.descendants or cgroup.max.depth of a cgroup above it is reached",
        Errno::ENOSPC | Errno::ENOMEM => "the kernel has no room for another cgroup (see /proc/cgroups for dying ones)",
        Errno::ENAMETOOLONG => "a name in it is longer than 255 bytes",
        _ => "the kernel refused",
    };
    let path = hierarchy.mount.join(&plan.path);
    anyhow::anyhow!("{field}: cannot make cgroup {}: {meaning} ({errno:?})", path.display())
}
