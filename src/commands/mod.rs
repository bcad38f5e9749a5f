//! One file per command. Each gets the [`App`] and its own arguments, and returns the exit code of rt.

mod check;
mod create;
mod delete;
mod destroy;
mod events;
mod exec;
mod features;
mod foreground;
mod gc;
mod kill;
mod list;
mod pause;
mod preserved;
mod ps;
mod readiness;
mod run;
mod spec;
mod start;
mod state;
mod stats;
mod update;

use crate::cgroups::Hierarchy;
use crate::cli::{CgroupManager, Command, Global, Rootless};
use crate::host::Host;
use crate::log::{Log, told};
use crate::state::Root;
use anyhow::{Context, Result};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// What all commands need: the log, the directory of containers, the global flags.
pub struct App {
    pub global: Global,
    pub log: Log,
    pub root: Root,
}

impl App {
    /// Gives the log back where it fails.
    pub fn new(global: Global, log: Log) -> Result<App, (anyhow::Error, Log)> {
        let root = match &global.root {
            Some(root) => std::path::absolute(root).with_context(|| format!("--root {}", root.display())),
            None => default_root(),
        };
        match root {
            Ok(path) => Ok(App { global, log, root: Root { path } }),
            Err(error) => Err((error, log)),
        }
    }

    /// Whether to go on where cgroups may not be managed (`--rootless`).
    pub fn rootless(&self, host: &Host) -> bool {
        match self.global.rootless {
            Rootless::Yes => true,
            Rootless::No => false,
            Rootless::Auto => host.rootless(),
        }
    }

    /// The cgroup hierarchy, unless no cgroup is wanted. Without privilege a host that has none is no reason to fail.
    pub fn hierarchy(&self, host: &Host) -> Result<Option<Hierarchy>> {
        if self.global.cgroup_manager == CgroupManager::Disabled {
            return Ok(None);
        }
        match Hierarchy::detect() {
            Ok(hierarchy) => Ok(Some(hierarchy)),
            Err(error) if self.rootless(host) => {
                self.log.debug(|| format!("no cgroup: {}", told(&error)));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub fn manager(&self) -> crate::cgroups::Manager {
        match self.global.cgroup_manager {
            CgroupManager::Cgroupfs => crate::cgroups::Manager::Cgroupfs,
            CgroupManager::Systemd => crate::cgroups::Manager::Systemd,
            CgroupManager::Disabled => crate::cgroups::Manager::Disabled,
        }
    }
}

/// `/run/rt`, or for an ordinary user `$XDG_RUNTIME_DIR/rt`.
fn default_root() -> Result<PathBuf> {
    let system = PathBuf::from("/run/rt");
    let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) else { return Ok(system) };
    let host = Host::probe()?;
    let root_inside = || host.in_user_namespace() && std::env::var_os("USER").is_none_or(|user| user != "root");
    if nix::unistd::geteuid().is_root() && !root_inside() {
        return Ok(system);
    }
    let root = Path::new(&runtime).join("rt");
    if !root.exists() {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let at = || format!("cannot make {}", root.display());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).with_context(at)?;
        // The sticky bit keeps cleaners of temporary files away (XDG Base Directory Specification).
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o1700)).with_context(at)?;
    }
    Ok(root)
}

/// Runs one command. The exit code of a failure is the caller's affair.
///
/// Each command keeps its own stack frame (`inline(never)`): together they would touch six pages of stack that `state`
/// and `start` never need.
pub fn run(app: &App, command: Command) -> Result<u8> {
    match command {
        Command::Create(args) => create::run(app, &args).context("rt create failed"),
        Command::Check(args) => check::run(app, &args).context("rt check failed"),
        Command::Start(args) => start::run(app, &args),
        Command::Run(args) => run::run(app, &args).context("rt run failed"),
        Command::Exec(args) => exec::run(app, &args).context("exec failed"),
        Command::State(args) => state::run(app, &args.id),
        Command::Kill(args) => kill::run(app, &args),
        Command::Pause(args) => pause::pause(app, &args.id),
        Command::Resume(args) => pause::resume(app, &args.id),
        Command::Update(args) => update::run(app, &args),
        Command::Ps(args) => ps::run(app, &args),
        Command::Events(args) => events::run(app, &args),
        Command::Stats(args) => stats::run(app, &args),
        Command::Delete(args) => delete::run(app, &args),
        Command::List(args) => list::run(app, &args),
        Command::Gc(args) => gc::run(app, &args).context("rt gc failed"),
        Command::Spec(args) => spec::run(&args),
        Command::Features => print(&features::text()),
        Command::Completion(shell) => print(shell.script()),
        Command::Version => print(&version()),
        Command::Help(text) => print(&text),
    }
}

/// The exit code of a failed command: `exec` keeps 1 to 254 for the process (runc).
pub fn failure_code(command: &Command) -> u8 {
    if matches!(command, Command::Exec(_)) { 255 } else { 1 }
}

/// Does a piece of work of a loop that goes on for long in a process of its own, whose memory goes with it (see
/// `sys::alloc`). False where it failed; it has said why.
fn apart(work: impl FnOnce() -> Result<()>) -> Result<bool> {
    use crate::sys::clone::{Cloned, Ended, clone3, wait};
    match clone3(0, None).context("cannot make a process")? {
        Cloned::Parent(child) => Ok(wait(child.pidfd.as_fd())? == Ended::Exited(0)),
        Cloned::Child => {
            let failed = work().inspect_err(|error| eprintln!("rt: {}", told(error))).is_err();
            crate::sys::exec::exit_now(failed.into())
        }
    }
}

fn print(text: &str) -> Result<u8> {
    use std::io::Write;
    std::io::stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(0)
}

/// As dockerd and CRI-O parse it: the name before " version ", the commit and the specification on lines of their own.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let commit = option_env!("RT_COMMIT").unwrap_or("unknown");
    format!("rt version {version}\ncommit: {commit}\nspec: {}\n", features::NEWEST)
}
