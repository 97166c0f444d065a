//! A few blobs at a time.

mod blob;

use std::num::NonZeroUsize;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, TryStreamExt};
use skopeo_image::{Descriptor, Digest};
use skopeo_transport::Role;

use crate::event::BlobKind;
use crate::item::{Item, TransferredBlob};
use crate::job::{Execution, Job};
use crate::plan::{ImagePlan, Wanted};
use crate::{BlobEvent, Error, Event, WriteError};

/// What has come of an image's blobs.
#[derive(Debug)]
pub(crate) struct TransferredBlobs {
    /// One for each layer.
    pub(crate) layers: Vec<TransferredBlob>,
    /// The config's bytes, where the manifest cannot be written without them.
    pub(crate) config: Option<Bytes>,
}

enum Part {
    Layer(usize, TransferredBlob),
    Config(Option<Bytes>),
}

/// Transfers all blobs of an image, with what else its plan needs of them. The first error stops all.
/// The config may have been read already.
pub(crate) async fn transfer(
    run: Execution<'_>,
    plan: &ImagePlan,
    config: Option<&Bytes>,
) -> Result<TransferredBlobs, Error> {
    begin(run).await?;
    let mut work: Vec<BoxFuture<'_, Result<Part, Error>>> = Vec::new();
    for (at, layer) in plan.layers.iter().enumerate() {
        if layer.wanted == Wanted::Elsewhere {
            continue;
        }
        emit_started(run.job, &layer.blob.digest, layer.blob.size, BlobKind::Layer);
        let item = Item::layer(plan, at, layer);
        work.push(Box::pin(async move { Ok(Part::Layer(at, run.transfer(&item).await?)) }));
    }
    if let Some(blob) = &plan.config {
        work.push(Box::pin(transfer_config(run, plan, blob, config)));
    }
    let elsewhere = |layer: &_| TransferredBlob::of_layer(layer);
    let mut layers: Vec<TransferredBlob> = plan.layers.iter().map(elsewhere).collect();
    let mut config = None;
    let mut take = |part| match part {
        Part::Layer(at, transferred) => {
            if let Some(layer) = layers.get_mut(at) {
                *layer = transferred;
            }
        }
        Part::Config(bytes) => config = bytes,
    };
    if run.job.destination.accepts().concurrency == NonZeroUsize::MIN {
        // A place that takes one after the other may need what is below a layer before it comes.
        for one in work {
            take(one.await?);
        }
    } else {
        // All are in flight at once: what they wait for is a permit, and before that nothing.
        let mut work: FuturesUnordered<_> = work.into_iter().collect();
        while let Some(part) = work.try_next().await? {
            take(part);
        }
    }
    Ok(TransferredBlobs { layers, config })
}

/// Transfers the config, or reads it only where another is going to be made of it.
async fn transfer_config(
    run: Execution<'_>,
    plan: &ImagePlan,
    blob: &Descriptor,
    read: Option<&Bytes>,
) -> Result<Part, Error> {
    if !plan.keeps_type() {
        let bytes = match read {
            Some(bytes) => bytes.clone(),
            None => run.job.read_config(blob).await?,
        };
        return Ok(Part::Config(Some(bytes)));
    }
    emit_started(run.job, &blob.digest, blob.size, BlobKind::Config);
    match read {
        Some(bytes) => run.put_bytes(blob, bytes, Role::Config).await?,
        None => _ = run.transfer(&Item::config(blob)).await?,
    }
    Ok(Part::Config(None))
}

/// Waits for the right to begin, and prepares the destination.
pub(crate) async fn begin(run: Execution<'_>) -> Result<(), Error> {
    run.job.scheduler.begin().await;
    // Before any lock of ours is taken: others may hold the place, and wait for what we hold.
    run.destination.begin().await.map_err(|error| Error::Write(WriteError::Begin(error.into())))
}

pub(crate) fn emit_started(job: &Job<'_>, digest: &Digest, size: Option<u64>, kind: BlobKind) {
    job.session.emit(Event::Blob(BlobEvent::Started { digest: digest.clone(), size, kind }));
}
