//! Manifests: get, head, put, delete.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Method, StatusCode};
use skopeo_image::manifest::MAX_MANIFEST_SIZE;
use skopeo_image::{Digest, MediaType, RawManifest};
use tracing::debug;

use crate::answer::is_page;
use crate::call::Call;
use crate::error::Error;
use crate::headers::{CONTENT_DIGEST, content_type};
use crate::repository::Repository;

/// What is asked for, in the original's order: some registries choose the first they have.
pub(crate) const ACCEPTED: [MediaType; 6] = [
    MediaType::OCI_MANIFEST,
    MediaType::DOCKER_MANIFEST,
    MediaType::DOCKER_SCHEMA1_SIGNED,
    MediaType::DOCKER_SCHEMA1,
    MediaType::DOCKER_LIST,
    MediaType::OCI_INDEX,
];

/// What a registry that lists referrers says to a manifest that is one.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// What HEAD tells of a manifest. Only claimed, never verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestHead {
    /// Its digest; not every registry gives one.
    pub digest: Option<Digest>,
    /// Its type, as the header has it.
    pub media_type: Option<MediaType>,
    /// Its length in bytes.
    pub size: Option<u64>,
}

/// A manifest as it came. Its digest is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its type and bytes.
    pub manifest: RawManifest,
    /// What the registry says its digest is.
    pub digest: Option<Digest>,
}

impl Repository {
    /// Asks for the digest of a manifest.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if there is none; anything that keeps the registry from answering.
    pub async fn head_manifest(&self, reference: &str) -> Result<ManifestHead, Error> {
        let call = self.manifest_call(Method::HEAD, reference).scopes(self.to_read());
        let response = self.shared().send(&call).await;
        self.head_of(reference, response)
    }

    /// Asks for the digest of a manifest once, where the answer is welcome but not needed: there is
    /// no other try, and a registry that refuses it is asked for other things as ever.
    ///
    /// # Errors
    /// As [`head_manifest`](Self::head_manifest).
    pub async fn head_manifest_aside(&self, reference: &str) -> Result<ManifestHead, Error> {
        let mut call = self.manifest_call(Method::HEAD, reference).scopes(self.to_read());
        call.aside = true;
        let response = self.shared().send_once(&call).await;
        self.head_of(reference, response)
    }

    fn head_of(
        &self,
        reference: &str,
        response: Result<reqwest::Response, Error>,
    ) -> Result<ManifestHead, Error> {
        let doing = || format!("reading digest {reference} in {}", self.name());
        let response = response.map_err(|error| error.doing(doing()))?;
        if response.status() != StatusCode::OK {
            let shared = self.shared();
            let answer = shared.said(response.status(), response.headers(), b"");
            return Err(Error::Answer(answer).doing(doing()));
        }
        let headers = response.headers();
        Ok(ManifestHead {
            digest: content_digest(headers),
            media_type: content_type(headers),
            size: headers.get(CONTENT_LENGTH).and_then(|size| size.to_str().ok()?.parse().ok()),
        })
    }

    /// Reads a manifest by tag or digest.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if there is none; more than 4 MiB; anything that keeps the
    /// registry from answering.
    pub async fn manifest(&self, reference: &str) -> Result<Fetched, Error> {
        let mut call = self.manifest_call(Method::GET, reference).scopes(self.to_read());
        call.digest = reference.parse().ok();
        let doing = |verb: &str| format!("{verb} manifest {reference} in {}", self.name());
        let (status, headers, bytes) =
            self.shared().fetch(&call, MAX_MANIFEST_SIZE).await.map_err(|error| {
                let verb = if error.status().is_some() { "reading" } else { "fetching" };
                error.asked_for(doing(verb))
            })?;
        if status != StatusCode::OK {
            let mut answer = self.shared().said(status, &headers, &bytes);
            // The page of a web server for whatever it has not says nothing of an image.
            if answer.is_bare() && answer.is_not_found() && !self.shared().is_registry().await {
                answer = answer.about_something_else();
            }
            return Err(Error::Answer(answer.about(&self.name())).doing(doing("reading")));
        }
        if is_page(&bytes) {
            return Err(self.shared().page(status).doing(doing("reading")));
        }
        debug!("Content-Type from manifest GET is {:?}", headers.get(CONTENT_TYPE));
        let manifest = RawManifest::new(content_type(&headers), bytes);
        Ok(Fetched { manifest, digest: content_digest(&headers) })
    }

    /// Writes a manifest under a tag or its digest. Gives back whose referrer the registry says it
    /// is: `None` if it is none, or the registry lists none.
    ///
    /// # Errors
    /// [`Error::is_manifest_type_rejected`] if another type may be taken; anything else.
    pub async fn put_manifest(
        &self,
        reference: &str,
        manifest: &RawManifest,
    ) -> Result<Option<Digest>, Error> {
        let doing = || format!("uploading manifest {reference} to {}", self.name());
        let mut call = self
            .call(Method::PUT, format_args!("manifests/{}", Self::escaped(reference)))
            .scopes(self.to_write())
            .body(Bytes::clone(&manifest.bytes));
        if !manifest.media_type.is_empty() {
            call = call.header(CONTENT_TYPE, manifest.media_type.as_str());
        }
        let response = self.shared().send(&call).await.map_err(|error| error.doing(doing()))?;
        let headers = self.shared().done(response).await.map_err(|error| error.doing(doing()))?;
        if !headers.contains_key(CONTENT_DIGEST) {
            debug!(
                "Manifest upload response didn’t contain a Docker-Content-Digest header, \
                 it might not be a container registry"
            );
        }
        Ok(digest_in(&headers, &OCI_SUBJECT))
    }

    /// Deletes a manifest, and with it every tag that leads to it.
    ///
    /// # Errors
    /// Registries may refuse to delete at all, usually with 405.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<(), Error> {
        self.delete(digest.as_str(), || format!("deleting {}@{digest}", self.name())).await
    }

    /// Deletes a tag, and nothing else. Some registries delete what it leads to all the same.
    ///
    /// # Errors
    /// Many registries refuse, with 405 or 400.
    pub async fn delete_tag(&self, tag: &str) -> Result<(), Error> {
        self.delete(tag, || format!("deleting tag {}:{tag}", self.name())).await
    }

    async fn delete(&self, reference: &str, doing: impl Fn() -> String) -> Result<(), Error> {
        let call = self.manifest_call(Method::DELETE, reference).scopes(self.to_delete());
        let response = self.shared().send(&call).await.map_err(|error| error.doing(doing()))?;
        self.shared().done(response).await.map_err(|error| error.doing(doing()))?;
        Ok(())
    }

    fn manifest_call(&self, method: Method, reference: &str) -> Call<'static> {
        let call = self.call(method, format_args!("manifests/{}", Self::escaped(reference)));
        ACCEPTED.iter().fold(call, |call, accepted| call.header(ACCEPT, accepted.as_str()))
    }
}

fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    digest_in(headers, &CONTENT_DIGEST)
}

fn digest_in(headers: &HeaderMap, name: &HeaderName) -> Option<Digest> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
