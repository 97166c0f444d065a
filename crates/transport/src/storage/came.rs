//! A layer on its way into a store.

use std::sync::Arc;

use fs_err::File;
use skopeo_storage::Layer;

use super::packed::Packed;
use super::shared::Shared;

/// How a layer came.
#[derive(Debug)]
pub(super) enum Came {
    /// It is unpacked, where layers lie on each other onto what is below it.
    Staged(Arc<Shared>),
    /// Another image of the run has unpacked it onto another layer.
    Elsewhere(Arc<Shared>),
    /// It waits for what it lies on, in a file.
    Spooled(File, Packed),
    /// It is in the store, maybe on another one.
    There(Box<Layer>),
}

impl Came {
    /// The length in bytes of the blob that it came as; `None` of what was there.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Staged(shared) | Self::Elsewhere(shared) => Some(shared.packed.size),
            Self::Spooled(_, packed) => Some(packed.size),
            Self::There(_) => None,
        }
    }
}
