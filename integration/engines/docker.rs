//! Docker: dockerd with the configuration of docs/engines/docker, the runtime both named and as default.

use crate::compare::{Engine, Operation, any, full, full_long, long};
use crate::known::{Known, directory, weight};

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
    known: CGROUPFS_KNOWN,
};

const START: &str = include_str!("docker/start.sh");
const STOP: &str = include_str!("docker/stop.sh");
const PRELUDE: &str = include_str!("docker/prelude.sh");

/// A build from an image that is there.
macro_rules! build {
    () => {
        r#"printf 'FROM base\nRUN id -u >/made && grep Cap /proc/self/status >>/made\nUSER guest\nRUN whoami\nCMD cat /made\n' >Dockerfile
        docker build -q -t built --network none - <Dockerfile >id 2>said || { cat said; exit 1; }; run built"#
    };
}

const OPERATIONS: &[Operation] = &[
    long("info", 0, r#"docker info -f '{{.DefaultRuntime}} {{.CgroupVersion}} {{.Warnings}}'"#),
    any(
        "run by the default runtime",
        0,
        r#"echo typed | docker run --rm -i --network none base sh -c 'cat; echo err >&2'"#,
    ),
    long("run: exit code", 3, r#"run base sh -c 'exit 3'"#),
    any("run: no such program", 127, r#"run base missing"#),
    long("run: no such path", 127, r#"run base /bin/missing"#),
    long("run: a folder as program", 126, r#"run base /etc"#),
    long("run: a file that is no program", 126, r#"run base /etc/passwd"#),
    long("run: a working directory that cannot be", 125, r#"words 'not a directory' run -w /etc/passwd base true"#),
    long("run: killed", 0, r#"detached killed base sleep 1000; docker kill killed; ended killed"#),
    any("run: stopped", 0, r#"detached stopped --init base sleep 1000; docker stop stopped; ended stopped"#),
    any("run: crashed", 139, r#"run --init base sh -c 'kill -SEGV $$'"#),
    any(
        "run -it",
        0,
        r#"terminal "docker run --rm -it --network none --runtime $RUNTIME base sh -c 'tty; $SIZE; echo \$TERM'""#,
    ),
    any("exec: output", 0, r#"shared; docker exec shared sh -c 'echo out; echo err >&2; cat /proc/1/comm'"#),
    any("exec: exit code", 7, r#"shared; docker exec shared sh -c 'exit 7'"#),
    any(
        "exec: user, folder, environment",
        0,
        r#"shared; docker exec -u guest -w /tmp -e A=b shared sh -c 'id; pwd; echo $A $HOME'"#,
    ),
    any("exec: standard input", 0, r#"shared; echo typed | docker exec -i shared cat"#),
    full(
        "exec --privileged",
        0,
        r#"shared; docker exec --privileged shared grep -E 'Cap|NoNew|Seccomp:' /proc/self/status"#,
    ),
    any("exec: no such program", 126, r#"shared; docker exec shared missing"#),
    any("exec: a folder as program", 126, r#"shared; docker exec shared /etc"#),
    any("exec -it", 5, r#"shared; terminal "docker exec -it shared sh -c 'tty; $SIZE; exit 5'""#),
    any("logs", 0, r#"shared; docker logs shared"#),
    long(
        "attach",
        0,
        r#"detached reader -i base head -n 1; echo typed | docker attach reader >attached; ended reader; docker logs reader"#,
    ),
    any(
        "pause, unpause",
        0,
        r#"shared; docker pause shared; state shared; docker exec shared true || echo $?; docker unpause shared; docker exec shared echo on"#,
    ),
    any("top", 0, r#"shared; docker top shared -o pid,comm | sed "s/^[0-9 ]*//""#),
    long(
        "inspect",
        0,
        r#"shared; docker inspect -f '{{.State.Status}} {{.HostConfig.Runtime}} {{.RestartCount}}' shared"#,
    ),
    any(
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
    long(
        "restart",
        0,
        r#"shared; docker restart -t 60 shared; docker exec shared echo on; docker inspect -f '{{.State.ExitCode}}' shared"#,
    ),
    long(
        "stop, start, rm -f",
        0,
        r#"shared; docker stop -t 60 shared; ended shared; docker start shared; docker exec shared echo on; docker rm -f shared; rm shared"#,
    ),
    full(
        "run: limits",
        0,
        r#"run -m 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 50 base sh -c "$LIMITS""#,
    ),
    full("run: out of memory", 0, GREEDY),
    any(
        "run: security",
        0,
        r#"run --cap-add NET_ADMIN base sh -c 'grep -E "Cap|NoNew|Seccomp:" /proc/self/status; cat /proc/self/attr/current || true'"#,
    ),
    any(
        "run: security, less and more",
        0,
        r#"run --cap-drop ALL --cap-add CHOWN --security-opt no-new-privileges --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
        base sh -c 'grep -E "Cap|NoNew|Seccomp:" /proc/self/status; cat /proc/self/attr/current || true'"#,
    ),
    full(
        "run: an AppArmor profile that is none",
        127,
        r#"words 'no such file or directory' run --security-opt apparmor=missing base true"#,
    ),
    full(
        "run --privileged",
        0,
        r#"run --privileged base sh -c 'grep -E "Cap|NoNew|Seccomp:" /proc/self/status; cat /proc/self/attr/current || true
        test -e /dev/fuse && echo device; grep -cE " (/proc|/sys)[^ ]* [^ ]* ro" /proc/mounts; mount -t tmpfs none /mnt 2>&1 || mkdir /mnt && mount -t tmpfs none /mnt && echo mounted'"#,
    ),
    long(
        "run: a filter of one's own",
        1,
        r#"echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":13}]}' >deny
        run --security-opt seccomp=deny base mkdir /x"#,
    ),
    any(
        "run: what is mounted, devices, volumes, read-only",
        1,
        r#"mkdir -p v/sub; echo text >v/f
        run --read-only --tmpfs /tmp:size=64k,mode=700 --mount type=tmpfs,dst=/t,tmpfs-size=64k -v $WORK/v:/ro:ro -v $WORK/v:/rw --device /dev/fuse:/dev/mine:r base sh -c \
        'cut -d" " -f2- /proc/mounts | grep -vE "^/ |^/etc/" | sed -E "s/,(size|nr_inodes)=[^ ,]*//g" | sort; echo x >/tmp/x; cat /ro/f; echo more >>/rw/f; cat /ro/f
        ls -l /dev/mine | cut -c1-10; : </dev/mine && echo read; (: >/dev/mine); (echo x >/ro/x); echo x >/x'"#,
    ),
    any(
        "run: user, folder, name, sysctl, ulimit",
        0,
        r#"run -u 1000:2000 --group-add 3000 -w /new/folder -h name -e A=b --sysctl net.ipv4.ip_forward=1 --ulimit nofile=100:200 \
        base sh -c 'id -u; id -G; pwd; hostname; echo $A $HOME; cat /proc/sys/net/ipv4/ip_forward; ulimit -n; ulimit -Hn'"#,
    ),
    long("run: a sysctl that is none", 127, r#"words 'no such file or directory' run --sysctl net.none=1 base true"#),
    full(
        "run: a bridge",
        0,
        r#"docker run -d --rm --name web --runtime $RUNTIME base httpd -f -h /etc >id
        docker run --rm --runtime $RUNTIME base wget -qO- http://$(docker inspect -f '{{.NetworkSettings.IPAddress}}' web)/passwd
        docker run --rm --runtime $RUNTIME --network container:web base wget -qO- http://127.0.0.1/group; docker kill web"#,
    ),
    long(
        "run: the host's namespaces",
        0,
        r#"docker run --rm --runtime $RUNTIME --network host --pid host --ipc host --uts host --userns host --cgroupns host base sh -c 'for kind in cgroup ipc net pid user uts; do readlink /proc/self/ns/$kind; done' >inside
        for kind in cgroup ipc mnt net pid user uts; do grep -qxF "$(readlink /proc/self/ns/$kind)" inside && echo $kind; done; true"#,
    ),
    long(
        "run: another's namespaces",
        0,
        r#"shared; run --pid container:shared --ipc container:shared base sh -c 'cat /proc/1/comm; readlink /proc/self/ns/ipc; readlink /proc/1/ns/ipc' | uniq | wc -l; docker rm -f shared; rm shared"#,
    ),
    any(
        "health check",
        0,
        r#"detached well --health-cmd 'test -e /healthy' --health-interval 1s --health-retries 1 base sleep 1000
        health unhealthy; docker exec well touch /healthy; health healthy; docker kill well"#,
    ),
    long(
        "restart policy",
        0,
        r#"detached again --restart on-failure:1 base false
        until [ $(state again) = exited ]; do sleep 0.1; done; docker inspect -f '{{.RestartCount}} {{.State.ExitCode}}' again"#,
    ),
    long(
        "events",
        0,
        r#"since=$(date +%s); run --name told base true; docker events --since $since --until $(($(date +%s) + 1)) --filter container=told --format '{{.Action}}'"#,
    ),
    full("build", 0, build!()),
    full_long("build: the old builder", 0, concat!("export DOCKER_BUILDKIT=0\n", build!())),
    full(
        "compose: three services",
        0,
        r#"
cat >compose.yaml <<END
name: three
services:
  data: { image: base, pull_policy: never, command: [httpd, -f, -h, /etc], healthcheck: { test: [CMD, test, -e, /etc/group], interval: 1s } }
  web:
    image: base
    pull_policy: never
    init: true
    read_only: true
    depends_on: { data: { condition: service_healthy } }
    command: [sh, -c, "wget -qO- http://data/group; exec sleep 1000"]
    deploy: { resources: { limits: { memory: 64M, pids: 20 } } }
  job: { image: base, pull_policy: never, user: guest, depends_on: [web], command: [id] }
END
compose() { docker compose --progress quiet "$@"; }
trap 'compose down -t 1 2>removed' EXIT
compose up -d
until docker logs three-web-1 | grep extra; do sleep 0.1; done
ended three-job-1
docker logs three-job-1
compose exec -T web cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /proc/1/comm
docker inspect -f '{{.Name}} {{.State.Status}} {{.State.ExitCode}}' three-data-1 three-web-1 three-job-1
"#,
    ),
];

/// One that takes more memory than there is.
const GREEDY: &str = r#"detached greedy -m 48m --memory-swap 48m base tail /dev/zero; ended greedy; docker inspect -f '{{.State.OOMKilled}}' greedy"#;

const CGROUPFS_OPERATIONS: &[Operation] = &[
    full("info", 0, r#"docker info -f '{{.DefaultRuntime}} {{.CgroupVersion}} {{.CgroupDriver}}'"#),
    full(
        "run: limits",
        0,
        r#"run -m 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 50 base sh -c "$LIMITS""#,
    ),
    full("run: out of memory", 0, GREEDY),
    full(
        "run: below a cgroup of one's own",
        0,
        r#"run --cgroup-parent /mine --cgroupns host base cat /proc/self/cgroup; rmdir /sys/fs/cgroup/mine 2>gone && echo left behind || echo gone"#,
    ),
    full("exec", 0, r#"shared; docker exec shared cat /proc/self/cgroup"#),
    full(
        "pause, unpause, top",
        0,
        r#"shared; docker pause shared; state shared; docker unpause shared; docker top shared -o pid,comm | sed "s/^[0-9 ]*//""#,
    ),
    full(
        "update",
        0,
        r#"shared; docker update -m 80m --memory-swap 160m --cpus 0.3 --pids-limit 77 shared; docker exec shared sh -c "$LIMITS""#,
    ),
    full("stop, rm", 0, r#"shared; docker stop -t 60 shared; ended shared; docker rm shared; rm shared"#),
];

const KNOWN: &[Known] = &[
    directory("run: a folder as program"),
    directory("exec: a folder as program"),
    weight("run: limits", "cpu.weight:59", &["cpu.weight:20"]),
];

const CGROUPFS_KNOWN: &[Known] = &[
    weight("run: limits", "cpu.weight:59", &["cpu.weight:20"]),
    Known {
        name: "run: below a cgroup of one's own",
        rt: "gone",
        runc: &["left behind"],
        reason: "a defect of runc: it leaves the cgroups which it made on the way to the container's",
    },
];
