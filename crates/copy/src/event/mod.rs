//! What happened, for whoever watches.

mod blob;
mod image;
mod index;
mod referrers;

pub use blob::{BlobEvent, BlobKind};
pub use image::ImageEvent;
pub use index::IndexEvent;
pub use referrers::{NotCopied, ReferrersEvent};

/// Something that happened in a copy. Instances of an index are copied at the same time, so their
/// events mix.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Something happened with an image as a whole.
    Image(ImageEvent),
    /// Something happened with an index.
    Index(IndexEvent),
    /// Something happened with a blob.
    Blob(BlobEvent),
    /// Something happened with referrers.
    Referrers(ReferrersEvent),
}

impl Event {
    /// Returns the line that users and scripts know for it, if there is one.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        match self {
            Self::Image(event) => event.line(),
            Self::Index(event) => event.line(),
            Self::Blob(event) => event.line(),
            Self::Referrers(event) => event.line(),
        }
    }

    /// Returns what the user should know although the copy goes on, if there is such a thing.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::Index(event) => event.warning(),
            Self::Blob(event) => event.warning(),
            Self::Image(_) | Self::Referrers(_) => None,
        }
    }

    /// Returns what users should know beside the lines that scripts know, if there is anything.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        match self {
            Self::Index(event) => event.notice(),
            Self::Referrers(event) => event.notice(),
            Self::Image(_) | Self::Blob(_) => None,
        }
    }
}

impl From<ImageEvent> for Event {
    fn from(event: ImageEvent) -> Self {
        Self::Image(event)
    }
}

impl From<IndexEvent> for Event {
    fn from(event: IndexEvent) -> Self {
        Self::Index(event)
    }
}

impl From<BlobEvent> for Event {
    fn from(event: BlobEvent) -> Self {
        Self::Blob(event)
    }
}

impl From<ReferrersEvent> for Event {
    fn from(event: ReferrersEvent) -> Self {
        Self::Referrers(event)
    }
}
