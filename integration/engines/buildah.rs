//! buildah, which makes containers without conmon: it calls the runtime and waits for the container itself.

use crate::compare::{Engine, Operation, full};
use crate::known::{Known, weight};

pub const ENGINE: Engine =
    Engine { name: "buildah", start: START, stop: STOP, prelude: PRELUDE, operations: OPERATIONS, known: KNOWN };

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
        "run: volumes",
        1,
        r#"mkdir -p volume; echo in >volume/file
        run -v "$PWD/volume:/volume" --mount type=tmpfs,dst=/memory work -- sh -c 'cat /volume/file; echo out >/volume/made; grep -c " /memory tmpfs " /proc/mounts'
        cat volume/made; run -v "$PWD/volume:/volume:ro" work -- touch /volume/file"#,
    ),
    full(
        "run: capabilities",
        0,
        "run --cap-add CAP_NET_ADMIN --cap-drop CAP_CHOWN work -- grep -E 'Cap(Prm|Bnd)' /proc/self/status",
    ),
    full(
        "from: limits",
        0,
        r#"buildah from --pull-never --memory 64m --cpu-shares 512 --ulimit nofile=100:200 --name limited localhost/base >id
        run limited -- sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.weight; ulimit -n; ulimit -Hn'; buildah rm limited >id"#,
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

const KNOWN: &[Known] = &[weight("from: limits", "\n59\n", &["\n20\n"])];
