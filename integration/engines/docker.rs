//! Docker: dockerd with the configuration of docs/engines/docker, the runtime both named and as default.

use crate::compare::{Engine, Known, Operation, any, full, native};

/// systemd makes the containers' cgroups.
pub const ENGINE: Engine =
    Engine { name: "docker", start: START, stop: STOP, prelude: PRELUDE, operations: OPERATIONS, known: KNOWN };

/// What the driver of cgroups is for, with the other driver.
pub const CGROUPFS: Engine = Engine {
    name: "docker-cgroupfs",
    start: concat!("export DRIVER=cgroupfs\n", include_str!("docker/start.sh")),
    stop: STOP,
    prelude: PRELUDE,
    operations: CGROUPFS_OPERATIONS,
    known: &[],
};

const START: &str = include_str!("docker/start.sh");
const STOP: &str = include_str!("docker/stop.sh");
const PRELUDE: &str = include_str!("docker/prelude.sh");

const OPERATIONS: &[Operation] = &[
    native("info", 0, r#"docker info -f '{{.DefaultRuntime}} {{.CgroupVersion}} {{.Warnings}}'"#),
    any(
        "run by the default runtime",
        0,
        r#"echo typed | docker run --rm -i --network none base sh -c 'cat; echo err >&2'"#,
    ),
    native("run: exit code", 3, r#"run base sh -c 'exit 3'"#),
    any("run: no such program", 127, r#"run base missing"#),
    native("run: no such path", 127, r#"run base /bin/missing"#),
    native("run: a folder as program", 126, r#"run base /etc"#),
    native("run: a file that is no program", 126, r#"run base /etc/passwd"#),
    native("run: a working directory that cannot be", 125, r#"words 'not a directory' run -w /etc/passwd base true"#),
    native("run: killed", 0, r#"detached killed base sleep 1000; docker kill killed; ended killed"#),
    any("run: stopped", 0, r#"detached stopped --init base sleep 1000; docker stop stopped; ended stopped"#),
    native("run: crashed", 139, r#"run --init base sh -c 'kill -SEGV $$'"#),
    native(
        "run -it",
        0,
        r#"terminal "docker run --rm -it --network none --runtime $RUNTIME base sh -c 'tty; $SIZE; echo \$TERM'""#,
    ),
    any("exec: output", 0, r#"shared; docker exec shared sh -c 'echo out; echo err >&2; cat /proc/1/comm'"#),
    native("exec: exit code", 7, r#"shared; docker exec shared sh -c 'exit 7'"#),
    any(
        "exec: user, folder, environment",
        0,
        r#"shared; docker exec -u guest -w /tmp -e A=b shared sh -c 'id; pwd; echo $A $HOME'"#,
    ),
    native("exec: standard input", 0, r#"shared; echo typed | docker exec -i shared cat"#),
    full(
        "exec --privileged",
        0,
        r#"shared; docker exec --privileged shared grep -E 'Cap|NoNew|Seccomp:' /proc/self/status"#,
    ),
    full("exec: no such program", 126, r#"shared; docker exec shared missing"#),
    native("exec: a folder as program", 126, r#"shared; docker exec shared /etc"#),
    full("exec -it", 5, r#"shared; terminal "docker exec -it shared sh -c 'tty; $SIZE; exit 5'""#),
    native("logs", 0, r#"shared; docker logs shared"#),
    native(
        "attach",
        0,
        r#"detached reader -i base head -n 1; echo typed | docker attach reader >attached; ended reader; docker logs reader"#,
    ),
    any(
        "pause, unpause",
        0,
        r#"shared; docker pause shared; state shared; docker exec shared true || echo $?; docker unpause shared; docker exec shared echo on"#,
    ),
    native("top", 0, r#"shared; docker top shared -o pid,comm | sed "s/^[0-9 ]*//""#),
    native(
        "inspect",
        0,
        r#"shared; docker inspect -f '{{.State.Status}} {{.HostConfig.Runtime}} {{.RestartCount}}' shared"#,
    ),
    native(
        "cp",
        0,
        r#"shared; echo text >f; docker cp -q f shared:/root/f; docker exec shared cat /root/f; docker cp -q shared:/etc/group g; cat g"#,
    ),
    full(
        "update",
        0,
        r#"shared; docker update -m 80m --memory-swap 160m --cpus 0.3 --pids-limit 77 shared; docker exec shared sh -c "$LIMITS""#,
    ),
    full(
        "stats",
        0,
        r#"shared; docker stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}}' shared | sed 's| [^ ]* /| of|'"#,
    ),
    native(
        "restart",
        0,
        r#"shared; docker restart -t 60 shared; docker exec shared echo on; docker inspect -f '{{.State.ExitCode}}' shared"#,
    ),
    native(
        "stop, start, rm -f",
        0,
        r#"shared; docker stop -t 60 shared; ended shared; docker start shared; docker exec shared echo on; docker rm -f shared; rm shared"#,
    ),
    full(
        "run: limits",
        0,
        r#"run -m 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 50 base sh -c "$LIMITS""#,
    ),
    full(
        "run: out of memory",
        0,
        r#"detached greedy -m 16m --memory-swap 16m base tail /dev/zero; ended greedy; docker inspect -f '{{.State.OOMKilled}}' greedy"#,
    ),
    native(
        "run: a device",
        1,
        r#"run --device /dev/fuse:/dev/mine:r base sh -c 'ls -l /dev/mine | cut -c1-10; : </dev/mine && echo read; : >/dev/mine'"#,
    ),
    native(
        "run: security",
        0,
        r#"run --cap-add NET_ADMIN base sh -c 'grep -E "Cap|NoNew|Seccomp:" /proc/self/status; cat /proc/self/attr/current || true'"#,
    ),
    native(
        "run: security, less and more",
        0,
        r#"run --cap-drop ALL --cap-add CHOWN --security-opt no-new-privileges --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
        base sh -c 'grep -E "Cap|NoNew|Seccomp:" /proc/self/status; cat /proc/self/attr/current || true'"#,
    ),
    native(
        "run: a filter of one's own",
        1,
        r#"echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":13}]}' >deny
        run --security-opt seccomp=deny base mkdir /x"#,
    ),
    native(
        "run --read-only --tmpfs",
        1,
        r#"run --read-only --tmpfs /tmp:size=64k,mode=700 base sh -c 'echo x >/tmp/x; grep -E " /(tmp)? " /proc/mounts | cut -d" " -f2,3; echo x >/x'"#,
    ),
    native(
        "run: what is mounted",
        0,
        r#"run base sh -c 'cut -d" " -f2- /proc/mounts | grep -vE "^/ |^/etc/" | sed -E "s/,(size|nr_inodes)=[^ ,]*//g"'"#,
    ),
    any(
        "run: user, folder, name, sysctl, ulimit",
        0,
        r#"run -u 1000:2000 --group-add 3000 -w /new/folder -h name -e A=b --sysctl net.ipv4.ip_forward=1 --ulimit nofile=100:200 \
        base sh -c 'id -u; id -G; pwd; hostname; echo $A $HOME; cat /proc/sys/net/ipv4/ip_forward; ulimit -n; ulimit -Hn'"#,
    ),
    native("run: a sysctl that is none", 127, r#"words 'no such file or directory' run --sysctl net.none=1 base true"#),
    full(
        "run: a bridge",
        0,
        r#"docker run -d --rm --name web --runtime $RUNTIME base httpd -f -h /etc >id
        docker run --rm --runtime $RUNTIME base wget -qO- http://$(docker inspect -f '{{.NetworkSettings.IPAddress}}' web)/passwd
        docker run --rm --runtime $RUNTIME --network container:web base wget -qO- http://127.0.0.1/group; docker kill web"#,
    ),
    native(
        "run: the host's namespaces",
        0,
        r#"docker run --rm --runtime $RUNTIME --network host --pid host --ipc host --uts host --userns host --cgroupns host base sh -c 'for kind in cgroup ipc net pid user uts; do readlink /proc/self/ns/$kind; done' >inside
        for kind in cgroup ipc mnt net pid user uts; do grep -qxF "$(readlink /proc/self/ns/$kind)" inside && echo $kind; done; true"#,
    ),
    native(
        "run: another's namespaces",
        0,
        r#"shared; run --pid container:shared --ipc container:shared base sh -c 'cat /proc/1/comm; readlink /proc/self/ns/ipc; readlink /proc/1/ns/ipc' | uniq | wc -l; docker rm -f shared; rm shared"#,
    ),
    native(
        "run: volumes",
        1,
        r#"mkdir -p v/sub; echo text >v/f; run -v $WORK/v:/ro:ro -v $WORK/v:/rw --mount type=tmpfs,dst=/t,tmpfs-size=64k base sh -c 'cat /ro/f; echo more >>/rw/f; cat /ro/f; grep -c " /t " /proc/mounts; echo x >/ro/x'"#,
    ),
    any(
        "health check",
        0,
        r#"detached well --health-cmd 'test -e /healthy' --health-interval 1s --health-retries 1 base sleep 1000
        health unhealthy; docker exec well touch /healthy; health healthy; docker kill well"#,
    ),
    native(
        "restart policy",
        0,
        r#"detached again --restart on-failure:1 base false
        until [ $(state again) = exited ]; do sleep 0.1; done; docker inspect -f '{{.RestartCount}} {{.State.ExitCode}}' again"#,
    ),
    native(
        "events",
        0,
        r#"since=$(date +%s); run --name told base true; docker events --since $since --until $(($(date +%s) + 1)) --filter container=told --format '{{.Action}}'"#,
    ),
    full(
        "build",
        0,
        r#"printf 'FROM base\nRUN id -u >/made && grep Cap /proc/self/status >>/made\nUSER guest\nRUN whoami\nCMD cat /made\n' >Dockerfile
        docker build -q -t built --network none - <Dockerfile >id; run built"#,
    ),
];

const CGROUPFS_OPERATIONS: &[Operation] = &[
    full(
        "run: limits",
        0,
        r#"run -m 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 50 base sh -c "$LIMITS""#,
    ),
    full(
        "run: below a cgroup of one's own",
        0,
        r#"run --cgroup-parent /mine --cgroupns host base cat /proc/self/cgroup; rmdir /sys/fs/cgroup/mine"#,
    ),
    full("exec", 0, r#"shared; docker exec shared cat /proc/self/cgroup"#),
    full(
        "update",
        0,
        r#"shared; docker update -m 80m --memory-swap 160m --cpus 0.3 --pids-limit 77 shared; docker exec shared sh -c "$LIMITS""#,
    ),
];

/// runc says only in 1.2 and later that a program is a directory.
const DIRECTORY: &str = "a defect of runc before 1.2: it leaves out that the program is a directory";

const KNOWN: &[Known] = &[
    Known {
        name: "run: a folder as program",
        rt: "\"/etc\": is a directory: permission denied",
        runc: "\"/etc\": permission denied",
        reason: DIRECTORY,
    },
    Known {
        name: "exec: a folder as program",
        rt: "\"/etc\": is a directory: permission denied",
        runc: "\"/etc\": permission denied",
        reason: DIRECTORY,
    },
];
