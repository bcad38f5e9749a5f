//! Any system call by name or number, and what became of it.
//!
//! An argument is a number (`12`, `-1`, `0x10`, `0755`), `@N` for the address of N zero bytes, or a string, whose
//! address is passed; `str:12` is the string 12.

use crate::{Outcome, arg};
use std::ffi::CString;
use std::io;

macro_rules! calls {
    ($($name:ident)*) => {
        &[$((stringify!($name), libc::$name)),*]
    };
}

/// Named as in libc, `SYS_` in front.
const CALLS: &[(&str, libc::c_long)] = calls! {
    SYS_acct SYS_add_key SYS_adjtimex SYS_bpf SYS_capset SYS_chdir SYS_chroot SYS_clock_adjtime SYS_clock_settime
    SYS_clone SYS_clone3 SYS_close SYS_close_range SYS_delete_module SYS_fanotify_init SYS_fchmodat SYS_fchownat
    SYS_finit_module SYS_fsconfig SYS_fsmount SYS_fsopen SYS_fspick SYS_getcwd SYS_getpid SYS_getppid SYS_getuid
    SYS_init_module SYS_io_uring_setup SYS_ioctl SYS_kcmp SYS_kexec_load SYS_keyctl SYS_kill SYS_landlock_create_ruleset
    SYS_lookup_dcookie SYS_mbind SYS_memfd_create SYS_mkdirat SYS_mknodat SYS_mount SYS_mount_setattr SYS_move_mount
    SYS_name_to_handle_at SYS_nfsservctl SYS_open_by_handle_at SYS_open_tree SYS_openat SYS_perf_event_open
    SYS_personality SYS_pidfd_getfd SYS_pidfd_open SYS_pivot_root SYS_prctl SYS_process_vm_readv SYS_process_vm_writev
    SYS_ptrace SYS_quotactl SYS_reboot SYS_request_key SYS_seccomp SYS_setdomainname SYS_setgid SYS_setgroups
    SYS_sethostname SYS_setns SYS_setpriority SYS_setrlimit SYS_settimeofday SYS_setuid SYS_socket SYS_socketpair
    SYS_swapoff SYS_swapon SYS_symlinkat SYS_sync SYS_sysinfo SYS_syslog SYS_umount2 SYS_uname SYS_unlinkat SYS_unshare
    SYS_userfaultfd SYS_vhangup
};

#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[(&str, libc::c_long)] = calls! {
    SYS_chmod SYS_chown SYS_iopl SYS_ioperm SYS_mkdir SYS_mknod SYS_modify_ldt SYS_rmdir SYS_symlink SYS_unlink SYS_uselib
};
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[(&str, libc::c_long)] = &[];

pub fn attempt(args: &[String]) -> Outcome {
    println!("{}", call(args)?.map_or_else(errno_name, |_| "ok".to_owned()));
    Ok(())
}

pub fn result(args: &[String]) -> Outcome {
    println!("{}", call(args)?.map_or_else(errno_name, |value| value.to_string()));
    Ok(())
}

/// By the gate that is there for 32-bit programs, with their numbers.
#[cfg(target_arch = "x86_64")]
pub fn compat(args: &[String]) -> Outcome {
    let [number, argument] = [0, 1].map(|at| args.get(at).and_then(|word| number(word)).unwrap_or(0));
    let value: libc::c_long;
    // SAFETY: rbx is LLVM's own, and restored; the gate clears r8 to r11, and what the call does the test asked for.
    unsafe {
        std::arch::asm!("xchg rbx, {0}", "int 0x80", "xchg rbx, {0}", inout(reg) argument => _,
            inlateout("rax") number => value, in("rcx") 0, in("rdx") 0, in("rsi") 0, in("rdi") 0,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _);
    }
    let errno = Some(-(value as i32)).filter(|errno| (1..4096).contains(errno));
    println!("{}", errno.map_or_else(|| "ok".to_owned(), errno_name));
    Ok(())
}

#[cfg(not(target_arch = "x86_64"))]
pub fn compat(_: &[String]) -> Outcome {
    Err("no such gate here".to_owned())
}

/// A child with these flags, which ends at once.
pub fn clone3(args: &[String]) -> Outcome {
    let flags = args.first().and_then(|word| number(word)).ok_or("FLAGS is missing")?;
    // struct clone_args: the flags, and in the fifth place the signal at its end.
    let mut fields = [0_u64; 11];
    (fields[0], fields[4]) = (flags as u64, libc::SIGCHLD as u64);
    // SAFETY: a live structure of the size that is said; no stack means a copy of this one, as fork(2) has it.
    match unsafe { libc::syscall(libc::SYS_clone3, fields.as_ptr(), size_of_val(&fields)) } {
        // SAFETY: ends the child only.
        0 => unsafe { libc::_exit(0) },
        -1 => println!("{}", errno_name(io::Error::last_os_error().raw_os_error().unwrap_or(0))),
        // SAFETY: a null status pointer is allowed.
        child => {
            println!("{}", if unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), 0) } > 0 { "ok" } else { "?" })
        }
    }
    Ok(())
}

/// Memory that an argument points to, kept until the call has returned.
enum Argument {
    Number(libc::c_long),
    Text(CString),
    Buffer(Vec<u64>),
}

fn call(args: &[String]) -> Result<Result<libc::c_long, i32>, String> {
    let name = arg(args, 0, "NAME")?;
    let number = by_name(name)?;
    let mut arguments = args[1..].iter().map(|word| argument(word)).collect::<Result<Vec<_>, _>>()?;
    let mut raw = [0 as libc::c_long; 6];
    for (to, from) in raw.iter_mut().zip(&mut arguments) {
        *to = match from {
            Argument::Number(number) => *number,
            Argument::Text(text) => text.as_ptr() as libc::c_long,
            Argument::Buffer(buffer) => buffer.as_mut_ptr() as libc::c_long,
        };
    }
    // SAFETY: pointers are to memory kept in `arguments`; what else the call does to this process is what the test asked for.
    let value = unsafe { libc::syscall(number, raw[0], raw[1], raw[2], raw[3], raw[4], raw[5]) };
    if value < 0 {
        return Ok(Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)));
    }
    if value == 0 && [libc::SYS_clone, libc::SYS_clone3].contains(&number) {
        // The child of a clone that worked has nothing more to say.
        // SAFETY: ends this process only.
        unsafe { libc::_exit(0) };
    }
    Ok(Ok(value))
}

fn by_name(name: &str) -> Result<libc::c_long, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let mut all = CALLS.iter().chain(OLD_CALLS);
    let found = all.find(|(known, _)| known.strip_prefix("SYS_") == Some(name));
    found.map(|(_, number)| *number).ok_or_else(|| format!("no system call {name} in the table; use its number"))
}

fn argument(word: &str) -> Result<Argument, String> {
    if let Some(text) = word.strip_prefix("str:") {
        return Ok(Argument::Text(text_of(text)?));
    }
    if let Some(size) = word.strip_prefix('@').and_then(|size| size.parse::<usize>().ok()) {
        return Ok(Argument::Buffer(vec![0; size.div_ceil(8)]));
    }
    Ok(match number(word) {
        Some(number) => Argument::Number(number),
        None => Argument::Text(text_of(word)?),
    })
}

fn text_of(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|error| error.to_string())
}

fn number(word: &str) -> Option<libc::c_long> {
    let (negative, digits) = word.strip_prefix('-').map_or((false, word), |digits| (true, digits));
    let value = match digits {
        d if d.starts_with("0x") => i128::from_str_radix(&d[2..], 16).ok()?,
        d if d.starts_with('0') && d.len() > 1 => i128::from_str_radix(&d[1..], 8).ok()?,
        d => d.parse().ok()?,
    };
    // Flags may use the topmost bit; the register holds the same bits.
    Some((if negative { -value } else { value }) as libc::c_long)
}

macro_rules! errnos {
    ($($name:ident)*) => {
        &[$((libc::$name, stringify!($name))),*]
    };
}

const ERRNOS: &[(i32, &str)] = errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE
    EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP EOVERFLOW EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE
    EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ECONNABORTED
    ECONNRESET ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT ENOKEY
    EKEYEXPIRED EKEYREVOKED EKEYREJECTED ENODATA EUCLEAN ENOPKG
};

pub fn errno_name(number: i32) -> String {
    let name = ERRNOS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    name.map_or_else(|| format!("errno {number}"), str::to_owned)
}
