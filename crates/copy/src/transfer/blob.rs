//! One blob through the steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::StreamExt;
use skopeo_blob::crypt::{self, CryptError, LayerKey, Sealed};
use skopeo_blob::{Blob, Recode, Unverified};
use skopeo_image::number::wide;
use skopeo_image::{Compression, Descriptor, Digest};
use skopeo_transport::{How, Partial, Role, Stored, Wish};
use tokio::sync::SemaphorePermit;
use tracing::debug;

use super::once::Key;
use crate::error::{Side, sentence};
use crate::known::Made;
use crate::plan::{self, Crypt, DiffIds, Wanted};
use crate::{Encryption, Error, Event, Job};

/// The largest config that is read into memory, in bytes.
const CONFIG_LIMIT: u64 = 4 << 20;

/// A blob that is to come to the destination.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) blob: Descriptor,
    pub(crate) role: Role,
    pub(crate) wanted: Wanted,
    pub(crate) crypt: Crypt,
    pub(crate) diff_ids: DiffIds,
    /// If set, what is there in another compression is of no use.
    pub(crate) only: Option<Compression>,
}

impl Item {
    /// A config, or bytes of ours: nothing is to be done to it.
    pub(crate) fn config(blob: &Descriptor) -> Self {
        Self {
            blob: blob.clone(),
            role: Role::Config,
            wanted: Wanted::Opaque,
            crypt: Crypt::Keep,
            diff_ids: DiffIds::NotNeeded,
            only: None,
        }
    }

    /// Whether the blob would do as it is at the source, as far as that declares it.
    pub(crate) fn is_usable(&self) -> bool {
        let declared = declared(&self.blob);
        let fits = |only| {
            declared == Some(only)
                // zstd with a table of contents is zstd.
                || (declared, only) == (Some(Compression::ZstdChunked), Compression::Zstd)
        };
        self.crypt == Crypt::Keep
            && self.only.is_none_or(fits)
            && (self.wanted != Wanted::Plain
                || declared.is_none_or(|declared| declared == Compression::Uncompressed))
    }

    /// Whether what is sent is what is read, as far as the source declares it.
    pub(crate) fn is_kept(&self) -> bool {
        let recode = declared(&self.blob).map(|declared| plan::recode(declared, self.wanted));
        self.crypt == Crypt::Keep && recode.is_none_or(|recode| recode == Recode::Keep)
    }
}

/// A blob that is at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// How it came to be there.
    pub(crate) how: How,
    /// How it is packed, if that is known well enough to be said in a manifest.
    pub(crate) compression: Option<Compression>,
    /// Whether its bytes are others than the source's.
    pub(crate) recoded: bool,
    /// What a manifest has to say of them if they are.
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) crypted: Crypted,
    pub(crate) diff_id: Option<Digest>,
}

/// What became of a layer's encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Crypted {
    #[default]
    Keep,
    /// With what its annotations have to say about it.
    Encrypted(BTreeMap<String, String>),
    Decrypted,
}

impl Job<'_> {
    /// Brings a blob to the destination, once, however often it is asked for.
    pub(crate) async fn bring(&self, item: &Item) -> Result<Moved, Error> {
        let key = Key { crypt: item.crypt, ..Key::new(&item.blob, item.wanted, item.diff_ids) };
        let moved = self.once.get(key, || self.bring_once(item)).await?;
        self.tell_done(&item.blob.digest, &moved);
        Ok(moved)
    }

    fn tell_done(&self, digest: &Digest, moved: &Moved) {
        self.session.tell(Event::BlobDone {
            digest: digest.clone(),
            stored: moved.digest.clone(),
            size: moved.size,
        });
    }

    async fn bring_once(&self, item: &Item) -> Result<Moved, Error> {
        // Another image of the run may be bringing it just now: then it will be there.
        let _turn = match item.crypt {
            Crypt::Keep => self.session.turn(self.destination.pool(), &item.blob.digest).await,
            _ => None,
        };
        // What is encrypted is never the same twice, and what is in an encrypted layer is not known.
        let reused = if item.crypt == Crypt::Keep { self.reuse(item).await? } else { None };
        if let Some(mut moved) = reused {
            let digest = item.blob.digest.clone();
            self.session.tell(Event::BlobReused { digest, how: moved.how });
            if item.diff_ids == DiffIds::Needed {
                moved.diff_id = Some(self.diff_id(&item.blob).await?);
            }
            return Ok(moved);
        }
        let _permit = self.permit().await;
        // What declares nothing is schema 1, which is packed with gzip but for very old images.
        let declared = match item.blob.media_type.decrypted() {
            Some(decrypted) => decrypted.compression(),
            None => declared(&item.blob),
        };
        let declared = declared.unwrap_or(Compression::Gzip);
        let _codec = if plan::recode(declared, item.wanted) == Recode::Keep {
            None
        } else {
            self.session.codec().await
        };
        self.patiently(&item.blob.digest, || self.send(item)).await
    }

    /// The blob, or what this program made of it before, if the destination has it or can take it
    /// from elsewhere.
    async fn reuse(&self, item: &Item) -> Result<Option<Moved>, Error> {
        let declared = declared(&item.blob);
        if item.is_usable()
            && let Some(moved) = self.ask(item, &item.blob, declared, None).await?
        {
            return Ok(Some(moved));
        }
        let Some(declared) = declared else { return Ok(None) };
        let recode = plan::recode(declared, item.wanted);
        let Some(made) = self.session.known().recoded(&item.blob.digest, recode) else {
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
    ) -> Result<Option<Moved>, Error> {
        let _permit = self.checks.acquire().await;
        let wish = Wish { blob, role: item.role, from: self.source.name(), compression: item.only };
        let stored = self.writer().reuse(&wish).await;
        let stored = stored.map_err(|source| Error::Reuse {
            digest: blob.digest.clone(),
            source: source.into(),
        })?;
        let Some(stored) = stored else { return Ok(None) };
        require_same(&blob.digest, &stored.digest)?;
        let compression = compression.filter(|_| item.wanted != Wanted::Opaque);
        let Stored { digest, size, how } = stored;
        let (recoded, annotations) = (recoded.is_some(), recoded.unwrap_or_default());
        let crypted = Crypted::Keep;
        let diff_id = None;
        Ok(Some(Moved { digest, size, how, compression, recoded, annotations, crypted, diff_id }))
    }

    /// Fetches the blob and writes it; where a part of it is at the destination, only the rest.
    async fn send(&self, item: &Item) -> Result<Moved, Error> {
        if let Some(blob) = self.resume(item).await? {
            match self.send_blob(item, blob).await {
                Err(error @ Error::ReadBlob { transient: false, .. }) => {
                    debug!("the part of a blob was none, or not of that one: {}", sentence(&error));
                }
                sent => return sent,
            }
        }
        let key = self.layer_key(item).await?;
        let blob = self.open(&item.blob).await?;
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
        let partial = self.writer().partial(&item.blob).await;
        let partial = partial.unwrap_or_else(|error| {
            debug!("looking for a part of blob {digest}: {error}");
            None
        });
        let Some(Partial { size: offset, bytes }) = partial else { return Ok(None) };
        let rest = if offset < size {
            let rest = self.source.blob_from(&item.blob, offset).await;
            rest.map_err(|error| Error::of_blob(digest, error, Side::Reading))?
        } else {
            Some(Unverified::new(futures_util::stream::empty().boxed(), Some(0)))
        };
        let Some(rest) = rest else { return Ok(None) };
        debug!("going on with blob {digest} after {offset} bytes");
        self.session.tell(Event::BlobResumed { digest: digest.clone(), bytes: offset });
        Ok(Some(self.metered(rest.after(bytes, offset), &item.blob)))
    }

    /// Writes a blob, once through all steps.
    async fn send_blob(&self, item: &Item, blob: Blob) -> Result<Moved, Error> {
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
        let blob = self.session.write(blob);
        let stored = self.writer().put_blob(blob, item.role).await;
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
            self.session.known().learn_diff_id(digest, diff_id);
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
            self.session.known().learn_recoded(digest, recode, made);
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
        Ok(Moved { digest, size, how, compression, recoded, annotations, crypted, diff_id })
    }

    /// The key of a layer that is to be decrypted, before any of its bytes are asked for.
    async fn layer_key(&self, item: &Item) -> Result<Option<LayerKey>, Error> {
        match &self.request.encryption {
            Some(Encryption::Decrypt(keys)) if item.crypt == Crypt::Decrypt => {
                let digest = item.blob.digest.clone();
                let key = keys.open(&item.blob.annotations).await;
                key.map(Some).map_err(|source| Error::Decrypt { digest, source })
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
        let Some(Encryption::Encrypt { recipients, .. }) = &self.request.encryption else {
            return Ok(BTreeMap::new());
        };
        let annotate = async { recipients.annotate(sealed.key().await?, digest).await };
        annotate.await.map_err(|source| encrypting(digest, source))
    }

    /// The bytes of a blob at the source, as they will be verified and counted.
    async fn open(&self, blob: &Descriptor) -> Result<Blob, Error> {
        let unverified = self.source.blob(blob).await;
        let unverified =
            unverified.map_err(|error| Error::of_blob(&blob.digest, error, Side::Reading))?;
        Ok(self.metered(unverified, blob))
    }

    fn metered(&self, unverified: Unverified, blob: &Descriptor) -> Blob {
        let events = self.session.events.clone();
        let digest = blob.digest.clone();
        let count = move |bytes| events(Event::BlobMoved { digest: digest.clone(), bytes });
        let blob = self.session.read(unverified.expect(&blob.digest, blob.size));
        skopeo_blob::meter(blob, Arc::new(count))
    }

    /// The digest of what is in a blob, which need not be written.
    pub(crate) async fn diff_id(&self, blob: &Descriptor) -> Result<Digest, Error> {
        if let Some(diff_id) = self.session.known().diff_id(&blob.digest) {
            return Ok(diff_id);
        }
        let _permit = self.permit().await;
        let diff_id = self
            .patiently(&blob.digest, || async {
                let failed = |error: skopeo_blob::StreamError| {
                    Error::of_blob(&blob.digest, error.into(), Side::Reading)
                };
                let (sniffed, bytes) =
                    skopeo_blob::sniff(self.open(blob).await?).await.map_err(failed)?;
                let (bytes, diff_id) = skopeo_blob::diff_id(bytes, sniffed);
                let mut stream = bytes.into_stream();
                while let Some(piece) = stream.next().await {
                    piece.map_err(failed)?;
                }
                diff_id.get().await.map_err(failed)
            })
            .await?;
        self.session.known().learn_diff_id(&blob.digest, &diff_id);
        Ok(diff_id)
    }

    /// The bytes of a config, verified.
    pub(crate) async fn read_config(&self, blob: &Descriptor) -> Result<Bytes, Error> {
        let too_large =
            |size| Error::LargeConfig { digest: blob.digest.clone(), size, limit: CONFIG_LIMIT };
        if let Some(size) = blob.size.filter(|size| *size > CONFIG_LIMIT) {
            return Err(too_large(size));
        }
        let _permit = self.permit().await;
        self.patiently(&blob.digest, || async {
            let mut stream = self.open(blob).await?.into_stream();
            let mut bytes = BytesMut::new();
            while let Some(piece) = stream.next().await {
                let piece = piece
                    .map_err(|error| Error::of_blob(&blob.digest, error.into(), Side::Reading))?;
                bytes.extend_from_slice(&piece);
                if wide(bytes.len()) > CONFIG_LIMIT {
                    return Err(too_large(wide(bytes.len())));
                }
            }
            Ok(bytes.freeze())
        })
        .await
    }

    /// Writes bytes that this program has in memory, if they are not there.
    pub(crate) async fn put_bytes(
        &self,
        blob: &Descriptor,
        bytes: &Bytes,
        role: Role,
    ) -> Result<(), Error> {
        let item = Item { role, ..Item::config(blob) };
        let key = Key::new(blob, item.wanted, item.diff_ids);
        let moved = self
            .once
            .get(key, || async {
                if let Some(moved) = self.reuse(&item).await? {
                    let digest = blob.digest.clone();
                    self.session.tell(Event::BlobReused { digest, how: moved.how });
                    return Ok(moved);
                }
                let _permit = self.permit().await;
                let stored = self.writer().put_blob(Blob::of_bytes(bytes.clone()), role).await;
                let stored =
                    stored.map_err(|error| Error::of_blob(&blob.digest, error, Side::Writing))?;
                require_same(&blob.digest, &stored.digest)?;
                Ok(Moved {
                    digest: stored.digest,
                    size: stored.size,
                    how: stored.how,
                    compression: None,
                    recoded: false,
                    annotations: BTreeMap::new(),
                    crypted: Crypted::Keep,
                    diff_id: None,
                })
            })
            .await?;
        self.tell_done(&blob.digest, &moved);
        Ok(())
    }

    /// The right to move a blob: of this image, and of the run.
    async fn permit(&self) -> (Option<SemaphorePermit<'_>>, Option<SemaphorePermit<'_>>) {
        // It is never closed.
        let own = self.permits.acquire().await.ok();
        (own, self.session.blob().await)
    }

    /// Tries again what broke on its way, a few times, further and further apart.
    async fn patiently<T, F>(&self, digest: &Digest, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let patience = self.session.patience;
        let mut pause = patience.first_pause;
        let mut tried = 1;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            // What has been tried below as often as it may be says so itself.
            if error.is_spent() {
                return Err(error);
            }
            if !error.is_transient() || tried >= patience.attempts {
                return Err(error.after(tried));
            }
            let error = sentence(&error);
            debug!("trying blob {digest} again in {pause:?}: {error}");
            self.session.tell(Event::BlobAgain { digest: digest.clone(), tried, error });
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
            tried = tried.saturating_add(1);
        }
    }
}

/// How the manifest says that a blob is packed.
fn declared(blob: &Descriptor) -> Option<Compression> {
    let declared = blob.media_type.compression();
    declared.map(|declared| skopeo_blob::with_annotations(declared, &blob.annotations))
}

/// What a blob is packed with after `recode`.
fn result_of(recode: Recode, before: Compression) -> Compression {
    match recode {
        Recode::Keep => before,
        Recode::Decompress { .. } => Compression::Uncompressed,
        Recode::Compress { to } | Recode::Recompress { to, .. } => to.compression(),
    }
}

fn encrypting(digest: &Digest, source: CryptError) -> Error {
    Error::Encrypt { digest: digest.clone(), source }
}

fn require_same(expected: &Digest, stored: &Digest) -> Result<(), Error> {
    if expected == stored {
        return Ok(());
    }
    Err(Error::Stored { expected: expected.clone(), stored: stored.clone() })
}
