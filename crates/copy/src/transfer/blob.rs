//! One blob through the steps.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::StreamExt;
use skopeo_blob::crypt::{self, CryptError, LayerKey, Sealed};
use skopeo_blob::{Blob, Recode, Unverified};
use skopeo_image::{Compression, Descriptor, Digest};
use skopeo_transport::{Partial, Role, Stored, Wish};
use tracing::debug;

use crate::error::{Side, sentence};
use crate::item::{Crypted, Item, TransferredBlob, result_of};
use crate::job::Execution;
use crate::known::Made;
use crate::plan::{self, Crypt, DiffIds, Wanted};
use crate::scheduler::BlobLock;
use crate::{BlobError, BlobEvent, Encryption, Error, Event};

impl Execution<'_> {
    /// Transfers a blob to the destination, once, however often it is asked for.
    pub(crate) async fn transfer(&self, item: &Item) -> Result<TransferredBlob, Error> {
        let key = item.key();
        let transferred = self.job.scheduler.once(key, || self.transfer_once(item)).await?;
        self.emit_done(&item.blob.digest, &transferred);
        Ok(transferred)
    }

    fn emit_done(&self, digest: &Digest, transferred: &TransferredBlob) {
        self.job.session.emit(Event::Blob(BlobEvent::Done {
            digest: digest.clone(),
            stored: transferred.digest.clone(),
            size: transferred.size,
        }));
    }

    async fn transfer_once(&self, item: &Item) -> Result<TransferredBlob, Error> {
        // Another image of the run may be bringing it just now: then it will be there.
        let _lock = match item.crypt {
            Crypt::Keep => self.lock(&item.blob.digest).await,
            _ => None,
        };
        // What is encrypted is never the same twice, and what is in an encrypted layer is not known.
        let reused = if item.crypt == Crypt::Keep { self.reuse(item).await? } else { None };
        if let Some(mut transferred) = reused {
            let digest = item.blob.digest.clone();
            self.job.session.emit(Event::Blob(BlobEvent::Reused { digest, how: transferred.how }));
            if item.diff_ids == DiffIds::Needed {
                transferred.diff_id = Some(self.job.diff_id(&item.blob).await?);
            }
            return Ok(transferred);
        }
        let _permit = self.job.scheduler.transfer(item.blob.size).await;
        // What declares nothing is schema 1, which is packed with gzip but for very old images.
        let declared = match item.blob.media_type.decrypted() {
            Some(decrypted) => decrypted.compression(),
            None => item.declared(),
        };
        let declared = declared.unwrap_or(Compression::Gzip);
        let _codec = if plan::recode(declared, item.wanted) == Recode::Keep {
            None
        } else {
            self.job.scheduler.codec().await
        };
        self.job.with_retries(&item.blob.digest, || self.send(item)).await
    }

    /// Waits until no other image of the run brings this blob to where this one goes.
    async fn lock(&self, blob: &Digest) -> Option<BlobLock> {
        self.job.scheduler.blob_lock(self.destination.pool(), blob).await
    }

    /// The blob, or what this program made of it before, if the destination has it or can take it
    /// from elsewhere.
    async fn reuse(&self, item: &Item) -> Result<Option<TransferredBlob>, Error> {
        let declared = item.declared();
        if item.is_usable()
            && let Some(transferred) = self.ask(item, &item.blob, declared, None).await?
        {
            return Ok(Some(transferred));
        }
        let Some(declared) = declared else { return Ok(None) };
        let recode = plan::recode(declared, item.wanted);
        let Some(made) = self.job.session.known().recoded(&item.blob.digest, recode) else {
            return Ok(None);
        };
        let size = Some(made.size);
        let blob = Descriptor { digest: made.digest, size, ..item.blob.clone() };
        self.ask(item, &blob, Some(result_of(recode, declared)), Some(made.annotations)).await
    }

    async fn ask(
        &self,
        item: &Item,
        blob: &Descriptor,
        compression: Option<Compression>,
        recoded: Option<BTreeMap<String, String>>,
    ) -> Result<Option<TransferredBlob>, Error> {
        let _permit = self.job.scheduler.question().await;
        let from = recoded.is_none().then(|| self.job.source.name());
        let wish = Wish { blob, role: item.role, from };
        let stored = self.destination.reuse(&wish).await;
        let stored = stored.map_err(|source| {
            Error::Blob(BlobError::Reuse { digest: blob.digest.clone(), source: source.into() })
        })?;
        let Some(stored) = stored else { return Ok(None) };
        require_same(&blob.digest, &stored.digest)?;
        let compression = compression.filter(|_| item.wanted != Wanted::Opaque);
        let Stored { digest, size, how } = stored;
        let (recoded, annotations) = (recoded.is_some(), recoded.unwrap_or_default());
        let crypted = Crypted::Keep;
        let diff_id = None;
        Ok(Some(TransferredBlob {
            digest,
            size,
            how,
            compression,
            recoded,
            annotations,
            crypted,
            diff_id,
        }))
    }

    /// Fetches the blob and writes it; where a part of it is at the destination, only the rest.
    async fn send(&self, item: &Item) -> Result<TransferredBlob, Error> {
        if let Some(blob) = self.resume(item).await? {
            match self.send_blob(item, blob).await {
                Err(error @ Error::Blob(BlobError::Read { transient: false, .. })) => {
                    debug!("the part of a blob was none, or not of that one: {}", sentence(&error));
                }
                sent => return sent,
            }
        }
        let key = self.layer_key(item).await?;
        let blob = self.job.open(&item.blob).await?;
        let blob = match key {
            Some(key) => crypt::decrypt(blob, key),
            None => blob,
        };
        self.send_blob(item, blob).await
    }

    /// The blob behind the part of it that an earlier copy has left at the destination.
    async fn resume(&self, item: &Item) -> Result<Option<Blob>, Error> {
        let Some(size) = item.blob.size.filter(|_| item.is_kept()) else { return Ok(None) };
        let digest = &item.blob.digest;
        let partial = self.destination.partial(&item.blob).await;
        let partial = partial.unwrap_or_else(|error| {
            debug!("looking for a part of blob {digest}: {error}");
            None
        });
        let Some(Partial { size: offset, bytes }) = partial else { return Ok(None) };
        let rest = if offset < size {
            let rest = self.job.source.blob_from(&item.blob, offset).await;
            rest.map_err(|error| Error::of_blob(digest, error, Side::Reading))?
        } else {
            Some(Unverified::new(futures_util::stream::empty().boxed(), Some(0)))
        };
        let Some(rest) = rest else { return Ok(None) };
        debug!("going on with blob {digest} after {offset} bytes");
        self.job
            .session
            .emit(Event::Blob(BlobEvent::Resumed { digest: digest.clone(), bytes: offset }));
        Ok(Some(self.job.metered(rest.after(bytes, offset), &item.blob)))
    }

    /// Writes a blob, once through all steps.
    async fn send_blob(&self, item: &Item, blob: Blob) -> Result<TransferredBlob, Error> {
        let digest = &item.blob.digest;
        let looks = item.wanted != Wanted::Opaque || item.diff_ids == DiffIds::Needed;
        let (sniffed, blob) = if looks {
            let sniffed = skopeo_blob::sniff(blob).await;
            let (sniffed, blob) =
                sniffed.map_err(|error| Error::of_blob(digest, error.into(), Side::Reading))?;
            (Some(skopeo_blob::with_annotations(sniffed, &item.blob.annotations)), blob)
        } else {
            (None, blob)
        };
        let (blob, diff_id) = match (item.diff_ids, sniffed) {
            (DiffIds::Needed, Some(sniffed)) => {
                let (blob, diff_id) = skopeo_blob::diff_id(blob, sniffed);
                (blob, Some(diff_id))
            }
            _ => (blob, None),
        };
        let recode = sniffed.map_or(Recode::Keep, |it| plan::recode(it, item.wanted));
        let (blob, annotations) = skopeo_blob::recode_annotated(blob, recode);
        let (blob, sealed) = if item.crypt == Crypt::Encrypt {
            let (blob, sealed) = crypt::encrypt(blob).map_err(|it| encrypting(digest, it))?;
            (blob, Some(sealed))
        } else {
            (blob, None)
        };
        let blob = self.job.session.write(blob);
        let stored = self.destination.put_blob(blob, item.role).await;
        let stored = stored.map_err(|error| Error::of_blob(digest, error, Side::Writing))?;
        let diff_id = match diff_id {
            Some(diff_id) => Some(
                diff_id
                    .get()
                    .await
                    .map_err(|error| Error::of_blob(digest, error.into(), Side::Reading))?,
            ),
            None => None,
        };
        if let Some(diff_id) = diff_id.as_ref().filter(|_| item.crypt != Crypt::Decrypt) {
            self.job.session.known().learn_diff_id(digest, diff_id);
        }
        let annotations = annotations.get().await;
        if item.crypt != Crypt::Keep {
            debug!("blob {digest} became {} by {recode:?}, {:?}", stored.digest, item.crypt);
        } else if recode == Recode::Keep {
            require_same(digest, &stored.digest)?;
        } else {
            debug!("blob {digest} became {} by {recode:?}", stored.digest);
            let (annotations, size) = (annotations.clone(), stored.size);
            let made = Made { digest: stored.digest.clone(), size, annotations };
            self.job.session.known().learn_recoded(digest, recode, made);
        }
        let compression = sniffed
            .filter(|_| item.wanted != Wanted::Opaque)
            .map(|sniffed| result_of(recode, sniffed))
            // No media type can say these, so what the source's says is left as it is.
            .filter(|result| !matches!(result, Compression::Bzip2 | Compression::Xz));
        let recoded = recode != Recode::Keep;
        let crypted = match sealed {
            Some(sealed) => Crypted::Encrypted(self.annotations(&item.blob.digest, sealed).await?),
            None if item.crypt == Crypt::Decrypt => Crypted::Decrypted,
            None => Crypted::Keep,
        };
        let Stored { digest, size, how } = stored;
        Ok(TransferredBlob {
            digest,
            size,
            how,
            compression,
            recoded,
            annotations,
            crypted,
            diff_id,
        })
    }

    /// The key of a layer that is to be decrypted, before any of its bytes are asked for.
    async fn layer_key(&self, item: &Item) -> Result<Option<LayerKey>, Error> {
        match &self.job.request.encryption {
            Some(Encryption::Decrypt(keys)) if item.crypt == Crypt::Decrypt => {
                let digest = item.blob.digest.clone();
                let key = keys.open(&item.blob.annotations).await;
                key.map(Some).map_err(|source| Error::Blob(BlobError::Decrypt { digest, source }))
            }
            _ => Ok(None),
        }
    }

    /// What is to be said of a layer that was encrypted.
    async fn annotations(
        &self,
        digest: &Digest,
        sealed: Sealed,
    ) -> Result<BTreeMap<String, String>, Error> {
        let Some(Encryption::Encrypt { recipients, .. }) = &self.job.request.encryption else {
            return Ok(BTreeMap::new());
        };
        let annotate = async { recipients.annotate(sealed.key().await?, digest).await };
        annotate.await.map_err(|source| encrypting(digest, source))
    }

    /// Writes bytes that this program has in memory, if they are not there.
    pub(crate) async fn put_bytes(
        &self,
        blob: &Descriptor,
        bytes: &Bytes,
        role: Role,
    ) -> Result<(), Error> {
        let item = Item { role, ..Item::config(blob) };
        let scheduler = &self.job.scheduler;
        let transferred = scheduler
            .once(item.key(), || async {
                // Another image of the run may be writing the same.
                let _lock = self.lock(&blob.digest).await;
                if let Some(transferred) = self.reuse(&item).await? {
                    let digest = blob.digest.clone();
                    self.job
                        .session
                        .emit(Event::Blob(BlobEvent::Reused { digest, how: transferred.how }));
                    return Ok(transferred);
                }
                let _permit = scheduler.transfer(blob.size).await;
                let stored = self.destination.put_blob(Blob::of_bytes(bytes.clone()), role).await;
                let stored =
                    stored.map_err(|error| Error::of_blob(&blob.digest, error, Side::Writing))?;
                require_same(&blob.digest, &stored.digest)?;
                Ok(TransferredBlob::as_it_is(stored.digest, stored.size, stored.how))
            })
            .await?;
        self.emit_done(&blob.digest, &transferred);
        Ok(())
    }
}

fn encrypting(digest: &Digest, source: CryptError) -> Error {
    Error::Blob(BlobError::Encrypt { digest: digest.clone(), source })
}

fn require_same(expected: &Digest, stored: &Digest) -> Result<(), Error> {
    if expected == stored {
        return Ok(());
    }
    Err(Error::Blob(BlobError::StoredAs { expected: expected.clone(), stored: stored.clone() }))
}
