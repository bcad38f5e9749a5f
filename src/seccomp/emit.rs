//! Lays out the program: which architecture, a binary search over its numbers, the chains, the answers.
//!
//! A jump of BPF goes forward only and, when conditional, at most 255 instructions far. So the program is built from
//! its end: whatever a jump leads to has its place already, and if that is too far away by then, a copy of the answer
//! or an unconditional jump is put in between. Positions count from the end until `finish` turns the program round.

use anyhow::{Result, ensure};
use seccompiler::sock_filter;

use super::chain::{Graph, Node, NodeId, Test};
use super::names::RET_KILL_THREAD;
use super::rules::{AbiRules, Policy, Verdict};
use super::syscalls::{ARM_PRIVATE, Abi, X32_BIT};

/// The longest program the kernel takes (BPF_MAXINSNS).
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

// Opcodes (linux/bpf_common.h) and where seccomp_data has what (linux/seccomp.h).
pub(super) const LD_ABS: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JA: u16 = 0x05;
pub(super) const JEQ: u16 = 0x15;
pub(super) const JGT: u16 = 0x25;
pub(super) const JGE: u16 = 0x35;
pub(super) const JSET: u16 = 0x45;
pub(super) const RET: u16 = 0x06;
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGS: u32 = 16;

/// From `start` to the next one's start every number goes to `leaf`.
#[derive(Debug, PartialEq)]
struct Interval {
    start: u32,
    leaf: NodeId,
}

/// A stretch of numbers that go to `leaf`, with few single ones inside it that go elsewhere: those cost one comparison
/// each, where as intervals of their own they would cost two.
struct Segment {
    start: u32,
    leaf: NodeId,
    except: Vec<(u32, NodeId)>,
}

/// More than this would make the path of the common numbers longer than a split does.
const MAX_EXCEPT: usize = 3;

/// Makes the program of a profile.
///
/// # Errors
/// When it would be longer than the kernel takes.
pub(crate) fn program(policy: &Policy) -> Result<Vec<sock_filter>> {
    let mut graph = Graph::default();
    let sections = sections(policy, &mut graph);
    let too_long =
        |n: usize| format!("linux.seccomp: the profile needs {n} instructions, the kernel takes {MAX_INSTRUCTIONS}");
    ensure!(graph.nodes.len() <= MAX_INSTRUCTIONS, too_long(graph.nodes.len()));
    let bad_arch = graph.answer(RET_KILL_THREAD);
    let mut layout = Layout::new(graph);
    layout.nodes(sections.iter().flat_map(|(_, s)| s.iter().map(|i| i.leaf)).chain([bad_arch]));
    let mut dispatch = Target::Node(bad_arch);
    let mut entries = Vec::new();
    for (arch, intervals) in sections.iter().rev() {
        let tree = layout.tree(&segments(intervals));
        entries.push((*arch, layout.section(tree)));
    }
    for (arch, entry) in entries {
        dispatch = layout.jump(JEQ, arch, entry, dispatch);
    }
    layout.push(LD_ABS, ARCH);
    let mut program = layout.out;
    ensure!(program.len() <= MAX_INSTRUCTIONS, too_long(program.len()));
    program.reverse();
    debug_assert!(matches!(dispatch, Target::At(_)));
    Ok(program)
}

/// The intervals of every audit architecture, the native one first.
fn sections(policy: &Policy, graph: &mut Graph) -> Vec<(u32, Vec<Interval>)> {
    let x32 = policy.abis.iter().find(|rules| rules.abi == Abi::X32);
    let separate = policy.abis.iter().filter(|rules| rules.abi != Abi::X32);
    separate
        .map(|rules| {
            let mut spans = Spans { policy, graph, intervals: Vec::with_capacity(512) };
            match rules.abi {
                Abi::X86_64 => spans.x86_64(rules, x32),
                Abi::Arm => spans.arm(rules),
                _ => spans.all(rules),
            }
            (rules.abi.audit_arch(), spans.intervals)
        })
        .collect()
}

struct Spans<'a> {
    policy: &'a Policy,
    graph: &'a mut Graph,
    intervals: Vec<Interval>,
}

impl Spans<'_> {
    fn push(&mut self, start: u32, leaf: NodeId) {
        if self.intervals.last().is_none_or(|last| last.leaf != leaf) {
            self.intervals.push(Interval { start, leaf });
        }
    }

    fn push_answer(&mut self, start: u32, ret: u32) {
        let leaf = self.graph.answer(ret);
        self.push(start, leaf);
    }

    /// `verdicts` on the numbers from `start`, the default for the gaps between, and from the newest on ENOSYS.
    fn span(&mut self, start: u32, rules: &AbiRules, verdicts: &[(u32, Verdict)], newest: Option<u32>) {
        let default = self.policy.default;
        let mut next = start;
        for (number, verdict) in verdicts {
            if *number > next {
                self.push_answer(next, default);
            }
            let leaf = match verdict {
                Verdict::Always(ret) => self.graph.answer(*ret),
                Verdict::When(chain) => self.graph.chain(&rules.chains[*chain], default, rules.abi.wide()),
            };
            self.push(*number, leaf);
            next = number + 1;
        }
        if let Some(newest) = newest.filter(|newest| *newest >= next) {
            self.push_answer(next, default);
            next = newest + 1;
        }
        self.push_answer(next, self.policy.beyond(newest));
    }

    fn all(&mut self, rules: &AbiRules) {
        self.span(0, rules, &rules.verdicts, rules.newest);
    }

    /// x86_64 and x32 share an audit architecture and differ in bit 30. Without x32 in the profile its numbers are
    /// answered as a foreign architecture's, as libseccomp does; not so -1, which tracers use to skip a call.
    fn x86_64(&mut self, rules: &AbiRules, x32: Option<&AbiRules>) {
        self.all(rules);
        if let Some(x32) = x32 {
            self.span(X32_BIT, x32, &x32.verdicts, x32.newest);
            self.push_answer(0x8000_0000, self.policy.beyond(rules.newest));
            self.push_answer(0xc000_0000, self.policy.beyond(x32.newest));
        } else {
            self.push_answer(X32_BIT, RET_KILL_THREAD);
            self.push_answer(u32::MAX, self.policy.default);
        }
    }

    /// The private calls of ARM are counted apart: else the newest named one would be one of them, and no new common
    /// call would ever be answered ENOSYS.
    fn arm(&mut self, rules: &AbiRules) {
        let common = rules.verdicts.partition_point(|(number, _)| *number < ARM_PRIVATE);
        self.span(0, rules, &rules.verdicts[..common], rules.newest);
        self.span(ARM_PRIVATE, rules, &rules.verdicts[common..], rules.newest_private.or(rules.newest));
    }
}

fn segments(intervals: &[Interval]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::with_capacity(intervals.len());
    let mut i = 0;
    while i < intervals.len() {
        let Interval { start, leaf } = intervals[i];
        let mut except = Vec::new();
        while except.len() < MAX_EXCEPT
            && let [single, back, ..] = &intervals[i + 1..]
            && back.leaf == leaf
            && back.start - single.start == 1
        {
            except.push((single.start, single.leaf));
            i += 2;
        }
        segments.push(Segment { start, leaf, except });
        i += 1;
    }
    segments
}

/// Where a jump leads.
#[derive(Clone, Copy)]
enum Target {
    Node(NodeId),
    /// The instruction with this position.
    At(usize),
}

/// What a node is asked for: to be entered as it is, or with the half it tests already in the accumulator.
#[derive(Clone, Copy, Default)]
struct Entries<T> {
    fresh: T,
    loaded: T,
}

struct Layout {
    graph: Graph,
    /// The program, last instruction first.
    out: Vec<sock_filter>,
    /// The nearest position of each node that has one.
    places: Vec<Entries<Option<usize>>>,
}

impl Layout {
    fn new(graph: Graph) -> Layout {
        let places = vec![Entries::default(); graph.nodes.len()];
        Layout { graph, out: Vec::with_capacity(1024), places }
    }

    fn push(&mut self, code: u16, k: u32) -> usize {
        self.out.push(sock_filter { code, jt: 0, jf: 0, k });
        self.out.len() - 1
    }

    /// Lays out the nodes that `roots` lead to, children before parents.
    fn nodes(&mut self, roots: impl Iterator<Item = NodeId>) {
        let mut wanted = vec![Entries { fresh: false, loaded: false }; self.graph.nodes.len()];
        roots.for_each(|root| wanted[root as usize].fresh = true);
        for id in (0..wanted.len()).rev() {
            if let Node::Branch { yes, no, .. } = self.graph.nodes[id]
                && (wanted[id].fresh || wanted[id].loaded)
            {
                for child in [yes, no] {
                    let loaded = self.keeps(id as NodeId, child);
                    let entries = &mut wanted[child as usize];
                    if loaded { entries.loaded = true } else { entries.fresh = true }
                }
            }
        }
        for (id, wanted) in wanted.into_iter().enumerate() {
            if wanted.fresh || wanted.loaded {
                self.node(id, wanted.fresh);
            }
        }
    }

    /// Whether a node leaves in the accumulator what its child would load.
    fn keeps(&self, node: NodeId, child: NodeId) -> bool {
        match (self.graph.nodes[node as usize], self.graph.nodes[child as usize]) {
            (Node::Branch { half, test, .. }, Node::Branch { half: next, .. }) => {
                half == next && !matches!(test, Test::Masked(..))
            }
            _ => false,
        }
    }

    fn node(&mut self, id: usize, fresh: bool) {
        let (half, test, yes, no) = match self.graph.nodes[id] {
            Node::Return(ret) => {
                self.places[id].fresh = Some(self.push(RET, ret));
                return;
            }
            Node::Branch { half, test, yes, no } => (half, test, yes, no),
        };
        let (yes_loaded, no_loaded) = (self.keeps(id as NodeId, yes), self.keeps(id as NodeId, no));
        let (code, k) = match test {
            Test::Eq(k) | Test::Masked(_, k) => (JEQ, k),
            Test::Gt(k) => (JGT, k),
            Test::Ge(k) => (JGE, k),
            Test::Any(k) => (JSET, k),
        };
        let yes = self.place(yes, yes_loaded);
        let no = self.place(no, no_loaded);
        let mut at = self.branch(code, k, yes, no);
        if let Test::Masked(mask, _) = test {
            at = self.push(AND, mask);
        }
        self.places[id].loaded = Some(at);
        if fresh {
            self.places[id].fresh = Some(self.push(LD_ABS, ARGS + 4 * u32::from(half)));
        }
    }

    /// A position of a node that a conditional jump can reach, if it is among the next few instructions to be placed.
    fn place(&mut self, id: NodeId, loaded: bool) -> usize {
        let places = self.places[id as usize];
        let at = if loaded { places.loaded } else { places.fresh }.expect("children are laid out before parents");
        if self.reaches(at) {
            return at;
        }
        let nearer = match self.graph.nodes[id as usize] {
            Node::Return(ret) => self.push(RET, ret),
            Node::Branch { .. } => self.jump_always(at),
        };
        let places = &mut self.places[id as usize];
        *(if loaded { &mut places.loaded } else { &mut places.fresh }) = Some(nearer);
        nearer
    }

    /// Leaves room for what may be placed before the jump: its other target's copy.
    fn reaches(&self, at: usize) -> bool {
        self.out.len() - at < 250
    }

    fn jump_always(&mut self, to: usize) -> usize {
        let distance = self.out.len() - to - 1;
        self.push(JA, distance as u32)
    }

    fn branch(&mut self, code: u16, k: u32, yes: usize, no: usize) -> usize {
        let here = self.out.len();
        let distance = |to: usize| u8::try_from(here - to - 1).expect("`place` and `near` keep targets within reach");
        self.out.push(sock_filter { code, jt: distance(yes), jf: distance(no), k });
        here
    }

    fn near(&mut self, target: Target) -> usize {
        match target {
            Target::Node(id) => self.place(id, false),
            Target::At(at) if self.reaches(at) => at,
            Target::At(at) => self.jump_always(at),
        }
    }

    fn jump(&mut self, code: u16, k: u32, yes: Target, no: Target) -> Target {
        let (yes, no) = (self.near(yes), self.near(no));
        Target::At(self.branch(code, k, yes, no))
    }

    /// A binary search for the segment of the number in the accumulator.
    fn tree(&mut self, segments: &[Segment]) -> Target {
        if let [segment] = segments {
            let rest = Target::Node(segment.leaf);
            let except = segment.except.iter().rev();
            return except.fold(rest, |rest, (number, leaf)| self.jump(JEQ, *number, Target::Node(*leaf), rest));
        }
        let (left, right) = segments.split_at(segments.len() / 2);
        let start = right[0].start;
        let right = self.tree(right);
        let left = self.tree(left);
        self.jump(JGE, start, right, left)
    }

    /// The entry of an architecture's part.
    fn section(&mut self, tree: Target) -> Target {
        match tree {
            // Every number has the same answer.
            Target::Node(_) => tree,
            // Falls through: the root of the tree was placed last.
            Target::At(_) => Target::At(self.push(LD_ABS, NUMBER)),
        }
    }
}
