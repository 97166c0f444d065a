//! The order of writing: config, manifest, signatures. The name is given last, by `copy`.

use std::collections::BTreeMap;

use bytes::Bytes;
use skopeo_image::number::wide;
use skopeo_image::{
    Classify as _, Compression, Converted, Descriptor, Digest, ErrorClass, MediaType, RawManifest,
    Signature, Which,
};
use skopeo_transport::{PutManifestError, Role};
use tracing::debug;

use crate::admit::digest_of;
use crate::assemble::{self, Assembled, Written, warn_of_size};
use crate::decide::{ImageDecision, IndexDecision, Position};
use crate::error::sentence;
use crate::event::BlobKind;
use crate::item::Item;
use crate::job::{Execution, Job};
use crate::plan::ImagePlan;
use crate::transfer::{self, TransferredBlobs};
use crate::{Error, Event, ImageEvent, IndexEvent, WriteError};

/// Writes an image whose layers are there.
pub(crate) async fn write_image(
    run: Execution<'_>,
    image: &ImageDecision,
    mut transferred: TransferredBlobs,
) -> Result<Written, Error> {
    let ImageDecision { admitted, plan, position, .. } = image;
    let mut attempts = Vec::new();
    let mut transient = false;
    let mut class = None;
    let mut compressions: Vec<Compression> =
        transferred.layers.iter().filter_map(|layer| layer.compression).collect();
    compressions.sort_unstable();
    compressions.dedup();
    for (at, to) in plan.types.iter().enumerate() {
        let original = admitted.manifest();
        let error = match try_type(run, plan, original, &mut transferred, to, position).await {
            Ok((manifest, digest)) => {
                let signatures = run.job.signed(&manifest, &image.signatures).await?;
                store_signatures(run, &signatures, &position.which(&digest)).await?;
                return Ok(Written { manifest, digest, compressions });
            }
            Err(error) => error,
        };
        debug!("writing a manifest of type {to}: {}", sentence(&error));
        if at == 0 && (plan.types.len() == 1 || !another_may_do(&error)) {
            return Err(error);
        }
        transient = error.is_transient();
        class = error.class();
        attempts.push(format!("{to}({})", sentence(&error)));
    }
    Err(Error::Write(WriteError::NoType { attempts: attempts.join(", "), transient, class }))
}

/// Whether the kind of manifest is what is wrong.
fn another_may_do(error: &Error) -> bool {
    match error {
        Error::Write(WriteError::Manifest(error)) => {
            matches!(**error, PutManifestError::TypeRejected { .. })
        }
        Error::Write(WriteError::Convert(error)) => error.is_compression_incompatible(),
        _ => false,
    }
}

async fn try_type(
    run: Execution<'_>,
    plan: &ImagePlan,
    original: &RawManifest,
    transferred: &mut TransferredBlobs,
    to: &MediaType,
    position: &Position,
) -> Result<(RawManifest, Digest), Error> {
    let is_conversion = *to != plan.from;
    if is_conversion && transferred.config.is_none() && assemble::needs_config(&plan.image, to) {
        // The first type did not need it.
        if let Some(config) = &plan.config {
            transferred.config = Some(run.job.read_config(config).await?);
        }
    }
    if assemble::needs_diff_ids(&plan.image, to) {
        for (layer, transferred) in plan.layers.iter().zip(&mut transferred.layers) {
            if transferred.diff_id.is_none() {
                transferred.diff_id = Some(run.job.diff_id(&layer.blob).await?);
            }
        }
    }
    let config = transferred.config.as_deref();
    let assembled = assemble::assemble(plan, original, config, &transferred.layers, to)?;
    let (manifest, digest) = match assembled {
        Assembled::AsItWas(manifest) => {
            put_config(run, plan, transferred.config.as_ref()).await?;
            let digest = match position {
                // The index at the source names it so, by whatever algorithm.
                Position::InIndex(digest) => digest.clone(),
                Position::Top => digest_of(run.job, &manifest)?,
            };
            (manifest, digest)
        }
        Assembled::Changed(Converted { manifest, config, blobs }) => {
            for (digest, bytes) in &blobs {
                let blob = descriptor(MediaType::DOCKER_LAYER_GZIP, digest, bytes);
                run.put_bytes(&blob, bytes, Role::Layer(0)).await?;
            }
            match config {
                Some((digest, bytes)) => {
                    let blob = descriptor(MediaType::default(), &digest, &bytes);
                    transfer::emit_started(run.job, &digest, blob.size, BlobKind::Config);
                    run.put_bytes(&blob, &bytes, Role::Config).await?;
                }
                None if !to.is_schema1() => {
                    put_config(run, plan, transferred.config.as_ref()).await?;
                }
                // Schema 1 has none.
                None => {}
            }
            let digest = digest_of(run.job, &manifest)?;
            (manifest, digest)
        }
    };
    run.job.session.emit(Event::Image(ImageEvent::WritingManifest));
    let put = run.destination.put_manifest(&manifest, &position.which(&digest)).await;
    put.map_err(|error| Error::Write(WriteError::Manifest(error.into())))?;
    Ok((manifest, digest))
}

/// Transfers the source's own config. Where the plan foresaw it, it is there already.
async fn put_config(
    run: Execution<'_>,
    plan: &ImagePlan,
    bytes: Option<&Bytes>,
) -> Result<(), Error> {
    let Some(config) = &plan.config else { return Ok(()) };
    if plan.keeps_type() {
        return Ok(());
    }
    transfer::emit_started(run.job, &config.digest, config.size, BlobKind::Config);
    match bytes {
        Some(bytes) => run.put_bytes(config, bytes, Role::Config).await,
        None => run.transfer(&Item::config(config)).await.map(drop),
    }
}

fn descriptor(media_type: MediaType, digest: &Digest, bytes: &Bytes) -> Descriptor {
    Descriptor {
        media_type,
        digest: digest.clone(),
        size: Some(wide(bytes.len())),
        urls: Vec::new(),
        annotations: BTreeMap::new(),
    }
}

async fn store_signatures(
    run: Execution<'_>,
    signatures: &[Signature],
    which: &Which,
) -> Result<(), Error> {
    if signatures.is_empty() {
        return Ok(());
    }
    run.job.session.emit(Event::Image(ImageEvent::StoringSignatures));
    run.destination
        .put_signatures(signatures, which)
        .await
        .map_err(|error| Error::Write(WriteError::Signatures(error.into())))
}

/// Writes an index whose instances are there.
pub(crate) async fn write_index(
    run: Execution<'_>,
    index: &IndexDecision,
    entries: &[(usize, Written)],
) -> Result<Written, Error> {
    let IndexDecision { plan, position, .. } = index;
    for (at, written) in entries {
        if let Some(instance) = plan.instances.get(*at) {
            warn_of_size(&instance.descriptor, written);
        }
    }
    let host = &run.job.request.host;
    let candidates = assemble::indexes(plan, &index.manifest, entries, host)?;
    run.job.session.emit(Event::Index(IndexEvent::Writing));
    let mut attempts = Vec::new();
    let mut transient = false;
    let mut class = None;
    for manifest in &candidates {
        let digest = match position {
            Position::InIndex(digest) if plan.frozen.is_some() => digest.clone(),
            _ => digest_of(run.job, manifest)?,
        };
        let which = position.which(&digest);
        let error = match run.destination.put_manifest(manifest, &which).await {
            Ok(()) => {
                let signatures = run.job.signed(manifest, &index.signatures).await?;
                run.job.session.emit(Event::Index(IndexEvent::StoringSignatures));
                if !signatures.is_empty() {
                    let put = run.destination.put_signatures(&signatures, &which).await;
                    put.map_err(|error| Error::Write(WriteError::Signatures(error.into())))?;
                }
                let manifest = manifest.clone();
                return Ok(Written { manifest, digest, compressions: Vec::new() });
            }
            Err(error) => error,
        };
        transient = matches!(&error, PutManifestError::Other(error) if error.is_transient());
        class = match &error {
            PutManifestError::Other(error) => error.class(),
            PutManifestError::TypeRejected { .. } => Some(ErrorClass::Unsupported),
        };
        attempts.push(format!("{}({})", manifest.media_type, sentence(&error)));
        // Registries refuse a kind of index in many ways, so the next is tried whatever was said.
        if transient {
            break;
        }
    }
    Err(Error::Write(WriteError::NoIndexType { attempts: attempts.join(", "), transient, class }))
}

/// Tells that what has that digest at the source is written.
pub(crate) fn emit_done(job: &Job<'_>, source: Digest, written: &Written) {
    let (digest, media_type) = (written.digest.clone(), written.manifest.media_type.clone());
    job.session.emit(Event::Image(ImageEvent::Done { source, digest, media_type }));
}
