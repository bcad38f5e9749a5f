//! From creation to removal.

use crate::kubelet::{Kubelet, Result};
use k8s_cri::v1::{
    CheckpointContainerRequest, ContainerStatus, ExecSyncRequest, ListContainersRequest, ListPodSandboxRequest,
    StatusRequest,
};

/// A container that ends soon after SIGTERM.
pub const WAITS: &str = "trap 'exit 7' TERM; while :; do sleep 0.1; done";

fn print_end(name: &str, status: &ContainerStatus) {
    println!("{name}: {} {} {}", status.exit_code, status.reason, status.message);
}

/// The conditions that the kubelet waits for before it takes pods.
pub async fn ready(kubelet: &mut Kubelet) -> Result<()> {
    let status = kubelet.runtime.status(StatusRequest { verbose: false }).await?.into_inner().status;
    for condition in status.unwrap_or_default().conditions {
        println!("{} {} {}", condition.r#type, condition.status, condition.reason);
    }
    Ok(())
}

pub async fn exit_codes(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    for (name, script) in [
        ("good", "echo out; echo err >&2"),
        ("bad", "exit 3"),
        ("killed", "kill -KILL $$"),
        ("terminated", "kill -TERM $$; sleep 60 & wait"),
        ("by-signal", "exec sh -c 'kill -SEGV $$'"),
    ] {
        // A process namespace's first process is not killed by its own signals.
        let script = if name == "good" || name == "bad" {
            script.to_owned()
        } else {
            format!("sh -c '{}'; exit $?", script.replace('\'', "\""))
        };
        let id = kubelet.run(&pod, name, &script, |_| ()).await?;
        print_end(name, &kubelet.wait(&id).await?);
    }
    println!("{}", kubelet.log(&pod, "good")?);
    Ok(())
}

/// What cannot be started, and what `kubectl describe` would say of it.
pub async fn start_errors(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    for (name, command) in
        [("missing", "missing"), ("absent", "/bin/absent"), ("directory", "/etc"), ("forbidden", "/etc/passwd")]
    {
        let id = kubelet.create(&pod, name, "", |config| config.command = vec![command.to_owned()]).await?;
        match kubelet.start(&id).await {
            Ok(()) => println!("{name}: started"),
            Err(status) => println!("{name}: {:?}: {}", status.code(), status.message()),
        }
        print_end(name, &kubelet.status(&id).await?);
    }
    let id = kubelet.create(&pod, "nowhere", "true", |config| config.working_dir = "/etc/passwd".to_owned()).await?;
    println!("{}", kubelet.start(&id).await.is_err());
    Ok(())
}

/// A probe of the kubelet is an exec.
pub async fn exec_sync(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    let id = kubelet.run(&pod, "c", WAITS, |_| ()).await?;
    for cmd in [
        &["sh", "-c", "echo out; echo err >&2; exit 3"][..],
        &["sh", "-c", "kill -KILL $$"],
        &["missing"],
        &["/etc"],
        &["/etc/passwd"],
        &["true"],
    ] {
        match kubelet.exec(&id, cmd).await {
            Ok(answer) => {
                let (out, err) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
                println!("{cmd:?}: {} {out:?} {err:?}", answer.exit_code);
            }
            Err(status) => println!("{cmd:?}: {:?}: {}", status.code(), status.message()),
        }
    }
    let cmd = ["sleep", "60"].map(str::to_owned).to_vec();
    let late = kubelet.runtime.exec_sync(ExecSyncRequest { container_id: id.clone(), cmd, timeout: 1 }).await;
    println!("too long: {:?}", late.map(|_| ()).map_err(|status| status.code()));
    println!(
        "{}",
        kubelet.shell(&id, "ps -o args | grep -c '^sleep 60'; hostname; pwd; cat /proc/1/oom_score_adj").await?
    );
    kubelet.stop(&id, 30).await?;
    println!("{:?}", kubelet.exec(&id, &["true"]).await.map(|_| ()).map_err(|status| status.code()));
    Ok(())
}

pub async fn stop(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("stop", |_| ()).await?;
    let polite = kubelet.run(&pod, "polite", WAITS, |_| ()).await?;
    kubelet.stop(&polite, 30).await?;
    print_end("polite", &kubelet.status(&polite).await?);
    let deaf = kubelet.run(&pod, "deaf", "trap '' TERM; while :; do sleep 0.1; done", |_| ()).await?;
    kubelet.stop(&deaf, 1).await?;
    print_end("deaf", &kubelet.status(&deaf).await?);
    let at_once = kubelet.run(&pod, "at-once", WAITS, |_| ()).await?;
    kubelet.stop(&at_once, 0).await?;
    print_end("at-once", &kubelet.status(&at_once).await?);
    let never = kubelet.create(&pod, "never", "true", |_| ()).await?;
    kubelet.stop(&never, 1).await?;
    println!("never started: {:?}", kubelet.status(&never).await?.state());
    // All of it once more: the kubelet does not know what it has done before it was restarted.
    for id in [&polite, &deaf, &at_once] {
        kubelet.stop(id, 1).await?;
    }
    let running = kubelet.run(&pod, "running", WAITS, |_| ()).await?;
    kubelet.stop_pod(&pod.id).await?;
    kubelet.stop_pod(&pod.id).await?;
    println!("with its pod: {}", kubelet.status(&running).await?.exit_code);
    Ok(())
}

/// A restart policy of `Always` with a program that fails: a new container each time, the last one but one removed.
pub async fn restarts(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("restarts", |_| ()).await?;
    let mut old = None;
    for attempt in 0..6 {
        let script = "echo again; exit 1";
        let id = kubelet.create(&pod, "c", script, |config| config.metadata.as_mut().expect("set").attempt = attempt);
        let id = id.await?;
        kubelet.start(&id).await?;
        print_end(&attempt.to_string(), &kubelet.wait(&id).await?);
        if let Some(old) = old.replace(id) {
            kubelet.remove(&old).await?;
        }
    }
    println!("{}", kubelet.log(&pod, "c")?);
    let left = kubelet.runtime.list_containers(ListContainersRequest::default()).await?.into_inner().containers;
    println!("{} left", left.len());
    Ok(())
}

pub async fn removal(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("removal", |_| ()).await?;
    let running = kubelet.run(&pod, "running", WAITS, |_| ()).await?;
    kubelet.create(&pod, "created", WAITS, |_| ()).await?;
    kubelet.remove(&running).await?;
    kubelet.remove(&running).await?;
    println!("{:?}", kubelet.status(&running).await.map(|_| ()).map_err(|status| status.code()));
    kubelet.remove_pod(&pod.id).await?;
    kubelet.remove_pod(&pod.id).await?;
    let pods = kubelet.runtime.list_pod_sandbox(ListPodSandboxRequest::default()).await?.into_inner().items;
    let containers = kubelet.runtime.list_containers(ListContainersRequest::default()).await?.into_inner().containers;
    println!("{} pods, {} containers", pods.len(), containers.len());
    Ok(())
}

/// A pod with a container, for the engine to find again when it has been restarted.
pub async fn leave(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("left", |_| ()).await?;
    kubelet.run(&pod, "running", WAITS, |_| ()).await?;
    let short = kubelet.run(&pod, "short", "exit 5", |_| ()).await?;
    kubelet.wait(&short).await?;
    kubelet.create(&pod, "created", "echo late", |_| ()).await?;
    Ok(())
}

pub async fn found(kubelet: &mut Kubelet) -> Result<()> {
    let pods = kubelet.runtime.list_pod_sandbox(ListPodSandboxRequest::default()).await?.into_inner().items;
    println!("{} pods, {:?}", pods.len(), pods.first().map(|pod| pod.state()));
    let containers = kubelet.runtime.list_containers(ListContainersRequest::default()).await?.into_inner().containers;
    let mut named: Vec<_> =
        containers.iter().map(|one| (one.metadata.as_ref().map_or("", |data| &data.name), one)).collect();
    named.sort_by_key(|(name, _)| *name);
    for (name, container) in named {
        println!("{name} {:?} {}", container.state(), kubelet.status(&container.id).await?.exit_code);
        if name == "running" {
            println!("{}", kubelet.shell(&container.id, "hostname").await?);
            kubelet.stop(&container.id, 30).await?;
            println!("{}", kubelet.status(&container.id).await?.exit_code);
        } else if name == "created" {
            kubelet.start(&container.id).await?;
            println!("{}", kubelet.wait(&container.id).await?.exit_code);
        }
    }
    Ok(())
}

pub async fn checkpoint(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.pod("checkpoint", |_| ()).await?;
    let id = kubelet.run(&pod, "c", WAITS, |_| ()).await?;
    let location = kubelet.work.join("checkpoint.tar").to_string_lossy().into_owned();
    let request = CheckpointContainerRequest { container_id: id.clone(), location, timeout: 10 };
    let answer = kubelet.runtime.checkpoint_container(request).await;
    println!("{:?}", answer.map(|_| ()).map_err(|status| status.code()));
    println!("{}", kubelet.shell(&id, "echo runs").await?);
    Ok(())
}
