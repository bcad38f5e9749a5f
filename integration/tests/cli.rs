//! What needs no container: version, help, usage errors, documents.

use rt_integration::{docs, rt_bin};
use std::path::Path;
use std::process::{Command, Output};

fn rt(args: &[&str]) -> Output {
    Command::new(rt_bin()).args(args).output().expect("rt")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn version_names_itself_commit_and_spec() {
    for flag in ["--version", "-v", "-version"] {
        let out = rt(&[flag]);
        assert!(out.status.success() && out.stderr.is_empty());
        let stdout = text(&out.stdout);
        assert!(stdout.starts_with("rt version "), "{stdout}");
        for key in ["commit: ", "spec: "] {
            assert!(stdout.lines().any(|line| line.starts_with(key)), "{stdout}");
        }
    }
}

#[test]
fn help_goes_to_standard_output() {
    for args in [&["--help"][..], &["help"], &[], &["run", "--help"], &["help", "run"]] {
        let out = rt(args);
        assert!(out.status.success() && out.stderr.is_empty(), "{args:?}");
        assert!(text(&out.stdout).contains("Usage: rt"), "{args:?}");
    }
}

#[test]
fn usage_errors_say_one_thing_first_and_exit_1() {
    let cases: &[(&[&str], &str)] = &[
        (&["start"], "container id cannot be empty"),
        (&["statr"], "no such command: statr"),
        (&["state", "--bogus", "c"], "unknown option: --bogus"),
        (&["state", "a", "b"], "one argument too many: b"),
        (&["--log-format", "xml", "state", "c"], "invalid log-format: xml"),
        (&["run", "--preserve-fds", "-1", "c"], "invalid preserve-fds: -1"),
    ];
    for (args, message) in cases {
        let out = rt(args);
        assert_eq!(out.status.code(), Some(1), "{args:?}");
        assert!(out.stdout.is_empty(), "{args:?}");
        let first = text(&out.stderr).lines().next().unwrap_or_default();
        assert!(first.contains(message), "{args:?}: {first}");
    }
}

/// podman decodes the whole log as one JSON object, and shows what is in it.
#[test]
fn a_usage_error_reaches_the_log() {
    let log = std::env::temp_dir().join(format!("rt-cli-{}.json", std::process::id()));
    let path = log.to_str().expect("UTF-8");
    let out = rt(&["--log", path, "--log-format", "json", "start"]);
    assert_eq!(out.status.code(), Some(1));
    let record = std::fs::read(&log).expect("the log");
    std::fs::remove_file(&log).expect("the log");
    let record: serde_json::Value = serde_json::from_slice(&record).expect("one JSON object");
    assert_eq!(record["level"], "error");
    assert_eq!(record["msg"], "container id cannot be empty");
}

#[test]
fn completion_scripts_are_up_to_date() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../completions");
    for (shell, name) in docs::COMPLETIONS {
        let checked_in = std::fs::read(dir.join(name)).expect("a completion script");
        assert!(checked_in == docs::completion(*shell), "{name} is stale: run `make completions`");
        let out = rt(&["completion", &shell.to_string()]);
        assert!(out.stdout == checked_in && out.stderr.is_empty(), "rt completion {shell}");
    }
}

#[test]
fn every_command_has_a_man_page() {
    let dir = std::env::temp_dir().join(format!("rt-man-{}", std::process::id()));
    docs::write_man_pages(&dir).expect("man pages");
    let page = std::fs::read_to_string(dir.join("rt-create.8")).expect("a page");
    assert!(page.contains("\\-\\-pid\\-file"), "{page}");
    assert!(dir.join("rt.8").exists());
    std::fs::remove_dir_all(&dir).expect("the pages");
}
