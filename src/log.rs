//! Where messages go: one error record on failure, warnings where nobody parses, debug lines on request.

use crate::fault::{Fault, words};
use crate::spec::Finding;
use anyhow::{Context, Result};
use nix::errno::Errno;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The log of one run of the program.
///
/// Callers read the file after a failure: podman parses all of it as one JSON object and containerd takes the last
/// error, so without `--debug` nothing but the final error is ever written to it.
pub struct Log {
    file: Option<File>,
    json: bool,
    debug: bool,
}

impl Log {
    /// Opens `--log`, for text or JSON.
    pub fn open(path: Option<&Path>, json: bool, debug: bool) -> Result<Log> {
        let open = |path: &Path| {
            let mut options = File::options();
            options.create(true).append(true).mode(0o644).custom_flags(libc::O_CLOEXEC);
            options.open(path).with_context(|| format!("cannot open the log {}", path.display()))
        };
        Ok(Log { file: path.filter(|path| !path.as_os_str().is_empty()).map(open).transpose()?, json, debug })
    }

    /// A log that goes to standard error, for failures before the flags are known.
    pub fn stderr() -> Log {
        Log { file: None, json: false, debug: false }
    }

    /// The one error record, and the same text on standard error.
    pub fn error(&self, error: &anyhow::Error) {
        let message = one_line(&told(error));
        if let Some(mut file) = self.file.as_ref() {
            let _ = file.write_all(self.record("error", &message, Some(error)).as_bytes());
            eprintln!("{message}");
        } else if self.json {
            eprint!("{}", self.record("error", &message, Some(error)));
        } else {
            eprintln!("rt: {message}");
        }
    }

    /// An error record alone, for what a person has been told in other words.
    pub fn record_error(&self, message: &str) {
        if let Some(mut file) = self.file.as_ref() {
            let _ = file.write_all(self.record("error", message, None).as_bytes());
        }
    }

    /// Something legal that will not have the effect the user may expect.
    pub fn warn(&self, message: &str) {
        let message = &one_line(message);
        match self.file.as_ref() {
            Some(mut file) if self.debug => {
                let _ = file.write_all(self.record("warning", message, None).as_bytes());
            }
            Some(_) => {}
            None if self.json => eprint!("{}", self.record("warning", message, None)),
            None => eprintln!("rt: warning: {message}"),
        }
    }

    /// A step on the way, for `--debug`.
    pub fn debug(&self, message: impl FnOnce() -> String) {
        if !self.debug {
            return;
        }
        let message = message();
        match self.file.as_ref() {
            Some(mut file) => {
                let _ = file.write_all(self.record("debug", &message, None).as_bytes());
            }
            None if self.json => eprint!("{}", self.record("debug", &message, None)),
            None => eprintln!("rt: debug: {message}"),
        }
    }

    fn record(&self, level: &str, message: &str, error: Option<&anyhow::Error>) -> String {
        let time = crate::time::rfc3339_now(0);
        if !self.json {
            return format!("time=\"{time}\" level={level} msg={message:?}\n");
        }
        let mut record = json!({"level": level, "msg": message, "time": time});
        let causes = || error.iter().flat_map(|error| error.chain());
        if let Some(finding) = causes().find_map(|cause| cause.downcast_ref::<Finding>()) {
            record["stage"] = json!("config");
            record["path"] = json!(finding.place.pointer());
            record["code"] = json!(finding.code.word());
            if let Some(remedy) = &finding.remedy {
                record["hint"] = json!(remedy);
            }
        }
        if let Some(fault) = causes().find_map(|cause| cause.downcast_ref::<Fault>()) {
            record["stage"] = json!(fault.stage);
            for (key, value) in [("path", &fault.path), ("hint", &fault.hint)] {
                if let Some(value) = value {
                    record[key] = json!(value);
                }
            }
            if let Some(errno) = fault.errno {
                record["errno"] = json!(errno);
                record["code"] = json!(format!("{:?}", Errno::from_raw(errno)));
            }
        }
        format!("{record}\n")
    }
}

/// The error with all that led to it, the kernel's answer in the words that callers match.
pub fn told(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| {
        let errno = cause.downcast_ref::<Errno>().copied();
        let of_std = || cause.downcast_ref::<std::io::Error>()?.raw_os_error().map(Errno::from_raw);
        errno.or_else(of_std).map_or_else(|| cause.to_string(), words)
    });
    causes.collect::<Vec<_>>().join(": ")
}

/// Paths and names may hold anything: line ends that would forge a record, codes that a terminal obeys.
fn one_line(message: &str) -> String {
    message.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_answer_has_one_form() {
        let of_nix = anyhow::Error::from(Errno::EMFILE).context("cannot open a");
        let of_std = anyhow::Error::from(std::io::Error::from_raw_os_error(libc::EMFILE)).context("cannot open a");
        for error in [of_nix, of_std] {
            assert_eq!(
                told(&error.context("rt create failed")),
                "rt create failed: cannot open a: too many open files"
            );
        }
    }
}
