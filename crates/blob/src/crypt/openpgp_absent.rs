//! Layers for OpenPGP keys in a program that was built without OpenPGP: there are no such keys.

use skopeo_image::Secret;
use zeroize::Zeroizing;

use super::{Attempts, CryptError, KeyError};

/// A key that a message is encrypted to. There can be none.
#[derive(Clone, Debug)]
pub(super) enum Recipient {}

/// The keys of a secret keyring. There can be none.
pub(super) enum Ring {}

pub(super) fn recipients(_: &[u8], _: &[String]) -> Result<Vec<Recipient>, KeyError> {
    Err(KeyError::NoOpenPgp)
}

/// A keyring is told from other files by how it begins, and refused.
pub(super) fn ring(file: &[u8], _: Option<&Secret>) -> Result<Option<Ring>, KeyError> {
    // A packet of a secret key, in both forms of headers (RFC 9580, section 4.2).
    let is_secret_key = matches!(file.first(), Some(0x94..=0x97 | 0xc5));
    if is_secret_key || file.starts_with(b"-----BEGIN PGP ") {
        return Err(KeyError::NoOpenPgp);
    }
    Ok(None)
}

pub(super) fn wrap(_: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, CryptError> {
    match recipients.first() {
        Some(recipient) => match *recipient {},
        None => Ok(Vec::new()),
    }
}

pub(super) fn unwrap(
    _: &[u8],
    rings: &[Ring],
    _: &mut Attempts,
) -> Result<Zeroizing<Vec<u8>>, String> {
    match rings.first() {
        Some(ring) => match *ring {},
        None => Err("no OpenPGP keys".to_owned()),
    }
}
