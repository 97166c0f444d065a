//! Every format that layers come in, as one reader.

use std::io::{self, BufRead, Read};

use skopeo_image::Compression;

use crate::StreamError;
use crate::pipe::{Reader, Stopped};

/// What an xz stream may make us allocate, in bytes: twice what `xz -9` needs.
const XZ_MEMORY: u64 = 128 << 20;

/// What is inside of `reader`, for who works on a blocking thread of its own. Bytes behind the end
/// of a packed stream are not looked at.
///
/// # Errors
/// If there is no memory for a decoder.
pub fn unpack<R: BufRead>(reader: R, compression: Compression) -> io::Result<impl Read> {
    Kind::new(reader, compression)
}

/// Unpacks what a [`Reader`] gives.
pub(crate) struct Decoder {
    compression: Compression,
    kind: Kind<Reader>,
    ended: bool,
}

enum Kind<R> {
    Plain(Box<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<R>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, R>>),
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<R>>),
    Xz(Box<liblzma::bufread::XzDecoder<R>>),
}

impl Decoder {
    pub(crate) fn new(reader: Reader, compression: Compression) -> Result<Self, Stopped> {
        let kind = Kind::new(reader, compression)
            .map_err(|source| Stopped::Failed(StreamError::Corrupt { compression, source }))?;
        Ok(Self { compression, kind, ended: false })
    }

    /// The next `size` bytes, fewer only at the end; `None` after it. The end is reported when all
    /// of the input has been read and verified.
    pub(crate) fn block(&mut self, size: usize) -> Result<Option<Vec<u8>>, Stopped> {
        let mut block = Vec::new();
        Ok(self.refill(&mut block, size)?.then_some(block))
    }

    /// As [`Self::block`], into a vector that exists. `false` at the end.
    pub(crate) fn refill(&mut self, block: &mut Vec<u8>, size: usize) -> Result<bool, Stopped> {
        block.clear();
        if self.ended {
            return Ok(false);
        }
        block.reserve_exact(size);
        if let Err(source) = (&mut self.kind).take(size as u64).read_to_end(block) {
            // What the input failed with is the cause; the decoder only saw it stop.
            let stopped = self.kind.input().stopped();
            return Err(stopped.unwrap_or(Stopped::Failed(StreamError::Corrupt {
                compression: self.compression,
                source,
            })));
        }
        if block.len() < size {
            self.ended = true;
            self.kind.input().drain()?;
        }
        Ok(!block.is_empty())
    }
}

impl<R: BufRead> Kind<R> {
    fn new(reader: R, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Uncompressed => Self::Plain(Box::new(reader)),
            Compression::Gzip => Self::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(reader))),
            // libzstd refuses windows beyond 128 MiB.
            Compression::Zstd | Compression::ZstdChunked => {
                Self::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(reader)?))
            }
            Compression::Bzip2 => {
                Self::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(reader)))
            }
            Compression::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    XZ_MEMORY,
                    liblzma::stream::CONCATENATED,
                )?;
                Self::Xz(Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream)))
            }
        })
    }

    fn input(&mut self) -> &mut R {
        match self {
            Self::Plain(reader) => reader,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
            Self::Bzip2(decoder) => decoder.get_mut(),
            Self::Xz(decoder) => decoder.get_mut(),
        }
    }
}

impl<R: BufRead> Read for Kind<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buf),
            Self::Gzip(decoder) => decoder.read(buf),
            Self::Zstd(decoder) => decoder.read(buf),
            Self::Bzip2(decoder) => decoder.read(buf),
            Self::Xz(decoder) => decoder.read(buf),
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.kind.read(buf)
    }
}
