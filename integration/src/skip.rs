//! Tests that this machine cannot run.

use std::io::Write;

/// Says that the current test is skipped and why; `$RT_SKIP_FILE` collects these lines for the summary.
pub fn report(why: &str) {
    let thread = std::thread::current();
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_stem().and_then(|name| name.to_str()).unwrap_or("?");
    // cargo appends a hash.
    let program = program.rsplit_once('-').map_or(program, |(name, _)| name);
    let line = format!("SKIP {program}: {}: {why}\n", thread.name().unwrap_or("?"));
    eprint!("{line}");
    if let Some(path) = std::env::var_os("RT_SKIP_FILE") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        // One write, so that tests running side by side do not mix their lines.
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
