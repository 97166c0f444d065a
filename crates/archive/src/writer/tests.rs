use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use skopeo_image::Algorithm;

use super::lies::{self, beside};
use super::*;
use crate::{Archive, Scratch};

fn name(digest: &Digest) -> Option<String> {
    Some(digest.hex().to_owned())
}

fn bytes_of(text: &str) -> Unverified {
    let pieces = text.as_bytes().chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece)));
    Unverified::new(stream::iter(pieces.collect::<Vec<_>>()).boxed(), Some(text.len() as u64))
}

fn honest(text: &str) -> Blob {
    bytes_of(text).expect(&Digest::sha256(text.as_bytes()), Some(text.len() as u64))
}

/// What comes under a digest, with the size that a source announces.
fn said(digest: &Digest, text: &str, size: u64) -> Blob {
    let bytes = bytes_of(text).expect(&Digest::sha256(b""), None).into_stream();
    drop(bytes);
    let pieces = text.as_bytes().chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece)));
    let stream = stream::iter(pieces.collect::<Vec<_>>()).boxed();
    Unverified::new(stream, Some(size)).expect(digest, Some(size))
}

/// Whatever is there is replaced.
fn replacing(path: &Path) -> Existing {
    Stamp::at(path).map_or(Existing::None, Existing::Replace)
}

/// The files of a tar.
fn members(path: &Path) -> BTreeMap<String, Bytes> {
    let archive = Archive::open(path, &Scratch::at(path)).unwrap();
    let names = archive.members().map(|(name, _)| name.to_owned());
    names.map(|name| (name.clone(), archive.read(&name, 1 << 20).unwrap().unwrap())).collect()
}

/// Whatever is said of a size, the next image is where nobody else writes.
#[tokio::test]
async fn a_size_that_nothing_has_takes_no_place_from_others() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("tar");
    let evil = "the attacker's bytes ".repeat(100);
    let good: Vec<String> = (0..4).map(|n| format!("{n} innocent ").repeat(200)).collect();
    for size in [u64::MAX, u64::MAX - 512, 1 << 63, i64::MAX as u64, 1 << 45, 9999] {
        for for_many in [true, false] {
            let writer = Writer::create(beside(&path), &path, replacing(&path), tmp.path());
            let writer = if for_many { writer.for_many() } else { writer };
            let digest = Digest::sha256(b"what it is not");
            for text in &good {
                let lie = writer.put_blob(said(&digest, &evil, size), name);
                let honest = writer.put_blob(honest(text), name);
                let (lie, honest) = futures_util::join!(lie, honest);
                assert!(lie.is_err());
                honest.unwrap_or_else(|error| panic!("{size}: {error:?}"));
            }
            if !for_many && size == 9999 {
                // It had a place, and is missed.
                assert!(writer.finish().await.is_err());
                continue;
            }
            writer.finish().await.unwrap();
            let expected = good.iter().map(|text| {
                (Digest::sha256(text.as_bytes()).hex().to_owned(), Bytes::from(text.clone()))
            });
            assert_eq!(members(&path), expected.collect(), "{size}");
            let len = fs_err::metadata(&path).unwrap().len();
            assert_eq!(len, 1024 + 4 * (512 + 2560), "{size}");
        }
    }
}

/// A place is given out only where the source itself says how long a blob is.
#[tokio::test]
async fn hearsay_reserves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("tar");
    let digest = Digest::sha256(b"x");
    let silent = |size, announced| {
        Unverified::new(stream::pending().boxed(), announced).expect(&digest, Some(size))
    };
    for (size, announced, reserved) in [
        (5000, Some(5000), 512 + 5120),
        (5000, None, 0),
        (1 << 45, None, 0),
        (1 << 45, Some(1 << 45), 0),
        (u64::MAX, Some(u64::MAX), 0),
    ] {
        let writer = Writer::create(beside(&path), &path, replacing(&path), tmp.path()).for_many();
        let put = writer.put_blob(silent(size, announced), name);
        let mut put = std::pin::pin!(put);
        for _ in 0..50 {
            assert!(futures_util::poll!(&mut put).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(writer.regions.take(1).unwrap().range().start, reserved, "{size} {announced:?}");
    }
}

/// Of two who bring the same digest at once, the one that lies spoils nothing.
#[tokio::test]
async fn two_of_one_digest_have_two_places() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("tar");
    let text = "the same bytes ".repeat(1000);
    let digest = Digest::sha256(text.as_bytes());
    let evil = text.replace("same", "evil");
    for for_many in [true, false] {
        let writer = Writer::create(beside(&path), &path, replacing(&path), tmp.path());
        let writer = if for_many { writer.for_many() } else { writer };
        let size = text.len() as u64;
        let puts = [&evil, &text, &evil, &text, &evil]
            .map(|text| writer.put_blob(said(&digest, text, size), name));
        let done = futures_util::future::join_all(puts).await;
        assert!(done[1].is_ok() && done[3].is_ok());
        writer.finish().await.unwrap();
        let all = members(&path);
        assert_eq!(all.len(), 1);
        assert_eq!(all[digest.hex()], text.as_bytes());
        assert_eq!(fs_err::metadata(&path).unwrap().len(), 512 + 15_360 + 1024);
    }
}

/// What another program writes into a place that was given out twice is found.
#[tokio::test]
async fn a_place_that_was_used_before_is_looked_at() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("tar");
    for (used_before, is_found) in [(true, true), (false, false)] {
        let writer = Writer::create(beside(&path), &path, replacing(&path), tmp.path()).for_many();
        if used_before {
            let lie = writer.put_blob(said(&Digest::sha256(b""), "not that", 8), name).await;
            assert!(lie.is_err());
        }
        writer.put_blob(honest("innocent"), name).await.unwrap();
        writer.sink.write(512, b"guilty").unwrap();
        assert_eq!(writer.finish().await.is_err(), is_found);
    }
}

#[tokio::test]
async fn a_long_name_and_a_size_by_hearsay_go_together() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("tar");
    let writer = Writer::create(beside(&path), &path, replacing(&path), tmp.path());
    let digest = Digest::of(Algorithm::Sha512, b"text");
    let stream = bytes_of("text").expect(&Digest::sha256(b"text"), None).into_stream();
    let blob = Unverified::new(stream, None).expect(&digest, Some(4));
    writer.put_blob(blob, name).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(members(&path)[digest.hex()], &b"text"[..]);
}

/// One image that is broken breaks no pipe that others are written to.
#[tokio::test]
async fn a_pipe_of_many_outlives_a_lie() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("tar");
    let file = fs_err::File::create(&path).unwrap();
    let writer = Writer::stream(file, tmp.path()).for_many();
    writer.put_blob(honest("one"), name).await.unwrap();
    assert!(writer.put_blob(said(&Digest::sha256(b""), "lie", 3), name).await.is_err());
    assert!(writer.put_blob(said(&Digest::sha256(b""), "lie", u64::MAX), name).await.is_err());
    writer.put_blob(honest("two"), name).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(members(&path).len(), 2);
}

/// Stories by chance, the same each time.
#[test]
fn whoever_lies_spoils_only_what_is_theirs() {
    let tmp = tempfile::tempdir().unwrap();
    for seed in 0..150 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut data = vec![0; 1 + 4 * random.usize(1..24)];
        random.fill(&mut data);
        lies::play(&data, tmp.path());
    }
}
