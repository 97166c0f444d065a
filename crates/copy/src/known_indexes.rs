//! The lists that were read: who has a digest from the source's own word need not read the list of
//! that digest again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use skopeo_image::{Digest, RawManifest};

/// Lists by their digests, those of earlier runs too if they were [added](Self::add). Each is what
/// its digest says, whoever added it.
#[derive(Debug, Default)]
pub struct KnownIndexes(Mutex<HashMap<Digest, Known>>);

#[derive(Debug)]
struct Known {
    index: RawManifest,
    /// Whether this run has had to do with it.
    used: bool,
}

impl KnownIndexes {
    /// Adds an index that was read before. Another manifest is ignored.
    pub fn add(&self, bytes: Bytes) {
        let index = RawManifest::new(None, bytes);
        if !index.media_type.is_index() {
            return;
        }
        if let Ok(digest) = index.digest() {
            self.known().entry(digest).or_insert(Known { index, used: false });
        }
    }

    /// Returns all of them: the bytes, and whether this run has used them.
    #[must_use]
    pub fn all(&self) -> Vec<(Digest, Bytes, bool)> {
        let known = self.known();
        let all = known.iter();
        all.map(|(digest, it)| (digest.clone(), it.index.bytes.clone(), it.used)).collect()
    }

    /// The list of that digest.
    pub(crate) fn get(&self, digest: &Digest) -> Option<RawManifest> {
        let mut known = self.known();
        let found = known.get_mut(digest)?;
        found.used = true;
        Some(found.index.clone())
    }

    /// Keeps an index that was read, if its bytes say themselves what it is.
    pub(crate) fn learn(&self, manifest: &RawManifest) {
        if !manifest.media_type.is_index()
            || RawManifest::new(None, manifest.bytes.clone()).media_type != manifest.media_type
        {
            return;
        }
        if let Ok(digest) = manifest.digest() {
            self.known().insert(digest, Known { index: manifest.clone(), used: true });
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
