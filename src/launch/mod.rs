//! Making a container's init, from both sides of the clone.

mod birth;
pub mod channel;
mod enter;
mod hooks_inside;
mod init;
mod joiner;
pub mod killed;
mod outlets;
mod parent;
pub mod rendezvous;
mod stdio;

pub use enter::{Entry, enter};
pub use outlets::Outlets;
pub use parent::{Site, launch, write_pid_file};
