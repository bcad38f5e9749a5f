//! Docker: dockerd with the configuration of docs/engines/docker, the runtime both named and as default.

use crate::compare::{Engine, Operation, any, full};

pub const ENGINE: Engine =
    Engine { name: "docker", start: START, stop: STOP, prelude: PRELUDE, operations: OPERATIONS, known: &[] };

const START: &str = r#"
sed "s/\"default-runtime\": \"rt\"/\"default-runtime\": \"$RUNTIME\"/" "$CONFIG/docker/daemon.json" >daemon.json
if [ "$NATIVE" ]; then
    sed -i 's/cgroupdriver=systemd/cgroupdriver=cgroupfs/' daemon.json
    set -- --iptables=false --ip6tables=false --bridge=none --data-root "$WORK/data"
fi
DOCKER_BUILDKIT_RUNC_COMMAND=$RUNTIME_PATH setsid dockerd --config-file "$WORK/daemon.json" "$@" </dev/null >dockerd.log 2>&1 &
echo $! >dockerd.pid
until docker version >version 2>&1; do
    kill -0 $(cat dockerd.pid) || { cat dockerd.log >&2; exit 1; }
    sleep 0.1
done
docker import busybox.tar base >id
"#;

const STOP: &str = r#"
docker ps -aq | xargs -r docker rm -f >removed
kill $(cat dockerd.pid)
while kill -0 $(cat dockerd.pid) 2>still; do sleep 0.1; done
"#;

const PRELUDE: &str = r#"
run() { docker run --rm --network none --runtime "$RUNTIME" "$@"; }
"#;

const OPERATIONS: &[Operation] = &[
    any("run: output", 0, "run base sh -c 'echo out; echo err >&2'"),
    any("run: exit code", 3, "run base sh -c 'exit 3'"),
    any("run: no such program", 127, "run base missing"),
    full(
        "run: limits",
        0,
        "run -m 64m --cpus 0.5 --pids-limit 50 base sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max'",
    ),
];
