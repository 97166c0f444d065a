//! Layers packed otherwise, and who can read them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use skopeo_image::{Compression, Digest};
use skopeo_testkit::run::{installed, original, run};
use skopeo_testkit::{Home, Image, skip};

use crate::stage::{sentence, skopeo};

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
