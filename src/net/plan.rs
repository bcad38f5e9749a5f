//! `linux.netDevices`: which of the host's network devices become the container's, and under which names.

use crate::namespaces::{self, NamespacePlan};
use crate::spec::{Code, Finding, Findings, at};
use anyhow::Error;
use oci_spec::runtime::Linux;

/// A device that is moved.
#[derive(Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name on the host.
    pub host: String,
    /// Its name inside; one `%d` in it stands for a number that the kernel picks.
    pub inside: String,
}

impl Device {
    /// Its place in the configuration, for errors.
    pub fn field(&self) -> String {
        at("linux.netDevices").field(&self.host).to_string()
    }

    /// Whether the kernel is to pick the name inside.
    pub fn is_template(&self) -> bool {
        self.inside.contains('%')
    }
}

/// Plans `linux.netDevices`, in the order of their names on the host; templates last, so that no number is picked that
/// another device is to have.
pub fn plan(
    linux: Option<&Linux>,
    namespaces: &NamespacePlan,
    privileged: bool,
    findings: &mut Findings,
) -> Vec<Device> {
    let Some(listed) = linux.and_then(|linux| linux.net_devices().as_ref()).filter(|listed| !listed.is_empty()) else {
        return Vec::new();
    };
    let all = at("linux.netDevices");
    if !namespaces.has(namespaces::NET) {
        let text = "unable to move network devices without a NET namespace";
        let finding = Finding::error(Code::NamespaceMissing, all.clone(), text);
        findings.add(finding.remedy("linux.namespaces lacks \"network\""));
    }
    if !privileged {
        let text = "network devices are not supported for rootless containers";
        let remedy = "moving one needs CAP_NET_ADMIN in the host's network namespace";
        findings.add(Finding::error(Code::Rootless, all, text).remedy(remedy));
    }
    let mut devices: Vec<Device> = Vec::with_capacity(listed.len());
    for (host, device) in listed {
        let inside = device.name().as_ref().filter(|name| !name.is_empty()).unwrap_or(host).clone();
        devices.push(Device { host: host.clone(), inside });
    }
    devices.sort_by(|a, b| (a.is_template(), &a.host).cmp(&(b.is_template(), &b.host)));
    for (i, device) in devices.iter().enumerate() {
        findings.keep(Code::NetDevice, check(device, &devices[..i]));
    }
    devices
}

/// Checks a device's names, by themselves and against those `before` it.
fn check(device: &Device, before: &[Device]) -> Result<(), Error> {
    let place = at("linux.netDevices").field(&device.host);
    let fails = |place, text| Err(Finding::error(Code::NetDevice, place, text).into());
    if let Some(why) = wrong(&device.host) {
        return fails(place, format!("invalid network device name {:?}: {why}", device.host));
    }
    let place = place.field("name");
    if let Some(why) = wrong(&device.inside).or_else(|| wrong_template(&device.inside)) {
        return fails(place, format!("invalid network device name {:?}: {why}", device.inside));
    }
    match before.iter().find(|other| other.inside == device.inside && !device.is_template()) {
        Some(twin) => fails(place, format!("{:?} is the name of {} too", device.inside, twin.field())),
        None => Ok(()),
    }
}

/// What is wrong with a device's name, by the kernel's own rule (`dev_valid_name`, net/core/dev.c).
fn wrong(name: &str) -> Option<&'static str> {
    /// `IFNAMSIZ` without the terminator.
    const LONGEST: usize = 15;
    match name {
        "" => Some("it is empty"),
        "." | ".." => Some("it names a directory"),
        name if name.len() > LONGEST => Some("it is longer than 15 bytes"),
        name if name.contains(['/', ':', '\0']) => Some("it contains '/', ':' or a NUL byte"),
        name if name.bytes().any(|byte| byte.is_ascii_whitespace() || byte == 0x0b) => Some("it contains whitespace"),
        _ => None,
    }
}

/// The kernel takes one `%d` and no other `%` (`__dev_alloc_name`).
fn wrong_template(name: &str) -> Option<&'static str> {
    let (_, rest) = name.split_once('%')?;
    (!rest.starts_with('d') || rest.contains('%')).then_some("a template has one %d and no other %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn planned(devices: Value, new: u64, privileged: bool) -> anyhow::Result<Vec<Device>> {
        let linux: Linux = serde_json::from_value(json!({ "netDevices": devices })).unwrap();
        let mut findings = Findings::default();
        let planned = plan(Some(&linux), &NamespacePlan { new, ..NamespacePlan::default() }, privileged, &mut findings);
        findings.verdict(planned)
    }

    #[test]
    fn names() {
        let planned =
            planned(json!({"b": {"name": "eth%d"}, "a": {}, "c": {"name": ""}}), namespaces::NET, true).unwrap();
        let names: Vec<_> = planned.iter().map(|device| (device.host.as_str(), device.inside.as_str())).collect();
        assert_eq!(names, [("a", "a"), ("c", "c"), ("b", "eth%d")]);
    }

    #[test]
    fn refusals_name_the_place() {
        let refused = |devices: Value| format!("{:#}", planned(devices, namespaces::NET, true).unwrap_err());
        for (devices, expected) in [
            (json!({"": {}}), "linux.netDevices[\"\"]: invalid network device name \"\": it is empty"),
            (json!({"a": {"name": "a b"}}), "linux.netDevices.a.name: invalid network device name \"a b\""),
            (json!({"a": {"name": "a/b"}}), "linux.netDevices.a.name: invalid"),
            (json!({"a": {"name": "a:b"}}), "linux.netDevices.a.name: invalid"),
            (json!({"a": {"name": ".."}}), "linux.netDevices.a.name: invalid"),
            (json!({"a": {"name": "sixteen-bytes-xx"}}), "linux.netDevices.a.name: invalid"),
            (json!({"a": {"name": "e%s"}}), "linux.netDevices.a.name: invalid"),
            (json!({"a": {"name": "e%d%d"}}), "linux.netDevices.a.name: invalid"),
            (
                json!({"a": {"name": "x"}, "b": {"name": "x"}}),
                "linux.netDevices.b.name: \"x\" is the name of linux.netDevices.a",
            ),
            (json!({"x": {}, "a": {"name": "x"}}), "linux.netDevices.x.name: \"x\" is the name of linux.netDevices.a"),
        ] {
            let text = refused(devices);
            assert!(text.starts_with(expected), "{text}");
        }
        assert!(planned(json!({"a": {"name": "e%d"}, "b": {"name": "e%d"}}), namespaces::NET, true).is_ok());
        assert!(planned(json!({"a": {"name": "fifteen-bytes-x"}}), namespaces::NET, true).is_ok());
        assert!(planned(json!({}), 0, false).unwrap().is_empty());
        let text = planned(json!({"a": {}}), 0, true).unwrap_err().to_string();
        assert!(text.starts_with("linux.netDevices: unable to move network devices without a NET namespace"), "{text}");
        let text = planned(json!({"a": {}}), namespaces::NET, false).unwrap_err().to_string();
        assert!(text.starts_with("linux.netDevices: network devices are not supported for rootless"), "{text}");
    }
}
