//! How a layer's bytes are packed.

use std::fmt;

/// A compression of layers. The declared, the sniffed, the wanted and the stored one are each of
/// this type, but never one variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// A plain tar.
    Uncompressed,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// zstd with a table of contents behind it, readable as plain zstd.
    ZstdChunked,
    /// Read, never written.
    Bzip2,
    /// Read, never written.
    Xz,
}

impl Compression {
    /// The name that flags and annotations use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uncompressed => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::ZstdChunked => "zstd:chunked",
            Self::Bzip2 => "bzip2",
            Self::Xz => "Xz",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
