//! The distribution protocol over HTTP.
//!
//! Knows challenges, tokens, TLS, proxies, redirects, retries, resumed downloads and uploads.
//! Must not know configuration files, the environment, policies or other transports: all that a
//! [`Client`] needs is in its [`ClientOptions`].
//!
//! A [`Client`] is one registry as one identity sees it, for the whole process; a [`Repository`]
//! is what one asks for manifests, blobs and tags. Nothing that comes from here is verified.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use skopeo_registry::{Client, ClientOptions};
//!
//! # let folder = tempfile::tempdir()?;
//! # let served = skopeo_server::Registry::open(skopeo_server::ServerOptions::new(folder.path()))?;
//! # let serving = served.listen("127.0.0.1:0").await?;
//! # let host = serving.address().to_string();
//! let mut options = ClientOptions::new(host);
//! // It speaks HTTP only.
//! options.insecure = true;
//! let client = Client::new(options)?;
//! assert_eq!(client.catalog().await?, Vec::<String>::new());
//! let missing = client.repository("team/app").manifest("latest").await.unwrap_err();
//! assert!(missing.is_not_found());
//! # Ok(())
//! # }
//! ```

// What servers send must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod answer;
mod authorize;
mod call;
mod challenge;
mod client;
mod connections;
mod download;
mod encoding;
mod error;
mod exchange;
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod hints;
mod manifests;
mod options;
mod pace;
mod proxy;
mod redact;
mod referrers;
mod repository;
mod retry;
mod send;
mod shared;
mod signatures;
mod tags;
mod tls;
mod token;
mod upload;
mod warning;
mod web;
mod wire;

pub use answer::Answer;
pub use client::{Client, http_client};
pub use download::Download;
pub use error::Error;
pub use manifests::{Fetched, ManifestHead};
pub use options::{
    ClientOptions, ClientPair, Credentials, PaceOptions, ProxyRules, RangeOptions, RetryPolicy,
    Timeouts, TlsDetails, TlsOptions,
};
pub use referrers::{ListedBy, Referrers, referrers_tag};
pub use repository::Repository;
pub use signatures::KeptSignature;
pub use tls::TlsError;
pub use upload::{BoxError, Mount, RetryWith, UploadError, UploadSession};
pub use web::{Ask, Said, Web, WebError};
pub use wire::WireError;

/// Returns an error as one that says its class, if this crate has made it.
#[must_use]
pub fn classified<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a dyn skopeo_image::Classify> {
    skopeo_image::classified!(error; Error, WireError, WebError)
}
