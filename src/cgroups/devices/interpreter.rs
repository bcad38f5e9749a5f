//! A small interpreter of the instructions that the compiler may use, for the tests. It refuses what the kernel's
//! verifier refuses: other instructions, jumps backwards or out of the program, registers read before they are set,
//! answers other than 0 and 1. What no path reaches is for the caller to find, through `visited`.

use crate::sys::bpf::Insn;

/// Runs the program on one request and returns its answer. Marks each instruction it came by.
pub fn run(insns: &[Insn], context: [u32; 3], visited: &mut [bool]) -> bool {
    let mut registers: [Option<u32>; 6] = [None; 6];
    let mut at = 0;
    loop {
        let insn = insns[at];
        visited[at] = true;
        let (dst, src) = (usize::from(insn.regs & 15), usize::from(insn.regs >> 4));
        let value = |register: usize| registers[register].expect("a register is read before it is set");
        let imm = insn.imm as u32;
        at += 1;
        let taken = match insn.code {
            0x61 => {
                assert_eq!(src, 1, "only the context may be loaded from");
                registers[dst] = Some(context[usize::try_from(insn.off).unwrap() / 4]);
                continue;
            }
            0xb4 => {
                registers[dst] = Some(imm);
                continue;
            }
            0x6c => {
                let count = value(src);
                assert!(count < 32, "a shift by {count}");
                registers[dst] = Some(value(dst) << count);
                continue;
            }
            0x95 => {
                let answer = value(0);
                assert!(answer < 2, "the answer {answer}");
                return answer == 1;
            }
            0x05 => true,
            0x16 => value(dst) == imm,
            0x56 => value(dst) != imm,
            0x26 => value(dst) > imm,
            0xa6 => value(dst) < imm,
            0x46 => value(dst) & imm != 0,
            other => panic!("instruction {other:#x}"),
        };
        assert!(insn.off >= 0, "a jump backwards");
        if taken {
            at += insn.off as usize;
        }
    }
}
