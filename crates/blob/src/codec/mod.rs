//! Decoding and encoding, on blocking threads.

mod chunked;
mod crew;
mod decoder;
mod deflate;
mod gzip;
mod join;
mod tables;
mod zstd;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use skopeo_image::Compression;
use tokio::sync::oneshot;

use crate::pipe::{self, Reader, Stopped};
use crate::sizes::BATCH;
use crate::{Blob, MaxUnpacked};

pub use decoder::unpack;
pub(crate) use join::Joiner;

use decoder::Decoder;

/// A format to pack in, and how hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoder {
    /// One gzip member, made in parallel; the bytes do not depend on the number of processors.
    Gzip {
        /// 0 (nothing is packed) to 9, or -1 or `None`: at most 1 % larger than what the
        /// original makes by default, and faster. -2 is the fastest.
        level: Option<i32>,
    },
    /// One zstd frame with a checksum.
    Zstd {
        /// zstd's own scale, negative levels included; 0 or `None` is 3.
        level: Option<i32>,
    },
    /// zstd in many frames, one and more for each file, with a table of them behind. What is no
    /// tar, or one that cannot be listed, becomes frames without a table.
    ZstdChunked {
        /// As for zstd; `None` is 9.
        level: Option<i32>,
    },
}

impl Encoder {
    /// Returns what it makes.
    #[must_use]
    pub fn compression(self) -> Compression {
        match self {
            Self::Gzip { .. } => Compression::Gzip,
            Self::Zstd { .. } => Compression::Zstd,
            Self::ZstdChunked { .. } => Compression::ZstdChunked,
        }
    }

    /// Returns the levels that it has. What is beyond is taken for the nearest.
    #[must_use]
    pub fn levels(self) -> RangeInclusive<i32> {
        match self {
            Self::Gzip { .. } => gzip::LEVELS,
            Self::Zstd { .. } | Self::ZstdChunked { .. } => zstd::LEVELS,
        }
    }
}

/// What is to be done to the packing of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recode {
    /// Nothing.
    Keep,
    /// Unpack.
    Decompress {
        /// How it is packed, as sniffed.
        from: Compression,
    },
    /// Pack what is not packed.
    Compress {
        /// How.
        to: Encoder,
    },
    /// Unpack, and pack in another format.
    Recompress {
        /// How it is packed, as sniffed.
        from: Compression,
        /// How it shall be.
        to: Encoder,
    },
}

/// Changes the packing of a blob as it passes. Unless that is to keep it, the new blob has neither
/// digest nor size before its end; the old one is still verified, and the new one fails when it
/// does, or when more comes out of it than [may](Blob::unpacked_within). Nothing is buffered beyond
/// some blocks, however small or large the other side is.
#[must_use]
pub fn recode(blob: Blob, recode: Recode) -> Blob {
    recode_annotated(blob, recode).0
}

/// As [`recode`], with what a manifest has to say of the result.
#[must_use]
pub fn recode_annotated(blob: Blob, recode: Recode) -> (Blob, Annotations) {
    let (to_annotations, annotations) = oneshot::channel();
    let annotations = Annotations(annotations);
    let (from, to) = match recode {
        Recode::Keep => return (blob, annotations),
        Recode::Decompress { from } => (from, None),
        Recode::Compress { to } => (Compression::Uncompressed, Some(to)),
        Recode::Recompress { from, to } => (from, Some(to)),
    };
    let most = blob.max_unpacked;
    let (feed, puller) = pipe::pull(blob);
    let stream = pipe::produce(Some(feed), move |output| {
        // Packing has threads of its own, and this one little to do.
        let is_packed = from != Compression::Uncompressed;
        let puller = if is_packed { puller.hash_beside() } else { puller };
        let mut decoder = Decoder::new(puller.reader(), from, most)?;
        match to {
            None => {
                while let Some(block) = decoder.block(BATCH)? {
                    output.put(Bytes::from(block))?;
                }
            }
            Some(Encoder::Gzip { level }) => gzip::encode(&mut decoder, level, output)?,
            Some(Encoder::Zstd { level }) => zstd::encode(&mut decoder, level, output)?,
            Some(Encoder::ZstdChunked { level }) => {
                let annotations = chunked::encode(&mut decoder, level, output)?;
                // Nobody may wait for them, which is no loss.
                let _ = to_annotations.send(annotations);
            }
        }
        Ok(())
    });
    (Blob::unnamed(stream), annotations)
}

/// What a manifest has to say of recoded bytes, beside their type: where the table of a
/// `zstd:chunked` layer is. Means something only once the blob has ended well.
#[derive(Debug)]
pub struct Annotations(oneshot::Receiver<BTreeMap<String, String>>);

impl Annotations {
    /// Waits for them. The blob must be read to its end meanwhile, or have been.
    pub async fn get(self) -> BTreeMap<String, String> {
        self.0.await.unwrap_or_default()
    }
}

/// Returns how a layer is packed that is packed so by its first bytes: among what its manifest says
/// of it is whether zstd has a table of contents behind it.
#[must_use]
pub fn with_annotations(
    sniffed: Compression,
    annotations: &BTreeMap<String, String>,
) -> Compression {
    match sniffed {
        Compression::Zstd if annotations.contains_key(chunked::CHECKSUM) => {
            Compression::ZstdChunked
        }
        other => other,
    }
}

/// Unpacks all of `reader`.
pub(crate) fn decode(
    reader: Reader,
    compression: Compression,
    most: MaxUnpacked,
    mut sink: impl FnMut(&[u8]) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let mut decoder = Decoder::new(reader, compression, most)?;
    let mut buffer = Vec::new();
    while decoder.refill(&mut buffer, BATCH)? {
        sink(&buffer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
