//! What is in a docker archive. Everything here waits for the disk.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use skopeo_archive::{Archive, Member, Scratch};
use skopeo_blob::{MaxUnpacked, Unverified, file, sniff_bytes, unpack};
use skopeo_image::manifest::docker;
use skopeo_image::number::wide;
use skopeo_image::{Compression, Descriptor, Digest, MediaType, RawManifest, go_json};

use super::manifest::{self, MANIFEST, MAX_CONFIG, MAX_MANIFEST, SavedItem};
use super::{SavedError, SavedImageError, SavedManifestError};
use crate::Error;

/// How much of a packed layer is read at once, in bytes.
const PIECE: usize = 128 * 1024;

/// An archive, and which images it says it holds.
#[derive(Debug)]
pub(crate) struct Saved {
    archive: Archive,
    items: Vec<SavedItem>,
    /// How much may come out of a layer.
    most: MaxUnpacked,
}

/// One image of an archive.
#[derive(Debug)]
pub(crate) struct SavedImage {
    archive: Archive,
    most: MaxUnpacked,
    pub(crate) config: Bytes,
    pub(crate) config_digest: Digest,
    /// What is in the layers, root first, as the config says. Nobody has checked it.
    pub(crate) diff_ids: Vec<Digest>,
    layers: BTreeMap<Digest, SavedLayer>,
}

/// Where a layer is.
#[derive(Clone, Copy, Debug)]
struct SavedLayer {
    member: Member,
    compression: Compression,
    /// Of what is in it, in bytes.
    size: u64,
}

impl Saved {
    /// Opens the archive at `path`.
    pub(crate) fn open(path: &Path, scratch: &Scratch) -> Result<Self, Error> {
        Self::read(Archive::open(path, scratch)?, scratch.most)
    }

    /// Reads which images an archive holds. So much may come out of each layer.
    pub(crate) fn read(archive: Archive, most: MaxUnpacked) -> Result<Self, Error> {
        let bytes = archive.read(MANIFEST, MAX_MANIFEST)?;
        let bytes = bytes.ok_or_else(|| SavedError::Missing(MANIFEST.to_owned()))?;
        let items = manifest::parse(&bytes)?;
        Ok(Self { archive, items, most })
    }

    /// The images, in the order of `manifest.json`.
    pub(crate) fn items(&self) -> &[SavedItem] {
        &self.items
    }

    /// One of them.
    pub(crate) fn item(&self, at: usize) -> Result<&SavedItem, SavedManifestError> {
        let available = self.items.len();
        self.items.get(at).ok_or(SavedManifestError::NoSuchIndex { index: at, available })
    }

    /// The names of all files in the archive.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.archive.members().map(|(name, _)| name)
    }

    /// The digest of an image's config, and what that says is in the layers.
    pub(crate) fn config(&self, item: &SavedItem) -> Result<(Digest, Vec<Digest>), Error> {
        let config = self.read_config(item)?;
        Ok((Digest::sha256(&config), manifest::diff_ids(&config, &item.config)?))
    }

    fn read_config(&self, item: &SavedItem) -> Result<Bytes, Error> {
        let config = self.archive.read(&item.config, MAX_CONFIG)?;
        Ok(config.ok_or_else(|| SavedError::Missing(item.config.clone()))?)
    }

    /// Looks for all that belongs to an image. Layers that are packed are read to their end, since
    /// nothing else tells how long they are.
    pub(crate) fn image(&self, item: &SavedItem) -> Result<SavedImage, Error> {
        let config = self.read_config(item)?;
        let diff_ids = manifest::diff_ids(&config, &item.config)?;
        let paths = item.layers();
        if paths.len() != diff_ids.len() {
            let (manifest, config) = (paths.len(), diff_ids.len());
            return Err(SavedImageError::LayerCount { manifest, config }.into());
        }
        let mut layers: BTreeMap<Digest, SavedLayer> = BTreeMap::new();
        let mut used: BTreeMap<u64, &Digest> = BTreeMap::new();
        for (digest, path) in diff_ids.iter().zip(paths) {
            // The same layer may be in an image more than once, and in its file under many names.
            if layers.contains_key(digest) {
                continue;
            }
            let member = self.archive.find(path)?;
            let member = member.ok_or_else(|| SavedImageError::LayerMissing(path.clone()))?;
            if used.insert(member.offset, digest).is_some() {
                return Err(SavedImageError::LayerTwice(path.clone()).into());
            }
            layers.insert(digest.clone(), self.layer(member, path)?);
        }
        let config_digest = Digest::sha256(&config);
        let archive = self.archive.clone();
        let most = self.most;
        Ok(SavedImage { archive, most, config, config_digest, diff_ids, layers })
    }

    fn layer(&self, member: Member, path: &str) -> Result<SavedLayer, Error> {
        let unreadable = |source| SavedImageError::LayerSize { path: path.to_owned(), source };
        let mut head = Vec::new();
        self.archive.reader(member).take(10).read_to_end(&mut head).map_err(unreadable)?;
        let compression = sniff_bytes(&head);
        let size = if compression == Compression::Uncompressed {
            member.size
        } else {
            let reader = unpacked(&self.archive, member, compression, self.most);
            let mut reader = reader.map_err(unreadable)?;
            io::copy(&mut reader, &mut io::sink()).map_err(unreadable)?
        };
        Ok(SavedLayer { member, compression, size })
    }
}

impl SavedImage {
    /// The manifest that such an image has, byte for byte the original's.
    pub(crate) fn manifest(&self) -> Result<RawManifest, Error> {
        let config = Descriptor::new(
            MediaType::DOCKER_CONFIG,
            self.config_digest.clone(),
            Some(wide(self.config.len())),
        );
        let layers = self.diff_ids.iter().map(|digest| {
            let size = self.layers.get(digest).map(|layer| layer.size);
            // Not so, but schema 2 has no word for a plain tar that registries take.
            Descriptor::new(MediaType::DOCKER_LAYER_GZIP, digest.clone(), size)
        });
        let manifest = docker::Manifest::new(config, layers.collect());
        let bytes = go_json::to_vec(&manifest)?;
        Ok(RawManifest { media_type: MediaType::DOCKER_MANIFEST, bytes: bytes.into() })
    }

    /// The length of what is in a layer, in bytes; `None` if the image has no such layer.
    pub(crate) fn size(&self, diff_id: &Digest) -> Option<u64> {
        self.layers.get(diff_id).map(|layer| layer.size)
    }

    /// What is in a layer, not packed; `None` if the image has no such layer.
    pub(crate) fn layer(&self, diff_id: &Digest) -> Result<Option<Unverified>, Error> {
        let Some(SavedLayer { member, compression, size }) = self.layers.get(diff_id).copied()
        else {
            return Ok(None);
        };
        if compression == Compression::Uncompressed {
            return Ok(Some(Unverified::new(self.archive.stream(member), Some(size))));
        }
        let reader = unpacked(&self.archive, member, compression, self.most)?;
        Ok(Some(Unverified::new(file::read(reader, size), Some(size))))
    }
}

fn unpacked(
    archive: &Archive,
    member: Member,
    compression: Compression,
    most: MaxUnpacked,
) -> io::Result<impl Read + Send + 'static + use<>> {
    let packed = archive.reader(member).take(member.size);
    unpack(BufReader::with_capacity(PIECE, packed), compression, most)
}
