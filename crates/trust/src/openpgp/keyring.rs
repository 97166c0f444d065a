//! Keyrings: files of public keys, binary or armoured, as users export them.

use pgp::composed::{PublicOrSecret, SignedPublicKey};
use pgp::packet::Signature;
use tracing::debug;

use super::certificate::{Certificate, Signer};

const BEGIN: &str = "-----BEGIN PGP ";

/// Public keys that are trusted.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    certificates: Vec<Certificate>,
}

impl Keyring {
    /// Reads the keys of some files. What is no key, or is none that its owner signed, is passed
    /// over, as GnuPG does; the keyring may be empty then.
    #[must_use]
    pub fn read<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut keys: Vec<SignedPublicKey> = Vec::new();
        for file in files {
            for key in read(file) {
                // A key that is there twice counts with all that either copy says, a revocation
                // above all.
                match keys.iter_mut().find(|it| it.primary_key == key.primary_key) {
                    Some(known) => merge(known, key),
                    None => keys.push(key),
                }
            }
        }
        Self { certificates: keys.into_iter().filter_map(Certificate::new).collect() }
    }

    /// Returns whether it has no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// Returns the fingerprints of its primary keys: upper-case hexadecimal.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates.iter().map(Certificate::fingerprint).collect()
    }

    /// The keys, primary ones and subkeys, that may have made a signature by what it says.
    pub(super) fn signers<'a>(
        &'a self,
        signature: &'a Signature,
    ) -> impl Iterator<Item = Signer<'a>> {
        self.certificates.iter().flat_map(move |it| it.signers(signature))
    }
}

fn read(file: &[u8]) -> Vec<SignedPublicKey> {
    if file.first().is_some_and(|first| first & 0x80 != 0) {
        return public(PublicOrSecret::from_bytes_many(file));
    }
    // Text: each armoured block, whatever stands between them.
    let text = String::from_utf8_lossy(file);
    let starts = text.match_indices(BEGIN).map(|(at, _)| at);
    let ends = starts.clone().skip(1).chain([text.len()]);
    let blocks = starts.zip(ends).filter_map(|(start, end)| text.get(start..end));
    blocks
        .flat_map(|block| {
            public(PublicOrSecret::from_armor_many_buf(block.as_bytes()).map(|(keys, _)| keys))
        })
        .collect()
}

fn public<'a>(
    keys: pgp::errors::Result<Box<dyn Iterator<Item = pgp::errors::Result<PublicOrSecret>> + 'a>>,
) -> Vec<SignedPublicKey> {
    let keys = match keys {
        Ok(keys) => keys,
        Err(error) => {
            debug!("ignoring a file that is not a keyring: {error}");
            return Vec::new();
        }
    };
    keys.filter_map(|key| match key {
        Ok(PublicOrSecret::Public(key)) => Some(key),
        Ok(PublicOrSecret::Secret(key)) => Some(key.to_public_key()),
        Err(error) => {
            debug!("ignoring a key: {error}");
            None
        }
    })
    .collect()
}

fn merge(known: &mut SignedPublicKey, other: SignedPublicKey) {
    known.details.revocation_signatures.extend(other.details.revocation_signatures);
    known.details.direct_signatures.extend(other.details.direct_signatures);
    known.details.users.extend(other.details.users);
    for subkey in other.public_subkeys {
        match known.public_subkeys.iter_mut().find(|it| it.key == subkey.key) {
            Some(same) => same.signatures.extend(subkey.signatures),
            None => known.public_subkeys.push(subkey),
        }
    }
}
