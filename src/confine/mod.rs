//! What the process may do: the common tail of create and exec.
//!
//! Everything is decided in [`plan`]; what is left for the process itself is a fixed list of system calls.

mod apply;
mod capabilities;
mod executable;
pub mod home;
mod limits;
mod listener;
pub mod memory_policy;
mod plan;
mod scheduling;
mod sets;

pub use apply::{
    AfterLoad, close_all_but, enter_cwd, failure, finish, lock_down, open_label, raise_limits, restrict, start_on_cpus,
};
#[cfg(any(test, fuzzing))]
pub use executable::why_not;
pub use executable::{explain, find_executable};
pub use home::with_home;
pub use plan::{ProcessPlan, plan};
pub use scheduling::Affinity;
