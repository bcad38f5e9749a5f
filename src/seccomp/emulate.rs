//! What a filter answers: an interpreter of the part of classic BPF that seccomp filters are made of.

use seccompiler::sock_filter;

use super::emit::{AND, JA, JEQ, JGE, JGT, JSET, LD_ABS, RET};

/// A system call as a filter sees it (`struct seccomp_data`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data {
    pub number: u32,
    /// AUDIT_ARCH_*
    pub arch: u32,
    pub args: [u64; 6],
}

impl Data {
    /// The 32-bit word at a byte offset; both machines are little-endian. The instruction pointer reads as zero.
    fn word(&self, offset: u32) -> Option<u32> {
        match offset {
            0 => Some(self.number),
            4 => Some(self.arch),
            8 | 12 => Some(0),
            16..=60 if offset.is_multiple_of(4) => {
                let arg = self.args[(offset as usize - 16) / 8];
                Some(if offset.is_multiple_of(8) { arg } else { arg >> 32 } as u32)
            }
            _ => None,
        }
    }
}

/// Runs a program; `None` if it is not one the kernel would take (jumps out of itself, has an instruction that
/// seccomp filters made by rt or libseccomp never have, or ends without an answer).
pub(crate) fn run(program: &[sock_filter], data: &Data) -> Option<u32> {
    let (mut pc, mut acc) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = *program.get(pc)?;
        pc += 1;
        let holds = match code {
            RET => return Some(k),
            LD_ABS => {
                acc = data.word(k)?;
                continue;
            }
            AND => {
                acc &= k;
                continue;
            }
            JA => {
                pc += k as usize;
                continue;
            }
            JEQ => acc == k,
            JGT => acc > k,
            JGE => acc >= k,
            JSET => acc & k != 0,
            _ => return None,
        };
        pc += usize::from(if holds { jt } else { jf });
    }
}
