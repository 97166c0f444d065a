//! What a log signs its checkpoints with: signed notes, as C2SP specifies them.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::merkle::sha256;

/// The key of a log.
#[derive(Debug)]
pub enum LogKey {
    /// As sigstore's own logs have it.
    Ed25519(Ed25519KeyPair),
    /// On P-256.
    Ecdsa(EcdsaKeyPair),
}

impl LogKey {
    /// Returns a new one.
    ///
    /// # Panics
    /// If there is no randomness.
    #[must_use]
    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().expect("a key"))
    }

    /// Returns a new one.
    ///
    /// # Panics
    /// If there is no randomness.
    #[must_use]
    pub fn ecdsa() -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
    }

    /// Returns the public key (`SubjectPublicKeyInfo`).
    ///
    /// # Panics
    /// Never, as the key is whole.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        let der: Result<PublicKeyX509Der<'_>, _> = match self {
            Self::Ed25519(pair) => pair.public_key().as_der(),
            Self::Ecdsa(pair) => pair.public_key().as_der(),
        };
        der.expect("a public key").as_ref().to_vec()
    }

    /// By which others know the key of the log with that name.
    #[must_use]
    pub fn id(&self, origin: &str) -> Vec<u8> {
        match self {
            Self::Ed25519(pair) => {
                sha256(&[origin.as_bytes(), b"\n\x01", pair.public_key().as_ref()])
            }
            Self::Ecdsa(_) => sha256(&[&self.der()]),
        }
    }

    /// Returns a checkpoint of a tree, which a witness has signed, too.
    #[must_use]
    pub fn checkpoint(&self, origin: &str, size: usize, root: &[u8]) -> String {
        let text = format!("{origin}\n{size}\n{}\n", STANDARD.encode(root));
        self.note(origin, &text)
    }

    /// Returns a note under that name.
    #[must_use]
    pub fn note(&self, name: &str, text: &str) -> String {
        let signed = [&self.id(name)[..4], &self.sign(text.as_bytes())].concat();
        let witness = [&[1, 2, 3, 4][..], b"something else"].concat();
        format!(
            "{text}\n\u{2014} {name} {}\n\u{2014} witness {}\n",
            STANDARD.encode(signed),
            STANDARD.encode(witness)
        )
    }

    pub(super) fn details(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "PKIX_ED25519",
            Self::Ecdsa(_) => "PKIX_ECDSA_P256_SHA_256",
        }
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(pair) => pair.sign(bytes).as_ref().to_vec(),
            Self::Ecdsa(pair) => {
                pair.sign(&SystemRandom::new(), bytes).expect("randomness").as_ref().to_vec()
            }
        }
    }
}
