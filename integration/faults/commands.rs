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

/// Words in capitals stand for what the scene has (`Scene::words`).
type Words = &'static [&'static str];

const CREATE: Words = &["create", "DETACHED", "--bundle", "BUNDLE", "ID"];
const RUN_DETACHED: Words = &["run", "--detach", "DETACHED", "--bundle", "BUNDLE", "ID"];

impl Before {
    /// The calls that bring a container there.
    pub fn steps(self) -> &'static [Words] {
        match self {
            Before::Nothing => &[],
            Before::Created => &[CREATE],
            Before::Running => &[RUN_DETACHED],
            Before::Paused => &[RUN_DETACHED, &["pause", "ID"]],
            Before::Stopped => &[RUN_DETACHED, &["kill", "ID", "KILL"]],
        }
    }
}

pub struct Subject {
    pub name: &'static str,
    pub before: Before,
    pub words: Words,
    /// The status after success; nothing where there is no container any more.
    pub after: Option<&'static str>,
    /// Whether the container's process must live on, whatever happens to the command.
    pub harmless: bool,
    /// What a failure must not leave.
    pub makes: bool,
    /// The container's program.
    pub program: &'static str,
}

/// What is done to a container that runs, or looks at it.
const fn on(name: &'static str, before: Before, words: Words, after: &'static str) -> Subject {
    Subject { name, before, words, after: Some(after), harmless: true, makes: false, program: "pause" }
}

const fn look(name: &'static str, words: Words) -> Subject {
    on(name, Before::Running, words, "running")
}

const fn makes(name: &'static str, words: Words, after: &'static str) -> Subject {
    Subject { harmless: false, makes: true, ..on(name, Before::Nothing, words, after) }
}

const fn ends(name: &'static str, before: Before, words: Words) -> Subject {
    Subject { harmless: false, after: None, ..on(name, before, words, "") }
}

pub const ALL: &[Subject] = &[
    makes("create", CREATE, "created"),
    Subject { program: "true", ..ends("run", Before::Nothing, &["run", "FOREGROUND", "--bundle", "BUNDLE", "ID"]) },
    makes("run-detached", RUN_DETACHED, "running"),
    Subject { harmless: false, ..on("start", Before::Created, &["start", "ID"], "running") },
    look("exec", &["exec", "EXEC", "ID", "/bin/probe", "true"]),
    Subject { harmless: false, ..on("kill", Before::Running, &["kill", "ID", "KILL"], "stopped") },
    ends("delete", Before::Stopped, &["delete", "ID"]),
    ends("delete-force", Before::Running, &["delete", "--force", "ID"]),
    look("pause", &["pause", "ID"]).leaving("paused"),
    on("resume", Before::Paused, &["resume", "ID"], "running"),
    look("update", &["update", "--resources", "UPDATE", "ID"]),
    look("state", &["state", "ID"]),
    look("list", &["list", "--format", "json"]),
    // One line, in one write.
    look("ps", &["ps", "ID", "-p", "1"]),
    look("ps-json", &["ps", "--format", "json", "ID"]),
    look("events", &["events", "--stats", "ID"]),
    look("stats", &["stats", "--once", "ID"]),
    look("stats-prom", &["stats", "--prom"]),
    ends("check", Before::Nothing, &["check", "--bundle", "BUNDLE"]),
    ends("features", Before::Nothing, &["features"]),
];

impl Subject {
    const fn leaving(mut self, after: &'static str) -> Subject {
        self.after = Some(after);
        self
    }
}
