//! A request as it came, and how it was answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, Version};

/// A request as it came, and how it was answered.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The request's headers.
    pub headers: HeaderMap,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// Whether it came to the object store that blobs are redirected to.
    pub object_store: bool,
    /// The status of the answer; 0 if none was sent.
    pub status: u16,
    /// How many bytes of the request's body came.
    pub received: u64,
    /// How many bytes of the answer's body were given out.
    pub sent: u64,
}

impl SeenRequest {
    /// Returns a header's value; empty if it is missing or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Method and path, without the query: `GET /v2/a/tags/list`.
    #[must_use]
    pub fn line(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) seen: Mutex<SeenRequest>,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

impl Record {
    pub(super) fn seen(&self) -> SeenRequest {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.received = self.received.load(Ordering::Relaxed);
        seen.sent = self.sent.load(Ordering::Relaxed);
        seen
    }
}
