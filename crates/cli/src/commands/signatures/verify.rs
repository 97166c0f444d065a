//! `standalone-verify MANIFEST REFERENCE KEYS SIGNATURE`.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, bail};
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::{Digest, RawManifest, Reference};
use skopeo_trust::Payload;
use skopeo_trust::openpgp::{self, Keyring, MAX_SIGNATURE, Verified};

use crate::args::names;
use crate::args::value::Values;
use crate::exit::print;
use crate::{go, gpg};

const USAGE: &str = "Usage: skopeo standalone-verify manifest docker-reference key-fingerprint \
                     signature";

/// The largest file with public keys, in bytes.
const MAX_KEYS: usize = 64 << 20;

pub(crate) fn run(flags: &Values, arguments: &[String]) -> Result<()> {
    let [manifest, reference, wanted, signature] = arguments else { bail!(USAGE) };
    let public_keys = flags.text(names::PUBLIC_KEY_FILE);
    let any = wanted == "any";
    if any && public_keys.is_none() {
        bail!("Cannot use any fingerprint without a public key file");
    }
    let bytes = go::read_at_most(Path::new(manifest), MAX_MANIFEST_SIZE)
        .with_context(|| format!("Error reading manifest from {manifest}"))?;
    let signature = go::read_at_most(Path::new(signature), MAX_SIGNATURE)
        .with_context(|| format!("Error reading signature from {signature}"))?;
    let public_keys = match public_keys {
        Some(path) => go::read_at_most(Path::new(path), MAX_KEYS)
            .with_context(|| format!("Error reading public keys from {path}"))?,
        None => gpg::keyring().context("Error initializing GPG")?,
    };
    let keyring = Keyring::read([public_keys.as_slice()]);
    let all = keyring.fingerprints();
    let accepted: Vec<&str> = match any {
        true => all.iter().map(String::as_str).collect(),
        false => wanted.split(',').collect(),
    };
    let manifest = RawManifest::new(None, bytes.into());
    let (key, digest) = verify(&signature, &keyring, &accepted, &manifest, reference)
        .context("Error verifying signature")?;
    Ok(print(format!("Signature verified using fingerprint {key}, digest {digest}\n"))?)
}

/// The key whose fingerprint is accepted, and the digest that it signed.
fn verify(
    signature: &[u8],
    keyring: &Keyring,
    accepted: &[&str],
    manifest: &RawManifest,
    reference: &str,
) -> Result<(String, Digest)> {
    let expected = Reference::parse_normalized(reference)?;
    let verified = openpgp::verify(signature, keyring, SystemTime::now())?;
    let key = accepted_key(&verified, accepted)?.to_owned();
    // By whoever signed; only now does it say anything.
    let payload = Payload::parse_simple(&verified.payload)?;
    let (digest, signed) = (payload.digest, payload.docker_reference);
    if !manifest.has_digest(&digest)? {
        bail!("Signature for docker digest {} does not match", go::quote(&digest.to_string()));
    }
    let name = Reference::parse_normalized(&signed)
        .map_err(|_| anyhow!("Invalid docker reference {} in signature", go::quote(&signed)))?;
    if name != expected {
        bail!("Docker reference {} does not match {}", go::quote(&signed), go::quote(reference));
    }
    Ok((key, digest))
}

/// Fingerprints are compared as the texts that they are. That of the primary key stands for its
/// subkeys.
fn accepted_key<'a>(verified: &'a Verified, accepted: &[&str]) -> Result<&'a str> {
    let keys = [&verified.signer, &verified.primary];
    match keys.into_iter().find(|key| accepted.contains(&key.as_str())) {
        Some(key) => Ok(key),
        None => {
            bail!("signature by key {} of {} is not accepted", verified.signer, verified.primary)
        }
    }
}
