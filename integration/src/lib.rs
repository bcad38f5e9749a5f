//! The harness of the black-box tests: a private corner of the machine for each test, bundles, and rt with a clock.
//!
//! ```no_run
//! use rt_integration::{Sandbox, sandbox};
//! # fn test() {
//! let sandbox = sandbox!();
//! let out = sandbox.bundle("c1").args(["cat", "/proc/self/comm"]).run();
//! assert_eq!(out.ok().stdout(), "probe\n");
//! # }
//! ```
//!
//! A `Sandbox` belongs to the thread that made it: that thread alone lives in a mount namespace of its own, with a pure
//! cgroup2 hierarchy, an empty /run and a scratch tmpfs. Tests therefore run side by side. When a sandbox goes,
//! it looks for whatever rt left behind, fails the test with the list, and cleans up.

pub mod agent;
mod bundle;
mod descriptors;
pub mod docs;
mod host;
pub mod kills;
pub mod leaks;
mod outcome;
pub mod pty;
mod sandbox;
pub mod schema;
mod skip;
mod spec;
mod sys;
pub mod trace;
pub mod weaken;

pub use bundle::Bundle;
pub use descriptors::{close, pass};
pub use host::{Canary, HostMount, Silent, both, snapshot};
pub use outcome::{Outcome, Running, copy_program, ends_within, wait_end, wait_text};
pub use sandbox::{Sandbox, systemd_runs};
pub use skip::report as report_skip;
pub use spec::{default_spec, set};
pub use sys::bpf::device_programs;
pub use sys::exchange;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// The runtime under test: `$RT_BIN`, else the newest that cargo built.
pub fn rt_bin() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| find("RT_BIN", "rt"))
}

/// The image of test containers: `$RT_PROBE`, else the newest that cargo built.
pub fn probe_bin() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| find("RT_PROBE", "probe"))
}

fn find(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return std::path::absolute(path).expect("a working directory");
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let triples = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl", "x86_64-unknown-linux-gnu"];
    let built =
        triples.iter().flat_map(|triple| ["release", "debug"].map(|kind| target.join(triple).join(kind).join(name)));
    let newest = built.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).max();
    match newest {
        Some((_, path)) => path.canonicalize().expect("it was there"),
        None => panic!("no {name} below {}: build it, or name one in {variable}", target.display()),
    }
}

/// How long one call of rt may take. `$RT_TEST_SLOW` multiplies it, for emulated machines.
pub fn time_limit() -> Duration {
    let slow = std::env::var("RT_TEST_SLOW").ok().and_then(|factor| factor.parse().ok());
    Duration::from_secs(20) * slow.unwrap_or(1)
}

/// A sandbox for this test, or the end of the test where the machine cannot have one.
#[macro_export]
macro_rules! sandbox {
    () => {
        match $crate::Sandbox::new() {
            Ok(sandbox) => sandbox,
            Err(why) => $crate::skip!("{why}"),
        }
    };
}

/// Ends the test as neither passed nor failed: the reason is printed and kept for the summary.
#[macro_export]
macro_rules! skip {
    ($($why:tt)*) => {{
        $crate::report_skip(&format!($($why)*));
        return;
    }};
}
