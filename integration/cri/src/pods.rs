//! Pods: what their containers share.

use crate::kubelet::{Kubelet, Result, namespaces, security};
use crate::lifecycle::WAITS;
use k8s_cri::v1::{IdMapping, NamespaceMode, PodSandboxStatusRequest, UserNamespace};

const KINDS: [&str; 6] = ["net", "ipc", "uts", "pid", "mnt", "user"];

pub async fn sandbox(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("sandbox", |_| ()).await?;
    let status = |kubelet: &mut Kubelet| {
        let request = PodSandboxStatusRequest { pod_sandbox_id: pod.id.clone(), verbose: false };
        let mut runtime = kubelet.runtime.clone();
        async move { Ok(runtime.pod_sandbox_status(request).await?.into_inner().status.unwrap_or_default()) }
    };
    let running = status(kubelet).await?;
    println!("{:?}, an address: {}", running.state(), running.network.is_some_and(|network| !network.ip.is_empty()));
    println!("{}", kubelet.output(&pod, "c", "hostname; ip -o address show dev lo | grep -c 127.0.0.1", |_| ()).await?);
    kubelet.stop_pod(&pod.id).await?;
    println!("{:?}", status(kubelet).await?.state());
    kubelet.remove_pod(&pod.id).await?;
    let gone: Result<_> = status(kubelet).await;
    println!("{:?}", gone.map(|_| ()).map_err(|status| status.code()));
    Ok(())
}

/// The namespaces of a container's shell, as the links of procfs tell them.
async fn links(kubelet: &mut Kubelet, id: &str) -> Result<Vec<String>> {
    let script = KINDS.map(|kind| format!("readlink /proc/self/ns/{kind};")).concat();
    Ok(kubelet.shell(id, &script).await?.lines().map(str::to_owned).collect())
}

fn print_shared(one: &[String], other: &[String]) {
    for (kind, (one, other)) in KINDS.iter().zip(one.iter().zip(other)) {
        println!("{kind} {}", if one == other { "shared" } else { "apart" });
    }
}

pub async fn shared_namespaces(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("shared", |_| ()).await?;
    let first = kubelet.run(&pod, "first", WAITS, |_| ()).await?;
    let second = kubelet.run(&pod, "second", WAITS, |_| ()).await?;
    let (one, other) = (links(kubelet, &first).await?, links(kubelet, &second).await?);
    print_shared(&one, &other);
    kubelet.shell(&first, "echo of the first >/dev/shm/file").await?;
    println!("{}", kubelet.shell(&second, "cat /dev/shm/file").await?);
    Ok(())
}

/// `shareProcessNamespace: true`
pub async fn shared_processes(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("processes", |linux| namespaces(linux).set_pid(NamespaceMode::Pod)).await?;
    let first = kubelet.run(&pod, "first", "exec sleep 1000", |_| ()).await?;
    let second = kubelet.run(&pod, "second", "exec sleep 2000", |_| ()).await?;
    println!("{}", kubelet.shell(&first, "ps -o args | grep -c '^sleep [12]000'; cat /proc/1/comm").await?);
    // The first process of the namespace is the pod's, so this container's ends by SIGTERM.
    kubelet.stop(&second, 30).await?;
    println!("{}", kubelet.status(&second).await?.exit_code);
    println!("{}", kubelet.shell(&first, "ps -o args | grep '^sleep [12]000'").await?);
    kubelet.stop(&first, 30).await?;
    println!("{}", kubelet.status(&first).await?.exit_code);
    Ok(())
}

/// `kubectl debug --target`
pub async fn target_processes(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("target", |_| ()).await?;
    let target = kubelet.run(&pod, "target", "exec sleep 1000", |_| ()).await?;
    let debug = kubelet.run(&pod, "debug", "exec sleep 2000", |config| {
        let namespaces = security(config).namespace_options.get_or_insert_default();
        namespaces.set_pid(NamespaceMode::Target);
        namespaces.target_id = target.clone();
    });
    let debug = debug.await?;
    println!("{}", kubelet.shell(&debug, "cat /proc/1/comm; ps -o args | grep '^sleep [12]000'").await?);
    kubelet.stop(&debug, 30).await?;
    println!("{:?}", kubelet.status(&target).await?.state());
    Ok(())
}

pub async fn host_namespaces(kubelet: &mut Kubelet) -> Result<()> {
    let change = |linux: &mut _| {
        let namespaces = namespaces(linux);
        namespaces.set_network(NamespaceMode::Node);
        namespaces.set_pid(NamespaceMode::Node);
        namespaces.set_ipc(NamespaceMode::Node);
    };
    let pod = kubelet.pod("host", change).await?;
    let id = kubelet.run(&pod, "c", WAITS, |_| ()).await?;
    let inside = links(kubelet, &id).await?;
    let link = |kind| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
    let host: Vec<String> = KINDS.iter().map(|kind| link(kind).to_string_lossy().into_owned()).collect();
    print_shared(&inside, &host);
    kubelet.stop(&id, 30).await?;
    println!("{}", kubelet.status(&id).await?.exit_code);
    Ok(())
}

/// `hostUsers: false`
fn with_users(linux: &mut k8s_cri::v1::LinuxPodSandboxConfig) {
    let range = vec![IdMapping { host_id: 200_000, container_id: 0, length: 65_536 }];
    let users = UserNamespace { mode: NamespaceMode::Pod.into(), uids: range.clone(), gids: range };
    namespaces(linux).userns_options = Some(users);
}

pub async fn user_namespace(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("users", with_users).await?;
    let first = kubelet.run(&pod, "first", WAITS, |_| ()).await?;
    let second = kubelet.run(&pod, "second", WAITS, |_| ()).await?;
    let (one, other) = (links(kubelet, &first).await?, links(kubelet, &second).await?);
    print_shared(&one, &other);
    let script = "id; cat /proc/self/uid_map /proc/self/gid_map; stat -c '%u %g' /bin/busybox /etc /proc/1
        touch /new && stat -c '%u %g' /new; hostname; cat /proc/sys/kernel/hostname; grep Cap /proc/self/status";
    println!("{}", kubelet.shell(&first, script).await?);
    let as_user = kubelet.output(&pod, "user", "id; grep CapEff /proc/self/status", |config| {
        security(config).run_as_user = Some(k8s_cri::v1::Int64Value { value: 1000 });
    });
    println!("{}", as_user.await?);
    Ok(())
}

pub async fn sysctls(kubelet: &mut Kubelet) -> Result<()> {
    let settings = [("net.ipv4.ip_unprivileged_port_start", "80"), ("kernel.shm_rmid_forced", "1")];
    let change = |linux: &mut k8s_cri::v1::LinuxPodSandboxConfig| {
        linux.sysctls = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    };
    let pod = kubelet.pod("sysctls", change).await?;
    println!(
        "{}",
        kubelet.output(&pod, "c", "sysctl net.ipv4.ip_unprivileged_port_start kernel.shm_rmid_forced", |_| ()).await?
    );
    let unsafe_one = |linux: &mut k8s_cri::v1::LinuxPodSandboxConfig| {
        linux.sysctls.insert("kernel.nothing".to_owned(), "1".to_owned());
    };
    println!("{}", kubelet.pod("bad", unsafe_one).await.is_err());
    Ok(())
}
