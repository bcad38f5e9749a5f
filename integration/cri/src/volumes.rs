//! Mounts and devices.

use crate::kubelet::{Kubelet, Result, security};
use k8s_cri::v1::{ContainerConfig, Device, Mount, MountPropagation};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder on the host with a file and a mount below it.
struct Volume(PathBuf);

impl Volume {
    fn new(kubelet: &Kubelet, name: &str) -> Result<Volume> {
        let path = kubelet.work.join("volumes").join(name);
        std::fs::create_dir_all(path.join("below"))?;
        std::fs::write(path.join("file"), "of the host\n")?;
        mount(&["-t", "tmpfs", "tmpfs"], &path.join("below"))?;
        Ok(Volume(path))
    }

    fn at(&self, readonly: bool, propagation: MountPropagation) -> Mount {
        Mount {
            container_path: "/volume".to_owned(),
            host_path: self.0.to_string_lossy().into_owned(),
            readonly,
            propagation: propagation.into(),
            ..Default::default()
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-R").arg(self.0.join("below")).status();
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn mount(words: &[&str], at: &Path) -> Result<()> {
    match Command::new("mount").args(words).arg(at).status()?.success() {
        true => Ok(()),
        false => Err(tonic::Status::internal("mount(8) failed")),
    }
}

/// How a file system is mounted at the volume and below it, and whether it can be written to.
const LOOK: &str = "cat /volume/file; for at in /volume /volume/below; do touch $at/new && echo written; done 2>&1
    grep -E ' /volume' /proc/self/mountinfo | cut -d' ' -f5-7 | sed 's/,.*[0-9] /  /; s/:[0-9]*//'";

pub async fn plain(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    let volume = Volume::new(kubelet, "plain")?;
    for (name, readonly) in [("writable", false), ("read-only", true)] {
        let add = |config: &mut ContainerConfig| {
            config.mounts.push(volume.at(readonly, MountPropagation::PropagationPrivate));
            let mut file = volume.at(true, MountPropagation::PropagationPrivate);
            file.host_path += "/file";
            file.container_path = "/etc/of-host".to_owned();
            config.mounts.push(file);
        };
        println!("{}", kubelet.output(&pod, name, &format!("{LOOK}; cat /etc/of-host"), add).await?);
    }
    let absent = kubelet.create(&pod, "absent", "ls -d /volume", |config| {
        let mut mount = volume.at(true, MountPropagation::PropagationPrivate);
        mount.host_path += "/made-by-the-engine";
        config.mounts.push(mount);
    });
    println!("{}", absent.await.is_ok());
    Ok(())
}

/// `mountPropagation`: which mounts made later are seen on the other side.
pub async fn propagation(kubelet: &mut Kubelet) -> Result<()> {
    let pod =
        kubelet.pod("propagation", |linux| linux.security_context.get_or_insert_default().privileged = true).await?;
    let volume = Volume::new(kubelet, "propagation")?;
    mount(&["--bind", &volume.0.to_string_lossy()], &volume.0)?;
    mount(&["--make-shared"], &volume.0)?;
    for (name, propagation) in [
        ("private", MountPropagation::PropagationPrivate),
        ("from-host", MountPropagation::PropagationHostToContainer),
        ("both-ways", MountPropagation::PropagationBidirectional),
    ] {
        let id = kubelet.run(&pod, name, crate::lifecycle::WAITS, |config| {
            security(config).privileged = true;
            config.mounts.push(volume.at(false, propagation));
        });
        let id = id.await?;
        let (from_host, from_inside) = (volume.0.join("from-host"), volume.0.join("from-inside"));
        std::fs::create_dir_all(&from_host)?;
        std::fs::create_dir_all(&from_inside)?;
        mount(&["-t", "tmpfs", "tmpfs"], &from_host)?;
        let script = "grep -c /volume/from-host /proc/self/mounts; mount -t tmpfs tmpfs /volume/from-inside";
        println!("{name}: {}", kubelet.shell(&id, script).await?);
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        println!("on the host: {}", mounts.contains("propagation/from-inside "));
        for at in [&from_host, &from_inside] {
            let _ = Command::new("umount").arg("-q").arg(at).status();
        }
    }
    kubelet.stop_pod(&pod.id).await?;
    let _ = Command::new("umount").arg("-l").arg(&volume.0).status();
    Ok(())
}

/// `recursiveReadOnly: Enabled`. An engine that does not know the field leaves the mount below writable.
pub async fn recursive_read_only(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    let volume = Volume::new(kubelet, "rro")?;
    let add = |config: &mut ContainerConfig| {
        let mut mount = volume.at(true, MountPropagation::PropagationPrivate);
        mount.recursive_read_only = true;
        config.mounts.push(mount);
    };
    println!("{}", kubelet.output(&pod, "c", LOOK, add).await?);
    Ok(())
}

pub async fn devices(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    let script = "stat -c '%t:%T %a' /dev/of-host; head -c 4 /dev/of-host | wc -c; echo x >/dev/of-host; mknod /kmsg c 1 11 && head -c 1 /kmsg";
    let add = |config: &mut ContainerConfig| {
        config.devices.push(Device {
            container_path: "/dev/of-host".to_owned(),
            host_path: "/dev/zero".to_owned(),
            permissions: "rm".to_owned(),
        });
    };
    println!("{}", kubelet.output(&pod, "c", &format!("{script}; true"), add).await?);
    Ok(())
}
