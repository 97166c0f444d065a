//! Reading a layout in a tar.

use skopeo_blob::Unverified;
use skopeo_image::Digest;

use super::super::folder::Folder;
use super::super::index::Index;
use super::super::source::{LayoutSource, Place};
use super::{ArchiveName, INDEX, blob_name};
use crate::tar::{Archive, Member, TarError};
use crate::{Error, ImageName, Options, files};

/// Opens an image of a layout in a tar.
pub(crate) async fn open(name: &ArchiveName, options: &Options) -> Result<LayoutSource, Error> {
    let (name, options) = (name.clone(), options.clone());
    files::blocking(move || {
        let archive = Archive::open(name.resolved(), &options.tmpdir).map_err(|error| {
            if error.is_missing_file() {
                Error::NoArchive(name.resolved().display().to_string())
            } else {
                error.into()
            }
        })?;
        archive.must_be_inside()?;
        let shared = options.layout.shared_blob_dir.clone().map(Folder::of_blobs);
        let place = Packed { archive, shared };
        LayoutSource::new(ImageName::OciArchive(name.clone()), name.entry(), place, &options)
    })
    .await
}

/// A layout in a tar.
#[derive(Debug)]
struct Packed {
    archive: Archive,
    /// Where its blobs are if they are not in it.
    shared: Option<Folder>,
}

impl Packed {
    fn find(&self, digest: &Digest) -> Result<Option<Member>, TarError> {
        self.archive.find(&blob_name(digest))
    }
}

impl Place for Packed {
    fn index(&self) -> Result<Index, Error> {
        let bytes = self.archive.read(INDEX, files::MAX_INDEX)?;
        let bytes = bytes.ok_or_else(|| self.archive.missing(INDEX))?;
        let path = self.archive.path().join(INDEX);
        Index::parse(&bytes).map_err(|source| Error::Json { path, source })
    }

    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        if let Some(shared) = &self.shared {
            return shared.manifest(digest);
        }
        let name = blob_name(digest);
        let bytes = self.archive.read(&name, files::MAX_MANIFEST)?;
        Ok(bytes.ok_or_else(|| self.archive.missing(&name))?.into())
    }

    fn has(&self, digest: &Digest) -> bool {
        match &self.shared {
            Some(shared) => shared.has(digest),
            None => self.find(digest).is_ok_and(|member| member.is_some()),
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
