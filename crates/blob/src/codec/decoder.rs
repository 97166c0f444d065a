//! Every format that layers come in, as one reader.

use std::io::{self, Read};

use skopeo_image::Compression;

use crate::StreamError;
use crate::pipe::{Reader, Stopped};

/// What an xz stream may make us allocate, in bytes: twice what `xz -9` needs.
const XZ_MEMORY: u64 = 128 << 20;

/// Unpacks what a [`Reader`] gives.
pub(crate) struct Decoder {
    compression: Compression,
    kind: Kind,
    ended: bool,
}

enum Kind {
    Plain(Box<Reader>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Reader>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Reader>>),
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<Reader>>),
    Xz(Box<liblzma::bufread::XzDecoder<Reader>>),
}

impl Decoder {
    pub(crate) fn new(reader: Reader, compression: Compression) -> Result<Self, Stopped> {
        let corrupt = |source| Stopped::Failed(StreamError::Corrupt { compression, source });
        let kind = match compression {
            Compression::Uncompressed => Kind::Plain(Box::new(reader)),
            Compression::Gzip => Kind::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(reader))),
            // libzstd refuses windows beyond 128 MiB.
            Compression::Zstd | Compression::ZstdChunked => Kind::Zstd(Box::new(
                zstd::stream::read::Decoder::with_buffer(reader).map_err(corrupt)?,
            )),
            Compression::Bzip2 => {
                Kind::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(reader)))
            }
            Compression::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    XZ_MEMORY,
                    liblzma::stream::CONCATENATED,
                )
                .map_err(|error| corrupt(error.into()))?;
                Kind::Xz(Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream)))
            }
        };
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
        if let Err(source) = self.as_read().take(size as u64).read_to_end(block) {
            // What the input failed with is the cause; the decoder only saw it stop.
            let stopped = self.input().stopped();
            return Err(stopped.unwrap_or(Stopped::Failed(StreamError::Corrupt {
                compression: self.compression,
                source,
            })));
        }
        if block.len() < size {
            self.ended = true;
            self.input().drain()?;
        }
        Ok(!block.is_empty())
    }

    fn as_read(&mut self) -> &mut dyn Read {
        match &mut self.kind {
            Kind::Plain(reader) => reader,
            Kind::Gzip(decoder) => decoder,
            Kind::Zstd(decoder) => decoder,
            Kind::Bzip2(decoder) => decoder,
            Kind::Xz(decoder) => decoder,
        }
    }

    fn input(&mut self) -> &mut Reader {
        match &mut self.kind {
            Kind::Plain(reader) => reader,
            Kind::Gzip(decoder) => decoder.get_mut(),
            Kind::Zstd(decoder) => decoder.get_mut(),
            Kind::Bzip2(decoder) => decoder.get_mut(),
            Kind::Xz(decoder) => decoder.get_mut(),
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.as_read().read(buf)
    }
}
