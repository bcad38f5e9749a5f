//! `linux.memoryPolicy`: from which NUMA nodes a process's memory comes (set_mempolicy(2)).

use super::sets::{self, Mask};
use anyhow::{Context, Result, bail};
use oci_spec::runtime::{LinuxMemoryPolicy, MemoryPolicyFlagType, MemoryPolicyModeType};

/// What set_mempolicy(2) is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// `MPOL_*`, with `MPOL_F_*` in it.
    pub mode: i32,
    /// Empty where no node is named.
    pub nodes: Mask,
}

/// How many nodes a mode takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nodes {
    None,
    Any,
    Some,
}

/// Each mode: its name, its number in linux/mempolicy.h, and the nodes that it takes.
const MODES: [(&str, MemoryPolicyModeType, i32, Nodes); 7] = [
    ("MPOL_DEFAULT", MemoryPolicyModeType::MpolDefault, 0, Nodes::None),
    ("MPOL_BIND", MemoryPolicyModeType::MpolBind, 2, Nodes::Some),
    ("MPOL_INTERLEAVE", MemoryPolicyModeType::MpolInterleave, 3, Nodes::Some),
    ("MPOL_WEIGHTED_INTERLEAVE", MemoryPolicyModeType::MpolWeightedInterleave, 6, Nodes::Some),
    ("MPOL_PREFERRED", MemoryPolicyModeType::MpolPreferred, 1, Nodes::Any),
    ("MPOL_PREFERRED_MANY", MemoryPolicyModeType::MpolPreferredMany, 5, Nodes::Some),
    ("MPOL_LOCAL", MemoryPolicyModeType::MpolLocal, 4, Nodes::None),
];

/// Each flag: its name, and its bit in the mode.
const FLAGS: [(&str, MemoryPolicyFlagType, i32); 3] = [
    ("MPOL_F_NUMA_BALANCING", MemoryPolicyFlagType::MpolFNumaBalancing, 1 << 13),
    ("MPOL_F_RELATIVE_NODES", MemoryPolicyFlagType::MpolFRelativeNodes, 1 << 14),
    ("MPOL_F_STATIC_NODES", MemoryPolicyFlagType::MpolFStaticNodes, 1 << 15),
];

const PREFERRED: i32 = 1;
const BALANCING: i32 = FLAGS[0].2;
/// How the nodes are meant; both at once is nothing.
const MEANING: i32 = FLAGS[1].2 | FLAGS[2].2;

/// As many nodes as the kernel can be built for (`CONFIG_NODES_SHIFT` is at most 10).
const MOST_NODES: usize = 1 << 10;

/// The names of all modes, for `features`.
pub fn modes() -> Vec<&'static str> {
    MODES.iter().map(|(name, ..)| *name).collect()
}

/// The names of all flags, for `features`.
pub fn flags() -> Vec<&'static str> {
    FLAGS.iter().map(|(name, ..)| *name).collect()
}

/// Plans `linux.memoryPolicy` by the rules of set_mempolicy(2).
pub fn plan(spec: &LinuxMemoryPolicy) -> Result<MemoryPolicy> {
    let Some((name, _, mode, takes)) = MODES.iter().find(|(_, mode, ..)| *mode == spec.mode()) else {
        bail!("linux.memoryPolicy.mode: {} is unknown", spec.mode());
    };
    let set = spec.flags().as_deref().unwrap_or_default();
    let flags = FLAGS.iter().filter(|(_, flag, _)| set.contains(flag)).fold(0, |all, (.., bit)| all | bit);
    let text = spec.nodes().as_deref().unwrap_or_default();
    let nodes = match text {
        "" => Mask::new(),
        text => sets::parse(text, MOST_NODES).context("linux.memoryPolicy.nodes")?,
    };
    match (takes, nodes.is_empty()) {
        (Nodes::None, false) => bail!("linux.memoryPolicy.nodes: {name} takes no nodes, not {text:?}"),
        (Nodes::Some, true) => bail!("linux.memoryPolicy.nodes: {name} needs at least one node"),
        _ => {}
    }
    if flags & MEANING == MEANING {
        bail!("linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other");
    }
    if flags & MEANING != 0 && nodes.is_empty() && (*takes == Nodes::None || *mode == PREFERRED) {
        bail!("linux.memoryPolicy.flags: say how nodes are meant, and {name} has none here");
    }
    if flags & BALANCING != 0 && !matches!(*name, "MPOL_BIND" | "MPOL_PREFERRED_MANY") {
        bail!(
            "linux.memoryPolicy.flags: MPOL_F_NUMA_BALANCING is for MPOL_BIND and MPOL_PREFERRED_MANY only, not {name}"
        );
    }
    Ok(MemoryPolicy { mode: mode | flags, nodes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn planned(json: Value) -> Result<MemoryPolicy> {
        plan(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn every_mode_and_flag_has_its_number() {
        for (name, _, mode, takes) in MODES {
            let nodes = if takes == Nodes::Some { "0-1" } else { "" };
            assert_eq!(planned(json!({ "mode": name, "nodes": nodes })).unwrap().mode, mode, "{name}");
        }
        for (name, _, bit) in FLAGS {
            let policy = planned(json!({ "mode": "MPOL_BIND", "nodes": "2", "flags": [name] })).unwrap();
            assert_eq!((policy.mode, policy.nodes[0], policy.nodes.len()), (2 | bit, 4, 16), "{name}");
        }
        assert!(planned(json!({ "mode": "MPOL_DEFAULT" })).unwrap().nodes.is_empty());
        assert!(planned(json!({ "mode": "MPOL_PREFERRED" })).unwrap().nodes.is_empty());
    }

    #[test]
    fn refusals_name_the_place() {
        for (json, expected) in [
            (json!({ "mode": "MPOL_BIND" }), "linux.memoryPolicy.nodes: MPOL_BIND needs at least one node"),
            (json!({ "mode": "MPOL_LOCAL", "nodes": "0" }), "linux.memoryPolicy.nodes: MPOL_LOCAL takes no nodes"),
            (json!({ "mode": "MPOL_DEFAULT", "nodes": "0" }), "linux.memoryPolicy.nodes: MPOL_DEFAULT takes no nodes"),
            (json!({ "mode": "MPOL_BIND", "nodes": "0-" }), "linux.memoryPolicy.nodes: \"0-\" is not a list"),
            (json!({ "mode": "MPOL_BIND", "nodes": "1024" }), "linux.memoryPolicy.nodes: 1024 is not below 1024"),
            (
                json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"] }),
                "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude",
            ),
            (
                json!({ "mode": "MPOL_LOCAL", "flags": ["MPOL_F_STATIC_NODES"] }),
                "linux.memoryPolicy.flags: say how nodes are meant, and MPOL_LOCAL has none",
            ),
            (
                json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"] }),
                "linux.memoryPolicy.flags: MPOL_F_NUMA_BALANCING is for",
            ),
        ] {
            let text = format!("{:#}", planned(json).unwrap_err());
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
