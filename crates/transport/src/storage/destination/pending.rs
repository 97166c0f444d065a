//! What has come for an image.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use skopeo_image::number::wide;
use skopeo_image::{Digest, RawManifest};
use skopeo_storage::{Below, Store, layer_id};

use crate::storage::came::Came;
use crate::storage::signatures::Metadata;
use crate::{How, Role, Stored, Wish, files};

/// What has come.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) layers: HashMap<Digest, Came>,
    /// Which blob is which layer, as far as that was told.
    pub(super) order: BTreeMap<usize, Digest>,
    pub(super) configs: HashMap<Digest, Bytes>,
    pub(super) manifest: Option<RawManifest>,
    pub(super) origin: Option<RawManifest>,
    pub(super) metadata: Metadata,
    pub(super) signatures: Vec<(String, Vec<u8>)>,
}

impl Pending {
    /// A blob that has come for this very image.
    pub(super) fn came(&self, wish: &Wish<'_>) -> Option<Stored> {
        let digest = wish.blob.digest.clone();
        let size = match wish.role {
            Role::Config => wide(self.configs.get(&digest)?.len()),
            Role::Layer(_) => self.layers.get(&digest)?.size()?,
        };
        files::is_wished(size, wish).then_some(Stored { digest, size, how: How::Present })
    }

    /// What the layer at this place lies on, if all that is below it has come.
    pub(super) fn below(
        &self,
        at: usize,
        store: &Store,
    ) -> Result<Option<Below>, skopeo_storage::Error> {
        let mut below = Below::Nothing;
        for place in 0..at {
            let Some(digest) = self.order.get(&place) else { return Ok(None) };
            let next = match self.layers.get(digest) {
                // The same layer a second time lies on something else.
                Some(Came::Staged(shared)) if self.first(digest) == Some(place) => {
                    Some(shared.below())
                }
                Some(Came::There(layer)) => match &layer.diff_digest {
                    Some(diff) => {
                        let there = store.layer(&layer_id(below.id(), diff))?;
                        there.map(|layer| Below::Layer(layer.id))
                    }
                    None => None,
                },
                Some(Came::Staged(_) | Came::Elsewhere(_) | Came::Spooled(..)) | None => None,
            };
            let Some(next) = next else { return Ok(None) };
            below = next;
        }
        Ok(Some(below))
    }

    /// The first layer that is this blob.
    pub(super) fn first(&self, digest: &Digest) -> Option<usize> {
        self.order.iter().find(|(_, it)| *it == digest).map(|(place, _)| *place)
    }
}
