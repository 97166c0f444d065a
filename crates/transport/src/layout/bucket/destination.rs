//! Writing an image to a layout in a bucket.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use skopeo_blob::Blob;
use skopeo_image::number::wide;
use skopeo_image::{Algorithm, Descriptor, Digest, Hasher, RawManifest, Signature, Which};

use super::super::destination::{accepts, digest_of, entry, reference, require_kept, signed};
use super::super::editor::Replaced;
use super::super::index::Target;
use super::super::reach::Reach;
use super::super::referrers::{self, PendingReferrers};
use super::contents::{Bucket, UPLOADS, key};
use super::editor::{Edit, Editor};
use super::name::BucketName;
use super::opening;
use crate::{
    Accepts, CommitError, Destination, Error, How, ImageName, Options, Probe, PutManifestError,
    Referrer, Role, Stored, Wish, files,
};

/// How many bytes are hashed at once, on a thread beside.
const BATCH: usize = 1 << 20;

/// Opens a place in a bucket for writing. Nothing is written yet.
pub(crate) async fn create(
    name: &BucketName,
    options: &Options,
) -> Result<BucketDestination, Error> {
    let bucket = opening::bucket(name.url(), options).await?;
    let editor = Editor::new(bucket, Replaced::StaysNameless);
    create_in(&editor, name, accepts(&options.layout)).await
}

/// Opens one of several places in a bucket for writing.
pub(super) async fn create_in(
    editor: &Arc<Editor>,
    name: &BucketName,
    accepts: Accepts,
) -> Result<BucketDestination, Error> {
    let reference = reference(name.wanted())?;
    // What cannot be read now could not be added to at the end.
    editor.bucket().index_if_any().await?;
    Ok(BucketDestination {
        image: ImageName::Bucket(name.clone()),
        reference,
        editor: editor.clone(),
        accepts,
        used: Mutex::default(),
        top: Mutex::default(),
        referrers: Mutex::default(),
    })
}

/// Looks at a place in a bucket that an image could be written to.
pub(crate) async fn look(name: &BucketName, options: &Options) -> Result<BucketDestination, Error> {
    create(name, options).await
}

/// A place in a bucket that an image is written to.
#[derive(Debug)]
pub(crate) struct BucketDestination {
    image: ImageName,
    reference: Option<String>,
    editor: Arc<Editor>,
    accepts: Accepts,
    /// What the image needs of what is there.
    used: Mutex<BTreeSet<Digest>>,
    top: Mutex<Option<RawManifest>>,
    referrers: Mutex<PendingReferrers>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BucketDestination {
    fn bucket(&self) -> &Arc<Bucket> {
        self.editor.bucket()
    }

    /// The length of a blob that is there and is what is wished for.
    async fn wished(&self, wish: &Wish<'_>) -> Result<Option<u64>, Error> {
        self.bucket().prepare().await?;
        let size = self.bucket().size(&wish.blob.digest).await?;
        Ok(size.filter(|size| files::is_wished(*size, wish)))
    }

    /// Writes a blob under the name that it has from the beginning.
    async fn put_named(&self, blob: Blob, digest: &Digest) -> Result<u64, Error> {
        let store = self.bucket().store();
        // What a manifest says of the length is no reason to reserve anything.
        let mut upload = store.upload(&key(digest), blob.size())?;
        let mut pieces = blob.into_stream();
        let mut size = 0_u64;
        while let Some(piece) = pieces.try_next().await? {
            size = size.saturating_add(wide(piece.len()));
            upload.write(piece).await?;
        }
        // The stream has ended well, so all that has been sent is right.
        upload.finish().await?;
        Ok(size)
    }

    /// Writes a blob that is known only at its end: under another name, until it gets its own.
    async fn put_nameless(&self, blob: Blob) -> Result<(Digest, u64), Error> {
        let store = self.bucket().store();
        let beside = format!("{UPLOADS}/{:032x}", fastrand::u128(..));
        let mut upload = store.upload(&beside, None)?;
        let mut pieces = blob.into_stream();
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let (mut size, mut batch, mut len) = (0_u64, Vec::new(), 0_usize);
        while let Some(piece) = pieces.try_next().await? {
            size = size.saturating_add(wide(piece.len()));
            len = len.saturating_add(piece.len());
            batch.push(piece.clone());
            upload.write(piece).await?;
            if len >= BATCH {
                hasher = hash(hasher, std::mem::take(&mut batch)).await?;
                len = 0;
            }
        }
        let digest = hash(hasher, batch).await?.finish();
        upload.finish().await?;
        let copied = store.copy(&beside, &key(&digest), size).await;
        let deleted = store.delete(&[beside]).await;
        copied?;
        if let Err(error) = deleted {
            tracing::debug!("{error}");
        }
        Ok((digest, size))
    }

    /// Gives what has been put its names, all at once.
    async fn publish(self, top: Option<RawManifest>) -> Result<(), Error> {
        let Self { editor, reference, used, referrers, .. } = self;
        let used = used.into_inner().unwrap_or_else(PoisonError::into_inner);
        let referrers = referrers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let top = top.map(|top| entry(&top, reference.as_deref()));
        editor.publish(Edit { used, top, referrers }).await
    }
}

async fn hash(mut hasher: Hasher, batch: Vec<Bytes>) -> Result<Hasher, Error> {
    files::blocking(move || {
        batch.iter().for_each(|piece| hasher.update(piece));
        Ok(hasher)
    })
    .await
}

#[async_trait]
impl Probe for BucketDestination {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        self.bucket().prepare().await?;
        let reference = self.reference.as_deref();
        let Some((_, index)) = self.bucket().index_if_any().await? else { return Ok(None) };
        let named = |reference: &str| super::Wanted::Reference(reference.to_owned());
        let wanted = reference.map_or(super::Wanted::Only, named);
        let Ok(at) = index.find(&wanted) else { return Ok(None) };
        let entry = index.entry(at)?;
        if entry.ref_name() != reference {
            return Ok(None);
        }
        let digest = entry.descriptor()?.digest;
        // An image gets its name when all of it is there, and loses that before any of it goes: what
        // is in the index need not be looked for blob by blob.
        let there = self.bucket().size(&digest).await?;
        Ok(there.filter(|size| entry.size().is_none_or(|it| it == *size)).map(|_| digest))
    }

    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        Ok(self.wished(wish).await?.map(|_| How::Present))
    }

    fn pool(&self) -> Option<String> {
        Some(format!("oci:{}", self.bucket().store().place()))
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn keeps_referrers(&self) -> Result<(), &'static str> {
        Ok(())
    }

    async fn has_referrer(&self, subject: &Digest, referrer: &Referrer) -> Result<bool, Error> {
        self.bucket().prepare().await?;
        let Some((_, index)) = self.bucket().index_if_any().await? else { return Ok(false) };
        let bucket = self.bucket().clone();
        let (subject, wanted) = (subject.clone(), referrer.clone());
        let needed = files::blocking(move || {
            let there = referrers::named(&*bucket, &index, &subject)?;
            let tag = |it: &Referrer| it.found.tag(&subject);
            let same =
                |it: &Referrer| it.blob.digest == wanted.blob.digest && tag(it) == tag(&wanted);
            let Some(there) = there.into_iter().find(same) else { return Ok(None) };
            let Descriptor { media_type, digest, .. } = there.blob;
            let mut reach = Reach::default();
            let whole = reach.follow(&*bucket, Target { media_type, digest }).is_ok()
                && reach.is_whole(&*bucket);
            Ok(whole.then(|| reach.digests().cloned().collect::<Vec<_>>()))
        })
        .await?;
        let is_there = needed.is_some();
        for digest in needed.into_iter().flatten() {
            if self.bucket().size(&digest).await?.is_some() {
                lock(&self.used).insert(digest);
            }
        }
        Ok(is_there)
    }
}

#[async_trait]
impl Destination for BucketDestination {
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        let Some(size) = self.wished(wish).await? else { return Ok(None) };
        let digest = wish.blob.digest.clone();
        lock(&self.used).insert(digest.clone());
        Ok(Some(Stored { digest, size, how: How::Present }))
    }

    async fn put_blob(&self, blob: Blob, _role: Role) -> Result<Stored, Error> {
        self.bucket().prepare().await?;
        let (digest, size) = match blob.digest().cloned() {
            Some(digest) => {
                let size = self.put_named(blob, &digest).await?;
                (digest, size)
            }
            None => self.put_nameless(blob).await?,
        };
        self.bucket().has_now(&digest, size);
        lock(&self.used).insert(digest.clone());
        Ok(Stored { digest, size, how: How::Moved })
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        let digest = digest_of(manifest, which)?;
        self.bucket().prepare().await?;
        self.editor.put_small(&digest, &manifest.bytes).await?;
        lock(&self.used).insert(digest.clone());
        lock(&self.referrers).note(digest, manifest);
        if *which == Which::Top {
            *lock(&self.top) = Some(manifest.clone());
        }
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        if signatures.is_empty() {
            return Ok(());
        }
        require_kept(signatures, &self.accepts)?;
        let subject = signed(which, lock(&self.top).as_ref())?;
        let there = match self.bucket().index_if_any().await? {
            Some((_, index)) => {
                let (bucket, subject) = (self.bucket().clone(), subject.clone());
                files::blocking(move || referrers::bundles(&*bucket, &index, &subject)).await?
            }
            None => HashSet::new(),
        };
        let carriers = lock(&self.referrers).carriers(&subject, signatures, &there)?;
        for carrier in carriers {
            for (blob, bytes) in &carrier.blobs {
                self.editor.put_small(&blob.digest, bytes).await?;
                lock(&self.used).insert(blob.digest.clone());
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
        lock(&self.referrers).add(subject, referrer, manifest)?;
        Ok(())
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        let put = lock(&self.top).take();
        if put.as_ref() != Some(top) {
            return Err(CommitError::NothingToCommit.into());
        }
        self.publish(put).await
    }

    async fn commit_referrers(self: Box<Self>) -> Result<(), Error> {
        if lock(&self.referrers).is_empty() {
            return Ok(());
        }
        self.publish(None).await
    }

    async fn abandon(self: Box<Self>) {
        self.bucket().store().settle().await;
    }
}
