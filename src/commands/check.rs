//! `check`: what `create` would say against a bundle, all at once.

use super::{App, print};
use crate::check::judge;
use crate::cli::CheckArgs;
use crate::spec::{Code, Finding, Findings, Severity};
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;

/// Prints the findings; the exit code is 1 if one of them is an error.
#[inline(never)]
pub fn run(app: &App, args: &CheckArgs) -> Result<u8> {
    if args.codes {
        return print(&codes());
    }
    let bundle = std::path::absolute(args.bundle.as_deref().unwrap_or(Path::new(".")))?;
    let findings = judge(app, &bundle, args.config.as_deref())?;
    let errors = count(&findings, Severity::Error);
    let text = match args.json {
        true => format!("{:#}\n", as_json(&bundle, &findings)),
        false => lines(args.config.as_deref().unwrap_or(Path::new("config.json")), &findings),
    };
    print(&text)?;
    Ok(u8::from(errors > 0))
}

/// Every code and what helps in general, one per line.
fn codes() -> String {
    Code::ALL.iter().map(|code| format!("{:<26} {}\n", code.word(), code.remedy())).collect()
}

fn count(findings: &Findings, severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity == severity).count()
}

fn remedy(finding: &Finding) -> &str {
    finding.remedy.as_deref().unwrap_or(finding.code.remedy())
}

fn lines(file: &Path, findings: &Findings) -> String {
    let mut text = String::new();
    for finding in findings.iter() {
        let place = finding.place.to_string();
        let lead = if finding.message.starts_with(&place) { String::new() } else { format!("{place}: ") };
        let line = format!("{}: {lead}{} [{}]", finding.severity.word(), finding.message, finding.code.word());
        text.push_str(&format!("{line} ({})\n", remedy(finding)).replace(|c: char| c.is_control() && c != '\n', "?"));
    }
    match (count(findings, Severity::Error), count(findings, Severity::Warning)) {
        (0, 0) => format!("{}: ok\n", file.display()),
        (errors, warnings) => format!("{text}{}, {}\n", several(errors, "error"), several(warnings, "warning")),
    }
}

fn several(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn as_json(bundle: &Path, findings: &Findings) -> Value {
    let list = findings.iter().map(|finding| {
        json!({
            "pointer": finding.place.pointer(),
            "severity": finding.severity.word(),
            "code": finding.code.word(),
            "message": finding.message,
            "remedy": remedy(finding),
        })
    });
    json!({
        "bundle": bundle.display().to_string(),
        "findings": list.collect::<Vec<_>>(),
        "errors": count(findings, Severity::Error),
        "warnings": count(findings, Severity::Warning),
    })
}
