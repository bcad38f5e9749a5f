//! Kubernetes: containerd's CRI service with the configuration of docs/engines/containerd, asked for what the kubelet asks
//! for by the driver in integration/cri.

use crate::compare::{Engine, Operation, any, full, long};
use crate::containerd::{START, STOP};
use crate::known::{Known, directory, weight};

pub const ENGINE: Engine =
    Engine { name: "cri", start: START, stop: STOP, prelude: PRELUDE, operations: OPERATIONS, known: KNOWN };

const PRELUDE: &str = r#"
[ "$NATIVE" ] || systemd=--systemd
handler=$(sed -n 's/^handler: //p' "$CONFIG/kubernetes/runtimeclass.yaml")
[ "$RUNTIME" = rt ] || handler=$RUNTIME
cri() { "$CRI" "$WORK/containerd.sock" "$handler" ${systemd:-} "$WORK" "$@"; }
"#;

/// Those on one line share a pod where they can: under emulation a pod takes longer than what is asked of it.
const OPERATIONS: &[Operation] = &[
    any("ready for pods", 0, "cri ready"),
    any("pod sandbox", 0, "cri sandbox"),
    any("pod: shared namespaces", 0, "cri pod-namespaces"),
    long("pod: shared process namespaces", 0, "cri pod-processes target-processes"),
    long("pod: the host's namespaces, sysctls", 0, "cri host-namespaces sysctls"),
    full("pod: user namespace", 0, "cri user-namespace"),
    any("exit codes, logs, what does not start", 0, "cri exit-codes start-errors"),
    any("exec sync", 0, "cri exec-sync"),
    any("exec stream, terminal, resize, attach", 0, "cri exec-stream exec-terminal attach"),
    any("stop, grace period", 0, "cri stop"),
    long("restart policy", 0, "cri restarts"),
    long("removal", 0, "cri removal"),
    long("checkpoint: not in this containerd", 0, "cri checkpoint"),
    long("users, groups, capabilities", 0, "cri users capabilities"),
    long("paths, devices, limits by default, seccomp", 0, "cri defaults profiles"),
    long("privileged", 0, "cri privileged"),
    full("AppArmor", 0, "cri apparmor"),
    long("volumes, devices", 0, "cri volumes devices recursive-read-only"),
    long("volumes: mount propagation", 0, "cri propagation"),
    full("limits", 0, "cri limits"),
    full("limits: resize in place", 0, "cri update"),
    full("limits: out of memory", 0, "cri oom"),
    full("statistics", 0, "cri stats"),
    long(
        "containerd restarted while containers run",
        0,
        r#"
cri leave
kill $(cat containerd.pid)
"$SELF" ended containerd
. ./serve
cri found || { tail -n 30 containerd.log >&2; exit 1; }
"#,
    ),
    any("nothing is left", 0, "ls -A /run/containerd/runc/k8s.io"),
];

const KNOWN: &[Known] = &[
    directory("exec sync"),
    directory("exit codes, logs, what does not start"),
    weight("limits", "cpu.weight 59", &["cpu.weight 20"]),
    weight("limits: resize in place", "cpu.weight 59", &["cpu.weight 20"]),
    weight("limits: resize in place", "cpu.weight 100", &["cpu.weight 39"]),
];
