//! Programs of the host that do a part of the work: newuidmap(1) and newgidmap(1), ps(1).

use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{Read, Result, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};

/// How a program ended, and what it has printed.
pub struct Said {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

/// Runs the program to its end. `Command::output` would panic where a read fails.
///
/// # Errors
/// It cannot be run, or not be listened to; then it has ended all the same.
pub fn run(command: &mut Command) -> Result<Said> {
    // Two pipes would have to be read in turns; what is in a file can wait.
    let mut err = File::from(memfd_create(c"stderr", MFdFlags::MFD_CLOEXEC)?);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(err.try_clone()?)).spawn()?;
    let printed = listen(&mut child).inspect_err(|_| drop(child.kill()));
    let status = child.wait()?;
    err.rewind()?;
    Ok(Said { status, out: text(printed?), err: text(all(&mut err)?) })
}

fn listen(child: &mut Child) -> Result<Vec<u8>> {
    child.stdout.take().map_or_else(|| Ok(Vec::new()), |mut out| all(&mut out))
}

fn all(from: &mut impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).map(|_| bytes)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_of_any_length() {
        let script = "head -c 200000 /dev/zero | tr '\\0' x >&2; head -c 200000 /dev/zero | tr '\\0' y; exit 3";
        let said = run(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!((said.status.code(), said.out.len(), said.err.len()), (Some(3), 200_000, 200_000));
        assert!(said.out.starts_with('y') && said.err.starts_with('x'));
        assert!(run(&mut Command::new("/nowhere/at/all")).is_err());
    }
}
