//! The blobs of a tar that several write to: each goes in once.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use skopeo_archive::{Entry, Writer};
use skopeo_blob::{Blob, StreamError};
use skopeo_image::Digest;
use skopeo_image::number::wide;

use crate::Error;

/// What is in a tar, or on its way there, by its digest.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<BTreeMap<Digest, Slot>>);

/// The size of a blob that is there. Locked while it is on its way.
type Slot = Arc<tokio::sync::Mutex<Option<u64>>>;

impl Slots {
    /// The size of a blob that is there, or that `take` brings. Waits for who brings it now.
    pub(crate) async fn size<F>(
        &self,
        digest: &Digest,
        take: impl FnOnce() -> F + Send,
    ) -> Result<Option<u64>, Error>
    where
        F: Future<Output = Result<Option<u64>, Error>> + Send,
    {
        let slot = self.slot(digest);
        let mut there = slot.lock().await;
        if there.is_none() {
            *there = take().await?;
        }
        Ok(*there)
    }

    /// Whether a blob is there, as far as can be said at once.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.slot(digest).try_lock().is_ok_and(|size| size.is_some())
    }

    /// Writes a blob where `name` says, if it is not there. Gives its digest and size, and whether
    /// it is new.
    pub(crate) async fn put(
        &self,
        writer: &Writer,
        blob: Blob,
        name: fn(&Digest) -> String,
    ) -> Result<(Digest, u64, bool), Error> {
        let Some(digest) = blob.digest().cloned() else {
            let unless_there = |digest: &Digest| (!self.has(digest)).then(|| name(digest));
            let (digest, size) = writer.put_blob(blob, unless_there).await?;
            *self.slot(&digest).lock().await = Some(size);
            return Ok((digest, size, true));
        };
        let slot = self.slot(&digest);
        let mut there = slot.lock().await;
        if let Some(actual) = *there {
            // Who says that it is of another size says that it is another blob.
            return match blob.size() {
                Some(expected) if expected != actual => {
                    Err(StreamError::Size { expected, actual }.into())
                }
                _ => Ok((digest, actual, false)),
            };
        }
        let (digest, size) = writer.put_blob(blob, |digest| Some(name(digest))).await?;
        *there = Some(size);
        Ok((digest, size, true))
    }

    /// The same with what is in memory.
    pub(crate) async fn put_bytes(
        &self,
        writer: &Writer,
        digest: &Digest,
        bytes: &[u8],
        name: fn(&Digest) -> String,
    ) -> Result<(), Error> {
        let slot = self.slot(digest);
        let mut there = slot.lock().await;
        if there.is_none() {
            writer.put(&[Entry::File { name: name(digest), bytes: bytes.to_vec() }]).await?;
            *there = Some(wide(bytes.len()));
        }
        Ok(())
    }

    fn slot(&self, digest: &Digest) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(digest.clone()).or_default().clone()
    }
}
