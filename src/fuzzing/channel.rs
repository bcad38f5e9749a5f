//! The messages between the process that makes a container and those inside.

use super::{Chance, Choices};
use crate::fault::Fault;
use crate::launch::channel::{Channel, Down, Up, pair, send_fd};
use crate::sys::clone::Child;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use std::io::PipeWriter;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

/// Packets of any bytes and any number of fds are understood or refused, and leave no fd behind; what rt reports is read
/// as it was meant.
pub fn channel(data: &[u8]) {
    let (watch, sent) = std::io::pipe().expect("a pipe");
    let (parent, inside) = pair().expect("a pair of sockets");
    let (kind, rest) = data.split_first().unwrap_or((&0, &[]));
    match kind % 4 {
        0 | 1 => {
            let fds = vec![sent.as_raw_fd(); usize::from(kind >> 2)];
            if send_fd(inside.raw(), rest, &fds).is_ok() {
                packet(&parent, rest);
            }
        }
        2 => {
            send_fd(parent.raw(), &rest[..rest.len().min(1)], &[]).expect("sent");
            let known = [Down::Mapped, Down::DevicesMoved, Down::HooksDone, Down::Go, Down::Wait];
            let meant = rest.first().and_then(|byte| known.into_iter().find(|down| *down as u8 == *byte));
            assert_eq!(inside.hear(), meant);
        }
        _ => reports(&mut Choices(rest), &parent, &inside, &sent),
    }
    drop((parent, inside, sent));
    // The pipe hangs up when nobody has its other end any more.
    let mut fds = [PollFd::new(watch.as_fd(), PollFlags::empty())];
    assert_eq!(poll(&mut fds, PollTimeout::from(2000_u16)), Ok(1), "an fd that was sent is left open");
}

/// The parent's reading of any packet.
fn packet(parent: &Channel, sent: &[u8]) {
    match parent.listen() {
        Ok(Up::Closed) => assert!(sent.is_empty()),
        Ok(_) => {}
        Err(errno) => assert_eq!(errno, Errno::EPROTO, "{sent:?}"),
    }
}

fn reports(choices: &mut Choices, parent: &Channel, inside: &Channel, file: &PipeWriter) {
    let fd = || OwnedFd::from(file.try_clone().expect("a copy"));
    match choices.below(6) {
        0 => {
            let sent = fault(choices);
            inside.report(&Up::Failed(sent.clone())).expect("sent");
            let Ok(Up::Failed(got)) = parent.listen() else { panic!("a fault was sent") };
            same(&sent, &got);
        }
        1 => {
            let text = choices.text();
            inside.report(&Up::Warn(text.clone())).expect("sent");
            assert!(matches!(parent.listen(), Ok(Up::Warn(got)) if got == text));
        }
        2 => {
            let name = PathBuf::from(choices.text());
            inside.report(&Up::Terminal(fd(), name.clone())).expect("sent");
            assert!(matches!(parent.listen(), Ok(Up::Terminal(_, got)) if got == name));
        }
        3 => {
            let pid = Pid::from_raw(choices.next() as i32);
            inside.report(&Up::Init(Child { pid, pidfd: fd() })).expect("sent");
            assert!(matches!(parent.listen(), Ok(Up::Init(got)) if got.pid == pid));
        }
        4 => {
            inside.report(&Up::Listener(fd())).expect("sent");
            assert!(matches!(parent.listen(), Ok(Up::Listener(_))));
        }
        _ => {
            let _ = inside.report(&Up::Ready);
            assert!(matches!(parent.listen(), Ok(Up::Ready)));
        }
    }
}

/// A fault with parts of any length.
fn fault(choices: &mut Choices) -> Fault {
    let mut long = || choices.text().repeat(1 + choices.below(64));
    let mut fault = Fault::new(&long(), long()).path(long()).hint(long());
    fault.errno = Some(choices.next() as i32);
    fault
}

/// What arrived is what was sent, or its beginning, without what is no text.
fn same(sent: &Fault, got: &Fault) {
    let begins = |got: &str, sent: &str| {
        let plain: String = sent.chars().filter(|c| !c.is_control()).collect();
        assert!(plain.starts_with(got) && (got.len() > 1980 || got == plain), "{got:?} of {sent:?}");
    };
    begins(&got.stage, &sent.stage);
    begins(&got.message, &sent.message);
    for (got, sent) in [(&got.path, &sent.path), (&got.hint, &sent.hint)] {
        begins(got.as_deref().expect("it was sent"), sent.as_deref().unwrap_or_default());
    }
    assert_eq!(got.errno, sent.errno);
}
