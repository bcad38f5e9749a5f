//! Finding, locking, reading and writing container directories.

use super::{Record, Status};
use crate::cgroups::{Mark, Record as Cgroup};
use crate::fault::{During, Fault, words};
use crate::launch::rendezvous;
use anyhow::{Context, Result, anyhow, bail};
use nix::NixPath;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

const STAGE: &str = "state";
const RECORD: &str = "state.json";
/// What is about to take its place.
const NEW: &str = "state.json.new";
const CONFIG: &str = "config.json";
const NEW_CONFIG: &str = "config.json.new";
/// A directory that the container sees, for the socket at which its program says that it is ready.
pub const NOTIFY: &str = "notify";
pub const NOTIFY_SOCKET: &str = "notify/notify.sock";

/// How long a command waits for another one that changes the same container, in seconds.
const LOCK_WAIT: u32 = 10;

/// The directory of all containers (`--root`).
pub struct Root {
    pub path: PathBuf,
}

impl Root {
    /// Makes the directory if it is missing.
    pub fn make(&self) -> Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let open = || crate::sys::fs::open(&self.path, flags);
        let at = || self.place();
        match open() {
            Err(Errno::ENOENT) => {
                use std::os::unix::fs::DirBuilderExt;
                let made = std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&self.path).during(STAGE, at);
                made.map_err(|fault| match fault.is(Errno::EACCES) {
                    true => {
                        fault.hint("an ordinary user sets XDG_RUNTIME_DIR, or names a directory of his own with --root")
                    }
                    false => fault,
                })?;
                Ok(open().during(STAGE, at)?)
            }
            result => Ok(result.during(STAGE, at)?),
        }
    }

    /// The ids of all containers, sorted.
    pub fn ids(&self) -> Result<Vec<String>, Fault> {
        self.read_ids().during(STAGE, || self.place())
    }

    fn place(&self) -> String {
        format!("--root {}", self.path.display())
    }

    fn read_ids(&self) -> nix::Result<Vec<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut ids = Vec::new();
        for entry in Dir::open(&self.path, flags, Mode::empty())?.iter() {
            let entry = entry?;
            let Ok(id) = entry.file_name().to_str() else { continue };
            let is_directory = match entry.file_type() {
                Some(kind) => kind == Type::Directory,
                // Not every filesystem says it here.
                None => self.path.join(id).symlink_metadata().is_ok_and(|found| found.is_dir()),
            };
            if is_directory && id != "." && id != ".." {
                ids.push(id.to_owned());
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// The directory of a new container, locked. Left-overs of a maker that died before its first record are taken
    /// over.
    pub fn create(&self, id: &str) -> Result<Directory> {
        let root = self.make()?;
        loop {
            let existed = match mkdirat(&root, id, Mode::from_bits_truncate(0o711)) {
                Ok(()) => false,
                Err(Errno::EEXIST) => true,
                Err(errno) => {
                    return Err(errno).during(STAGE, || format!("cannot make {}/{id}", self.path.display()))?;
                }
            };
            let Some(dir) = self.open_in(root.as_fd(), id)? else {
                if self.path.join(id).symlink_metadata().is_ok_and(|found| !found.is_dir()) {
                    bail!(
                        "container with given ID already exists: {id} ({} is no directory)",
                        self.path.join(id).display()
                    );
                }
                continue;
            };
            // Its creator may hold the lock for as long as a hook takes: an id that is taken needs no waiting.
            if !(existed && dir.exists(RECORD)) {
                dir.lock()?;
                // Whoever held it may have been removing it.
                if dir.is_removed() {
                    continue;
                }
            }
            if dir.exists(RECORD) {
                bail!("container with given ID already exists: {id}");
            }
            return Ok(dir);
        }
    }

    /// The directory of a container that must exist.
    pub fn open(&self, id: &str) -> Result<Directory> {
        self.find(id)?.with_context(|| format!("container does not exist: {id}"))
    }

    /// A container's record and status for who looks at many: in a third less system calls than by its directory, and
    /// without looking for an init that is seen to wait at its rendezvous. Nothing of one that is being made or removed.
    pub fn glance(&self, id: &str, proc: BorrowedFd) -> Result<Option<(Record, Status)>> {
        let dir = self.path.join(id);
        let text = read_file(AT_FDCWD, &dir.join(RECORD)).ok();
        let record: Record = match text.and_then(|text| Record::parse(&text).ok()) {
            Some(record) => record,
            None => {
                let Some(dir) = self.find(id)? else { return Ok(None) };
                match dir.read()? {
                    Some(record) => record,
                    None if dir.has_just_changed() => return Ok(None),
                    None => return Err(dir.without_record()),
                }
            }
        };
        let status = match &record.init {
            Some(_) if rendezvous::is_waiting_below(&dir) => living(&record, Cgroup::is_frozen, true),
            Some(init) if init.alive(proc)?.is_some() => living(&record, Cgroup::is_frozen, false),
            _ => dead(&record, proc)?,
        };
        Ok(Some((record, status)))
    }

    /// The directory of a container, if there is one.
    pub fn find(&self, id: &str) -> Result<Option<Directory>> {
        crate::spec::ids::check(id)?;
        Ok(self.opened(id, crate::sys::fs::open(&self.path.join(id), Directory::OPEN))?)
    }

    fn open_in(&self, root: BorrowedFd, id: &str) -> Result<Option<Directory>, Fault> {
        self.opened(id, openat(root, id, Directory::OPEN, Mode::empty()))
    }

    fn opened(&self, id: &str, result: nix::Result<OwnedFd>) -> Result<Option<Directory>, Fault> {
        match result {
            Ok(fd) => Ok(Some(Directory { fd, path: self.path.join(id), id: id.to_owned() })),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(errno) => {
                let what = format!("cannot open {}/{id}: {}", self.path.display(), words(errno));
                let fault = Fault::new(STAGE, what).errno(errno);
                let owner = std::fs::metadata(self.path.join(id)).map(|dir| std::os::unix::fs::MetadataExt::uid(&dir));
                Err(match (errno, owner) {
                    (Errno::EACCES, Ok(owner)) => fault.hint(format!("the container belongs to user {owner}")),
                    _ => fault,
                })
            }
        }
    }
}

/// One container's directory.
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    pub id: String,
}

impl Directory {
    const OPEN: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

    /// Locks it against other commands; the lock ends with the fd.
    pub fn lock(&self) -> Result<()> {
        match crate::sys::fs::lock(&self.fd, LOCK_WAIT)
            .during(STAGE, || format!("cannot lock {}", self.path.display()))?
        {
            true => Ok(()),
            false => bail!("container {} is held by another rt command for more than {LOCK_WAIT} s", self.id),
        }
    }

    /// Locks it unless another command has; returns whether it did.
    pub fn try_lock(&self) -> Result<bool, Fault> {
        crate::sys::fs::try_lock(&self.fd).during(STAGE, || format!("cannot lock {}", self.path.display()))
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// What goes onto the container's cgroup.
    pub fn mark(&self) -> Result<Mark, Fault> {
        Mark::new(self.fd(), &self.path).during(STAGE, || format!("cannot examine {}", self.path.display()))
    }

    /// Whether somebody has removed it since it was opened.
    pub fn is_removed(&self) -> bool {
        nix::sys::stat::fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Whether it was changed so short a time ago that somebody may be making or removing it now.
    fn has_just_changed(&self) -> bool {
        let changed = nix::sys::stat::fstat(&self.fd).map_or(0, |stat| stat.st_mtime);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        now.saturating_sub(changed.cast_unsigned()) < LOCK_WAIT.into()
    }

    pub fn exists(&self, name: &str) -> bool {
        nix::sys::stat::fstatat(&self.fd, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    /// Writes the record: to a new file first, which then takes the old one's name.
    pub fn write(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec(record)?;
        self.write_file(NEW, &text)?;
        renameat(&self.fd, NEW, &self.fd, RECORD).during(STAGE, || format!("cannot write {}", self.path.display()))?;
        Ok(())
    }

    /// Keeps the configuration as it was accepted.
    pub fn write_config(&self, text: &str) -> Result<()> {
        Ok(self.write_file(CONFIG, text.as_bytes())?)
    }

    /// Writes another configuration beside the one that is kept, where there may be no room for it.
    pub fn stage_config(&self, text: &str) -> Result<()> {
        Ok(self.write_file(NEW_CONFIG, text.as_bytes()).inspect_err(|_| self.drop_staged())?)
    }

    /// What was staged takes the place of the configuration.
    pub fn replace_config(&self) -> Result<()> {
        renameat(&self.fd, NEW_CONFIG, &self.fd, CONFIG)
            .during(STAGE, || format!("cannot write {}", self.path.display()))?;
        Ok(())
    }

    /// What was staged is not wanted any more.
    pub fn drop_staged(&self) {
        let _ = unlinkat(&self.fd, NEW_CONFIG, UnlinkatFlags::NoRemoveDir);
    }

    fn write_file(&self, name: &str, data: &[u8]) -> Result<(), Fault> {
        let what = || format!("cannot write {}/{name}", self.path.display());
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.fd, name, flags, Mode::from_bits_truncate(0o600)).during(STAGE, what)?;
        File::from(file).write_all(data).during(STAGE, what)
    }

    /// Reads the record; `None` where the container's maker died before it wrote one.
    pub fn read(&self) -> Result<Option<Record>> {
        match read_file(self.fd(), RECORD) {
            Ok(text) => Ok(Some(Record::parse(&text).with_context(|| {
                let file = self.path.join(RECORD);
                format!("container {}: {} cannot be read (`delete --force` removes it)", self.id, file.display())
            })?)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno).during(STAGE, || format!("cannot read {}", self.path.join(RECORD).display()))?,
        }
    }

    /// What can be understood of a record that [`Directory::read`] refuses.
    pub fn salvaged(&self) -> Result<Record, Fault> {
        let text = read_file(self.fd(), RECORD);
        let text = text.during(STAGE, || format!("cannot read {}", self.path.join(RECORD).display()))?;
        Ok(Record::salvaged(&self.id, &text))
    }

    /// Reads the record of a container that must exist.
    pub fn record(&self) -> Result<Record> {
        self.read()?.ok_or_else(|| self.without_record())
    }

    fn without_record(&self) -> anyhow::Error {
        let id = &self.id;
        match self.is_removed() {
            true => anyhow!("container does not exist: {id}"),
            false => {
                anyhow!("container does not exist: {id} (an unfinished creation; `delete` removes what is left)")
            }
        }
    }

    /// Reads the configuration that was kept at create.
    pub fn config(&self) -> Result<String> {
        Ok(read_file(self.fd(), CONFIG)
            .during(STAGE, || format!("cannot read {}", self.path.join(CONFIG).display()))?)
    }

    /// What the kernel says about the container now, with a handle of its init if that lives.
    pub fn status(&self, record: &Record, proc: BorrowedFd) -> Result<(Status, Option<OwnedFd>), Fault> {
        let init = record.living_init(proc)?;
        Ok(match init {
            Some(pidfd) => (living(record, Cgroup::holds_newcomers, rendezvous::is_waiting(self.fd())), Some(pidfd)),
            None => (dead(record, proc)?, None),
        })
    }

    /// Removes the directory; the record goes last, so that an interrupted removal can be finished.
    pub fn remove(self) -> Result<()> {
        for name in [rendezvous::NAME, CONFIG, NEW_CONFIG, NEW, RECORD] {
            match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => {
                    Err(errno).during(STAGE, || format!("cannot remove {}", self.path.join(name).display()))?
                }
            }
        }
        let mut removed = std::fs::remove_dir(&self.path);
        if removed.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::DirectoryNotEmpty) {
            // Few containers are a service that says when it is ready.
            let _ = unlinkat(&self.fd, NOTIFY_SOCKET, UnlinkatFlags::NoRemoveDir);
            let _ = unlinkat(&self.fd, NOTIFY, UnlinkatFlags::RemoveDir);
            removed = std::fs::remove_dir(&self.path);
        }
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The status of a container whose init lives; `waiting` for `start`, or no more.
fn living(record: &Record, frozen: impl Fn(&Cgroup) -> bool, waiting: bool) -> Status {
    // Also one that was never started can be frozen: `start` would wait for it in vain.
    match record.cgroup.as_ref().is_some_and(frozen) {
        true => Status::Paused,
        false if waiting => Status::Created,
        false => Status::Running,
    }
}

/// The status of a container without a living init.
fn dead(record: &Record, proc: BorrowedFd) -> Result<Status, Fault> {
    match record.init.is_none() && record.creator.alive(proc)?.is_some() {
        true => Ok(Status::Creating),
        false => Ok(Status::Stopped),
    }
}

fn read_file<P: ?Sized + NixPath>(dir: BorrowedFd, name: &P) -> nix::Result<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    crate::sys::fs::read_text(openat(dir, name, flags, Mode::empty())?)
}
