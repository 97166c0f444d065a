//! Blobs of `docker:`: reuse, mount, upload.

use std::io::Seek as _;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use skopeo_blob::{Blob, StreamError, Unverified, file};
use skopeo_image::Digest;
use skopeo_registry::{BoxError, Mount, RetryWith, UploadError, UploadSession};

use super::RegistryDestination;
use crate::registry::{DockerError, same_registry};
use crate::{Error, How, Stored, Wish};

impl RegistryDestination {
    /// Returns the blob if the registry has it, or mounts it from another repository.
    pub(super) async fn reuse_blob(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        let digest = &wish.blob.digest;
        let fits = |size| wish.blob.size.is_none_or(|wished| wished == size);
        let ledger = self.ledger();
        let name = &self.name.reference.name;
        if let Some(size) = ledger.blob_in(name, digest).filter(|it| fits(*it)) {
            return Ok(Some(Stored { digest: digest.clone(), size, how: How::Present }));
        }
        let registry = name.domain();
        // Where the registry has the bytes elsewhere, one question is the answer. Its size is the
        // manifest's word; without that, HEAD has to say it.
        let mut asked = None;
        if let (true, Some(size)) = (ledger.mounts(registry), wish.blob.size) {
            asked = self.elsewhere(wish);
            if let Some(from) = &asked
                && let Some(stored) = self.mount(digest, size, from).await?
            {
                return Ok(Some(stored));
            }
        }
        let lacking = ledger.lacking(name);
        let there = match lacking.blob(&self.repository, wish.blob.size).await {
            true => None,
            false => self.exists(digest).await?,
        };
        if let Some(stored) = there {
            if !fits(stored.size) {
                return Ok(None);
            }
            let session = self.state().sessions.remove(digest);
            if let Some(session) = session {
                self.repository.cancel_upload(session).await;
            }
            return Ok(Some(stored));
        }
        let mut mounted = None;
        if let (Some(from), Some(size)) = (self.elsewhere(wish), wish.blob.size)
            && asked.as_ref() != Some(&from)
        {
            mounted = self.mount(digest, size, &from).await?;
        }
        if mounted.is_none() {
            ledger.forget_blob(registry, digest);
        }
        Ok(mounted)
    }

    /// Sends a blob in a new upload, or in one that was begun before.
    pub(super) async fn send_blob(&self, mut blob: Blob) -> Result<Stored, Error> {
        let whole = self.state().whole;
        if blob.digest().is_none() && (self.options.registry.precompute_digests || whole) {
            blob = self.precompute(blob).await?;
            if let Some(digest) = blob.digest()
                && let Some(stored) = self.exists(digest).await?
            {
                return Ok(stored);
            }
        }
        let (digest, size) = (blob.digest().cloned(), blob.size());
        let mut body = blob.into_stream().map_err(BoxError::from).boxed();
        // The upload opens with the first bytes: a source that has none yet, or an error, opens none.
        let first = body.next().await;
        let body = stream::iter(first).chain(body).boxed();
        let broken = match (&digest, size) {
            (Some(digest), Some(size)) => self.broken_upload(digest, size).await,
            _ => None,
        };
        let (session, chunked) = {
            let mut state = self.state();
            let session = digest.as_ref().and_then(|digest| state.sessions.remove(digest));
            (session, state.chunked && !state.whole)
        };
        let sent = if let (Some((begun, has)), Some(digest), Some(size)) = (broken, &digest, size) {
            tracing::info!("Upload of {digest} goes on at byte {has}");
            self.repository.continue_upload(begun, has, digest, size, body).await
        } else if chunked {
            self.repository.upload_chunked(digest.as_ref(), size, body).await
        } else if let (Some(digest), Some(size)) = (&digest, size)
            && self.ledger().wants_upload(size)
        {
            self.upload_noted(session, digest, size, body).await
        } else {
            self.repository.upload(session, digest.as_ref(), size, body).await
        };
        let (digest, size) = sent.map_err(|error| self.upload_failed(digest.as_ref(), error))?;
        Ok(self.stored(&digest, size, How::Moved))
    }

    fn stored(&self, digest: &Digest, size: u64, how: How) -> Stored {
        self.ledger().saw_blob(&self.name.reference.name, digest, size);
        Stored { digest: digest.clone(), size, how }
    }

    pub(super) async fn exists(&self, digest: &Digest) -> Result<Option<Stored>, Error> {
        let size = match self.repository.head_blob(digest).await {
            // Some let their users write what they may not read, or know no HEAD: it is sent then.
            Err(error) if matches!(error.status(), Some(403 | 405)) => {
                tracing::debug!("assuming that {digest} does not exist: {error}");
                None
            }
            answer => answer?,
        };
        Ok(size.map(|size| self.stored(digest, size, How::Present)))
    }

    /// Returns another repository of the registry that has the blob, as far as that is known.
    pub(super) fn elsewhere(&self, wish: &Wish<'_>) -> Option<String> {
        let own = &self.name.reference.name;
        let from = wish.from.and_then(|from| same_registry(from, &self.name));
        let from = from.map(|it| it.reference.name.path());
        let (digest, size) = (&wish.blob.digest, wish.blob.size);
        let known = || self.ledger().repository_with(own.domain(), digest, size);
        from.map(str::to_owned).or_else(known).filter(|from| from != own.path())
    }

    /// Asks the registry to take the blob from another of its repositories.
    async fn mount(&self, digest: &Digest, size: u64, from: &str) -> Result<Option<Stored>, Error> {
        let mounted = self.repository.mount(digest, from).await;
        if let Ok(mounted) = &mounted {
            let registry = self.name.reference.name.domain();
            let mounted = matches!(mounted, Mount::Mounted);
            self.ledger().saw_mount(registry, mounted);
        }
        match mounted {
            Ok(Mount::Mounted) => return Ok(Some(self.stored(digest, size, How::Mounted))),
            Ok(Mount::NotMounted(session)) => {
                if let Some(session) = session {
                    self.state().sessions.insert(digest.clone(), session);
                }
            }
            // It is likely that we may just not read there.
            Err(error) if error.status().is_some() => tracing::debug!("mounting {digest}: {error}"),
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    }

    /// Writes a blob of unknown digest to a temporary file, since it may be there already.
    async fn precompute(&self, blob: Blob) -> Result<Blob, Error> {
        let temp = tempfile::tempfile_in(&self.options.tmpdir)?;
        let written = file::write(blob, temp).await?;
        let mut temp = written.file;
        temp.rewind()?;
        let stream = file::read(temp, written.size);
        Ok(Unverified::new(stream, Some(written.size)).expect(&written.digest, Some(written.size)))
    }

    /// Sends a blob in an upload that is written down while it lasts, or in one that is found to
    /// have been.
    async fn upload_noted(
        &self,
        session: Option<UploadSession>,
        digest: &Digest,
        size: u64,
        body: BoxStream<'static, Result<Bytes, BoxError>>,
    ) -> Result<(Digest, u64), UploadError> {
        let (ledger, name) = (self.ledger(), &self.name.reference.name);
        let repository = &self.repository;
        let begun = match ledger.end_upload(name, digest) {
            Some(location) => repository.find_upload(&location).await,
            None => None,
        };
        let sent = match begun.filter(|(_, has)| *has <= size) {
            Some((begun, has)) => {
                if let Some(session) = session {
                    repository.cancel_upload(session).await;
                }
                tracing::debug!("upload of {digest} goes on at byte {has}");
                ledger.begin_upload(name, digest, begun.location());
                repository.continue_upload(begun, has, digest, size, body).await
            }
            None => {
                let session = match session {
                    Some(session) => session,
                    None => repository.open_upload().await?,
                };
                ledger.begin_upload(name, digest, session.location());
                repository.upload(Some(session), Some(digest), Some(size), body).await
            }
        };
        // It is done, or was given up.
        ledger.end_upload(name, digest);
        sent
    }

    /// Returns the upload of a blob over a line that broke, and how many bytes of it the registry
    /// has. If it has none, or does not say, the line is not trusted with long requests any more.
    async fn broken_upload(&self, digest: &Digest, size: u64) -> Option<(UploadSession, u64)> {
        let broken = self.state().broken.remove(digest)?;
        let found = self.repository.find_upload(broken.location()).await;
        let found = found.filter(|(_, has)| *has <= size);
        if found.is_none() {
            self.repository.cancel_upload(broken).await;
            self.state().chunked = true;
        }
        found
    }

    fn upload_failed(&self, digest: Option<&Digest>, error: UploadError) -> Error {
        match error {
            UploadError::Body(error) => match error.downcast::<StreamError>() {
                Ok(error) => Error::Stream(*error),
                Err(source) => {
                    Error::Stream(StreamError::Read { source, transient: false, tried: 1 })
                }
            },
            UploadError::Broken { error, session } => {
                if let Some(digest) = digest {
                    self.state().broken.insert(digest.clone(), session);
                }
                DockerError::UploadAgain(Box::new(error)).into()
            }
            UploadError::Registry { error, retry_with } => {
                match retry_with {
                    Some(RetryWith::Chunked) => self.state().chunked = true,
                    Some(RetryWith::Whole) => self.state().whole = true,
                    Some(RetryWith::Same) | None => {}
                }
                if retry_with.is_some() {
                    DockerError::UploadAgain(Box::new(error)).into()
                } else {
                    error.into()
                }
            }
        }
    }
}
