//! Writing an image to `docker-archive:`.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::StreamExt;
use skopeo_archive::is_special;
use skopeo_blob::Blob;
use skopeo_image::manifest::docker;
use skopeo_image::number::wide;
use skopeo_image::{Digest, MediaType, RawManifest, Reference, Signature, Which};

use super::existing::Target;
use super::manifest::{MAX_CONFIG, diff_ids};
use super::name::Item;
use super::saving::{Named, Saving};
use super::{DockerArchiveName, SavedImageError, SavingError};
use crate::named::Name;
use crate::probe::Unopened;
use crate::signature_error::SignaturesError;
use crate::tar::{Hold, place};
use crate::{
    Accepts, CommitError, ContentError, Destination, Error, How, ImageName, KeptSignatures,
    LayerForm, Options, Probe, PutManifestError, Role, Stored, Wish, files,
};

const NO_SIGNATURES: &str = "Storing signatures for docker tar files is not supported";

/// Opens a place for an archive: a new file, an archive that another image is added to, or a pipe.
pub(crate) async fn create(
    name: &DockerArchiveName,
    options: &Options,
) -> Result<SavedDestination, Error> {
    if let Item::Index(index) = name.which() {
        return Err(SavingError::IndexInDestination(*index).into());
    }
    let (path, scratch) = (place(name.path())?, options.scratch());
    let hold = Hold::take(&path).await?;
    let saving = files::blocking(move || {
        let Target { place, old } = Target::open(&path, &scratch)?;
        Ok(Saving::for_one(place.create()?, old))
    });
    let saving = saving.await?;
    saving.hold(hold);
    let tags = name.docker_reference().into_iter().chain(&options.docker_archive.additional_tags);
    let tags = tags.cloned().collect();
    let image = ImageName::DockerArchive(name.clone());
    let mut accepts = accepts(form(options));
    if options.docker_archive.compress && !is_special(name.path()) {
        // The size of what stays as it is is known, so that it gets a place of its own.
        accepts.concurrency = files::CONCURRENCY;
    }
    Ok(SavedDestination::new(image, accepts, tags, Arc::new(saving), Rest::Nothing))
}

/// What would be written to an archive.
pub(crate) fn look(image: &ImageName, options: &Options) -> Unopened {
    look_for(image, form(options))
}

/// What would be written to a daemon.
pub(crate) fn look_at_daemon(image: &ImageName) -> Unopened {
    look_for(image, LayerForm::AsIs)
}

fn look_for(image: &ImageName, layers: LayerForm) -> Unopened {
    Unopened { keeps: keeps_manifest, ..Unopened::new(image.clone(), accepts(layers)) }
}

/// The form of the layers in an archive.
fn form(options: &Options) -> LayerForm {
    if options.docker_archive.compress { LayerForm::Compressed } else { LayerForm::Uncompressed }
}

/// What such an archive takes.
pub(super) fn accepts(layers: LayerForm) -> Accepts {
    Accepts {
        manifests: vec![MediaType::DOCKER_MANIFEST],
        layers,
        signatures: KeptSignatures::Nothing(NO_SIGNATURES),
        foreign_layers: false,
        embedded_name: None,
        digest: None,
        // There is one end that layers of unknown size can be written to.
        concurrency: NonZeroUsize::MIN,
    }
}

/// Returns an error for all manifests but those of which the archive is made.
pub(super) fn keeps_manifest(media_type: &MediaType) -> Result<(), PutManifestError> {
    if *media_type == MediaType::DOCKER_MANIFEST {
        return Ok(());
    }
    let source = Some(Box::new(SavingError::ManifestType.into()));
    Err(PutManifestError::TypeRejected { media_type: media_type.clone(), source })
}

/// Whether what is there as this need not come again. A config has to, for what is in it to be
/// known.
pub(super) fn shares(role: Role) -> bool {
    matches!(role, Role::Layer(_))
}

/// An archive that an image is written to.
#[derive(Debug)]
pub(crate) struct SavedDestination {
    name: ImageName,
    accepts: Accepts,
    tags: Vec<Reference>,
    saving: Arc<Saving>,
    rest: Rest,
    config: Mutex<Option<(Digest, Bytes)>>,
    manifest: Mutex<Option<RawManifest>>,
}

/// What is written to the archive beside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: it ends with the image.
    Nothing,
    /// Others, and somebody else ends it.
    Others,
}

impl SavedDestination {
    pub(crate) fn new(
        name: ImageName,
        accepts: Accepts,
        tags: Vec<Reference>,
        saving: Arc<Saving>,
        rest: Rest,
    ) -> Self {
        let (config, manifest) = (Mutex::default(), Mutex::default());
        Self { name, accepts, tags, saving, rest, config, manifest }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Probe for SavedDestination {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn equals(&self, manifest: &RawManifest) -> Result<Option<Digest>, Error> {
        self.saving.equals(&self.tags, manifest).await
    }

    fn pool(&self) -> Option<String> {
        self.saving.pool()
    }

    fn shares(&self, role: Role) -> bool {
        shares(role)
    }

    fn keeps_manifest(&self, media_type: &MediaType) -> Result<(), PutManifestError> {
        keeps_manifest(media_type)
    }
}

#[async_trait]
impl Destination for SavedDestination {
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        let digest = &wish.blob.digest;
        let size = if shares(wish.role) { self.saving.size(digest).await? } else { None };
        let size = size.filter(|size| wish.blob.size.is_none_or(|wanted| wanted == *size));
        Ok(size.map(|size| Stored { digest: digest.clone(), size, how: How::Present }))
    }

    async fn put_blob(&self, blob: Blob, role: Role) -> Result<Stored, Error> {
        if let Role::Layer(_) = role {
            return self.saving.put_layer(blob).await;
        }
        let (digest, bytes) = in_memory(blob).await?;
        self.saving.put_config(&digest, &bytes).await?;
        let size = wide(bytes.len());
        *lock(&self.config) = Some((digest.clone(), bytes));
        Ok(Stored { digest, size, how: How::Moved })
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        if *which != Which::Top {
            return Err(Error::from(SavingError::NoLists).into());
        }
        keeps_manifest(&manifest.media_type)?;
        *lock(&self.manifest) = Some(manifest.clone());
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], _which: &Which) -> Result<(), Error> {
        if signatures.is_empty() {
            Ok(())
        } else {
            Err(SignaturesError::Unsupported(NO_SIGNATURES).into())
        }
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        let (put, config) = (lock(&self.manifest).take(), lock(&self.config).take());
        if put.as_ref() != Some(top) {
            return Err(CommitError::NothingToCommit.into());
        }
        let manifest = docker::Manifest::parse(&top.bytes)?;
        let (digest, config) = config
            .filter(|(digest, _)| *digest == manifest.config.digest)
            .ok_or(CommitError::NothingToCommit)?;
        let layers: Vec<Digest> = manifest.layers.into_iter().map(|layer| layer.digest).collect();
        for layer in &layers {
            if self.saving.size(layer).await?.is_none() {
                return Err(CommitError::Vanished(layer.clone()).into());
            }
        }
        if self.accepts.layers == LayerForm::Uncompressed {
            let is_packed = |layer: &Digest| self.saving.is_packed(layer);
            check_layers(&layers, &digest, &config, is_packed)?;
        }
        let mut tags: Vec<String> = Vec::new();
        for tag in self.tags.iter().map(ToString::to_string) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let config = (&digest, &config);
        self.saving.name(Named { config, layers: &layers, tags, parent: None }).await?;
        match self.rest {
            Rest::Nothing => self.saving.finish().await,
            Rest::Others => Ok(()),
        }
    }
}

/// Returns an error if the layers are not those that the config names: others would be under their
/// names in the archive. A layer that stays packed has the name of its blob. A config that names no
/// layers is none of an image that could be run.
fn check_layers(
    layers: &[Digest],
    digest: &Digest,
    config: &[u8],
    is_packed: impl Fn(&Digest) -> bool,
) -> Result<(), SavedImageError> {
    let expected = match diff_ids(config, digest.as_str()) {
        Ok(expected) => expected,
        // It is looked at when the folders of its layers are written.
        Err(SavedImageError::NoRootFs(_) | SavedImageError::Config { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    if layers.len() != expected.len() {
        let (manifest, config) = (layers.len(), expected.len());
        return Err(SavedImageError::LayerCount { manifest, config });
    }
    for (at, (actual, expected)) in layers.iter().zip(expected).enumerate() {
        if *actual != expected && !is_packed(actual) {
            return Err(SavedImageError::OtherLayer { at, actual: actual.clone(), expected });
        }
    }
    Ok(())
}

/// All of a config, which is small.
async fn in_memory(blob: Blob) -> Result<(Digest, Bytes), Error> {
    let digest = blob.digest().cloned();
    let mut stream = blob.into_stream();
    let mut bytes = BytesMut::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
        let size = wide(bytes.len());
        if size > MAX_CONFIG {
            let digest = digest.unwrap_or_else(|| Digest::sha256(&bytes));
            return Err(ContentError::BlobTooLarge { digest, size, limit: MAX_CONFIG }.into());
        }
    }
    let bytes = bytes.freeze();
    Ok((digest.unwrap_or_else(|| Digest::sha256(&bytes)), bytes))
}
