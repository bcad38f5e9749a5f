//! From system call names to numbers, for each kind of program a machine can run.

use super::syscall_tables::CALLS;

/// A set of system call numbers. Several share one audit architecture (x86_64 and x32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Abi {
    X86_64 = 0,
    I386 = 1,
    X32 = 2,
    Aarch64 = 3,
    Arm = 4,
}

/// Marks a call of an x32 program (arch/x86/include/uapi/asm/unistd.h).
pub(crate) const X32_BIT: u32 = 0x4000_0000;
/// Where 32-bit ARM keeps calls of its own (breakpoint, set_tls…), far above the common numbers.
pub(crate) const ARM_PRIVATE: u32 = 0x000f_0000;

const AUDIT_ARCH_I386: u32 = 0x4000_0003;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const AUDIT_ARCH_ARM: u32 = 0x4000_0028;
const AUDIT_ARCH_AARCH64: u32 = 0xc000_00b7;

impl Abi {
    #[cfg(target_arch = "x86_64")]
    pub(crate) const NATIVE: Abi = Abi::X86_64;
    #[cfg(target_arch = "aarch64")]
    pub(crate) const NATIVE: Abi = Abi::Aarch64;

    /// What else runs on a machine whose native ABI this is.
    pub(crate) fn others(self) -> &'static [Abi] {
        match self {
            Abi::X86_64 | Abi::I386 | Abi::X32 => &[Abi::X32, Abi::I386],
            Abi::Aarch64 | Abi::Arm => &[Abi::Arm],
        }
    }

    /// What the kernel puts into `seccomp_data.arch` (linux/audit.h).
    pub(crate) fn audit_arch(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => AUDIT_ARCH_X86_64,
            Abi::I386 => AUDIT_ARCH_I386,
            Abi::Aarch64 => AUDIT_ARCH_AARCH64,
            Abi::Arm => AUDIT_ARCH_ARM,
        }
    }

    /// The number of this ABI's call 0.
    pub(crate) fn base(self) -> u32 {
        if self == Abi::X32 { X32_BIT } else { 0 }
    }

    /// Whether arguments are compared in 64 bits. Of a 32-bit program's argument (and of the value it is compared
    /// with) only the lower half counts; libseccomp treats x32 so as well, although its registers are 64 bits wide.
    pub(crate) fn wide(self) -> bool {
        matches!(self, Abi::X86_64 | Abi::Aarch64)
    }
}

/// One system call as the table knows it.
#[derive(Clone, Copy)]
pub(crate) struct Call(/* row of CALLS */ usize);

impl Call {
    /// Its number, with the ABI's base added; `None` where the call does not exist.
    pub(crate) fn number(self, abi: Abi) -> Option<u32> {
        u32::try_from(CALLS[self.0].1[abi as usize]).ok().map(|n| n + abi.base())
    }

    /// The other way to this call on i386: the number of `socketcall` or `ipc`, and what their first argument is then
    /// (linux/net.h, linux/ipc.h). A rule for the call has to hold there too, or it could be walked around.
    pub(crate) fn multiplexed(self, abi: Abi) -> Option<(u32, u32)> {
        let (number, sub) = MULTIPLEXED[self.0];
        (abi == Abi::I386 && sub != 0).then_some((number.into(), sub.into()))
    }
}

const I386_SOCKETCALL: u8 = 102;
const I386_IPC: u8 = 117;

const SOCKETCALL: &[(&str, u8)] = &[
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

const IPC: &[(&str, u8)] = &[
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// Finds a call by name, in one probe or two: a profile names hundreds of calls each time a container starts.
pub(crate) fn lookup(name: &str) -> Option<Call> {
    let mut slot = hash(name.as_bytes());
    loop {
        let row = usize::from(INDEX[slot]);
        if CALLS.get(row)?.0 == name {
            return Some(Call(row));
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// For each row of `CALLS` the i386 call it is multiplexed through and which one it is there; zeroes for most.
static MULTIPLEXED: [(u8, u8); CALLS.len()] = multiplexed();

const fn multiplexed() -> [(u8, u8); CALLS.len()] {
    let mut rows = [(0, 0); CALLS.len()];
    let mut row = 0;
    while row < CALLS.len() {
        let mut i = 0;
        while i < SOCKETCALL.len() + IPC.len() {
            let ((name, sub), through) = if i < SOCKETCALL.len() {
                (SOCKETCALL[i], I386_SOCKETCALL)
            } else {
                (IPC[i - SOCKETCALL.len()], I386_IPC)
            };
            if same(CALLS[row].0.as_bytes(), name.as_bytes()) {
                rows[row] = (through, sub);
            }
            i += 1;
        }
        row += 1;
    }
    rows
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

const SLOTS: usize = 2048;
const EMPTY: u16 = u16::MAX;

/// Rows of `CALLS` by the hash of their name (open addressing), made by the compiler.
static INDEX: [u16; SLOTS] = index();

const fn index() -> [u16; SLOTS] {
    let mut slots = [EMPTY; SLOTS];
    let mut row = 0;
    while row < CALLS.len() {
        let mut slot = hash(CALLS[row].0.as_bytes());
        while slots[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = row as u16;
        row += 1;
    }
    slots
}

/// FNV-1a, folded to a slot.
const fn hash(name: &[u8]) -> usize {
    let mut h: u32 = 0x811c_9dc5;
    let mut i = 0;
    while i < name.len() {
        h = (h ^ name[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    ((h ^ (h >> 15)) as usize) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for (i, row) in CALLS.iter().enumerate() {
            assert_eq!(lookup(row.0).expect(row.0).0, i);
        }
        for name in ["", "openat3", "reads", "rea", "READ"] {
            assert!(lookup(name).is_none(), "{name}");
        }
        assert!(CALLS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn numbers_are_those_of_the_c_library() {
        for (name, number) in [
            ("read", libc::SYS_read),
            ("execve", libc::SYS_execve),
            ("openat2", libc::SYS_openat2),
            ("mseal", 462),
            ("file_setattr", 469),
        ] {
            assert_eq!(i64::from(lookup(name).unwrap().number(Abi::NATIVE).unwrap()), number, "{name}");
        }
        assert_eq!(lookup("writev").unwrap().number(Abi::X32), Some(X32_BIT + 516));
        assert_eq!(lookup("set_tls").unwrap().number(Abi::Arm), Some(0xf0005));
        assert_eq!(lookup("open").unwrap().number(Abi::Aarch64), None);
    }

    #[test]
    fn every_multiplexed_name_exists() {
        for (name, _) in SOCKETCALL.iter().chain(IPC) {
            assert!(lookup(name).is_some(), "{name}");
        }
        assert_eq!(lookup("socket").unwrap().multiplexed(Abi::I386), Some((102, 1)));
        assert_eq!(lookup("shmget").unwrap().multiplexed(Abi::I386), Some((117, 23)));
        assert_eq!(lookup("socket").unwrap().multiplexed(Abi::X86_64), None);
    }
}
