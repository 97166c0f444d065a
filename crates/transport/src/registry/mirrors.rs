//! Which endpoint answered: mirrors first, the place itself last.

use std::time::Duration;

use skopeo_config::Endpoint;
use skopeo_image::{Digest, MediaType, RawManifest, Reference, Which};
use skopeo_registry::Repository;

use super::DockerError;
use super::{DockerName, raw, tag_or_digest};
use crate::{Error, Options, manifest};

/// What a source knows once an endpoint has answered.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// What is asked for there.
    pub(super) reference: Reference,
    pub(super) repository: Repository,
    /// What the name led to when it was asked first. It may lead elsewhere by now; this does not.
    pub(super) digest: Digest,
    /// What the registry said of its type.
    pub(super) media_type: Option<MediaType>,
    /// The manifest, once it has been read.
    pub(super) top: Option<RawManifest>,
}

/// What is wanted of the first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// A HEAD request is enough, where the registry says something useful to it.
    Digest,
    /// The manifest.
    Manifest,
}

/// How long it is waited for what a tag leads to, where its digest is given.
const GLANCE: Duration = Duration::from_secs(1);

/// Asks one endpoint after the other for the image.
pub(super) async fn choose(
    name: &DockerName,
    options: &Options,
    want: Want,
) -> Result<Chosen, Error> {
    let endpoints = options.config.registries()?.endpoints(name.reference())?;
    let mut failed = Vec::new();
    for endpoint in endpoints {
        tracing::debug!("Trying to access {:?}", endpoint.reference.to_string());
        match ask(name, options, &endpoint, want).await {
            Ok(chosen) => {
                look_at_tag(name, &chosen.repository, &chosen.digest, options).await;
                return Ok(chosen);
            }
            Err(error) => {
                tracing::debug!("Accessing {:?} failed: {error}", endpoint.reference.to_string());
                failed.push((endpoint.reference.to_string(), error));
            }
        }
    }
    // The last one is the place itself, and what counts.
    let Some((primary, error)) = failed.pop() else { return Err(DockerError::NoEndpoint.into()) };
    if failed.is_empty() {
        return Err(error);
    }
    let mirrors = failed.iter().map(|(name, error)| format!("[{name}: {}]", crate::chain(error)));
    let mirrors = mirrors.collect::<Vec<_>>().join("\n");
    Err(DockerError::AllEndpoints { mirrors, primary, source: Box::new(error) }.into())
}

/// Says if the tag of a name that has a digest, too, leads elsewhere by now. The digest decides all
/// the same.
pub(super) async fn look_at_tag(
    name: &DockerName,
    repository: &Repository,
    digest: &Digest,
    options: &Options,
) {
    let Some(tag) = name.label.as_deref().filter(|_| options.registry.looks_at_tags) else {
        return;
    };
    let repository_name = &name.reference().name;
    let asked = repository.head_manifest_aside(tag);
    let Ok(answer) = tokio::time::timeout(GLANCE, asked).await else {
        return tracing::debug!("checking {repository_name}:{tag}: no answer in {GLANCE:?}");
    };
    match answer {
        Ok(head) => {
            if let Some(now) = head.digest.filter(|now| now != digest) {
                tracing::warn!("{repository_name}:{tag} now leads to {now}; using {digest}");
            }
        }
        Err(error) if error.status() == Some(404) => {
            tracing::warn!("{repository_name}:{tag} no longer exists; using {digest}");
        }
        Err(error) => tracing::debug!("looking at {repository_name}:{tag}: {error}"),
    }
}

async fn ask(
    name: &DockerName,
    options: &Options,
    endpoint: &Endpoint,
    want: Want,
) -> Result<Chosen, Error> {
    let repository = options.connections.repository(options, endpoint, name.reference()).await?;
    let reference = endpoint.reference.clone();
    let text =
        tag_or_digest(&reference).ok_or_else(|| DockerError::ReadingUntagged(name.to_string()))?;
    if want == Want::Digest {
        match repository.head_manifest(text).await {
            Ok(head) => {
                let named = reference.digest.clone();
                if let Some(digest) = head.digest
                    && named.is_none_or(|named| named == digest)
                {
                    let media_type = head.media_type;
                    return Ok(Chosen { reference, repository, digest, media_type, top: None });
                }
            }
            // The answer to HEAD has no words. GET has, and some registries know only that.
            Err(error) if error.status().is_some() => tracing::debug!("HEAD: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
    let fetched = repository.manifest(text).await?;
    let top = raw(fetched.manifest);
    let digest = match reference.digest.clone() {
        Some(digest) => {
            manifest::check(&top, &digest)?;
            digest
        }
        None => {
            // Of schema 1 registries say what they like: what they converted, or all its bytes.
            if let Some(said) = fetched.digest.filter(|_| !top.media_type.is_schema1()) {
                manifest::check(&top, &said)?;
            }
            top.digest()?
        }
    };
    let media_type = Some(top.media_type.clone());
    Ok(Chosen { reference, repository, digest, media_type, top: Some(top) })
}

impl Chosen {
    /// The manifest that the name leads to, or one of its instances.
    pub(super) async fn manifest(&self, which: &Which) -> Result<RawManifest, Error> {
        let digest = match which {
            Which::Instance(digest) => digest,
            Which::Top => match &self.top {
                Some(top) => return Ok(top.clone()),
                None => &self.digest,
            },
        };
        let found = match self.repository.manifest(digest.as_str()).await {
            Ok(fetched) => raw(fetched.manifest),
            // A cache in front of a registry may know its tags only.
            Err(error) if *which == Which::Top && error.is_not_found() => {
                let Some(tag) = &self.reference.tag else { return Err(error.into()) };
                raw(self.repository.manifest(tag).await?.manifest)
            }
            Err(error) => return Err(error.into()),
        };
        manifest::check(&found, digest)?;
        Ok(found)
    }
}
