//! Resources: limits, their change, and what is used.

use crate::kubelet::{Kubelet, Result, resources};
use crate::lifecycle::WAITS;
use k8s_cri::v1::{
    ContainerConfig, ContainerStatsRequest, LinuxContainerResources, PodSandboxStatsRequest,
    UpdateContainerResourcesRequest,
};

const LOOK: &str = "cd /sys/fs/cgroup; for file in cpu.weight cpu.max memory.max memory.low pids.max cpuset.cpus; do
    echo $file $(cat $file); done; cat /proc/1/oom_score_adj";
const MIB: i64 = 1 << 20;

fn limit(config: &mut ContainerConfig) {
    let resources = resources(config);
    resources.cpu_shares = 512;
    resources.cpu_period = 100_000;
    resources.cpu_quota = 50_000;
    resources.memory_limit_in_bytes = 64 * MIB;
    resources.cpuset_cpus = "0".to_owned();
    resources.oom_score_adj = 900;
    resources.unified = [("pids.max", "77"), ("memory.low", "1048576")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
}

pub async fn at_creation(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    println!("{}", kubelet.output(&pod, "limited", LOOK, limit).await?);
    println!("{}", kubelet.output(&pod, "free", LOOK, |_| ()).await?);
    Ok(())
}

/// In-place resize of a pod.
pub async fn update(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("update", |_| ()).await?;
    let id = kubelet.run(&pod, "c", WAITS, limit).await?;
    println!("{}", kubelet.shell(&id, LOOK).await?);
    let changes = [
        LinuxContainerResources { cpu_quota: 25_000, cpu_period: 100_000, ..Default::default() },
        LinuxContainerResources { memory_limit_in_bytes: 96 * MIB, cpu_shares: 1024, ..Default::default() },
        LinuxContainerResources { cpuset_cpus: "99".to_owned(), ..Default::default() },
        LinuxContainerResources { cpu_quota: -1, cpu_period: 100_000, ..Default::default() },
    ];
    for linux in changes {
        let request =
            UpdateContainerResourcesRequest { container_id: id.clone(), linux: Some(linux), ..Default::default() };
        match kubelet.runtime.update_container_resources(request).await {
            Ok(_) => println!("{}", kubelet.shell(&id, LOOK).await?),
            Err(status) => println!("{:?}\n{}", status.code(), kubelet.shell(&id, LOOK).await?),
        }
    }
    Ok(())
}

/// Whether an end is told as one for want of memory depends on who is faster: containerd's shim, which reads the cgroup's
/// events, or systemd, which removes the cgroup with its last process. So that is asked where a process survives.
pub async fn oom(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("oom", |_| ()).await?;
    let little = |config: &mut ContainerConfig| {
        resources(config).memory_limit_in_bytes = 16 * MIB;
        resources(config).memory_swap_limit_in_bytes = 16 * MIB;
    };
    let id = kubelet.run(&pod, "all", "exec tail -c 200m /dev/zero", little).await?;
    println!("all: {}", kubelet.wait(&id).await?.exit_code);
    let script = "trap 'exit 5' TERM; tail -c 200m /dev/zero; while :; do sleep 1000 & wait $!; done";
    let id = kubelet.run(&pod, "child", script, little).await?;
    kubelet.until(&id, "to lose its child for want of memory", |status| status.reason == "OOMKilled").await?;
    kubelet.stop(&id, 60).await?;
    let ended = kubelet.wait(&id).await?;
    println!("child: {} {}", ended.exit_code, ended.reason);
    Ok(())
}

/// Which numbers there are; what they are changes.
pub async fn stats(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("stats", |_| ()).await?;
    let id = kubelet.run(&pod, "c", WAITS, |_| ()).await?;
    let request = ContainerStatsRequest { container_id: id.clone() };
    let stats = kubelet.runtime.container_stats(request).await?.into_inner().stats.unwrap_or_default();
    let positive = |value: Option<k8s_cri::v1::UInt64Value>| value.is_some_and(|value| value.value > 0);
    let memory = stats.memory.unwrap_or_default();
    println!("cpu {}", positive(stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds)));
    println!(
        "memory {} {} {}",
        positive(memory.working_set_bytes),
        positive(memory.usage_bytes),
        positive(memory.rss_bytes)
    );
    let request = PodSandboxStatsRequest { pod_sandbox_id: pod.id.clone() };
    let stats = kubelet.runtime.pod_sandbox_stats(request).await?.into_inner().stats.unwrap_or_default();
    let linux = stats.linux.unwrap_or_default();
    println!("pod cpu {}", positive(linux.cpu.and_then(|cpu| cpu.usage_core_nano_seconds)));
    println!("pod memory {}", positive(linux.memory.and_then(|memory| memory.usage_bytes)));
    println!("pod network {}", linux.network.is_some());
    println!(
        "pod processes {:?}",
        linux.process.and_then(|process| process.process_count).map(|count| count.value > 1)
    );
    println!("containers {}", linux.containers.len());
    Ok(())
}
