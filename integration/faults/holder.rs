//! A process whose user and pid namespace containers join: no descendant of who traces, which waits for all of its own.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};

/// Names the holder to the processes that do the work.
const VARIABLE: &str = "RT_FAULTS_HOLDER";

pub struct Holder(Child);

impl Holder {
    /// Starts it, and tells its pid to every process that is started from here.
    ///
    /// # Errors
    /// What this machine lacks.
    pub fn start() -> Result<Holder, String> {
        let mut command = Command::new("unshare");
        command.args(["--user", "--pid", "--fork", "--kill-child"]).arg(rt_integration::probe_bin());
        command.args(["seq", "echo", "ready", "--", "pause"]).stdout(Stdio::piped());
        let mut holder = Holder(command.spawn().map_err(|error| format!("unshare: {error}"))?);
        let mut ready = [0; 5];
        let stdout = holder.0.stdout.as_mut().ok_or("no pipe")?;
        stdout.read_exact(&mut ready).map_err(|error| format!("unshare: {error}"))?;
        let id = holder.0.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let inside = children.trim().to_owned();
        for (file, text) in [("uid_map", "0 7000000 65536"), ("gid_map", "0 7000000 65536")] {
            fs::write(format!("/proc/{inside}/{file}"), text).map_err(|error| format!("{file}: {error}"))?;
        }
        // SAFETY: there is one thread yet.
        unsafe { std::env::set_var(VARIABLE, inside) };
        Ok(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The path of a namespace of the holder's.
pub fn path(kind: &str) -> Result<String, String> {
    match std::env::var(VARIABLE) {
        Ok(pid) => Ok(format!("/proc/{pid}/ns/{kind}")),
        Err(_) => Err("nobody holds a namespace to join".to_owned()),
    }
}
