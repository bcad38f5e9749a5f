//! The names an OCI profile may use. `rt features` prints these tables and the compiler reads them, so they cannot differ.

use oci_spec::runtime::{Arch, LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSeccompOperator};

use super::rules::Op;
use super::syscalls::Abi;
use crate::sys::seccomp::{FLAG_LOG, FLAG_SPEC_ALLOW, FLAG_WAIT_KILLABLE_RECV};

// Answers of a filter: the upper half of the 32 bits is the action, the lower its datum (linux/seccomp.h).
pub(crate) const RET_KILL_PROCESS: u32 = 0x8000_0000;
pub(crate) const RET_KILL_THREAD: u32 = 0x0000_0000;
pub(crate) const RET_TRAP: u32 = 0x0003_0000;
pub(crate) const RET_ERRNO: u32 = 0x0005_0000;
pub(crate) const RET_USER_NOTIF: u32 = 0x7fc0_0000;
pub(crate) const RET_TRACE: u32 = 0x7ff0_0000;
pub(crate) const RET_LOG: u32 = 0x7ffc_0000;
pub(crate) const RET_ALLOW: u32 = 0x7fff_0000;
/// The part of an answer that names the action.
pub(crate) const RET_ACTION: u32 = 0xffff_0000;

/// An action: its name, its type in the parsed profile, what the kernel is told, and the largest `errnoRet` it takes
/// (`None` where an `errnoRet` has no meaning; the kernel would clamp an errno above 4095 without a word).
pub(crate) struct Action {
    pub name: &'static str,
    pub oci: LinuxSeccompAction,
    pub ret: u32,
    pub max_errno: Option<u32>,
}

const fn action(name: &'static str, oci: LinuxSeccompAction, ret: u32, max_errno: Option<u32>) -> Action {
    Action { name, oci, ret, max_errno }
}

/// Every action, sorted by name. `SCMP_ACT_KILL` is the old name of `SCMP_ACT_KILL_THREAD`.
pub(crate) const ACTIONS: &[Action] = &[
    action("SCMP_ACT_ALLOW", LinuxSeccompAction::ScmpActAllow, RET_ALLOW, None),
    action("SCMP_ACT_ERRNO", LinuxSeccompAction::ScmpActErrno, RET_ERRNO, Some(4095)),
    action("SCMP_ACT_KILL", LinuxSeccompAction::ScmpActKill, RET_KILL_THREAD, None),
    action("SCMP_ACT_KILL_PROCESS", LinuxSeccompAction::ScmpActKillProcess, RET_KILL_PROCESS, None),
    action("SCMP_ACT_KILL_THREAD", LinuxSeccompAction::ScmpActKillThread, RET_KILL_THREAD, None),
    action("SCMP_ACT_LOG", LinuxSeccompAction::ScmpActLog, RET_LOG, None),
    action("SCMP_ACT_NOTIFY", LinuxSeccompAction::ScmpActNotify, RET_USER_NOTIF, None),
    action("SCMP_ACT_TRACE", LinuxSeccompAction::ScmpActTrace, RET_TRACE, Some(0xffff)),
    action("SCMP_ACT_TRAP", LinuxSeccompAction::ScmpActTrap, RET_TRAP, None),
];

/// Every comparison of an argument, sorted by name, and what the compiler makes of it.
pub(crate) const OPERATORS: &[(&str, LinuxSeccompOperator, Op)] = &[
    ("SCMP_CMP_EQ", LinuxSeccompOperator::ScmpCmpEq, Op::Eq),
    ("SCMP_CMP_GE", LinuxSeccompOperator::ScmpCmpGe, Op::Ge),
    ("SCMP_CMP_GT", LinuxSeccompOperator::ScmpCmpGt, Op::Gt),
    ("SCMP_CMP_LE", LinuxSeccompOperator::ScmpCmpLe, Op::Le),
    ("SCMP_CMP_LT", LinuxSeccompOperator::ScmpCmpLt, Op::Lt),
    ("SCMP_CMP_MASKED_EQ", LinuxSeccompOperator::ScmpCmpMaskedEq, Op::Masked),
    ("SCMP_CMP_NE", LinuxSeccompOperator::ScmpCmpNe, Op::Ne),
];

/// Every architecture a profile may name, sorted by name. Those that cannot occur on this machine get no code: a call
/// made through them never reaches the filter. The native one always has code, whether named or not.
pub(crate) const ARCHS: &[(&str, Arch, Option<Abi>)] = &[
    ("SCMP_ARCH_AARCH64", Arch::ScmpArchAarch64, Some(Abi::Aarch64)),
    ("SCMP_ARCH_ARM", Arch::ScmpArchArm, Some(Abi::Arm)),
    ("SCMP_ARCH_LOONGARCH64", Arch::ScmpArchLoongarch64, None),
    ("SCMP_ARCH_M68K", Arch::ScmpArchM68k, None),
    ("SCMP_ARCH_MIPS", Arch::ScmpArchMips, None),
    ("SCMP_ARCH_MIPS64", Arch::ScmpArchMips64, None),
    ("SCMP_ARCH_MIPS64N32", Arch::ScmpArchMips64n32, None),
    ("SCMP_ARCH_MIPSEL", Arch::ScmpArchMipsel, None),
    ("SCMP_ARCH_MIPSEL64", Arch::ScmpArchMipsel64, None),
    ("SCMP_ARCH_MIPSEL64N32", Arch::ScmpArchMipsel64n32, None),
    ("SCMP_ARCH_NATIVE", Arch::ScmpArchNative, None),
    ("SCMP_ARCH_PARISC", Arch::ScmpArchParisc, None),
    ("SCMP_ARCH_PARISC64", Arch::ScmpArchParisc64, None),
    ("SCMP_ARCH_PPC", Arch::ScmpArchPpc, None),
    ("SCMP_ARCH_PPC64", Arch::ScmpArchPpc64, None),
    ("SCMP_ARCH_PPC64LE", Arch::ScmpArchPpc64le, None),
    ("SCMP_ARCH_RISCV64", Arch::ScmpArchRiscv64, None),
    ("SCMP_ARCH_S390", Arch::ScmpArchS390, None),
    ("SCMP_ARCH_S390X", Arch::ScmpArchS390x, None),
    ("SCMP_ARCH_SH", Arch::ScmpArchSh, None),
    ("SCMP_ARCH_SHEB", Arch::ScmpArchSheb, None),
    ("SCMP_ARCH_X32", Arch::ScmpArchX32, Some(Abi::X32)),
    ("SCMP_ARCH_X86", Arch::ScmpArchX86, Some(Abi::I386)),
    ("SCMP_ARCH_X86_64", Arch::ScmpArchX86_64, Some(Abi::X86_64)),
];

/// Every flag: its name, its type in the parsed profile, its bit for seccomp(2). TSYNC asks for nothing, since one
/// thread loads the filter; runc takes and ignores it as well.
pub(crate) const KNOWN_FLAGS: &[(&str, LinuxSeccompFilterFlag, u64)] = &[
    ("SECCOMP_FILTER_FLAG_TSYNC", LinuxSeccompFilterFlag::SeccompFilterFlagTsync, 0),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow, FLAG_SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_LOG", LinuxSeccompFilterFlag::SeccompFilterFlagLog, FLAG_LOG),
    (
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv,
        FLAG_WAIT_KILLABLE_RECV,
    ),
];

/// The table's row of an action.
pub(crate) fn action_of(oci: LinuxSeccompAction) -> &'static Action {
    ACTIONS.iter().find(|a| a.oci == oci).expect("ACTIONS names every variant")
}

/// What an answer of a filter is called, as in `SCMP_ACT_ERRNO(1)`.
pub(crate) fn describe(ret: u32) -> String {
    let known = ACTIONS.iter().rev().find(|a| a.ret == ret & RET_ACTION);
    match known {
        Some(a) if a.max_errno.is_some() => format!("{}({})", a.name, ret & !RET_ACTION),
        Some(a) => a.name.to_string(),
        None => format!("{ret:#010x}"),
    }
}
