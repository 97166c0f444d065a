//! Tars that several images are written to: who writes one, and what is in it already.

mod error;
mod hold;
mod slots;

pub use error::ArchiveError;
pub(crate) use error::NOT_EXTENSIBLE;
pub(crate) use hold::{Hold, place};
pub(crate) use slots::Slots;
