//! SCMP_ACT_NOTIFY: the agent gets the state and the listener, and answers for the container.

use rt_integration::agent::{Agent, Answer};
use rt_integration::{Bundle, Sandbox, sandbox};
use serde_json::json;
use std::path::PathBuf;

fn socket(sandbox: &Sandbox) -> PathBuf {
    sandbox.dir().join("agent")
}

/// A profile that asks the agent about `names`.
fn asking<'a>(sandbox: &Sandbox, bundle: Bundle<'a>, names: &[&str]) -> Bundle<'a> {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": socket(sandbox),
        "listenerMetadata": "told to the agent",
        "syscalls": [{ "names": names, "action": "SCMP_ACT_NOTIFY" }],
    });
    bundle.set("/linux/seccomp", profile)
}

const ASK: &str = "seq ret getppid -- try sethostname x 1 -- ret getppid";
const ANSWERS: [Answer; 3] = [Answer::Value(4242), Answer::Errno(libc::EXDEV), Answer::Value(17)];
const ANSWERED: &str = "4242\nEXDEV\n17\n";

#[test]
fn run() {
    let sandbox = sandbox!();
    for no_new_privileges in [true, false] {
        let _ = std::fs::remove_file(socket(&sandbox));
        let agent = Agent::at(&socket(&sandbox)).serve(ANSWERS.to_vec());
        let bundle = asking(&sandbox, sandbox.bundle("c"), &["getppid", "sethostname"]);
        let bundle = bundle.set("/process/noNewPrivileges", no_new_privileges).args(ASK.split(' '));
        assert_eq!(bundle.run().ok().stdout(), ANSWERED);
        let (told, calls) = agent.join().expect("the agent");
        assert_eq!(told["fds"], json!(["seccompFd"]));
        assert_eq!(told["metadata"], "told to the agent");
        assert_eq!(told["ociVersion"], "1.2.0");
        assert_eq!((&told["state"]["id"], &told["state"]["status"]), (&json!("c"), &json!("creating")));
        assert_eq!(told["state"]["bundle"], json!(bundle.dir));
        assert_eq!(told["pid"], json!(calls[0].0));
        assert_eq!(told["state"]["pid"], told["pid"]);
    }
}

#[test]
fn create_and_start() {
    let sandbox = sandbox!();
    let agent = Agent::at(&socket(&sandbox));
    let bundle = asking(&sandbox, sandbox.bundle("c"), &["getppid", "sethostname"]).args(ASK.split(' '));
    let created = bundle.create().ok();
    let pid = bundle.pid();
    let agent = agent.serve(ANSWERS.to_vec());
    bundle.start().ok();
    let (told, _) = agent.join().expect("the agent");
    assert_eq!((&told["pid"], &told["state"]["status"]), (&json!(pid), &json!("creating")));
    bundle.wait_stopped();
    assert_eq!(created.stdout(), ANSWERED);
    bundle.delete().ok();
}

#[test]
fn exec_has_a_listener_of_its_own() {
    let sandbox = sandbox!();
    let agent = Agent::at(&socket(&sandbox));
    let bundle = asking(&sandbox, sandbox.bundle("c"), &["getppid", "sethostname"]).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let (first, _filter) = agent.receive();
    let agent = agent.serve(ANSWERS.to_vec());
    let out = bundle.exec(["/bin/probe"].into_iter().chain(ASK.split(' '))).ok();
    assert_eq!(out.stdout(), ANSWERED);
    let (told, calls) = agent.join().expect("the agent");
    assert_eq!(told["pid"], json!(calls[0].0));
    assert_eq!((&told["state"]["status"], &told["state"]["pid"]), (&json!("running"), &first["pid"]));
    bundle.delete_force().ok();
}

/// The very call that starts the program: the agent has the listener by then.
#[test]
fn execve_itself() {
    let sandbox = sandbox!();
    let agent = Agent::at(&socket(&sandbox)).serve(vec![Answer::Continue, Answer::Value(7)]);
    let bundle = asking(&sandbox, sandbox.bundle("c"), &["execve", "getppid"]).args(["ret", "getppid"]);
    assert_eq!(bundle.run().ok().stdout(), "7\n");
    agent.join().expect("the agent");
}

#[test]
fn an_agent_may_refuse_the_program() {
    let sandbox = sandbox!();
    let agent = Agent::at(&socket(&sandbox)).serve(vec![Answer::Errno(libc::EACCES)]);
    asking(&sandbox, sandbox.bundle("c"), &["execve"]).run().fails_with("permission denied");
    agent.join().expect("the agent");
}

/// No helper, no fd and no thread of rt is left for the program to find.
#[test]
fn the_program_is_alone() {
    let sandbox = sandbox!();
    let agent = Agent::at(&socket(&sandbox)).serve(Vec::new());
    let steps = "seq status Threads -- fds -- ls /proc/self/task";
    let out = asking(&sandbox, sandbox.bundle("c"), &["getppid"]).args(steps.split(' ')).run().ok();
    let lines = out.lines();
    assert_eq!((lines[0].as_str(), lines.last().map(String::as_str)), ("Threads:\t1", Some("1")), "{lines:?}");
    assert_eq!(lines.len(), 5, "three fds: {lines:?}");
    agent.join().expect("the agent");
}

#[test]
fn without_an_agent() {
    let sandbox = sandbox!();
    let bundle = asking(&sandbox, sandbox.bundle("c"), &["getppid"]).args(["pause"]);
    let missing = "linux.seccomp.listenerPath: cannot connect to";
    bundle.create().fails_with(missing);
    bundle.run().fails_with(missing);
    // Its socket is there, but nobody holds it.
    drop(Agent::at(&socket(&sandbox)));
    bundle.create().fails_with(missing);
    bundle.run().fails_with(missing);
    std::fs::remove_file(socket(&sandbox)).expect("the socket");
    // Gone only for a while: the container waits for another start.
    let agent = Agent::at(&socket(&sandbox));
    bundle.create().ok();
    drop(agent);
    bundle.start().fails_with(missing);
    assert_eq!(bundle.status(), "created");
    std::fs::remove_file(socket(&sandbox)).expect("the socket");
    let agent = Agent::at(&socket(&sandbox));
    bundle.start().ok();
    let _ = agent.receive();
    bundle.delete_force().ok();
}

#[test]
fn rootless() {
    let sandbox = sandbox!().as_user(1000);
    let agent = Agent::at(&socket(&sandbox));
    std::os::unix::fs::chown(&agent.path, Some(1000), None).expect("chown");
    let bundle = asking(&sandbox, sandbox.bundle("c"), &["getppid", "sethostname"]).args(ASK.split(' '));
    let agent = agent.serve(ANSWERS.to_vec());
    // No cgroup is delegated to this user.
    let mut call = sandbox.command(["--cgroup-manager", "disabled"]);
    call.args(bundle.command("run", &[]).get_args().skip(2));
    assert_eq!(sandbox.finish(call).ok().stdout(), ANSWERED);
    agent.join().expect("the agent");
}

#[test]
fn a_policy_that_starves_the_helper_is_refused() {
    let sandbox = sandbox!();
    let _agent = Agent::at(&socket(&sandbox));
    let bundle = asking(&sandbox, sandbox.bundle("c"), &["getppid"]);
    let bundle = bundle.set("/process/scheduler", json!({ "policy": "SCHED_FIFO", "priority": 1 }));
    bundle.create().fails_with("SCMP_ACT_NOTIFY cannot be combined");
}
