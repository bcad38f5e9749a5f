//! What the scripts that start and stop an engine call, so that none has to ask again and again.

use rt_integration::ends_within;
use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What tells the waiting thread that the daemon has ended; no datagram of a daemon's is empty.
const ENDED: &[u8] = &[];

const LIMIT: Duration = Duration::from_secs(120);

/// `engines daemon PROGRAM ARGUMENT…`: starts a daemon in a session of its own and returns once it says that it is ready
/// (sd_notify(3)), as a service manager would. Its number is in PROGRAM.pid and its output goes to PROGRAM.log, both in
/// the working directory.
///
/// # Errors
/// It cannot be started, or ended before it was ready: then with what it has printed.
pub fn start(words: &[String]) -> io::Result<()> {
    let program = words.first().ok_or_else(|| io::Error::other("daemon: no program is named"))?;
    let [socket, log] = ["notify", "log"].map(|what| format!("{program}.{what}"));
    let path = std::env::current_dir()?.join(&socket);
    let _ = fs::remove_file(&path);
    let manager = UnixDatagram::bind(&path)?;
    let output = File::options().create(true).append(true).open(&log)?;
    let mut command = Command::new("setsid");
    command.args(words).env("NOTIFY_SOCKET", &path);
    let mut daemon = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
    fs::write(format!("{program}.pid"), daemon.id().to_string())?;
    std::thread::spawn(move || {
        let _ = daemon.wait();
        UnixDatagram::unbound().and_then(|end| end.send_to(ENDED, path))
    });
    let mut said = [0; 4096];
    loop {
        let length = manager.recv(&mut said)?;
        match &said[..length] {
            ENDED => return Err(io::Error::other(format!("{program} has ended:\n{}", fs::read_to_string(&log)?))),
            text if text.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") => return Ok(()),
            _ => {}
        }
    }
}

/// `engines ended PROGRAM`: waits for the end of a daemon so started.
///
/// # Errors
/// It has not ended in a time that is long even under emulation.
pub fn ended(program: &str) -> io::Result<()> {
    let pid = fs::read_to_string(format!("{program}.pid"))?;
    match ends_within(pid.parse().map_err(io::Error::other)?, LIMIT)? {
        true => Ok(()),
        false => Err(io::Error::other(format!("{program} does not end"))),
    }
}
