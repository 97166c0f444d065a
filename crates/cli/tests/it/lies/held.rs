//! Layouts that lie, in a folder, in a tar and through a pipe.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use skopeo_image::Digest;
use skopeo_testkit::Image;

use super::source::HONEST;
use super::table::{Part, bytes_of};
use super::{From, Stage};

/// Does to an image of a layout what is a lie; `other` is another one in there.
type Change = Box<dyn Fn(&Layout<'_>, &Image, &Image)>;

/// A layout in a folder, and the name of the image that is lied about.
struct Layout<'a> {
    folder: &'a Path,
    name: String,
}

impl Layout<'_> {
    fn blob(&self, digest: &Digest) -> std::path::PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// What the index says of the image.
    fn entry(&self, change: impl Fn(&mut Value)) {
        let path = self.folder.join("index.json");
        let mut index: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
        let entries = index["manifests"].as_array_mut().unwrap();
        let name = "org.opencontainers.image.ref.name";
        change(entries.iter_mut().find(|it| it["annotations"][name] == self.name).unwrap());
        fs_err::write(path, index.to_string()).unwrap();
    }

    /// The image has another manifest, under its right name.
    fn manifest(&self, image: &Image, change: impl Fn(&mut Value)) {
        let mut document: Value = serde_json::from_slice(&image.manifest().bytes).unwrap();
        change(&mut document);
        let text = document.to_string();
        let digest = Digest::sha256(text.as_bytes());
        fs_err::write(self.blob(&digest), &text).unwrap();
        self.entry(|entry| {
            entry["digest"] = json!(digest.as_str());
            entry["size"] = json!(text.len());
        });
    }
}

/// Makes other bytes of a blob.
type Rewrite = fn(&[u8]) -> Vec<u8>;

fn lies() -> Vec<(&'static str, Change)> {
    let mut lies: Vec<(&'static str, Change)> = Vec::new();
    for part in [Part::Layer(0), Part::Layer(1), Part::Config] {
        let changes: [(&'static str, Rewrite); 6] = [
            ("other bytes", |_| b"the attacker's bytes ".repeat(900)),
            ("other bytes of this length", |bytes| {
                b"evil".iter().copied().cycle().take(bytes.len()).collect()
            }),
            ("no bytes", |_| Vec::new()),
            ("half of it", |bytes| bytes[..bytes.len() / 2].to_vec()),
            ("a byte more", |bytes| [bytes, b"x"].concat()),
            ("a byte", |bytes| {
                let mut bytes = bytes.to_vec();
                bytes[20] ^= 1;
                bytes
            }),
        ];
        for (name, change) in changes {
            lies.push((
                name,
                Box::new(move |layout, image, _| {
                    let bytes = bytes_of(image, part);
                    fs_err::write(layout.blob(&Digest::sha256(&bytes)), change(&bytes)).unwrap();
                }),
            ));
        }
        lies.push((
            "not there",
            Box::new(move |layout, image, _| {
                let digest = Digest::sha256(&bytes_of(image, part));
                fs_err::remove_file(layout.blob(&digest)).unwrap();
            }),
        ));
        for size in [0, 7, 70_000, 35_184_372_088_832_u64, u64::MAX] {
            lies.push((
                "a size",
                Box::new(move |layout, image, _| {
                    layout.manifest(image, |document| match part {
                        Part::Layer(at) => document["layers"][at]["size"] = json!(size),
                        Part::Config => document["config"]["size"] = json!(size),
                    });
                }),
            ));
        }
    }
    lies.extend(about_manifests());
    lies
}

fn about_manifests() -> Vec<(&'static str, Change)> {
    let write = |layout: &Layout<'_>, image: &Image, bytes: &[u8]| {
        fs_err::write(layout.blob(&image.digest()), bytes).unwrap();
    };
    let mut lies: Vec<(&'static str, Change)> = vec![
        (
            "another manifest",
            Box::new(move |layout, image, other| write(layout, image, &other.manifest().bytes)),
        ),
        (
            "half a manifest",
            Box::new(move |layout, image, _| write(layout, image, &image.manifest().bytes[..99])),
        ),
        ("no manifest", Box::new(move |layout, image, _| write(layout, image, b""))),
        (
            "a byte of a manifest",
            Box::new(move |layout, image, _| {
                let mut bytes = image.manifest().bytes.to_vec();
                bytes[40] ^= 1;
                write(layout, image, &bytes);
            }),
        ),
        (
            "a manifest that is a layer",
            Box::new(|layout, image, _| {
                let digest = image.layers()[0].digest.to_string();
                layout.entry(|entry| entry["digest"] = json!(digest));
            }),
        ),
        (
            "a manifest that is not there",
            Box::new(|layout, _, _| {
                let digest = Digest::sha256(b"nothing");
                layout.entry(|entry| entry["digest"] = json!(digest.as_str()));
            }),
        ),
        (
            "a digest that is none",
            Box::new(|layout, _, _| {
                layout.entry(|entry| entry["digest"] = json!("sha256:../../../etc/passwd"));
            }),
        ),
        (
            "a layer that others have, of another size",
            Box::new(|layout, image, other| {
                let digest = other.layers()[0].digest.to_string();
                layout.manifest(image, |document| {
                    document["layers"][0]["digest"] = json!(digest);
                    document["layers"][0]["size"] = json!(70_000);
                });
            }),
        ),
        (
            "a layer that others have, as another",
            Box::new(|layout, image, other| {
                let layer = &other.layers()[0];
                layout.manifest(image, |document| {
                    document["layers"][0]["digest"] = json!(layer.digest.as_str());
                    document["layers"][0]["size"] = json!(layer.bytes.len());
                });
            }),
        ),
        (
            "a layer twice, of two sizes",
            Box::new(|layout, image, _| {
                layout.manifest(image, |document| {
                    let mut layer = document["layers"][0].clone();
                    layer["size"] = json!(layer["size"].as_u64().unwrap() + 9);
                    document["layers"].as_array_mut().unwrap().push(layer);
                });
            }),
        ),
    ];
    for size in [0, 1, 1 << 40, u64::MAX] {
        lies.push((
            "a size of a manifest",
            Box::new(move |layout, _, _| layout.entry(|entry| entry["size"] = json!(size))),
        ));
    }
    for media_type in [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.config.v1+json",
        "text/plain",
    ] {
        lies.push((
            "a type of a manifest",
            Box::new(move |layout, _, _| {
                layout.entry(|entry| entry["mediaType"] = json!(media_type));
            }),
        ));
    }
    lies
}

/// A layout in which most images are lied about; gives back how many.
fn write(folder: &Path) -> usize {
    let image = |seed| Image::builder(seed).layer_size(900).layers(2).build();
    let honest: Vec<Image> = (0..HONEST as u64).map(|seed| image(seed + 1)).collect();
    let lies = lies();
    let (first, last) = lies.split_at(lies.len() / 2);
    let evil = |at: usize, lies: &[(&'static str, Change)]| {
        for (at, (_, lie)) in (at..).zip(lies) {
            let (image, name) = (image(1000 + at as u64), format!("r.example/evil{at}:t"));
            image.write_oci(folder, Some(&name));
            lie(&Layout { folder, name }, &image, &honest[at % HONEST]);
        }
    };
    evil(0, first);
    for (at, image) in honest.iter().enumerate() {
        image.write_oci(folder, Some(&format!("r.example/good{at}:t")));
    }
    evil(first.len(), last);
    lies.len()
}

#[test]
fn what_a_layout_says_of_itself_has_to_be_so() {
    let stage = Stage::new();
    let folder = stage.home.path("work/source");
    assert!(write(&folder) >= 50);
    let tar = stage.home.path("work/source.tar");
    let mut packed = Command::new("tar");
    let packed = packed.arg("-cf").arg(&tar).arg("-C").arg(&folder).arg(".").status();
    assert!(packed.unwrap().success());
    let tar = fs_err::read(tar).unwrap();
    for (at, (words, input)) in [
        (["--src=oci", "source"], &b""[..]),
        (["--src=oci-archive", "source.tar"], b""),
        (["--src=oci-archive", "/dev/stdin"], &tar),
    ]
    .into_iter()
    .enumerate()
    {
        stage.holds_at(at, From { words: &words, input });
    }
}
