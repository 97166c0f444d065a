//! Writing a layout in a tar.

use std::collections::BTreeMap;
use std::io::{Error as IoError, ErrorKind};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skopeo_blob::{Blob, Unverified};
use skopeo_image::{Digest, RawManifest, Signature, Which};

use super::super::destination::{accepts, digest_of, entry, reference, refuse};
use super::super::folder::{Folder, LAYOUT};
use super::super::hanging::Hanging;
use super::super::index::Index;
use super::super::source::Place;
use super::{ArchiveName, INDEX, blob_name};
use crate::glance::{Glance, Unseen};
use crate::tar::{Entry, Existing, Writer, is_special};
use crate::{
    Accepts, Destination, Error, How, ImageName, Options, PutManifestError, Referrer, Role, Stored,
    Wish, files,
};

/// What would be written to an archive, of which nothing that is there stays.
pub(crate) fn look(name: &ArchiveName, options: &Options) -> Result<Glance<Unseen>, Error> {
    reference(name.entry())?;
    let accepts = accepts(&options.layout);
    Ok(Glance { name: ImageName::OciArchive(name.clone()), accepts, sight: Unseen })
}

/// Opens a file, or a pipe, that a layout is to be written to.
pub(crate) async fn create(
    name: &ArchiveName,
    options: &Options,
) -> Result<ArchiveDestination, Error> {
    let reference = reference(name.entry())?;
    let mut accepts = accepts(&options.layout);
    let is_special = is_special(name.path());
    if is_special {
        // A pipe has one end that could be written to.
        accepts.concurrency = NonZeroUsize::MIN;
    }
    let (place, tmpdir) = (name.clone(), options.tmpdir.clone());
    let writer = files::blocking(move || {
        if is_special {
            return Writer::pipe(place.path(), &tmpdir);
        }
        writable(place.resolved())?;
        Writer::create(place.resolved(), Existing::Replace, &tmpdir)
    });
    let writer = writer.await?.with_mode(0o644);
    let folders = ["blobs/", "blobs/sha256/"].map(|name| Entry::Folder { name: name.to_owned() });
    writer.put(&folders).await?;
    let shared = options.layout.shared_blob_dir.clone().map(Shared::new).transpose()?;
    Ok(ArchiveDestination {
        image: ImageName::OciArchive(name.clone()),
        reference,
        accepts,
        writer,
        shared,
        content: Mutex::default(),
        top: Mutex::default(),
        hanging: Mutex::default(),
    })
}

/// Refuses what an archive cannot take the place of.
fn writable(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        let source = IoError::from(ErrorKind::IsADirectory).into();
        return Err(Error::ArchivePlace { path: path.display().to_string(), source });
    }
    Ok(())
}

/// A layout that is being written to a tar.
#[derive(Debug)]
pub(crate) struct ArchiveDestination {
    image: ImageName,
    reference: Option<String>,
    accepts: Accepts,
    writer: Writer,
    /// Where blobs go instead.
    shared: Option<Shared>,
    content: Mutex<BTreeMap<Digest, Slot>>,
    top: Mutex<Option<RawManifest>>,
    hanging: Mutex<Hanging>,
}

/// The size of a blob that is in the archive. Locked while it is on its way there.
type Slot = Arc<tokio::sync::Mutex<Option<u64>>>;

impl ArchiveDestination {
    fn slot(&self, digest: &Digest) -> Slot {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.entry(digest.clone()).or_default().clone()
    }

    /// Whether a blob is there already, as far as can be said at once.
    fn has(&self, digest: &Digest) -> bool {
        self.slot(digest).try_lock().is_ok_and(|size| size.is_some())
    }

    fn top(&self) -> MutexGuard<'_, Option<RawManifest>> {
        self.top.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Destination for ArchiveDestination {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        let digest = &wish.blob.digest;
        let size = match &self.shared {
            Some(shared) => files::reusable(&shared.folder.blob_path(digest), wish),
            None => {
                let size = *self.slot(digest).lock().await;
                size.filter(|size| files::is_wished(*size, wish))
            }
        };
        Ok(size.map(|size| Stored { digest: digest.clone(), size, how: How::Present }))
    }

    async fn put_blob(&self, blob: Blob, _role: Role) -> Result<Stored, Error> {
        if let Some(Shared { folder, writer }) = &self.shared {
            let (digest, size) = writer.put(blob, |digest| folder.blob_path(digest)).await?;
            return Ok(Stored { digest, size, how: How::Moved });
        }
        let Some(digest) = blob.digest().cloned() else {
            let name = |digest: &Digest| (!self.has(digest)).then(|| blob_name(digest));
            let (digest, size) = self.writer.put_blob(blob, name).await?;
            *self.slot(&digest).lock().await = Some(size);
            return Ok(Stored { digest, size, how: How::Moved });
        };
        let slot = self.slot(&digest);
        let mut there = slot.lock().await;
        if let Some(size) = *there {
            return Ok(Stored { digest, size, how: How::Present });
        }
        let (digest, size) = self.writer.put_blob(blob, |digest| Some(blob_name(digest))).await?;
        *there = Some(size);
        Ok(Stored { digest, size, how: How::Moved })
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        let digest = digest_of(manifest, which)?;
        if let Some(Shared { folder, writer }) = &self.shared {
            writer.put_bytes(&folder.blob_path(&digest), &manifest.bytes)?;
        } else {
            let slot = self.slot(&digest);
            let mut there = slot.lock().await;
            if there.is_none() {
                self.writer.put(&[file(blob_name(&digest), manifest.bytes.to_vec())]).await?;
                *there = Some(manifest.bytes.len() as u64);
            }
        }
        if *which == Which::Top {
            *self.top() = Some(manifest.clone());
        }
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], _which: &Which) -> Result<(), Error> {
        refuse(signatures)
    }

    fn keeps_referrers(&self) -> Result<(), &'static str> {
        Ok(())
    }

    async fn put_referrer(
        &self,
        subject: &Digest,
        referrer: &Referrer,
        manifest: &RawManifest,
    ) -> Result<(), PutManifestError> {
        self.put_manifest(manifest, &Which::Instance(referrer.blob.digest.clone())).await?;
        self.hanging
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(subject, referrer, manifest)?;
        Ok(())
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        if self.top().as_ref() != Some(top) {
            return Err(Error::NothingToCommit);
        }
        let mut index = Index::new();
        index.add(entry(top, self.reference.as_deref()));
        let hanging =
            std::mem::take(&mut *self.hanging.lock().unwrap_or_else(PoisonError::into_inner));
        for (digest, list) in hanging.apply(&Nothing, &mut index)? {
            match &self.shared {
                Some(Shared { folder, writer }) => {
                    writer.put_bytes(&folder.blob_path(&digest), &list)?;
                }
                None => self.writer.put(&[file(blob_name(&digest), list)]).await?,
            }
        }
        if let Some(shared) = &self.shared {
            shared.writer.sync().await?;
        }
        let files = [file(INDEX.into(), index.encode()), file("oci-layout".into(), LAYOUT.into())];
        self.writer.put(&files).await?;
        self.writer.finish().await
    }
}

/// A folder of blobs that several layouts share.
#[derive(Debug)]
struct Shared {
    folder: Folder,
    writer: files::Writer,
}

impl Shared {
    fn new(folder: PathBuf) -> Result<Self, Error> {
        files::make_folder(&folder)?;
        let writer = files::Writer::new(folder.clone(), "oci-put-blob")?;
        Ok(Self { folder: Folder::of_blobs(folder), writer })
    }
}

/// What lies in an archive that is just being written, for who would add to it.
#[derive(Debug)]
struct Nothing;

impl Place for Nothing {
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        Err(Error::Vanished(digest.clone()))
    }

    fn has(&self, _digest: &Digest) -> bool {
        false
    }

    fn blob(&self, digest: &Digest) -> Result<Unverified, Error> {
        Err(Error::Vanished(digest.clone()))
    }
}

fn file(name: String, bytes: Vec<u8>) -> Entry {
    Entry::File { name, bytes }
}
