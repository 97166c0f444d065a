//! Writing `docker-archive:`.
//!
//! The archive is written beside its place, once, from its beginning to its end: layers as they
//! come, their names and sizes put before them when they are known. If there is an archive already,
//! its images go first, and what they have of the new one is not stored again.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::StreamExt;
use skopeo_blob::Blob;
use skopeo_image::manifest::docker;
use skopeo_image::{Digest, MediaType, RawManifest, Reference, Signature, Which, go_json};
use tokio::sync::OnceCell;

use super::existing::{Old, Target};
use super::legacy::{self, REPOSITORIES, Repositories};
use super::manifest::{MANIFEST, MAX_CONFIG, SavedItem};
use super::name::Item;
use super::{DockerArchiveName, SavedError};
use crate::glance::{Glance, Unseen};
use crate::name::Name;
use crate::tar::{Entry, Writer};
use crate::{
    Accepts, Destination, Error, How, ImageName, LayerForm, Options, PutManifestError, Role,
    Stored, Wish, files,
};

const NO_SIGNATURES: &str = "Storing signatures for docker tar files is not supported";

/// Opens a place for an archive: a new file, an archive that another image is added to, or a pipe.
pub(crate) async fn create(
    name: &DockerArchiveName,
    options: &Options,
) -> Result<SavedDestination, Error> {
    if let Item::Index(index) = name.which() {
        return Err(SavedError::IndexInDestination(*index).into());
    }
    let (path, tmpdir) = (name.path().to_owned(), options.tmpdir.clone());
    let Target { writer, old } = files::blocking(move || Target::open(&path, &tmpdir)).await?;
    let tags = name.docker_reference().into_iter().chain(&options.docker_archive.additional_tags);
    let tags = tags.cloned().collect();
    let image = ImageName::DockerArchive(name.clone());
    Ok(SavedDestination::new(image, writer, tags, old, LayerForm::Uncompressed))
}

/// What would be written to an archive, or a daemon.
pub(crate) fn look(image: &ImageName, layers: LayerForm) -> Glance<Unseen> {
    Glance { name: image.clone(), accepts: accepts(layers), sight: Unseen }
}

/// What such an archive takes.
fn accepts(layers: LayerForm) -> Accepts {
    Accepts {
        manifests: vec![MediaType::DOCKER_MANIFEST],
        layers,
        signatures: Err(NO_SIGNATURES),
        foreign_layers: false,
        embedded_name: None,
        digest: None,
        // There is one end that layers of unknown size can be written to.
        concurrency: NonZeroUsize::MIN,
    }
}

/// An archive that an image is written to.
#[derive(Debug)]
pub(crate) struct SavedDestination {
    name: ImageName,
    accepts: Accepts,
    tags: Vec<Reference>,
    writer: Writer,
    old: Option<Old>,
    /// Whether what was there has been taken over.
    begun: OnceCell<()>,
    content: Mutex<Content>,
}

/// What is in the archive so far.
#[derive(Debug, Default)]
struct Content {
    /// The layers, and their sizes in bytes.
    layers: BTreeMap<Digest, u64>,
    configs: HashSet<Digest>,
    folders: HashSet<String>,
    images: Vec<Kept>,
    /// Of the new image.
    config: Option<(Digest, Bytes)>,
    manifest: Option<RawManifest>,
}

/// An image that is in the archive.
#[derive(Debug)]
struct Kept {
    item: SavedItem,
    /// The folder of its top layer, if it has layers.
    top: Option<String>,
}

impl SavedDestination {
    pub(crate) fn new(
        name: ImageName,
        writer: Writer,
        tags: Vec<Reference>,
        old: Option<Old>,
        layers: LayerForm,
    ) -> Self {
        let accepts = accepts(layers);
        let (begun, content) = (OnceCell::new(), Mutex::default());
        Self { name, accepts, tags, writer, old, begun, content }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the images that are there, each layer verified.
    async fn begin(&self) -> Result<(), Error> {
        let begin = || async {
            let Some(Old { saved, .. }) = &self.old else { return Ok(()) };
            let saved = saved.clone();
            for at in 0..saved.items().len() {
                let shared = saved.clone();
                let image = files::blocking(move || shared.image(&shared.items()[at])).await?;
                for digest in &image.diff_ids {
                    if let Some(layer) = image.layer(digest)?
                        && !self.content().layers.contains_key(digest)
                    {
                        self.put_layer(layer.expect(digest, None)).await?;
                    }
                }
                let tags = saved.items()[at].tags().to_vec();
                let parent = saved.items()[at].parent.clone();
                self.put_config(&image.config_digest, &image.config).await?;
                self.add(&image.config_digest, &image.config, &image.diff_ids, tags, parent)
                    .await?;
            }
            Ok(())
        };
        self.begun.get_or_try_init(begin).await.copied()
    }

    async fn put_layer(&self, blob: Blob) -> Result<Stored, Error> {
        let name = |digest: &Digest| {
            (!self.content().layers.contains_key(digest)).then(|| layer_path(digest))
        };
        let (digest, size) = self.writer.put_blob(blob, name).await?;
        self.content().layers.insert(digest.clone(), size);
        Ok(Stored { digest, size, how: How::Moved })
    }

    async fn put_config(&self, digest: &Digest, bytes: &Bytes) -> Result<(), Error> {
        if self.content().configs.contains(digest) {
            return Ok(());
        }
        let entry = Entry::File { name: config_path(digest), bytes: bytes.to_vec() };
        self.writer.put(&[entry]).await?;
        self.content().configs.insert(digest.clone());
        Ok(())
    }

    /// Writes the folders of an image that is there, and notes its place in the lists.
    async fn add(
        &self,
        digest: &Digest,
        config: &[u8],
        layers: &[Digest],
        tags: Vec<String>,
        parent: Option<String>,
    ) -> Result<(), Error> {
        let placed: Vec<_> =
            layers.iter().map(|digest| (digest.clone(), layer_path(digest))).collect();
        let folders = legacy::folders(&placed, config)?;
        for (name, entries) in &folders {
            if self.content().folders.insert(name.clone()) {
                self.writer.put(entries).await?;
            }
        }
        let paths: Vec<String> = placed.into_iter().map(|(_, path)| path).collect();
        let config = config_path(digest);
        let mut content = self.content();
        let same = |kept: &&mut Kept| kept.item.config == config;
        if let Some(kept) = content.images.iter_mut().find(same) {
            let known = kept.item.repo_tags.get_or_insert_default();
            known.extend(tags);
            return Ok(());
        }
        let item = SavedItem {
            config,
            repo_tags: Some(tags),
            layers: Some(paths),
            parent,
            layer_sources: None,
        };
        let top = folders.into_iter().next_back().map(|(name, _)| name);
        content.images.push(Kept { item, top });
        Ok(())
    }

    /// Takes the tags of the new image from those that have them.
    fn untag(&self) {
        for kept in &mut self.content().images {
            if let Some(tags) = &mut kept.item.repo_tags {
                tags.retain(|tag| {
                    !Reference::parse_normalized(tag).is_ok_and(|tag| self.tags.contains(&tag))
                });
            }
        }
    }

    /// What tells the images apart, at the end of the archive.
    async fn put_lists(&self) -> Result<(), Error> {
        let entries = {
            let content = self.content();
            let items: Vec<&SavedItem> = content.images.iter().map(|kept| &kept.item).collect();
            let mut repositories = Repositories::new();
            for Kept { item, top } in &content.images {
                let Some(top) = top else { continue };
                let tags = item.tags().iter().map(|tag| Reference::parse_normalized(tag));
                for tag in tags.filter_map(Result::ok) {
                    legacy::tag(&mut repositories, &tag, top);
                }
            }
            let file = |name: &str, bytes| Entry::File { name: name.to_owned(), bytes };
            [
                file(MANIFEST, go_json::to_vec(&items)?),
                file(REPOSITORIES, go_json::to_vec(&repositories)?),
            ]
        };
        self.writer.put(&entries).await
    }
}

#[async_trait]
impl Destination for SavedDestination {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        self.begin().await?;
        let digest = &wish.blob.digest;
        // A config is needed, to know what is in it.
        let size = match wish.role {
            Role::Config => None,
            Role::Layer(_) => self.content().layers.get(digest).copied(),
        };
        let size = size.filter(|size| wish.blob.size.is_none_or(|wanted| wanted == *size));
        Ok(size.map(|size| Stored { digest: digest.clone(), size, how: How::Present }))
    }

    async fn put_blob(&self, blob: Blob, role: Role) -> Result<Stored, Error> {
        self.begin().await?;
        if let Role::Layer(_) = role {
            return self.put_layer(blob).await;
        }
        let (digest, bytes) = in_memory(blob).await?;
        self.put_config(&digest, &bytes).await?;
        let size = bytes.len() as u64;
        self.content().config = Some((digest.clone(), bytes));
        Ok(Stored { digest, size, how: How::Moved })
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        if *which != Which::Top {
            return Err(Error::from(SavedError::NoLists).into());
        }
        if manifest.media_type != MediaType::DOCKER_MANIFEST {
            let source = Some(Box::new(SavedError::ManifestType.into()));
            let media_type = manifest.media_type.clone();
            return Err(PutManifestError::TypeRejected { media_type, source });
        }
        self.content().manifest = Some(manifest.clone());
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], _which: &Which) -> Result<(), Error> {
        if signatures.is_empty() { Ok(()) } else { Err(Error::NoSignatures(NO_SIGNATURES)) }
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        self.begin().await?;
        let (put, config) = {
            let mut content = self.content();
            (content.manifest.take(), content.config.take())
        };
        if put.as_ref() != Some(top) {
            return Err(Error::NothingToCommit);
        }
        let manifest = docker::Manifest::parse(&top.bytes)?;
        let (digest, config) = config
            .filter(|(digest, _)| *digest == manifest.config.digest)
            .ok_or(Error::NothingToCommit)?;
        let layers: Vec<Digest> = manifest.layers.into_iter().map(|layer| layer.digest).collect();
        if let Some(missing) = layers.iter().find(|it| !self.content().layers.contains_key(*it)) {
            return Err(Error::Vanished(missing.clone()));
        }
        self.untag();
        let mut tags: Vec<String> = Vec::new();
        for tag in self.tags.iter().map(ToString::to_string) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        self.add(&digest, &config, &layers, tags, None).await?;
        self.put_lists().await?;
        self.writer.finish().await
    }
}

/// All of a config, which is small.
async fn in_memory(blob: Blob) -> Result<(Digest, Bytes), Error> {
    let digest = blob.digest().cloned();
    let mut stream = blob.into_stream();
    let mut bytes = BytesMut::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
        let size = bytes.len() as u64;
        if size > MAX_CONFIG {
            let digest = digest.unwrap_or_else(|| Digest::sha256(&bytes));
            return Err(Error::BlobTooLarge { digest, size, limit: MAX_CONFIG });
        }
    }
    let bytes = bytes.freeze();
    Ok((digest.unwrap_or_else(|| Digest::sha256(&bytes)), bytes))
}

/// Where a layer is in the archives we write.
fn layer_path(digest: &Digest) -> String {
    format!("{}.tar", digest.hex())
}

/// Where a config is in the archives we write.
fn config_path(digest: &Digest) -> String {
    format!("{}.json", digest.hex())
}
