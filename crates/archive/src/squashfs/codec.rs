//! How blocks are packed: each on its own.

use std::io::{self, Read};

use liblzma::stream::Stream;
use skopeo_image::number::wide;

use super::Error;

/// What unpacking one xz block may take, in bytes: more than a dictionary of 1 MiB needs.
const XZ_MEMORY: u64 = 32 << 20;

/// A way of packing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// zlib, in truth.
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    /// The packing of that number in the superblock.
    pub(super) fn new(number: u16) -> Result<Self, Error> {
        Err(Error::Compression(match number {
            1 => return Ok(Self::Gzip),
            4 => return Ok(Self::Xz),
            6 => return Ok(Self::Zstd),
            2 => "lzma",
            3 => "lzo",
            5 => "lz4",
            _ => "unknown",
        }))
    }

    /// Unpacks a block that is at most `most` bytes long then.
    pub(super) fn unpack(self, packed: &[u8], most: usize) -> Result<Vec<u8>, Error> {
        let unpacked = match self {
            Self::Gzip => limited(flate2::bufread::ZlibDecoder::new(packed), most),
            Self::Xz => Stream::new_stream_decoder(XZ_MEMORY, 0).map_err(io::Error::from).and_then(
                |stream| limited(liblzma::bufread::XzDecoder::new_stream(packed, stream), most),
            ),
            Self::Zstd => zstd::bulk::decompress(packed, most),
        };
        unpacked.map_err(Error::Block)
    }
}

fn limited(reader: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::with_capacity(most);
    reader.take(wide(most).saturating_add(1)).read_to_end(&mut unpacked)?;
    if unpacked.len() > most {
        return Err(io::Error::other("too long for a block"));
    }
    Ok(unpacked)
}
