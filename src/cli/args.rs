//! What each command was told.

use clap::ArgMatches;
use std::ffi::OsString;
use std::path::PathBuf;

/// `create`, and the part of `run` that is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateArgs {
    pub id: String,
    /// `None` is the working directory.
    pub bundle: Option<PathBuf>,
    /// Instead of the bundle's config.json.
    pub config: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    /// How many descriptors from 3 up to pass on.
    pub preserve_fds: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunArgs {
    pub create: CreateArgs,
    pub detach: bool,
    pub keep: bool,
    pub no_subreaper: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecArgs {
    pub id: String,
    /// The program and its arguments; empty only with `process`.
    pub command: Vec<OsString>,
    pub process: Option<PathBuf>,
    pub cwd: Option<PathBuf>,
    /// `NAME=VALUE` each, in order.
    pub env: Vec<OsString>,
    /// `UID[:GID]`, not yet taken apart.
    pub user: Option<String>,
    pub additional_gids: Vec<u32>,
    pub tty: bool,
    pub detach: bool,
    pub pid_file: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub preserve_fds: u32,
    pub caps: Vec<String>,
    pub no_new_privs: bool,
    pub apparmor: Option<String>,
    pub process_label: Option<String>,
    /// `[CONTROLLERS:]PATH` each.
    pub cgroup: Vec<String>,
    pub ignore_paused: bool,
}

/// `start` and `state`, which take nothing but a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdArgs {
    pub id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KillArgs {
    pub id: String,
    /// As given; `None` is TERM.
    pub signal: Option<String>,
    /// Makes "container not running" a success.
    pub all: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteArgs {
    pub id: String,
    pub force: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListFormat {
    #[default]
    Table,
    Json,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListArgs {
    pub format: ListFormat,
    pub quiet: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecArgs {
    /// `None` is the working directory.
    pub bundle: Option<PathBuf>,
    pub rootless: bool,
    /// Include the default seccomp profile.
    pub seccomp: bool,
}

impl CreateArgs {
    pub(super) fn from_matches(m: &mut ArgMatches) -> CreateArgs {
        CreateArgs {
            id: id(m),
            bundle: m.remove_one("bundle"),
            config: m.remove_one("config"),
            pid_file: m.remove_one("pid-file"),
            no_pivot: m.get_flag("no-pivot"),
            no_new_keyring: m.get_flag("no-new-keyring"),
            console_socket: m.remove_one("console-socket"),
            pidfd_socket: m.remove_one("pidfd-socket"),
            preserve_fds: m.remove_one("preserve-fds").unwrap_or(0),
        }
    }
}

impl RunArgs {
    pub(super) fn from_matches(m: &mut ArgMatches) -> RunArgs {
        RunArgs {
            create: CreateArgs::from_matches(m),
            detach: m.get_flag("detach"),
            keep: m.get_flag("keep"),
            no_subreaper: m.get_flag("no-subreaper"),
        }
    }
}

impl ExecArgs {
    pub(super) fn from_matches(m: &mut ArgMatches) -> ExecArgs {
        ExecArgs {
            id: id(m),
            command: many(m, "COMMAND"),
            process: m.remove_one("process"),
            cwd: m.remove_one("cwd"),
            env: many(m, "env"),
            user: string(m, "user"),
            additional_gids: many(m, "additional-gids"),
            tty: m.get_flag("tty"),
            detach: m.get_flag("detach"),
            pid_file: m.remove_one("pid-file"),
            console_socket: m.remove_one("console-socket"),
            pidfd_socket: m.remove_one("pidfd-socket"),
            preserve_fds: m.remove_one("preserve-fds").unwrap_or(0),
            caps: strings(m, "cap"),
            no_new_privs: m.get_flag("no-new-privs"),
            apparmor: string(m, "apparmor"),
            process_label: string(m, "process-label"),
            cgroup: strings(m, "cgroup"),
            ignore_paused: m.get_flag("ignore-paused"),
        }
    }
}

impl IdArgs {
    pub(super) fn from_matches(m: &mut ArgMatches) -> IdArgs {
        IdArgs { id: id(m) }
    }
}

impl KillArgs {
    pub(super) fn from_matches(m: &mut ArgMatches) -> KillArgs {
        KillArgs {
            id: id(m),
            signal: string(m, "SIGNAL"),
            all: m.get_flag("all"),
        }
    }
}

impl DeleteArgs {
    pub(super) fn from_matches(m: &mut ArgMatches) -> DeleteArgs {
        DeleteArgs {
            id: id(m),
            force: m.get_flag("force"),
        }
    }
}

impl ListArgs {
    pub(super) fn from_matches(m: &mut ArgMatches) -> ListArgs {
        let json = m
            .get_one::<String>("format")
            .is_some_and(|format| format == "json");
        let format = if json {
            ListFormat::Json
        } else {
            ListFormat::Table
        };
        ListArgs {
            format,
            quiet: m.get_flag("quiet"),
        }
    }
}

impl SpecArgs {
    pub(super) fn from_matches(m: &mut ArgMatches) -> SpecArgs {
        SpecArgs {
            bundle: m.remove_one("bundle"),
            rootless: m.get_flag("rootless"),
            seccomp: m
                .get_one::<String>("seccomp")
                .is_some_and(|profile| profile == "default"),
        }
    }
}

fn id(m: &mut ArgMatches) -> String {
    string(m, "ID").unwrap_or_default()
}

fn many<T: Clone + Send + Sync + 'static>(m: &mut ArgMatches, name: &str) -> Vec<T> {
    m.remove_many(name)
        .map(Iterator::collect)
        .unwrap_or_default()
}

/// Bytes that are no UTF-8 become U+FFFD, which no id, signal, user or name may contain: the check of the value refuses it.
fn lossy(value: OsString) -> String {
    value
        .into_string()
        .unwrap_or_else(|bytes| bytes.to_string_lossy().into_owned())
}

fn string(m: &mut ArgMatches, name: &str) -> Option<String> {
    m.remove_one::<OsString>(name).map(lossy)
}

fn strings(m: &mut ArgMatches, name: &str) -> Vec<String> {
    many(m, name).into_iter().map(lossy).collect()
}
