//! The bundle's `config.json`: reading it, and judging it before anything is done.

mod code;
mod finding;
pub mod ids;
pub mod load;
mod place;
mod position;
pub mod validate;

pub use code::Code;
pub use finding::{Finding, Findings, Severity};
pub use load::{Config, load};
pub use place::{Place, at};
#[cfg(any(test, fuzzing))]
pub use position::place_at;
