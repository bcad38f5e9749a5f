//! buildah, which makes containers without conmon: it calls the runtime and waits for the container itself.

use crate::compare::{Engine, Operation, full};

pub const ENGINE: Engine =
    Engine { name: "buildah", start: START, stop: STOP, prelude: PRELUDE, operations: OPERATIONS, known: &[] };

const START: &str =
    "podman import busybox.tar base >id 2>&1; buildah from --pull-never --name work localhost/base >id\n";

const STOP: &str = "buildah rm -a >removed\n";

const PRELUDE: &str = r#"
run() { buildah run --isolation oci --runtime "$RUNTIME_PATH" --network none "$@"; }
build() { buildah bud --isolation oci --runtime "$RUNTIME_PATH" --network none --pull-never -q "$@"; }
"#;

const OPERATIONS: &[Operation] = &[
    full("run: output, input", 0, r#"echo typed | run work -- sh -c 'cat; echo err >&2; cat /proc/1/comm'"#),
    full("run: no such program", 1, r#"words 'executable file.* not found in $PATH' run work -- missing"#),
    full(
        "run: user, folder, environment",
        0,
        r#"run --user guest --workingdir /tmp -e A=b work -- sh -c 'id; pwd; echo $A $HOME'"#,
    ),
    full(
        "bud",
        0,
        r#"printf 'FROM localhost/base\nRUN id -u >/made && cat /proc/self/comm >>/made\nUSER guest\nRUN whoami >/tmp/who\nWORKDIR /tmp\n' >Dockerfile
        build -t built -f Dockerfile . >id; made=$(buildah from --pull-never localhost/built); run $made -- sh -c 'pwd; cat /made who'"#,
    ),
    full(
        "bud: a step that fails",
        7,
        r#"printf 'FROM localhost/base\nRUN exit 7\n' >Dockerfile; words 'exit status 7' build -t failed -f Dockerfile ."#,
    ),
];
