//! Writing `docker:`: questions, manifests, signatures. `blobs` reuses, mounts and uploads them.

mod blobs;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skopeo_blob::Blob;
use skopeo_config::signatures::Access;
use skopeo_image::{Digest, MediaType, RawManifest, Signature, SignatureKind, Which};
use skopeo_registry::{Repository, UploadSession};

use super::ledger::Ledger;
use super::lookaside::Lookaside;
use super::referrers::ReferrerWriter;
use super::{DockerName, attachments, bundles, kept, place};
use crate::signature_error::SignaturesError;
use crate::{
    Accepts, CommitError, Destination, Error, How, ImageName, KeptSignatures, LayerForm, Options,
    Probe, PutManifestError, Referrer, Role, Stored, Wish, files, manifest,
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
    /// Uploads over lines that broke.
    broken: HashMap<Digest, UploadSession>,
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
        self.reuse_blob(wish).await
    }

    async fn put_blob(&self, blob: Blob, _role: Role) -> Result<Stored, Error> {
        self.send_blob(blob).await
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
            Which::Top => self.state().top.clone().ok_or(CommitError::NothingToCommit)?,
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
            return Err(CommitError::NothingToCommit.into());
        }
        Ok(())
    }

    async fn commit_referrers(self: Box<Self>) -> Result<(), Error> {
        self.referrers.finish(&self.repository).await
    }

    async fn abandon(self: Box<Self>) {
        let State { sessions, broken, .. } = std::mem::take(&mut *self.state());
        for session in sessions.into_values().chain(broken.into_values()) {
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
