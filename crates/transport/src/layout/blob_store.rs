//! Where the blobs of a layout lie: in a folder, in a tar or in a bucket.

use std::fmt;
use std::path::PathBuf;

use skopeo_blob::Unverified;
use skopeo_image::Digest;

use crate::Error;

/// The manifests and blobs of a layout, as reading asks for them.
pub(super) trait BlobStore: fmt::Debug + Send + Sync {
    /// The bytes of a manifest, unverified.
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, Error>;

    /// The length of a blob in bytes; `None` if it is not there.
    fn size(&self, digest: &Digest) -> Option<u64>;

    /// Whether there is a blob.
    fn has(&self, digest: &Digest) -> bool {
        self.size(digest).is_some()
    }

    /// The same, of what may be kept where it is, under the names that it has: a link that would be
    /// read through does not count.
    fn kept_size(&self, digest: &Digest) -> Option<u64> {
        self.size(digest)
    }

    /// Where a blob is, for errors.
    fn locate(&self, digest: &Digest) -> PathBuf;

    /// The bytes of a blob, which must be there.
    fn blob(&self, digest: &Digest) -> Result<Unverified, Error>;
}
