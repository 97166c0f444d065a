//! How a layer's bytes are packed.

use std::fmt;
use std::str::FromStr;

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
    /// Returns the name that flags and annotations use.
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

/// A name of no compression that layers may be packed with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot find compressor for {0:?}")]
pub struct UnknownCompression(pub String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    /// Reads the names that the original's flags take, capitals as they are; there is none for
    /// plain tars.
    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        [Self::Gzip, Self::Zstd, Self::ZstdChunked, Self::Bzip2, Self::Xz]
            .into_iter()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| UnknownCompression(name.to_owned()))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_names_of_flags() {
        for name in ["gzip", "zstd", "zstd:chunked", "bzip2", "Xz"] {
            assert_eq!(name.parse::<Compression>().unwrap().to_string(), name);
        }
        for name in ["xz", "GZIP", "lz4", "none", "uncompressed", ""] {
            let error = name.parse::<Compression>().unwrap_err();
            assert_eq!(error.to_string(), format!("cannot find compressor for {name:?}"));
        }
    }
}
