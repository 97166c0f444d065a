//! What a repository is known not to have, so that it is not asked for.
//!
//! A mirror that is new lacks every tag and every blob. After the first tag that is missing, the
//! repository is asked once which tags it has; one that says that it does not exist has no blobs
//! either, but for those that this run brings. An answer may be old or wrong: then something is
//! sent that was there, and nothing else.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use skopeo_registry::Repository;
use tokio::sync::OnceCell;

/// A blob of this many bytes is asked for even so: a run that was stopped may have left it in a
/// repository that has no tags yet, and to send it takes longer than to ask.
const WORTH_ASKING: u64 = 1 << 20;

/// What is known of one repository.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// How many tags were looked for.
    looked: AtomicUsize,
    /// Whether one of them was missing.
    missed: AtomicBool,
    tags: OnceCell<Tags>,
}

/// The tags of a repository.
#[derive(Debug)]
enum Tags {
    /// It does not say.
    Unknown,
    /// It says that there is no such repository.
    NoRepository,
    /// These.
    Listed(HashSet<String>),
}

impl Lacking {
    /// Whether a tag is known to be missing. May ask the repository for its tags.
    pub(super) async fn tag(&self, repository: &Repository, tag: &str) -> bool {
        self.looked.fetch_add(1, Ordering::Relaxed);
        match self.tags(repository).await {
            None | Some(Tags::Unknown) => false,
            Some(Tags::NoRepository) => true,
            Some(Tags::Listed(tags)) => !tags.contains(tag),
        }
    }

    /// Notes that a tag was missing.
    pub(super) fn missed_tag(&self) {
        self.missed.store(true, Ordering::Relaxed);
    }

    /// Whether a blob of `size` bytes can be there only if this run has brought it. May ask the
    /// repository for its tags.
    pub(super) async fn blob(&self, repository: &Repository, size: Option<u64>) -> bool {
        size.is_some_and(|size| size < WORTH_ASKING)
            && matches!(self.tags(repository).await, Some(Tags::NoRepository))
    }

    /// The tags, once it is worth asking for them: where one image is copied it is not.
    async fn tags(&self, repository: &Repository) -> Option<&Tags> {
        let worth = self.missed.load(Ordering::Relaxed) && self.looked.load(Ordering::Relaxed) > 1;
        if !worth {
            return self.tags.get();
        }
        Some(self.tags.get_or_init(|| Tags::of(repository)).await)
    }
}

impl Tags {
    async fn of(repository: &Repository) -> Self {
        match repository.valid_tags().await {
            Ok((tags, _)) => Self::Listed(tags.into_iter().collect()),
            Err(error) if error.codes().iter().any(|code| code == "NAME_UNKNOWN") => {
                Self::NoRepository
            }
            Err(error) => {
                tracing::debug!("asking which tags there are: {}", crate::chain(&error));
                Self::Unknown
            }
        }
    }
}
