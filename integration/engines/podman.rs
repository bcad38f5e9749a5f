//! Podman with conmon.

use crate::compare::{Engine, Operation, any};

pub const ENGINE: Engine =
    Engine { name: "podman", start: START, stop: STOP, prelude: PRELUDE, operations: OPERATIONS, known: &[] };

const START: &str = r#"
export CONTAINERS_CONF="$CONFIG/podman/containers.conf"
podman import busybox.tar base >id 2>&1
"#;

const STOP: &str = r#"
podman rm -fa >removed
"#;

const PRELUDE: &str = r#"
export CONTAINERS_CONF="$CONFIG/podman/containers.conf"
run() { podman --runtime "$RUNTIME" run --rm --network none "$@"; }
"#;

const OPERATIONS: &[Operation] = &[any("run: output", 0, "run base sh -c 'echo out; echo err >&2'")];
