//! bpf(2), as far as device programs of control groups need it.
//!
//! Layouts follow `union bpf_attr` of `include/uapi/linux/bpf.h`: the kernel takes any length and reads what lies beyond
//! it as zero, so each command passes only the fields it uses.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// One instruction of an extended BPF program (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    pub code: u8,
    /// Destination register in the low four bits, source register in the high four (little endian hosts only: both of
    /// rt's architectures are).
    pub regs: u8,
    pub off: i16,
    pub imm: i32,
}

const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_LOAD: libc::c_int = 5;
const PROG_QUERY: libc::c_int = 16;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Several programs may sit on one cgroup and below it; an access must pass all of them.
const F_ALLOW_MULTI: u32 = 1 << 1;
/// Kernel 5.6: takes the place of `replace_bpf_fd`.
const F_REPLACE: u32 = 1 << 2;
/// As many as the kernel lets sit on one cgroup (`BPF_CGROUP_MAX_PROGS`).
const MOST_PROGRAMS: usize = 64;

#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// `open_flags` lies where `next_id` ends; zero.
#[repr(C)]
#[derive(Default)]
struct IdAttr {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
}

#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`; the lengths and addresses of what is not asked for stay zero.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    kind: u32,
    id: u32,
    unasked: [u64; 7],
    name: [u8; 16],
}

fn bpf<T>(command: libc::c_int, attr: &mut T) -> Result<i32, Errno> {
    // SAFETY: `attr` is a live, exclusively borrowed `repr(C)` prefix of `union bpf_attr` of exactly the length passed;
    // the pointers inside it are set by the callers below from slices that outlive the call.
    let ret = unsafe { libc::syscall(libc::SYS_bpf, command, attr as *mut T, size_of::<T>()) };
    Errno::result(ret).map(|value| value as i32)
}

fn bpf_fd<T>(command: libc::c_int, attr: &mut T) -> Result<OwnedFd, Errno> {
    let fd: RawFd = bpf(command, attr)?;
    // SAFETY: the command returned a new descriptor (the kernel sets CLOEXEC on it) that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Loads a device program and returns its descriptor (CLOEXEC).
///
/// `name` (at most 15 bytes of `[A-Za-z0-9_.]`) is what `bpftool prog` shows.
/// Errors: EPERM without CAP_BPF (or CAP_SYS_ADMIN) in the initial user namespace, E2BIG or EINVAL for a program the
/// verifier refuses. Source: bpf(2), `bpf_prog_load` in kernel/bpf/syscall.c.
pub fn load_device_program(insns: &[Insn], license: &CStr, name: &str) -> Result<OwnedFd, Errno> {
    let mut prog_name = [0u8; 16];
    let len = name.len().min(15);
    prog_name[..len].copy_from_slice(&name.as_bytes()[..len]);
    let mut attr = LoadAttr {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(insns.len()).map_err(|_| Errno::E2BIG)?,
        insns: insns.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name,
    };
    bpf_fd(PROG_LOAD, &mut attr)
}

/// Adds `program` to the device programs of `cgroup` (a directory descriptor that is not O_PATH). With `old` it takes
/// that one's place in one step: at no moment is the cgroup without either.
///
/// Errors: EPERM where an ancestor holds a program that forbids others, E2BIG beyond 64 of them, ENOENT when `old` is not
/// attached to `cgroup` itself.
pub fn attach_device_program(cgroup: BorrowedFd, program: BorrowedFd, old: Option<BorrowedFd>) -> Result<(), Errno> {
    let mut attr = AttachAttr {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: F_ALLOW_MULTI | if old.is_some() { F_REPLACE } else { 0 },
        replace_bpf_fd: old.map_or(0, |fd| fd.as_raw_fd() as u32),
    };
    bpf(PROG_ATTACH, &mut attr).map(drop)
}

/// Takes `program` off `cgroup`. Errors: ENOENT when it is not attached there.
pub fn detach_device_program(cgroup: BorrowedFd, program: BorrowedFd) -> Result<(), Errno> {
    let mut attr = AttachAttr {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        ..AttachAttr::default()
    };
    bpf(PROG_DETACH, &mut attr).map(drop)
}

/// A descriptor for the program with this id. Errors: ENOENT when it is gone, EPERM without CAP_SYS_ADMIN.
pub fn program_by_id(id: u32) -> Result<OwnedFd, Errno> {
    bpf_fd(PROG_GET_FD_BY_ID, &mut IdAttr { prog_id: id, ..IdAttr::default() })
}

/// The ids of the device programs on `cgroup` itself; its ancestors' are not among them.
pub fn device_programs(cgroup: BorrowedFd) -> Result<Vec<u32>, Errno> {
    let mut ids = [0u32; MOST_PROGRAMS];
    let mut attr = QueryAttr {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MOST_PROGRAMS as u32,
        ..QueryAttr::default()
    };
    bpf(PROG_QUERY, &mut attr)?;
    Ok(ids[..(attr.prog_cnt as usize).min(MOST_PROGRAMS)].to_vec())
}

/// The id of a loaded program, unique until it is freed.
pub fn program_id(program: BorrowedFd) -> Result<u32, Errno> {
    Ok(program_info(program)?.id)
}

/// Whether a loaded program has this name (see [`load_device_program`]).
pub fn is_named(program: BorrowedFd, name: &str) -> Result<bool, Errno> {
    let found = program_info(program)?.name;
    Ok(found.split(|byte| *byte == 0).next() == Some(name.as_bytes()))
}

fn program_info(program: BorrowedFd) -> Result<ProgInfo, Errno> {
    let mut info = ProgInfo::default();
    let mut attr = InfoAttr {
        bpf_fd: program.as_raw_fd() as u32,
        info_len: size_of::<ProgInfo>() as u32,
        info: &raw mut info as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}
