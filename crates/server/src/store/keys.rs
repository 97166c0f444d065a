//! What the parts of a layout are called, in a folder and in a bucket.

/// What makes a folder a layout.
pub(crate) const MARKER: &str = "oci-layout";

/// What is in it, as `oci:` writes it.
pub(super) const MARKER_CONTENT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

/// What whoever edits `index.json` has a lock on; `oci:` does so too.
pub(super) const LOCK: &str = ".lock";

/// Where uploads are until they are whole.
pub(crate) const UPLOADS: &str = ".uploads";

/// What lists the images of a layout.
pub(crate) const INDEX: &str = "index.json";

/// The index of a layout that holds nothing, as it is written here.
pub(super) const NO_MANIFESTS: &[u8] = b"{\"schemaVersion\":2,\"manifests\":[]}";

/// The largest `index.json` that is read, in bytes.
pub(super) const MAX_INDEX: u64 = 64 << 20;
