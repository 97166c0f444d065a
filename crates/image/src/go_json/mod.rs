//! JSON as Go's `encoding/json` reads and writes it, byte for byte where it is written.
//!
//! The digests of converted manifests, configs and indexes are those of the original only if the
//! bytes are. Struct fields are written in their order; which empty ones are left out is for each
//! struct to say. Maps are written in their own order, so they have to be `BTreeMap`s: Go sorts.
//!
//! What others wrote is read by [`from_slice`] and [`Budget`] only, so that it means the same to
//! every command, and takes no more memory than it is worth.

mod budget;
mod decode;
mod encode;
mod raw;
mod syntax;
#[cfg(test)]
mod tests;
mod text;

use serde::{Deserialize, Deserializer};

pub use budget::{Budget, from_slice};
pub use encode::{to_vec, to_vec_indent, write_compact};
pub use raw::Raw;
pub use syntax::of_whole as syntax_error;
pub use text::is_name;

/// Reads a size in bytes as the original does, into an `int64`: what no file can have, a fraction
/// and an exponent are errors; a negative one says that it is not known, as `null` does.
///
/// # Errors
/// If it is no such number.
pub fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let size = Option::<i64>::deserialize(deserializer)?;
    Ok(size.and_then(|size| u64::try_from(size).ok()))
}
