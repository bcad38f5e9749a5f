//! The container's directory `<root>/<id>/`: what rt knows between two commands.
//!
//! | file | what | mode |
//! |---|---|---|
//! | `state.json` | the record: written before the first side effect, replaced atomically | 0600 |
//! | `config.json` | the configuration as accepted | 0600 |
//! | `start` | the socket at which init of a created container waits | 0600 |
//! | `notify/notify.sock` | for NOTIFY_SOCKET alone: where the program says that it is ready | 0777 |
//!
//! The directory is locked by whoever changes the container. Whether init waits or runs is asked of the kernel, not
//! of a file: a waiting init listens on `start`, and execve closes its end.

pub mod directory;
mod identity;
mod record;

pub use directory::{Directory, Root};
pub use identity::Identity;
pub use record::{FORMAT, Record, Status, Told};
