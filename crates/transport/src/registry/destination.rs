//! Writing `docker:`: reuse, mount, upload.

use std::collections::HashMap;
use std::io::Seek;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use skopeo_blob::{Blob, StreamError, Unverified, file};
use skopeo_config::signatures::Access;
use skopeo_image::{Digest, MediaType, RawManifest, Signature, SignatureKind, Which};
use skopeo_registry::{BoxError, Mount, Repository, RetryWith, UploadError, UploadSession};

use super::DockerError;
use super::ledger::Ledger;
use super::lookaside::Lookaside;
use super::referrers::ReferrerWriter;
use super::{DockerName, attachments, bundles, kept, place, same_registry};
use crate::signature_error::SignaturesError;
use crate::{
    Accepts, Destination, Error, How, ImageName, KeptSignatures, LayerForm, Options, Probe,
    PutManifestError, Referrer, Role, Stored, Wish, files, manifest,
};

/// Prepares to write an image. No request is sent yet.
pub(crate) async fn create(
    name: &DockerName,
    options: &Options,
) -> Result<RegistryDestination, Error> {
    Ok(RegistryDestination {
        image: ImageName::Docker(name.clone()),
        name: name.clone(),
        accepts: Accepts {
            manifests: vec![
                MediaType::OCI_MANIFEST,
                MediaType::DOCKER_MANIFEST,
                MediaType::OCI_INDEX,
                MediaType::DOCKER_LIST,
                MediaType::DOCKER_SCHEMA1_SIGNED,
                MediaType::DOCKER_SCHEMA1,
            ],
            layers: LayerForm::Compressed,
            signatures: KeptSignatures::All,
            foreign_layers: true,
            embedded_name: Some(name.written().to_string()),
            digest: name.reference.digest.clone(),
            concurrency: files::CONCURRENCY,
        },
        lookaside: Lookaside::new(&options.config, name.reference(), Access::Write)?,
        repository: place(name, options).await?.for_writing(),
        options: options.clone(),
        referrers: ReferrerWriter::default(),
        state: Mutex::default(),
    })
}

/// A place in a registry that an image is written to.
#[derive(Debug)]
pub(crate) struct RegistryDestination {
    image: ImageName,
    name: DockerName,
    accepts: Accepts,
    lookaside: Lookaside,
    repository: Repository,
    options: Options,
    referrers: ReferrerWriter,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Uploads that the registry opened when it was asked to mount.
    sessions: HashMap<Digest, UploadSession>,
    /// Whether long requests have failed in a way that short ones may not.
    chunked: bool,
    /// Whether the registry takes a blob in one request only, which needs its digest.
    whole: bool,
    /// The digest of the image's own manifest, once it has been put.
    top: Option<Digest>,
}

impl RegistryDestination {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> &Ledger {
        self.options.connections.ledger()
    }

    fn stored(&self, digest: &Digest, size: u64, how: How) -> Stored {
        self.ledger().saw_blob(&self.name.reference.name, digest, size);
        Stored { digest: digest.clone(), size, how }
    }

    async fn exists(&self, digest: &Digest) -> Result<Option<Stored>, Error> {
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

    /// Another repository of the registry that has the blob, as far as that is known.
    fn elsewhere(&self, wish: &Wish<'_>) -> Option<String> {
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

    fn upload_failed(&self, error: UploadError) -> Error {
        match error {
            UploadError::Body(error) => match error.downcast::<StreamError>() {
                Ok(error) => Error::Stream(*error),
                Err(source) => {
                    Error::Stream(StreamError::Read { source, transient: false, tried: 1 })
                }
            },
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

    /// Refuses signatures that lie beside the image, where nobody may put any.
    fn require_attachments(&self) -> Result<(), Error> {
        let signatures = self.options.config.signatures()?;
        match signatures.use_sigstore_attachments(self.name.reference()) {
            true => Ok(()),
            false => Err(SignaturesError::AttachmentsDisabled.into()),
        }
    }
}

#[async_trait]
impl Probe for RegistryDestination {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        let Some(reference) = self.name.written_as() else { return Ok(None) };
        let (ledger, name) = (self.ledger(), &self.name.reference.name);
        if self.options.registry.trusts_ledger
            && let Some(known) = self.name.tag().and_then(|tag| ledger.tag(name, tag))
        {
            return Ok(Some(known));
        }
        let lacking = self.ledger().lacking(&self.name.reference.name);
        if let Some(tag) = self.name.tag()
            && lacking.tag(&self.repository, tag).await
        {
            return Ok(None);
        }
        match self.repository.head_manifest(reference).await {
            Ok(head) => {
                if let (Some(tag), Some(digest)) = (self.name.tag(), &head.digest) {
                    ledger.saw_tag(name, tag, digest);
                }
                Ok(head.digest)
            }
            // Whatever the reason for not telling, writing will show it.
            Err(error) if error.status().is_some() => {
                if error.is_not_found() {
                    lacking.missed_tag();
                }
                if let Some(tag) = self.name.tag() {
                    ledger.forget_tag(name, tag);
                }
                tracing::debug!("{}", crate::chain(&error));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks what [`reuse`](Destination::reuse) asks, in its order, but for what changes something:
    /// a registry is believed to mount.
    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        let digest = &wish.blob.digest;
        let fits = |size| wish.blob.size.is_none_or(|wished| wished == size);
        let (ledger, name) = (self.ledger(), &self.name.reference.name);
        if ledger.blob_in(name, digest).is_some_and(fits) {
            return Ok(Some(How::Present));
        }
        let is_elsewhere = || wish.blob.size.is_some() && self.elsewhere(wish).is_some();
        if ledger.mounts(name.domain()) && is_elsewhere() {
            return Ok(Some(How::Mounted));
        }
        if let Some(stored) = self.exists(digest).await? {
            return Ok(fits(stored.size).then_some(How::Present));
        }
        Ok(is_elsewhere().then_some(How::Mounted))
    }

    fn pool(&self) -> Option<String> {
        Some(self.name.reference.name.domain().to_owned())
    }

    fn room(&self) -> Option<String> {
        Some(self.name.reference.name.to_string())
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn keeps_signatures(&self, kind: SignatureKind) -> Result<(), Error> {
        match kind {
            SignatureKind::Simple if self.repository.client().keeps_signatures() => Ok(()),
            SignatureKind::Simple => self.lookaside.require_writable(),
            SignatureKind::Sigstore => self.require_attachments(),
            // They are asked for by name, and hang where everything may.
            SignatureKind::Bundle => Ok(()),
        }
    }

    fn keeps_referrers(&self) -> Result<(), &'static str> {
        Ok(())
    }

    async fn has_referrer(&self, subject: &Digest, referrer: &Referrer) -> Result<bool, Error> {
        self.referrers.has(&self.repository, subject, referrer).await
    }
}

#[async_trait]
impl Destination for RegistryDestination {
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
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

    async fn put_blob(&self, blob: Blob, _role: Role) -> Result<Stored, Error> {
        let mut blob = blob;
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
        let (session, chunked) = {
            let mut state = self.state();
            let session = digest.as_ref().and_then(|digest| state.sessions.remove(digest));
            (session, state.chunked && !state.whole)
        };
        let sent = if chunked {
            self.repository.upload_chunked(digest.as_ref(), size, body).await
        } else if let (Some(digest), Some(size)) = (&digest, size)
            && self.ledger().wants_upload(size)
        {
            self.upload_noted(session, digest, size, body).await
        } else {
            self.repository.upload(session, digest.as_ref(), size, body).await
        };
        let (digest, size) = sent.map_err(|error| self.upload_failed(error))?;
        Ok(self.stored(&digest, size, How::Moved))
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        let digest = match which {
            Which::Top => match &self.name.reference.digest {
                // Under a tag the registry would take any other.
                Some(digest) => {
                    manifest::check(manifest, digest)?;
                    digest.clone()
                }
                None => manifest.digest().map_err(Error::from)?,
            },
            Which::Instance(digest) => {
                manifest::check(manifest, digest)?;
                digest.clone()
            }
        };
        let reference = match which {
            Which::Top => self.name.written_as().unwrap_or(digest.as_str()),
            Which::Instance(_) => digest.as_str(),
        };
        if *which == Which::Top {
            // Its referrers are found from the moment on in which it has a name.
            self.referrers.finish(&self.repository).await?;
        }
        // What comes of it is known only from the answer.
        let (ledger, name) = (self.ledger(), &self.name.reference.name);
        let tag = self.name.tag().filter(|_| *which == Which::Top);
        if let Some(tag) = tag {
            ledger.forget_tag(name, tag);
        }
        put(&self.repository, reference, manifest).await?;
        if let Some(tag) = tag {
            ledger.saw_tag(name, tag, &digest);
        }
        if *which == Which::Top {
            self.state().top = Some(digest);
        }
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        let digest = match which {
            Which::Instance(digest) => digest.clone(),
            Which::Top => self.state().top.clone().ok_or(Error::NothingToCommit)?,
        };
        let of = |kind| -> Vec<Signature> {
            signatures.iter().filter(|it| it.kind() == kind).cloned().collect()
        };
        let beside = of(SignatureKind::Sigstore);
        if !beside.is_empty() {
            self.require_attachments()?;
            attachments::write(&self.repository, &digest, &beside).await?;
        }
        let referrers = of(SignatureKind::Bundle);
        if !referrers.is_empty() {
            bundles::write(&self.repository, &self.referrers, &digest, &referrers).await?;
        }
        let simple = of(SignatureKind::Simple);
        if self.repository.client().keeps_signatures() {
            return kept::write(&self.repository, &digest, &simple).await;
        }
        self.lookaside.write(&digest, &simple)
    }

    async fn put_referrer(
        &self,
        subject: &Digest,
        referrer: &Referrer,
        manifest: &RawManifest,
    ) -> Result<(), PutManifestError> {
        self.referrers.put(&self.repository, subject, referrer, manifest).await
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        // The tag was given with the manifest, which is the last thing that is put.
        if self.state().top != Some(top.digest()?) {
            return Err(Error::NothingToCommit);
        }
        Ok(())
    }

    async fn commit_referrers(self: Box<Self>) -> Result<(), Error> {
        self.referrers.finish(&self.repository).await
    }

    async fn abandon(self: Box<Self>) {
        let sessions = std::mem::take(&mut self.state().sessions);
        for session in sessions.into_values() {
            self.repository.cancel_upload(session).await;
        }
    }
}

/// Writes a manifest under a tag or its digest; gives back whose referrer the registry says it is.
pub(super) async fn put(
    repository: &Repository,
    reference: &str,
    manifest: &RawManifest,
) -> Result<Option<Digest>, PutManifestError> {
    match repository.put_manifest(reference, manifest).await {
        Ok(subject) => Ok(subject),
        Err(error) if error.is_manifest_type_rejected() => Err(PutManifestError::TypeRejected {
            media_type: manifest.media_type.clone(),
            source: Some(Box::new(error.into())),
        }),
        Err(error) => Err(Error::from(error).into()),
    }
}
