//! What can go wrong with keys. Where the original says something, in its words.

use std::io;

use skopeo_image::{Classify, ErrorClass};

/// Why a file is no use as a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A `jwe:` recipient must be a public key.
    #[error("File provided is not a public key")]
    NotPublicKey,
    /// A `pkcs7:` recipient must be a certificate.
    #[error("File provided is not an x509 cert")]
    NotCertificate,
    /// The private key is encrypted, and no pass phrase was given.
    #[error("Missing password for encrypted private key")]
    MissingPassword,
    /// The pass phrase does not open the private key.
    #[error("Wrong password: could not decrypt private key")]
    WrongPassword,
    /// A kind of key that this program cannot use.
    #[error("unsupported key: {0}")]
    Unsupported(String),
    /// The keyring has no key of theirs that could be encrypted to.
    #[error("PGP: No key found for the following recipients: {}", .0.join(", "))]
    NoRecipient(Vec<String>),
    /// The keyring cannot be read.
    #[error("PGP: reading a keyring")]
    Keyring(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The program was built without OpenPGP.
    #[error("PGP: this build of skopeo lacks OpenPGP (the feature \"openpgp\" of its crate)")]
    NoOpenPgp,
}

/// Why a layer could not be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CryptError {
    /// No key of the kind that the layer was encrypted for was given.
    #[error("missing private key needed for decryption")]
    NoKey,
    /// None of the given keys opens the layer's key.
    #[error(
        "no suitable key unwrapper found or none of the private keys could be used for \
         decryption: {0}"
    )]
    NoneFits(String),
    /// What the image says of the layer's encryption is not understood.
    #[error("reading the options of the layer's encryption: {0}")]
    Options(String),
    /// The layer's key could not be wrapped for a recipient.
    #[error("wrapping the layer's key: {0}")]
    Wrap(String),
    /// A key provider failed.
    #[error("asking key provider {name}")]
    Provider {
        /// Its name.
        name: String,
        /// What it said, or what the system did.
        #[source]
        source: io::Error,
    },
    /// The system has no random numbers, or a library failed.
    #[error("encrypting: the cryptographic library failed")]
    Library,
    /// The layer was not read to its end.
    #[error("encrypting: the layer was not read to its end")]
    Unfinished,
}

impl Classify for CryptError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::NoKey | Self::NoneFits(_) => Some(ErrorClass::Denied),
            Self::Options(_) => Some(ErrorClass::InvalidImage),
            Self::Wrap(_) | Self::Provider { .. } | Self::Library | Self::Unfinished => None,
        }
    }
}

impl From<aws_lc_rs::error::Unspecified> for CryptError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Library
    }
}
