//! A few blobs at a time.

mod blob;
mod once;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, TryStreamExt};
use skopeo_image::Digest;
use skopeo_transport::{How, Role};

use crate::event::BlobKind;
use crate::plan::{ImagePlan, LayerPlan, Wanted};
use crate::{Error, Event, Job};

pub(crate) use blob::{Crypted, Item, Moved};
pub(crate) use once::Once;

/// What has come of an image's blobs.
#[derive(Debug)]
pub(crate) struct Transferred {
    /// One for each layer.
    pub(crate) layers: Vec<Moved>,
    /// The config's bytes, where the manifest cannot be written without them.
    pub(crate) config: Option<Bytes>,
}

enum Came {
    Layer(usize, Moved),
    Config(Option<Bytes>),
}

/// Brings all blobs of an image, with what else its plan needs of them. The first error stops all.
pub(crate) async fn transfer(job: &Job<'_>, plan: &ImagePlan) -> Result<Transferred, Error> {
    job.begin().await;
    // Before any lock of ours is taken: others may hold the place, and wait for what we hold.
    job.writer().begin().await.map_err(|error| Error::Begin(error.into()))?;
    // All are in flight at once: what they wait for is a permit, and before that nothing.
    let mut work: FuturesUnordered<BoxFuture<'_, Result<Came, Error>>> = FuturesUnordered::new();
    for (at, layer) in plan.layers.iter().enumerate() {
        if layer.wanted == Wanted::Elsewhere {
            continue;
        }
        tell_started(job, &layer.blob.digest, layer.blob.size, BlobKind::Layer);
        let item = item(plan, at, layer);
        work.push(Box::pin(async move { Ok(Came::Layer(at, job.bring(&item).await?)) }));
    }
    if let Some(config) = &plan.config {
        if plan.keeps_type() {
            tell_started(job, &config.digest, config.size, BlobKind::Config);
            let item = Item::config(config);
            work.push(Box::pin(async move {
                job.bring(&item).await?;
                Ok(Came::Config(None))
            }));
        } else {
            work.push(Box::pin(
                async move { Ok(Came::Config(Some(job.read_config(config).await?))) },
            ));
        }
    }
    let mut layers: Vec<Option<Moved>> = plan.layers.iter().map(stays).collect();
    let mut config = None;
    while let Some(came) = work.try_next().await? {
        match came {
            Came::Layer(at, moved) => {
                if let Some(layer) = layers.get_mut(at) {
                    *layer = Some(moved);
                }
            }
            Came::Config(bytes) => config = bytes,
        }
    }
    let layers = layers.into_iter().flatten().collect();
    Ok(Transferred { layers, config })
}

pub(crate) fn tell_started(job: &Job<'_>, digest: &Digest, size: Option<u64>, kind: BlobKind) {
    job.session.tell(Event::BlobStarted { digest: digest.clone(), size, kind });
}

/// What is to be done with a layer.
pub(crate) fn item(plan: &ImagePlan, at: usize, layer: &LayerPlan) -> Item {
    Item {
        blob: layer.blob.clone(),
        role: Role::Layer(at),
        wanted: layer.wanted,
        crypt: layer.crypt,
        diff_ids: plan.diff_ids,
        only: plan.only,
    }
}

/// What is known of a layer that no bytes are moved of.
fn stays(layer: &LayerPlan) -> Option<Moved> {
    (layer.wanted == Wanted::Elsewhere).then(|| Moved {
        digest: layer.blob.digest.clone(),
        size: layer.blob.size.unwrap_or_default(),
        how: How::Present,
        compression: None,
        recoded: false,
        annotations: BTreeMap::new(),
        crypted: Crypted::Keep,
        diff_id: None,
    })
}
