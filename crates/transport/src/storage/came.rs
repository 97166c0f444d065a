//! A layer on its way into a store.

use fs_err::File;
use skopeo_image::{Compression, Digest};
use skopeo_storage::{Layer, NewLayer, StagedLayer};

use crate::{How, Stored};

/// How a layer came.
#[derive(Debug)]
pub(super) enum Came {
    /// It is unpacked, where layers lie on each other onto what is below it.
    Staged(Box<StagedLayer>, Packed),
    /// It waits for what it lies on, in a file.
    Spooled(File, Packed),
    /// It is in the store, maybe on another one.
    There(Box<Layer>),
}

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
