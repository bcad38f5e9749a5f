//! Finding and making things inside the rootfs, by fd: nothing the image plants can lead outside.

use crate::sys::fs::{RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, mount_id, openat2};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, fstat, mkdirat};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// What a missing mount target is made as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
}

/// As many links as the kernel follows in one path.
const MOST_LINKS: usize = 40;
const IN_ROOT: u64 = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

/// Opens what exists at `path` inside `root`, with `O_PATH`.
pub fn find(root: impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    openat2(root, inside(path), libc::O_PATH, 0, IN_ROOT)
}

/// As [`find`], for a mount: one over `root` itself, by way of a link or of `..`, would be hidden. That is `EBUSY`.
pub fn find_below(root: impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    let straight = path.components().all(|part| part != Component::ParentDir);
    if straight {
        match openat2(root.as_fd(), inside(path), libc::O_PATH, 0, IN_ROOT | RESOLVE_NO_SYMLINKS) {
            Err(Errno::ELOOP) => {}
            found => return found,
        }
    }
    let found = find(root.as_fd(), path)?;
    let place = |fd: BorrowedFd| Ok::<_, Errno>((mount_id(fd)?, fstat(fd)?.st_ino));
    if place(found.as_fd())? == place(root.as_fd())? { Err(Errno::EBUSY) } else { Ok(found) }
}

/// Opens what exists at `path` inside `root`, with `O_PATH`; a link at its end itself, wherever it leads.
pub fn find_link(root: impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    openat2(root, inside(path), libc::O_PATH | libc::O_NOFOLLOW, 0, IN_ROOT)
}

/// Opens `path` inside `root`, making what is missing of it: directories with mode 0755, the last component as
/// `kind` says. A dangling link on the way is followed, and its target made, inside `root`.
pub fn ensure(root: impl AsFd, path: &Path, kind: Kind) -> nix::Result<OwnedFd> {
    match find(root.as_fd(), path) {
        Err(Errno::ENOENT) => make_missing(root, path, kind),
        found => found,
    }
}

/// The second half of [`ensure`], for who has found already that `path` does not exist.
pub fn make_missing(root: impl AsFd, path: &Path, kind: Kind) -> nix::Result<OwnedFd> {
    // Most often only the last component is missing, and is no link.
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
        && kind == Kind::Directory
        && let Ok(parent) = find(root.as_fd(), parent)
        && mkdirat(&parent, name, Mode::from_bits_truncate(0o755)).is_ok()
    {
        return openat(&parent, name, NO_LINK, Mode::empty());
    }
    make(root.as_fd(), path, kind)
}

const NO_LINK: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The same path without its leading slash: openat2 takes both, but the empty path must be `.`.
fn inside(path: &Path) -> &Path {
    let relative = path.strip_prefix("/").unwrap_or(path);
    if relative.as_os_str().is_empty() { Path::new(".") } else { relative }
}

fn make(root: BorrowedFd, path: &Path, kind: Kind) -> nix::Result<OwnedFd> {
    let mut rest = names(path);
    let mut done = PathBuf::new();
    let mut at = root.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        let next = done.join(&name);
        match openat2(root, inside(&next), libc::O_PATH, 0, IN_ROOT) {
            Ok(found) => (at, done) = (found, next),
            Err(Errno::ENOENT) => match readlinkat(&at, name.as_os_str()) {
                // A dangling link: go on from its target, as seen from the directory that holds the link. The text
                // is joined and never cleaned, so the kernel resolves each `..` where it stands.
                Ok(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    let target = PathBuf::from(target);
                    if target.is_absolute() {
                        done = PathBuf::new();
                        at = root.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
                    }
                    for name in names(&target).into_iter().rev() {
                        rest.push_front(name);
                    }
                }
                Err(_) => {
                    at = make_one(at.as_fd(), &name, if rest.is_empty() { kind } else { Kind::Directory })?;
                    done = next;
                }
            },
            Err(errno) => return Err(errno),
        }
    }
    Ok(at)
}

fn names(path: &Path) -> VecDeque<OsString> {
    let named = |part: Component| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().filter_map(named).collect()
}

/// Makes one component, or takes what a racing maker left, without following a link.
fn make_one(parent: BorrowedFd, name: &OsString, kind: Kind) -> nix::Result<OwnedFd> {
    if name.as_bytes() == b".." {
        return Err(Errno::ENOENT);
    }
    match kind {
        Kind::Directory => match mkdirat(parent, name.as_os_str(), Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        },
        Kind::File => {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            match openat(parent, name.as_os_str(), flags, Mode::from_bits_truncate(0o644)) {
                Ok(_) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    openat(parent, name.as_os_str(), NO_LINK, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A root directory with a canary beside it.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Tree {
            let top = std::env::temp_dir().join(format!("rt-resolve-{}-{name}", std::process::id()));
            std::fs::create_dir_all(top.join("root/dir")).unwrap();
            std::fs::create_dir_all(top.join("canary")).unwrap();
            Tree(top)
        }

        fn root(&self) -> OwnedFd {
            std::fs::File::open(self.0.join("root")).unwrap().into()
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.join(path)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            assert_eq!(std::fs::read_dir(self.0.join("canary")).unwrap().count(), 0, "something got out");
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn missing_parts_are_made() {
        let tree = Tree::new("missing");
        ensure(tree.root(), Path::new("/a/b/c"), Kind::Directory).unwrap();
        ensure(tree.root(), Path::new("a/b/file"), Kind::File).unwrap();
        assert!(tree.path("root/a/b/c").is_dir());
        assert!(tree.path("root/a/b/file").is_file());
    }

    #[test]
    fn dangling_links_are_made_inside() {
        let tree = Tree::new("dangling");
        symlink("/run/resolv.conf", tree.path("root/absolute")).unwrap();
        symlink("../../../x/y", tree.path("root/dir/relative")).unwrap();
        symlink(tree.path("canary/new"), tree.path("root/host")).unwrap();
        symlink("dir", tree.path("root/alias")).unwrap();
        symlink("../made", tree.path("root/dir/up")).unwrap();
        let file = |path: &str| ensure(tree.root(), Path::new(path), Kind::File).unwrap();
        file("absolute");
        file("dir/relative");
        file("host");
        file("alias/up");
        assert!(tree.path("root/run/resolv.conf").is_file());
        assert!(tree.path("root/x/y").is_file());
        assert!(tree.path("root/made").is_file());
        assert!(tree.path("root").join(tree.path("canary/new").strip_prefix("/").unwrap()).is_file());
    }

    #[test]
    fn a_link_loop_is_an_error() {
        let tree = Tree::new("loop");
        symlink("b", tree.path("root/a")).unwrap();
        symlink("a", tree.path("root/b")).unwrap();
        symlink("missing/../c", tree.path("root/c")).unwrap();
        let ensure = |path: &str| ensure(tree.root(), Path::new(path), Kind::Directory).map(drop);
        assert_eq!(ensure("a/x"), Err(Errno::ELOOP));
        assert_eq!(ensure("c"), Err(Errno::ELOOP));
    }
}
