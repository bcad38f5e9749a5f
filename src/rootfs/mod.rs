//! The root filesystem: a plan that is data, and the steps that carry it out inside the new mount namespace.
//!
//! The order is one: attach the rootfs, mount each mount in the order listed, make the devices, let the hooks look,
//! pivot, cover what is masked or read-only.

mod build;
mod copyup;
mod cover;
mod devices;
pub mod idmapped;
mod label;
mod mount;
pub mod on_host;
pub mod options;
mod plan;
mod resolve;
mod source;
mod symlink;
mod underneath;

pub use build::{Enter, Rootfs};
use cover::cover;
pub use source::{Sources, open_sources, source_fault};

pub use plan::{MountPlan, RootPlan, Source, plan};
pub use resolve::find as find_inside;
