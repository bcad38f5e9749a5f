//! The commands, what is there before each, and what must be after it.

/// How far the container is before the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Nothing,
    Created,
    Running,
    Paused,
    Stopped,
}

pub struct Subject {
    pub name: &'static str,
    pub before: Before,
    /// `BUNDLE` and `UPDATE` stand for paths.
    pub words: &'static [&'static str],
    /// The status after success; nothing where there is no container any more.
    pub after: Option<&'static str>,
    /// Whether the container's process must live on, whatever happens to the command.
    pub harmless: bool,
    /// The container's program.
    pub program: &'static str,
}

const fn on(name: &'static str, before: Before, words: &'static [&'static str], after: &'static str) -> Subject {
    Subject { name, before, words, after: Some(after), harmless: true, program: "pause" }
}

pub const ALL: &[Subject] = &[
    Subject { harmless: false, ..on("create", Before::Nothing, &["create", "--bundle", "BUNDLE", "c"], "created") },
    Subject {
        harmless: false,
        after: None,
        program: "true",
        ..on("run", Before::Nothing, &["run", "--bundle", "BUNDLE", "c"], "")
    },
    Subject {
        harmless: false,
        ..on("run-detached", Before::Nothing, &["run", "--detach", "--bundle", "BUNDLE", "c"], "running")
    },
    Subject { harmless: false, ..on("start", Before::Created, &["start", "c"], "running") },
    on("exec", Before::Running, &["exec", "c", "/bin/probe", "true"], "running"),
    Subject { harmless: false, ..on("kill", Before::Running, &["kill", "c", "KILL"], "stopped") },
    Subject { harmless: false, after: None, ..on("delete", Before::Stopped, &["delete", "c"], "") },
    Subject { harmless: false, after: None, ..on("delete-force", Before::Running, &["delete", "--force", "c"], "") },
    on("pause", Before::Running, &["pause", "c"], "paused"),
    on("resume", Before::Paused, &["resume", "c"], "running"),
    on("update", Before::Running, &["update", "--resources", "UPDATE", "c"], "running"),
];
