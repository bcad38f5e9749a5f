//! What can plausibly go wrong at each system call.

/// A call by its number: its name, and the errno that is injected; none where the kernel has no way to fail it.
pub fn of(number: u64) -> Option<(&'static str, Option<i32>)> {
    let number = libc::c_long::try_from(number).ok()?;
    if let Some((name, _, errno)) = CALLS.iter().chain(OLD).find(|(_, known, _)| *known == number) {
        return Some((name, Some(*errno)));
    }
    let sure = SURE.iter().find(|(_, known)| *known == number)?;
    Some((sure.0, None))
}

macro_rules! table {
    ($($call:ident $errno:ident)*) => { &[$((stringify!($call), libc::$call, libc::$errno)),*] };
}

const CALLS: &[(&str, libc::c_long, i32)] = table! {
    SYS_accept4 EMFILE
    SYS_add_key EDQUOT
    SYS_bind ENOSPC
    SYS_bpf ENOMEM
    SYS_brk ENOMEM
    SYS_capget EPERM
    SYS_capset EPERM
    SYS_chdir EACCES
    SYS_chroot EPERM
    SYS_clone EAGAIN
    SYS_clone3 EAGAIN
    SYS_clock_nanosleep EINTR
    SYS_close EIO
    SYS_close_range EINVAL
    SYS_connect EAGAIN
    SYS_dup3 EMFILE
    SYS_epoll_create1 EMFILE
    SYS_execve ENOMEM
    SYS_execveat ENOMEM
    SYS_faccessat EIO
    SYS_faccessat2 EIO
    SYS_fadvise64 EINVAL
    SYS_fchdir EACCES
    SYS_fchmod EPERM
    SYS_fchmodat EPERM
    SYS_fchown EPERM
    SYS_fchownat EPERM
    SYS_fcntl EINVAL
    SYS_flock ENOLCK
    SYS_fsconfig ENOMEM
    SYS_fsmount ENOSPC
    SYS_fsopen EMFILE
    SYS_fspick EMFILE
    SYS_fgetxattr EIO
    SYS_fsetxattr ENOSPC
    SYS_fstat EIO
    SYS_fstatfs EIO
    SYS_ftruncate ENOSPC
    SYS_getcwd ENOMEM
    SYS_getdents64 EIO
    SYS_getgroups EINVAL
    SYS_getxattr EIO
    SYS_getrandom EINTR
    SYS_getsockopt ENOBUFS
    SYS_ioctl EIO
    SYS_ioprio_set EPERM
    SYS_keyctl EDQUOT
    SYS_kill EPERM
    SYS_landlock_create_ruleset ENOMEM
    SYS_linkat ENOSPC
    SYS_listen EADDRINUSE
    SYS_lseek EINVAL
    SYS_madvise ENOMEM
    SYS_memfd_create EMFILE
    SYS_mkdirat ENOSPC
    SYS_mknodat ENOSPC
    SYS_mmap ENOMEM
    SYS_mount ENOMEM
    SYS_mount_setattr EPERM
    SYS_move_mount ENOMEM
    SYS_mprotect ENOMEM
    SYS_mremap ENOMEM
    SYS_munmap ENOMEM
    SYS_name_to_handle_at EOVERFLOW
    SYS_newfstatat EIO
    SYS_open_tree EMFILE
    SYS_openat EMFILE
    SYS_openat2 EAGAIN
    SYS_pidfd_getfd EMFILE
    SYS_pidfd_open EMFILE
    SYS_pidfd_send_signal EPERM
    SYS_pipe2 EMFILE
    SYS_pivot_root EBUSY
    SYS_ppoll EINTR
    SYS_prctl EPERM
    SYS_pread64 EIO
    SYS_prlimit64 EPERM
    SYS_pwrite64 ENOSPC
    SYS_read EIO
    SYS_readlinkat EIO
    SYS_readv EIO
    SYS_recvfrom EINTR
    SYS_recvmsg EINTR
    SYS_renameat ENOSPC
    SYS_renameat2 ENOSPC
    SYS_rt_sigaction EINVAL
    SYS_rt_sigprocmask EINVAL
    SYS_sched_getaffinity EINVAL
    SYS_sched_setaffinity EPERM
    SYS_seccomp ENOMEM
    SYS_sendmsg ENOBUFS
    SYS_sendto ENOBUFS
    SYS_set_robust_list EINVAL
    SYS_setgid EPERM
    SYS_setgroups EPERM
    SYS_sethostname EPERM
    SYS_setitimer EINVAL
    SYS_setresgid EAGAIN
    SYS_setresuid EAGAIN
    SYS_setns EPERM
    SYS_setsid EPERM
    SYS_setsockopt ENOMEM
    SYS_setuid EAGAIN
    SYS_shutdown ENOTCONN
    SYS_sigaltstack ENOMEM
    SYS_signalfd4 EMFILE
    SYS_socket EMFILE
    SYS_socketpair EMFILE
    SYS_statfs EIO
    SYS_statx EIO
    SYS_symlinkat ENOSPC
    SYS_tgkill EPERM
    SYS_umount2 EBUSY
    SYS_uname EFAULT
    SYS_unlinkat EIO
    SYS_unshare ENOSPC
    SYS_wait4 EINTR
    SYS_waitid EINTR
    SYS_write ENOSPC
    SYS_writev ENOSPC
};

macro_rules! names {
    ($($call:ident)*) => { &[$((stringify!($call), libc::$call)),*] };
}

const SURE: &[(&str, libc::c_long)] = names! {
    SYS_clock_gettime
    SYS_exit
    SYS_exit_group
    SYS_getegid
    SYS_geteuid
    SYS_getgid
    SYS_getpid
    SYS_getppid
    SYS_gettid
    SYS_getuid
    SYS_restart_syscall
    SYS_rt_sigreturn
    SYS_sched_yield
    SYS_set_tid_address
    SYS_umask
};

/// The calls that the processor's first ABI alone has.
#[cfg(target_arch = "x86_64")]
pub const OLD: &[(&str, libc::c_long, i32)] = table! {
    SYS_access EIO
    SYS_chmod EPERM
    SYS_chown EPERM
    SYS_fork EAGAIN
    SYS_getdents EIO
    SYS_lchown EPERM
    SYS_link ENOSPC
    SYS_lstat EIO
    SYS_mkdir ENOSPC
    SYS_mknod ENOSPC
    SYS_open EMFILE
    SYS_pause EINTR
    SYS_pipe EMFILE
    SYS_poll EINTR
    SYS_readlink EIO
    SYS_rename ENOSPC
    SYS_rmdir EBUSY
    SYS_stat EIO
    SYS_symlink ENOSPC
    SYS_unlink EIO
    SYS_vfork EAGAIN
    SYS_arch_prctl EINVAL
    SYS_dup2 EMFILE
};

#[cfg(not(target_arch = "x86_64"))]
pub const OLD: &[(&str, libc::c_long, i32)] = &[];
