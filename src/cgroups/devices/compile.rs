//! From the table of answers to instructions.
//!
//! The kernel passes `struct bpf_cgroup_dev_ctx { access_type, major, minor }` (u32 each; access in the high half of the
//! first, kind in the low half) and takes 1 for yes, 0 for no. The program's shape:
//!
//! ```text
//! yes, if only what every device allows is asked for      (mknod, usually)
//! is it the other kind? go there                          (or straight to its answer)
//! majors with one answer: one comparison each
//! majors whose minors differ: compare major, then minors
//! minors below 32 of all such majors: one shift, then one test of a bit set per major
//! the answer for the rest; the answers that depend on the access
//! ```
//!
//! Majors exclude each other, so a major's tests may fall through to the next ones: none of them can match.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::table::{Majors, Minors, Table};
use super::{ALL, Access};
use crate::sys::bpf::Insn;

// Operation codes: class | operation | source (kernel, bpf/standardization/instruction-set.rst).
const LOAD_U32: u8 = 0x61;
const MOVE: u8 = 0xb4;
const SHIFT_LEFT: u8 = 0x6c;
const EXIT: u8 = 0x95;
const JUMP: u8 = 0x05;
const EQUAL: u8 = 0x16;
const NOT_EQUAL: u8 = 0x56;
const ABOVE: u8 = 0x26;
const BELOW: u8 = 0xa6;
const ANY_BIT: u8 = 0x46;

// Registers.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const ASKED: u8 = 2;
const MAJOR: u8 = 3;
const MINOR: u8 = 4;
const MINOR_BIT: u8 = 5;

const BLOCK: i32 = 1;
const ACCESS_SHIFT: u32 = 16;

/// The kernel refuses longer programs from whoever lacks CAP_BPF; and offsets of jumps are 16 bits.
const MAX_LEN: usize = 4096;

/// Compiles the table. Errors when it needs more instructions than one program may have.
pub fn compile(table: &Table) -> Result<Vec<Insn>> {
    let mut code = Assembler::new(table.common());
    if let (Some(block), Some(char)) = (table.block.constant(), table.char.constant())
        && block == char
    {
        code.end(block);
        return code.finish();
    }
    code.load(ASKED, 0);
    code.pass_common();
    if table.block == table.char {
        code.kind(&table.char);
    } else if let Some(block) = table.block.constant() {
        code.jump_if(ANY_BIT, ASKED, BLOCK, Label::Answer(block));
        code.kind(&table.char);
    } else if let Some(char) = table.char.constant() {
        code.jump_if(ANY_BIT, ASKED, BLOCK << 1, Label::Answer(char));
        code.kind(&table.block);
    } else {
        code.jump_if(ANY_BIT, ASKED, BLOCK, Label::Block);
        code.kind(&table.char);
        code.label(Label::Block);
        code.kind(&table.block);
    }
    code.finish()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// Where the answer is given for a device that allows this much.
    Answer(Access),
    Block,
    Local(usize),
}

struct Assembler {
    insns: Vec<Insn>,
    /// What every device allows: asked for alone, it was answered at the top.
    common: Access,
    jumps: Vec<(usize, Label)>,
    labels: BTreeMap<Label, usize>,
    locals: usize,
}

impl Assembler {
    fn new(common: Access) -> Assembler {
        Assembler { insns: Vec::new(), common, jumps: Vec::new(), labels: BTreeMap::new(), locals: 0 }
    }

    fn emit(&mut self, code: u8, regs: u8, imm: i32) {
        self.insns.push(Insn { code, regs, off: 0, imm });
    }

    fn load(&mut self, register: u8, offset: i16) {
        self.insns.push(Insn { code: LOAD_U32, regs: register | CONTEXT << 4, off: offset, imm: 0 });
    }

    fn jump_if(&mut self, code: u8, register: u8, imm: i32, label: Label) {
        self.jumps.push((self.insns.len(), label));
        self.emit(code, register, imm);
    }

    fn jump(&mut self, label: Label) {
        self.jump_if(JUMP, 0, 0, label);
    }

    fn label(&mut self, label: Label) {
        self.labels.insert(label, self.insns.len());
    }

    fn local(&mut self) -> Label {
        self.locals += 1;
        Label::Local(self.locals)
    }

    fn pass_common(&mut self) {
        self.emit(MOVE, ANSWER, 1);
        if self.common != 0 {
            let rare = self.local();
            self.jump_if(ANY_BIT, ASKED, beyond(self.common), rare);
            self.emit(EXIT, 0, 0);
            self.label(rare);
        }
    }

    /// The answer for a device that allows `access`, where no jump is needed to give it.
    fn end(&mut self, access: Access) {
        if access != 0 && access != ALL {
            self.load(ASKED, 0);
            self.pass_common();
            self.emit(MOVE, ANSWER, 0);
        } else {
            self.emit(MOVE, ANSWER, i32::from(access == ALL));
        }
        self.emit(EXIT, 0, 0);
    }

    /// All of one kind of device, up to and with the jump to the answer for the rest.
    fn kind(&mut self, majors: &Majors) {
        if !majors.named.is_empty() {
            self.load(MAJOR, 4);
        }
        let (whole, split): (Vec<_>, Vec<_>) = majors.named.iter().partition(|(_, minors)| minors.named.is_empty());
        for (major, minors) in whole {
            self.jump_if(EQUAL, MAJOR, *major as i32, Label::Answer(minors.rest));
        }
        if !split.is_empty() || !majors.rest.named.is_empty() {
            self.load(MINOR, 8);
        }
        // A shared test of bits ends in the answer for the rest: only majors whose other minors answer so may join.
        let joins = |minors: &Minors| {
            majors.rest.named.is_empty()
                && minors.rest == majors.rest.rest
                && minors.named.keys().all(|minor| *minor < 32)
                && chain_len(minors) > answers(minors).len()
        };
        let (bits, chains): (Vec<_>, Vec<_>) = split.into_iter().partition(|(_, minors)| joins(minors));
        let saved: usize = bits.iter().map(|(_, minors)| chain_len(minors) - answers(minors).len()).sum();
        let (bits, extra) = if saved > 3 { (bits, Vec::new()) } else { (Vec::new(), bits) };
        for (major, minors) in chains.into_iter().chain(extra) {
            let next = self.local();
            self.jump_if(NOT_EQUAL, MAJOR, *major as i32, next);
            self.chain(minors);
            if minors.rest != majors.rest.rest || !majors.rest.named.is_empty() {
                self.jump(Label::Answer(minors.rest));
            }
            self.label(next);
        }
        self.bit_sets(&bits, majors.rest.rest);
        self.chain(&majors.rest);
        self.jump(Label::Answer(majors.rest.rest));
    }

    /// One comparison per minor, two per run of neighbours.
    fn chain(&mut self, minors: &Minors) {
        for run in runs(minors) {
            let answer = Label::Answer(run.access);
            match run.last - run.first {
                0 => self.jump_if(EQUAL, MINOR, run.first as i32, answer),
                1 => {
                    self.jump_if(EQUAL, MINOR, run.first as i32, answer);
                    self.jump_if(EQUAL, MINOR, run.last as i32, answer);
                }
                _ if run.last == u32::MAX => self.jump_if(ABOVE, MINOR, (run.first - 1) as i32, answer),
                _ => {
                    let next = self.local();
                    self.jump_if(BELOW, MINOR, run.first as i32, next);
                    self.jump_if(BELOW, MINOR, (run.last + 1) as i32, answer);
                    self.label(next);
                }
            }
        }
    }

    fn bit_sets(&mut self, majors: &[(&u32, &Minors)], rest: Access) {
        if majors.is_empty() {
            return;
        }
        self.jump_if(ABOVE, MINOR, 31, Label::Answer(rest));
        self.emit(MOVE, MINOR_BIT, 1);
        self.emit(SHIFT_LEFT, MINOR_BIT | MINOR << 4, 0);
        for (major, minors) in majors {
            let next = self.local();
            self.jump_if(NOT_EQUAL, MAJOR, **major as i32, next);
            for (access, set) in answers(minors) {
                self.jump_if(ANY_BIT, MINOR_BIT, set as i32, Label::Answer(access));
            }
            self.label(next);
        }
    }

    /// Appends the answers that are jumped to and fills in the jumps.
    fn finish(mut self) -> Result<Vec<Insn>> {
        let mut wanted: Vec<Access> = self.jumps.iter().filter_map(|(_, label)| answer_of(*label)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if !wanted.is_empty() {
            self.answers(&wanted);
        }
        ensure!(
            self.insns.len() <= MAX_LEN,
            "linux.resources.devices: the rules need a program of {} instructions, more than {MAX_LEN}: use fewer rules",
            self.insns.len()
        );
        for (at, label) in &self.jumps {
            let distance = self.labels[label] - at - 1;
            self.insns[*at].off = distance as i16;
        }
        Ok(self.insns)
    }

    /// Partial answers first, then no, then yes, which is the exit alone: the answer stands at 1 until no changes it.
    fn answers(&mut self, wanted: &[Access]) {
        let no = self.common;
        let partial: Vec<Access> = wanted.iter().copied().filter(|a| *a != ALL && *a != no).collect();
        let refuses = wanted.contains(&no) || !partial.is_empty();
        self.drop_last_jump(partial.first().copied().unwrap_or(if refuses { no } else { ALL }));
        for access in partial {
            self.label(Label::Answer(access));
            self.jump_if(ANY_BIT, ASKED, beyond(access), Label::Answer(no));
            self.emit(EXIT, 0, 0);
        }
        if refuses {
            self.label(Label::Answer(no));
            self.emit(MOVE, ANSWER, 0);
        }
        self.label(Label::Answer(ALL));
        self.emit(EXIT, 0, 0);
    }

    /// A jump to what stands next anyway is left out.
    fn drop_last_jump(&mut self, next: Access) {
        let here = self.insns.len();
        if let Some((at, label)) = self.jumps.last().copied()
            && at + 1 == here
            && self.insns[at].code == JUMP
            && label == Label::Answer(next)
        {
            self.jumps.pop();
            self.insns.pop();
            self.labels.values_mut().filter(|target| **target == here).for_each(|target| *target -= 1);
        }
    }
}

fn answer_of(label: Label) -> Option<Access> {
    match label {
        Label::Answer(access) => Some(access),
        _ => None,
    }
}

/// The bits of the first word that ask for more than `access`.
fn beyond(access: Access) -> i32 {
    i32::from(ALL & !access) << ACCESS_SHIFT
}

/// The minors (all below 32) per answer, as a set of bits.
fn answers(minors: &Minors) -> BTreeMap<Access, u32> {
    let mut sets = BTreeMap::new();
    for (minor, access) in &minors.named {
        *sets.entry(*access).or_default() |= 1u32.checked_shl(*minor).unwrap_or(0);
    }
    sets
}

/// Neighbouring minors with one answer.
struct Run {
    first: u32,
    last: u32,
    access: Access,
}

fn runs(minors: &Minors) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (minor, access) in &minors.named {
        match runs.last_mut() {
            Some(run) if run.access == *access && run.last.checked_add(1) == Some(*minor) => run.last = *minor,
            _ => runs.push(Run { first: *minor, last: *minor, access: *access }),
        }
    }
    runs
}

fn chain_len(minors: &Minors) -> usize {
    runs(minors).iter().map(|run| if run.first == run.last { 1 } else { 2 }).sum()
}
