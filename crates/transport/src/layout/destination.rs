//! Writing `oci:`.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skopeo_blob::Blob;
use skopeo_image::{Digest, MediaType, RawManifest, Signature, Which};

use super::folder::Folder;
use super::index::{Entry as IndexEntry, Index, Target};
use super::reach::Reach;
use super::{Entry, LayoutName};
use crate::options::LayoutOptions;
use crate::{
    Accepts, Destination, Error, How, ImageName, LayerForm, PutManifestError, Role, Stored, Wish,
    files,
};

const NO_SIGNATURES: &str = "Pushing signatures for OCI images is not supported";

/// Opens a layout for writing; makes it if it is not there.
pub(crate) fn create(
    name: &LayoutName,
    options: &LayoutOptions,
) -> Result<LayoutDestination, Error> {
    let reference = match &name.entry {
        Entry::Only => None,
        Entry::Reference(reference) => Some(reference.clone()),
        Entry::Index(index) => return Err(Error::IndexInDestination(*index)),
    };
    if name.path.is_empty() {
        fs_err::create_dir(&name.path)?; // which fails: an empty path is nowhere
    }
    let folder = Folder::new(name, options);
    // What cannot be read now could not be added to at the end.
    folder.index_if_any()?;
    folder.make()?;
    let writer = files::Writer::new(folder.temporary().to_owned(), "oci-put-blob")?;
    let layers =
        if options.accept_uncompressed_layers { LayerForm::AsIs } else { LayerForm::Compressed };
    Ok(LayoutDestination {
        image: ImageName::Oci(name.clone()),
        reference,
        folder,
        accepts: Accepts {
            manifests: vec![MediaType::OCI_MANIFEST, MediaType::OCI_INDEX],
            layers,
            signatures: Err(NO_SIGNATURES),
            foreign_layers: true,
            embedded_name: None,
            digest: None,
            concurrency: files::CONCURRENCY,
        },
        writer,
        used: Mutex::default(),
        top: Mutex::default(),
    })
}

/// A place in a layout that an image is written to.
#[derive(Debug)]
pub(crate) struct LayoutDestination {
    image: ImageName,
    reference: Option<String>,
    folder: Folder,
    accepts: Accepts,
    writer: files::Writer,
    /// What the image needs of what is there.
    used: Mutex<BTreeSet<Digest>>,
    top: Mutex<Option<RawManifest>>,
}

impl LayoutDestination {
    fn used(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Destination for LayoutDestination {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        let Some(index) = self.folder.index_if_any()? else { return Ok(None) };
        let wanted = self.reference.clone().map_or(Entry::Only, Entry::Reference);
        let Ok(at) = index.find(&wanted) else { return Ok(None) };
        let entry = &index.entries()[at];
        if entry.ref_name() != self.reference.as_deref() {
            return Ok(None);
        }
        let target = entry.descriptor()?;
        let digest = target.digest.clone();
        let folder = self.folder.clone();
        files::blocking(move || {
            let mut reach = Reach::default();
            let whole = reach.follow(&folder, target).is_ok() && reach.is_whole(&folder);
            Ok(whole.then_some(digest))
        })
        .await
    }

    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        let digest = &wish.blob.digest;
        let Some(size) = files::reusable(&self.folder.blob(digest), wish) else {
            return Ok(None);
        };
        self.used().insert(digest.clone());
        Ok(Some(Stored { digest: digest.clone(), size, how: How::Present }))
    }

    async fn put_blob(&self, blob: Blob, _role: Role) -> Result<Stored, Error> {
        let (digest, size) = self.writer.put(blob, |digest| self.folder.blob(digest)).await?;
        self.used().insert(digest.clone());
        Ok(Stored { digest, size, how: How::Moved })
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        let digest = match which {
            Which::Top => Digest::sha256(&manifest.bytes),
            Which::Instance(digest) => digest.clone(),
        };
        if Digest::of(digest.algorithm(), &manifest.bytes) != digest {
            return Err(Error::ManifestMismatch(digest).into());
        }
        let path = self.folder.blob(&digest);
        if files::size_of(&path) != Some(manifest.bytes.len() as u64) {
            self.writer.put_bytes(&path, &manifest.bytes)?;
        }
        self.used().insert(digest);
        if *which == Which::Top {
            *self.top.lock().unwrap_or_else(PoisonError::into_inner) = Some(manifest.clone());
        }
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], _which: &Which) -> Result<(), Error> {
        if signatures.is_empty() { Ok(()) } else { Err(Error::NoSignatures(NO_SIGNATURES)) }
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        self.writer.sync().await?;
        let Self { folder, reference, used, top: put, .. } = *self;
        if put.into_inner().unwrap_or_else(PoisonError::into_inner).as_ref() != Some(top) {
            return Err(Error::NothingToCommit);
        }
        let used = used.into_inner().unwrap_or_else(PoisonError::into_inner);
        let top = top.clone();
        files::blocking(move || {
            let lock = folder.lock()?;
            // Who deletes an image holds the lock too: what is there now stays.
            for digest in used {
                if files::size_of(&folder.blob(&digest)).is_none() {
                    return Err(Error::Vanished(digest));
                }
            }
            let mut index = folder.index_if_any()?.unwrap_or_else(Index::new);
            let target = Target { media_type: top.media_type, digest: Digest::sha256(&top.bytes) };
            index.add(IndexEntry::new(&target, top.bytes.len(), reference.as_deref()));
            folder.replace_index(&index.encode(), &lock)
        })
        .await
    }
}
