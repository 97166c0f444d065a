//! Reading `docker:`.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use skopeo_blob::Unverified;
use skopeo_config::signatures::Access;
use skopeo_image::{Algorithm, Descriptor, Digest, RawManifest, Signature, Which};
use tokio::sync::Mutex;

use super::DockerError;
use super::foreign::{elsewhere_through, unverified};
use super::lookaside::Lookaside;
use super::mirrors::{Chosen, Want, choose};
use super::{DockerName, attachments, kept, referrers};
use crate::{Error, Head, ImageName, Options, Referrer, ReferrerSearch, Source, files};

/// Prepares to read an image. No request is sent yet: whether it is there shows when its digest or
/// its manifest is asked for.
pub(crate) fn open(name: &DockerName, options: &Options) -> Result<RegistrySource, Error> {
    if name.untagged {
        return Err(DockerError::ReadingUntagged(name.to_string()).into());
    }
    Ok(RegistrySource {
        image: ImageName::Docker(name.clone()),
        name: name.clone(),
        options: options.clone(),
        chosen: Mutex::default(),
    })
}

/// An image in a registry.
#[derive(Debug)]
pub(crate) struct RegistrySource {
    image: ImageName,
    name: DockerName,
    options: Options,
    /// Chosen once, so that manifest, signatures and blobs are of one image even if its tag moves.
    chosen: Mutex<Option<Chosen>>,
}

impl RegistrySource {
    async fn chosen(&self, want: Want) -> Result<Chosen, Error> {
        let mut chosen = self.chosen.lock().await;
        if let Some(chosen) = &mut *chosen {
            if want == Want::Manifest && chosen.top.is_none() {
                chosen.top = Some(chosen.manifest(&Which::Top).await?);
            }
            return Ok(chosen.clone());
        }
        Ok(chosen.insert(choose(&self.name, &self.options, want).await?).clone())
    }
}

#[async_trait]
impl Source for RegistrySource {
    fn name(&self) -> &ImageName {
        &self.image
    }

    async fn head(&self) -> Result<Option<Head>, Error> {
        let Chosen { digest, media_type, .. } = self.chosen(Want::Digest).await?;
        Ok(Some(Head { digest, media_type }))
    }

    async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        match which {
            Which::Top => {
                let chosen = self.chosen(Want::Manifest).await?;
                chosen.manifest(which).await
            }
            Which::Instance(_) => self.chosen(Want::Digest).await?.manifest(which).await,
        }
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Unverified, Error> {
        let repository = self.chosen(Want::Digest).await?.repository;
        if let Some(blob) = elsewhere_through(blob, &repository).await? {
            return Ok(blob);
        }
        Ok(unverified(repository.blob(&blob.digest, blob.size).await?))
    }

    async fn blob_from(&self, blob: &Descriptor, offset: u64) -> Result<Option<Unverified>, Error> {
        let Some(size) = blob.size.filter(|_| blob.urls.is_empty()) else { return Ok(None) };
        let repository = self.chosen(Want::Digest).await?.repository;
        Ok(Some(unverified(repository.blob_from(&blob.digest, size, offset).await?)))
    }

    async fn signatures(&self, which: &Which) -> Result<Vec<Signature>, Error> {
        let chosen = self.chosen(Want::Digest).await?;
        let digest = match which {
            Which::Instance(digest) => digest.clone(),
            // Signatures are found by sha256, whatever digest the name has.
            Which::Top if chosen.digest.algorithm() == Algorithm::Sha256 => chosen.digest.clone(),
            Which::Top => self.manifest(which).await?.digest()?,
        };
        let config = &self.options.config;
        let repository = &chosen.repository;
        // It has been asked for the manifest, so it has said by now whether it keeps them.
        let mut signatures = if repository.client().keeps_signatures() {
            kept::read(repository, &digest).await?
        } else {
            let lookaside = Lookaside::new(config, &chosen.reference, Access::Read)?;
            lookaside.read(repository, &digest).await?
        };
        if config.signatures()?.use_sigstore_attachments(&chosen.reference) {
            signatures.extend(attachments::read(repository, &digest).await?);
        }
        Ok(signatures)
    }

    async fn referrers(
        &self,
        subject: &Digest,
        search: ReferrerSearch,
    ) -> Result<Option<Vec<Referrer>>, Error> {
        let repository = self.chosen(Want::Digest).await?.repository;
        Ok(Some(referrers::read(&repository, subject, search).await?))
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn concurrency(&self) -> NonZeroUsize {
        files::CONCURRENCY
    }
}
