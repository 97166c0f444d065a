//! Authorities that sign when a signature was there (RFC 3161).

use std::error::Error as StdError;
use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};

/// The media type of what is asked.
pub const QUERY_TYPE: &str = "application/timestamp-query";

/// The media type of the answer.
pub const REPLY_TYPE: &str = "application/timestamp-reply";

/// A query (`TimeStampReq`) of version 1 up to the hash, which is by SHA-256.
const BEFORE_HASH: &[u8] = &[
    0x30, 57, 0x02, 1, 1, 0x30, 49, 0x30, 13, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 0x05,
    0, 0x04, 32,
];

/// The rest of it: the certificate of whoever signs is to come along (`certReq`).
const BEHIND_HASH: &[u8] = &[0x01, 1, 0xff];

/// An authority for times.
#[async_trait]
pub trait TimeAuthority: fmt::Debug + Send + Sync {
    /// Asks for a time with a query of [`QUERY_TYPE`], and gives the answer.
    ///
    /// # Errors
    /// If the authority gives none.
    async fn stamp(&self, query: Vec<u8>) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>>;
}

/// Returns the query for the time of a signature. It has no nonce: an old answer to it would be a
/// time at which the signature was there, too.
pub(super) fn query(signature: &[u8]) -> Vec<u8> {
    [BEFORE_HASH, digest(&SHA256, signature).as_ref(), BEHIND_HASH].concat()
}
