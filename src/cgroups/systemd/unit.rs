//! Which unit a container becomes, by `linux.cgroupsPath`, and where systemd puts it.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// A unit's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `docker-c1.scope`, or a slice.
    pub unit: String,
    /// The slice that it lies in. A slice lies where its own name says.
    pub slice: String,
}

/// unit_name_is_valid of systemd: longer names are no units.
const LONGEST: usize = 255;

impl Name {
    /// Reads `slice:prefix:name` as runc and crun do; without a path the unit is `rt-ID.scope`. `user` is for the manager of
    /// an ordinary user, who has no system.slice.
    pub fn new(cgroups_path: Option<&Path>, id: &str, user: bool) -> Result<Name> {
        let own = format!(":rt:{id}");
        let given = cgroups_path.filter(|path| !path.as_os_str().is_empty());
        let text = given.map_or(Ok(own.as_str()), |path| path.to_str().ok_or(()));
        let parts: Vec<&str> = text.unwrap_or_default().split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            anyhow::bail!(
                "linux.cgroupsPath: expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {:?} instead",
                given.unwrap_or(Path::new(""))
            );
        };
        ensure!(
            !name.is_empty(),
            "linux.cgroupsPath: {:?} has no name after the second \":\"",
            text.unwrap_or_default()
        );
        if name.ends_with(SLICE) {
            return Ok(Name { unit: slice_name(name)?, slice: parent(name) });
        }
        let slice = match (slice, user) {
            ("", true) => "user.slice".to_owned(),
            ("", false) => "system.slice".to_owned(),
            ("-", _) => ROOT.to_owned(),
            (slice, _) => slice_name(slice)?,
        };
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}-") };
        let unit = format!("{prefix}{name}.scope");
        let known = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        ensure!(
            unit.chars().all(known),
            "linux.cgroupsPath: the unit {unit:?} would have a character that systemd does not take: letters, digits and :-_.\\@ are allowed"
        );
        ensure!(
            unit.len() <= LONGEST,
            "linux.cgroupsPath: the unit {unit:?} would have more than {LONGEST} characters"
        );
        Ok(Name { unit, slice })
    }

    pub fn is_slice(&self) -> bool {
        self.unit.ends_with(SLICE)
    }

    /// The cgroup of the unit below that of its manager.
    pub fn path(&self) -> PathBuf {
        if self.is_slice() { expand(&self.unit) } else { expand(&self.slice).join(&self.unit) }
    }
}

const SLICE: &str = ".slice";
const ROOT: &str = "-.slice";

fn slice_name(name: &str) -> Result<String> {
    let stem = name.strip_suffix(SLICE).unwrap_or_default();
    let plain = !stem.is_empty() && stem.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c));
    let dashes = stem.starts_with('-') || stem.ends_with('-') || stem.contains("--");
    let valid = name == ROOT || plain && !dashes && name.len() <= LONGEST;
    ensure!(valid, "linux.cgroupsPath: invalid slice name: {name:?}: it must be like a-b.slice, which lies in a.slice");
    Ok(name.to_owned())
}

/// systemd.slice(5): `a-b.slice` is in `a.slice`, and that in `-.slice`.
fn parent(slice: &str) -> String {
    slice.rsplit_once('-').map_or(ROOT.to_owned(), |(above, _)| format!("{above}{SLICE}"))
}

/// `a-b.slice` is the cgroup `a.slice/a-b.slice`; the root slice is the manager's own.
fn expand(slice: &str) -> PathBuf {
    let stem = slice.strip_suffix(SLICE).unwrap_or(slice);
    if slice == ROOT {
        return PathBuf::new();
    }
    let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
    ends.map(|end| format!("{}{SLICE}", &stem[..end])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str, user: bool) -> Result<String> {
        let given = (text != "none").then(|| Path::new(text));
        Name::new(given, "c1", user).map(|name| name.path().display().to_string())
    }

    #[test]
    fn places() {
        for (given, place) in [
            ("none", "system.slice/rt-c1.scope"),
            ("", "system.slice/rt-c1.scope"),
            ("system.slice:docker:x", "system.slice/docker-x.scope"),
            (":cri:x", "system.slice/cri-x.scope"),
            ("-:cri:x", "cri-x.scope"),
            ("-.slice:cri:x", "cri-x.scope"),
            ("::x", "system.slice/x.scope"),
            ("a-b-c.slice:p:x", "a.slice/a-b.slice/a-b-c.slice/p-x.scope"),
            (
                "kubepods-besteffort-pod1_2.slice:cri-containerd:x",
                "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-x.scope",
            ),
            ("::a-b.slice", "a.slice/a-b.slice"),
            ("::-.slice", ""),
        ] {
            assert_eq!(path(given, false).unwrap(), place, "{given}");
        }
        assert_eq!(path("none", true).unwrap(), "user.slice/rt-c1.scope");
        assert_eq!(path(":p:x", true).unwrap(), "user.slice/p-x.scope");
        assert_eq!(Name::new(Some(Path::new("::a-b.slice")), "c", false).unwrap().slice, "a.slice");
    }

    #[test]
    fn places_that_cannot_be() {
        for given in ["/a/b", "x", "a:b", "a.slice:b:c:d"] {
            let text = path(given, false).unwrap_err().to_string();
            assert!(text.contains("expected cgroupsPath to be of format \"slice:prefix:name\""), "{text}");
        }
        for given in
            ["a:p:x", "a--b.slice:p:x", "-a.slice:p:x", "a-.slice:p:x", "a/b.slice:p:x", ".slice:p:x", "::--.slice"]
        {
            let text = path(given, false).unwrap_err().to_string();
            assert!(text.starts_with("linux.cgroupsPath: invalid slice name: "), "{text}");
        }
        assert!(path(":p:", false).is_err());
        assert!(path(":p:a/b", false).is_err());
        assert!(path(":p:a+b", false).unwrap_err().to_string().contains("p-a+b.scope"));
        assert!(path(&format!(":p:{}", "x".repeat(255)), false).is_err());
    }
}
