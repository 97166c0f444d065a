use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;
use skopeo_image::{Compression, Digest};

use super::*;
use crate::codec::tests::{blob, bytes_of, gz};
use crate::codec::{Encoder, Recode, recode_annotated};

async fn packed(plain: &[u8], level: Option<i32>) -> (Vec<u8>, BTreeMap<String, String>) {
    let to = Encoder::ZstdChunked { level };
    let (blob, annotations) = recode_annotated(blob(plain), Recode::Compress { to });
    let packed = bytes_of(blob).await.unwrap();
    assert!(::zstd::stream::decode_all(&packed[..]).unwrap() == plain, "as plain zstd");
    (packed, annotations.get().await)
}

fn noise(len: usize, mut state: u32) -> Vec<u8> {
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(&mut self, kind: tar::EntryType, name: &str, contents: &[u8]) -> &mut Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(1000);
        header.set_mtime(1_700_000_000);
        header.set_size(contents.len() as u64);
        if kind == tar::EntryType::Link || kind == tar::EntryType::Symlink {
            self.0.append_link(&mut header, name, "etc/<target>").unwrap();
        } else {
            self.0.append_data(&mut header, name, contents).unwrap();
        }
        self
    }

    fn file(&mut self, name: &str, contents: &[u8]) -> &mut Self {
        self.add(tar::EntryType::Regular, name, contents)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let builder = std::mem::replace(&mut self.0, tar::Builder::new(Vec::new()));
        builder.into_inner().unwrap()
    }
}

/// A tar with something of everything.
fn sample() -> Vec<u8> {
    let large = [noise(400_000, 1), vec![0; 5000], noise(100_000, 2), vec![0; 70_000]].concat();
    let mut tar = Tar::new();
    tar.add(tar::EntryType::Directory, "etc/", b"")
        .file("etc/large", &large)
        .file("etc/empty", b"")
        .file("etc/small & <strange> \u{fc}", b"abc")
        .file(&format!("long/{}", "x".repeat(300)), &noise(513, 3))
        .add(tar::EntryType::Symlink, "link", b"")
        .add(tar::EntryType::Link, "hard", b"")
        .add(tar::EntryType::Fifo, "fifo", b"");
    tar.0.append_pax_extensions([("SCHILY.xattr.user.x", &b"v\xff"[..])]).unwrap();
    tar.file("with-xattr", &vec![0; 2000]).file("all", &noise(512, 9));
    tar.bytes()
}

fn number(bytes: &[u8]) -> usize {
    u64::from_le_bytes(bytes.try_into().unwrap()) as usize
}

/// Reads a layer as a client does that wants files only, and makes the tar of them anew.
fn read(packed: &[u8], annotations: &BTreeMap<String, String>) -> (Value, Vec<u8>) {
    let footer = &packed[packed.len() - 72..];
    assert_eq!(footer[..8], *b"\x50\x2a\x4d\x18\x40\0\0\0");
    assert_eq!(footer[64..], *b"GNUlInUx");
    let numbers: Vec<usize> = footer[8..64].chunks(8).map(number).collect();
    let [toc_at, toc_len, toc_size, kind, split_at, split_len, split_size] = numbers[..] else {
        panic!("{numbers:?}");
    };
    assert_eq!(
        annotations["io.github.containers.zstd-chunked.manifest-position"],
        format!("{toc_at}:{toc_len}:{toc_size}:{kind}")
    );
    assert_eq!(
        annotations["io.github.containers.zstd-chunked.tarsplit-position"],
        format!("{split_at}:{split_len}:{split_size}")
    );
    assert_eq!(kind, 1);
    let toc = &packed[toc_at..toc_at + toc_len];
    assert_eq!(annotations[CHECKSUM], Digest::sha256(toc).to_string());
    let toc = ::zstd::stream::decode_all(toc).unwrap();
    assert_eq!(toc.len(), toc_size);
    let toc: Value = serde_json::from_slice(&toc).unwrap();
    assert_eq!(toc["version"], 1);
    let split = &packed[split_at..split_at + split_len];
    assert_eq!(toc["tarSplitDigest"], Digest::sha256(split).as_str());
    let split = ::zstd::stream::decode_all(split).unwrap();
    assert_eq!(split.len(), split_size);

    let mut files: HashMap<&str, Vec<u8>> = HashMap::new();
    let none = Vec::new();
    let entries = toc["entries"].as_array().unwrap_or(&none);
    for (at, entry) in entries.iter().enumerate() {
        let name = entry["name"].as_str().unwrap();
        let Some(offset) = entry["offset"].as_u64() else { continue };
        let is_first = entry["type"] == "reg";
        let parts = 1 + entries[at + 1..].iter().take_while(|e| e["type"] == "chunk").count();
        // A chunk ends where the next begins, or with its file.
        let end = match entries.get(at + 1) {
            Some(next) if next["type"] == "chunk" => next["offset"].as_u64().unwrap(),
            _ => {
                let file = entries[..=at].iter().rfind(|entry| entry["type"] == "reg").unwrap();
                file["endOffset"].as_u64().unwrap()
            }
        };
        let chunk = ::zstd::stream::decode_all(&packed[offset as usize..end as usize]).unwrap();
        let file = files.entry(name).or_default();
        if parts > 1 || !is_first {
            assert_eq!(entry["chunkSize"], chunk.len(), "{name}");
            assert_eq!(entry["chunkDigest"], Digest::sha256(&chunk).as_str(), "{name}");
            assert_eq!(entry["chunkOffset"].as_u64().unwrap_or(0), file.len() as u64, "{name}");
            let is_zeros = chunk.iter().all(|byte| *byte == 0);
            assert_eq!(entry.get("chunkType").is_some(), is_zeros && chunk.len() >= 1024);
        }
        file.extend_from_slice(&chunk);
    }
    for entry in entries.iter().filter(|entry| entry["type"] == "reg") {
        let file = files.get(entry["name"].as_str().unwrap()).map_or(&[][..], Vec::as_slice);
        assert_eq!(entry["size"].as_u64().unwrap_or(0), file.len() as u64);
        let digest = (!file.is_empty()).then(|| Digest::sha256(file).to_string());
        assert_eq!(entry["digest"].as_str(), digest.as_deref());
    }

    let mut tar = Vec::new();
    for (at, line) in split.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate()
    {
        let line: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(line["position"], at);
        let payload = line["payload"].as_str().map(|payload| STANDARD.decode(payload).unwrap());
        if line["type"] == 2 {
            tar.extend(payload.unwrap());
        } else if let Some(payload) = payload {
            let file = &files[line["name"].as_str().unwrap()];
            assert_eq!(line["size"], file.len());
            assert_eq!(payload, CHECKSUMS.checksum(file).to_be_bytes());
            tar.extend(file);
        }
    }
    (toc, tar)
}

#[tokio::test]
async fn the_tar_can_be_made_anew_of_its_parts() {
    let plain = sample();
    for level in [None, Some(1), Some(-3), Some(19)] {
        let (packed, annotations) = packed(&plain, level).await;
        let (toc, tar) = read(&packed, &annotations);
        assert!(tar == plain);
        let entries = toc["entries"].as_array().unwrap();
        let kinds: Vec<_> = entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
        for kind in ["dir", "reg", "chunk", "symlink", "hardlink", "fifo"] {
            assert!(kinds.contains(&kind), "{kind}");
        }
        let zeros = entries.iter().filter(|entry| entry["chunkType"] == "zeros").count();
        assert_eq!(zeros, 2);
    }
}

#[tokio::test]
async fn says_of_files_what_headers_say() {
    let (packed, annotations) = packed(&sample(), None).await;
    let (toc, _) = read(&packed, &annotations);
    let entries = toc["entries"].as_array().unwrap();
    assert_eq!(
        entries[0].to_string(),
        r#"{"type":"dir","name":"etc/","mode":493,"uid":1000,"modtime":"2023-11-14T22:13:20Z"}"#
    );
    let named = |name: &str| entries.iter().find(|entry| entry["name"] == name).unwrap();
    assert_eq!(named("link")["linkName"], "etc/<target>");
    assert_eq!(named("with-xattr")["xattrs"]["user.x"], "dv8=");
    assert_eq!(named("etc/empty").get("digest"), None);
    assert_eq!(named("etc/small & <strange> \u{fc}")["size"], 3);
    // One chunk, of zeros: that it is one is not said.
    assert_eq!(named("with-xattr").get("chunkType"), None);
}

#[tokio::test]
async fn other_ends_of_tars() {
    let whole = Tar::new().file("a", &noise(700, 1)).bytes();
    let unpadded = &whole[..512 + 1024];
    for plain in [
        vec![],
        vec![0; 1024],
        vec![0; 10_240],
        unpadded.to_vec(),
        [&whole[..], &noise(3_000_000, 5)].concat(), // whatever stands behind the end
    ] {
        let (packed, annotations) = packed(&plain, None).await;
        assert!(read(&packed, &annotations).1 == plain);
    }
}

#[tokio::test]
async fn many_files_and_large_ones() {
    let mut tar = Tar::new();
    for n in 0..6000 {
        tar.file(&format!("many/{n}"), format!("number {n}").repeat(n % 50).as_bytes());
    }
    // No place to cut it at.
    tar.file("large", &vec![7; 3_000_000]).file("sparse", &vec![0; 3_000_000]);
    let plain = tar.bytes();
    let (packed, annotations) = packed(&plain, Some(1)).await;
    let (toc, tar) = read(&packed, &annotations);
    assert!(tar == plain);
    let chunks = toc["entries"].as_array().unwrap().iter();
    assert_eq!(chunks.filter(|entry| entry["name"] == "large").count(), 3);
}

/// In a layer of a million files some names begin their digests alike.
#[tokio::test]
async fn names_whose_digests_have_forty_bits_in_common_are_two_names() {
    let names = ["usr/lib/542742", "usr/lib/637359"];
    let start = |name: &str| Digest::sha256(name.as_bytes()).hex()[..10].to_owned();
    assert_eq!(start(names[0]), start(names[1]));
    let mut tar = Tar::new();
    let tar = tar.file(names[0], b"one").file(names[1], b"two").bytes();
    let (_, annotations) = packed(&tar, None).await;
    assert!(!annotations.is_empty(), "it has a table");
}

#[tokio::test]
async fn what_cannot_be_listed_is_plain_zstd() {
    let plain = sample();
    let twice = Tar::new().file("a", b"1").file("./a", b"2").bytes();
    let mut spoiled = plain.clone();
    let later = plain.windows(5).rposition(|bytes| bytes == b"ustar").unwrap();
    spoiled[later] ^= 1;
    let global = Tar::new().add(tar::EntryType::XGlobalHeader, "g", b"").file("a", b"1").bytes();
    for plain in [
        noise(3_000_000, 4),
        b"no tar".to_vec(),
        plain[..plain.len() - 3000].to_vec(),
        plain[..300_000].to_vec(),
        plain[..700].to_vec(),
        spoiled,
        twice,
        global,
        [&vec![0; 512][..], &plain].concat(),
    ] {
        let (_, annotations) = packed(&plain, None).await;
        assert_eq!(annotations, BTreeMap::new());
    }
}

#[tokio::test]
async fn made_of_what_is_packed_otherwise_and_the_same_each_time() {
    let plain = sample();
    let (first, annotations) = packed(&plain, None).await;
    let to = Encoder::ZstdChunked { level: None };
    let how = Recode::Recompress { from: Compression::Gzip, to };
    let (blob, again) = recode_annotated(blob(&gz(&plain)), how);
    assert!(bytes_of(blob).await.unwrap() == first);
    assert_eq!(again.get().await, annotations);
    assert_eq!(crate::with_annotations(Compression::Zstd, &annotations), Compression::ZstdChunked);
}

#[tokio::test]
async fn a_broken_input_breaks_the_output() {
    let packed = gz(&sample());
    let to = Encoder::ZstdChunked { level: None };
    let how = Recode::Recompress { from: Compression::Gzip, to };
    let (blob, annotations) = recode_annotated(blob(&packed[..packed.len() / 2]), how);
    assert!(matches!(bytes_of(blob).await, Err(StreamError::Corrupt { .. })));
    assert_eq!(annotations.get().await, BTreeMap::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_files(files in prop::collection::vec((0_usize..200_000, any::<u32>(), 0_usize..9000), 0..6)) {
        let mut tar = Tar::new();
        for (n, (len, seed, zeros)) in files.into_iter().enumerate() {
            let contents = [noise(len / 2, seed), vec![0; zeros], noise(len / 2, !seed)].concat();
            tar.file(&format!("file-{n}"), &contents);
        }
        let plain = tar.bytes();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (packed, annotations) = runtime.block_on(packed(&plain, Some(1)));
        assert!(read(&packed, &annotations).1 == plain);
    }

    #[test]
    fn any_bytes(start in 0_usize..3000, bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut plain = sample();
        let end = (start + bytes.len()).min(plain.len());
        plain.splice(start..end, bytes);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (packed, annotations) = runtime.block_on(packed(&plain, Some(1)));
        if !annotations.is_empty() {
            assert!(read(&packed, &annotations).1 == plain);
        }
    }
}
