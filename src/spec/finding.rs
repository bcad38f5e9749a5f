//! What a judgement of a configuration found, one value for `create`'s error, the log's record and `check`'s line.

use super::code::Code;
use super::place::{Place, at};
use crate::fault::Fault;
use anyhow::{Error, Result};
use std::fmt;

/// One thing that is wrong with a configuration, or odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub place: Place,
    pub severity: Severity,
    pub code: Code,
    /// One line as `create` says it, with the place in front, or runc's phrase where callers match that.
    pub message: String,
    /// What helps here, where more is known than the code's own remedy.
    pub remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `create` fails.
    Error,
    /// Legal, but without the effect that whoever wrote it may expect.
    Warning,
}

impl Severity {
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl Finding {
    /// `place: text`, an error.
    #[cold]
    pub fn error(code: Code, place: Place, text: impl fmt::Display) -> Finding {
        let message = if place.is_top() { text.to_string() } else { format!("{place}: {text}") };
        Finding { place, severity: Severity::Error, code, message, remedy: None }
    }

    /// `place: text`, a warning.
    #[cold]
    pub fn warning(code: Code, place: Place, text: impl fmt::Display) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(code, place, text) }
    }

    /// An error in a phrase that stands alone, because callers look for it.
    #[cold]
    pub fn phrase(code: Code, place: Place, phrase: impl Into<String>) -> Finding {
        Finding { place, severity: Severity::Error, code, message: phrase.into(), remedy: None }
    }

    /// A warning in words of its own.
    pub fn lone_warning(code: Code, place: Place, text: &str) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::phrase(code, place, text) }
    }

    /// What a step of `create` would fail with.
    #[cold]
    pub fn fault(code: Code, place: Place, fault: Fault) -> Finding {
        Finding { remedy: fault.hint, ..Finding::phrase(code, place, fault.message) }
    }

    #[cold]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Finding {
        self.remedy = Some(remedy.into());
        self
    }

    /// An error whose text begins with its place; `code` is for one that does not bring its own.
    #[cold]
    pub fn of(code: Code, error: Error) -> Finding {
        // A cause below a context would lose the context's words.
        let bare = error.chain().nth(1).is_none();
        match error.downcast::<Finding>() {
            Ok(finding) if bare => finding,
            Ok(finding) => Finding { message: finding.to_string(), remedy: None, ..finding },
            Err(error) => {
                let message = format!("{error:#}");
                Finding { place: at(&message), severity: Severity::Error, code, message, remedy: None }
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Finding {}

/// All that was found, in the order of the judging. Nothing is allocated while nothing is found.
#[derive(Clone, Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// The value, or none and the error on the list. The text of an error that is no `Finding` begins with its JSON
    /// path, and `code` says what kind it is.
    pub fn keep<T>(&mut self, code: Code, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(Finding::of(code, error));
                None
            }
        }
    }

    /// What is right of a list; each wrong item is a finding of its own.
    pub fn keep_all<T>(&mut self, code: Code, results: impl Iterator<Item = Result<T>>) -> Vec<T> {
        results.filter_map(|result| self.keep(code, result)).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.iter().filter(|finding| finding.severity == Severity::Warning)
    }

    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }

    /// `value` if nothing is wrong; else the first error.
    pub fn verdict<T>(&mut self, value: T) -> Result<T> {
        match self.0.iter().position(|finding| finding.severity == Severity::Error) {
            None => Ok(value),
            Some(first) => Err(self.0.remove(first).into()),
        }
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    fn kept(error: Error) -> Finding {
        let mut findings = Findings::default();
        assert_eq!(findings.keep::<()>(Code::Mount, Err(error)), None);
        findings.0.remove(0)
    }

    #[test]
    fn an_error_without_type_keeps_its_place() {
        let finding = kept(anyhow!("NUL").context("mounts[2] /x"));
        assert_eq!((finding.place.pointer().as_str(), finding.code), ("/mounts/2", Code::Mount));
        assert_eq!(finding.to_string(), "mounts[2] /x: NUL");
    }

    #[test]
    fn a_typed_error_keeps_its_code() {
        let typed = || Finding::error(Code::Cwd, at("process.cwd"), "is empty").remedy("say /");
        assert_eq!(kept(typed().into()), typed());
        let deeper = kept(Err::<(), _>(Error::from(typed())).context("exec").unwrap_err());
        assert_eq!((deeper.code, deeper.place.to_string().as_str()), (Code::Cwd, "process.cwd"));
    }

    #[test]
    fn the_first_error_decides() {
        let mut findings = Findings::default();
        findings.add(Finding::warning(Code::NoEffect, at("linux"), "w"));
        assert!(findings.verdict(()).is_ok());
        findings.add(Finding::error(Code::Cwd, at("process.cwd"), "first"));
        findings.add(Finding::error(Code::Mount, at("mounts"), "second"));
        assert_eq!(findings.warnings().count(), 1);
        assert_eq!(findings.verdict(()).unwrap_err().to_string(), "process.cwd: first");
    }
}
