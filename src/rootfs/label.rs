//! `linux.mountLabel`: the SELinux context of what is mounted anew for the container.

use super::plan::Source;
use std::ffi::{CStr, CString};

/// When a filesystem gets the label.
#[derive(Debug, PartialEq, Eq)]
pub enum Label {
    /// As its option `context`, for all its files.
    Context(CString),
    /// On its root, once it is mounted: mqueue takes no `context`.
    Root(CString),
}

/// The label of one mount. proc, sysfs and cgroup2 have contexts of the policy's own, and a bind shows the labels of its
/// source.
pub fn plan(label: Option<&CStr>, source: &Source) -> Option<Label> {
    let Source::Fresh { kind, .. } = source else { return None };
    let label = label?.to_owned();
    match kind.to_bytes() {
        b"proc" | b"sysfs" => None,
        b"mqueue" => Some(Label::Root(label)),
        _ => Some(Label::Context(label)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filesystem_in_its_way() {
        let label = c"system_u:object_r:container_file_t:s0:c1,c2";
        let fresh = |kind: &CStr| Source::Fresh { kind: kind.to_owned(), name: kind.to_owned() };
        for kind in [c"tmpfs", c"devpts", c"ext4", c"overlay"] {
            assert_eq!(plan(Some(label), &fresh(kind)), Some(Label::Context(label.to_owned())), "{kind:?}");
            assert_eq!(plan(None, &fresh(kind)), None);
        }
        assert_eq!(plan(Some(label), &fresh(c"mqueue")), Some(Label::Root(label.to_owned())));
        for source in [fresh(c"proc"), fresh(c"sysfs"), Source::Cgroup { own_view: true }, Source::Remount] {
            assert_eq!(plan(Some(label), &source), None, "{source:?}");
        }
        assert_eq!(plan(Some(label), &Source::Bind { path: "/x".into(), recursive: true }), None);
    }
}
