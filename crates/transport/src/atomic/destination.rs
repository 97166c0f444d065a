//! Writing `atomic:`.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use skopeo_blob::Blob;
use skopeo_image::{Digest, RawManifest, Signature, SignatureKind, Which};

use super::AtomicName;
use super::api::Api;
use crate::registry::{self, DockerName};
use crate::signature_error::SignaturesError;
use crate::{
    Accepts, CommitError, Destination, Error, How, ImageName, Options, Probe, PutManifestError,
    Role, Stored, Wish,
};

/// The API knows simple signatures only.
const NO_SIGSTORE: &str = "unsupported signature format sigstore-json";

/// Prepares to write an image. No request is sent yet.
pub(crate) async fn create(
    name: &AtomicName,
    options: &Options,
) -> Result<AtomicDestination, Error> {
    let api = Api::new(name, options).await?;
    let docker = DockerName::parse(&format!("//{}", name.reference))?;
    let inner: Box<dyn Destination> = Box::new(registry::create(&docker, options).await?);
    let image = ImageName::Atomic(name.clone());
    Ok(AtomicDestination { image, api, inner, top: Mutex::default() })
}

/// A tag of a stream that an image is written to: the registry makes the stream's entry.
pub(crate) struct AtomicDestination {
    image: ImageName,
    api: Api,
    /// The same place in the registry.
    inner: Box<dyn Destination>,
    /// The digest of the image's own manifest, once it has been put.
    top: Mutex<Option<Digest>>,
}

#[async_trait]
impl Probe for AtomicDestination {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        self.inner.accepts()
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        self.inner.present().await
    }

    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        self.inner.holds(wish).await
    }

    fn pool(&self) -> Option<String> {
        self.inner.pool()
    }

    fn shares(&self, role: Role) -> bool {
        self.inner.shares(role)
    }

    fn room(&self) -> Option<String> {
        self.inner.room()
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn keeps_signatures(&self, kind: SignatureKind) -> Result<(), Error> {
        match kind {
            SignatureKind::Simple => Ok(()),
            SignatureKind::Sigstore | SignatureKind::Bundle => {
                Err(SignaturesError::Unsupported(NO_SIGSTORE).into())
            }
        }
    }
}

#[async_trait]
impl Destination for AtomicDestination {
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        self.inner.reuse(wish).await
    }

    async fn put_blob(&self, blob: Blob, role: Role) -> Result<Stored, Error> {
        self.inner.put_blob(blob, role).await
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        self.inner.put_manifest(manifest, which).await?;
        if *which == Which::Top {
            let digest = manifest.digest().map_err(Error::from)?;
            *self.top.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        }
        Ok(())
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        if signatures.is_empty() {
            return Ok(());
        }
        let mut simple = Vec::new();
        for signature in signatures {
            match signature {
                Signature::Simple(content) => simple.push(content),
                Signature::Sigstore { .. } => {
                    return Err(SignaturesError::Unsupported(NO_SIGSTORE).into());
                }
            }
        }
        let digest = match which {
            Which::Instance(digest) => digest.clone(),
            Which::Top => {
                let top = self.top.lock().unwrap_or_else(PoisonError::into_inner).clone();
                top.ok_or(CommitError::NothingToCommit)?
            }
        };
        let there = self.api.signatures(&digest).await?;
        let mut sent: Vec<&[u8]> = Vec::new();
        for content in simple {
            let is_there = there.iter().any(|it| it.simple && it.content == *content);
            if is_there || sent.contains(&&content[..]) {
                continue;
            }
            let name = loop {
                let name = format!("{digest}@{:032x}", fastrand::u128(..));
                if there.iter().all(|it| it.name != name) {
                    break name;
                }
            };
            self.api.sign(name, content).await?;
            sent.push(content);
        }
        Ok(())
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        self.inner.commit(top).await
    }

    async fn abandon(self: Box<Self>) {
        self.inner.abandon().await;
    }
}
