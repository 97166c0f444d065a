//! Packed bytes.

use std::io::{self, ErrorKind, Read};

use bytes::Bytes;
use flate2::read::DeflateDecoder;
use futures_util::TryStreamExt;
use skopeo_blob::{Blob, Encoder, MaxUnpacked, Recode, TooMuch, recode_annotated};
use skopeo_image::Compression;

use super::image::runtime;
use super::tars::summed;

/// As long as what is joined: one block of input, at most.
const LONGEST: u64 = 1 << 20;

/// What comes out of packed bytes is no more than may come.
pub(super) fn unpack(data: &[u8]) {
    for compression in [
        Compression::Gzip,
        Compression::Zstd,
        Compression::Bzip2,
        Compression::Xz,
        skopeo_blob::sniff_bytes(data),
    ] {
        let most = MaxUnpacked::Bytes(LONGEST);
        let Ok(mut inside) = skopeo_blob::unpack(data, compression, most) else { continue };
        let mut count = Count(0);
        match io::copy(&mut inside, &mut count) {
            Ok(_) => assert!(count.0 <= LONGEST),
            Err(error) if TooMuch::of(&error).is_some() => assert!(count.0 <= LONGEST),
            Err(_) => {}
        }
    }
}

struct Count(u64);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whatever becomes `zstd:chunked` is the same when it is unpacked; the table, if there is one, is
/// where the annotations and the footer say.
pub(super) fn chunked(data: &[u8]) {
    let plain = summed(data);
    let to = Encoder::ZstdChunked { level: Some(1) };
    let recode = Recode::Compress { to };
    let (packed, annotations) = runtime().block_on(async {
        let (blob, annotations) =
            recode_annotated(Blob::of_bytes(Bytes::from(plain.clone())), recode);
        let pieces: Vec<Bytes> =
            blob.into_stream().try_collect().await.expect("bytes can be packed");
        (pieces.concat(), annotations.get().await)
    });
    assert!(zstd::stream::decode_all(&packed[..]).expect("zstd") == plain);
    let position = "io.github.containers.zstd-chunked.manifest-position";
    let Some(position) = annotations.get(position) else { return };
    let numbers: Vec<usize> =
        position.split(':').map(|number| number.parse().expect("a number")).collect();
    let table = packed.get(numbers[0]..numbers[0] + numbers[1]).expect("a table inside");
    let table = zstd::stream::decode_all(table).expect("a packed table");
    assert_eq!(table.len(), numbers[2]);
    let table: serde_json::Value = serde_json::from_slice(&table).expect("a table of JSON");
    let files = table["entries"].as_array().map_or(0, Vec::len);
    assert!(files <= plain.len() / 512, "{files} files");
}

fn inflate(deflated: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let read = DeflateDecoder::new(deflated).take(LONGEST).read_to_end(&mut plain);
    match read {
        Ok(_) => Some(plain),
        Err(error) if error.kind() == ErrorKind::OutOfMemory => panic!("{error}"),
        Err(_) => None,
    }
}

/// The joiner of deflate streams makes of one another that says the same and has no end, or refuses
/// it.
pub(super) fn gzip_join(data: &[u8]) {
    let Some(open) = skopeo_blob::fuzzing::open_end(data) else { return };
    // The joiner does not look at what the codes mean: only what libdeflate made is promised.
    let Some(plain) = inflate(data) else { return };
    let joined = [&open[..], &[0x03, 0x00]].concat();
    assert_eq!(inflate(&joined), Some(plain));
}
