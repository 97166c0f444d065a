//! The requirement `signedBy`: simple signatures, made with OpenPGP.

use skopeo_image::{PolicyScope, RawManifest};

use crate::openpgp::{self, Keyring};
use crate::policy::{SignedBy, SignedByKeys, SignedIdentity};
use crate::{Machine, Payload, Policy, SignatureError};

impl Policy {
    /// Whether a simple signature meets a requirement.
    ///
    /// The order is the original's: a signature by nobody who is trusted says nothing, so nothing
    /// that it says is looked at.
    pub(crate) fn judge_simple(
        &self,
        requirement: &SignedBy,
        scope: &PolicyScope,
        manifest: &RawManifest,
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if requirement.key_type != "GPGKeys" {
            return Err(SignatureError::KeyType(requirement.key_type.clone()));
        }
        let machine = self.machine();
        let keyring =
            self.keyrings().or_make(&requirement.keys, || keyring(&requirement.keys, machine))?;
        if keyring.is_empty() {
            return Err(SignatureError::NoKeys);
        }
        let verified = openpgp::verify(signature, &keyring, machine.now())?;
        let payload = Payload::parse_simple(&verified.payload)?;
        judge_payload(&payload, &requirement.identity, scope, manifest)
    }
}

/// Whether what was signed is about this manifest and this name.
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

fn keyring(keys: &SignedByKeys, machine: &dyn Machine) -> Result<Keyring, SignatureError> {
    let file = |path: &String| machine.key_file(path).map_err(SignatureError::KeyFile);
    let files = match keys {
        SignedByKeys::Path(path) => vec![file(path)?],
        SignedByKeys::Paths(paths) => paths.iter().map(file).collect::<Result<_, _>>()?,
        SignedByKeys::Data(data) => vec![data.clone()],
    };
    Ok(Keyring::read(files.iter().map(Vec::as_slice)))
}
