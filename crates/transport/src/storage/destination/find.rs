//! Looks for layers that a store has, or that another image or program brings.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use skopeo_image::Digest;
use skopeo_storage::{Claimed, Layer};
use tracing::debug;

use super::StorageDestination;
use crate::storage::came::Came;
use crate::storage::shared::{HeldClaim, Shared};
use crate::storage::{StorageError, opened};
use crate::{Error, Role, Wish, files};

/// How often it is looked whether another program has brought a layer.
const PAUSE: Duration = Duration::from_millis(100);

/// How long another program is waited for, which may have stopped.
const PATIENCE: Duration = Duration::from_mins(10);

impl StorageDestination {
    /// A layer that another image of the run has unpacked, and that is not in the store yet.
    pub(super) async fn find_staged(&self, wish: &Wish<'_>) -> Result<Option<Came>, Error> {
        let Role::Layer(at) = wish.role else { return Ok(None) };
        // What is unpacked onto another layer is its image's alone until it is in the store.
        if self.store.stages_onto_parents() {
            return Ok(None);
        }
        let digest = &wish.blob.digest;
        let below = self.below(at).await?;
        let same = below.and_then(|below| self.run.find(&self.pool, digest, below.id()));
        let is_wished = |shared: &Arc<Shared>| files::is_wished(shared.packed.size, wish);
        if let Some(shared) = same.filter(is_wished) {
            return Ok(Some(Came::Staged(shared)));
        }
        let other = self.run.find_elsewhere(&self.pool, digest).filter(is_wished);
        Ok(other.map(Came::Elsewhere))
    }

    /// Asks for the right to bring a layer, and waits while another process does that, unless that
    /// one may wait for a layer that we bring. Returns whether it has waited.
    pub(super) async fn claim(&self, wish: &Wish<'_>) -> Result<bool, Error> {
        let digest = &wish.blob.digest;
        let begun = Instant::now();
        let mut waited = false;
        loop {
            if self.is_decided(digest, begun)? {
                return Ok(waited);
            }
            if !waited {
                debug!("waiting for layer {digest}, which another program brings");
            }
            waited = true;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns whether a layer need not be waited for any longer: we bring it, or have to.
    pub(super) fn is_decided(&self, digest: &Digest, begun: Instant) -> Result<bool, Error> {
        let claimed = self.store.claim(digest).map_err(StorageError::Store)?;
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match claimed {
            Claimed::Now(claim) => {
                let held = HeldClaim::new(&self.run, &self.pool, digest, claim);
                claims.insert(digest.clone(), held);
                true
            }
            // It is there when an image gets into the store, maybe this one.
            Claimed::Here => true,
            // Of two that wait for each other each would have to wait for a greater one.
            Claimed::Elsewhere => {
                let waits = self.run.holds_only_smaller(&self.pool, digest);
                !waits || begun.elapsed() >= PATIENCE
            }
        })
    }

    /// A layer of the store that a blob would become.
    pub(super) async fn find(&self, wish: &Wish<'_>) -> Result<Option<Layer>, Error> {
        let Role::Layer(_) = wish.role else { return Ok(None) };
        let (store, digest, size) = (self.store.clone(), wish.blob.digest.clone(), wish.blob.size);
        files::blocking(move || {
            let by_diff = store.layers_by_diff_digest(&digest).map_err(StorageError::Store)?;
            let is_same = |size_there: Option<u64>| match (size, size_there) {
                (Some(wanted), Some(there)) => wanted == there,
                _ => true,
            };
            if let Some(found) = by_diff.into_iter().find(|layer| is_same(layer.diff_size)) {
                return Ok(Some(found));
            }
            let packed = store.layers_by_compressed_digest(&digest).map_err(StorageError::Store)?;
            let mut packed = packed.into_iter();
            Ok(packed.find(|layer| layer.diff_digest.is_some() && is_same(layer.compressed_size)))
        })
        .await
    }

    /// The image that the name leads to now, if it is under that very name.
    pub(super) async fn named(&self) -> Result<Option<skopeo_storage::Image>, Error> {
        let Some(reference) = self.name.reference().map(ToString::to_string) else {
            return Ok(None);
        };
        let id = self.name.id().map(str::to_owned);
        let (store, name, platforms) =
            (self.store.clone(), self.name.clone(), self.platforms.clone());
        files::blocking(move || match opened::resolve(&store, &name, &platforms) {
            Ok(image) => {
                let is_named = image.names.contains(&reference) && !image.read_only;
                Ok(Some(image).filter(|image| is_named && id.is_none_or(|id| image.id == id)))
            }
            Err(_) => Ok(None),
        })
        .await
    }
}
