//! Users, capabilities, and what else a pod's `securityContext` says.

use crate::kubelet::{Kubelet, Result, security};
use k8s_cri::v1::security_profile::ProfileType;
use k8s_cri::v1::{Capability, ContainerConfig, Int64Value, SecurityProfile};

const CAPS: &str = "grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status";

fn as_user(config: &mut ContainerConfig, uid: i64) -> &mut k8s_cri::v1::LinuxContainerSecurityContext {
    let security = security(config);
    security.run_as_user = Some(Int64Value { value: uid });
    security
}

pub async fn users(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    let script = "id; umask; echo ~; pwd";
    println!("{}", kubelet.output(&pod, "root", script, |_| ()).await?);
    println!("{}", kubelet.output(&pod, "number", script, |config| _ = as_user(config, 4321)).await?);
    let group = kubelet.output(&pod, "group", script, |config| {
        let security = as_user(config, 1000);
        security.run_as_group = Some(Int64Value { value: 3000 });
        security.supplemental_groups = vec![4000, 5000];
    });
    println!("{}", group.await?);
    let name = kubelet.output(&pod, "name", script, |config| security(config).run_as_username = "guest".to_owned());
    println!("{}", name.await?);
    let inside = kubelet.output(&pod, "inside", "pwd; echo $GREETING", |config| {
        config.working_dir = "/made/for/it".to_owned();
        config.envs = vec![k8s_cri::v1::KeyValue { key: "GREETING".to_owned(), value: "good day".to_owned() }];
    });
    println!("{}", inside.await?);
    Ok(())
}

pub async fn capabilities(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    println!("{}", kubelet.output(&pod, "default", CAPS, |_| ()).await?);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    for (name, add, drop) in [
        ("more", &["NET_ADMIN", "SYS_TIME"][..], &["CHOWN"][..]),
        ("none", &[], &["ALL"]),
        ("bind", &["NET_BIND_SERVICE"], &["ALL"]),
    ] {
        let change = |config: &mut ContainerConfig| {
            let capabilities =
                Capability { add_capabilities: words(add), drop_capabilities: words(drop), ..Default::default() };
            security(config).capabilities = Some(capabilities);
        };
        println!("{}", kubelet.output(&pod, name, CAPS, change).await?);
    }
    let exec = kubelet.run(&pod, "exec", crate::lifecycle::WAITS, |config| _ = as_user(config, 1000)).await?;
    println!("{}", kubelet.shell(&exec, &format!("id; {CAPS}")).await?);
    let sealed = kubelet.output(&pod, "sealed", CAPS, |config| as_user(config, 1000).no_new_privs = true);
    println!("{}", sealed.await?);
    Ok(())
}

pub async fn privileged(kubelet: &mut Kubelet) -> Result<()> {
    let change = |linux: &mut k8s_cri::v1::LinuxPodSandboxConfig| {
        linux.security_context.get_or_insert_default().privileged = true;
    };
    let pod = kubelet.pod("privileged", change).await?;
    let script = format!(
        "{CAPS}; grep -cE ' /(proc|sys)(/[^ ]*)? ro' /proc/self/mounts
         grep -E ' /sys(/fs/cgroup)? ' /proc/self/mounts | cut -d' ' -f2,3 
         ls -d /dev/mem /dev/kmsg 2>&1; mount -t tmpfs tmpfs /mnt 2>&1 || mkdir /mnt && mount -t tmpfs tmpfs /mnt && echo mounted"
    );
    println!("{}", kubelet.output(&pod, "c", &script, |config| security(config).privileged = true).await?);
    Ok(())
}

/// What a container gets without a word: masked and read-only paths, devices, limits, mounts.
pub async fn defaults(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    let script = "cut -d' ' -f2,3,4 /proc/self/mounts | sed 's/,.*//' | grep -v '^/ ' | sort
        ls /dev | tr '\n' ' '; ls -l /dev/fd /dev/stdin /dev/ptmx | sed 's/.* -> //'; ulimit -a
        cat /proc/kcore /proc/timer_list | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null | wc -l
        echo 1 >/proc/sys/kernel/domainname; env | grep -v HOSTNAME | sort; cat /proc/self/cgroup";
    let change = |config: &mut ContainerConfig| {
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        // The kubelet tells the default ones.
        let masked = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"];
        security(config).masked_paths = paths(&masked);
        security(config).readonly_paths =
            paths(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]);
    };
    println!("{}", kubelet.output(&pod, "plain", script, change).await?);
    let sealed = kubelet.output(
        &pod,
        "read-only",
        "touch /file; touch /etc/file; touch /dev/shm/file && echo memory",
        |config| {
            security(config).readonly_rootfs = true;
        },
    );
    println!("{}", sealed.await?);
    Ok(())
}

pub async fn profiles(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    let script =
        "grep Seccomp: /proc/self/status; unshare -U true && echo unshared; unshare -m true && echo mounts; true";
    let profile = |kind: ProfileType, path: &str| {
        Some(SecurityProfile { profile_type: kind.into(), localhost_ref: path.to_owned() })
    };
    let default = kubelet.output(&pod, "default", script, |config| {
        security(config).seccomp = profile(ProfileType::RuntimeDefault, "");
    });
    println!("{}", default.await?);
    let none = kubelet.output(&pod, "none", script.split(';').next().expect("one"), |config| {
        security(config).seccomp = profile(ProfileType::Unconfined, "");
    });
    println!("{}", none.await?);
    let file = kubelet.work.join("profile.json");
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}"#;
    std::fs::write(&file, text)?;
    let own = kubelet.output(&pod, "own", "mkdir /dir; touch /file && echo made", |config| {
        security(config).seccomp = profile(ProfileType::Localhost, &file.to_string_lossy());
    });
    println!("{}", own.await?);
    Ok(())
}

pub async fn apparmor(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    for (name, kind) in [("default", ProfileType::RuntimeDefault), ("none", ProfileType::Unconfined)] {
        let text = kubelet.output(&pod, name, "cat /proc/self/attr/current", |config| {
            security(config).apparmor =
                Some(SecurityProfile { profile_type: kind.into(), localhost_ref: String::new() });
        });
        println!("{}", text.await?);
    }
    Ok(())
}
