//! Every format that layers come in, as one reader.

use std::io::{self, BufRead, Read};

use skopeo_image::Compression;

use crate::pipe::{Reader, Stopped};
use crate::unpacked::Counted;
use crate::{MaxUnpacked, StreamError};

/// What an xz stream may make us allocate, in bytes: twice what `xz -9` needs.
const XZ_MEMORY: u64 = 128 << 20;

/// Returns what is inside of `reader`, for who works on a blocking thread of its own. Bytes behind
/// the end of a packed stream are not looked at. Reading fails with [`TooMuch`](crate::TooMuch)
/// once more has come out than may.
///
/// # Errors
/// If there is no memory for a decoder.
pub fn unpack<R: BufRead>(
    reader: R,
    compression: Compression,
    most: MaxUnpacked,
) -> io::Result<impl Read> {
    Limited::new(reader, compression, most)
}

/// Unpacks what a [`Reader`] gives.
pub(crate) struct Decoder {
    compression: Compression,
    inside: Limited<Reader>,
    ended: bool,
}

/// What comes out of a decoder, as long as it may.
struct Limited<R> {
    kind: DecoderKind<Counted<R>>,
    most: MaxUnpacked,
    unpacked: u64,
}

enum DecoderKind<R> {
    Plain(Box<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<R>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, R>>),
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<R>>),
    Xz(Box<liblzma::bufread::XzDecoder<R>>),
}

impl Decoder {
    /// What is not packed may be as long as it is.
    pub(crate) fn new(
        reader: Reader,
        compression: Compression,
        most: MaxUnpacked,
    ) -> Result<Self, Stopped> {
        let is_packed = compression != Compression::Uncompressed;
        let most = if is_packed { most } else { MaxUnpacked::Unlimited };
        let inside = Limited::new(reader, compression, most)
            .map_err(|source| Stopped::Failed(StreamError::Corrupt { compression, source }))?;
        Ok(Self { compression, inside, ended: false })
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
        if let Err(source) =
            (&mut self.inside).take(u64::try_from(size).unwrap_or(u64::MAX)).read_to_end(block)
        {
            // What the input failed with is the cause; the decoder only saw it stop.
            let stopped = self.inside.kind.input().inner.stopped();
            return Err(stopped.unwrap_or(Stopped::Failed(StreamError::Corrupt {
                compression: self.compression,
                source,
            })));
        }
        if block.len() < size {
            self.ended = true;
            self.inside.kind.input().inner.drain()?;
        }
        Ok(!block.is_empty())
    }
}

impl<R: BufRead> DecoderKind<R> {
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

impl<R: BufRead> Read for DecoderKind<R> {
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

impl<R: BufRead> Limited<R> {
    fn new(reader: R, compression: Compression, most: MaxUnpacked) -> io::Result<Self> {
        Ok(Self { kind: DecoderKind::new(Counted::new(reader), compression)?, most, unpacked: 0 })
    }
}

impl<R: BufRead> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.kind.read(buf)?;
        self.unpacked = self.unpacked.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        self.most.check(self.kind.input().taken, self.unpacked)?;
        Ok(read)
    }
}

impl Read for Decoder {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inside.read(buf)
    }
}
