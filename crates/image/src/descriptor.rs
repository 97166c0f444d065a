//! Descriptors: what a manifest says of a blob or of another manifest.

use std::collections::BTreeMap;

use crate::{Digest, MediaType};

/// A blob as some manifest declares it (OCI image specification, "OCI Content Descriptors").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The declared media type; empty where the manifest gives none (schema 1).
    pub media_type: MediaType,
    /// The name of the bytes.
    pub digest: Digest,
    /// The length in bytes, where the manifest gives one.
    pub size: Option<u64>,
    /// Where else the bytes may be had (foreign layers).
    pub urls: Vec<String>,
    /// Free text by key.
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Returns a descriptor that says no more than what, which and how long in bytes.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: Option<u64>) -> Self {
        Self { media_type, digest, size, urls: Vec::new(), annotations: BTreeMap::new() }
    }
}

/// The length of some bytes, as descriptors say it.
pub(crate) fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
