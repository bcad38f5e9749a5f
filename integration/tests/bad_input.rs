//! Configs that must not run, each refused in one line that names what is wrong with it.

mod bad_configs;

use bad_configs::Case;
use rt_integration::{Bundle, sandbox};

/// Creates; says what went wrong if it was not refused as it should be.
fn check(bundle: Bundle<'_>, case: &str, words: &str) -> Option<String> {
    let out = bundle.create();
    if out.status.success() {
        bundle.delete_force();
        return Some(format!("{case}: accepted"));
    }
    let stderr = out.stderr();
    let one_line = stderr.trim_end().lines().count() == 1;
    let named = stderr.to_lowercase().contains(&words.to_lowercase());
    let signal = out.code() != 1;
    (!one_line || !named || signal).then(|| format!("{case}: wanted {words:?}, code 1: {}", out.report()))
}

fn none_of(failures: impl IntoIterator<Item = Option<String>>) {
    let failures: Vec<_> = failures.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{} wrong:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn bytes_that_are_no_config() {
    let sandbox = sandbox!();
    let cases: &[(&[u8], &str)] = &[
        (b"", "config.json"),
        (b"{", "config.json"),
        (b"{}", "ociVersion"),
        (b"[]", "config.json"),
        (b"null", "config.json"),
        (b"\"text\"", "config.json"),
        (b"{\"ociVersion\": \"1.2.0\"", "config.json"),
        (b"{\"ociVersion\": \"1.2.0\"} trailing", "config.json"),
        (b"\xff\xfe\x00", "config.json"),
        (b"{\"ociVersion\": 1}", "ociVersion"),
        (b"{\"ociVersion\": \"nonsense\"}", "ociVersion"),
        (b"{\"ociVersion\": \"2.0.0\"}", "ociVersion"),
        (b"{\"ociVersion\": \"1.0.0\", \"process\": {}}", "process: missing field"),
    ];
    none_of(cases.iter().map(|(bytes, words)| {
        let case = String::from_utf8_lossy(bytes).into_owned();
        check(sandbox.bundle("c").raw_config(bytes), &case, words)
    }));
    let missing = sandbox.rt(["create", "--bundle", "/nowhere", "c"]);
    missing.fails_with("/nowhere");
    let empty = sandbox.rt(["create", "--bundle", "/proc", "c"]);
    empty.fails_with("config.json");
}

fn refused(cases: Vec<Case>) {
    let sandbox = sandbox!();
    none_of(cases.iter().map(|case| check(case.apply(sandbox.bundle("c")), &case.name, case.words)));
}

#[test]
fn wrong_types() {
    refused(bad_configs::wrong_types());
}

#[test]
fn values_that_make_no_sense() {
    refused(bad_configs::senseless());
}

#[test]
fn a_label_that_nothing_would_apply() {
    let sandbox = sandbox!();
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        rt_integration::skip!("this host has SELinux");
    }
    let words = "linux.mountLabel: selinux label is specified in config, but selinux is disabled or not supported";
    let label = "system_u:object_r:container_file_t:s0:c1,c2";
    sandbox.bundle("c").set("/linux/mountLabel", label).run().fails_with(words);
    // An empty one asks for nothing.
    sandbox.bundle("c").set("/linux/mountLabel", "").run().ok();
}
