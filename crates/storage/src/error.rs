//! What can go wrong in a store.

use std::io;

/// The result of working with a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the store cannot be read or written. The path is in the error.
    #[error(transparent)]
    Io(#[from] io::Error),
}
