//! containerd: its client `ctr` and its shim for runc, which calls the runtime by the name it is given.

use crate::compare::{Engine, Operation, any, full, long};
use crate::known::{Known, directory};

pub const ENGINE: Engine =
    Engine { name: "containerd", start: START, stop: STOP, prelude: PRELUDE, operations: OPERATIONS, known: KNOWN };

pub const START: &str = include_str!("containerd/start.sh");

pub const STOP: &str = include_str!("containerd/stop.sh");

const PRELUDE: &str = include_str!("containerd/prelude.sh");

const OPERATIONS: &[Operation] = &[
    any("run: output and exit code", 3, "run --rm $image c sh -c 'echo out; echo err >&2; exit 3'"),
    long("run: killed", 137, "run --rm $image c sh -c 'sh -c \"kill -9 \\$\\$\"; exit $?'"),
    any("run: no such program", 1, "run --rm $image c missing"),
    long("run: a directory", 1, "run --rm $image c /etc"),
    long("run: input", 0, "echo typed | run --rm $image c head -n 1"),
    any("run: terminal", 5, "script -qec \"$(which ctr) -a $WORK/containerd.sock run $flags --rm -t $image c sh -c 'sleep 1; tty; exit 5'\" typescript"),
    full("run: user, folder, environment", 0, "run --rm --user 1000:2000 --cwd /tmp --env A=b $image c sh -c 'id; pwd; echo $A'"),
    any("run: what is added and taken away", 0, "mkdir -p volume; echo of the host >volume/file
        run --rm --cap-add CAP_NET_ADMIN --cap-drop CAP_CHOWN --allow-new-privs --read-only --net-host --device /dev/zero --mount type=bind,src=$WORK/volume,dst=/volume,options=rbind:ro $image c \\
        sh -c 'grep -E \"Cap|NoNewPrivs\" /proc/self/status; touch /file || echo read-only; head -c 3 /dev/zero | wc -c; cat /volume/file; touch /volume/file || echo read-only; readlink /proc/self/ns/net' >said
        tail -n 1 said | grep -cF $(readlink /proc/self/ns/net); sed '$d' said"),
    long("run: privileged", 0, "run --rm --privileged $image c sh -c 'grep CapEff /proc/self/status; grep -c \" ro\" /proc/mounts || true'"),
    any("run: seccomp", 0, "run --rm --seccomp $image c sh -c 'grep Seccomp: /proc/self/status; unshare -m true || echo refused'"),
    long("run: another's namespace", 0, "waits $image first
        pid=$(ctr task ls | awk '$1 == \"first\" { print $2 }')
        run --rm --with-ns ipc:/proc/$pid/ns/ipc $image c readlink /proc/self/ns/ipc | grep -cF $(readlink /proc/$pid/ns/ipc)
        ctr task kill -s KILL first; ended first; remove first"),
    long("run: pid file", 0, "waits --pid-file pid $image c; test -d /proc/$(cat pid) && echo there; ctr task kill -s KILL c; ended c; remove c"),
    long("run: without pivot_root", 0, "run --rm --no-pivot $image c echo inside"),
    long("run: a root filesystem of the host", 0, "mkdir -p rootfs; tar -C rootfs -xf busybox.tar; run --rm --rootfs $WORK/rootfs c /bin/cat /etc/group"),
    long("run: log file", 0, "run -d --log-uri file://$WORK/log $image c sh -c 'echo logged'; ended c; cat log; remove c"),
    any("run: users of a namespace", 0, "run --rm --uidmap 0:200000:65536 --gidmap 0:200000:65536 $image c sh -c 'id; cat /proc/self/uid_map; stat -c \"%u %g\" /bin/busybox; touch /new'"),
    full("run: users of a namespace, labelled snapshot", 0, "run --rm --uidmap 0:200000:65536 --gidmap 0:200000:65536 --remap-labels $image c sh -c 'id; stat -c \"%u %g\" /bin/busybox'"),
    any("run: a configuration with idmapped mounts", 0, r#"
mkdir -p mapped rootfs; echo x >mapped/file; chown 0:0 mapped/file; [ -e rootfs/bin ] || tar -C rootfs -xf busybox.tar
cat >config.json <<END
{"ociVersion": "1.0.2", "root": {"path": "$WORK/rootfs"}, "process": {"cwd": "/", "args": ["stat", "-c", "%u %g", "/mnt/file"],
 "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/mnt", "type": "bind", "source": "$WORK/mapped", "options": ["bind"],
   "uidMappings": [{"containerID": 0, "hostID": 0, "size": 65536}], "gidMappings": [{"containerID": 0, "hostID": 0, "size": 65536}]}],
 "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "user"}],
  "uidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}], "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}]}}
END
chown -R 200000:200000 rootfs
ctr run --rm --runc-binary "$RUNTIME_PATH" --config config.json c
"#),
    full("run: out of memory", 137, "run --rm --memory-limit 16777216 $image c tail -c 200m /dev/zero"),
    any("task: kill", 0, "waits $image c; ctr task kill -s TERM c; ended c; status c; remove c"),
    long("task: kill all", 0, "waits $image c; ctr task kill -a -s KILL c; ended c; remove c"),
    long("task: kill of what has ended", 0, "run -d $image c true; ended c; ctr task kill c || echo refused; remove c"),
    long("task: removal while it runs", 0, "waits $image c; ctr task rm c || echo refused; ctr task rm -f c || echo $?; ctr container rm c"),
    any("task: exec", 4, "waits $image c; code=0; ctr task exec --exec-id e c sh -c 'echo out; echo err >&2; exit 4' || code=$?
        ctr task exec --exec-id f --cwd /tmp --user 1000 c sh -c 'id; pwd'
        ctr task kill -s KILL c; ended c; remove c; exit $code"),
    long("task: exec of what is not there", 0, "waits $image c; ctr task exec --exec-id e c missing || echo $?
        ctr task kill -s KILL c; ended c; remove c"),
    long("task: exec in the background, kill", 0, "waits $image c; ctr task exec -d --exec-id e c sleep 1000
        ctr task ps c | grep -c '[0-9]'; ctr task kill --exec-id e -s KILL c
        while [ $(ctr task ps c | grep -c '^[0-9]') -gt 1 ] && ctr task exec --exec-id look c pgrep -f 'sleep 1000'; do sleep 0.1; done >seen
        ctr task kill -s KILL c; ended c; remove c"),
    long("task: exec with a terminal", 0, "waits $image c
        script -qec \"$(which ctr) -a $WORK/containerd.sock task exec -t --exec-id e c sh -c 'sleep 1; tty; exit 6'\" typescript || echo $?
        ctr task kill -s KILL c; ended c; remove c"),
    any("task: pause and resume", 0, "waits $image c; ctr task pause c; status c; ctr task pause c || echo refused
        ctr task exec --exec-id e c true || echo refused
        ctr task resume c; status c; ctr task exec --exec-id f c echo inside
        ctr task kill -s TERM c; ended c; remove c"),
    long("task: killed while paused", 0, "waits $image c; ctr task pause c; ctr task kill -s KILL c; ctr task resume c || echo refused; ended c; remove c"),
    any("task: started again", 0, "run -d --null-io $image c sh -c 'echo again >>/file; cat /file'; ended c; ctr task rm c; ctr task start c; ctr container rm c"),
    long("task: processes", 0, "waits $image c; ctr task ps c | awk 'NR == 1 { print $1, $2 } NR == 2 { print $1 ~ /^[0-9]+$/ }'; ctr task kill -s KILL c; ended c; remove c"),
    full("task: metrics", 0, "waits $image c; ctr task metrics c | awk '/^[a-z]/ { print $1 }'; ctr task kill -s KILL c; ended c; remove c"),
    long("task: checkpoint", 0, "waits $image c; ctr task checkpoint c >out 2>&1 || echo refused; sed 's/ path=.*//; s|c:[0-9:-]*$|c:TIME|' out
        status c; ctr task kill -s KILL c; ended c; remove c"),
    any("events", 0, r#"
command ctr -a "$WORK/containerd.sock" events >events 2>&1 & pid=$!
until [ -s events ]; do ctr namespaces label default seen=$(date +%N); sleep 0.2; done
run --rm $image c true
until grep -q containers/delete events; do sleep 0.1; done
kill $pid
grep -o '/tasks/[a-z-]*' events
"#),
    any("containerd restarted while a container runs", 0, r#"
waits $image c
kill -KILL $(cat containerd.pid)
"$SELF" ended containerd
. ./serve
status c; ctr task exec --exec-id e c echo inside
ctr task kill -s TERM c; ended c; remove c
"#),
    any("shim killed", 0, r#"
waits $image c
pid=$(ctr task ls | awk '$1 == "c" { print $2 }')
shim=$(awk '$1 == "PPid:" { print $2 }' /proc/$pid/status)
kill -KILL $shim
while [ -e /proc/$pid ] || [ "$(status c)" = RUNNING ]; do sleep 0.1; done
ctr task rm -f c 2>removed || true
ctr container rm c
"#),
    any("nothing is left", 0, "ls -A /run/containerd/runc/default; ctr task ls -q; ctr container ls -q; pgrep -f containerd-shim-runc-v2.*$WORK || true"),
];

const KNOWN: &[Known] = &[
    directory("run: a directory"),
    Known {
        name: "task: checkpoint",
        rt: "refused\nctr: RUNTIME did not terminate successfully: exit status 1: no such command: checkpoint: RUNTIME does not save and restore running containers, as runc does with CRIU",
        runc: &[
            "containerd.io/checkpoint/c:TIME",
            "refused\nctr: RUNTIME did not terminate successfully: exit status 1: criu failed: type DUMP errno 0",
        ],
        reason: "the specification has no such operation (runtime.md, Operations)",
    },
];
