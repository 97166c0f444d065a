//! The archive that images are written to, by one or by many at the same time.
//!
//! It is written beside its place, once, from its beginning to its end: layers as they come, their
//! names and sizes put before them when they are known. What is there already is taken over, each
//! layer verified: before a single image is added to it; of many, at the end, but for what they
//! wish for before.

use std::collections::HashSet;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use skopeo_archive::{Entry, TarWriteError, Writer};
use skopeo_blob::Blob;
use skopeo_image::{Compression, Digest, Manifest, RawManifest, Reference, go_json};
use tokio::sync::OnceCell;
use tracing::debug;

use super::existing::{ArchivePlace, Old};
use super::legacy::{self, REPOSITORIES, Repositories};
use super::manifest::{MANIFEST, SavedItem};
use crate::tar::{Hold, Slots};
use crate::{Error, How, Stored, files};

/// An archive that is being written.
#[derive(Debug)]
pub(crate) struct Saving {
    place: ArchivePlace,
    writer: OnceCell<Writer>,
    old: Option<Old>,
    /// Whether what was there has been taken over.
    begun: OnceCell<()>,
    /// The layers that are there.
    layers: Slots,
    configs: Slots,
    /// The layers that stay compressed, because nothing may change.
    packed: Mutex<HashSet<Digest>>,
    /// While it is written.
    hold: Mutex<Option<Hold>>,
    /// What of the folders for old readers is there.
    folders: tokio::sync::Mutex<HashSet<String>>,
    content: Mutex<Content>,
}

/// What else is in the archive so far.
#[derive(Debug, Default)]
struct Content {
    images: Vec<Kept>,
    /// All tags of the images.
    tags: HashSet<Reference>,
}

/// An image that is in the archive.
#[derive(Debug)]
struct Kept {
    item: SavedItem,
    /// The folder of its top layer, if it has layers.
    top: Option<String>,
}

/// What an image has that gets a name.
#[derive(Debug)]
pub(super) struct Named<'a> {
    pub(super) config: (&'a Digest, &'a Bytes),
    /// Root first.
    pub(super) layers: &'a [Digest],
    pub(super) tags: Vec<String>,
    pub(super) parent: Option<String>,
}

impl Saving {
    /// An archive for one image.
    pub(super) fn for_one(writer: Writer, old: Option<Old>) -> Self {
        Self { writer: OnceCell::new_with(Some(writer)), ..Self::new(ArchivePlace::Open, old) }
    }

    /// An archive for many images; nothing is written before one comes.
    pub(super) fn for_many(place: ArchivePlace, old: Option<Old>) -> Self {
        Self { begun: OnceCell::new_with(Some(())), ..Self::new(place, old) }
    }

    fn new(place: ArchivePlace, old: Option<Old>) -> Self {
        Self {
            place,
            writer: OnceCell::new(),
            old,
            begun: OnceCell::new(),
            layers: Slots::default(),
            configs: Slots::default(),
            packed: Mutex::default(),
            hold: Mutex::default(),
            folders: tokio::sync::Mutex::default(),
            content: Mutex::default(),
        }
    }

    /// Keeps others from writing the archive until it has ended.
    pub(super) fn hold(&self, hold: Option<Hold>) {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = hold;
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn packed(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.packed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a layer that came in this run is compressed.
    pub(super) fn is_packed(&self, layer: &Digest) -> bool {
        self.packed().contains(layer)
    }

    async fn writer(&self) -> Result<&Writer, Error> {
        let open = || async {
            let place = self.place.clone();
            files::blocking(move || Ok(place.create()?.for_many())).await
        };
        self.writer.get_or_try_init(open).await
    }

    /// Takes over the images that are there, where one is added to them.
    pub(super) async fn begin(&self) -> Result<(), Error> {
        let begin = || async {
            let Some(old) = &self.old else { return Ok(()) };
            for (at, item) in old.saved.items().iter().enumerate() {
                self.take_image(old, at, item.tags().to_vec()).await?;
            }
            Ok(())
        };
        self.begun.get_or_try_init(begin).await.copied()
    }

    /// The size of a layer that is there, or could be taken over from the old file.
    pub(super) async fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        self.begin().await?;
        self.layers.size(digest, || self.take_layer(digest)).await
    }

    pub(super) async fn put_layer(&self, blob: Blob) -> Result<Stored, Error> {
        self.begin().await?;
        let (blob, is_packed) = match blob.digest() {
            Some(_) => {
                let (compression, blob) = skopeo_blob::sniff(blob).await?;
                (blob, compression != Compression::Uncompressed)
            }
            // It was decompressed here.
            None => (blob, false),
        };
        let (digest, size, is_new) =
            self.layers.put(self.writer().await?, blob, layer_path).await?;
        if is_packed {
            self.packed().insert(digest.clone());
        }
        Ok(Stored { digest, size, how: if is_new { How::Moved } else { How::Present } })
    }

    pub(super) async fn put_config(&self, digest: &Digest, bytes: &Bytes) -> Result<(), Error> {
        self.begin().await?;
        self.configs.put_bytes(self.writer().await?, digest, bytes, config_path).await
    }

    /// Gives an image its tags, which are taken from those that have them.
    pub(super) async fn name(&self, new: Named<'_>) -> Result<(), Error> {
        self.begin().await?;
        self.content().untag(references(&new.tags).collect());
        self.add(new).await
    }

    /// Writes the folders of an image that is there, and notes its place in the lists.
    async fn add(&self, new: Named<'_>) -> Result<(), Error> {
        let Named { config: (digest, config), layers, tags, parent } = new;
        let placed: Vec<_> =
            layers.iter().map(|digest| (digest.clone(), layer_path(digest))).collect();
        let folders = legacy::folders(&placed, config)?;
        let mut there = self.folders.lock().await;
        for (name, entries) in &folders {
            if !there.contains(name) {
                self.writer().await?.put(entries).await?;
                there.insert(name.clone());
            }
        }
        drop(there);
        let paths: Vec<String> = placed.into_iter().map(|(_, path)| path).collect();
        let item = SavedItem {
            config: config_path(digest),
            repo_tags: Some(tags),
            layers: Some(paths),
            parent,
            layer_sources: None,
        };
        let top = folders.into_iter().next_back().map(|(name, _)| name);
        self.content().list(Kept { item, top });
        Ok(())
    }

    /// Ends the archive and gives it its name. Where no image has come, what was there stays.
    pub(super) async fn finish(&self) -> Result<(), Error> {
        let (new, taken) = {
            let mut content = self.content();
            (mem::take(&mut content.images), mem::take(&mut content.tags))
        };
        if new.is_empty() && !self.place.is_special() {
            return Ok(());
        }
        if let (Some(old), ArchivePlace::Later { .. }) = (&self.old, &self.place) {
            for (at, item) in old.saved.items().iter().enumerate() {
                let mut tags = item.tags().to_vec();
                tags.retain(|tag| !is_one_of(tag, &taken));
                // What lost its last name to others is gone.
                if !tags.is_empty() || item.tags().is_empty() {
                    self.take_image(old, at, tags).await?;
                }
            }
        }
        for kept in new {
            self.content().list(kept);
        }
        self.put_lists().await?;
        self.writer().await?.finish().await?;
        self.hold(None);
        Ok(())
    }

    /// The digest of the manifest that the image under the only tag has, in the file that is there,
    /// if it has the config of this manifest, and all its layers.
    pub(super) async fn equals(
        &self,
        tags: &[Reference],
        manifest: &RawManifest,
    ) -> Result<Option<Digest>, Error> {
        let ([tag], Manifest::Image(image)) = (tags, manifest.parse()?) else { return Ok(None) };
        match image.config() {
            Some(config) => self.present(tag, Some(&config.digest)).await,
            None => Ok(None),
        }
    }

    /// The digest of the manifest that the image under a tag has, in the file that is there, if it
    /// has this config and all its layers.
    pub(super) async fn present(
        &self,
        tag: &Reference,
        config: Option<&Digest>,
    ) -> Result<Option<Digest>, Error> {
        let Some(old) = &self.old else { return Ok(None) };
        let Some(at) = old.with(tag, config) else { return Ok(None) };
        let saved = old.saved.clone();
        files::blocking(move || {
            let Ok(image) = saved.image(saved.item(at)?) else { return Ok(None) };
            Ok(Some(Digest::sha256(&image.manifest()?.bytes)))
        })
        .await
    }

    /// The length of a layer in the file that is there, in bytes.
    pub(super) async fn old_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let Some(old) = &self.old else { return Ok(None) };
        let Some(at) = old.has_layer(digest) else { return Ok(None) };
        let (saved, digest) = (old.saved.clone(), digest.clone());
        files::blocking(move || {
            let Ok(image) = saved.image(saved.item(at)?) else { return Ok(None) };
            Ok(image.size(&digest))
        })
        .await
    }

    /// Takes over an image of the old file, each layer verified.
    async fn take_image(&self, old: &Old, at: usize, tags: Vec<String>) -> Result<(), Error> {
        let shared = old.saved.clone();
        let image = files::blocking(move || shared.image(shared.item(at)?)).await?;
        for digest in &image.diff_ids {
            if !self.layers.has(digest)
                && let Some(layer) = image.layer(digest)?
            {
                let layer = layer.expect(digest, None);
                self.layers.put(self.writer().await?, layer, layer_path).await?;
            }
        }
        let (digest, config) = (&image.config_digest, &image.config);
        self.configs.put_bytes(self.writer().await?, digest, config, config_path).await?;
        let parent = old.saved.item(at)?.parent.clone();
        let layers = &image.diff_ids;
        self.add(Named { config: (digest, config), layers, tags, parent }).await
    }

    /// Brings a layer from the old file. What is broken there is as good as not there.
    async fn take_layer(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let Some(old) = &self.old else { return Ok(None) };
        let Some(at) = old.has_layer(digest) else { return Ok(None) };
        let saved = old.saved.clone();
        let image = files::blocking(move || saved.image(saved.item(at)?)).await;
        let Ok(Some(layer)) = image.and_then(|image| image.layer(digest)) else { return Ok(None) };
        let path = |digest: &Digest| Some(layer_path(digest));
        match self.writer().await?.put_blob(layer.expect(digest, None), path).await {
            Ok((_, size)) => Ok(Some(size)),
            Err(TarWriteError::Stream(error)) => {
                debug!("reusing {digest} of the old archive: {error}");
                Ok(None)
            }
            Err(error) => Err(error.into()),
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
                for tag in references(item.tags()) {
                    legacy::tag(&mut repositories, &tag, top);
                }
            }
            let file = |name: &str, bytes| Entry::File { name: name.to_owned(), bytes };
            [
                file(MANIFEST, go_json::to_vec(&items)?),
                file(REPOSITORIES, go_json::to_vec(&repositories)?),
            ]
        };
        Ok(self.writer().await?.put(&entries).await?)
    }

    /// What tells the place of the layers from all others, where there are others.
    pub(super) fn pool(&self) -> Option<String> {
        match &self.place {
            ArchivePlace::Open => None,
            ArchivePlace::Later { path, .. } => Some(format!("docker-archive:{}", path.display())),
        }
    }
}

impl Content {
    /// Takes tags from the images that have them.
    fn untag(&mut self, taken: HashSet<Reference>) {
        if self.tags.is_disjoint(&taken) {
            return;
        }
        for kept in &mut self.images {
            if let Some(tags) = &mut kept.item.repo_tags {
                tags.retain(|tag| !is_one_of(tag, &taken));
            }
        }
    }

    /// Notes an image. The same under other tags is one with more tags.
    fn list(&mut self, new: Kept) {
        self.tags.extend(references(new.item.tags()));
        match self.images.iter_mut().find(|kept| kept.item.config == new.item.config) {
            Some(kept) => {
                let tags = new.item.repo_tags.unwrap_or_default();
                kept.item.repo_tags.get_or_insert_default().extend(tags);
            }
            None => self.images.push(new),
        }
    }
}

fn references<'a>(tags: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = Reference> {
    tags.into_iter().filter_map(|tag| Reference::parse_normalized(tag).ok())
}

fn is_one_of(tag: &str, taken: &HashSet<Reference>) -> bool {
    Reference::parse_normalized(tag).is_ok_and(|tag| taken.contains(&tag))
}

/// Where a layer is in the archives we write.
fn layer_path(digest: &Digest) -> String {
    format!("{}.tar", digest.hex())
}

/// Where a config is in the archives we write.
fn config_path(digest: &Digest) -> String {
    format!("{}.json", digest.hex())
}
