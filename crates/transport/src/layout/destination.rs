//! Writing `oci:`.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skopeo_blob::Blob;
use skopeo_image::{Descriptor, Digest, MediaType, RawManifest, Signature, Which};
use tracing::warn;

use super::LayoutError;
use super::LayoutName;
use super::blob_store::BlobStore;
use super::editor::{Edit, Editor, Replaced};
use super::folder::Folder;
use super::index::{Entry, Target};
use super::name::Wanted;
use super::reach::Reach;
use super::referrers::{self, PendingReferrers};
use crate::options::LayoutOptions;
use crate::proof::Proofs;
use crate::signature_error::SignaturesError;
use crate::writer;
use crate::{
    Accepts, CommitError, ContentError, Destination, Error, How, ImageName, KeptSignatures,
    LayerForm, Partial, Probe, PutManifestError, Referrer, Role, Stored, Wish, files,
};

const NO_SIGNATURES: &str = "Pushing signatures for OCI images is not supported";

/// Opens a layout for writing; makes it if it is not there.
pub(crate) fn create(
    name: &LayoutName,
    options: &LayoutOptions,
) -> Result<LayoutDestination, Error> {
    // Before anything is made.
    reference(&name.wanted)?;
    if name.path.is_empty() {
        fs_err::create_dir(&name.path)?; // which fails: an empty path is nowhere
    }
    let editor = Editor::new(Folder::new(name, options), Replaced::StaysNameless);
    create_in(&editor, name, accepts(options))
}

/// Opens one of several places in a layout; makes the layout if it is not there.
pub(crate) fn create_in(
    editor: &Arc<Editor>,
    name: &LayoutName,
    accepts: Accepts,
) -> Result<LayoutDestination, Error> {
    let reference = reference(&name.wanted)?;
    let folder = editor.folder();
    // What cannot be read now could not be added to at the end.
    editor.index_if_any()?;
    folder.make()?;
    let writer = writer::Writer::new(folder.temporary().to_owned(), "oci-put-blob")?;
    Ok(LayoutDestination {
        image: ImageName::Oci(name.clone()),
        reference,
        editor: editor.clone(),
        accepts,
        writer,
        used: Mutex::default(),
        top: Mutex::default(),
        referrers: Mutex::default(),
    })
}

/// Looks at a layout that an image could be written to.
pub(crate) fn look(name: &LayoutName, options: &LayoutOptions) -> Result<LayoutProbe, Error> {
    let editor = Editor::new(Folder::new(name, options), Replaced::StaysNameless);
    look_in(&editor, name, accepts(options))
}

/// Looks at one of several places in a layout.
pub(crate) fn look_in(
    editor: &Arc<Editor>,
    name: &LayoutName,
    accepts: Accepts,
) -> Result<LayoutProbe, Error> {
    let (editor, reference) = (editor.clone(), reference(&name.wanted)?);
    Ok(LayoutProbe { image: ImageName::Oci(name.clone()), editor, reference, accepts })
}

/// A place in a layout that an image could be written to.
pub(crate) struct LayoutProbe {
    image: ImageName,
    editor: Arc<Editor>,
    reference: Option<String>,
    accepts: Accepts,
}

#[async_trait]
impl Probe for LayoutProbe {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        present(&self.editor, self.reference.as_deref()).await
    }

    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        let size = self.editor.folder().plain_size(&wish.blob.digest);
        Ok(size.filter(|size| files::is_wished(*size, wish)).map(|_| How::Present))
    }

    fn keeps_referrers(&self) -> Result<(), &'static str> {
        Ok(())
    }

    async fn has_referrer(&self, subject: &Digest, referrer: &Referrer) -> Result<bool, Error> {
        Ok(needed_by(&self.editor, subject, referrer).await?.is_some())
    }

    fn pool(&self) -> Option<String> {
        Some(self.editor.folder().pool())
    }
}

/// The reference that what is written gets.
pub(super) fn reference(wanted: &Wanted) -> Result<Option<String>, Error> {
    match wanted {
        Wanted::Only => Ok(None),
        Wanted::Reference(reference) => Ok(Some(reference.clone())),
        Wanted::Index(index) => Err(LayoutError::IndexInDestination(*index).into()),
    }
}

/// What a layout takes, wherever it lies.
pub(super) fn accepts(options: &LayoutOptions) -> Accepts {
    let layers =
        if options.accept_uncompressed_layers { LayerForm::AsIs } else { LayerForm::Compressed };
    Accepts {
        manifests: vec![MediaType::OCI_MANIFEST, MediaType::OCI_INDEX],
        layers,
        signatures: KeptSignatures::Bundles(NO_SIGNATURES),
        foreign_layers: true,
        embedded_name: None,
        digest: None,
        concurrency: files::CONCURRENCY,
    }
}

/// The digest under which a manifest is put, which must be its own.
pub(super) fn digest_of(manifest: &RawManifest, which: &Which) -> Result<Digest, Error> {
    let digest = match which {
        Which::Top => Digest::sha256(&manifest.bytes),
        Which::Instance(digest) => digest.clone(),
    };
    if Digest::of(digest.algorithm(), &manifest.bytes) == digest {
        Ok(digest)
    } else {
        Err(ContentError::ManifestMismatch(digest).into())
    }
}

/// Takes bundles, which is all that a layout can do.
pub(super) fn require_kept(signatures: &[Signature], accepts: &Accepts) -> Result<(), Error> {
    let mut kinds = signatures.iter().map(Signature::kind);
    kinds
        .try_for_each(|kind| accepts.signatures.require(kind))
        .map_err(SignaturesError::Unsupported)?;
    Ok(())
}

/// The manifest that signatures are of.
pub(super) fn signed(which: &Which, top: Option<&RawManifest>) -> Result<Digest, Error> {
    match which {
        Which::Top => digest_of(top.ok_or(CommitError::NothingToCommit)?, which),
        Which::Instance(digest) => Ok(digest.clone()),
    }
}

/// The descriptor of an image in an index.
pub(super) fn entry(top: &RawManifest, reference: Option<&str>) -> Entry {
    let digest = Digest::sha256(&top.bytes);
    let target = Target { media_type: top.media_type.clone(), digest };
    Entry::new(&target, top.bytes.len(), reference)
}

/// A place in a layout that an image is written to.
#[derive(Debug)]
pub(crate) struct LayoutDestination {
    image: ImageName,
    reference: Option<String>,
    editor: Arc<Editor>,
    accepts: Accepts,
    writer: writer::Writer,
    /// What the image needs of what is there.
    used: Mutex<BTreeSet<Digest>>,
    top: Mutex<Option<RawManifest>>,
    referrers: Mutex<PendingReferrers>,
}

/// Whether the file of a blob holds what its name says, which is read to find out, once in a run.
pub(super) async fn is_right(
    folder: &Folder,
    proofs: &Arc<Proofs>,
    digest: &Digest,
) -> Result<bool, Error> {
    let (path, proofs, digest) = (folder.blob_path(digest), proofs.clone(), digest.clone());
    files::blocking(move || {
        let is_right = proofs.holds(&digest, &path);
        if !is_right {
            warn!("{} is damaged: its contents do not match its name", path.display());
        }
        Ok(is_right)
    })
    .await
}

/// The digest that a reference leads to, if all that it needs is there.
async fn present(editor: &Editor, reference: Option<&str>) -> Result<Option<Digest>, Error> {
    let Some(index) = editor.index_if_any()? else { return Ok(None) };
    let wanted =
        reference.map_or(Wanted::Only, |reference| Wanted::Reference(reference.to_owned()));
    let Ok(entry) = index.find(&wanted).and_then(|at| index.entry(at)) else { return Ok(None) };
    if entry.ref_name() != reference {
        return Ok(None);
    }
    let target = entry.descriptor()?;
    let digest = target.digest.clone();
    let folder = editor.folder().clone();
    files::blocking(move || {
        let mut reach = Reach::default();
        let whole = reach.follow(&folder, target).is_ok() && reach.is_whole(&folder);
        Ok(whole.then_some(digest))
    })
    .await
}

/// The digests of all that belongs to a referrer, if it is there.
async fn needed_by(
    editor: &Editor,
    subject: &Digest,
    referrer: &Referrer,
) -> Result<Option<Vec<Digest>>, Error> {
    let Some(index) = editor.index_if_any()? else { return Ok(None) };
    let folder = editor.folder().clone();
    let (subject, wanted) = (subject.clone(), referrer.clone());
    files::blocking(move || {
        let there = referrers::named(&folder, &index, &subject)?;
        let tag = |it: &Referrer| it.found.tag(&subject);
        let same = |it: &Referrer| it.blob.digest == wanted.blob.digest && tag(it) == tag(&wanted);
        let Some(there) = there.into_iter().find(same) else { return Ok(None) };
        let Descriptor { media_type, digest, .. } = there.blob;
        let mut reach = Reach::default();
        let whole =
            reach.follow(&folder, Target { media_type, digest }).is_ok() && reach.is_whole(&folder);
        let digests = reach.digests().filter(|digest| folder.has(digest)).cloned();
        Ok(whole.then(|| digests.collect::<Vec<_>>()))
    })
    .await
}

impl LayoutDestination {
    fn folder(&self) -> &Folder {
        self.editor.folder()
    }

    fn used(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn top(&self) -> MutexGuard<'_, Option<RawManifest>> {
        self.top.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn referrers(&self) -> MutexGuard<'_, PendingReferrers> {
        self.referrers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a small blob, unless it is there.
    fn put_bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        if !self.folder().holds_bytes(digest, bytes) {
            self.writer.put_bytes(&self.folder().blob_path(digest), bytes)?;
        }
        self.used().insert(digest.clone());
        Ok(())
    }
}

#[async_trait]
impl Probe for LayoutDestination {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        present(&self.editor, self.reference.as_deref()).await
    }

    fn pool(&self) -> Option<String> {
        Some(self.folder().pool())
    }

    fn keeps_referrers(&self) -> Result<(), &'static str> {
        Ok(())
    }

    async fn has_referrer(&self, subject: &Digest, referrer: &Referrer) -> Result<bool, Error> {
        let needed = needed_by(&self.editor, subject, referrer).await?;
        let is_there = needed.is_some();
        self.used().extend(needed.into_iter().flatten());
        Ok(is_there)
    }
}

#[async_trait]
impl Destination for LayoutDestination {
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        let digest = &wish.blob.digest;
        let size = self.folder().plain_size(digest).filter(|size| files::is_wished(*size, wish));
        let Some(size) = size else { return Ok(None) };
        if !is_right(self.folder(), self.editor.proofs(), digest).await? {
            return Ok(None);
        }
        self.used().insert(digest.clone());
        Ok(Some(Stored { digest: digest.clone(), size, how: How::Present }))
    }

    async fn partial(&self, blob: &Descriptor) -> Result<Option<Partial>, Error> {
        self.writer.partial(blob)
    }

    async fn put_blob(&self, blob: Blob, _role: Role) -> Result<Stored, Error> {
        let (digest, size) =
            self.writer.put(blob, |digest| self.folder().blob_path(digest)).await?;
        self.editor.proofs().wrote(&digest, &self.folder().blob_path(&digest));
        self.used().insert(digest.clone());
        Ok(Stored { digest, size, how: How::Moved })
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        let digest = digest_of(manifest, which)?;
        self.put_bytes(&digest, &manifest.bytes)?;
        self.referrers().note(digest, manifest);
        if *which == Which::Top {
            *self.top() = Some(manifest.clone());
        }
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        if signatures.is_empty() {
            return Ok(());
        }
        require_kept(signatures, &self.accepts)?;
        let subject = signed(which, self.top().as_ref())?;
        let there = match self.editor.index_if_any()? {
            Some(index) => referrers::bundles(self.folder(), &index, &subject)?,
            None => HashSet::new(),
        };
        let carriers = self.referrers().carriers(&subject, signatures, &there)?;
        for carrier in carriers {
            for (blob, bytes) in &carrier.blobs {
                self.put_bytes(&blob.digest, bytes)?;
            }
            let put = self.put_referrer(&subject, &carrier.referrer, &carrier.manifest).await;
            put.map_err(PutManifestError::into_error)?;
        }
        Ok(())
    }

    async fn put_referrer(
        &self,
        subject: &Digest,
        referrer: &Referrer,
        manifest: &RawManifest,
    ) -> Result<(), PutManifestError> {
        self.put_manifest(manifest, &Which::Instance(referrer.blob.digest.clone())).await?;
        self.referrers().add(subject, referrer, manifest)?;
        Ok(())
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        let put = self.top().take();
        if put.as_ref() != Some(top) {
            return Err(CommitError::NothingToCommit.into());
        }
        self.publish(put).await
    }

    async fn commit_referrers(self: Box<Self>) -> Result<(), Error> {
        if self.referrers().is_empty() {
            return Ok(());
        }
        self.publish(None).await
    }
}

impl LayoutDestination {
    /// Gives what has been put its names, all at once.
    async fn publish(self, top: Option<RawManifest>) -> Result<(), Error> {
        self.writer.sync().await?;
        let Self { editor, reference, used, referrers, writer, .. } = self;
        let used = used.into_inner().unwrap_or_else(PoisonError::into_inner);
        let referrers = referrers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let top = top.map(|top| entry(&top, reference.as_deref()));
        editor.publish(Edit { used, top, referrers, writer }).await
    }
}
