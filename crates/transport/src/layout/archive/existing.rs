//! The archive that is there, and what of it is asked while it is written anew.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skopeo_archive::{Archive, Fault, TarError};
use skopeo_blob::{Unverified, sniff_bytes};
use skopeo_image::number::wide;
use skopeo_image::{Compression, Digest};

use super::super::blob_store::BlobStore;
use super::super::index::Index;
use super::source::{Packed, PackedLayout};
use super::{INDEX, blob_name};
use crate::options::LayoutOptions;
use crate::tar::ArchiveError;
use crate::temporary;
use crate::{CommitError, Error, Options, files};

/// The archive that is there, to which images are added.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) archive: Archive,
    pub(super) index: Arc<Index>,
    /// Where its blobs are.
    pub(super) place: Packed,
    /// Those that are in the archive itself, wherever they should be.
    own: Packed,
}

impl Old {
    /// The archive at `path`; `None` if there is an empty file.
    pub(super) fn open(path: &Path, options: &Options) -> Result<Option<Self>, Error> {
        let file = files::open_to_replace(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(None);
        }
        let refused =
            |reason| ArchiveError::NotExtensible { path: path.display().to_string(), reason };
        let mut head = Vec::new();
        (&file).take(10).read_to_end(&mut head)?;
        if sniff_bytes(&head) != Compression::Uncompressed {
            return Err(refused("is compressed").into());
        }
        let archive = Archive::open(path, &options.scratch()).map_err(|error| match error {
            TarError::Read { source: Fault::NoTar, .. } => {
                Error::from(refused("is not an archive"))
            }
            // What is shorter than the first header.
            TarError::Read { source: Fault::CutOff { after, .. }, .. } if after.is_empty() => {
                refused("is not an archive").into()
            }
            error => error.into(),
        })?;
        if archive.find(INDEX)?.is_none() {
            return Err(refused("is not an OCI archive: it has no index.json").into());
        }
        if archive.members().any(|(name, _)| !is_of_layout(name)) {
            return Err(refused("has more than an OCI layout in it").into());
        }
        let PackedLayout { archive, index } = PackedLayout::read(archive)?;
        let place = Packed::new(archive.clone(), &options.layout);
        let own = Packed::new(archive.clone(), &LayoutOptions::default());
        Ok(Some(Self { archive, index, place, own }))
    }
}

/// Whether a file belongs to a layout, or is what programs leave in one.
fn is_of_layout(name: &str) -> bool {
    let known = [INDEX, "oci-layout", ".lock"].contains(&name) || name.starts_with("blobs/");
    known || temporary::is_temporary(name)
}

/// What can be read while the archive is being written: what is in memory, and what was there.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    pub(super) manifests: HashMap<Digest, Vec<u8>>,
    pub(super) old: Option<&'a Old>,
}

impl BlobStore for Overlay<'_> {
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        match (self.manifests.get(digest), self.old) {
            (Some(bytes), _) => Ok(bytes.clone()),
            (None, Some(old)) if old.own.has(digest) => old.own.manifest(digest),
            (None, Some(old)) => old.place.manifest(digest),
            (None, None) => Err(CommitError::Vanished(digest.clone()).into()),
        }
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        let ours = self.manifests.get(digest).map(|bytes| wide(bytes.len()));
        ours.or_else(|| self.old?.own.size(digest)).or_else(|| self.old?.place.size(digest))
    }

    fn locate(&self, digest: &Digest) -> PathBuf {
        blob_name(digest).into()
    }

    fn blob(&self, digest: &Digest) -> Result<Unverified, Error> {
        Err(CommitError::Vanished(digest.clone()).into())
    }
}
