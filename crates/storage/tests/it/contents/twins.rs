//! Podman is the judge: it unpacks the same layers into stores of its own, and its files are like
//! ours, its recipes are ours to export.

use std::path::{Path, PathBuf};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use skopeo_image::Digest;
use skopeo_storage::Driver;
use skopeo_storage::contents::{Apply, copy_tree, export};

use super::make::*;
use super::odd::{members, sparse};
use crate::support::{DRIVERS, Place, Sample, installed, is_root, skip};

/// A store of podman's, in which it has unpacked an image.
struct Theirs(Place);

impl Theirs {
    fn load(podman: &Path, driver: Driver, layers: &[Vec<u8>]) -> Self {
        let place = Place::new(driver);
        let archive = place.path("image.tar");
        fs_err::write(&archive, docker_archive(layers)).unwrap();
        let loaded = place.ask(podman, &["load", "-i", archive.to_str().unwrap()]);
        assert!(loaded.contains("localhost/twin"), "{loaded}");
        Self(place)
    }

    /// The files and the recipe of the layer of this tar. Ids are digests of the layers below too.
    fn layer(&self, tar: &[u8]) -> (PathBuf, Vec<u8>) {
        let digest = Digest::sha256(tar).to_string();
        let records = self.0.list("layers");
        let record = records.iter().find(|it| it["diff-digest"] == digest.as_str()).unwrap();
        let id = record["id"].as_str().unwrap();
        let recipe = format!("{}-layers/{id}.tar-split.gz", self.0.driver.as_str());
        (self.0.files(id), fs_err::read(self.0.root().join(recipe)).unwrap())
    }
}

/// Podman, if it may work here.
macro_rules! podman {
    () => {{
        let Some(podman) = installed("podman") else { skip!("podman is not installed") };
        if !is_root() {
            skip!("owners and devices are for root");
        }
        podman
    }};
}

fn docker_archive(layers: &[Vec<u8>]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|tar| Digest::sha256(tar).to_string()).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}.tar")).collect();
    let manifest = serde_json::json!([
        {"Config": "config.json", "RepoTags": ["localhost/twin:latest"], "Layers": names}
    ]);
    let mut members = vec![
        file("config.json", &config.to_string()),
        file("manifest.json", &manifest.to_string()),
    ];
    for (name, contents) in names.iter().zip(layers) {
        members.push(Member { contents: contents.clone(), ..file(name, "") });
    }
    tar(&members)
}

/// Three layers with everything that layers have.
fn layers() -> Vec<Vec<u8>> {
    let long = "long/".repeat(30) + "name";
    let mut first = Vec::new();
    first.extend(Member { mode: 0o711, seconds: 4, ..folder("./") }.bytes());
    first.extend(folder("./etc/").bytes());
    first.extend(pax(&[("mtime", b"1350244992.023960108"), ("SCHILY.xattr.user.a", b"b\0c")]));
    first.extend(Member { mode: 0o4755, owner: (5, 6), ..file("./etc/su", "su") }.bytes());
    first.extend(Member { seconds: 5, ..link(b'1', "./etc/again", "etc/su") }.bytes());
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    first.extend(pax(&[("SCHILY.xattr.security.capability", capability)]));
    first.extend(Member { owner: (7, 8), ..file("ping", "ping") }.bytes());
    first.extend(Member { owner: (7, 8), ..link(b'1', "ping4", "ping") }.bytes());
    first.extend(link(b'2', "etc/link", "../ping").bytes());
    first.extend(link(b'1', "etc/linked", "etc/link").bytes());
    first.extend(link(b'2', "abs", "/etc").bytes());
    first.extend(file("abs/through", "a link").bytes());
    first.extend(Member { device: (1, 3), mode: 0o666, ..member(b'3', "dev/null") }.bytes());
    first.extend(Member { device: (7, 2), mode: 0o660, ..member(b'4', "dev/loop") }.bytes());
    first.extend(Member { mode: 0o622, ..member(b'6', "dev/fifo") }.bytes());
    first.extend(pax(&[("path", long.as_bytes())]));
    first.extend(file("cut", &"x".repeat(100_000)).bytes());
    first.extend(Member { name: b"\xff\xfe<&>".to_vec(), ..file("", "not UTF-8") }.bytes());
    for name in ["gone/deep/a", "kept/a", "opaque/old/a", "opaque/sub/a", "replaced/a"] {
        first.extend(file(name, "old").bytes());
    }
    first.resize(first.len() + 5000, 0);
    let second = tar(&[
        Member { owner: (3, 4), ..file(".wh.gone", "") },
        file("kept/b", "new"),
        file("opaque/.wh..wh..opq", ""),
        file("opaque/sub/b", "new"),
        Member { mode: 0o700, seconds: 9, ..folder("kept") },
        file("replaced", "a file now"),
        Member { seconds: 12, ..folder("late") },
        file("late/a", ""),
    ]);
    let third = tar(&[file("kept/.wh.a", ""), link(b'2', "late", "kept")]);
    vec![first, second, third]
}

/// All but what depends on the moment: times of folders that no layer has an entry for.
fn comparable(root: &Path, tars: &[Vec<u8>]) -> Vec<String> {
    let names: Vec<String> = tars.iter().flat_map(|tar| folders(tar)).collect();
    let lines = listing(root).into_iter().map(|line| {
        let mut words: Vec<&str> = line.split(' ').collect();
        if words[1].starts_with("4")
            && words[1].len() == 5
            && !names.iter().any(|it| it == words[0])
        {
            words[3] = "some time";
        }
        words.join(" ")
    });
    // A whiteout in overlay has the time when it was made.
    lines
        .map(|line| match line.split_once(" 20000 ") {
            Some((name, rest)) => format!("{name} whiteout {}", rest.split(' ').next().unwrap()),
            None => line,
        })
        .collect()
}

/// The folders that a tar has entries for.
fn folders(tar: &[u8]) -> Vec<String> {
    tar.chunks(512)
        .filter(|block| block.get(156) == Some(&b'5') && block[257..262] == *b"ustar")
        .map(|block| {
            let name = block[..100].split(|byte| *byte == 0).next().unwrap();
            String::from_utf8_lossy(name).trim_start_matches("./").trim_end_matches('/').to_owned()
        })
        .collect()
}

#[test]
fn files_and_recipes_of_overlay_are_podmans() {
    let tars = layers();
    let theirs = Theirs::load(&podman!(), Driver::Overlay, &tars);
    let mut below = Vec::new();
    for tar in &tars {
        let (files, recipe) = theirs.layer(tar);
        let mut ours = Layer::new();
        ours.takes(tar, &OVERLAY);
        let one = std::slice::from_ref(tar);
        assert_eq!(comparable(&ours.root, one), comparable(&files, one));
        below.insert(0, files);
        let mut again = Vec::new();
        export(&*recipe, &below, &mut again).unwrap();
        assert!(again == *tar);
        // And theirs from ours.
        assert_eq!(objects(&ours.split), objects(&recipe));
    }
}

#[test]
fn files_and_recipes_of_vfs_are_podmans() {
    let tars = layers();
    let theirs = Theirs::load(&podman!(), Driver::Vfs, &tars);
    let mut parent: Option<Layer> = None;
    for tar in &tars {
        let (files, recipe) = theirs.layer(tar);
        let mut ours = Layer::new();
        if let Some(parent) = &parent {
            copy_tree(&parent.root, &ours.root, false).unwrap();
        }
        ours.takes(tar, &VFS);
        // Folders of the layers below keep their times in ours.
        let one = std::slice::from_ref(tar);
        assert_eq!(comparable(&ours.root, one), comparable(&files, one));
        let mut again = Vec::new();
        export(&*recipe, &[files], &mut again).unwrap();
        assert!(again == *tar);
        assert_eq!(objects(&ours.split), objects(&recipe));
        parent = Some(ours);
    }
}

/// Layers that the original knows all of, the same each time.
fn any_layers(count: usize) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let mut layers: Vec<Vec<u8>> = Vec::new();
    while layers.len() < count {
        let members = members().new_tree(&mut runner).unwrap().current();
        // It does not know the one type. For the other it makes folders in which then is nothing.
        // Its recipes lose what whiteouts contain.
        let is_known = members.iter().all(|member| {
            let is_hidden = member.name.starts_with(b"w/.") && !member.contents.is_empty();
            !matches!(member.kind, b'7' | b'g') && !is_hidden
        });
        let layer = tar(&members);
        if is_known && !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    layers
}

#[test]
fn files_and_recipes_of_any_layers_are_podmans() {
    let podman = podman!();
    let layers = any_layers(60);
    let theirs = Theirs::load(&podman, Driver::Overlay, &layers);
    for tar in &layers {
        let mut ours = Layer::new();
        ours.takes(tar, &OVERLAY);
        same(tar, &ours, theirs.layer(tar));
    }
}

/// Each lies on all before it, and has their names again for other things.
#[test]
fn files_and_recipes_of_any_layers_of_vfs_are_podmans() {
    let podman = podman!();
    let layers = any_layers(30);
    let theirs = Theirs::load(&podman, Driver::Vfs, &layers);
    let mut parent: Option<Layer> = None;
    for tar in &layers {
        let mut ours = Layer::new();
        if let Some(parent) = &parent {
            copy_tree(&parent.root, &ours.root, false).unwrap();
        }
        ours.takes(tar, &VFS);
        same(tar, &ours, theirs.layer(tar));
        parent = Some(ours);
    }
}

fn same(tar: &[u8], ours: &Layer, (files, recipe): (PathBuf, Vec<u8>)) {
    let one = [tar.to_vec()];
    assert_eq!(comparable(&ours.root, &one), comparable(&files, &one));
    assert!(objects(&ours.split) == objects(&recipe), "{}", ours.recipe());
    let mut again = Vec::new();
    export(&*recipe, &[files], &mut again).unwrap();
    assert!(again == *tar);
}

/// What the original could not give out again if it had unpacked it.
#[test]
fn podman_gives_out_odd_layers_that_we_unpacked() {
    let podman = podman!();
    let mut sized = link(b'1', "b", "a");
    sized.size = Some(octal(1));
    let odd = tar(&[
        folder("d/"),
        file("a", "x"),
        sized,
        Member { mode: 0o700, ..folder("./d") },
        file(".wh.c", "contents of a whiteout"),
        file("d/e", ""),
        file("d/e", "again"),
    ]);
    let layers = [sparse().0, vec![odd]].concat();
    for driver in DRIVERS {
        let place = Place::new(driver);
        Sample::of(layers.clone()).put(&place.store(), &["localhost/odd:1"]).unwrap();
        let out = place.path("pushed");
        let to = format!("dir:{}", out.display());
        place.ask(&podman, &["push", "-q", "localhost/odd:1", &to]);
        for tar in &layers {
            let digest = Digest::sha256(tar);
            assert!(fs_err::read(out.join(digest.hex())).unwrap() == *tar, "{digest}");
        }
    }
}

/// A recipe as names and the bytes between them: how those are cut is nobody's matter.
fn objects(recipe: &[u8]) -> Vec<(String, Vec<u8>)> {
    use base64::Engine;
    let mut text = String::new();
    let mut unpacked = flate2::read::MultiGzDecoder::new(recipe);
    std::io::Read::read_to_string(&mut unpacked, &mut text).unwrap();
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["position"], number);
        let payload = object["payload"].as_str().unwrap_or_default();
        let bytes = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
        if object["type"] == 2 {
            match found.last_mut() {
                Some((name, so_far)) if name.is_empty() => so_far.extend(bytes),
                _ => found.push((String::new(), bytes)),
            }
        } else {
            let name = format!("file {} {} {}", object["name"], object["name_raw"], object["size"]);
            found.push((name, bytes));
        }
    }
    found
}

/// A user namespace makes other whiteouts, and no devices.
#[test]
fn what_a_user_namespace_makes_is_exported_too() {
    if !is_root() {
        skip!("owners and devices are for root");
    }
    for tar in layers() {
        Layer::new().takes(&tar, &Apply { rootless: true, ..OVERLAY });
    }
}
