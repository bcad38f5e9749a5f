//! `cri SOCKET HANDLER [--systemd] WORK SCENARIO…`: asks an engine's CRI service for what the kubelet asks for, with the
//! runtime of this handler, and prints what comes of it. The output is the same each time, so that two runtimes can be
//! compared by it. Logs and volumes lie below WORK. Scenarios of one call share a pod where they can. `cri --list` prints the scenarios.
//!
//! The image `docker.io/library/base:latest` must be there: a shell and the usual programs.

mod confinement;
mod kubelet;
mod lifecycle;
mod limits;
mod pods;
mod stream;
mod volumes;

use kubelet::{Kubelet, Result};
use std::pin::Pin;
use std::process::ExitCode;

type Scenario = for<'a> fn(&'a mut Kubelet) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// `name => function` for each.
macro_rules! scenarios {
    ($($name:literal => $run:path),* $(,)?) => {
        const SCENARIOS: &[(&str, Scenario)] = &[$(($name, |kubelet| Box::pin($run(kubelet)))),*];
    };
}

scenarios! {
    "ready" => lifecycle::ready,
    "exit-codes" => lifecycle::exit_codes,
    "start-errors" => lifecycle::start_errors,
    "exec-sync" => lifecycle::exec_sync,
    "stop" => lifecycle::stop,
    "restarts" => lifecycle::restarts,
    "removal" => lifecycle::removal,
    "leave" => lifecycle::leave,
    "found" => lifecycle::found,
    "checkpoint" => lifecycle::checkpoint,
    "sandbox" => pods::sandbox,
    "pod-namespaces" => pods::shared_namespaces,
    "pod-processes" => pods::shared_processes,
    "target-processes" => pods::target_processes,
    "host-namespaces" => pods::host_namespaces,
    "user-namespace" => pods::user_namespace,
    "sysctls" => pods::sysctls,
    "users" => confinement::users,
    "capabilities" => confinement::capabilities,
    "privileged" => confinement::privileged,
    "defaults" => confinement::defaults,
    "profiles" => confinement::profiles,
    "apparmor" => confinement::apparmor,
    "volumes" => volumes::plain,
    "propagation" => volumes::propagation,
    "recursive-read-only" => volumes::recursive_read_only,
    "devices" => volumes::devices,
    "limits" => limits::at_creation,
    "update" => limits::update,
    "oom" => limits::oom,
    "stats" => limits::stats,
    "exec-stream" => stream::exec,
    "exec-terminal" => stream::exec_terminal,
    "attach" => stream::attach,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let systemd = words.iter().any(|word| word == "--systemd");
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--systemd").collect();
    if words == ["--list"] {
        SCENARIOS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let &[socket, handler, work, ref names @ ..] = &words[..] else {
        eprintln!("cri: usage: cri SOCKET HANDLER [--systemd] WORK SCENARIO…");
        return ExitCode::from(2);
    };
    let known = |name: &&str| SCENARIOS.iter().find(|(known, _)| known == name).ok_or(name.to_string());
    let scenarios: Vec<_> = match names.iter().map(known).collect() {
        Ok(scenarios) => scenarios,
        Err(name) => {
            eprintln!("cri: no scenario {name:?}");
            return ExitCode::from(2);
        }
    };
    match play(socket, handler, systemd, work, &scenarios).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => {
            eprintln!("{:?}: {}", status.code(), status.message());
            ExitCode::FAILURE
        }
    }
}

/// The pods go, however it ends; only `leave` is there to leave one.
async fn play(
    socket: &str,
    handler: &str,
    systemd: bool,
    work: &str,
    scenarios: &[&(&'static str, Scenario)],
) -> Result<()> {
    let mut kubelet = Kubelet::connect(socket.to_owned(), handler.to_owned(), systemd, work.into()).await?;
    let mut played = Ok(());
    for (name, scenario) in scenarios {
        kubelet.scenario = name;
        if scenarios.len() > 1 {
            println!("== {name}");
        }
        played = scenario(&mut kubelet).await;
        if played.is_err() {
            break;
        }
    }
    if kubelet.scenario == "leave" {
        return played;
    }
    let removed = kubelet.remove_all().await;
    played.and(removed)
}
