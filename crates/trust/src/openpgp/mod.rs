//! OpenPGP messages that hold what they sign (RFC 4880, RFC 9580), judged by a keyring.
//!
//! As strict as GnuPG where the original asks GnuPG, and stricter where an algorithm is weak: what
//! is not understood is refused, and so is what nobody needs (text signatures, several signatures,
//! anything behind the message).

mod certificate;
mod error;
mod keyring;
mod message;
mod verified;

use std::time::{SystemTime, UNIX_EPOCH};

use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::types::Timestamp;

pub use error::OpenPgpError;
pub use keyring::Keyring;
pub use verified::{MAX_SIGNATURE, Unverified, Verified};

use certificate::Signer;
use message::Message;

/// Verifies a message with exactly one signature, by a key of the keyring that is good at `now`.
///
/// # Errors
///
/// It is no such message, or the signature, its key or an algorithm is not good.
pub fn verify(
    message: &[u8],
    keyring: &Keyring,
    now: SystemTime,
) -> Result<Verified, OpenPgpError> {
    let now = seconds(now);
    let message = Message::read(message)?;
    let signature = message.only_signature()?;
    let config = signature.config().ok_or(OpenPgpError::Version)?;
    if config.typ() != SignatureType::Binary {
        return Err(OpenPgpError::Kind);
    }
    let created = signature.created().ok_or(OpenPgpError::Undated)?;
    require_understood(signature)?;

    require_strong(config.hash_alg)?;
    let signer = signer(&message, signature, keyring)?;
    signer.require_good(created, now)?;
    if end(created, signature.signature_expiration_time()).is_some_and(|end| end <= now) {
        return Err(OpenPgpError::Expired);
    }
    let (fingerprint, primary) = (signer.fingerprint(), signer.primary());
    Ok(Verified { signer: fingerprint, primary, payload: message.into_payload() })
}

/// The key that made the signature. Two may have one id, and the one that did not sign says
/// nothing.
fn signer<'a>(
    message: &Message,
    signature: &'a Signature,
    keyring: &'a Keyring,
) -> Result<Signer<'a>, OpenPgpError> {
    let mut failure = OpenPgpError::UnknownKey(issuer(signature));
    for signer in keyring.signers(signature) {
        match signer.verify(signature, message.payload()) {
            Ok(()) => return Ok(signer),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Reads a message without verifying anything.
///
/// # Errors
///
/// It is no message with one signature.
pub fn read_unverified(message: &[u8]) -> Result<Unverified, OpenPgpError> {
    let message = Message::read(message)?;
    let signature = message.only_signature()?;
    let key_id = match signature.issuer_key_id()[..] {
        [id, ..] => id.to_string(),
        [] => signature
            .issuer_fingerprint()
            .first()
            .map(|print| {
                let bytes = print.as_bytes();
                // The end of an old fingerprint, the beginning of a new one.
                let id = if bytes.len() > 20 { bytes.get(..8) } else { bytes.get(12..) };
                upper_hex(id.unwrap_or_default())
            })
            .unwrap_or_default(),
    };
    Ok(Unverified { key_id: key_id.to_uppercase(), payload: message.into_payload() })
}

/// Refuses what the signer said must be understood, and is not.
fn require_understood(signature: &Signature) -> Result<(), OpenPgpError> {
    let Some(config) = signature.config() else { return Err(OpenPgpError::Version) };
    let strange = |data: &SubpacketData| {
        matches!(
            data,
            SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(_)
        )
    };
    if config.hashed_subpackets().any(|it| it.is_critical && strange(&it.data)) {
        return Err(OpenPgpError::Critical);
    }
    Ok(())
}

fn require_strong(hash: HashAlgorithm) -> Result<(), OpenPgpError> {
    match hash {
        HashAlgorithm::Sha224
        | HashAlgorithm::Sha256
        | HashAlgorithm::Sha384
        | HashAlgorithm::Sha512
        | HashAlgorithm::Sha3_256
        | HashAlgorithm::Sha3_512 => Ok(()),
        weak => Err(OpenPgpError::WeakHash(weak.to_string())),
    }
}

/// Who says to have signed.
fn issuer(signature: &Signature) -> String {
    if let [print, ..] = signature.issuer_fingerprint()[..] {
        return format!("{print:X}");
    }
    signature
        .issuer_key_id()
        .first()
        .map_or_else(|| "that is not named".to_owned(), |id| id.to_string().to_uppercase())
}

/// The end of a lifetime, of which zero means none.
fn end(created: Timestamp, lifetime: Option<pgp::types::Duration>) -> Option<u64> {
    let lifetime = lifetime.map_or(0, |it| u64::from(it.as_secs()));
    (lifetime > 0).then(|| u64::from(created.as_secs()).saturating_add(lifetime))
}

/// Seconds since 1970; none before that.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests;
