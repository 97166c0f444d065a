//! What a copy would take, as values.

use skopeo_image::Digest;

/// What a copy would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEstimate {
    /// What would happen.
    pub change: Change,
    /// The digest of what the source's name leads to: of the index, where one image is chosen.
    pub source: Digest,
    /// The digest of what the destination's name leads to now, where that is known.
    pub destination: Option<Digest>,
    /// What would be read from the source.
    pub fetch: Amount,
    /// What would be written to the destination.
    pub send: Amount,
    /// What the destination could take from elsewhere in it.
    pub mount: Amount,
    /// What is there, or will be when it is needed.
    pub present: Amount,
    /// How many manifests would be written: of images, indexes and referrers.
    pub manifests: u64,
    /// How many requests it would take, if none has to be repeated. Tokens are not counted.
    pub requests: u64,
    /// Whether all sizes are known before: not those of layers that are packed anew.
    pub exact: bool,
}

/// What would happen to the destination's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing is known to be there.
    New,
    /// It leads elsewhere.
    Changed,
    /// It leads to what would be written.
    Unchanged,
}

/// Some blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub blobs: u64,
    /// Their length in bytes, as far as it is known: of a layer that is packed anew, the length
    /// before.
    pub bytes: u64,
    /// Of how many of them no length is known.
    pub unknown: u64,
}

impl Amount {
    /// Returns one blob.
    pub(super) fn of(size: Option<u64>) -> Self {
        Self { blobs: 1, bytes: size.unwrap_or_default(), unknown: u64::from(size.is_none()) }
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.blobs = self.blobs.saturating_add(other.blobs);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.unknown = self.unknown.saturating_add(other.unknown);
    }
}
