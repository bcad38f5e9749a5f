//! The program's own image: which file it is mapped from, and may be seen as /proc/PID/exe.

use super::check;
use super::exec::Strings;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

const PR_SET_MM: libc::c_long = 35;
const PR_SET_MM_MAP: libc::c_long = 14;
const PAGE: usize = 4096;

// Both are among the variables, which the move keeps; the pages of constants would be found twice, before and after it.
#[unsafe(link_section = ".data")]
static OWN_PATH: [u8; 15] = *b"/proc/self/exe\0";
#[unsafe(link_section = ".data")]
static FD_PATH: [u8; 14] = *b"/proc/self/fd/";

/// Where a process finds the file that it runs from.
pub fn own_path() -> &'static CStr {
    // SAFETY: it ends with its only NUL.
    unsafe { CStr::from_bytes_with_nul_unchecked(&OWN_PATH) }
}

/// Opens the file behind a descriptor of `O_PATH` for reading. Its path is written by hand: formatting reads constants.
pub fn reopen(fd: BorrowedFd) -> nix::Result<OwnedFd> {
    let mut path = [0; 32];
    path[..FD_PATH.len()].copy_from_slice(&FD_PATH);
    let mut number = fd.as_raw_fd().unsigned_abs();
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    for digit in path[FD_PATH.len()..][..digits].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::EINVAL)?;
    super::fs::open(path, OFlag::O_RDONLY)
}

/// `struct prctl_mm_map` (linux/prctl.h).
#[repr(C)]
struct MmMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Has this process run from `file`, which must hold the very bytes that it was started from, without an execve(2): its
/// segments are mapped from there, in their places, and what was written in the meantime is kept. The kernel then checks
/// that nothing is mapped from the old file any more (PR_SET_MM_MAP, prctl(2); it takes CAP_SYS_ADMIN or
/// CAP_CHECKPOINT_RESTORE in our user namespace).
///
/// # Errors
/// ENOEXEC where the image is not where its file says (it is position-independent). After any error it goes on as before.
pub fn move_to(file: BorrowedFd, arguments: &Strings) -> nix::Result<()> {
    for segment in segments()? {
        let (first, length) = pages(segment);
        match segment.p_flags & libc::PF_W != 0 {
            true => keep_written(first, length)?,
            false => map_anew(first, length, segment, file)?,
        }
    }
    set_file(file, arguments)
}

/// The pages that the file fills, in whole or in part: their address and length in bytes.
fn pages(segment: &libc::Elf64_Phdr) -> (usize, usize) {
    let first = segment.p_vaddr as usize / PAGE * PAGE;
    (first, ((segment.p_vaddr + segment.p_filesz) as usize).next_multiple_of(PAGE) - first)
}

/// All that the kernel is told beside the file is what it knows already: where the program, its arguments and its
/// environment lie.
fn set_file(file: BorrowedFd, arguments: &Strings) -> nix::Result<()> {
    let range = |writable: bool| {
        let kind = move |segment: &&libc::Elf64_Phdr| (segment.p_flags & libc::PF_W != 0) == writable;
        let segment = segments()?.find(kind).ok_or(Errno::ENOEXEC)?;
        Ok::<_, Errno>((segment.p_vaddr, segment.p_vaddr + segment.p_filesz))
    };
    let ((start_code, end_code), (start_data, end_data)) = (range(false)?, range(true)?);
    // SAFETY: it only asks.
    let brk = check(unsafe { libc::syscall(libc::SYS_brk, 0) })? as u64;
    let stack = arguments.on_the_stack();
    let map = MmMap {
        start_code,
        end_code,
        start_data,
        end_data,
        start_brk: brk,
        brk,
        start_stack: stack.start,
        arg_start: stack.arguments.start,
        arg_end: stack.arguments.end,
        env_start: stack.environment.start,
        env_end: stack.environment.end,
        auxv: 0,
        auxv_size: 0,
        exe_fd: file.as_raw_fd() as u32,
    };
    // SAFETY: `map` outlives the call, and the size is its own.
    check(unsafe { libc::syscall(libc::SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &raw const map, size_of::<MmMap>(), 0) })
        .map(drop)
}

/// What the kernel has mapped from the file.
fn segments() -> nix::Result<impl Iterator<Item = &'static libc::Elf64_Phdr>> {
    // SAFETY: the kernel has put the addresses there at execve; the headers are never written.
    let headers = unsafe {
        let headers = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        std::slice::from_raw_parts(headers, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    let loaded = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD;
    // The first segment holds the file's header and these, 64 bytes behind, unless all of it was moved.
    let in_place = headers.iter().find(loaded).is_some_and(|first| {
        first.p_offset == 0 && first.p_vaddr as usize + size_of::<libc::Elf64_Ehdr>() == headers.as_ptr() as usize
    });
    if in_place { Ok(headers.iter().filter(loaded)) } else { Err(Errno::ENOEXEC) }
}

/// Maps what is only read or executed.
fn map_anew(at: usize, length: usize, segment: &libc::Elf64_Phdr, file: BorrowedFd) -> nix::Result<()> {
    let protection = libc::PROT_READ | if segment.p_flags & libc::PF_X != 0 { libc::PROT_EXEC } else { 0 };
    let how = libc::MAP_PRIVATE | libc::MAP_FIXED;
    let offset = segment.p_offset as usize / PAGE * PAGE;
    // SAFETY: the same bytes take the place of those that are there, this code among them, in one step.
    let mapped = unsafe {
        libc::mmap(at as *mut libc::c_void, length, protection, how, file.as_raw_fd(), offset as libc::off_t)
    };
    if mapped == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(()) }
}

/// Moves variables into memory that is no file's, as they are.
fn keep_written(at: usize, length: usize) -> nix::Result<()> {
    let both = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of the kernel's choice.
    let copy =
        unsafe { libc::mmap(std::ptr::null_mut(), length, both, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    if copy == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // SAFETY: both are `length` long, and there is one thread, which writes no variable between the copy and the move.
    unsafe {
        std::ptr::copy_nonoverlapping(at as *const u8, copy.cast::<u8>(), length);
        let how = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        let moved = libc::syscall(libc::SYS_mremap, copy, length, length, how, at);
        check(moved).map(drop)
    }
}
