//! What each command was told.

use super::found::Found;
use super::table::{Kind, LIMITS, Value};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

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
    /// How long it may take until the program runs; `None` is for ever.
    pub timeout: Option<Duration>,
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
    pub timeout: Option<Duration>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartArgs {
    pub id: String,
    pub timeout: Option<Duration>,
}

/// `state`, `pause` and `resume`, which take nothing but a name.
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

#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateArgs {
    pub id: String,
    /// `linux.resources` as the flags have it.
    pub limits: serde_json::Value,
    /// Where to read `linux.resources` instead; `-` is standard input.
    pub resources: Option<PathBuf>,
    pub safe: bool,
    pub l3_cache_schema: Option<String>,
    pub mem_bw_schema: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PsArgs {
    pub id: String,
    pub format: ListFormat,
    /// For ps(1).
    pub arguments: Vec<OsString>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsArgs {
    pub id: String,
    /// `None` is 5 s.
    pub interval: Option<Duration>,
    pub stats: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsFormat {
    #[default]
    Table,
    Json,
    Prometheus,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsArgs {
    /// None is all that run.
    pub ids: Vec<String>,
    pub format: StatsFormat,
    /// `None` is 1 s.
    pub interval: Option<Duration>,
    pub once: bool,
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
pub struct GcArgs {
    /// Say what would go, and remove nothing.
    pub dry_run: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListArgs {
    pub format: ListFormat,
    pub quiet: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckArgs {
    /// `None` is the working directory.
    pub bundle: Option<PathBuf>,
    /// Instead of the bundle's config.json.
    pub config: Option<PathBuf>,
    pub json: bool,
    /// Only print the codes.
    pub codes: bool,
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
    pub(super) fn from_found(f: &mut Found) -> CreateArgs {
        CreateArgs {
            id: id(f),
            bundle: f.path("bundle"),
            config: f.path("config"),
            pid_file: f.path("pid-file"),
            no_pivot: f.switch("no-pivot"),
            no_new_keyring: f.switch("no-new-keyring"),
            console_socket: f.path("console-socket"),
            pidfd_socket: f.path("pidfd-socket"),
            preserve_fds: f.number("preserve-fds"),
            timeout: f.duration("timeout"),
        }
    }
}

impl StartArgs {
    pub(super) fn from_found(f: &mut Found) -> StartArgs {
        StartArgs { id: id(f), timeout: f.duration("timeout") }
    }
}

impl RunArgs {
    pub(super) fn from_found(f: &mut Found) -> RunArgs {
        RunArgs {
            create: CreateArgs::from_found(f),
            detach: f.switch("detach"),
            keep: f.switch("keep"),
            no_subreaper: f.switch("no-subreaper"),
        }
    }
}

impl ExecArgs {
    pub(super) fn from_found(f: &mut Found) -> ExecArgs {
        ExecArgs {
            id: id(f),
            command: f.rest(),
            process: f.path("process"),
            cwd: f.path("cwd"),
            env: f.many("env"),
            user: f.one("user").map(lossy),
            additional_gids: f.numbers("additional-gids"),
            tty: f.switch("tty"),
            detach: f.switch("detach"),
            pid_file: f.path("pid-file"),
            console_socket: f.path("console-socket"),
            pidfd_socket: f.path("pidfd-socket"),
            preserve_fds: f.number("preserve-fds"),
            caps: f.many("cap").into_iter().map(lossy).collect(),
            no_new_privs: f.switch("no-new-privs"),
            apparmor: f.one("apparmor").map(lossy),
            process_label: f.one("process-label").map(lossy),
            cgroup: f.many("cgroup").into_iter().map(lossy).collect(),
            ignore_paused: f.switch("ignore-paused"),
            timeout: f.duration("timeout"),
        }
    }
}

impl IdArgs {
    pub(super) fn from_found(f: &mut Found) -> IdArgs {
        IdArgs { id: id(f) }
    }
}

impl KillArgs {
    pub(super) fn from_found(f: &mut Found) -> KillArgs {
        KillArgs { id: id(f), signal: f.positional().map(signal), all: f.switch("all") }
    }
}

impl UpdateArgs {
    pub(super) fn from_found(f: &mut Found) -> UpdateArgs {
        let mut limits = serde_json::json!({});
        for (flag, pointer) in LIMITS.iter().filter(|(_, pointer)| !pointer.is_empty()) {
            let value = match flag.kind {
                Kind::One(Value::Text(_)) => f.text(flag.long).map(serde_json::Value::from),
                _ => f.integer(flag.long).map(serde_json::Value::from),
            };
            if let (Some(value), Some((part, name))) = (value, pointer[1..].split_once('/')) {
                limits[part][name] = value;
            }
        }
        UpdateArgs {
            id: id(f),
            limits,
            resources: f.path("resources"),
            safe: f.switch("safe"),
            l3_cache_schema: f.one("l3-cache-schema").map(lossy),
            mem_bw_schema: f.one("mem-bw-schema").map(lossy),
        }
    }
}

impl PsArgs {
    pub(super) fn from_found(f: &mut Found) -> PsArgs {
        PsArgs { id: id(f), format: format(f), arguments: f.rest() }
    }
}

impl EventsArgs {
    pub(super) fn from_found(f: &mut Found) -> EventsArgs {
        EventsArgs { id: id(f), interval: f.duration("interval"), stats: f.switch("stats") }
    }
}

impl StatsArgs {
    pub(super) fn from_found(f: &mut Found) -> StatsArgs {
        let format = match (f.switch("json"), f.switch("prom")) {
            (_, true) => StatsFormat::Prometheus,
            (true, _) => StatsFormat::Json,
            _ => StatsFormat::Table,
        };
        let ids = f.rest().into_iter().map(lossy).collect();
        StatsArgs { ids, format, interval: f.duration("interval"), once: f.switch("once") }
    }
}

impl DeleteArgs {
    pub(super) fn from_found(f: &mut Found) -> DeleteArgs {
        DeleteArgs { id: id(f), force: f.switch("force") }
    }
}

impl GcArgs {
    pub(super) fn from_found(f: &mut Found) -> GcArgs {
        GcArgs { dry_run: f.switch("dry-run") }
    }
}

impl ListArgs {
    pub(super) fn from_found(f: &mut Found) -> ListArgs {
        ListArgs { format: format(f), quiet: f.switch("quiet") }
    }
}

impl CheckArgs {
    pub(super) fn from_found(f: &mut Found) -> CheckArgs {
        CheckArgs {
            bundle: f.path("bundle"),
            config: f.path("config"),
            json: f.switch("json"),
            codes: f.switch("codes"),
        }
    }
}

impl SpecArgs {
    pub(super) fn from_found(f: &mut Found) -> SpecArgs {
        SpecArgs {
            bundle: f.path("bundle"),
            rootless: f.switch("rootless"),
            seccomp: f.text("seccomp") == Some("default"),
        }
    }
}

fn format(f: &Found) -> ListFormat {
    if f.text("format") == Some("json") { ListFormat::Json } else { ListFormat::Table }
}

/// `kill ID -9` means what it means to kill(1).
fn signal(word: OsString) -> String {
    let word = lossy(word);
    word.strip_prefix('-').map(str::to_owned).unwrap_or(word)
}

fn id(f: &mut Found) -> String {
    f.positional().map(lossy).unwrap_or_default()
}

/// Bytes that are no UTF-8 become U+FFFD, which no id, signal, user or name may contain: the check of the value refuses it.
fn lossy(value: OsString) -> String {
    value.into_string().unwrap_or_else(|bytes| bytes.to_string_lossy().into_owned())
}
