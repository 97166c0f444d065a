//! Reading a layout in a tar.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skopeo_archive::{Archive, Member, TarError};
use skopeo_blob::Unverified;
use skopeo_image::Digest;

use super::super::blob_store::BlobStore;
use super::super::folder::Folder;
use super::super::index::Index;
use super::super::source::LayoutSource;
use super::{ArchiveName, INDEX, blob_name};
use crate::invalid_file::InvalidFile;
use crate::options::LayoutOptions;
use crate::tar::ArchiveError;
use crate::{Error, ImageName, Options, files};

/// Opens an image of a layout in a tar.
pub(crate) async fn open(name: &ArchiveName, options: &Options) -> Result<LayoutSource, Error> {
    let (name, options) = (name.clone(), options.clone());
    files::blocking(move || {
        let PackedLayout { archive, index } = &*PackedLayout::open(name.resolved(), &options)?;
        let place = Packed::new(archive.clone(), &options.layout);
        let image = ImageName::OciArchive(name.clone());
        LayoutSource::new(image, name.wanted(), place, index.clone(), &options)
    })
    .await
}

/// What the images of a layout in a tar are called, in the order of its index.
pub(crate) async fn names(name: &ArchiveName, options: &Options) -> Result<Vec<String>, Error> {
    let (name, options) = (name.clone(), options.clone());
    files::blocking(move || Ok(PackedLayout::open(name.resolved(), &options)?.index.names())).await
}

/// A tar with a layout in it, and the index of that.
#[derive(Debug)]
pub(crate) struct PackedLayout {
    pub(crate) archive: Archive,
    pub(crate) index: Arc<Index>,
}

impl PackedLayout {
    /// Opens the archive at `path`, if it is not open already.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Arc<Self>, Error> {
        options.read_cache.layouts.get(path, || {
            let archive = Archive::open(path, &options.scratch()).map_err(|error| {
                if error.is_missing_file() {
                    ArchiveError::NoArchive(path.display().to_string()).into()
                } else {
                    Error::from(error)
                }
            })?;
            Self::read(archive)
        })
    }

    /// Reads the index of an archive.
    pub(crate) fn read(archive: Archive) -> Result<Self, Error> {
        archive.must_be_inside()?;
        let bytes = archive.read(INDEX, files::MAX_INDEX)?;
        let bytes = bytes.ok_or_else(|| archive.missing(INDEX))?;
        let path = archive.path().join(INDEX);
        let index =
            Index::parse(bytes.into()).map_err(|source| InvalidFile::Json { path, source })?;
        Ok(Self { archive, index: Arc::new(index) })
    }
}

/// A layout in a tar.
#[derive(Debug)]
pub(crate) struct Packed {
    archive: Archive,
    /// Where its blobs are if they are not in it.
    shared: Option<Folder>,
}

impl Packed {
    pub(crate) fn new(archive: Archive, options: &LayoutOptions) -> Self {
        Self { archive, shared: options.shared_blob_dir.clone().map(Folder::of_blobs) }
    }

    fn find(&self, digest: &Digest) -> Result<Option<Member>, TarError> {
        self.archive.find(&blob_name(digest))
    }
}

impl BlobStore for Packed {
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        if let Some(shared) = &self.shared {
            return shared.manifest(digest);
        }
        let name = blob_name(digest);
        let bytes = self.archive.read(&name, files::MAX_MANIFEST)?;
        Ok(bytes.ok_or_else(|| self.archive.missing(&name))?.into())
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        match &self.shared {
            Some(shared) => shared.size(digest),
            None => self.find(digest).ok().flatten().map(|member| member.size),
        }
    }

    fn locate(&self, digest: &Digest) -> PathBuf {
        match &self.shared {
            Some(shared) => shared.locate(digest),
            None => self.archive.path().join(blob_name(digest)),
        }
    }

    fn blob(&self, digest: &Digest) -> Result<Unverified, Error> {
        if let Some(shared) = &self.shared {
            return shared.blob(digest);
        }
        let member = self.find(digest)?;
        let member = member.ok_or_else(|| self.archive.missing(&blob_name(digest)))?;
        Ok(Unverified::new(self.archive.stream(member), Some(member.size)))
    }
}
