//! What went wrong, told once: the step, the object, the errno's meaning here, and the remedy where one is known.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An error that keeps its parts, for the extra keys of the JSON log.
///
/// A child process sends its own as JSON over the channel, so both sides speak of failures in one form.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// The step that failed, such as `mounts` or `exec`.
    pub stage: String,
    /// One line, runc's phrase first where callers match one.
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// The object: a path, a JSON path, a namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What a person can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

// What makes a failure is `cold`, and so is the code that leads to it: it lies apart from what runs, on pages that are never
// mapped (ARCHITECTURE.md, "Few pages").
impl Fault {
    /// A failure of `stage` told in one line.
    #[cold]
    pub fn new(stage: &str, message: impl Into<String>) -> Fault {
        Fault { stage: stage.to_owned(), message: message.into(), errno: None, path: None, hint: None }
    }

    pub fn errno(mut self, errno: Errno) -> Fault {
        self.errno = Some(errno as i32);
        self
    }

    /// Whether this was the kernel's answer.
    pub fn is(&self, errno: Errno) -> bool {
        self.errno == Some(errno as i32)
    }

    #[cold]
    pub fn path(mut self, path: impl fmt::Display) -> Fault {
        self.path = Some(path.to_string());
        self
    }

    #[cold]
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }
}

/// As much of each part as is sent to another process, in bytes; what hooks print may be of any length. All four, each of
/// their bytes escaped, are still one message of the channel.
const MOST_SENT: usize = 1984;
const _: () = assert!(4 * 2 * MOST_SENT + 128 < crate::launch::channel::LARGEST);

impl Fault {
    /// The form in which it travels.
    pub fn to_send(&self) -> Vec<u8> {
        let cut = |text: &String| {
            let mut room = MOST_SENT;
            let fits = |c: &char| {
                let left = room.checked_sub(c.len_utf8());
                room = left.unwrap_or(0);
                left.is_some()
            };
            text.chars().filter(|c| !c.is_control()).take_while(fits).collect()
        };
        let short = Fault {
            stage: cut(&self.stage),
            message: cut(&self.message),
            errno: self.errno,
            path: self.path.as_ref().map(cut),
            hint: self.hint.as_ref().map(cut),
        };
        serde_json::to_vec(&short).unwrap_or_default()
    }

    /// What another process sent. What cannot be read is told as it came: a failure must not look like none.
    pub fn received(data: &[u8]) -> Fault {
        serde_json::from_slice(data).unwrap_or_else(|_| Fault::new("init", String::from_utf8_lossy(data)))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

/// The errno's words as callers match them: in lower case, without the name in front.
#[cold]
pub fn words(errno: Errno) -> String {
    errno.desc().to_lowercase()
}

/// Adds step and object to a bare errno.
pub trait During<T> {
    /// `"{what}: {errno's words}"`, with `stage` for the log.
    fn during(self, stage: &str, what: impl FnOnce() -> String) -> Result<T, Fault>;
}

impl<T> During<T> for nix::Result<T> {
    fn during(self, stage: &str, what: impl FnOnce() -> String) -> Result<T, Fault> {
        #[cold]
        #[inline(never)]
        fn fault(errno: Errno, stage: &str, what: impl FnOnce() -> String) -> Fault {
            Fault::new(stage, format!("{}: {}", what(), words(errno))).errno(errno)
        }
        match self {
            Ok(done) => Ok(done),
            Err(errno) => Err(fault(errno, stage, what)),
        }
    }
}

impl<T> During<T> for std::io::Result<T> {
    fn during(self, stage: &str, what: impl FnOnce() -> String) -> Result<T, Fault> {
        match self {
            Ok(done) => Ok(done),
            Err(error) => match error.raw_os_error() {
                Some(code) => Err(Errno::from_raw(code)).during(stage, what),
                None => Err(Fault::new(stage, format!("{}: {error}", what()))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::channel::LARGEST;

    #[test]
    fn a_fault_of_any_length_is_one_message() {
        for text in ["x", "\"", "\u{1}", "\u{10ffff}", "é"] {
            let long = text.repeat(9000);
            let sent = Fault::new("exec", &long).path(&long).hint(&long).errno(Errno::EIO).to_send();
            assert!(sent.len() < LARGEST, "{} bytes", sent.len());
            let got = Fault::received(&sent);
            assert_eq!((got.stage.as_str(), got.errno), ("exec", Some(Errno::EIO as i32)));
            assert!(long.starts_with(&got.message) && got.message.len() <= MOST_SENT);
            assert!(text == "\u{1}" || got.message.len() > MOST_SENT - 4);
        }
    }
}
