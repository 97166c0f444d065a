//! `Content-Encoding`: answers that come packed although nobody asked for it (RFC 9110, 8.4).
//!
//! Caches, gateways and object stores do so. Go asks for gzip and unpacks it, so users of the
//! original never see it. Some servers mean something else by it: they name what a layer is. So
//! bytes that have the digest they should have are taken as they came.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::error::Error;

/// How much packed data is unpacked at once, in bytes: a thousand times as much may come out.
const STEP: usize = 4 * 1024;

/// The first bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What compressed data begins with: gzip, zstd, xz, bzip2.
const COMPRESSED: &[&[u8]] = &[&GZIP, b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh"];

/// How many bytes tell whether data is compressed.
pub(crate) const MAGIC: usize = 6;

/// How an answer is encoded, as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
    /// Otherwise, or more than once.
    Other(String),
}

impl Coding {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut named = String::new();
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in String::from_utf8_lossy(value.as_bytes()).split(',') {
                let name = name.trim().to_ascii_lowercase();
                // What S3 keeps of how an object was uploaded; its body is plain.
                if !matches!(name.as_str(), "" | "identity" | "aws-chunked") {
                    let comma = if named.is_empty() { "" } else { ", " };
                    let _ = write!(named, "{comma}{name}");
                }
            }
        }
        match named.as_str() {
            "" => Self::Plain,
            "gzip" | "x-gzip" => Self::Gzip,
            _ => Self::Other(named),
        }
    }
}

/// Whether data that begins like this is compressed.
pub(crate) fn is_compressed(start: &[u8]) -> bool {
    COMPRESSED.iter().any(|magic| start.starts_with(magic))
}

/// What is wrong with an answer in an encoding that is not known here.
pub(crate) fn unknown(name: &str) -> Error {
    Error::Protocol(format!(
        "the answer has the encoding {name:?}, which was not requested and is not supported"
    ))
}

/// What is wrong with an answer that is not the gzip it says.
pub(crate) fn broken(error: &io::Error) -> Error {
    Error::Protocol(format!("decompressing an answer with gzip: {error}"))
}

/// A whole body as it was before it was packed, of at most `limit` bytes. `is_right` knows the
/// bytes that are wanted, where anybody does.
pub(crate) fn unpacked(
    headers: &HeaderMap,
    body: Bytes,
    limit: usize,
    is_right: impl Fn(&[u8]) -> bool,
) -> Result<Bytes, Error> {
    match Coding::of(headers) {
        Coding::Plain => Ok(body),
        _ if body.is_empty() || is_right(&body) => Ok(body),
        Coding::Gzip => {
            let mut gunzip = Gunzip::default();
            let mut whole = BytesMut::new();
            gunzip.feed(&body);
            let mut ended = false;
            loop {
                while let Some(piece) = gunzip.next().map_err(|error| broken(&error))? {
                    if piece.len() > limit.saturating_sub(whole.len()) {
                        return Err(Error::TooLarge(limit));
                    }
                    whole.extend_from_slice(&piece);
                }
                if ended {
                    return Ok(whole.freeze());
                }
                gunzip.end().map_err(|error| broken(&error))?;
                ended = true;
            }
        }
        // It is not what it says.
        Coding::Other(_) if body.trim_ascii_start().starts_with(b"{") => Ok(body),
        Coding::Other(name) => Err(unknown(&name)),
    }
}

/// Unpacks gzip piece by piece. What does not begin like gzip is passed on as it is.
#[derive(Debug, Default)]
pub(crate) struct Gunzip {
    input: BytesMut,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Begin,
    Plain,
    Packed(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Gunzip {
    /// More of what came.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        self.input.extend_from_slice(piece);
    }

    /// Nothing more comes.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Begin => self.state = State::Plain,
            State::Plain => {}
            State::Packed(decoder) => decoder.try_finish()?,
        }
        Ok(())
    }

    /// The next piece, never empty; none if more has to be fed.
    pub(crate) fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let State::Begin = self.state {
            if self.input.len() < GZIP.len() {
                return Ok(None);
            }
            self.state = match self.input.starts_with(&GZIP) {
                true => State::Packed(Box::new(MultiGzDecoder::new(Vec::new()))),
                false => State::Plain,
            };
        }
        let State::Packed(decoder) = &mut self.state else {
            let all = self.input.split().freeze();
            return Ok((!all.is_empty()).then_some(all));
        };
        loop {
            let piece = std::mem::take(decoder.get_mut());
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
            if self.input.is_empty() {
                return Ok(None);
            }
            let step = self.input.split_to(self.input.len().min(STEP));
            decoder.write_all(&step)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;

    use super::*;

    fn said(values: &[&'static str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_static(value));
        values.map(|value| (CONTENT_ENCODING, value)).fold(HeaderMap::new(), |mut map, (k, v)| {
            map.append(k, v);
            map
        })
    }

    fn packed(bytes: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn encodings_are_read_as_they_are_meant() {
        for (values, expected) in [
            (&[][..], Coding::Plain),
            (&["identity"], Coding::Plain),
            (&["aws-chunked"], Coding::Plain),
            (&["gzip"], Coding::Gzip),
            (&["GZIP"], Coding::Gzip),
            (&["x-gzip", "identity"], Coding::Gzip),
            (&["aws-chunked,gzip"], Coding::Gzip),
            (&["br"], Coding::Other("br".to_owned())),
            (&["gzip", "gzip"], Coding::Other("gzip, gzip".to_owned())),
        ] {
            assert_eq!(Coding::of(&said(values)), expected, "{values:?}");
        }
    }

    #[test]
    fn bodies_are_unpacked_within_their_limit() {
        let never = |_: &[u8]| false;
        let whole = unpacked(&said(&["gzip"]), packed(b"{}"), 2, never).unwrap();
        assert_eq!(whole, "{}");
        let double = Bytes::from([packed(b"{"), packed(b"}")].concat());
        assert_eq!(unpacked(&said(&["gzip"]), double, 2, never).unwrap(), "{}");
        let zeros = packed(&vec![0; 1 << 20]);
        let error = unpacked(&said(&["gzip"]), zeros.clone(), (1 << 20) - 1, never).unwrap_err();
        assert!(matches!(error, Error::TooLarge(_)), "{error}");
        // The bytes that are wanted, and what is no gzip at all, are left alone.
        let right = unpacked(&said(&["gzip"]), zeros.clone(), 1, |_| true).unwrap();
        assert_eq!(right, zeros);
        assert_eq!(unpacked(&said(&["gzip"]), "{}".into(), 2, never).unwrap(), "{}");
        assert_eq!(unpacked(&said(&["br"]), " {}".into(), 3, never).unwrap(), " {}");
        let error = unpacked(&said(&["br"]), "\x0b".into(), 9, never).unwrap_err();
        assert!(error.to_string().contains("\"br\""), "{error}");
        let mut cut = packed(b"{\"a\":\"b\"}").to_vec();
        cut.truncate(cut.len() - 4);
        let error = unpacked(&said(&["gzip"]), cut.into(), 99, never).unwrap_err();
        assert!(error.to_string().contains("gzip"), "{error}");
    }

    #[test]
    fn pieces_come_out_as_they_go_in() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for size in [1, 7, 4096, 1_000_000] {
            let mut gunzip = Gunzip::default();
            let mut whole = Vec::new();
            for piece in packed(&bytes).chunks(size) {
                gunzip.feed(piece);
                while let Some(piece) = gunzip.next().unwrap() {
                    whole.extend_from_slice(&piece);
                }
            }
            gunzip.end().unwrap();
            while let Some(piece) = gunzip.next().unwrap() {
                whole.extend_from_slice(&piece);
            }
            assert!(whole == bytes, "{size}");
        }
    }
}
