//! `rt`, an OCI container runtime. See ARCHITECTURE.md for the map.

mod cgroups;
pub mod cli;
mod seccomp;
mod sys;

use std::process::ExitCode;

/// Runs the command line of this process and returns its exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
