//! What is in a store after a copy, and what comes out of it.

mod many;
mod places;

use std::process::Stdio;

use serde_json::Value;
use skopeo_image::{Compression, Digest};
use skopeo_testkit::run::original;
use skopeo_testkit::{Format, Image, On, Registry, run, skip};

use super::{DRIVERS, Place, lacking, sample, told, write};
use crate::program::fatal;

/// After the same copies the original's store and ours say the same.
#[test]
fn the_store_is_what_the_original_makes() {
    if let Some(lack) = lacking(&["skopeo", "podman"]) {
        skip!("{lack}");
    }
    for driver in DRIVERS {
        let (theirs, ours) = (Place::new(driver), Place::new(driver));
        let images = [sample(1), Image::builder(2).layers(2).build()];
        for place in [&theirs, &ours] {
            for (image, name) in images.iter().zip(["a", "b"]) {
                write(&place.home, image, name);
            }
        }
        for arguments in [
            ["copy", "oci:layout:a", "containers-storage:h.io/a:1"],
            ["copy", "oci:layout:b", "containers-storage:b"],
            ["copy", "oci:layout:b", "containers-storage:b:2"],
            // The name moves.
            ["copy", "oci:layout:a", "containers-storage:b:2"],
        ] {
            run(&theirs.home, original().unwrap(), &arguments).success();
            ours.skopeo(&arguments).success();
            for kind in ["images", "layers"] {
                let (theirs, ours) = (told(&theirs.list(kind)), told(&ours.list(kind)));
                assert_eq!(ours, theirs, "{driver} {kind} {arguments:?}");
            }
            assert_eq!(ours.folders(), theirs.folders());
        }
        let listed = ["images", "--no-trunc", "--digests", "--format", "json"];
        let list = |place: &Place| {
            let mut list: Vec<Value> = serde_json::from_str(&place.ask("podman", &listed)).unwrap();
            list.sort_by_key(|image| image["Id"].to_string());
            list
        };
        assert_eq!(list(&ours), list(&theirs));
        for name in ["h.io/a:1", "b", "b:2"] {
            let name = format!("containers-storage:{name}");
            for arguments in [&["inspect", "--raw"][..], &["inspect", "--config", "--raw"]] {
                let arguments: Vec<&str> =
                    arguments.iter().copied().chain([name.as_str()]).collect();
                let expected = run(&theirs.home, original().unwrap(), &arguments).success();
                assert_eq!(ours.skopeo(&arguments).success().stdout, expected.stdout);
            }
        }
        // Deleted in the same order, the same is left.
        for name in ["h.io/a:1", "b"] {
            let arguments = ["delete", &format!("containers-storage:{name}")];
            run(&theirs.home, original().unwrap(), &arguments).success();
            ours.skopeo(&arguments).success();
            assert_eq!(told(&ours.list("images")), told(&theirs.list("images")));
            assert_eq!(ours.folders(), theirs.folders());
        }
        assert!(ours.folders().is_empty());
    }
}

/// What was in an image comes out of a store as it went in, whoever wrote it.
#[test]
fn what_went_in_comes_out() {
    if let Some(lack) = lacking(&["podman"]) {
        skip!("{lack}");
    }
    for driver in DRIVERS {
        let place = Place::new(driver);
        let image = sample(3);
        let layout = write(&place.home, &image, "a");
        place.skopeo(&["copy", &layout, "containers-storage:h.io/ours:1"]).success();
        let other = Image::builder(4).layers(2).build();
        write(&place.home, &other, "b");
        place.ask("podman", &["pull", "-q", "oci:layout:b"]);
        let theirs = format!("containers-storage:@{}", other.config().map(hex).unwrap());
        for (name, image, out) in
            [("containers-storage:h.io/ours:1", &image, "o"), (&theirs, &other, "t")]
        {
            let plain: Vec<String> =
                image.layers().iter().map(|layer| layer.diff_id.to_string()).collect();
            place.skopeo(&["copy", name, &format!("dir:{out}")]).success();
            let manifest = fs_err::read(place.home.path("work").join(out).join("manifest.json"));
            let manifest: Value = serde_json::from_slice(&manifest.unwrap()).unwrap();
            let layers = manifest["layers"].as_array().unwrap();
            let found: Vec<&str> = layers.iter().map(|it| it["digest"].as_str().unwrap()).collect();
            assert_eq!(found, plain, "{driver} {name}");
            // What a manifest says of a plain tar is that it is one.
            let plain_type = "application/vnd.oci.image.layer.v1.tar";
            assert!(layers.iter().all(|layer| layer["mediaType"] == plain_type), "{manifest}");
            for to in [
                format!("oci:out-{out}:x"),
                format!("oci-archive:{out}.oci.tar:x"),
                format!("docker-archive:{out}.docker.tar:x/y:1"),
            ] {
                place.skopeo(&["copy", name, &to]).success();
            }
            // Packed again, unpacked it is the same, and so is its config.
            let config = ["inspect", "--config", "--raw"];
            let config = |name: &str| {
                let arguments: Vec<&str> = config.iter().copied().chain([name]).collect();
                place.skopeo(&arguments).success().stdout
            };
            assert_eq!(config(&format!("oci:out-{out}:x")), config(name));
            place.ask(
                "podman",
                &["load", "-q", "-i", &place.home.work(&format!("{out}.docker.tar"))],
            );
        }
    }
}

fn hex(config: &bytes::Bytes) -> String {
    Digest::sha256(config).hex().to_owned()
}

/// A second copy does nothing; a layer that another image has is not fetched.
#[test]
fn what_is_there_is_not_fetched() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    for driver in DRIVERS {
        let place = Place::new(driver);
        let first = Image::builder(5)
            .layer_of(10, Compression::Gzip)
            .layer_of(11, Compression::Gzip)
            .build();
        // The same layers the other way round: each is in the store, and lies on another one.
        let second = Image::builder(6)
            .layer_of(11, Compression::Gzip)
            .layer_of(10, Compression::Gzip)
            .build();
        for (image, name) in [(&first, "a"), (&second, "b")] {
            write(&place.home, image, name);
        }
        place.skopeo(&["copy", "oci:layout:a", "containers-storage:a"]).success();
        let again = place.skopeo(&["copy", "oci:layout:a", "containers-storage:a"]).success();
        assert!(again.stdout.contains("already present"), "{again}");
        // Nothing is read of layers that are there.
        for layer in second.layers() {
            let blob = format!("work/layout/blobs/sha256/{}", layer.digest.hex());
            fs_err::remove_file(place.home.path(blob)).unwrap();
        }
        place.skopeo(&["copy", "oci:layout:b", "containers-storage:b"]).success();
        assert_eq!(place.list("layers").len(), 4);
        place.skopeo(&["copy", "containers-storage:b", "dir:out"]).success();
        place.skopeo(&["delete", "containers-storage:a"]).success();
        place.skopeo(&["copy", "containers-storage:b", "dir:again"]).success();
        assert_eq!(place.list("layers").len(), 2);
    }
}

/// Signatures stay with an image, as long as its manifest does.
#[test]
fn signatures_are_kept() {
    if let Some(lack) = lacking(&["skopeo"]) {
        skip!("{lack}");
    }
    let place = Place::new("overlay");
    let plain = Image::builder(7).layer(Compression::Uncompressed).build();
    let packed = Image::builder(8).layers(1).build();
    for (image, folder) in [(&plain, "plain"), (&packed, "packed")] {
        let folder = place.home.path("work").join(folder);
        image.write_dir(&folder);
        for (number, byte) in [(1, 7), (2, 8)] {
            fs_err::write(folder.join(format!("signature-{number}")), [0xA3, byte]).unwrap();
        }
    }
    for name in ["plain", "packed"] {
        let to = format!("containers-storage:{name}");
        place.skopeo(&["copy", &format!("dir:{name}"), &to]).success();
        let records = place.list("images");
        let record = records.iter().find(|it| it["names"][0].to_string().contains(name)).unwrap();
        let metadata = record["metadata"].as_str().unwrap();
        let digest = record["digest"].as_str().unwrap();
        let expected =
            format!("{{\"signature-sizes\":[2,2],\"signatures-sizes\":{{\"{digest}\":[2,2]}}}}");
        assert_eq!(metadata, expected);
    }
    for program in [original().unwrap(), env!("CARGO_BIN_EXE_skopeo").into()] {
        let copied = run(&place.home, &program, &["copy", "containers-storage:plain", "dir:out"]);
        copied.success();
        let read = |name: &str| fs_err::read(place.home.path("work/out").join(name)).ok();
        assert_eq!(read("signature-1"), Some(vec![0xA3, 7]));
        assert_eq!(read("signature-2"), Some(vec![0xA3, 8]));
        fs_err::remove_dir_all(place.home.path("work/out")).unwrap();
    }
    // What was signed are the packed blobs, which nobody has any more.
    let refused = place.skopeo(&["copy", "containers-storage:packed", "dir:out"]).failure(1);
    let sentence = "Copying this image would require changing layer representation, which we cannot \
                    do: \"Would invalidate signatures\"";
    assert!(fatal(&refused).contains(sentence), "{refused}");
    let without = ["copy", "--remove-signatures", "containers-storage:packed", "dir:out"];
    place.skopeo(&without).success();
}

/// podman and we write into one store at once, and nothing is lost.
#[test]
fn podman_works_beside_us() {
    if let Some(lack) = lacking(&["podman"]) {
        skip!("{lack}");
    }
    const TIMES: u64 = 8;
    let place = Place::new("overlay");
    let image = |seed: u64| {
        Image::builder(seed)
            .layer_of(1, Compression::Gzip)
            .layer_of(seed, Compression::Gzip)
            .build()
    };
    for number in 0..TIMES {
        write(&place.home, &image(100 + number), &format!("p{number}"));
        write(&place.home, &image(200 + number), &format!("s{number}"));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..TIMES {
                place.ask("podman", &["pull", "-q", &format!("oci:layout:p{number}")]);
            }
        });
        scope.spawn(|| {
            for number in 0..TIMES {
                let (from, to) =
                    (format!("oci:layout:s{number}"), format!("containers-storage:s{number}"));
                place.skopeo(&["copy", &from, &to]).success();
            }
        });
    });
    assert_eq!(place.list("images").len(), usize::try_from(2 * TIMES).unwrap());
    assert_eq!(place.list("layers").len(), usize::try_from(2 * TIMES + 1).unwrap());
    assert_eq!(place.ask("podman", &["images", "-q"]).lines().count(), 16);
    for number in 0..TIMES {
        let name = format!("containers-storage:s{number}");
        place.skopeo(&["copy", &name, &format!("dir:out{number}")]).success();
        place.ask("podman", &["rmi", &format!("s{number}")]);
    }
    assert_eq!(place.list("layers").len(), usize::try_from(TIMES + 1).unwrap());
}

/// A layer whose files were changed fails by name; one that is not what the config says does not get
/// in.
#[test]
fn what_is_not_what_it_was_fails() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    let place = Place::new("overlay");
    write(&place.home, &Image::builder(9).layers(1).build(), "a");
    place.skopeo(&["copy", "oci:layout:a", "containers-storage:a"]).success();
    let layer = place.folders().remove(0);
    let diff = place.home.path("store/overlay").join(layer).join("diff");
    let file = walk(&diff).into_iter().find(|path| path.is_file()).unwrap();
    let bytes = fs_err::read(&file).unwrap();
    fs_err::write(&file, vec![0; bytes.len()]).unwrap();
    let failed = place.skopeo(&["copy", "containers-storage:a", "dir:out"]).failure(1);
    assert!(fatal(&failed).contains("file integrity checksum failed for"), "{failed}");

    // What cannot be made into its tar again is refused by name, and it is said what to do.
    let layer = place.folders().remove(0);
    let recipe = place.home.path(format!("store/overlay-layers/{layer}.tar-split.gz"));
    fs_err::remove_file(recipe).unwrap();
    let failed = place.skopeo(&["copy", "containers-storage:a", "dir:out"]).failure(1);
    let sentence = format!("layer {layer:?} is without a recipe, which cannot be read here");
    assert!(fatal(&failed).contains(&sentence), "{failed}");
    assert!(failed.stderr.contains("hint: its file tar-split.gz is missing"), "{failed}");
    place.home.write(&format!("store/overlay/{layer}/composefs-data"), "");
    let failed = place.skopeo(&["copy", "containers-storage:a", "dir:out"]).failure(1);
    let sentence = format!("layer {layer:?} is a composefs layer, which cannot be read here");
    assert!(fatal(&failed).contains(&sentence), "{failed}");
    assert!(failed.stderr.contains("hint: `podman push` and `podman save` read"), "{failed}");

    let lying = Place::new("overlay");
    let image = Image::builder(10).layers(1).build();
    let folder = lying.home.path("work/image");
    image.write_dir(&folder);
    let manifest = fs_err::read_to_string(folder.join("manifest.json")).unwrap();
    let old = image.config().unwrap();
    let diff = image.layers()[0].diff_id.clone();
    let new = String::from_utf8(old.to_vec()).unwrap();
    let new = new.replace(diff.as_str(), Digest::sha256(b"other").as_str());
    fs_err::write(folder.join(Digest::sha256(new.as_bytes()).hex()), &new).unwrap();
    let manifest =
        manifest.replace(Digest::sha256(old).as_str(), Digest::sha256(new.as_bytes()).as_str());
    fs_err::write(folder.join("manifest.json"), manifest).unwrap();
    let refused = lying.skopeo(&["copy", "dir:image", "containers-storage:a"]).failure(1);
    let sentence = format!("does not match config's DiffID \"{}\"", Digest::sha256(b"other"));
    assert!(fatal(&refused).contains(&sentence), "{refused}");
    assert!(lying.list("images").is_empty() && lying.list("layers").is_empty());
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

/// An image of schema 1, which has no config, gets the id that the original computes for it; one of
/// Docker's keeps its manifest.
#[test]
fn images_of_docker_get_the_same_ids() {
    if let Some(lack) = lacking(&["skopeo"]) {
        skip!("{lack}");
    }
    let (theirs, ours) = (Place::new("overlay"), Place::new("overlay"));
    for (seed, format, name) in [
        (20, Format::Docker, "docker"),
        (21, Format::Schema1Signed, "signed"),
        (22, Format::Schema1, "old"),
    ] {
        let image = Image::builder(seed).layers(2).format(format).named("x/y", "1").build();
        for place in [&theirs, &ours] {
            image.write_dir(&place.home.path("work").join(name));
        }
        let arguments = ["copy", &format!("dir:{name}"), &format!("containers-storage:{name}")];
        run(&theirs.home, original().unwrap(), &arguments).success();
        ours.skopeo(&arguments).success();
        assert_eq!(told(&ours.list("images")), told(&theirs.list("images")), "{name}");
        assert_eq!(told(&ours.list("layers")), told(&theirs.list("layers")), "{name}");
        let name = format!("containers-storage:{name}");
        ours.skopeo(&["copy", &name, "oci:out:x"]).success();
        ours.skopeo(&["inspect", "--config", &name]).success();
    }
}
