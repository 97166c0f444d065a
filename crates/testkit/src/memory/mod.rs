//! A source and a destination in memory, stricter than any real one.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails a test")]

mod destination;
mod image;
mod source;

pub use destination::{FakeDestination, State, destination_name};
pub use image::{Builder, ImageKind, gzip, tar, unpacked};
pub use source::{FakeSource, Fault, source_name};
