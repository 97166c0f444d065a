//! The blob that a layer came as.

use skopeo_image::{Compression, Digest};
use skopeo_storage::NewLayer;

use crate::{How, Stored};

/// What the blob was that a layer came as.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) compression: Compression,
}

impl Packed {
    /// As the pipeline is told of it.
    pub(super) fn stored(&self) -> Stored {
        Stored { digest: self.digest.clone(), size: self.size, how: How::Moved }
    }

    /// What is said of a layer that came as this blob.
    pub(super) fn new_layer(&self, parent: Option<String>, diff: &Digest) -> NewLayer {
        use skopeo_storage::Compression as Numbered;
        NewLayer {
            id: None,
            parent,
            expected_diff: Some(diff.clone()),
            compressed: Some((self.digest.clone(), self.size)),
            compression: match self.compression {
                Compression::Uncompressed => Numbered::Uncompressed,
                Compression::Bzip2 => Numbered::Bzip2,
                Compression::Gzip => Numbered::Gzip,
                Compression::Xz => Numbered::Xz,
                Compression::Zstd | Compression::ZstdChunked => Numbered::Zstd,
            },
        }
    }
}
