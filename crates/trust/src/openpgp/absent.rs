//! OpenPGP messages in a program that was built without OpenPGP: no message can be read, so none counts.

mod error;
mod verified;

use std::time::SystemTime;

pub use error::OpenPgpError;
pub use verified::{MAX_SIGNATURE, Unverified, Verified};

/// Public keys that are trusted, which nobody has read.
#[derive(Clone, Debug, Default)]
pub struct Keyring;

impl Keyring {
    /// Takes files for a keyring, and reads none of them.
    #[must_use]
    pub fn read<'a>(_: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self
    }

    /// Returns whether it has no key. That is not known, so it is not said: what asks for a
    /// signature by one of the keys is told that there is no OpenPGP.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Returns the fingerprints of its primary keys: none is known.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Refuses a message.
///
/// # Errors
///
/// Always.
pub fn verify(_: &[u8], _: &Keyring, _: SystemTime) -> Result<Verified, OpenPgpError> {
    Err(OpenPgpError::NotBuilt)
}

/// Refuses a message.
///
/// # Errors
///
/// Always.
pub fn read_unverified(_: &[u8]) -> Result<Unverified, OpenPgpError> {
    Err(OpenPgpError::NotBuilt)
}
