//! The connections to a registry: one that all requests share, and others for large blobs.
//!
//! Over TLS a server that can speaks HTTP/2, and all requests go over one connection. That is good
//! for many small ones, and bad for large blobs: what the windows of the server let through (1 MiB
//! where it is written in Go, which over 50 ms is 20 MB/s for all uploads together) and what one
//! connection brings bounds them all, and each frame of 16 KiB is work for both sides. So a large
//! blob has a connection without others, over HTTP/1.1. It is kept for the next one.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::AlertDescription;

use crate::wire::inner;

/// A blob of so many bytes is large. The round trips of one more connection are little beside it.
pub(crate) const LARGE: u64 = 4 << 20;

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Connections {
    shared: reqwest::Client,
    apart: reqwest::Client,
    /// Whether a server has said that it speaks nothing but HTTP/2.
    is_refused: AtomicBool,
}

impl Connections {
    /// `apart` makes connections with HTTP/1.1 only.
    pub(crate) fn new(shared: reqwest::Client, apart: reqwest::Client) -> Self {
        Self { shared, apart, is_refused: AtomicBool::new(false) }
    }

    /// Sends a request over the shared connection, or `apart` from others. Without TLS no request
    /// shares a connection with others anyway.
    ///
    /// # Errors
    /// The second value of an error says whether a request whose body is a stream may go well when
    /// it is sent again: there was no connection for it that is apart from others.
    pub(crate) async fn execute(
        &self,
        request: reqwest::Request,
        apart: bool,
    ) -> Result<reqwest::Response, (reqwest::Error, bool)> {
        let is_refused = self.is_refused.load(Ordering::Relaxed);
        if !apart || is_refused || request.url().scheme() != "https" {
            return self.shared.execute(request).await.map_err(|error| (error, false));
        }
        let copy = request.try_clone();
        match self.apart.execute(request).await {
            Err(error) if wants_http2(&error) => {
                tracing::debug!("The server speaks HTTP/2 only: large blobs share its connection");
                self.is_refused.store(true, Ordering::Relaxed);
                let Some(copy) = copy else { return Err((error, true)) };
                self.shared.execute(copy).await.map_err(|error| (error, false))
            }
            answer => answer.map_err(|error| (error, false)),
        }
    }
}

/// Whether a blob of `size` bytes is large; one of which nobody knows the size may be.
pub(crate) fn is_large(size: Option<u64>) -> bool {
    size.is_none_or(|size| size >= LARGE)
}

/// Whether a server has refused HTTP/1.1.
fn wants_http2(error: &reqwest::Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |cause| inner(*cause));
    causes.any(|cause| {
        let alert = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        cause.downcast_ref::<rustls::Error>() == Some(&alert)
    })
}
