//! Why a message does not count.

/// Why an OpenPGP message is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenPgpError {
    /// The program was built without OpenPGP.
    #[error(
        "this build of skopeo lacks OpenPGP (the feature \"openpgp\" of its crate): simple signatures \
         cannot be read"
    )]
    NotBuilt,
    /// More than is ever read.
    #[error("Invalid GPG signature: it has more than {0} bytes")]
    TooLong(usize),
    /// No message, or not one of a signature.
    #[error("Invalid GPG signature: it is not a signed OpenPGP message: {0}")]
    Malformed(String),
    /// Something stands behind the message.
    #[error("Invalid GPG signature: there is data after the signed message")]
    Trailing,
    /// Not exactly one signature.
    #[error("Unexpected GPG signature count {0}")]
    Count(usize),
    /// A version of signatures that is not known.
    #[error("Invalid GPG signature: its version is not supported")]
    Version,
    /// Not a signature of binary data.
    #[error("Invalid GPG signature: it is not a signature of a binary document")]
    Kind,
    /// It does not say when it was made.
    #[error("Invalid GPG signature: it has no creation time")]
    Undated,
    /// It says something that has to be understood, and is not.
    #[error("Invalid GPG signature: it has a critical part that is not supported")]
    Critical,
    /// No key of the keyring made it.
    #[error("Invalid GPG signature: the key {0} is not one of the trusted keys")]
    UnknownKey(String),
    /// The key did not make it, or not of this payload.
    #[error("Invalid GPG signature: the key {0} did not sign this")]
    Bad(String),
    /// The hash can be forged.
    #[error("Invalid GPG signature: the digest algorithm {0} is too weak")]
    WeakHash(String),
    /// The key can be broken.
    #[error("Invalid GPG signature: the key {key} is too weak: {bits} bits")]
    WeakKey {
        /// Its fingerprint.
        key: String,
        /// Its length.
        bits: u32,
    },
    /// It was good for a time that is over.
    #[error("Invalid GPG signature: it has expired")]
    Expired,
    /// The key was good for a time that is over.
    #[error("Invalid GPG signature: the key {0} has expired")]
    ExpiredKey(String),
    /// Its owner took the key back.
    #[error("Invalid GPG signature: the key {0} is revoked")]
    RevokedKey(String),
    /// The key is not for signing.
    #[error("Invalid GPG signature: the key {0} is not for signing")]
    NotForSigning(String),
    /// The key is younger than its signature, or than today.
    #[error("Invalid GPG signature: the key {0} was made after the signature")]
    KeyNotYet(String),
}
