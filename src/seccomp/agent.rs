//! The agent at `listenerPath`, who answers for the calls that a filter asks about (config-linux.md, "The Container
//! Process State").

use super::Notify;
use crate::fault::Fault;
use crate::handover;
use serde_json::{Value, json};
use std::os::fd::{AsFd, OwnedFd};

const FIELD: &str = "linux.seccomp.listenerPath";

/// Connects to the agent.
pub fn reach(notify: &Notify) -> Result<OwnedFd, Fault> {
    handover::reach(&notify.listener_path, FIELD)
}

/// Whether there is an agent: for `create`, which leaves the connection to `start`.
pub fn probe(notify: &Notify) -> Result<(), Fault> {
    handover::probe(&notify.listener_path, FIELD)
}

/// Sends the one message of the connection: the state and the listener of process `pid`. `state` is the container's, as
/// JSON. The message carries the listener from its first byte.
pub fn deliver(agent: OwnedFd, notify: &Notify, pid: i32, state: &str, listener: impl AsFd) -> Result<(), Fault> {
    let state: Value = serde_json::from_str(state).unwrap_or_default();
    let mut message = json!({
        "ociVersion": state["ociVersion"],
        "fds": ["seccompFd"],
        "pid": pid,
        "state": state,
    });
    if let Some(metadata) = &notify.metadata {
        message["metadata"] = json!(metadata);
    }
    handover::send(agent, message.to_string().as_bytes(), listener, FIELD)
}
