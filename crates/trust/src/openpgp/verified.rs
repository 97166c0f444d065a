//! What is known of an OpenPGP message.

/// No signature is longer, packed or unpacked, in bytes: what the original reads from a server.
pub const MAX_SIGNATURE: usize = 4 << 20;

/// What was signed, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// The fingerprint of the key that signed, a subkey perhaps: upper-case hexadecimal.
    pub signer: String,
    /// The fingerprint of the primary key that the signer belongs to; the same if it signed.
    pub primary: String,
}

/// What a message says of itself. Nothing of it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// The bytes that are said to be signed.
    pub payload: Vec<u8>,
    /// The id of the key that is said to have signed: sixteen upper-case hexadecimal digits.
    pub key_id: String,
}
