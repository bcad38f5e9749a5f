//! Podman with conmon: as root, where systemd makes the cgroups, and as an ordinary user.

use crate::compare::{Engine, Operation, any, full, full_long, long};
use crate::known::{Known, weight};

pub const ENGINE: Engine =
    Engine { name: "podman", start: START, stop: STOP, prelude: PRELUDE, operations: OPERATIONS, known: KNOWN };

/// By a user without privileges, with ranges in /etc/subuid: the same operations, and what is his alone.
pub const ROOTLESS: Engine = Engine {
    name: "podman-rootless",
    start: START,
    stop: STOP,
    prelude: PRELUDE,
    operations: ROOTLESS_OPERATIONS,
    known: ROOTLESS_KNOWN,
};

const START: &str = concat!(include_str!("podman/settings.sh"), include_str!("podman/start.sh"));
const STOP: &str = concat!(include_str!("podman/settings.sh"), "podman rm -fa -t 0 >removed\n");
const PRELUDE: &str = concat!(include_str!("podman/settings.sh"), include_str!("podman/prelude.sh"));

const OPERATIONS: &[Operation] = &[
    long("info", 0, r#"podman info -f '{{.Host.OCIRuntime.Name}} {{.Host.CgroupsVersion}}'"#),
    any("run: output, input", 0, r#"echo typed | run -i base sh -c 'cat; echo err >&2'"#),
    any("run: no such program", 127, r#"words 'executable file.* not found in $PATH' run base missing"#),
    long("run: a folder as program", 126, r#"words 'permission denied' run base /etc"#),
    any(
        "run: killed, stopped",
        0,
        r#"detached killed base sleep 1000; podman kill killed; podman wait killed
        detached stopped --init base sleep 1000; podman stop stopped; podman wait stopped"#,
    ),
    any("run -it", 0, r#"terminal "podman run --rm -it --network none base sh -c 'tty; $SIZE'""#),
    any("exec: output", 0, r#"shared; podman exec shared sh -c 'echo out; echo err >&2; cat /proc/1/comm'"#),
    long("exec: exit code", 7, r#"shared; podman exec shared sh -c 'exit 7'"#),
    any(
        "exec: user, folder, environment",
        0,
        r#"shared; podman exec -u guest -w /tmp -e A=b shared sh -c 'id; pwd; echo $A $HOME'"#,
    ),
    any(
        "exec: no such program",
        127,
        r#"shared; words 'executable file.* not found in $PATH' podman exec shared missing"#,
    ),
    long("exec: a folder as program", 126, r#"shared; words 'permission denied' podman exec shared /etc"#),
    any("exec -it", 5, r#"shared; terminal "podman exec -it shared sh -c 'tty; exit 5'""#),
    any(
        "exec: descriptors",
        0,
        r#"shared; echo kept >kept; podman exec --preserve-fds 1 shared cat /proc/self/fd/3 3<kept"#,
    ),
    long("logs", 0, r#"shared; podman logs shared"#),
    any(
        "pause, unpause",
        0,
        r#"shared; podman pause shared; state shared; podman unpause shared; podman exec shared echo on"#,
    ),
    any("top", 0, r#"shared; podman top shared user comm capbnd seccomp"#),
    full(
        "update",
        0,
        r#"shared; podman update -m 80m --memory-swap 160m --cpus 0.3 --pids-limit 77 shared >id; podman exec shared sh -c "$LIMITS""#,
    ),
    full(
        "stats",
        0,
        r#"shared; podman stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}}' shared | sed 's| [^ ]* /| of|'"#,
    ),
    long(
        "stop, start, rm -f",
        0,
        r#"shared; podman stop -t 60 shared; podman wait shared; podman start shared; podman exec shared echo on; podman rm -f -t 0 shared; rm shared"#,
    ),
    full(
        "run: limits",
        0,
        r#"run -m 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --pids-limit 50 base sh -c "$LIMITS""#,
    ),
    // conmon may look into the container's cgroup only after its init has ended, and systemd removes it with its last process.
    full(
        "run: out of memory",
        0,
        r#"detached greedy -m 48m --memory-swap 48m --pid host base sh -c 'tail /dev/zero; sleep 1000 <&- >&- 2>&- & exit 8'; podman wait greedy; podman inspect -f '{{.State.OOMKilled}}' greedy"#,
    ),
    any("run --cgroups=disabled", 0, r#"podman run --rm --cgroups disabled --network none base echo without"#),
    long(
        "run: security",
        0,
        r#"run --cap-drop ALL --cap-add CHOWN --security-opt no-new-privileges base grep -E 'Cap|NoNew|Seccomp:' /proc/self/status
        run --security-opt seccomp=unconfined --cap-add NET_ADMIN base grep -E 'Cap|Seccomp:' /proc/self/status"#,
    ),
    any(
        "run --privileged",
        0,
        r#"run --privileged base sh -c 'grep -E "Cap|NoNew|Seccomp:" /proc/self/status; test -e /dev/fuse && echo device; grep -cE " (/proc|/sys)[^ ]* [^ ]* ro" /proc/mounts; true'"#,
    ),
    any(
        "run: exit codes",
        139,
        r#"run base true; run base sh -c 'exit 3' || echo $?; run --init base sh -c 'kill -SEGV $$'"#,
    ),
    long("run: a working directory that cannot be", 126, r#"words 'not a directory' run -w /etc/passwd base true"#),
    long(
        "run: what is mounted",
        0,
        r#"mkdir -p w; echo text >w/f; run --read-only --tmpfs /t:size=64k --mount type=tmpfs,dst=/u --mount type=bind,src=$WORK/w,dst=/w,ro base sh -c 'cut -d" " -f2- /proc/mounts | grep -vE "^/ |^/etc/|^/run/" | sed -E "s/,(size|nr_inodes|fsc|inode64)[^ ,]*//g"; cat /w/f' | sort"#,
    ),
    any(
        "run: overlay volume",
        0,
        r#"mkdir -p v; echo text >v/f; run -v $WORK/v:/v:O base sh -c 'echo more >>/v/f; cat /v/f'; cat v/f"#,
    ),
    full(
        "run: userns",
        0,
        r#"for kind in auto:size=5000 host; do run --userns $kind base sh -c 'cat /proc/self/uid_map | wc -l; id -u; touch /x; stat -c %u /x'; done"#,
    ),
    full_long(
        "run: a bridge",
        0,
        r#"podman run -d --rm --name web base httpd -f -h /etc >id; podman run --rm --network container:web base wget -qO- http://127.0.0.1/group
        podman run --rm base wget -qO- http://$(podman inspect -f '{{.NetworkSettings.IPAddress}}' web)/passwd; podman kill web"#,
    ),
    full(
        "run --systemd",
        0,
        r#"run --systemd always base sh -c 'stat -f -c %T /run /tmp; test -w /sys/fs/cgroup && cat /proc/self/cgroup; echo $container'"#,
    ),
    full_long(
        "health check",
        0,
        r#"detached well --health-cmd 'test -e /healthy' --health-interval disable base sleep 1000
        podman healthcheck run well || echo $?; podman exec well touch /healthy; podman healthcheck run well; podman rm -f -t 0 well"#,
    ),
    full(
        "pod",
        0,
        r#"podman pod create --name pod --share ipc,net,uts,pid >id; podman run -d --pod pod --name first base sleep 1000 >id
        unwarned podman run --rm --pod pod base sh -c 'hostname; ps -o comm'; unwarned podman pod stop -t 0 pod; unwarned podman pod rm -f pod >id"#,
    ),
    full(
        "play kube",
        0,
        r#"podman kube play --network none "$CONFIG/podman/pod.yaml" >id; podman wait web-done; podman logs web-done; podman exec web-serve cat /proc/1/comm
        podman kube generate web | grep -c image:; podman kube down "$CONFIG/podman/pod.yaml" >id"#,
    ),
];

const ROOTLESS_OPERATIONS: &[Operation] = &[
    full("run: output, input", 0, r#"echo typed | run -i base sh -c 'cat; echo err >&2; id; cat /proc/self/uid_map'"#),
    full("run: limits", 0, r#"run -m 64m --cpus 0.5 --pids-limit 50 base sh -c "$LIMITS""#),
    full("exec", 7, r#"shared; podman exec shared sh -c 'id; exit 7'"#),
    full(
        "pause, unpause, top",
        0,
        r#"shared; podman pause shared; state shared; podman unpause shared; podman top shared user comm"#,
    ),
    full("stop", 0, r#"shared; podman stop -t 60 shared; podman wait shared; podman rm -f shared; rm shared"#),
    full("run --userns=keep-id", 0, r#"run --userns keep-id base sh -c 'id -u; touch /tmp/x; stat -c %u /tmp/x'"#),
    full("run --group-add keep-groups", 0, r#"run --group-add keep-groups base id -G"#),
    full("run --cgroups=disabled", 0, r#"podman run --rm --cgroups disabled --network none base echo without"#),
    full("run -it", 0, r#"terminal "podman run --rm -it --network none base sh -c 'tty; $SIZE'""#),
    full(
        "run: exit codes",
        139,
        r#"run base false || echo $?; run base /etc 2>said || echo $?; run base missing || echo $?; run --init base sh -c 'kill -SEGV $$'"#,
    ),
    full(
        "run --privileged",
        0,
        r#"run --privileged base sh -c 'grep -E "Cap|NoNew|Seccomp:" /proc/self/status; mount -t tmpfs none /tmp && echo mounted'"#,
    ),
    full(
        "pod",
        0,
        r#"podman pod create --name pod --network none --share ipc,net,uts,pid >id; podman run -d --pod pod --name first base sleep 1000 >id
        unwarned podman run --rm --pod pod base sh -c 'hostname; ps -o comm'; unwarned podman pod stop -t 0 pod; unwarned podman pod rm -f pod >id"#,
    ),
    full(
        "play kube",
        0,
        r#"podman kube play --network none "$CONFIG/podman/pod.yaml" >id; podman wait web-done; podman logs web-done; podman kube down "$CONFIG/podman/pod.yaml" >id"#,
    ),
    full("run: pasta", 0, r#"podman run --rm --network pasta base ip link show lo | head -n 1"#),
];

const NO_CGROUPS: Known = Known {
    name: "run --cgroups=disabled",
    rt: "exit 0\nwithout",
    runc: &["exit 125\n! Error: requested OCI runtime RUNTIME is not compatible with NoCgroups: invalid argument"],
    reason: "a defect of runc, which Podman knows: it has no way to do without a cgroup",
};

const KNOWN: &[Known] = &[
    NO_CGROUPS,
    Known {
        name: "exec: a folder as program",
        rt: "exit 126\npermission denied\npermission denied",
        runc: &["exit 255\nError: OCI runtime error: RUNTIME: exec failed: exec: \"/etc\": is a directory"],
        reason: "a defect of runc: without the words \"permission denied\" Podman does not know the exit code",
    },
    weight("run: limits", "cpu.weight:59", &["cpu.weight:20"]),
    Known {
        name: "run: a folder as program",
        rt: "exit 126\npermission denied\npermission denied",
        runc: &["exit 126\nError: OCI runtime error: RUNTIME: RUNTIME create failed: exec: \"/etc\": is a directory"],
        reason: "a defect of runc: it leaves out the words that Podman tells its users",
    },
];

const ROOTLESS_KNOWN: &[Known] = &[
    NO_CGROUPS,
    Known {
        name: "pause, unpause, top",
        rt: "root        sleep",
        runc: &[concat!(
            "root        sleep",
            "\n! time=\"TIME\" level=warning msg=\"RUNTIME pause may fail if you don't have the full access to cgroups\"",
            "\n! time=\"TIME\" level=warning msg=\"RUNTIME resume may fail if you don't have the full access to cgroups\"",
        )],
        reason: "a defect of runc: it warns every user without privileges, also one whose cgroup was handed down to him",
    },
];
