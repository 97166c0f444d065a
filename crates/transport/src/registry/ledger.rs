//! What is known of registries beyond one image: which repository has which blob, which uploads are
//! open, and where tags led.
//!
//! None of it is relied on: what has changed meanwhile costs a request. Only who asks for it with
//! [`RegistryOptions::trusts_ledger`](crate::RegistryOptions) believes where tags led.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skopeo_image::{Digest, Named};

use super::lacking::Lacking;

/// Shorter blobs are not worth going on with, in bytes.
const WORTHWHILE: u64 = 1 << 20;

/// What is known of the registries of a run. What earlier runs knew can be told to it.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By registry.
    seen: Mutex<HashMap<String, KnownRegistry>>,
    /// A repository of a registry that had a blob when an earlier run saw it, as long as that has
    /// not proven wrong.
    told: Mutex<HashMap<(String, Digest), String>>,
    /// The locations of uploads by repository and blob; `None` if nobody wants to know.
    uploads: Mutex<Option<HashMap<(String, Digest), String>>>,
    /// Where tags led when somebody last saw or wrote them: by repository, with its registry, and
    /// by tag.
    tags: Mutex<HashMap<String, HashMap<String, SeenTag>>>,
}

/// Where a tag led.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SeenTag {
    digest: Digest,
    /// Whether that was in this run.
    now: bool,
}

/// A tag, and where it led.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownTag {
    /// The repository with its registry, as in names.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The digest of what it led to.
    pub digest: Digest,
}

/// What is known of one registry.
#[derive(Debug, Default)]
struct KnownRegistry {
    /// The repositories that have a blob, and how long it is in bytes.
    blobs: HashMap<Digest, (u64, Vec<String>)>,
    /// Whether it mounted when it was asked to last.
    mounts: Option<bool>,
    /// What its repositories, by their paths, are known not to have.
    lacking: HashMap<String, Arc<Lacking>>,
}

/// A blob that a repository has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownBlob {
    /// The registry, as in names.
    pub registry: String,
    /// The repository's path in it.
    pub repository: String,
    /// The blob.
    pub digest: Digest,
}

/// An upload that is open.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenUpload {
    /// The repository with its registry, as in names.
    pub repository: String,
    /// The blob that is being sent.
    pub digest: Digest,
    /// Where the registry is asked for it. There may be a secret of the registry in it.
    pub location: String,
}

impl std::fmt::Debug for OpenUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenUpload({}, {})", self.repository, self.digest)
    }
}

impl Ledger {
    /// Tells what an earlier run knew, and has uploads written down from now on.
    pub fn tell(
        &self,
        blobs: impl IntoIterator<Item = KnownBlob>,
        uploads: impl IntoIterator<Item = OpenUpload>,
        tags: impl IntoIterator<Item = KnownTag>,
    ) {
        let blobs = blobs.into_iter().map(|it| ((it.registry, it.digest), it.repository));
        lock(&self.told).extend(blobs);
        let uploads = uploads.into_iter().map(|it| ((it.repository, it.digest), it.location));
        lock(&self.uploads).get_or_insert_default().extend(uploads);
        let mut known = lock(&self.tags);
        for KnownTag { repository, tag, digest } in tags {
            known.entry(repository).or_default().insert(tag, SeenTag { digest, now: false });
        }
    }

    /// Returns where tags lead as far as this run, or an earlier one, has seen; with whether it was
    /// this one.
    #[must_use]
    pub fn tags(&self) -> Vec<(KnownTag, bool)> {
        let known = lock(&self.tags);
        let tags = known.iter().flat_map(|(repository, tags)| {
            tags.iter().map(|(tag, SeenTag { digest, now })| {
                let (repository, tag) = (repository.clone(), tag.clone());
                (KnownTag { repository, tag, digest: digest.clone() }, *now)
            })
        });
        tags.collect()
    }

    /// Where a tag leads, or led in an earlier run.
    pub(super) fn tag(&self, repository: &Named, tag: &str) -> Option<Digest> {
        let mut known = lock(&self.tags);
        let seen = known.get_mut(&repository.to_string())?.get_mut(tag)?;
        // Who asks relies on it: that is as good as a look.
        seen.now = true;
        Some(seen.digest.clone())
    }

    /// Remembers where a tag leads.
    pub(super) fn saw_tag(&self, repository: &Named, tag: &str, digest: &Digest) {
        let seen = SeenTag { digest: digest.clone(), now: true };
        lock(&self.tags).entry(repository.to_string()).or_default().insert(tag.to_owned(), seen);
    }

    /// Forgets a tag that is missing, or is to be written.
    pub(super) fn forget_tag(&self, repository: &Named, tag: &str) {
        if let Some(tags) = lock(&self.tags).get_mut(&repository.to_string()) {
            tags.remove(tag);
        }
    }

    /// Forgets all tags of a repository from which something is deleted: other tags may go with it.
    pub(super) fn forget_tags(&self, repository: &Named) {
        lock(&self.tags).remove(&repository.to_string());
    }

    /// Returns the blobs that have been seen in this run, each in one repository of its registry.
    #[must_use]
    pub fn blobs(&self) -> Vec<KnownBlob> {
        let registries = lock(&self.seen);
        let blobs = registries.iter().flat_map(|(registry, seen)| {
            seen.blobs.iter().filter_map(|(digest, (_, repositories))| {
                let (registry, digest) = (registry.clone(), digest.clone());
                Some(KnownBlob { registry, repository: repositories.first()?.clone(), digest })
            })
        });
        blobs.collect()
    }

    /// Returns whether what an earlier run knew of a blob has not proven wrong.
    #[must_use]
    pub fn still_told(&self, registry: &str, digest: &Digest) -> bool {
        lock(&self.told).contains_key(&(registry.to_owned(), digest.clone()))
    }

    /// Returns the uploads that are open, those that an earlier run left included.
    #[must_use]
    pub fn uploads(&self) -> Vec<OpenUpload> {
        let uploads = lock(&self.uploads);
        let open = uploads.iter().flatten().map(|((repository, digest), location)| OpenUpload {
            repository: repository.clone(),
            digest: digest.clone(),
            location: location.clone(),
        });
        open.collect()
    }

    /// Remembers that a repository has a blob, so that others of its registry may mount it.
    pub(super) fn saw_blob(&self, repository: &Named, digest: &Digest, size: u64) {
        let mut seen = lock(&self.seen);
        let seen = seen.entry(repository.domain().to_owned()).or_default();
        let (known, repositories) = seen.blobs.entry(digest.clone()).or_default();
        *known = size;
        if !repositories.iter().any(|path| path == repository.path()) {
            repositories.push(repository.path().to_owned());
        }
    }

    /// The length of a blob in bytes, if this repository is known to have it: never by what an
    /// earlier run knew, since not every registry looks whether what a manifest names is there.
    pub(super) fn blob_in(&self, repository: &Named, digest: &Digest) -> Option<u64> {
        let seen = lock(&self.seen);
        let (size, repositories) = seen.get(repository.domain())?.blobs.get(digest)?;
        let path = repository.path();
        repositories.iter().any(|known| known == path).then_some(*size)
    }

    /// A repository of the same registry that has a blob, or had it; none if the blob is known to
    /// have another size than this.
    pub(super) fn repository_with(
        &self,
        registry: &str,
        digest: &Digest,
        size: Option<u64>,
    ) -> Option<String> {
        let seen = {
            let seen = lock(&self.seen);
            let blob = seen.get(registry).and_then(|seen| seen.blobs.get(digest));
            if let (Some((actual, _)), Some(size)) = (blob, size)
                && *actual != size
            {
                return None;
            }
            blob.and_then(|(_, repositories)| repositories.first().cloned())
        };
        seen.or_else(|| lock(&self.told).get(&(registry.to_owned(), digest.clone())).cloned())
    }

    /// What a repository is known not to have.
    pub(super) fn lacking(&self, repository: &Named) -> Arc<Lacking> {
        let mut seen = lock(&self.seen);
        let seen = seen.entry(repository.domain().to_owned()).or_default();
        match seen.lacking.get(repository.path()) {
            Some(lacking) => lacking.clone(),
            None => seen.lacking.entry(repository.path().to_owned()).or_default().clone(),
        }
    }

    /// Remembers whether a registry mounted what it was known to have.
    pub(super) fn saw_mount(&self, registry: &str, mounted: bool) {
        lock(&self.seen).entry(registry.to_owned()).or_default().mounts = Some(mounted);
    }

    /// Whether it is worth asking a registry to mount before asking what it has.
    pub(super) fn mounts(&self, registry: &str) -> bool {
        lock(&self.seen).get(registry).and_then(|seen| seen.mounts).unwrap_or(true)
    }

    /// A repository that was said to have a blob does not let it be mounted.
    pub(super) fn forget_blob(&self, registry: &str, digest: &Digest) {
        lock(&self.told).remove(&(registry.to_owned(), digest.clone()));
    }

    /// Whether an upload of so many bytes is to be written down.
    pub(super) fn wants_upload(&self, size: u64) -> bool {
        size >= WORTHWHILE && lock(&self.uploads).is_some()
    }

    /// An upload begins.
    pub(super) fn begin_upload(&self, repository: &Named, digest: &Digest, location: &str) {
        if let Some(uploads) = &mut *lock(&self.uploads) {
            let key = (repository.to_string(), digest.clone());
            uploads.insert(key, location.to_owned());
        }
    }

    /// An upload ends, or is gone on with: gives its location.
    pub(super) fn end_upload(&self, repository: &Named, digest: &Digest) -> Option<String> {
        lock(&self.uploads).as_mut()?.remove(&(repository.to_string(), digest.clone()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
