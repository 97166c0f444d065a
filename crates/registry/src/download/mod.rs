//! Blobs: read as one stream, resumed where the line breaks; large ones over several connections.

mod content_range;
mod progress;
mod ranges;

use http::{Method, StatusCode};
use skopeo_image::Digest;
use url::Url;

use crate::call::{Call, Target};
use crate::client::Client;
use crate::connections::is_large;
use crate::encoding::Coding;
use crate::error::Error;
use crate::redact::redacted;
use crate::repository::Repository;

use content_range::length;
use progress::Progress;

pub use progress::Download;

impl Repository {
    /// Reads a blob. `size` is what the manifest says, which is asked for when resuming.
    ///
    /// # Errors
    /// Whatever keeps it from starting; the stream has errors of its own.
    pub async fn blob(&self, digest: &Digest, size: Option<u64>) -> Result<Download, Error> {
        let call = self.call(Method::GET, format_args!("blobs/{digest}")).scopes(self.to_read());
        let call = Call { digest: Some(digest.clone()), apart: is_large(size), ..call };
        let client = &self.client;
        if let Some(size) = size
            && let Some(download) = ranges::download(client, &call, size, 0).await
        {
            return Ok(download);
        }
        download(client.clone(), call, size).await.map_err(|error| error.doing("fetching blob"))
    }

    /// Reads the rest of a blob of `size` bytes, from `offset` on: by a range, or where those are
    /// not understood from all of it.
    ///
    /// # Errors
    /// As [`Repository::blob`].
    pub async fn blob_from(
        &self,
        digest: &Digest,
        size: u64,
        offset: u64,
    ) -> Result<Download, Error> {
        let call = self.call(Method::GET, format_args!("blobs/{digest}")).scopes(self.to_read());
        let apart = is_large(Some(size.saturating_sub(offset)));
        let call = Call { digest: Some(digest.clone()), apart, ..call };
        if let Some(download) = ranges::download(&self.client, &call, size, offset).await {
            return Ok(download);
        }
        let mut progress = Progress::new(self.client.clone(), call, Some(size));
        (progress.at, progress.tries_since) = (offset, offset);
        progress.resume().await.map_err(|error| error.doing("fetching blob"))?;
        Ok(Download { stream: progress.stream(), size: Some(size.saturating_sub(offset)) })
    }

    /// Reads what lies somewhere else: a layer, of which digest and size may be known, or another
    /// file. No credentials are sent there.
    ///
    /// # Errors
    /// As [`Repository::blob`]; URLs that are neither http nor https.
    pub async fn foreign_blob(
        &self,
        url: &str,
        digest: Option<&Digest>,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        let parsed = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| Error::Protocol(format!("unsupported external blob URL {url:?}")))?;
        let doing = format!("fetching external blob from {:?}", redacted(&parsed));
        let mut call = Call::new(Method::GET, "");
        call.target = Target::Url(std::borrow::Cow::Owned(parsed));
        call.digest = digest.cloned();
        call.apart = is_large(size);
        download(self.client.clone(), call, size).await.map_err(|error| error.doing(doing))
    }

    /// Returns the size of a blob, or `None` if it is not there, or comes packed and without a
    /// size.
    ///
    /// # Errors
    /// Any answer but "here" and "not here"; a size that is missing.
    pub async fn head_blob(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let doing = || format!("checking whether a blob {digest} exists in {}", self.name());
        let call = self.call(Method::HEAD, format_args!("blobs/{digest}")).scopes(self.to_read());
        let response = self.shared().send(&call).await.map_err(|error| error.doing(doing()))?;
        match response.status() {
            StatusCode::OK => match length(response.headers()) {
                Some(size) => Ok(Some(size)),
                // How long it is once it is unpacked shows only then.
                None if Coding::of(response.headers()) != Coding::Plain => Ok(None),
                None => {
                    Err(Error::Protocol("Missing \"Content-Length\" header in response".to_owned())
                        .doing(format!("determining size of blob {digest} in {}", self.name())))
                }
            },
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.shared().refusal(response).await.doing(doing())),
        }
    }

    /// Deletes a blob.
    ///
    /// # Errors
    /// Most registries refuse this; it is meant for those that do not collect garbage.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<(), Error> {
        let call =
            self.call(Method::DELETE, format_args!("blobs/{digest}")).scopes(self.to_delete());
        let doing = || format!("deleting blob {digest} in {}", self.name());
        let response = self.shared().send(&call).await.map_err(|error| error.doing(doing()))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(self.shared().refusal(response).await.doing(doing()))
    }
}

async fn download(
    client: Client,
    call: Call<'static>,
    declared: Option<u64>,
) -> Result<Download, Error> {
    let response = client.0.send(&call).await?;
    if response.status() != StatusCode::OK {
        return Err(client.0.refusal(response).await);
    }
    let mut progress = Progress::new(client, call, declared);
    progress.open(response).await?;
    Ok(progress.whole())
}
