//! The profile of a container that asks for the usual one: what programs need, without what reaches past the container.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

use super::default_table::{ARM, BY_CAPABILITY, EVERYONE, X86};
use super::syscalls::Abi;

/// The `CLONE_NEW*` flags that clone(2) takes. With one of them a process without privileges would make a user
/// namespace of its own, and meet all the kernel code that only root meets otherwise.
const NEW_NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// The personalities that only choose what a program sees: PER_LINUX, PER_LINUX32, both with UNAME26, and the question
/// which one it is. Others weaken address-space randomisation and the like.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The profile of the native architecture for a process with these capabilities (`CAP_*`).
pub(super) fn for_abi(native: Abi, granted: &[&str]) -> LinuxSeccomp {
    let mut syscalls = vec![allow(EVERYONE, vec![])];
    syscalls.extend(sockets());
    syscalls.extend(PERSONALITIES.map(|p| allow(&["personality"], vec![arg(LinuxSeccompOperator::ScmpCmpEq, p)])));
    let (own, architectures) = match native {
        Abi::Aarch64 | Abi::Arm => (ARM, vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]),
        _ => (X86, vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]),
    };
    syscalls.push(allow(own, vec![]));
    for (_, names) in BY_CAPABILITY.iter().filter(|(capability, _)| granted.contains(capability)) {
        syscalls.push(allow(names, vec![]));
    }
    if !granted.contains(&"CAP_SYS_ADMIN") {
        syscalls.push(allow(&["clone"], vec![arg(LinuxSeccompOperator::ScmpCmpMaskedEq, NEW_NAMESPACES)]));
        // A filter cannot see the flags of clone3, which are in memory. C libraries fall back to clone on ENOSYS.
        syscalls.push(rule(&["clone3"], LinuxSeccompAction::ScmpActErrno, Some(libc::ENOSYS as u32), vec![]));
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(libc::EPERM as u32)
        .architectures(architectures)
        .syscalls(syscalls)
        .build()
        .expect("every field has a default")
}

/// Every address family but AF_ALG (38), a door to kernel code that containers have no use for, and AF_VSOCK (40),
/// which leads out of the container's network namespace to the hypervisor.
fn sockets() -> impl Iterator<Item = LinuxSyscall> {
    use LinuxSeccompOperator::{ScmpCmpEq, ScmpCmpGt, ScmpCmpLt};
    [(ScmpCmpLt, 38), (ScmpCmpEq, 39), (ScmpCmpGt, 40)].into_iter().map(|(op, v)| allow(&["socket"], vec![arg(op, v)]))
}

fn arg(op: LinuxSeccompOperator, value: u64) -> LinuxSeccompArg {
    LinuxSeccompArgBuilder::default().index(0_usize).op(op).value(value).build().expect("every field has a default")
}

fn allow(names: &[&str], args: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    rule(names, LinuxSeccompAction::ScmpActAllow, None, args)
}

fn rule(names: &[&str], action: LinuxSeccompAction, errno: Option<u32>, args: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut rule = LinuxSyscallBuilder::default().names(names).action(action).args(args).build();
    let rule = rule.as_mut().expect("every field has a default");
    rule.set_errno_ret(errno);
    rule.clone()
}
