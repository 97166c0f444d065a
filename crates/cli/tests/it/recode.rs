//! Layers packed otherwise, and who can read them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use skopeo_image::{Compression, Digest};
use skopeo_testkit::run::{installed, original, run};
use skopeo_testkit::{Home, Image, skip};

use crate::stage::{SKOPEO, sentence, skopeo, whole_layout};

/// An image of one plain layer of some MiB, in `dir:plain`.
fn plain(home: &Home) -> Image {
    let image =
        Image::builder(1).layer_size(3_000_000).layer_of(5, Compression::Uncompressed).build();
    image.write_dir(&home.path("work/plain"));
    image
}

fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&fs_err::read(folder.join("manifest.json")).unwrap()).unwrap()
}

/// The files of the layers in a `dir:`.
fn layers(folder: &Path) -> Vec<PathBuf> {
    let manifest = manifest(folder);
    let digests = manifest["layers"].as_array().unwrap().iter();
    let digests = digests.map(|layer| layer["digest"].as_str().unwrap().parse().unwrap());
    digests.map(|digest: Digest| folder.join(digest.hex())).collect()
}

/// Reads one member and no more, as some consumers do.
const ONE_MEMBER: &str = "
import sys, zlib
d = zlib.decompressobj(31)
out = d.decompress(open(sys.argv[1], 'rb').read()) + d.flush()
assert d.eof and not d.unused_data, 'more than one member'
open(sys.argv[2], 'wb').write(out)
";

#[test]
fn gzip_that_everybody_reads() {
    let home = Home::new();
    let image = plain(&home);
    let expected = image.layers()[0].bytes.to_vec();
    for level in ["", "-2", "-1", "0", "1", "5", "9"] {
        let flag = format!("--dest-compress-level={level}");
        let mut words = vec!["copy", "--dest-compress"];
        words.extend((!level.is_empty()).then_some(&*flag));
        skopeo(&home, &[&words[..], &["dir:plain", "dir:packed"]].concat()).success();
        let layer = layers(&home.path("work/packed")).remove(0);
        let layer = layer.to_str().unwrap();
        let size = fs_err::metadata(layer).unwrap().len();
        assert!(level == "0" || size < expected.len() as u64, "{level}: {size}");
        for reader in ["gzip", "pigz"] {
            match installed(reader) {
                Some(reader) => drop(run(&home, reader, &["-t", layer]).success()),
                None => skip!("{reader} is not installed"),
            }
        }
        let Some(python) = installed("python3") else { skip!("python3 is not installed") };
        run(&home, python, &["-c", ONE_MEMBER, layer, "out"]).success();
        assert!(fs_err::read(home.path("work/out")).unwrap() == expected);
        let Some(original) = original() else { skip!("the original is not installed") };
        let words = ["--insecure-policy", "copy", "--dest-decompress", "dir:packed", "dir:back"];
        run(&home, original, &words).success();
        let back = layers(&home.path("work/back")).remove(0);
        assert!(fs_err::read(back).unwrap() == expected);
    }
}

#[test]
fn formats_and_levels_that_are_none() {
    let home = Home::new();
    plain(&home);
    let nowhere = "required but the destination only supports MIME types \
                   [application/vnd.oci.image.manifest.v1+json, \
                   application/vnd.oci.image.index.v1+json], none of which support it";
    for (flags, said) in [
        ("--dest-compress-format xz", "cannot find compressor for \"xz\""),
        ("--dest-compress-format none", "cannot find compressor for \"none\""),
        ("--dest-compress-format Xz", &format!("compression using Xz {nowhere}")),
        ("--dest-compress-format bzip2", &format!("compression using bzip2 {nowhere}")),
        ("--dest-compress-level 10", "gzip: invalid compression level: 10"),
        (
            "--dest-compress-format gzip --dest-compress-level -3",
            "gzip: invalid compression level: -3",
        ),
        (
            "--dest-compress-format zstd --dest-compress-level 23",
            "zstd: invalid compression level: 23",
        ),
        (
            "--dest-force-compress-format",
            "--dest-force-compress-format requires --dest-compress-format",
        ),
    ] {
        let mut words: Vec<&str> = flags.split(' ').collect();
        words.extend(["dir:plain", "oci:out:x"]);
        words.insert(0, "copy");
        let run = skopeo(&home, &words);
        assert_eq!(sentence(&run), said, "{flags}");
        assert!(!home.path("work/out/index.json").exists(), "{flags}");
    }
}

/// The table of contents of the only layer in a layout with one image.
fn table(layout: &Path) -> Value {
    let json =
        |path: &Path| -> Value { serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap() };
    let blob = |digest: &Value| {
        let digest: Digest = digest.as_str().unwrap().parse().unwrap();
        layout.join("blobs/sha256").join(digest.hex())
    };
    let manifest = json(&blob(&json(&layout.join("index.json"))["manifests"][0]["digest"]));
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    // 1.9.3 had the keys without the `github`.
    let annotations = layer["annotations"].as_object().unwrap();
    let position = annotations.iter().find(|(key, _)| key.ends_with(".manifest-position"));
    let position = position.unwrap().1.as_str().unwrap();
    let numbers: Vec<usize> = position.split(':').map(|number| number.parse().unwrap()).collect();
    let bytes = fs_err::read(blob(&layer["digest"])).unwrap();
    let table = zstd::decode_all(&bytes[numbers[0]..numbers[0] + numbers[1]]).unwrap();
    assert_eq!(table.len(), numbers[2]);
    serde_json::from_slice(&table).unwrap()
}

/// Our table of contents is the original's, but for where things lie: so both cut files at the same
/// places, and what a client has of one layer it need not fetch of the other.
#[test]
fn chunked_zstd_as_the_original_makes_it() {
    let home = Home::new();
    let image = plain(&home);
    let expected = image.layers()[0].bytes.to_vec();
    let Some(original) = original() else { skip!("the original is not installed") };
    let flags = ["--dest-compress-format", "zstd:chunked"];
    skopeo(&home, &["copy", flags[0], flags[1], "dir:plain", "oci:ours:x"]).success();
    let copy = ["--insecure-policy", "copy"];
    let theirs = [&copy[..], &flags, &["dir:plain", "oci:theirs:x"]].concat();
    run(&home, &original, &theirs).success();
    let without_places = |name: &str| {
        let mut table = table(&home.path("work").join(name));
        for entry in table["entries"].as_array_mut().unwrap() {
            let entry = entry.as_object_mut().unwrap();
            entry.remove("offset");
            entry.remove("endOffset");
            // 1.9.3 also told times that nobody had given.
            entry.retain(|_, value| value != "0001-01-01T00:00:00Z");
        }
        serde_json::to_string_pretty(&table["entries"]).unwrap()
    };
    let ours = without_places("ours");
    assert!(ours.matches("\"chunk\"").count() > 10, "{ours}");
    similar(&ours, &without_places("theirs"));
    // To the original, ours is zstd.
    let back = ["--dest-decompress", "oci:ours:x", "dir:back"];
    run(&home, &original, &[&copy[..], &back].concat()).success();
    let back = layers(&home.path("work/back")).remove(0);
    assert!(fs_err::read(back).unwrap() == expected);
    // In a manifest that cannot say so, it cannot be.
    let run = skopeo(&home, &["copy", flags[0], flags[1], "-f", "v2s2", "dir:plain", "oci:x:x"]);
    let said = "compression using zstd:chunked required together with format \
                application/vnd.docker.distribution.manifest.v2+json, which does not support it";
    assert_eq!(sentence(&run), said);
}

#[track_caller]
fn similar(ours: &str, theirs: &str) {
    let first = ours.lines().zip(theirs.lines()).enumerate().find(|(_, (a, b))| a != b);
    assert!(ours == theirs, "differs first at {first:?}");
}

#[test]
fn the_same_bytes_on_one_processor_and_on_many() {
    let home = Home::new();
    plain(&home);
    let Some(taskset) = installed("taskset") else { skip!("taskset is not installed") };
    for format in ["gzip", "zstd", "zstd:chunked"] {
        for level in ["1", "9"] {
            let words = |to| {
                let flags = ["--dest-compress-format", format, "--dest-compress-level", level];
                [&["copy", "-q"], &flags[..], &["dir:plain", to]].concat()
            };
            skopeo(&home, &words("oci:many:x")).success();
            let alone = [&["-c", "0", SKOPEO][..], &words("oci:one:x")].concat();
            run(&home, &taskset, &alone).success();
            let names = |layout: &str| whole_layout(&home.path("work").join(layout));
            assert_eq!(names("many"), names("one"), "{format} {level}");
        }
    }
}
