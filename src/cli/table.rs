//! Every command and flag, in tables: the normaliser, the parser, the man pages and the completions all read these.

/// What a flag's value is; the word is its placeholder in the help.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Path(&'static str),
    Text(&'static str),
    Number(&'static str),
    /// May be negative.
    Integer(&'static str),
    /// Bytes, `512m` and the like too; -1 is no limit.
    Size(&'static str),
    /// A span of time as Go programs write it: `5s`, `1m30s`, `200ms`.
    Duration(&'static str),
    Choice(&'static str, &'static [&'static str]),
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// On when named. `--flag=false`, as Go programs write it, is off.
    Switch,
    /// One value; when repeated the last wins.
    One(Value),
    /// A value per occurrence.
    Many(Value),
}

#[derive(Clone, Copy)]
pub(super) struct Flag {
    pub long: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    /// Accepted because callers send it, but of no use to a person.
    pub hidden: bool,
    pub help: &'static str,
}

pub(super) struct Positional {
    pub name: &'static str,
    pub required: bool,
    pub many: bool,
    pub choices: &'static [&'static str],
    pub help: &'static str,
}

pub(super) struct Verb {
    pub name: &'static str,
    pub about: &'static str,
    /// Groups, so that commands share flags without repeating them.
    pub flags: &'static [&'static [Flag]],
    pub positionals: &'static [Positional],
    /// Everything after the first positional belongs to another program: no flag is looked for there.
    pub passes_rest: bool,
}

impl Verb {
    pub fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().flat_map(|group| group.iter())
    }
}

const fn flag(long: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag { long, short: None, kind, hidden: false, help }
}

impl Flag {
    const fn short(mut self, short: char) -> Flag {
        self.short = Some(short);
        self
    }

    const fn hidden(mut self) -> Flag {
        self.hidden = true;
        self
    }
}

use Kind::{Many, One, Switch};
use Value::{Choice, Duration, Integer, Number, Path, Size, Text};

pub(super) const GLOBALS: &[Flag] = &[
    flag("root", One(Path("DIR")), "Keep the state of containers in DIR"),
    flag("log", One(Path("FILE")), "Append log records to FILE instead of standard error"),
    flag("log-format", One(Choice("FORMAT", &["text", "json"])), "How log records are written"),
    flag("log-level", One(Choice("LEVEL", &["error", "warning", "info", "debug"])), "The least severe record to log"),
    flag("debug", Switch, "Log everything, as --log-level debug"),
    flag("systemd-cgroup", Switch, "Let systemd manage cgroups, as --cgroup-manager systemd"),
    flag(
        "cgroup-manager",
        One(Choice("MANAGER", &["cgroupfs", "systemd", "disabled"])),
        "Who makes the container's cgroup",
    ),
    flag(
        "rootless",
        One(Choice("WHEN", &["true", "false", "auto"])),
        "Go on where an unprivileged user may not manage cgroups",
    ),
    flag("criu", One(Path("FILE")), "Ignored; criu is found in $PATH").hidden(),
    flag("version", Switch, "Print the version").short('v'),
    flag("help", Switch, "Print help").short('h'),
];

/// Flags that are fields of `linux.resources`, with the JSON pointer below it.
pub(super) const LIMITS: &[(Flag, &str)] = &[
    (flag("blkio-weight", One(Integer("WEIGHT")), "Share of disk time, 10 to 1000"), "/blockIO/weight"),
    (flag("cpu-period", One(Integer("MICROSECONDS")), "Period of --cpu-quota"), "/cpu/period"),
    (flag("cpu-quota", One(Integer("MICROSECONDS")), "CPU time per period; -1 for any"), "/cpu/quota"),
    (flag("cpu-burst", One(Integer("MICROSECONDS")), "Unused quota that may be saved up"), "/cpu/burst"),
    (flag("cpu-share", One(Integer("SHARES")), "Share of CPU time, 2 to 262144"), "/cpu/shares"),
    (flag("cpu-rt-period", One(Integer("MICROSECONDS")), "cgroup v1 only").hidden(), "/cpu/realtimePeriod"),
    (flag("cpu-rt-runtime", One(Integer("MICROSECONDS")), "cgroup v1 only").hidden(), "/cpu/realtimeRuntime"),
    (flag("cpuset-cpus", One(Text("LIST")), "CPUs that may be used, such as 0-3,7"), "/cpu/cpus"),
    (flag("cpuset-mems", One(Text("LIST")), "Memory nodes that may be used"), "/cpu/mems"),
    (flag("cpu-idle", One(Integer("0|1")), "1: run only when nobody else wants to"), "/cpu/idle"),
    (flag("memory", One(Size("BYTES")), "Memory limit, such as 512m; -1 for none"), "/memory/limit"),
    (flag("memory-reservation", One(Size("BYTES")), "Memory that is not reclaimed"), "/memory/reservation"),
    (flag("memory-swap", One(Size("BYTES")), "Memory and swap together; -1 for any swap"), "/memory/swap"),
    (flag("kernel-memory", One(Size("BYTES")), "Ignored").hidden(), ""),
    (flag("kernel-memory-tcp", One(Size("BYTES")), "Ignored").hidden(), ""),
    (flag("pids-limit", One(Integer("N")), "How many processes there may be; -1 for any"), "/pids/limit"),
];

const LIMIT_FLAGS: &[Flag] = &{
    let mut flags = [LIMITS[0].0; LIMITS.len()];
    let mut at = 0;
    while at < LIMITS.len() {
        flags[at] = LIMITS[at].0;
        at += 1;
    }
    flags
};

const UPDATE: &[Flag] = &[
    flag(
        "resources",
        One(Path("FILE")),
        "Read linux.resources from FILE, - for standard input; other limits are ignored",
    )
    .short('r'),
    flag("safe", Switch, "Lower memory only as far as it can be reclaimed without killing"),
    flag("l3-cache-schema", One(Text("SCHEMA")), "Intel RDT cache allocation"),
    flag("mem-bw-schema", One(Text("SCHEMA")), "Intel RDT memory bandwidth"),
];

const EVENTS: &[Flag] = &[
    flag("interval", One(Duration("DURATION")), "Time between statistics [default: 5s]"),
    flag("stats", Switch, "Print the statistics once and end"),
];

const STATS: &[Flag] = &[
    flag("interval", One(Duration("DURATION")), "Time between two tables [default: 1s]"),
    flag("once", Switch, "Print one table, also on a terminal"),
    flag("json", Switch, "Print all numbers once, a JSON object per line and container"),
    flag("prom", Switch, "Print all numbers once, as Prometheus reads them"),
];

const FORMAT: Flag =
    flag("format", One(Choice("FORMAT", &["table", "json"])), "How to print the list [default: table]");

const HELP: &[Flag] = &[flag("help", Switch, "Print help").short('h')];

const BUNDLE: &[Flag] =
    &[flag("bundle", One(Path("DIR")), "The bundle, a directory with config.json [default: .]").short('b')];

const CREATE: &[Flag] = &[
    flag("config", One(Path("FILE")), "Read FILE instead of the bundle's config.json").short('f'),
    flag("pid-file", One(Path("FILE")), "Write the container's process id to FILE"),
    flag("no-pivot", Switch, "Change the root without pivot_root, for a host running from an initramfs"),
    flag("no-new-keyring", Switch, "Keep the caller's session keyring"),
    flag("console-socket", One(Path("SOCKET")), "Send the terminal's descriptor to this unix socket"),
    flag("pidfd-socket", One(Path("SOCKET")), "Send a pidfd of the process to this unix socket"),
    flag("preserve-fds", One(Number("N")), "Pass N more descriptors, from 3 up, to the process"),
];

const TIMEOUT: &[Flag] =
    &[flag("timeout", One(Duration("DURATION")), "Give up, and undo it, if the program does not run after this long")];

const CHECK: &[Flag] = &[
    flag("config", One(Path("FILE")), "Read FILE instead of the bundle's config.json").short('f'),
    flag("json", Switch, "Print one JSON object"),
    flag("codes", Switch, "Print every code that a finding may have, and what helps"),
];

const RUN: &[Flag] = &[
    flag("detach", Switch, "Return once the process has started").short('d'),
    flag("keep", Switch, "Do not delete the container when its process ends"),
    flag("no-subreaper", Switch, "Do not adopt the container's orphaned processes"),
];

const EXEC: &[Flag] = &[
    flag("process", One(Path("FILE")), "Read the process from FILE, JSON as in config.json").short('p'),
    flag("cwd", One(Path("DIR")), "Start in DIR of the container"),
    flag("env", Many(Text("NAME=VALUE")), "Set an environment variable (repeatable)").short('e'),
    flag("user", One(Text("UID[:GID]")), "Run as this numeric user").short('u'),
    flag("additional-gids", Many(Number("GID")), "Add a supplementary group (repeatable)").short('g'),
    flag("tty", Switch, "Give the process a terminal").short('t'),
    flag("detach", Switch, "Return once the process has started").short('d'),
    flag("pid-file", One(Path("FILE")), "Write the process id to FILE"),
    flag("console-socket", One(Path("SOCKET")), "Send the terminal's descriptor to this unix socket"),
    flag("pidfd-socket", One(Path("SOCKET")), "Send a pidfd of the process to this unix socket"),
    flag("preserve-fds", One(Number("N")), "Pass N more descriptors, from 3 up, to the process"),
    flag("cap", Many(Text("CAPABILITY")), "Add a capability (repeatable)").short('c'),
    flag("no-new-privs", Switch, "Never let the process gain privileges"),
    flag("apparmor", One(Text("PROFILE")), "Confine the process by this AppArmor profile"),
    flag("process-label", One(Text("LABEL")), "Give the process this SELinux label"),
    flag("cgroup", Many(Text("PATH")), "Run in this cgroup below the container's"),
    flag("ignore-paused", Switch, "Start even if the container is paused; the process waits with it"),
];

const ID: Positional =
    Positional { name: "ID", required: true, many: false, choices: &[], help: "Name of the container" };

pub(super) const SHELLS: &[&str] = &["bash", "zsh", "fish"];

/// In the order in which help shows them: a container's life first.
pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "create",
        about: "Create a container; its program waits for start",
        flags: &[BUNDLE, CREATE, TIMEOUT, HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "start",
        about: "Start the program of a created container",
        flags: &[TIMEOUT, HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "run",
        about: "Create a container, start it and wait for its end",
        flags: &[BUNDLE, CREATE, RUN, TIMEOUT, HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "exec",
        about: "Run another process in a container",
        flags: &[EXEC, TIMEOUT, HELP],
        positionals: &[
            ID,
            Positional {
                name: "COMMAND",
                required: false,
                many: true,
                choices: &[],
                help: "The program and its arguments, unless --process gives them",
            },
        ],
        passes_rest: true,
    },
    Verb {
        name: "state",
        about: "Print the state of a container as JSON",
        flags: &[HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "kill",
        about: "Send a signal to a container's process",
        flags: &[&[flag("all", Switch, "Succeed also if the container has stopped").short('a').hidden()], HELP],
        positionals: &[
            ID,
            Positional {
                name: "SIGNAL",
                required: false,
                many: false,
                choices: &[],
                help: "Name or number [default: TERM]",
            },
        ],
        passes_rest: false,
    },
    Verb {
        name: "pause",
        about: "Stop all processes of a container until `resume`",
        flags: &[HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "resume",
        about: "Let the processes of a paused container go on",
        flags: &[HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "update",
        about: "Change the limits of a container",
        flags: &[LIMIT_FLAGS, UPDATE, HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "ps",
        about: "List the processes of a container",
        flags: &[&[FORMAT.short('f')], HELP],
        positionals: &[
            ID,
            Positional {
                name: "ARGUMENT",
                required: false,
                many: true,
                choices: &[],
                help: "For ps(1), which makes the table [default: -ef]",
            },
        ],
        passes_rest: true,
    },
    Verb {
        name: "events",
        about: "Print statistics and out-of-memory kills of a container as JSON",
        flags: &[EVENTS, HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "stats",
        about: "Show what containers use: memory, CPU, I/O, processes, pressure",
        flags: &[STATS, HELP],
        positionals: &[Positional {
            name: "ID",
            required: false,
            many: true,
            choices: &[],
            help: "The containers [default: all that run]",
        }],
        passes_rest: false,
    },
    Verb {
        name: "delete",
        about: "Remove a stopped container and all that rt made for it",
        flags: &[&[flag("force", Switch, "Kill it first; succeed if it does not exist").short('f')], HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "list",
        about: "List containers",
        flags: &[&[FORMAT.short('f'), flag("quiet", Switch, "Print names only").short('q')], HELP],
        positionals: &[],
        passes_rest: false,
    },
    Verb {
        name: "gc",
        about: "Clear what a killed rt, a reboot or a lost state directory left",
        flags: &[&[flag("dry-run", Switch, "Only say what would be removed")], HELP],
        positionals: &[],
        passes_rest: false,
    },
    Verb {
        name: "spec",
        about: "Write a config.json to start from",
        flags: &[
            BUNDLE,
            &[
                flag("rootless", Switch, "For a user without privileges"),
                flag(
                    "seccomp",
                    One(Choice("PROFILE", &["default", "none"])),
                    "Include the default seccomp profile, or none [default: none]",
                ),
            ],
            HELP,
        ],
        positionals: &[],
        passes_rest: false,
    },
    Verb {
        name: "check",
        about: "Say all that is wrong with a bundle, and make nothing",
        flags: &[BUNDLE, CHECK, HELP],
        positionals: &[],
        passes_rest: false,
    },
    Verb {
        name: "features",
        about: "Print what this runtime supports as JSON",
        flags: &[HELP],
        positionals: &[],
        passes_rest: false,
    },
    Verb {
        name: "completion",
        about: "Print a completion script for a shell",
        flags: &[HELP],
        positionals: &[Positional {
            name: "SHELL",
            required: true,
            many: false,
            choices: SHELLS,
            help: "The shell to print it for",
        }],
        passes_rest: false,
    },
];

pub(super) fn verb(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}
