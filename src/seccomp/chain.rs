//! Conditions on arguments as a decision graph over 32-bit halves.
//!
//! Every node is a test of one half or an answer; a node is made once however often it is asked for, so equal tails of
//! conditions are shared between system calls and architectures. A child is always made before its parent, so the
//! numbers of nodes are an order to lay them out in.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::rules::{Cond, Conj, Op};

pub(crate) type NodeId = u32;

/// A half of an argument: twice its index, plus one for the upper half.
pub(crate) type Half = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Test {
    /// half == k
    Eq(u32),
    /// half > k
    Gt(u32),
    /// half >= k
    Ge(u32),
    /// half & k != 0
    Any(u32),
    /// half & mask == k
    Masked(u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Return(u32),
    Branch { half: Half, test: Test, yes: NodeId, no: NodeId },
}

/// What the tests on the way to a node have left possible: for each half the least and the greatest value.
type Known = [Range; 12];
type Range = (u32, u32);
const NOTHING_KNOWN: Known = [(0, u32::MAX); 12];

/// Beyond so many conditions on one call what is known is not followed, which keeps the graph linear in the profile.
const FOLLOWED: usize = 64;
/// And beyond so many steps no more is learned.
const STEPS: usize = 4096;

/// Maps with a quick hash: their keys are made here, and what a profile can make them collide in is its own start.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// A place in the list of rules.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    /// Before the first condition of this rule.
    Rule(usize),
    /// Before this condition of this rule.
    Cond(usize, usize),
    /// The upper half is not greater: is it equal?
    High(usize, usize),
    /// The upper half is equal (or not compared).
    Low(usize, usize),
}

#[derive(Default)]
pub(crate) struct Graph {
    pub nodes: Vec<Node>,
    ids: Map<Node, NodeId>,
    /// The few answers, which are asked for a thousand times.
    answers: Vec<(u32, NodeId)>,
}

impl Graph {
    pub(crate) fn answer(&mut self, ret: u32) -> NodeId {
        if let Some((_, id)) = self.answers.iter().find(|(known, _)| *known == ret) {
            return *id;
        }
        let id = self.intern(Node::Return(ret));
        self.answers.push((ret, id));
        id
    }

    /// The graph of: the first rule whose conditions all hold, else `default`. `wide` compares 64 bits, else 32.
    pub(crate) fn chain(&mut self, rules: &[(Conj, u32)], default: u32, wide: bool) -> NodeId {
        let conds: usize = rules.iter().map(|(conj, _)| conj.len()).sum();
        let learns = conds <= FOLLOWED;
        let mut walk = Walk { graph: self, rules, default, wide, learns, memo: Map::default() };
        if !learns {
            // From the end, so that the recursion never goes deeper than one rule.
            for i in (0..rules.len()).rev() {
                walk.step(At::Rule(i), NOTHING_KNOWN);
            }
        }
        walk.step(At::Rule(0), NOTHING_KNOWN)
    }

    fn intern(&mut self, node: Node) -> NodeId {
        *self.ids.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            (self.nodes.len() - 1) as NodeId
        })
    }
}

struct Walk<'a> {
    graph: &'a mut Graph,
    rules: &'a [(Conj, u32)],
    default: u32,
    wide: bool,
    learns: bool,
    memo: Map<(At, Known), NodeId>,
}

impl Walk<'_> {
    fn step(&mut self, at: At, known: Known) -> NodeId {
        if let Some(&id) = self.memo.get(&(at, known)) {
            return id;
        }
        let id = match at {
            At::Rule(i) if i == self.rules.len() => self.graph.answer(self.default),
            At::Rule(i) => self.step(At::Cond(i, 0), known),
            At::Cond(i, j) if j == self.rules[i].0.len() => self.graph.answer(self.rules[i].1),
            At::Cond(i, j) if !self.wide => self.step(At::Low(i, j), known),
            At::Cond(i, j) | At::High(i, j) | At::Low(i, j) => {
                let (half, test, yes, no) = self.test(at, self.rules[i].0[j], i, j);
                self.branch(half, test, yes, no, known)
            }
        };
        self.memo.insert((at, known), id);
        id
    }

    /// The test to make at a place and where its outcomes lead. An order of 64 bits is that of the upper halves unless
    /// these are equal.
    fn test(&self, at: At, cond: Cond, i: usize, j: usize) -> (Half, Test, At, At) {
        let (met, missed) = (At::Cond(i, j + 1), At::Rule(i + 1));
        let (greater, less) = if matches!(cond.op, Op::Gt | Op::Ge) { (met, missed) } else { (missed, met) };
        let low = matches!(at, At::Low(..));
        let half = 2 * cond.arg + u8::from(!low);
        let shift = if low { 0 } else { 32 };
        let (mask, k) = ((cond.mask >> shift) as u32, (cond.value >> shift) as u32);
        let equal = if low { met } else { At::Low(i, j) };
        let (test, yes, no) = match (at, cond.op) {
            (At::Cond(..), Op::Lt | Op::Le | Op::Gt | Op::Ge) => (Test::Gt(k), greater, At::High(i, j)),
            (At::High(..), _) => (Test::Eq(k), At::Low(i, j), less),
            (_, Op::Gt | Op::Le) => (Test::Gt(k), greater, less),
            (_, Op::Ge | Op::Lt) => (Test::Ge(k), greater, less),
            (_, Op::Eq) => (Test::Eq(k), equal, missed),
            (_, Op::Ne) => (Test::Eq(k), if low { missed } else { equal }, met),
            (_, Op::Masked) if k == 0 => (Test::Any(mask), missed, equal),
            (_, Op::Masked) if mask == u32::MAX => (Test::Eq(k), equal, missed),
            (_, Op::Masked) => (Test::Masked(mask, k), equal, missed),
        };
        (half, test, yes, no)
    }

    fn branch(&mut self, half: Half, test: Test, yes: At, no: At, known: Known) -> NodeId {
        let range = known[usize::from(half)];
        let (if_yes, if_no) = learn(test, range);
        let mut go = |at, range: Option<Range>| {
            let mut known = known;
            if let Some(range) = range.filter(|_| self.learns && self.memo.len() < STEPS) {
                known[usize::from(half)] = range;
            } else {
                known = NOTHING_KNOWN;
            }
            self.step(at, known)
        };
        match (if_yes, if_no) {
            (Some(_), None) => go(yes, Some(range)),
            (None, _) => go(no, Some(range)),
            (Some(y), Some(n)) => {
                let (yes, no) = (go(yes, Some(y)), go(no, Some(n)));
                if yes == no { yes } else { self.graph.intern(Node::Branch { half, test, yes, no }) }
            }
        }
    }
}

/// What a half within `range` is known to be after the test said yes and after it said no; `None` where it cannot say so.
fn learn(test: Test, range: Range) -> (Option<Range>, Option<Range>) {
    let (min, max) = range;
    let some = |min, max| (min <= max).then_some((min, max));
    match test {
        Test::Eq(k) if k < min || k > max => (None, Some(range)),
        Test::Eq(k) if min == max => (Some((k, k)), None),
        Test::Eq(k) if k == min => (Some((k, k)), Some((min + 1, max))),
        Test::Eq(k) if k == max => (Some((k, k)), Some((min, max - 1))),
        Test::Eq(k) => (Some((k, k)), Some(range)),
        Test::Gt(k) => (k.checked_add(1).and_then(|k| some(min.max(k), max)), some(min, max.min(k))),
        Test::Ge(k) => (some(min.max(k), max), k.checked_sub(1).and_then(|k| some(min, max.min(k)))),
        Test::Any(0) => (None, Some(range)),
        Test::Any(mask) if min == max => verdict(min & mask != 0, range),
        Test::Masked(mask, k) if min == max => verdict(min & mask == k, range),
        Test::Any(_) | Test::Masked(..) => (Some(range), Some(range)),
    }
}

fn verdict(holds: bool, range: Range) -> (Option<Range>, Option<Range>) {
    if holds { (Some(range), None) } else { (None, Some(range)) }
}
