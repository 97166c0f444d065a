use std::io::{Cursor, Read, Write};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use proptest::prelude::*;
use skopeo_image::Digest;

use super::*;
use crate::{StreamError, TooMuch, Unverified, diff_id, file, sniff};

/// Repetitive, random and textual stretches, as in a layer.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 30 {
            0 => out.extend_from_slice(&[0; 700]),
            1 => out.extend_from_slice(b"usr/share/doc/some package/changelog.gz and more text\n"),
            _ => out.extend((0..97).map(|i: u32| (state.wrapping_mul(i) >> 13) as u8)),
        }
    }
    out.truncate(len);
    out
}

pub(super) fn blob(bytes: &[u8]) -> Blob {
    let digest = Digest::sha256(bytes);
    let pieces: Vec<_> = bytes.chunks(9973).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    Unverified::new(stream::iter(pieces).boxed(), None).expect(&digest, Some(bytes.len() as u64))
}

pub(super) async fn bytes_of(blob: Blob) -> Result<Vec<u8>, StreamError> {
    let mut stream = blob.into_stream();
    let mut out = Vec::new();
    while let Some(piece) = stream.next().await {
        out.extend_from_slice(&piece?);
    }
    Ok(out)
}

pub(super) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bzip2::read::BzEncoder::new(bytes, bzip2::Compression::best()).read_to_end(&mut out).unwrap();
    out
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    liblzma::read::XzEncoder::new(bytes, 6).read_to_end(&mut out).unwrap();
    out
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Versions before 5.8.1 free memory that is in use (CVE-2025-31115).
#[test]
#[expect(unsafe_code, reason = "only the library itself knows which it is")]
fn the_xz_that_is_linked_is_no_old_one() {
    // SAFETY: it takes nothing and gives a constant.
    let number = unsafe { liblzma_sys::lzma_version_number() };
    // The last digit is 2 for what is stable.
    assert!(number >= 50_080_012, "{number}");
}

#[tokio::test]
async fn decodes_every_format_in_one_or_more_members() {
    let (a, b) = (sample(300_000), sample(5));
    let whole = [a.clone(), b.clone()].concat();
    let skip = [&b"\x53\x2a\x4d\x18\x04\0\0\0skip"[..], &zst(&a), &zst(&b)].concat();
    for (from, packed) in [
        (Compression::Uncompressed, whole.clone()),
        (Compression::Gzip, [gz(&a), gz(&b)].concat()),
        (Compression::Zstd, [zst(&a), zst(&b)].concat()),
        (Compression::Zstd, skip),
        (Compression::Bzip2, [bz2(&a), bz2(&b)].concat()),
        (Compression::Xz, [xz(&a), xz(&b)].concat()),
    ] {
        let (sniffed, source) = sniff(blob(&packed)).await.unwrap();
        assert_eq!(sniffed, from);
        let (source, id) = diff_id(source, from);
        let decoded = recode(source, Recode::Decompress { from });
        assert_eq!((decoded.digest(), decoded.size()), (None, None));
        assert!(bytes_of(decoded).await.unwrap() == whole, "{from}");
        assert_eq!(id.get().await.unwrap(), Digest::sha256(&whole), "{from}");
    }
}

#[tokio::test]
async fn encodes_one_gzip_member_at_every_level() {
    for len in [0, 1, 2 * BATCH - 1, 2 * BATCH, 4 * BATCH + 1, 1_500_000] {
        let plain = sample(len);
        for level in [None, Some(1), Some(2), Some(3), Some(6), Some(9), Some(-1), Some(99)] {
            let to = Encoder::Gzip { level };
            let packed = bytes_of(recode(blob(&plain), Recode::Compress { to })).await.unwrap();
            // A reader of one member only must see all.
            let mut out = Vec::new();
            let mut decoder = flate2::bufread::GzDecoder::new(Cursor::new(&packed));
            decoder.read_to_end(&mut out).unwrap();
            assert!(out == plain, "{len} at {level:?}");
            assert_eq!(decoder.into_inner().position(), packed.len() as u64);
            assert!(len < 1000 || packed.len() < len, "{len} at {level:?}");
        }
    }
}

#[tokio::test]
async fn encodes_incompressible_and_empty_blocks() {
    let mut state = 88_172_645_463_325_252_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(700_000)
    .collect();
    for plain in [noise, vec![0; 3_000_000]] {
        for level in [Some(1), None, Some(9)] {
            for to in [Encoder::Gzip { level }, Encoder::Zstd { level }] {
                let packed = bytes_of(recode(blob(&plain), Recode::Compress { to })).await.unwrap();
                let back = Recode::Decompress { from: to.compression() };
                assert!(bytes_of(recode(blob(&packed), back)).await.unwrap() == plain);
            }
        }
    }
}

#[tokio::test]
async fn recompresses_both_ways() {
    let plain = sample(2_000_000);
    let from = Compression::Gzip;
    let to = Encoder::Zstd { level: Some(22) };
    let packed = bytes_of(recode(blob(&gz(&plain)), Recode::Recompress { from, to })).await;
    let packed = packed.unwrap();
    assert!(::zstd::stream::decode_all(&packed[..]).unwrap() == plain);
    for level in [None, Some(0), Some(-5), Some(99)] {
        let to = Encoder::Zstd { level };
        assert!(bytes_of(recode(blob(&plain), Recode::Compress { to })).await.is_ok());
    }
    let (from, to) = (Compression::Zstd, Encoder::Gzip { level: None });
    let again = bytes_of(recode(blob(&packed), Recode::Recompress { from, to })).await.unwrap();
    assert!(
        bytes_of(recode(blob(&again), Recode::Decompress { from: Compression::Gzip }))
            .await
            .unwrap()
            == plain
    );
}

#[tokio::test]
async fn names_what_is_corrupt() {
    let plain = sample(600_000);
    for (from, packed) in [
        (Compression::Gzip, gz(&plain)),
        (Compression::Zstd, zst(&plain)),
        (Compression::Bzip2, bz2(&plain)),
        (Compression::Xz, xz(&plain)),
    ] {
        let mut flipped = packed.clone();
        flipped[packed.len() / 2] ^= 0x55;
        for bad in [&flipped[..], &packed[..packed.len() / 2]] {
            let to = Encoder::Gzip { level: None };
            for recoding in [Recode::Decompress { from }, Recode::Recompress { from, to }] {
                let error = bytes_of(recode(blob(bad), recoding)).await.map(drop).unwrap_err();
                assert!(matches!(error, StreamError::Corrupt { .. }), "{from}: {error}");
            }
            let (source, id) = diff_id(blob(bad), from);
            assert!(bytes_of(source).await.unwrap() == bad, "the bytes pass all the same");
            assert!(matches!(id.get().await, Err(StreamError::Corrupt { .. })), "{from}");
        }
    }
}

#[tokio::test]
async fn fails_with_the_source_not_with_the_decoder() {
    let packed = gz(&sample(900_000));
    let right = Digest::sha256(b"something else");
    let source = file::read(Cursor::new(packed.clone()), packed.len() as u64);
    let wrong = Unverified::new(source, None).expect(&right, None);
    let from = Compression::Gzip;
    let error = bytes_of(recode(wrong, Recode::Decompress { from })).await.map(drop).unwrap_err();
    assert!(matches!(error, StreamError::Digest { .. }), "{error}");

    let broken = StreamError::Read { source: "connection reset".into(), transient: true, tried: 1 };
    let pieces = [Ok(Bytes::copy_from_slice(&packed[..1000])), Err(broken)];
    let source = Unverified::new(stream::iter(pieces).boxed(), None).expect(&right, None);
    let error = bytes_of(recode(source, Recode::Decompress { from })).await.map(drop).unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_bomb_is_never_held_in_memory() {
    let packed = gz(&gz(&vec![0; 64 << 20]));
    let from = Compression::Gzip;
    let once = bytes_of(recode(blob(&packed), Recode::Decompress { from })).await.unwrap();
    let mut stream = recode(blob(&once), Recode::Decompress { from }).into_stream();
    let (mut largest, mut total) = (0, 0);
    while let Some(piece) = stream.next().await {
        let len = piece.unwrap().len();
        largest = largest.max(len);
        total += len;
    }
    assert_eq!((largest <= BATCH, total), (true, 64 << 20));
}

/// Zeros, packed as well as each format can.
fn bombs() -> Vec<(Compression, Vec<u8>)> {
    let zeros = vec![0; 20 << 20];
    vec![
        (Compression::Gzip, gz(&zeros)),
        (Compression::Bzip2, bz2(&zeros)),
        (Compression::Xz, xz(&zeros)),
        (Compression::Zstd, zst(&zeros)),
        (Compression::ZstdChunked, zst(&zeros)),
    ]
}

#[tokio::test]
async fn no_more_comes_out_than_may() {
    for (from, packed) in bombs() {
        let bomb = |most| blob(&packed).unpacked_within(MaxUnpacked::Bytes(most));
        let is_refused = |error: &StreamError| {
            let source = std::error::Error::source(error);
            source.and_then(TooMuch::of).is_some() && !error.is_transient()
        };
        for to in [None, Some(Encoder::Gzip { level: None }), Some(Encoder::Zstd { level: None })] {
            let recoding = match to {
                None => Recode::Decompress { from },
                Some(to) => Recode::Recompress { from, to },
            };
            let error = bytes_of(recode(bomb(1 << 20), recoding)).await.unwrap_err();
            assert!(is_refused(&error), "{from}: {error:?}");
            bytes_of(recode(bomb(20 << 20), recoding)).await.unwrap();
        }
        let (passed, id) = diff_id(bomb(1 << 20), from);
        assert_eq!(bytes_of(passed).await.unwrap(), packed, "the bytes pass all the same");
        assert!(is_refused(&id.get().await.unwrap_err()), "{from}");
        let reader = Cursor::new(&packed);
        let mut inside = unpack(reader, from, MaxUnpacked::Bytes(1 << 20)).unwrap();
        let error = std::io::copy(&mut inside, &mut std::io::sink()).unwrap_err();
        assert!(TooMuch::of(&error).is_some());
    }
    // What is not packed does not unpack to anything.
    let plain = blob(&[7; 5000]).unpacked_within(MaxUnpacked::Bytes(10));
    let to = Encoder::Gzip { level: None };
    bytes_of(recode(plain, Recode::Compress { to })).await.unwrap();
}

#[tokio::test]
async fn a_stream_dropped_half_way_ends_its_threads() {
    let plain = sample(3_000_000);
    let to = Encoder::Gzip { level: None };
    let mut stream = recode(blob(&plain), Recode::Compress { to }).into_stream();
    assert!(stream.next().await.unwrap().is_ok());
    // The runtime waits for its blocking threads when the test ends: a hang would show there.
    drop(stream);
}

#[tokio::test]
async fn what_follows_a_member_must_be_one() {
    let plain = sample(70_000);
    let from = Compression::Gzip;
    let garbage = [gz(&plain), b"garbage".to_vec()].concat();
    let error = bytes_of(recode(blob(&garbage), Recode::Decompress { from })).await.unwrap_err();
    assert!(matches!(error, StreamError::Corrupt { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_input_makes_a_decoder_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in any::<prop::sample::Index>(),
        whole: bool,
    ) {
        let plain = sample(20_000);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (from, mut packed) in [
            (Compression::Gzip, gz(&plain)),
            (Compression::Zstd, zst(&plain)),
            (Compression::Bzip2, bz2(&plain)),
            (Compression::Xz, xz(&plain)),
        ] {
            for (at, value) in &changes {
                let at = at.index(packed.len());
                packed[at] = *value;
            }
            packed.truncate(if whole { packed.len() } else { cut.index(packed.len()) });
            let decoded = runtime.block_on(bytes_of(recode(blob(&packed), Recode::Decompress { from })));
            match decoded {
                Ok(_) | Err(StreamError::Corrupt { .. }) => {}
                Err(error) => panic!("{from}: {error}"),
            }
        }
    }

    #[test]
    fn what_is_encoded_decodes(len in 0_usize..900_000, cut in 1_usize..50_000, level in 1..9_i32) {
        let plain = sample(len);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for to in [Encoder::Gzip { level: Some(level) }, Encoder::Zstd { level: Some(level) }] {
                let pieces: Vec<_> =
                    plain.chunks(cut).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
                let source = Unverified::new(stream::iter(pieces).boxed(), None)
                    .expect(&Digest::sha256(&plain), None);
                let packed = bytes_of(recode(source, Recode::Compress { to })).await.unwrap();
                let back = Recode::Decompress { from: to.compression() };
                assert!(bytes_of(recode(blob(&packed), back)).await.unwrap() == plain);
            }
        });
    }
}
