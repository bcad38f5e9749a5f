//! Bytes to `Spec`. Legal input that the typed parser refuses is mended first; what is left gets one error that
//! names the JSON path.

use super::position::place_at;
use super::{Code, Finding, Findings, Place, at};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use oci_spec::runtime::{Linux, LinuxMemoryPolicy, LinuxNamespace, LinuxPersonality, LinuxSeccomp, Process, Spec};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A `config.json` this large is no configuration: everything of it is held in memory at once.
const LARGEST: u64 = 64 << 20;

/// A configuration as it was read.
pub struct Config {
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// The text of `config.json`, kept with the container: later edits have no effect (runtime.md, "create").
    pub text: String,
    pub spec: Spec,
    /// What was legal but had to be left out, such as a capability that nobody knows.
    pub findings: Findings,
}

/// Reads the configuration of `bundle`, from `file` where another name than `config.json` is given.
pub fn load(bundle: &Path, file: Option<&Path>) -> Result<Config> {
    let (bundle, path, text) = open(bundle, file)?;
    let mut findings = Findings::default();
    let spec = parse_spec(&text, &mut findings).with_context(|| path.display().to_string())?;
    Ok(Config { bundle, text, spec, findings })
}

/// The bundle and the file, absolute, and the file's text.
fn open(bundle: &Path, file: Option<&Path>) -> Result<(PathBuf, PathBuf, String)> {
    let bundle = std::path::absolute(bundle)?;
    let path = bundle.join(file.unwrap_or(Path::new("config.json")));
    let text = read(&path)?;
    Ok((bundle, path, text))
}

/// As [`load`], but a value of the wrong type is a finding and is left out, so that the rest can be judged. Also
/// returns the places that were left out.
pub fn as_far_as_possible(bundle: &Path, file: Option<&Path>, found: &mut Findings) -> (Option<Config>, Vec<Place>) {
    let Some((bundle, _, text)) = found.keep(Code::File, open(bundle, file)) else { return (None, Vec::new()) };
    let (rest, cut) = left_out(&text, found);
    (rest.map(|(spec, findings)| Config { bundle, text, spec, findings }), cut)
}

/// What is left of a text without the values of wrong types, and the places of these.
pub fn left_out(text: &str, found: &mut Findings) -> (Option<(Spec, Findings)>, Vec<Place>) {
    let mut cut: Vec<Place> = Vec::new();
    let mut rest = text.to_owned();
    loop {
        let mut findings = Findings::default();
        let wrong = match parse_spec(&rest, &mut findings) {
            Ok(spec) => return (Some((spec, findings)), cut),
            Err(error) => Finding::of(Code::Type, error),
        };
        let mut place = wrong.place.clone();
        let ours = wrong.code == Code::Missing && cut.iter().any(|cut| cut.parent().as_ref() == Some(&place));
        if !ours {
            found.add(wrong);
        }
        // A list goes as a whole: without one item the others would change their places.
        while let (true, Some(list)) = (place.is_item(), place.parent()) {
            place = list;
        }
        // Everything else is judged by the namespaces.
        let namespaces = at("linux.namespaces").overlaps(&place);
        match without(&rest, &place) {
            Some(text) if !namespaces => rest = text,
            _ => return (None, cut),
        }
        cut.push(place);
    }
}

/// The text without the field at `place`.
fn without(text: &str, place: &Place) -> Option<String> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    let object = value.pointer_mut(&place.parent()?.pointer())?.as_object_mut()?;
    object.remove(place.name()?)?;
    Some(value.to_string())
}

/// Reads a file of JSON text.
pub fn read(path: &Path) -> Result<String> {
    let failed = || format!("cannot read {}", path.display());
    let file = match crate::sys::fs::open(path, OFlag::O_RDONLY) {
        Ok(file) => File::from(file),
        Err(Errno::ENOENT) => bail!("JSON specification file {} not found: no such file or directory", path.display()),
        Err(errno) => return Err(errno).with_context(failed),
    };
    let meta = file.metadata().with_context(failed)?;
    if meta.is_dir() {
        bail!("{}: is a directory, not a JSON file", path.display());
    }
    text_of(file, meta.len(), &path.display().to_string())
}

/// Reads JSON text from standard input.
pub fn read_stdin() -> Result<String> {
    text_of(std::io::stdin().lock(), 0, "standard input")
}

fn text_of(from: impl Read, expected: u64, name: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(expected.min(LARGEST) as usize + 1);
    from.take(LARGEST + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > LARGEST {
        bail!("{name}: more than {LARGEST} bytes");
    }
    String::from_utf8(bytes).with_context(|| format!("{name} is not UTF-8"))
}

/// Parses a whole configuration.
pub fn parse_spec(text: &str, findings: &mut Findings) -> Result<Spec> {
    let mut spec: Spec = parse(text, findings, mend_spec)?;
    if spec.linux().as_ref().is_some_and(|linux| linux.intel_rdt().is_some()) {
        outdated_monitoring(&json(text)?, findings);
    }
    // An absent pids.limit is no limit; the typed parser makes it 0, which is the tightest one.
    let resources = spec.linux_mut().as_mut().and_then(|linux| linux.resources_mut().as_mut());
    if let Some(resources) = resources
        && resources.pids().is_some_and(|pids| pids.limit() == 0)
    {
        let raw = json(text)?;
        if raw.pointer("/linux/resources/pids/limit").is_none_or(Value::is_null) {
            resources.set_pids(None);
        }
    }
    Ok(spec)
}

/// What a process that joins a container takes from its configuration; the rest is passed over unread.
#[derive(Deserialize)]
pub struct ForExec {
    pub process: Option<Process>,
    #[serde(default, deserialize_with = "linux_for_exec")]
    pub linux: Option<Linux>,
}

fn linux_for_exec<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Linux>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Part {
        namespaces: Option<Vec<LinuxNamespace>>,
        seccomp: Option<LinuxSeccomp>,
        personality: Option<LinuxPersonality>,
        memory_policy: Option<LinuxMemoryPolicy>,
    }
    Ok(Option::<Part>::deserialize(from)?.map(|part| {
        let mut linux = Linux::default();
        linux.set_namespaces(part.namespaces).set_seccomp(part.seccomp);
        linux.set_personality(part.personality).set_memory_policy(part.memory_policy);
        linux
    }))
}

/// Parses the configuration of a container that is to be joined.
pub fn parse_for_exec(text: &str, findings: &mut Findings) -> Result<ForExec> {
    parse(text, findings, mend_spec)
}

/// What `enableMonitoring` has replaced (config-linux.md, "IntelRdt"); the typed parser knows it by other names.
fn outdated_monitoring(spec: &Value, findings: &mut Findings) {
    for field in ["enableCMT", "enableMBM"] {
        if spec.pointer("/linux/intelRdt").and_then(|rdt| rdt.get(field)) == Some(&Value::Bool(true)) {
            let place = at("linux.intelRdt").field(field);
            findings.add(Finding::warning(Code::NoEffect, place, "has no effect; enableMonitoring took its place"));
        }
    }
}

/// Parses a `process` object, as `exec --process` takes it.
pub fn parse_process(text: &str, findings: &mut Findings) -> Result<Process> {
    parse(text, findings, mend_process)
}

fn parse<T: DeserializeOwned>(text: &str, findings: &mut Findings, mend: fn(&mut Value, &mut Findings)) -> Result<T> {
    // The typed parser would take the fields of an object from a list, by their position.
    if !text.trim_start().starts_with('{') {
        let found = json(text)?;
        let words = format!("not a JSON object, but {}", if found.is_array() { "a list" } else { "a single value" });
        return Err(Finding::error(Code::Type, at(""), words).into());
    }
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    // Slow and exact: take out what only this parser refuses, and then say where it is wrong.
    let mut value = json(text)?;
    mend(&mut value, findings);
    let mended = value.to_string();
    serde_json::from_str(&mended).map_err(|error| misfit(&mended, &error).into())
}

fn json(text: &str) -> Result<Value, Finding> {
    serde_json::from_str(text).map_err(|error| Finding::error(Code::Json, at(""), format!("invalid JSON: {error}")))
}

/// What the typed parser says against a text that is JSON.
fn misfit(text: &str, error: &serde_json::Error) -> Finding {
    let message = error.to_string();
    let cause = message.split(" at line ").next().unwrap_or_default();
    let code = match cause {
        _ if cause.starts_with("missing field") => Code::Missing,
        _ if cause.starts_with("unknown variant") => Code::Unknown,
        _ => Code::Type,
    };
    Finding::error(code, place_at(text, error.line(), error.column()), cause)
}

fn mend_spec(spec: &mut Value, findings: &mut Findings) {
    // A device without anything said of it is moved all the same.
    if let Some(Value::Object(devices)) = spec.pointer_mut("/linux/netDevices") {
        devices.values_mut().filter(|device| device.is_null()).for_each(|device| *device = Value::Object(Map::new()));
    }
    drop_nulls(spec);
    if let Some(process) = spec.get_mut("process") {
        mend_process(process, findings);
    }
    if let Some(linux) = spec.get_mut("linux") {
        mend_seccomp(linux);
    }
}

/// What Go programs write for "nothing", and this parser takes for a wrong type.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// A profile without a default action is no profile, as under runc.
fn mend_seccomp(linux: &mut Value) {
    let action = linux.pointer("/seccomp/defaultAction").and_then(Value::as_str).unwrap_or_default();
    let rules = linux.pointer("/seccomp/syscalls").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    if action.is_empty()
        && !rules
        && let Some(linux) = linux.as_object_mut()
    {
        linux.remove("seccomp");
    }
}

fn mend_process(process: &mut Value, findings: &mut Findings) {
    // The schema requires `cwd` alone; nobody named is 0, as under runc.
    if let Value::Object(fields) = &mut *process {
        fields.entry("user").or_insert_with(|| serde_json::json!({}));
    }
    mend_capabilities(process, findings);
    mend_scheduler(process);
    mend_affinity(process);
}

/// The flags as config.md spells them, where this parser has names of its own.
fn mend_scheduler(process: &mut Value) {
    const SPELLINGS: [(&str, &str); 2] =
        [("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"), ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN")];
    let Some(Value::Array(flags)) = process.pointer_mut("/scheduler/flags") else { return };
    for flag in flags {
        if let Some((_, own)) = SPELLINGS.iter().find(|(legal, _)| flag == legal) {
            *flag = Value::from(*own);
        }
    }
}

/// "If omitted or empty" (config.md): this parser wants at least one CPU.
fn mend_affinity(process: &mut Value) {
    if let Some(Value::Object(lists)) = process.get_mut("execCPUAffinity") {
        lists.retain(|_, list| list != "");
    }
}

/// config.md: "any value which cannot be mapped to a relevant kernel interface [...] MUST be logged as a warning".
fn mend_capabilities(process: &mut Value, findings: &mut Findings) {
    let Some(Value::Object(sets)) = process.get_mut("capabilities") else { return };
    let mut unknown = Vec::new();
    for (set, names) in sets {
        let Value::Array(names) = names else { continue };
        let mut index = 0;
        names.retain(|name| {
            let place = at("process.capabilities").field(set).item(index);
            index += 1;
            let known = serde_json::from_value::<oci_spec::runtime::Capability>(name.clone()).is_ok();
            match name.as_str() {
                Some(name) if !known => unknown.push((set.clone(), name.to_owned())),
                // The typed parser would count without those that are left out.
                None => findings.add(Finding::error(Code::Type, place, format!("{name} is not a string"))),
                _ => {}
            }
            known
        });
    }
    for (set, name) in &unknown {
        let place = at("process.capabilities").field(set);
        let wanted = unknown.iter().any(|(other, same)| same == name && other != "bounding");
        findings.add(match wanted || kernel_may_know_more() {
            true => Finding::warning(Code::Capability, place, format!("unknown capability {name:?} is left out")),
            // Nobody asks for it: a limit that names what this kernel cannot have is a slip of the pen.
            false => Finding::error(Code::Capability, place, format!("unknown capability {name:?}, in no other set")),
        });
    }
}

/// Whether this kernel has capabilities that rt does not.
fn kernel_may_know_more() -> bool {
    let newest = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
    let known = caps::all().iter().map(caps::Capability::index).max();
    newest.trim().parse().ok() > known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> (Result<Spec>, Vec<String>) {
        let mut findings = Findings::default();
        let spec = parse_spec(text, &mut findings);
        (spec, findings.warnings().map(ToString::to_string).collect())
    }

    #[test]
    fn an_unknown_capability_is_a_warning() {
        let (spec, warnings) = spec(
            r#"{"ociVersion":"1.0.2","process":{"cwd":"/","user":{"uid":0,"gid":0},
                "capabilities":{"effective":["CAP_KILL","CAP_FUTURE"]}}}"#,
        );
        let process = spec.unwrap().process().clone().unwrap();
        assert_eq!(process.capabilities().as_ref().unwrap().effective().as_ref().unwrap().len(), 1);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("CAP_FUTURE"), "{warnings:?}");
    }

    #[test]
    fn what_is_no_capability_is_counted_with_the_unknown_ones() {
        let mut findings = Findings::default();
        let text = r#"{"cwd":"/","capabilities":{"effective":["CAP_FUTURE","CAP_KILL",5]}}"#;
        let process = parse_process(text, &mut findings).unwrap();
        let error = findings.verdict(process).unwrap_err().to_string();
        assert!(error.starts_with("process.capabilities.effective[2]: 5 is not a string"), "{error}");
    }

    #[test]
    fn an_absent_pids_limit_is_no_limit() {
        let (absent, _) = spec(r#"{"ociVersion":"1.0.2","linux":{"resources":{"pids":{}}}}"#);
        let (zero, _) = spec(r#"{"ociVersion":"1.0.2","linux":{"resources":{"pids":{"limit":0}}}}"#);
        let pids = |spec: Spec| *spec.linux().as_ref().unwrap().resources().as_ref().unwrap().pids();
        assert_eq!(pids(absent.unwrap()), None);
        assert_eq!(pids(zero.unwrap()).unwrap().limit(), 0);
    }

    #[test]
    fn what_go_writes_for_nothing_is_nothing() {
        let (spec, _) = spec(
            r#"{"ociVersion":"1.0.2","mounts":null,"process":null,
                "linux":{"seccomp":{"defaultAction":""},"namespaces":[{"type":"pid","path":null}]}}"#,
        );
        let spec = spec.unwrap();
        assert!(spec.process().is_none());
        assert!(spec.linux().as_ref().unwrap().seccomp().is_none());
    }

    /// What config.md and config-linux.md allow, and the typed parser spells or reads in another way.
    #[test]
    fn legal_words_are_taken() {
        let linux = |text: &str| {
            spec(&format!(r#"{{"ociVersion":"1.3.0","linux":{text}}}"#)).0.unwrap().linux().clone().unwrap()
        };
        let devices = linux(r#"{"netDevices":{"a":null,"b":{"name":null},"c":{}}}"#).net_devices().clone().unwrap();
        assert_eq!(devices.len(), 3);
        assert!(devices.values().all(|device| device.name().is_none()));
        assert!(linux(r#"{"intelRdt":{"closID":"x","enableCMT":true,"enableMBM":false}}"#).intel_rdt().is_some());
        assert!(linux(r#"{"memoryPolicy":{"mode":"MPOL_LOCAL","nodes":"","flags":null}}"#).memory_policy().is_some());
        let process = |text: &str| {
            let text = format!(r#"{{"cwd":"/","user":{{"uid":0,"gid":0}},{text}}}"#);
            parse_process(&text, &mut Findings::default()).unwrap_or_else(|error| panic!("{text}: {error:#}"))
        };
        for flag in [
            "SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_RECLAIM",
            "SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_KEEP_POLICY",
            "SCHED_FLAG_KEEP_PARAMS",
            "SCHED_FLAG_UTIL_CLAMP_MIN",
            "SCHED_FLAG_UTIL_CLAMP_MAX",
        ] {
            let process = process(&format!(r#""scheduler":{{"policy":"SCHED_OTHER","flags":["{flag}"]}}"#));
            assert_eq!(process.scheduler().as_ref().unwrap().flags().as_ref().unwrap().len(), 1);
        }
        let affinity =
            process(r#""execCPUAffinity":{"initial":"","final":"0-3,7"}"#).exec_cpu_affinity().clone().unwrap();
        assert_eq!((affinity.initial(), affinity.cpu_affinity_final().as_deref()), (&None, Some("0-3,7")));
    }

    #[test]
    fn an_error_names_the_place() {
        let (wrong, _) = spec(r#"{"process":{"cwd":"/","user":{"uid":"root","gid":0}}}"#);
        let text = format!("{:#}", wrong.unwrap_err());
        assert!(text.starts_with("process.user.uid: "), "{text}");
        // The typed parser passes over what it does not know, and takes no offence at what is no JSON value there.
        for odd in ["1e999", "\"\\ud800\""] {
            let (wrong, _) = spec(&format!(r#"{{"ociVersion":"1.3.0","linux":{{"intelRdt":{{}}}},"x":{odd}}}"#));
            let text = format!("{:#}", wrong.unwrap_err());
            assert!(text.starts_with("invalid JSON: "), "{text}");
        }
        let (cut, _) = spec(r#"{"process":"#);
        let text = format!("{:#}", cut.unwrap_err());
        assert!(text.starts_with("invalid JSON: ") && text.contains("line 1"), "{text}");
    }
}
