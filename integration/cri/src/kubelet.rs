//! The calls of the CRI service in the order and with the values that the kubelet uses.

use hyper_util::rt::TokioIo;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus, ContainerStatusRequest,
    CreateContainerRequest, ExecSyncRequest, ExecSyncResponse, ImageSpec, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext,
    ListPodSandboxRequest, NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
    RemoveContainerRequest, RemovePodSandboxRequest, RunPodSandboxRequest, StartContainerRequest, StopContainerRequest,
    StopPodSandboxRequest,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

pub type Result<T> = std::result::Result<T, Status>;

/// How long a container may take to end by itself; emulated machines are slow.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Kubelet {
    pub runtime: RuntimeServiceClient<Channel>,
    /// The name of the runtime class' handler.
    handler: String,
    /// Whether cgroups are named as systemd names them.
    systemd: bool,
    /// Where logs and volumes lie.
    pub work: PathBuf,
    /// What is asked for, in front of the name of each container: several may share a pod.
    pub scenario: &'static str,
    /// The pod of those that ask for nothing special.
    plain: Option<Pod>,
}

/// A pod's sandbox that runs.
#[derive(Clone)]
pub struct Pod {
    pub id: String,
    pub config: PodSandboxConfig,
}

impl Kubelet {
    pub async fn connect(socket: String, handler: String, systemd: bool, work: PathBuf) -> Result<Kubelet> {
        let connect = move |_: Uri| {
            let stream = UnixStream::connect(socket.clone());
            async move { Ok::<_, std::io::Error>(TokioIo::new(stream.await?)) }
        };
        // The address is not used.
        let endpoint = Endpoint::from_static("http://[::]");
        let channel = endpoint
            .connect_with_connector(tower::service_fn(connect))
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Kubelet { runtime: RuntimeServiceClient::new(channel), handler, systemd, work, scenario: "", plain: None })
    }

    /// A pod with nothing special about it, the same one each time.
    pub async fn plain_pod(&mut self) -> Result<Pod> {
        if self.plain.is_none() {
            self.plain = Some(self.pod("plain", |_| ()).await?);
        }
        Ok(self.plain.clone().expect("it was just made"))
    }

    /// Runs a pod's sandbox with a process namespace for each container, as the kubelet asks for by default.
    pub async fn pod(&mut self, name: &str, change: impl FnOnce(&mut LinuxPodSandboxConfig)) -> Result<Pod> {
        let namespaces = NamespaceOption { pid: NamespaceMode::Container.into(), ..Default::default() };
        let security = LinuxSandboxSecurityContext { namespace_options: Some(namespaces), ..Default::default() };
        // A dash in a slice's name would stand for one more level.
        let parent = match self.systemd {
            true => format!("/rtpods.slice/rtpods-{}.slice", name.replace('-', "_")),
            false => format!("/rtpods/{name}"),
        };
        let mut linux =
            LinuxPodSandboxConfig { cgroup_parent: parent, security_context: Some(security), ..Default::default() };
        change(&mut linux);
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            // The host's network is asked for together with the host's name.
            hostname: if namespaces_of(&linux).network() == NamespaceMode::Node {
                String::new()
            } else {
                name.to_owned()
            },
            log_directory: self.work.join("logs").join(name).to_string_lossy().into_owned(),
            linux: Some(linux),
            ..Default::default()
        };
        let request = RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: self.handler.clone() };
        let id = self.runtime.run_pod_sandbox(request).await?.into_inner().pod_sandbox_id;
        Ok(Pod { id, config })
    }

    /// A container of the pod, in the pod's namespaces, not started.
    pub async fn create(
        &mut self,
        pod: &Pod,
        name: &str,
        script: &str,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Result<String> {
        let namespaces = namespaces_of(pod.config.linux.as_ref().expect("a pod of Linux"));
        let security = LinuxContainerSecurityContext { namespace_options: Some(namespaces), ..Default::default() };
        let resources = LinuxContainerResources { oom_score_adj: 1000, cpu_shares: 2, ..Default::default() };
        let mut config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: self.full(name), attempt: 0 }),
            image: Some(ImageSpec { image: "docker.io/library/base:latest".to_owned(), ..Default::default() }),
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            log_path: format!("{}.log", self.full(name)),
            linux: Some(LinuxContainerConfig { resources: Some(resources), security_context: Some(security) }),
            ..Default::default()
        };
        change(&mut config);
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        Ok(self.runtime.create_container(request).await?.into_inner().container_id)
    }

    pub async fn start(&mut self, id: &str) -> Result<()> {
        self.runtime.start_container(StartContainerRequest { container_id: id.to_owned() }).await.map(drop)
    }

    /// A container that runs.
    pub async fn run(
        &mut self,
        pod: &Pod,
        name: &str,
        script: &str,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Result<String> {
        let id = self.create(pod, name, script, change).await?;
        self.start(&id).await?;
        Ok(id)
    }

    /// What a container has printed until its end, after it was checked that it ended well.
    pub async fn output(
        &mut self,
        pod: &Pod,
        name: &str,
        script: &str,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Result<String> {
        let id = self.run(pod, name, script, change).await?;
        let ended = self.wait(&id).await?;
        let log = self.log(pod, name)?;
        match ended.exit_code {
            0 => Ok(log),
            code => Err(Status::internal(format!("{name} ended with {code}:\n{log}"))),
        }
    }

    pub async fn status(&mut self, id: &str) -> Result<ContainerStatus> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let status = self.runtime.container_status(request).await?.into_inner().status;
        status.ok_or_else(|| Status::internal("no status in the answer"))
    }

    /// The status of a container that has ended.
    pub async fn wait(&mut self, id: &str) -> Result<ContainerStatus> {
        self.until(id, "to end", |status| status.state() == ContainerState::ContainerExited).await
    }

    /// The status once it is so. It is looked at again and again, as the kubelet does: containerd hands each event of its
    /// stream to one client alone, one that is gone among them, and none tells of a reason.
    pub async fn until(
        &mut self,
        id: &str,
        what: &str,
        is_so: impl Fn(&ContainerStatus) -> bool,
    ) -> Result<ContainerStatus> {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.status(id).await?;
            if is_so(&status) {
                return Ok(status);
            }
            if Instant::now() > until {
                return Err(Status::deadline_exceeded(format!("the container was expected {what}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn exec(&mut self, id: &str, cmd: &[&str]) -> Result<ExecSyncResponse> {
        let cmd = cmd.iter().map(|word| (*word).to_owned()).collect();
        let request = ExecSyncRequest { container_id: id.to_owned(), cmd, timeout: 60 };
        Ok(self.runtime.exec_sync(request).await?.into_inner())
    }

    /// What a shell inside of the container prints.
    pub async fn shell(&mut self, id: &str, script: &str) -> Result<String> {
        let answer = self.exec(id, &["sh", "-c", script]).await?;
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned() + &String::from_utf8_lossy(&answer.stderr))
    }

    pub async fn stop(&mut self, id: &str, timeout: i64) -> Result<()> {
        let request = StopContainerRequest { container_id: id.to_owned(), timeout };
        self.runtime.stop_container(request).await.map(drop)
    }

    pub async fn remove(&mut self, id: &str) -> Result<()> {
        self.runtime.remove_container(RemoveContainerRequest { container_id: id.to_owned() }).await.map(drop)
    }

    pub async fn stop_pod(&mut self, id: &str) -> Result<()> {
        self.runtime.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: id.to_owned() }).await.map(drop)
    }

    pub async fn remove_pod(&mut self, id: &str) -> Result<()> {
        self.runtime.remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() }).await.map(drop)
    }

    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.scenario)
    }

    /// The container's log without the times: lines `stderr F TEXT`, then `stdout F TEXT`, whose order is chance.
    pub fn log(&self, pod: &Pod, name: &str) -> Result<String> {
        let path = PathBuf::from(&pod.config.log_directory).join(format!("{}.log", self.full(name)));
        let text = std::fs::read_to_string(&path).map_err(|error| Status::internal(format!("{path:?}: {error}")))?;
        let line = |line: &str| line.split_once(' ').map_or(String::new(), |(_, rest)| format!("{rest}\n"));
        let mut lines: Vec<String> = text.lines().map(line).collect();
        lines.sort_by_key(|line| line.starts_with("stdout"));
        Ok(lines.concat())
    }

    /// Stops and removes every pod there is.
    pub async fn remove_all(&mut self) -> Result<()> {
        let pods = self.runtime.list_pod_sandbox(ListPodSandboxRequest::default()).await?.into_inner().items;
        for pod in pods {
            self.stop_pod(&pod.id).await?;
            self.remove_pod(&pod.id).await?;
        }
        Ok(())
    }
}

/// The part of the pod's configuration that its containers get, too.
pub fn namespaces_of(linux: &LinuxPodSandboxConfig) -> NamespaceOption {
    linux.security_context.as_ref().and_then(|context| context.namespace_options.clone()).unwrap_or_default()
}

/// The namespaces of a pod that is to be.
pub fn namespaces(linux: &mut LinuxPodSandboxConfig) -> &mut NamespaceOption {
    linux.security_context.get_or_insert_default().namespace_options.get_or_insert_default()
}

/// The security context of a container that is to be.
pub fn security(config: &mut ContainerConfig) -> &mut LinuxContainerSecurityContext {
    config.linux.get_or_insert_default().security_context.get_or_insert_default()
}

/// The limits of a container that is to be.
pub fn resources(config: &mut ContainerConfig) -> &mut LinuxContainerResources {
    config.linux.get_or_insert_default().resources.get_or_insert_default()
}
