//! Archives as docker saves them that lie, in a file and through a pipe.

use serde_json::{Value, json};
use skopeo_image::{Compression, Digest};
use skopeo_testkit::image::tar_of;
use skopeo_testkit::{Image, Tar};

use super::source::HONEST;
use super::{From, Stage};

/// What an archive has of an image.
struct Saved {
    /// Files by their names.
    files: Vec<(String, Vec<u8>)>,
    /// What `manifest.json` says.
    item: Value,
}

/// A lie about an image; `other` is another one in the archive.
type Change = fn(&mut Saved, &Image);

fn saved(image: &Image, tag: &str) -> Saved {
    let config = image.config().unwrap();
    let name = format!("{}.json", Digest::sha256(config).hex());
    let paths: Vec<String> = image.layers().iter().map(layer_path).collect();
    let item = json!({"Config": name, "RepoTags": [tag], "Layers": paths});
    let layers = image.layers().iter().map(|layer| layer.bytes.to_vec());
    let files = [(name, config.to_vec())].into_iter().chain(paths.into_iter().zip(layers));
    Saved { files: files.collect(), item }
}

fn layer_path(layer: &skopeo_testkit::image::Layer) -> String {
    format!("{}.tar", layer.diff_id.hex())
}

impl Saved {
    /// Another config, under its right name.
    fn config(&mut self, change: impl FnOnce(&mut Value)) {
        let mut config: Value = serde_json::from_slice(&self.files[0].1).unwrap();
        change(&mut config);
        let text = config.to_string();
        let name = format!("{}.json", Digest::sha256(text.as_bytes()).hex());
        self.item["Config"] = json!(name);
        self.files[0] = (name, text.into_bytes());
    }

    fn layers(&mut self) -> &mut Vec<Value> {
        self.item["Layers"].as_array_mut().unwrap()
    }
}

const LIES: [(&str, Change); 25] = [
    ("a layer of other bytes", |saved, _| saved.files[1].1 = tar_of(7, 900)),
    ("a layer that is none", |saved, _| saved.files[1].1 = b"the attacker's bytes".to_vec()),
    ("no bytes of a layer", |saved, _| saved.files[1].1.clear()),
    ("half a layer", |saved, _| {
        let half = saved.files[2].1.len() / 2;
        saved.files[2].1.truncate(half);
    }),
    ("a byte more of a layer", |saved, _| saved.files[2].1.push(0)),
    ("a byte of a layer", |saved, _| saved.files[2].1[600] ^= 1),
    ("a layer packed", |saved, _| {
        saved.files[1].1 =
            skopeo_testkit::image::compress(&saved.files[1].1, Compression::Gzip).to_vec();
    }),
    ("a layer packed, and cut off", |saved, _| {
        let packed = skopeo_testkit::image::compress(&saved.files[1].1, Compression::Gzip);
        saved.files[1].1 = packed[..packed.len() - 9].to_vec();
    }),
    ("another layer, packed", |saved, _| {
        saved.files[1].1 =
            skopeo_testkit::image::compress(&tar_of(8, 900), Compression::Gzip).to_vec();
    }),
    ("a layer that is not there", |saved, _| drop(saved.files.remove(1))),
    ("a layer of another image", |saved, other| {
        saved.layers()[0] = json!(layer_path(&other.layers()[0]));
    }),
    ("layers in another order", |saved, _| saved.layers().reverse()),
    ("a layer too few", |saved, _| drop(saved.layers().pop())),
    ("a layer too many", |saved, other| {
        saved.layers().push(json!(layer_path(&other.layers()[0])));
    }),
    ("a layer elsewhere", |saved, _| saved.layers()[0] = json!("../../../etc/passwd")),
    ("a config for a layer", |saved, _| {
        let config = saved.item["Config"].clone();
        saved.layers()[0] = config;
    }),
    ("a config of other bytes", |saved, _| saved.files[0].1 = b"the attacker's bytes".to_vec()),
    ("a byte of a config", |saved, _| saved.files[0].1[30] ^= 1),
    ("no bytes of a config", |saved, _| saved.files[0].1.clear()),
    ("a config that is not there", |saved, _| drop(saved.files.remove(0))),
    ("a config of another image", |saved, other| {
        let config = format!("{}.json", Digest::sha256(other.config().unwrap()).hex());
        saved.item["Config"] = json!(config);
    }),
    ("the config of another image by this name", |saved, other| {
        saved.files[0].1 = other.config().unwrap().to_vec();
    }),
    ("a config of other layers", |saved, other| {
        let diff_id = other.layers()[0].diff_id.to_string();
        saved.config(|config| config["rootfs"]["diff_ids"][0] = json!(diff_id));
    }),
    ("a config of a layer twice", |saved, _| {
        saved.config(|config| {
            let first = config["rootfs"]["diff_ids"][0].clone();
            config["rootfs"]["diff_ids"][1] = first;
        });
    }),
    ("a config without layers", |saved, _| {
        saved.config(|config| config["rootfs"]["diff_ids"] = json!([]));
    }),
];

/// An archive in which most images are lied about.
fn archive() -> Vec<u8> {
    let plain = Compression::Uncompressed;
    let image = |seed| Image::builder(seed).layer_size(900).layer(plain).layer(plain).build();
    let honest: Vec<Image> = (0..HONEST as u64).map(|seed| image(seed + 1)).collect();
    let lies = LIES.iter().enumerate().map(|(at, (_, lie))| {
        let tag = format!("r.example/evil{at}:t");
        let mut saved = saved(&image(1000 + at as u64), &tag);
        lie(&mut saved, &honest[at % HONEST]);
        saved
    });
    let mut all: Vec<Saved> = lies.collect();
    let good = honest.iter().enumerate();
    let good = good.map(|(at, image)| saved(image, &format!("r.example/good{at}:t")));
    let last = all.split_off(12);
    all.extend(good);
    all.extend(last);
    let mut tar = Tar::new();
    for (name, bytes) in all.iter().flat_map(|saved| &saved.files) {
        tar = tar.file(name, bytes);
    }
    let items: Vec<Value> = all.into_iter().map(|saved| saved.item).collect();
    tar.file("manifest.json", Value::from(items).to_string()).end()
}

#[test]
fn what_docker_is_said_to_have_saved_has_to_be_so() {
    let stage = Stage::new();
    let tar = archive();
    fs_err::write(stage.home.path("work/source.tar"), &tar).unwrap();
    for (at, (words, input)) in [
        (["--src=docker-archive", "source.tar"], &b""[..]),
        (["--src=docker-archive", "/dev/stdin"], &tar),
    ]
    .into_iter()
    .enumerate()
    {
        stage.holds_at(at, From { words: &words, input });
    }
}
