//! Why a private key cannot be used.

/// Why a private key cannot be used, in the original's words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No PEM.
    #[error("invalid pem block")]
    NoPem,
    /// PEM of something else.
    #[error("unsupported pem type: {0}")]
    Type(String),
    /// What is encrypted cannot be read.
    #[error("decrypt")]
    Decrypt(#[source] DecryptError),
    /// No key that sigstore signs with.
    #[error("unsupported key type")]
    UnsupportedKey,
    /// A key that newer logs know no signatures of.
    #[error("Rekor version 2 takes no signatures by a key of this kind: {0}")]
    NotLogged(&'static str),
    /// The library of cryptography has failed.
    #[error("using the private key")]
    Crypto,
}

/// Why a private key cannot be decrypted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// No JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A member that is no base64.
    #[error(transparent)]
    Base64(#[from] base64::DecodeError),
    /// Another way to make a key of a pass phrase.
    #[error("encrypted: unknown kdf name {0:?}")]
    Kdf(String),
    /// Another cipher.
    #[error("encrypted: unknown cipher name {0:?}")]
    Cipher(String),
    /// Work that is less than safe, or more than anybody wants.
    #[error("unsupported scrypt parameters")]
    Parameters,
    /// Another pass phrase, or other bytes.
    #[error("encrypted: decryption failed")]
    Failed,
}
