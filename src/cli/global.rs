//! The flags that stand before every command.

use super::found::Found;
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
    pub(super) fn from_found(f: &mut Found) -> Global {
        let mut global = Global { root: f.path("root"), log: f.path("log"), ..Global::default() };
        if f.text("log-format") == Some("json") {
            global.log_format = LogFormat::Json;
        }
        global.log_level = f.text("log-level").and_then(|level| match level {
            "error" => Some(LogLevel::Error),
            "warning" => Some(LogLevel::Warning),
            "info" => Some(LogLevel::Info),
            "debug" => Some(LogLevel::Debug),
            _ => None,
        });
        if f.switch("debug") {
            global.log_level = Some(LogLevel::Debug);
        }
        // The flag that can say more wins over runc's switch.
        global.cgroup_manager = match (f.text("cgroup-manager"), f.switch("systemd-cgroup")) {
            (Some("systemd"), _) | (None, true) => CgroupManager::Systemd,
            (Some("disabled"), _) => CgroupManager::Disabled,
            _ => CgroupManager::Cgroupfs,
        };
        global.rootless = match f.text("rootless") {
            Some("true") => Rootless::Yes,
            Some("false") => Rootless::No,
            _ => Rootless::Auto,
        };
        global
    }
}
