//! Kubernetes: containerd's CRI service with the configuration of docs/engines/containerd, asked for what the kubelet asks
//! for by the driver in integration/cri.

use crate::compare::{Engine, Known, Operation, any, full, native};
use crate::containerd::{START, STOP};

pub const ENGINE: Engine =
    Engine { name: "cri", start: START, stop: STOP, prelude: PRELUDE, operations: OPERATIONS, known: KNOWN };

const PRELUDE: &str = r#"
[ "$NATIVE" ] || systemd=--systemd
handler=$(sed -n 's/^handler: //p' "$CONFIG/kubernetes/runtimeclass.yaml")
[ "$RUNTIME" = rt ] || handler=$RUNTIME
cri() { "$CRI" "$WORK/containerd.sock" "$handler" ${systemd:-} "$WORK" "$1"; }
"#;

const OPERATIONS: &[Operation] = &[
    any("ready for pods", 0, "cri ready"),
    any("pod sandbox", 0, "cri sandbox"),
    any("pod: shared namespaces", 0, "cri pod-namespaces"),
    native("pod: shared process namespace", 0, "cri pod-processes"),
    native("pod: a debug container in another's process namespace", 0, "cri target-processes"),
    native("pod: the host's namespaces", 0, "cri host-namespaces"),
    native("pod: sysctls", 0, "cri sysctls"),
    full("pod: user namespace", 0, "cri user-namespace"),
    any("exit codes and logs", 0, "cri exit-codes"),
    native("start: what fails", 0, "cri start-errors"),
    any("exec sync", 0, "cri exec-sync"),
    native("exec stream", 0, "cri exec-stream"),
    any("exec stream: terminal, resize", 0, "cri exec-terminal"),
    native("attach", 0, "cri attach"),
    any("stop, grace period", 0, "cri stop"),
    any("restart policy", 0, "cri restarts"),
    native("removal", 0, "cri removal"),
    native("checkpoint: not in this containerd", 0, "cri checkpoint"),
    native("users and groups", 0, "cri users"),
    native("capabilities", 0, "cri capabilities"),
    native("privileged", 0, "cri privileged"),
    native("paths, devices, limits by default", 0, "cri defaults"),
    native("seccomp profiles", 0, "cri profiles"),
    native("volumes", 0, "cri volumes"),
    native("volumes: mount propagation", 0, "cri propagation"),
    any("volumes: recursively read-only", 0, "cri recursive-read-only"),
    native("devices", 0, "cri devices"),
    full("limits: resize in place", 0, "cri update"),
    full("limits: out of memory", 0, "cri oom"),
    full("statistics", 0, "cri stats"),
    native(
        "containerd restarted while containers run",
        0,
        r#"
cri leave
kill $(cat containerd.pid)
while kill -0 $(cat containerd.pid) 2>still; do sleep 0.1; done
. ./serve
cri found || { tail -n 30 containerd.log >&2; exit 1; }
"#,
    ),
    any("nothing is left", 0, "ls -A /run/containerd/runc/k8s.io"),
];

const KNOWN: &[Known] = &[];
