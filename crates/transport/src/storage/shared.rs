//! Layers that several images of one run want: one of them unpacks a layer, and whichever gets into
//! its store first takes it along.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use skopeo_image::Digest;
use skopeo_storage::{Claim, StagedLayer};

use super::packed::Packed;

/// A store, and a blob.
type Key = (String, Digest);

/// What a run has unpacked and not put into its stores yet, and what other processes wait for.
#[derive(Debug, Default)]
pub(crate) struct StagedLayers {
    layers: Mutex<HashMap<Key, Weak<Shared>>>,
    claims: Mutex<BTreeSet<Key>>,
    /// Whose turn it is to put an image into a store: who takes a layer has put it there before
    /// anybody else looks for it.
    turn: Mutex<()>,
}

/// A layer that is unpacked.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) packed: Packed,
    /// The digest of its tar.
    pub(super) diff: Digest,
    staged: Mutex<Option<StagedLayer>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(staged: StagedLayer, packed: Packed) -> Arc<Self> {
        let diff = staged.diff_digest().clone();
        Arc::new(Self { packed, diff, staged: Mutex::new(Some(staged)) })
    }

    /// The layer, unless an image has taken it along; then it is in the store.
    pub(super) fn take(&self) -> Option<StagedLayer> {
        lock(&self.staged).take()
    }

    /// What looks at the layer that is not in the store yet.
    pub(super) fn staged<T>(&self, look: impl FnOnce(&StagedLayer) -> Option<T>) -> Option<T> {
        lock(&self.staged).as_ref().and_then(look)
    }
}

impl StagedLayers {
    /// Lets other images have a layer for as long as this one has it.
    pub(super) fn offer(&self, pool: &str, layer: &Arc<Shared>) {
        let mut layers = lock(&self.layers);
        layers.retain(|_, layer| layer.strong_count() > 0);
        let key = (pool.to_owned(), layer.packed.digest.clone());
        layers.insert(key, Arc::downgrade(layer));
    }

    /// A layer that another image has unpacked.
    pub(super) fn find(&self, pool: &str, blob: &Digest) -> Option<Arc<Shared>> {
        lock(&self.layers).get(&(pool.to_owned(), blob.clone()))?.upgrade()
    }

    /// Waits until no other image of the run is being put into a store.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    /// Whether all that others may wait for is smaller than this.
    pub(super) fn holds_only_smaller(&self, pool: &str, blob: &Digest) -> bool {
        lock(&self.claims).iter().all(|(at, held)| at != pool || held < blob)
    }
}

/// The right to bring a layer, which all images of the run have to know of: each may have to wait
/// for another.
#[derive(Debug)]
pub(super) struct HeldClaim {
    run: Arc<StagedLayers>,
    key: Key,
    _claim: Claim,
}

impl HeldClaim {
    pub(super) fn new(run: &Arc<StagedLayers>, pool: &str, blob: &Digest, claim: Claim) -> Self {
        let key = (pool.to_owned(), blob.clone());
        lock(&run.claims).insert(key.clone());
        Self { run: run.clone(), key, _claim: claim }
    }
}

impl Drop for HeldClaim {
    fn drop(&mut self) {
        lock(&self.run.claims).remove(&self.key);
    }
}
