//! Archives that were made to do harm, or are just broken.

use std::path::Path;

use serde_json::json;
use skopeo_image::{Digest, MediaType};
use skopeo_testkit::{Home, Image, Tar, Twin, skip};

use crate::hostile::frugal;
use crate::program::fatal;
use crate::stage::sentence;

/// The blobs of an image and its manifest, below this folder.
fn blobs(image: &Image, folder: &str) -> Tar {
    with_blobs(Tar::new(), image, folder)
}

/// The same behind other members.
fn with_blobs(mut tar: Tar, image: &Image, folder: &str) -> Tar {
    let manifest = &image.manifest().bytes;
    for (digest, bytes) in image.blobs() {
        tar = tar.file(&format!("{folder}{}", digest.hex()), &bytes);
    }
    tar.file(&format!("{folder}{}", Digest::sha256(manifest).hex()), manifest)
}

const BLOBS: &str = "blobs/sha256/";

/// An index with this image, as large as the manifest says or as said.
fn index(image: &Image) -> Vec<u8> {
    let (digest, size) = (image.digest(), image.manifest().bytes.len());
    let entry = json!({
        "mediaType": MediaType::OCI_MANIFEST.as_str(), "digest": digest.as_str(), "size": size,
    });
    json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes()
}

enum Then {
    /// It is read as if nothing was.
    Read,
    /// This is said, and the original says no, too.
    Said(&'static str),
    /// This is said, where the original reads what it finds on the machine, or worse.
    OnlyOursSays(&'static str),
}

fn rows(image: &Image) -> Vec<(&'static str, Vec<u8>, Then)> {
    use Then::{OnlyOursSays, Read, Said};
    let digest = image.digest();
    let top = format!("{BLOBS}{}", digest.hex());
    let manifest = &image.manifest().bytes;
    let layer = &image.layers()[0];
    let layer_name = format!("{BLOBS}{}", layer.digest.hex());
    let good = blobs(image, BLOBS).file("index.json", index(image));
    let whole = good.clone().end();
    let without = |missing: &str| {
        let mut tar = Tar::default();
        for (digest, bytes) in image.blobs() {
            let name = format!("{BLOBS}{}", digest.hex());
            if name != missing {
                tar = tar.file(&name, &bytes);
            }
        }
        let tar = if top == missing { tar } else { tar.file(&top, manifest) };
        tar.file("index.json", index(image))
    };
    let nested = format!("{{\"manifests\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let long = format!("{} path={}\n", 2_000_013, "p".repeat(2_000_000));
    let other = Image::new(99);
    vec![
        ("whole, without oci-layout", whole.clone(), Read),
        ("no mark of the end", good.clone().unended(), Read),
        ("something behind the end", [&whole[..], &[7; 999]].concat(), Read),
        ("nothing", Vec::new(), Said("member \"index.json\" does not exist")),
        ("zeros", vec![0; 1024], Said("member \"index.json\" does not exist")),
        ("no tar", vec![b'x'; 5000], Said("not a tar archive")),
        ("cut in a header", whole[..100].to_vec(), Said("is truncated at byte 100")),
        ("cut in a member", whole[..600].to_vec(), Said("is truncated: it should have")),
        (
            "a header overwritten",
            [&whole[..], &[b'x'; 512]]
                .concat()
                .into_iter()
                .enumerate()
                .map(
                    |(at, byte)| {
                        if at == good.clone().unended().len() - 1500 { byte ^ 0x55 } else { byte }
                    },
                )
                .collect(),
            Said(""),
        ),
        ("no index", blobs(image, BLOBS).end(), Said("member \"index.json\" does not exist")),
        (
            "an index that is a folder",
            blobs(image, BLOBS).link(b'5', "index.json/", "").end(),
            Said("does not exist"),
        ),
        (
            "a huge index",
            Tar::default().file("index.json", vec![b' '; (64 << 20) + 1]).end(),
            Said("more than the limit of 67108864"),
        ),
        (
            "a nested index",
            Tar::default().file("index.json", nested.as_bytes()).end(),
            Said("index.json"),
        ),
        (
            "an index of zeros",
            Tar::default().file("index.json", [0; 300]).end(),
            Said("index.json"),
        ),
        ("a missing manifest", without(&top).end(), Said("does not exist")),
        ("a missing layer", without(&layer_name).end(), Said("does not exist")),
        (
            "a manifest that is another",
            without(&top).file(&top, &other.manifest().bytes).end(),
            Said("digest"),
        ),
        (
            "a layer that is too long",
            without(&layer_name).file(&layer_name, [&layer.bytes[..], b"x"].concat()).end(),
            Said("expected"),
        ),
        (
            "a layer that is too short",
            without(&layer_name).file(&layer_name, &layer.bytes[1..]).end(),
            Said("expected"),
        ),
        (
            "../ in a name",
            with_blobs(Tar::new().file("../evil", b"x"), image, BLOBS)
                .file("index.json", index(image))
                .end(),
            Said("member \"../evil\" is outside of the archive"),
        ),
        (
            "../ inside",
            blobs(image, "x/../blobs/sha256/").file("a/../index.json", index(image)).end(),
            Read,
        ),
        (
            "absolute names",
            blobs(image, "/blobs/sha256/").file("/index.json", index(image)).end(),
            Read,
        ),
        (
            "names with dots",
            blobs(image, "./blobs//sha256/").file("./index.json", index(image)).end(),
            Read,
        ),
        (
            "the last index counts",
            with_blobs(Tar::new().file("index.json", index(&other)), image, BLOBS)
                .file("index.json", index(image))
                .end(),
            Read,
        ),
        (
            "a link inside",
            without(&layer_name)
                .file("elsewhere", &layer.bytes)
                .link(b'2', &layer_name, "../../elsewhere")
                .end(),
            Read,
        ),
        (
            "a hard link inside",
            without(&layer_name)
                .file("elsewhere", &layer.bytes)
                .link(b'1', &layer_name, "elsewhere")
                .end(),
            Read,
        ),
        (
            "a link out",
            without(&layer_name).link(b'2', &layer_name, "../../../../../../etc/passwd").end(),
            Said("outside of the archive"),
        ),
        (
            "a hard link out",
            without(&layer_name).link(b'1', &layer_name, "../../etc/passwd").end(),
            Said("outside of the archive"),
        ),
        (
            "an absolute link",
            without(&layer_name).link(b'2', &layer_name, "/etc/passwd").end(),
            Said("outside of the archive"),
        ),
        (
            "an absolute link to the index",
            blobs(image, BLOBS).link(b'2', "index.json", "/etc/passwd").end(),
            Said("outside of the archive"),
        ),
        (
            "a circle",
            without(&layer_name).link(b'2', &layer_name, layer.digest.hex()).end(),
            Said("too many links"),
        ),
        (
            "a device",
            without(&layer_name).link(b'4', &layer_name, "").end(),
            Said("does not exist"),
        ),
        (
            "a sparse layer",
            without(&layer_name)
                .raw(
                    b'S',
                    &layer_name,
                    "",
                    format!("{:011o}", layer.bytes.len()).as_bytes(),
                    &layer.bytes,
                )
                .end(),
            Said("sparse"),
        ),
        (
            "a size beyond all files",
            good.clone()
                .raw(b'0', "huge", "", b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", b"")
                .end(),
            Said("is truncated: it should have 9223372036854775807 bytes"),
        ),
        (
            "a negative size",
            good.clone().raw(b'0', "minus", "", &[0xff; 12], b"").end(),
            Said("no tar header"),
        ),
        (
            "a size that is no number",
            good.clone().raw(b'0', "x", "", b"99999999999", b"").end(),
            Said("no tar header"),
        ),
        (
            "a huge extension",
            good.clone().raw(b'x', "x", "", b"00007502204", long.as_bytes()).file("x", b"").end(),
            Said("is too long"),
        ),
        (
            "a malformed extension",
            good.clone()
                .file("y", b"")
                .raw(b'x', "x", "", b"00000000005", b"9 a=b")
                .file("x", b"")
                .end(),
            Said("is malformed"),
        ),
        (
            "an endless name",
            good.raw(b'L', "x", "", b"00000023420", &[b'n'; 10_000]).file("x", b"").end(),
            OnlyOursSays("has 10000 bytes"),
        ),
    ]
}

#[test]
fn oci_archives() {
    let Some(twin) = Twin::new(env!("CARGO_BIN_EXE_skopeo")) else {
        skip!("the original skopeo is not installed: nothing to compare with");
    };
    let image = Image::new(1);
    let canary = |home: &Home| -> Vec<String> {
        let list = |folder: &Path| {
            let entries = fs_err::read_dir(folder).unwrap();
            entries.map(|entry| entry.unwrap().path().display().to_string()).collect::<Vec<_>>()
        };
        let mut all =
            [list(&home.path("")), list(&home.path("work")), list(&home.path("tmp"))].concat();
        all.sort();
        all
    };
    for (what, bytes, then) in rows(&image) {
        twin.prepare(|home| fs_err::write(home.path("work/a.tar"), &bytes).unwrap());
        let home = &twin.ours().home;
        let tmpdir = home.path("tmp").display().to_string();
        let words = ["copy", "--tmpdir", &tmpdir, "oci-archive:a.tar", "dir:out"];
        let before = canary(home);
        let ours = frugal(home, &words);
        let original = skopeo_testkit::run(&twin.original().home, &twin.original().program, &words);
        match then {
            Then::Read => {
                assert_eq!(ours.code, Some(0), "{what}: {ours}");
                assert_eq!(original.code, Some(0), "{what}: {original}");
                twin.assert_same_tree("out");
            }
            Then::Said(said) => {
                let sentence = sentence(&ours);
                assert!(
                    sentence.to_lowercase().contains(&said.to_lowercase()),
                    "{what}: {sentence}"
                );
                assert_ne!(original.code, Some(0), "{what}: {}", fatal(&original));
            }
            Then::OnlyOursSays(said) => {
                let sentence = sentence(&ours);
                assert!(sentence.contains(said), "{what}: {sentence}");
            }
        }
        twin.prepare(|home| drop(fs_err::remove_dir_all(home.path("work/out"))));
        assert_eq!(canary(home), before, "{what}");
    }
}
