//! A page for what the last execve failed of, shared by init and whoever starts it where it must be.
//!
//! A seccomp filter may forbid `write`, so the failure of the last execve cannot be sent; a plain store into a
//! shared page needs no system call. Who may speak keeps the failure to itself until it is sent: no page to map.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicUsize, Ordering};

const SIZE: usize = 4096;
const TEXT: usize = SIZE - 16;
const _: () = assert!(size_of::<Cells>() == SIZE);

#[repr(C)]
struct Cells {
    stage: AtomicI32,
    errno: AtomicI32,
    length: AtomicUsize,
    text: [AtomicU8; TEXT],
}

/// The page. Zero means that nothing failed.
pub struct FaultPage {
    cells: *const Cells,
}

/// The one that is not shared: memory of this process, of which a clone has its own.
static OWN: Cells = Cells {
    stage: AtomicI32::new(0),
    errno: AtomicI32::new(0),
    length: AtomicUsize::new(0),
    text: [const { AtomicU8::new(0) }; TEXT],
};

impl FaultPage {
    /// A page for a later clone of this process, which `shares` it, or else can tell of its failure by itself.
    pub fn inherited(shares: bool) -> nix::Result<FaultPage> {
        match shares {
            true => FaultPage::map(libc::MAP_ANONYMOUS, -1),
            false => Ok(FaultPage { cells: &OWN }),
        }
    }

    /// A page that can be sent to another process as an fd.
    pub fn sendable() -> nix::Result<(FaultPage, OwnedFd)> {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        let file = memfd_create(c"rt-start", MFdFlags::MFD_CLOEXEC)?;
        nix::unistd::ftruncate(&file, SIZE as i64)?;
        Ok((FaultPage::received(&file)?, file))
    }

    /// The page behind an fd that another process sent.
    pub fn received(file: impl AsFd) -> nix::Result<FaultPage> {
        use std::os::fd::AsRawFd;
        FaultPage::map(0, file.as_fd().as_raw_fd())
    }

    fn map(flags: i32, fd: i32) -> nix::Result<FaultPage> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, flags | libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, prot, flags, fd, 0) };
        if at == libc::MAP_FAILED {
            return Err(nix::errno::Errno::last());
        }
        Ok(FaultPage { cells: at.cast() })
    }

    fn cells(&self) -> &Cells {
        // SAFETY: a mapping of SIZE bytes, page aligned, that lives as long as `self`, or OWN; either holds only atomics.
        unsafe { &*self.cells }
    }

    /// Stores a failure: which stage, and its errno.
    pub fn store(&self, stage: i32, errno: i32) {
        self.cells().errno.store(errno, Ordering::Relaxed);
        self.cells().stage.store(stage, Ordering::Release);
    }

    /// Stores words for the failure, as many as fit. The page is read only when its writer is gone.
    pub fn store_text(&self, text: &str) {
        let cells = self.cells();
        for (cell, byte) in cells.text.iter().zip(text.bytes()) {
            cell.store(byte, Ordering::Relaxed);
        }
        cells.length.store(text.len().min(TEXT), Ordering::Relaxed);
    }

    /// The words that were stored. Whoever wrote them is not trusted with their length.
    pub fn text(&self) -> Option<String> {
        let cells = self.cells();
        let length = cells.length.load(Ordering::Relaxed).min(TEXT);
        let bytes: Vec<u8> = cells.text[..length].iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
        (length > 0).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The failure that was stored, if any.
    pub fn load(&self) -> Option<(i32, i32)> {
        match self.cells().stage.load(Ordering::Acquire) {
            0 => None,
            stage => Some((stage, self.cells().errno.load(Ordering::Relaxed))),
        }
    }
}

impl Drop for FaultPage {
    fn drop(&mut self) {
        if !std::ptr::eq(self.cells, &OWN) {
            // SAFETY: mapped by `map` with this size, and no reference into it outlives `self`.
            unsafe { libc::munmap(self.cells.cast_mut().cast(), SIZE) };
        }
    }
}
