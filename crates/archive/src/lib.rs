//! Tars and squashfs: what is in them, read in place and written in one pass.
//!
//! Knows the blocks of a tar: [`header`], the records of extended headers ([`pax`]) and the maps of
//! sparse files ([`sparse`]), all read as Go's `archive/tar` reads them. On these stand an
//! [`Archive`], whose members are read where they lie, and a [`Writer`], to which several may write
//! at once. [`squashfs`] makes a tar of a file system. Must not know images: what an entry is for,
//! who uses the archive says.

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod header;
mod index;
pub mod pax;
mod region;
pub mod sparse;
mod spool;
pub mod squashfs;
mod tar;
mod ustar;
mod writer;

pub use error::{Fault, TarError, TarWriteError, UnpackError};
pub use index::Member;
pub use region::Region;
pub use skopeo_system::Stamp;
pub use spool::Scratch;
pub use tar::Archive;
pub use writer::{Entry, Existing, Writer, is_special};
