//! Layers, as a store tells of them.

use sha2::{Digest as _, Sha256};
use skopeo_image::{Digest, Timestamp};

/// A layer of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name in the store, and the name of its folder.
    pub id: String,
    /// What it lies on.
    pub parent: Option<String>,
    /// The digest of its tar.
    pub diff_digest: Option<Digest>,
    /// The length of its tar in bytes, with what pads it.
    pub diff_size: Option<u64>,
    /// The digest of the blob that it came as.
    pub compressed_digest: Option<Digest>,
    /// The length in bytes of the blob that it came as.
    pub compressed_size: Option<u64>,
    /// The digest of the table of contents, where it was fetched by that.
    pub toc_digest: Option<Digest>,
    /// How the blob that it came as was packed.
    pub compression: Compression,
    /// When it came into the store.
    pub created: Timestamp,
    /// Whether it lies in a store that is read only.
    pub read_only: bool,
}

/// How a blob was packed, as stores number it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    Uncompressed,
    /// bzip2.
    Bzip2,
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
}

impl Compression {
    /// The number in layers.json.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Uncompressed => 0,
            Self::Bzip2 => 1,
            Self::Gzip => 2,
            Self::Xz => 3,
            Self::Zstd => 4,
        }
    }

    /// The one with that number. What is not known is shown as not packed.
    pub(crate) fn numbered(number: i64) -> Self {
        match number {
            1 => Self::Bzip2,
            2 => Self::Gzip,
            3 => Self::Xz,
            4 => Self::Zstd,
            _ => Self::Uncompressed,
        }
    }
}

/// What is said of a layer when it gets into the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewLayer {
    /// Its id; without one it is that of [`layer_id`].
    pub id: Option<String>,
    /// The id of the layer that it lies on.
    pub parent: Option<String>,
    /// What its tar must be.
    pub expected_diff: Option<Digest>,
    /// The blob that it came as, and its length in bytes; without one it came as its tar.
    pub compressed: Option<(Digest, u64)>,
    /// How that blob was packed.
    pub compression: Compression,
}

/// Returns the id that a layer gets which lies on `parent`.
#[must_use]
pub fn layer_id(parent: Option<&str>, diff: &Digest) -> String {
    let Some(parent) = parent else { return diff.hex().to_owned() };
    let hash = Sha256::new_with_prefix(parent).chain_update("+").chain_update(diff.hex());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids that the original gave to layers of one image.
    #[test]
    fn a_child_is_called_after_its_parent_and_itself() {
        let digest = |byte: &str| format!("sha256:{}", byte.repeat(32)).parse::<Digest>().unwrap();
        let base = layer_id(None, &digest("ab"));
        assert_eq!(base, "ab".repeat(32));
        // printf '%s+%s' "$base" "$diff" | sha256sum
        assert_eq!(
            layer_id(Some(&base), &digest("cd")),
            "f0b8c5205467ede5602713fc2e6f7456e188f43b05fa25ceeddf963d0201c834"
        );
    }

    #[test]
    fn numbers_of_compressions_go_both_ways() {
        for number in 0..5 {
            assert_eq!(Compression::numbered(number).number(), number);
        }
        assert_eq!(Compression::numbered(77), Compression::Uncompressed);
    }
}
