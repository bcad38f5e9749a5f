//! Every command and flag, in tables: the normaliser, the parser, the man pages and the completions all read these.

/// What a flag's value is; the word is its placeholder in the help.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Path(&'static str),
    Text(&'static str),
    Number(&'static str),
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
use Value::{Choice, Number, Path, Text};

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
        flags: &[BUNDLE, CREATE, HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "start",
        about: "Start the program of a created container",
        flags: &[HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "run",
        about: "Create a container, start it and wait for its end",
        flags: &[BUNDLE, CREATE, RUN, HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "exec",
        about: "Run another process in a container",
        flags: &[EXEC, HELP],
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
        name: "delete",
        about: "Remove a stopped container and all that rt made for it",
        flags: &[&[flag("force", Switch, "Kill it first; succeed if it does not exist").short('f')], HELP],
        positionals: &[ID],
        passes_rest: false,
    },
    Verb {
        name: "list",
        about: "List containers",
        flags: &[
            &[
                flag("format", One(Choice("FORMAT", &["table", "json"])), "How to print the list [default: table]")
                    .short('f'),
                flag("quiet", Switch, "Print names only").short('q'),
            ],
            HELP,
        ],
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
