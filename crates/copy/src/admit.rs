//! Fetch, check the digest, ask the policy.

use std::sync::atomic::Ordering;

use skopeo_image::{Descriptor, Digest, RawManifest, Signature, Which};
use skopeo_transport::{Error as TransportError, Source};
use skopeo_trust::{Admitted, Policy};

use crate::job::Job;
use crate::request::SourceSignatures;
use crate::{Error, Event, ImageEvent, IndexEvent, Request, SourceError};

/// An image that may be copied, and the signatures that go with it.
pub(crate) struct Admission {
    pub(crate) admitted: Admitted,
    pub(crate) signatures: Vec<Signature>,
}

/// Reads a manifest. What was asked for by digest is what comes, whatever the source promises.
pub(crate) async fn fetch(job: &Job<'_>, which: &Which) -> Result<RawManifest, Error> {
    let name = job.source.name();
    if let Which::Instance(digest) = which
        && let Some(index) = job.session.indexes().get(digest)
    {
        return Ok(index);
    }
    job.manifests.fetch_add(1, Ordering::Relaxed);
    let manifest = job.source.manifest(which).await.map_err(|source| match which {
        // The words of the original, which reads files later than it asks registries.
        Which::Top if matches!(source, TransportError::Io(_)) => {
            Error::Source(SourceError::ManifestFile {
                name: name.to_string(),
                source: source.into(),
            })
        }
        Which::Top => {
            Error::Source(SourceError::Open { name: name.to_string(), source: source.into() })
        }
        Which::Instance(digest) => Error::Source(SourceError::Instance {
            digest: digest.clone(),
            name: name.to_string(),
            source: source.into(),
        }),
    })?;
    if let Which::Instance(digest) = which {
        let matches = manifest.has_digest(digest);
        let matches = matches.map_err(|source| {
            Error::Source(SourceError::Manifest { name: name.to_string(), source })
        })?;
        if !matches {
            return Err(Error::Source(SourceError::DigestMismatch(digest.clone())));
        }
    }
    job.session.indexes().learn(&manifest);
    Ok(manifest)
}

/// Asks the policy, before anything else is read from the image.
pub(crate) async fn admit(
    job: &Job<'_>,
    request: &Request,
    manifest: RawManifest,
    which: &Which,
) -> Result<Admission, Error> {
    let scope = job.source.name().policy_scope();
    let keep = request.signatures != SourceSignatures::Remove;
    let mut signatures = Vec::new();
    if keep || !job.policy.accepts_unsigned(&scope) {
        signatures = read_signatures(job.source, job.policy, &manifest, which)
            .await
            .map_err(|error| Error::Source(SourceError::Signatures(error.into())))?;
    }
    let admitted = job
        .policy
        .admit(&scope, manifest, &signatures)
        .map_err(|it| Error::Source(SourceError::Rejected(it)))?;
    if keep {
        job.session.emit(Event::Image(ImageEvent::GettingSignatures));
        if !signatures.is_empty() {
            job.session.emit(Event::Image(ImageEvent::CheckingSignatures));
        }
    } else {
        signatures.clear();
    }
    Ok(Admission { admitted, signatures })
}

/// The layers of an image as they can be read, where its manifest names others.
pub(crate) async fn layers(
    job: &Job<'_>,
    manifest: &RawManifest,
    which: &Which,
) -> Result<Option<Vec<Descriptor>>, Error> {
    let name = || job.source.name().to_string();
    job.source
        .layers(manifest, which)
        .await
        .map_err(|source| Error::Source(SourceError::Open { name: name(), source: source.into() }))
}

/// Returns the signatures that a manifest is judged by: those that lie beside it, and bundles that
/// refer to it if the policy asks for those.
///
/// # Errors
/// If they cannot be read.
pub async fn read_signatures(
    source: &dyn Source,
    policy: &Policy,
    manifest: &RawManifest,
    which: &Which,
) -> Result<Vec<Signature>, TransportError> {
    let mut signatures = source.signatures(which).await?;
    if policy.asks_for_bundles(&source.name().policy_scope()) {
        let digest = match which {
            Which::Instance(digest) => digest.clone(),
            Which::Top => manifest.digest()?,
        };
        signatures.extend(skopeo_transport::bundles(source, &digest).await?);
    }
    Ok(signatures)
}

/// The signatures of an index that go with it.
pub(crate) async fn index_signatures(
    job: &Job<'_>,
    manifest: &RawManifest,
    which: &Which,
) -> Result<Vec<Signature>, Error> {
    if job.request.signatures != SourceSignatures::Keep {
        return Ok(Vec::new());
    }
    job.session.emit(Event::Index(IndexEvent::GettingSignatures));
    let signatures = read_signatures(job.source, job.policy, manifest, which)
        .await
        .map_err(|error| Error::Source(SourceError::Signatures(error.into())))?;
    if !signatures.is_empty() {
        job.session.emit(Event::Index(IndexEvent::CheckingSignatures));
    }
    Ok(signatures)
}

/// Returns the digest of a manifest of the source.
pub(crate) fn digest_of(job: &Job<'_>, manifest: &RawManifest) -> Result<Digest, Error> {
    let name = job.source.name();
    manifest
        .digest()
        .map_err(|source| Error::Source(SourceError::Manifest { name: name.to_string(), source }))
}
