//! Layers that lie elsewhere: at addresses that the manifest gives.

use futures_util::StreamExt;
use skopeo_blob::{StreamError, Unverified};
use skopeo_image::Descriptor;
use skopeo_registry::{Download, Repository};
use url::Url;

use super::DockerError;
use crate::{Error, Options};

/// How many addresses of a layer are tried: each is waited for, and anybody may have written them.
const MAX_ADDRESSES: usize = 16;

/// A layer at the first of its addresses that has it; none if it has no address on the web. It is
/// asked for without credentials, since anybody may have written these addresses.
pub(crate) async fn elsewhere(
    layer: &Descriptor,
    options: &Options,
) -> Result<Option<Unverified>, Error> {
    let mut places = Vec::new();
    for (url, host) in on_the_web(&layer.urls) {
        let insecure = options.registry.tls_verify == Some(false);
        let client = options.connections.anonymous(options, &host, insecure)?;
        places.push((url, client.repository("")));
    }
    first(layer, places).await
}

/// The same, on the way that another repository is reached.
pub(super) async fn elsewhere_through(
    layer: &Descriptor,
    repository: &Repository,
) -> Result<Option<Unverified>, Error> {
    let places = on_the_web(&layer.urls).map(|(url, _)| (url, repository.clone())).collect();
    first(layer, places).await
}

async fn first(
    layer: &Descriptor,
    places: Vec<(&str, Repository)>,
) -> Result<Option<Unverified>, Error> {
    let mut failed = Vec::new();
    for (url, repository) in places {
        match repository.foreign_blob(url, Some(&layer.digest), layer.size).await {
            Ok(download) => return Ok(Some(unverified(download))),
            Err(error) => failed.push(crate::chain(&error)),
        }
    }
    if failed.is_empty() {
        Ok(None)
    } else {
        Err(DockerError::ForeignBlob(failed.join(", ")).into())
    }
}

fn on_the_web(urls: &[String]) -> impl Iterator<Item = (&str, String)> {
    let places = urls.iter().filter_map(|text| {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let host = url.host_str()?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some((text.as_str(), format!("{host}{port}")))
    });
    places.take(MAX_ADDRESSES)
}

/// What comes from a registry, before anybody has looked at it.
pub(super) fn unverified(download: Download) -> Unverified {
    let stream = download.stream.map(|piece| {
        piece.map_err(|error| StreamError::Read {
            transient: error.is_transient(),
            tried: error.tried(),
            source: error.into(),
        })
    });
    Unverified::new(stream.boxed(), download.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_addresses_are_tried() {
        let urls: Vec<_> = (0..1000).map(|n| format!("https://h{n}.example:5000/x")).collect();
        let found: Vec<_> = on_the_web(&urls).map(|(_, host)| host).collect();
        assert_eq!((found.len(), found[0].as_str()), (16, "h0.example:5000"));
        let others = ["ftp://h/x", "file:///x", "x", "http://"].map(str::to_owned);
        assert_eq!(on_the_web(&others).count(), 0);
    }
}
