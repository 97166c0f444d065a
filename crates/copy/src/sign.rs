//! New signatures: who makes them, and under which name.

use skopeo_image::{RawManifest, Reference, Signature};

use crate::job::Job;
use crate::{Error, Event, ImageEvent, WriteError};

/// Refuses what cannot be signed, before anything is read: the original finds out when all has been
/// written.
pub(crate) fn require_signable(job: &Job<'_>) -> Result<(), Error> {
    let signing = &job.request.signing;
    if !signing.is_asked() {
        return Ok(());
    }
    job.sign_identity()?;
    for signer in &signing.signers {
        let keeps = job.destination.keeps_signatures(signer.kind());
        keeps.map_err(|error| Error::Write(WriteError::Signatures(error.into())))?;
    }
    Ok(())
}

impl Job<'_> {
    /// Has the keys ready before anything is copied.
    pub(crate) async fn prepare_signers(&self) -> Result<(), Error> {
        for (at, signer) in self.request.signing.signers.iter().enumerate() {
            let ready = signer.prepare().await;
            ready.map_err(|source| {
                Error::Write(WriteError::Sign { number: self.number(at), source })
            })?;
        }
        Ok(())
    }

    /// The number of a signer, counted from 1, if there are several.
    fn number(&self, at: usize) -> Option<usize> {
        (self.request.signing.signers.len() > 1).then_some(at.saturating_add(1))
    }

    /// The name that signatures give to the image, and to each image in an index.
    fn sign_identity(&self) -> Result<&Reference, Error> {
        match &self.request.signing.identity {
            Some(identity) if identity.is_name_only() => {
                Err(Error::Write(WriteError::SignIdentity(identity.to_string())))
            }
            Some(identity) => Ok(identity),
            None => {
                let name = self.destination.name();
                name.docker_reference()
                    .ok_or_else(|| Error::Write(WriteError::NoSignIdentity(name.to_string())))
            }
        }
    }

    /// The signatures that go with a manifest that was written: those that were `kept`, then new
    /// ones.
    pub(crate) async fn signed(
        &self,
        manifest: &RawManifest,
        kept: &[Signature],
    ) -> Result<Vec<Signature>, Error> {
        let mut signatures = kept.to_vec();
        let signers = &self.request.signing.signers;
        for (at, signer) in signers.iter().enumerate() {
            let number = self.number(at);
            self.session.emit(Event::Image(ImageEvent::CreatingSignature {
                number,
                doing: signer.doing(),
            }));
            let signature = signer.sign(manifest, self.sign_identity()?).await;
            signatures.push(
                signature.map_err(|source| Error::Write(WriteError::Sign { number, source }))?,
            );
        }
        Ok(signatures)
    }
}
