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
    /// It waits for what it lies on, in a file.
    Spooled(File, Packed),
    /// It is in the store, maybe on another one.
    There(Box<Layer>),
}
