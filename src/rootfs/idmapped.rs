//! Idmapped mounts: the files of a bind mount show, and get, other owners than they have on disk (config.md, "mounts";
//! mount_setattr(2), `MOUNT_ATTR_IDMAP`).
//!
//! A mapping is taken from a user namespace. The container's new one has its maps only after the clone, so such a tree
//! is kept by the parent, too, and mapped before init is told that its own ids are: it is on the same fd.

use super::options::Options;
use super::plan::{MountPlan, RootPlan, Source};
use super::source::Sources;
use crate::fault::{Fault, words};
use crate::host::mount_table;
use crate::namespaces::{self, IdMap, NamespacePlan, plan_map, with_maps};
use crate::sys::mount::{MOUNT_ATTR_IDMAP, MountAttr, mount_setattr};
use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::stat::{major, minor, stat};
use oci_spec::runtime::Mount;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

const STAGE: &str = "idmap";

/// How the ids of one mount are mapped.
#[derive(Debug, PartialEq, Eq)]
pub struct IdMapped {
    /// Also those of all mounts below it.
    pub recursive: bool,
    pub by: By,
}

/// Whose mapping it is.
#[derive(Debug, PartialEq, Eq)]
pub enum By {
    /// The user namespace that is made for the container.
    Made,
    /// The user namespace that the container joins.
    Joined,
    /// The mount's own.
    Own { uid: Vec<IdMap>, gid: Vec<IdMap> },
}

/// Whether and how the mount is idmapped. Mappings alone mean `idmap`.
pub fn plan(
    index: usize,
    mount: &Mount,
    options: &Options,
    namespaces: &NamespacePlan,
    privileged: bool,
) -> Result<Option<IdMapped>> {
    let uid = mount.uid_mappings().as_deref().unwrap_or_default();
    let gid = mount.gid_mappings().as_deref().unwrap_or_default();
    if options.id_map.is_none() && uid.is_empty() && gid.is_empty() {
        return Ok(None);
    }
    let at = mount.destination().display();
    if options.bind.is_none() {
        bail!("mounts[{index}] {at}: id-mapped mounts are only supported for bind-mounts");
    }
    if !privileged {
        bail!("mounts[{index}] {at}: id-mapped mounts are not supported for rootless containers");
    }
    let by = match (uid.is_empty(), gid.is_empty()) {
        (true, true) if namespaces.makes(namespaces::USER) => By::Made,
        (true, true) if namespaces.joins(namespaces::USER) => By::Joined,
        (true, true) => bail!(
            "mounts[{index}] {at}: idmap needs uidMappings and gidMappings of the mount, or a user namespace \
             (linux.namespaces lacks \"user\")"
        ),
        (false, true) => bail!("mounts[{index}].gidMappings: {at} has uidMappings only, and needs both"),
        (true, false) => bail!("mounts[{index}].uidMappings: {at} has gidMappings only, and needs both"),
        (false, false) => {
            let uid = plan_map(uid, &format!("mounts[{index}].uidMappings"))?;
            let gid = plan_map(gid, &format!("mounts[{index}].gidMappings"))?;
            match namespaces.makes(namespaces::USER) && uid == namespaces.uid_map && gid == namespaces.gid_map {
                true => By::Made,
                false => By::Own { uid, gid },
            }
        }
    };
    Ok(Some(IdMapped { recursive: options.id_map.unwrap_or(false), by }))
}

/// Maps what does not have to wait for the container's new user namespace. One namespace is made for each distinct
/// mapping, and gone with the mounts.
pub fn map_now(plan: &RootPlan, sources: &Sources, joined: Option<BorrowedFd>, proc: BorrowedFd) -> Result<(), Fault> {
    let mut made: Vec<(&By, OwnedFd)> = Vec::new();
    for (mount, mapped, tree) in idmapped(plan, sources) {
        match &mapped.by {
            By::Made => {}
            By::Joined => match joined {
                Some(namespace) => map(mount, tree.as_fd(), namespace)?,
                None => {
                    let what = format!("{}: cannot be idmapped: the user namespace to join is our own", mount.name());
                    return Err(Fault::new(STAGE, what).path(mount.destination.display()));
                }
            },
            by @ By::Own { uid, gid } => {
                let at = match made.iter().position(|(other, _)| *other == by) {
                    Some(at) => at,
                    None => {
                        let namespace = with_maps(proc, uid, gid).map_err(|fault| Fault {
                            message: format!("{}: uidMappings, gidMappings: {}", mount.name(), fault.message),
                            ..fault
                        })?;
                        made.push((by, namespace));
                        made.len() - 1
                    }
                };
                map(mount, tree.as_fd(), made[at].1.as_fd())?;
            }
        }
    }
    Ok(())
}

fn idmapped<'a>(
    plan: &'a RootPlan,
    sources: &'a Sources,
) -> impl Iterator<Item = (&'a MountPlan, &'a IdMapped, &'a OwnedFd)> {
    let all = plan.mounts.iter().zip(&sources.binds);
    all.filter_map(|(mount, tree)| Some((mount, mount.id_map.as_ref()?, tree.as_ref()?)))
}

/// The trees that wait for the container's user namespace.
pub struct Waiting(Vec<(usize, OwnedFd)>);

/// Keeps of the opened sources what [`Waiting::map`] will need.
pub fn waiting(plan: &RootPlan, sources: Option<Sources>) -> Waiting {
    let binds = sources.into_iter().flat_map(|sources| sources.binds).enumerate();
    let waits = |i: usize| matches!(&plan.mounts[i].id_map, Some(IdMapped { by: By::Made, .. }));
    Waiting(binds.filter_map(|(i, tree)| tree.filter(|_| waits(i)).map(|tree| (i, tree))).collect())
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Maps them by `namespace`, whose own maps are written. They are still detached: the kernel refuses others.
    pub fn map(&self, plan: &RootPlan, namespace: BorrowedFd) -> Result<(), Fault> {
        self.0.iter().try_for_each(|(i, tree)| map(&plan.mounts[*i], tree.as_fd(), namespace))
    }
}

fn map(mount: &MountPlan, tree: BorrowedFd, namespace: BorrowedFd) -> Result<(), Fault> {
    let recursive = mount.id_map.as_ref().is_some_and(|mapped| mapped.recursive);
    let attr = MountAttr { set: MOUNT_ATTR_IDMAP, userns_fd: namespace.as_raw_fd() as u64, ..MountAttr::default() };
    mount_setattr(tree, recursive, &attr).map_err(|errno| refused(mount, errno))
}

fn refused(mount: &MountPlan, errno: Errno) -> Fault {
    let Source::Bind { path, .. } = &mount.source else { return Fault::new(STAGE, mount.name()).errno(errno) };
    let kind = filesystem(path).map_or(String::new(), |kind| format!(", of filesystem {kind}"));
    let what = format!("{}: cannot map the ids of {}{kind}: {}", mount.name(), path.display(), words(errno));
    let fault = Fault::new(STAGE, what).errno(errno).path(path.display());
    match errno {
        Errno::EINVAL => fault.hint(
            "this kernel has no idmapped mounts for that filesystem, or for one mounted below it; use another \
             filesystem for the source, or leave out idmap and the mappings",
        ),
        Errno::EPERM => fault.hint("the source is idmapped already, or its filesystem belongs to a user namespace"),
        _ => fault,
    }
}

/// The type of the filesystem that `path` is on, as far as mountinfo tells.
fn filesystem(path: &Path) -> Option<String> {
    let device = stat(path).ok()?.st_dev;
    let device = format!("{}:{}", major(device), minor(device));
    mount_table().ok()?.into_iter().find(|mount| mount.majmin == device).map(|mount| mount.fs_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Findings;
    use serde_json::{Value, json};

    fn planned(namespaces: Value, options: &[&str], more: Value) -> Result<Option<IdMapped>, String> {
        let mut mount = json!({"destination": "/m", "source": "/s", "options": options});
        mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let linux = serde_json::from_value(namespaces).unwrap();
        let namespaces = namespaces::plan(Some(&linux), &mut Findings::default());
        let words = super::super::options::parse(options);
        plan(3, &serde_json::from_value(mount).unwrap(), &words, &namespaces, true).map_err(|error| error.to_string())
    }

    fn range(inside: u32, host: u32, size: u32) -> Value {
        json!([{"containerID": inside, "hostID": host, "size": size}])
    }

    fn user() -> Value {
        json!({"namespaces": [{"type": "user"}], "uidMappings": range(0, 1000, 5), "gidMappings": range(0, 2000, 5)})
    }

    #[test]
    fn whose_mapping_it_is() {
        let by = |namespaces, options: &[&str], more| planned(namespaces, options, more).unwrap().unwrap();
        assert_eq!(by(user(), &["bind", "idmap"], json!({})), IdMapped { recursive: false, by: By::Made });
        let joined = json!({"namespaces": [{"type": "user", "path": "/proc/1/ns/user"}]});
        assert_eq!(by(joined, &["rbind", "ridmap"], json!({})), IdMapped { recursive: true, by: By::Joined });
        let own = json!({"uidMappings": range(0, 7, 1), "gidMappings": range(0, 8, 1)});
        let map = |host| vec![IdMap { inside: 0, host, size: 1 }];
        let expected = IdMapped { recursive: false, by: By::Own { uid: map(7), gid: map(8) } };
        assert_eq!(by(json!({}), &["bind"], own), expected);
        // What engines send with each volume of a pod needs no namespace of its own.
        let same = json!({"uidMappings": range(0, 1000, 5), "gidMappings": range(0, 2000, 5)});
        assert_eq!(by(user(), &["rbind", "ridmap"], same), IdMapped { recursive: true, by: By::Made });
        let none = json!({"uidMappings": [], "gidMappings": []});
        assert_eq!(planned(user(), &["bind"], none), Ok(None));
    }

    #[test]
    fn what_is_refused() {
        let both = || json!({"uidMappings": range(0, 7, 1), "gidMappings": range(0, 8, 1)});
        let refused = |namespaces, options: &[&str], more| planned(namespaces, options, more).unwrap_err();
        let text = refused(user(), &["idmap"], json!({}));
        assert_eq!(text, "mounts[3] /m: id-mapped mounts are only supported for bind-mounts");
        assert_eq!(refused(json!({}), &[], both()), text);
        let text = refused(json!({}), &["bind", "idmap"], json!({}));
        assert!(text.starts_with("mounts[3] /m: idmap needs uidMappings"), "{text}");
        let text = refused(user(), &["bind"], json!({"uidMappings": range(0, 7, 1)}));
        assert_eq!(text, "mounts[3].gidMappings: /m has uidMappings only, and needs both");
        let text = refused(user(), &["bind"], json!({"uidMappings": range(0, 7, 0), "gidMappings": range(0, 7, 1)}));
        assert_eq!(text, "mounts[3].uidMappings[0].size: is 0");
    }
}
