//! Each digest once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use skopeo_blob::Recode;
use skopeo_image::{Descriptor, Digest};
use tokio::sync::OnceCell;

use super::blob::Moved;
use crate::Error;
use crate::plan::{self, Crypt, DiffIds, Wanted};

/// What makes two blobs of an image, or of several, the same work.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) digest: Digest,
    /// Who says another size speaks of another blob: of one of the two there is none.
    pub(super) size: Option<u64>,
    pub(super) wanted: Wanted,
    pub(super) hashed: bool,
    pub(super) crypt: Crypt,
}

impl Key {
    pub(super) fn new(blob: &Descriptor, wanted: Wanted, diff_ids: DiffIds) -> Self {
        // A layer that is packed as one asks for is the very blob that another takes as it is.
        let declared = blob.media_type.compression();
        let wanted = match (wanted, declared) {
            (Wanted::Packed(_) | Wanted::Exactly(_), Some(declared))
                if plan::recode(declared, wanted) == Recode::Keep =>
            {
                Wanted::AsIs
            }
            _ => wanted,
        };
        let hashed = diff_ids == DiffIds::Needed;
        let (digest, size) = (blob.digest.clone(), blob.size);
        Self { digest, size, wanted, hashed, crypt: Crypt::Keep }
    }
}

/// The blobs that went to one destination, or are on their way.
#[derive(Debug, Default)]
pub(crate) struct Once(Mutex<HashMap<Key, Arc<OnceCell<Moved>>>>);

impl Once {
    /// What `work` gives for the first who asks; the others wait for that. Where it fails or is
    /// dropped, the next in line does it.
    pub(super) async fn get<F>(&self, key: Key, work: impl FnOnce() -> F) -> Result<Moved, Error>
    where
        F: Future<Output = Result<Moved, Error>>,
    {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            cells.entry(key).or_default().clone()
        };
        cell.get_or_try_init(work).await.cloned()
    }
}
