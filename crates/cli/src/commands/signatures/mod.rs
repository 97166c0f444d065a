//! Signatures and keys in files, apart from any image.

mod dump;
mod generate;
mod sign;
mod verify;

pub(super) use dump::{rfc3339, run as dump};
pub(super) use generate::run as generate;
pub(super) use sign::run as sign;
pub(super) use verify::run as verify;
