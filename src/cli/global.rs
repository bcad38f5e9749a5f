//! The flags that stand before every command.

use clap::ArgMatches;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Error,
    Warning,
    Info,
    Debug,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupManager {
    #[default]
    Cgroupfs,
    Systemd,
    Disabled,
}

/// Whether to go on where a cgroup may not be managed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rootless {
    Yes,
    No,
    /// Depends on who calls.
    #[default]
    Auto,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Global {
    /// As given: relative paths are relative to the working directory. `None` is the default place.
    pub root: Option<PathBuf>,
    /// `None` is standard error.
    pub log: Option<PathBuf>,
    pub log_format: LogFormat,
    /// `None` is the default level; `--debug` has become [`LogLevel::Debug`].
    pub log_level: Option<LogLevel>,
    pub cgroup_manager: CgroupManager,
    pub rootless: Rootless,
}

impl Global {
    pub(super) fn from_matches(matches: &mut ArgMatches) -> Global {
        let mut global = Global {
            root: matches.remove_one("root"),
            log: matches.remove_one("log"),
            ..Global::default()
        };
        if text(matches, "log-format") == Some("json") {
            global.log_format = LogFormat::Json;
        }
        global.log_level = text(matches, "log-level").and_then(|level| match level {
            "error" => Some(LogLevel::Error),
            "warning" => Some(LogLevel::Warning),
            "info" => Some(LogLevel::Info),
            "debug" => Some(LogLevel::Debug),
            _ => None,
        });
        if matches.get_flag("debug") {
            global.log_level = Some(LogLevel::Debug);
        }
        // The flag that can say more wins over runc's switch.
        global.cgroup_manager = match (
            text(matches, "cgroup-manager"),
            matches.get_flag("systemd-cgroup"),
        ) {
            (Some("systemd"), _) | (None, true) => CgroupManager::Systemd,
            (Some("disabled"), _) => CgroupManager::Disabled,
            _ => CgroupManager::Cgroupfs,
        };
        global.rootless = match text(matches, "rootless") {
            Some("true") => Rootless::Yes,
            Some("false") => Rootless::No,
            _ => Rootless::Auto,
        };
        global
    }
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}
