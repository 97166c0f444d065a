//! Faults by which a registry answers with what is well formed, and other than it should be.

use bytes::Bytes;
use http::StatusCode;

use super::fault::{Fault, On, What};
use super::lie::Lie;

impl Fault {
    /// Returns the answer has another body, which is announced and named as what it is: a manifest
    /// with other sizes, another blob.
    #[must_use]
    pub fn instead(on: On, body: impl Into<Bytes>) -> Self {
        Self::lie(on, Lie::Instead(body.into()))
    }

    /// Returns the answer is that to another path, as where answers come in another order than
    /// questions.
    #[must_use]
    pub fn answer_of(on: On, path: &str) -> Self {
        Self::lie(on, Lie::AnswerOf(path.to_owned()))
    }

    /// Packs the answer by gzip, and `Content-Encoding` says so.
    #[must_use]
    pub fn encoded(on: On) -> Self {
        Self::lie(on, Lie::Encoded)
    }

    /// Sends the second half of the answer before the first.
    #[must_use]
    pub fn reversed(on: On) -> Self {
        Self::lie(on, Lie::Reversed)
    }

    /// Returns the answer has no `Content-Length`; [`Self::after`] so many bytes it ends as if it
    /// were whole.
    #[must_use]
    pub fn unannounced(on: On) -> Self {
        Self::lie(on, Lie::Unannounced(None))
    }

    /// Sends an answer without `Content-Length`, and zeros without end behind it.
    #[must_use]
    pub fn endless(on: On) -> Self {
        Self::lie(on, Lie::Endless)
    }

    /// Returns the answer has another status, and this `Content-Range` if one is given; the bytes
    /// stay.
    ///
    /// # Panics
    /// If this is no status.
    #[must_use]
    pub fn called(on: On, status: u16, content_range: Option<&str>) -> Self {
        let status = StatusCode::from_u16(status).expect("a status of HTTP");
        Self::lie(on, Lie::Called(status, content_range.map(str::to_owned)))
    }

    fn lie(on: On, lie: Lie) -> Self {
        Self::of(on, What::Lie(lie))
    }
}
