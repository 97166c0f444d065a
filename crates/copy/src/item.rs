//! One blob that is to come to the destination, and what came of it.

use std::collections::BTreeMap;

use skopeo_blob::Recode;
use skopeo_image::{Compression, Descriptor, Digest};
use skopeo_transport::{How, Role};

use crate::plan::{self, Crypt, DiffIds, ImagePlan, LayerPlan, Wanted};

/// A blob that is to come to the destination.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) blob: Descriptor,
    pub(crate) role: Role,
    pub(crate) wanted: Wanted,
    pub(crate) crypt: Crypt,
    pub(crate) diff_ids: DiffIds,
    /// If set, what is there in another compression is of no use.
    pub(crate) only: Option<Compression>,
}

impl Item {
    /// Returns a config, or bytes of ours: nothing is to be done to it.
    pub(crate) fn config(blob: &Descriptor) -> Self {
        Self {
            blob: blob.clone(),
            role: Role::Config,
            wanted: Wanted::Opaque,
            crypt: Crypt::Keep,
            diff_ids: DiffIds::NotNeeded,
            only: None,
        }
    }

    /// Returns the layer at that index of an image.
    pub(crate) fn layer(plan: &ImagePlan, at: usize, layer: &LayerPlan) -> Self {
        Self {
            blob: layer.blob.clone(),
            role: Role::Layer(at),
            wanted: layer.wanted,
            crypt: layer.crypt,
            diff_ids: plan.diff_ids,
            // What is sent as it is may as well be there as it is.
            only: plan
                .only
                .filter(|_| matches!(layer.wanted, Wanted::Packed(_) | Wanted::Exactly(_))),
        }
    }

    /// Returns how the manifest says that the blob is packed.
    pub(crate) fn declared(&self) -> Option<Compression> {
        let declared = self.blob.media_type.compression();
        declared.map(|declared| skopeo_blob::with_annotations(declared, &self.blob.annotations))
    }

    /// Returns whether the blob would do as it is at the source, as far as that declares it.
    pub(crate) fn is_usable(&self) -> bool {
        let declared = self.declared();
        let fits = |only| {
            declared == Some(only)
                // zstd with a table of contents is zstd.
                || (declared, only) == (Some(Compression::ZstdChunked), Compression::Zstd)
        };
        self.crypt == Crypt::Keep
            && self.only.is_none_or(fits)
            && (self.wanted != Wanted::Plain
                || declared.is_none_or(|declared| declared == Compression::Uncompressed))
    }

    /// Returns what is to be done to the bytes, as far as the source declares them.
    pub(crate) fn recode(&self) -> Option<Recode> {
        self.declared().map(|declared| plan::recode(declared, self.wanted))
    }

    /// Returns whether what is sent is what is read, as far as the source declares it.
    pub(crate) fn is_kept(&self) -> bool {
        self.crypt == Crypt::Keep && self.recode().is_none_or(|recode| recode == Recode::Keep)
    }

    /// Returns what makes it the same work as another.
    pub(crate) fn key(&self) -> ItemKey {
        // A layer that is packed as one asks for is the very blob that another takes as it is.
        let declared = self.blob.media_type.compression();
        let wanted = match (self.wanted, declared) {
            (Wanted::Packed(_) | Wanted::Exactly(_), Some(declared))
                if plan::recode(declared, self.wanted) == Recode::Keep =>
            {
                Wanted::AsIs
            }
            (wanted, _) => wanted,
        };
        ItemKey {
            digest: self.blob.digest.clone(),
            size: self.blob.size,
            wanted,
            hashed: self.diff_ids == DiffIds::Needed,
            crypt: self.crypt,
        }
    }
}

/// What makes two blobs of an image, or of several, the same work.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ItemKey {
    digest: Digest,
    /// Another size means another blob: one of the two does not exist.
    size: Option<u64>,
    wanted: Wanted,
    hashed: bool,
    crypt: Crypt,
}

/// A blob that is at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransferredBlob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// How it came to be there.
    pub(crate) how: How,
    /// How it is packed, if that is known well enough to be said in a manifest.
    pub(crate) compression: Option<Compression>,
    /// Whether its bytes are others than the source's.
    pub(crate) recoded: bool,
    /// What a manifest has to say of them if they are.
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) crypted: Crypted,
    pub(crate) diff_id: Option<Digest>,
}

/// What became of a layer's encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Crypted {
    #[default]
    Keep,
    /// With what its annotations have to say about it.
    Encrypted(BTreeMap<String, String>),
    Decrypted,
}

impl TransferredBlob {
    /// Returns a blob whose bytes are the source's, or our own.
    pub(crate) fn as_it_is(digest: Digest, size: u64, how: How) -> Self {
        Self {
            digest,
            size,
            how,
            compression: None,
            recoded: false,
            annotations: BTreeMap::new(),
            crypted: Crypted::Keep,
            diff_id: None,
        }
    }

    /// Returns what is known of a layer whose bytes nobody has to see.
    pub(crate) fn of_layer(layer: &LayerPlan) -> Self {
        let size = layer.blob.size.unwrap_or_default();
        Self::as_it_is(layer.blob.digest.clone(), size, How::Present)
    }
}

/// Returns what a blob is packed with after `recode`.
pub(crate) fn result_of(recode: Recode, before: Compression) -> Compression {
    match recode {
        Recode::Keep => before,
        Recode::Decompress { .. } => Compression::Uncompressed,
        Recode::Compress { to } | Recode::Recompress { to, .. } => to.compression(),
    }
}
