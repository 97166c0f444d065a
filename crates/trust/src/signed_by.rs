//! The requirement `signedBy`: simple signatures, made with OpenPGP.

use std::time::SystemTime;

use skopeo_image::{PolicyScope, RawManifest};

use crate::openpgp::{self, Keyring};
use crate::requirement::{SignedBy, SignedByKeys, SignedIdentity};
use crate::{Machine, Payload, SignatureError};

/// Returns an error if a requirement asks for keys of a type that nobody implements.
pub(crate) fn check_key_type(requirement: &SignedBy) -> Result<(), SignatureError> {
    match requirement.key_type.as_str() {
        "GPGKeys" => Ok(()),
        other => Err(SignatureError::KeyType(other.to_owned())),
    }
}

/// Returns an error if a simple signature does not meet a requirement.
///
/// The order is the original's: a signature by nobody who is trusted says nothing, so nothing
/// that it says is looked at.
pub(crate) fn judge(
    requirement: &SignedBy,
    keyring: &Keyring,
    now: SystemTime,
    scope: &PolicyScope,
    manifest: &RawManifest,
    signature: &[u8],
) -> Result<(), SignatureError> {
    if keyring.is_empty() {
        return Err(SignatureError::NoKeys);
    }
    let verified = openpgp::verify(signature, keyring, now)?;
    let payload = Payload::parse_simple(&verified.payload)?;
    judge_payload(&payload, &requirement.identity, scope, manifest)
}

/// Returns an error if what was signed is not about this manifest and this name.
pub(crate) fn judge_payload(
    payload: &Payload,
    identity: &SignedIdentity,
    scope: &PolicyScope,
    manifest: &RawManifest,
) -> Result<(), SignatureError> {
    let matches = manifest
        .has_digest(&payload.digest)
        .map_err(|error| SignatureError::Manifest(error.to_string()))?;
    if !matches {
        return Err(SignatureError::Digest(payload.digest.clone()));
    }
    if !identity.accepts(scope.reference.as_deref(), &payload.docker_reference) {
        return Err(SignatureError::Identity(payload.docker_reference.clone()));
    }
    Ok(())
}

/// Reads the keys that a requirement trusts.
pub(crate) fn keyring(
    keys: &SignedByKeys,
    machine: &dyn Machine,
) -> Result<Keyring, SignatureError> {
    let file = |path: &String| machine.key_file(path).map_err(SignatureError::KeyFile);
    let files = match keys {
        SignedByKeys::Path(path) => vec![file(path)?],
        SignedByKeys::Paths(paths) => paths.iter().map(file).collect::<Result<_, _>>()?,
        SignedByKeys::Data(data) => vec![data.clone()],
    };
    Ok(Keyring::read(files.iter().map(Vec::as_slice)))
}
