//! `delete`: removes a stopped container, with `--force` any.

use super::{App, destroy};
use crate::cli::DeleteArgs;
use crate::host::Host;
use crate::log::told;
use crate::state::{Directory, Status};
use crate::sys::clone::pidfd_send_signal;
use anyhow::{Result, bail};
use std::os::fd::AsFd;

#[inline(never)]
pub fn run(app: &App, args: &DeleteArgs) -> Result<u8> {
    let dir = match app.root.find(&args.id)? {
        Some(dir) => dir,
        None if args.force => return Ok(0),
        None => bail!("container does not exist: {}", args.id),
    };
    if let Err(error) = dir.lock() {
        if !args.force {
            return Err(error);
        }
        // Whoever holds it waits for a hook that hangs, and would for ever.
        kill_holder(&dir)?;
        dir.lock()?;
    }
    let record = match dir.read() {
        Err(error) if args.force => {
            let salvaged = dir.salvaged()?;
            app.log.warn(&format!("{}; what it does not tell of, processes too, is left as it is", told(&error)));
            Some(salvaged)
        }
        record => record?,
    };
    let Some(record) = record else {
        // Another `delete` was faster, and the name may be another container's by now.
        if dir.is_removed() {
            return if args.force { Ok(0) } else { bail!("container does not exist: {}", args.id) };
        }
        // Its maker died before it wrote down a single thing, and so had made nothing.
        dir.remove()?;
        if args.force {
            return Ok(0);
        }
        bail!("container does not exist: {} (what an interrupted creation left is removed)", args.id);
    };
    let host = Host::probe()?;
    let (status, init) = dir.status(&record, host.proc())?;
    match status {
        Status::Stopped | Status::Created => {}
        _ if args.force => {}
        other => bail!("cannot delete container {} that is not stopped: {other}", args.id),
    }
    destroy::clear(&app.log, dir, &record, init.as_ref().map(AsFd::as_fd), host.proc())?;
    Ok(0)
}

/// Kills what another command waits for: the container's init, or while there is none yet, its creator.
fn kill_holder(dir: &Directory) -> Result<()> {
    let host = Host::probe()?;
    let record = dir.read().or_else(|_| dir.salvaged().map(Some))?;
    let holder = record.as_ref().map(|record| record.init.as_ref().unwrap_or(&record.creator));
    if let Some(alive) = holder.map_or(Ok(None), |identity| identity.alive(host.proc()))? {
        pidfd_send_signal(alive.as_fd(), libc::SIGKILL)?;
    }
    Ok(())
}
