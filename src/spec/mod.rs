//! The bundle's `config.json`: reading it, and judging it before anything is done.

pub mod ids;
pub mod load;
mod place;
pub mod validate;

pub use load::{Config, load};
