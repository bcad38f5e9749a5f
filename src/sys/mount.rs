//! The fd-based mount API: a mount is an fd first, and is attached when it is complete.

use super::{check, fd};
use nix::NixPath;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

pub const OPEN_TREE_CLONE: u32 = 1;
pub const AT_RECURSIVE: u32 = 0x8000;

pub const MOUNT_ATTR_RDONLY: u64 = 0x01;
pub const MOUNT_ATTR_NOSUID: u64 = 0x02;
pub const MOUNT_ATTR_NODEV: u64 = 0x04;
pub const MOUNT_ATTR_NOEXEC: u64 = 0x08;
pub const MOUNT_ATTR_ATIME: u64 = 0x70;
pub const MOUNT_ATTR_NOATIME: u64 = 0x10;
pub const MOUNT_ATTR_STRICTATIME: u64 = 0x20;
pub const MOUNT_ATTR_NODIRATIME: u64 = 0x80;
pub const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
pub const MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x0020_0000;

const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const FSCONFIG_CMD_RECONFIGURE: u32 = 7;
const FSPICK_CLOEXEC: u32 = 1;
const FSPICK_EMPTY_PATH: u32 = 8;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttr {
    pub set: u64,
    pub clear: u64,
    /// One of `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, or 0 for no change.
    pub propagation: u64,
    /// With `MOUNT_ATTR_IDMAP`: the user namespace that has the mapping.
    pub userns_fd: u64,
}

/// open_tree(2): the mount at `path`, or with `OPEN_TREE_CLONE` a detached copy of it.
pub fn open_tree<P: ?Sized + NixPath>(dir: impl AsFd, path: &P, flags: u32) -> nix::Result<OwnedFd> {
    let flags = flags | libc::O_CLOEXEC as u32 | if path.is_empty() { libc::AT_EMPTY_PATH as u32 } else { 0 };
    let dir = dir.as_fd().as_raw_fd();
    path.with_nix_path(|path| {
        // SAFETY: `path` outlives the call.
        fd(unsafe { libc::syscall(libc::SYS_open_tree, dir, path.as_ptr(), flags) })
    })?
}

/// move_mount(2) of the detached mount `from` onto what `to` is open on.
pub fn move_mount(from: impl AsFd, to: impl AsFd) -> nix::Result<()> {
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are static empty strings.
    check(unsafe { libc::syscall(libc::SYS_move_mount, from, c"".as_ptr(), to, c"".as_ptr(), flags) }).map(drop)
}

/// mount_setattr(2) on the mount that `mount` is the root of; `recursive` for all below it too.
pub fn mount_setattr(mount: impl AsFd, recursive: bool, attr: &MountAttr) -> nix::Result<()> {
    let flags = libc::AT_EMPTY_PATH as u32 | if recursive { AT_RECURSIVE } else { 0 };
    let (mount, size) = (mount.as_fd().as_raw_fd(), size_of::<MountAttr>());
    // No constant: this is called before the move, too (`sys::image`).
    let no_path: libc::c_char = 0;
    // SAFETY: both outlive the call, and `size` is the size of `attr`.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, mount, &raw const no_path, flags, attr, size) }).map(drop)
}

/// A filesystem being configured: fsopen(2), or fspick(2) for one that is mounted.
pub struct FsContext(OwnedFd);

impl FsContext {
    /// fsopen(2) for a filesystem type.
    pub fn open(kind: &CStr) -> nix::Result<FsContext> {
        // SAFETY: `kind` outlives the call.
        fd(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) }).map(FsContext)
    }

    /// fspick(2): the filesystem of a mount, to be configured anew.
    pub fn pick(mount: impl AsFd) -> nix::Result<FsContext> {
        let (mount, flags) = (mount.as_fd().as_raw_fd(), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
        // SAFETY: a static empty string.
        fd(unsafe { libc::syscall(libc::SYS_fspick, mount, c"".as_ptr(), flags) }).map(FsContext)
    }

    fn config(&self, command: u32, key: Option<&CStr>, value: Option<&CStr>) -> nix::Result<()> {
        let key = key.map_or(std::ptr::null(), CStr::as_ptr);
        let value = value.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: both strings outlive the call; the commands used here take NULL where they are absent.
        check(unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0) }).map(drop)
    }

    /// An option without a value, such as `ro`.
    pub fn flag(&self, key: &CStr) -> nix::Result<()> {
        self.config(FSCONFIG_SET_FLAG, Some(key), None)
    }

    /// An option with a value, such as `size=64k`.
    pub fn string(&self, key: &CStr, value: &CStr) -> nix::Result<()> {
        self.config(FSCONFIG_SET_STRING, Some(key), Some(value))
    }

    /// Makes the superblock, or finds the one that the options name.
    pub fn create(&self) -> nix::Result<()> {
        self.config(FSCONFIG_CMD_CREATE, None, None)
    }

    /// Has a mounted filesystem take what was configured.
    pub fn reconfigure(&self) -> nix::Result<()> {
        self.config(FSCONFIG_CMD_RECONFIGURE, None, None)
    }

    /// fsmount(2): the detached mount, with `MOUNT_ATTR_*` attributes.
    pub fn mount(&self, attributes: u64) -> nix::Result<OwnedFd> {
        // SAFETY: no pointers.
        fd(unsafe { libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), FSMOUNT_CLOEXEC, attributes) })
    }

    /// What the filesystem said about a failure: the newest line of its log, without the `e ` in front.
    pub fn complaint(&self) -> Option<String> {
        let mut newest = None;
        let mut line = [0_u8; 512];
        while let Ok(n) = nix::unistd::read(&self.0, &mut line) {
            let text = String::from_utf8_lossy(&line[..n]);
            newest = Some(text.trim_end().trim_start_matches(['e', 'w', 'i']).trim_start().to_owned());
        }
        newest
    }
}

impl From<FsContext> for OwnedFd {
    fn from(context: FsContext) -> OwnedFd {
        context.0
    }
}

/// pivot_root(".", "."): the new root is the working directory, and the old one ends up mounted over it.
pub fn pivot_root_here() -> nix::Result<()> {
    // SAFETY: two static strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) }).map(drop)
}

/// ioctl(NS_GET_NSTYPE): the `CLONE_NEW*` flag of a namespace fd.
pub fn namespace_kind(ns: BorrowedFd) -> nix::Result<u64> {
    const NS_GET_NSTYPE: u64 = 0xb703;
    // SAFETY: this ioctl takes no argument.
    let kind = unsafe { libc::ioctl(ns.as_raw_fd(), NS_GET_NSTYPE as _) };
    nix::errno::Errno::result(kind).map(|kind| kind as u32 as u64)
}
