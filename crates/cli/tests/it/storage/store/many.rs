//! Many images.

use super::*;

/// Images of one run that share layers bring each once, also where all of them begin at once.
#[test]
fn images_of_one_run_share_what_is_under_way() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    let place = Place::new("overlay");
    let registry = Registry::start();
    let shared = |seed| {
        let image = Image::builder(seed).layer_size(100_000).layer_of(7, Compression::Gzip);
        image.layer_of(8, Compression::Gzip).layer_of(seed, Compression::Gzip).build()
    };
    let images: Vec<Image> = (20..26).map(shared).collect();
    for (number, image) in images.iter().enumerate() {
        image.push(&registry, &format!("team/app:{number}"));
    }
    let common: Vec<_> = images[0].layers()[..2].iter().map(|it| it.digest.clone()).collect();
    let from = format!("{}/team/app", registry.host());
    // So slow that the others begin before the first one has brought a layer.
    let slow = ["sync", "--limit-rate=512KiB", "--src-tls-verify=false", "--jobs=6"];
    let sync = slow.into_iter().chain(["--src", "docker", "--dest"]);
    let words: Vec<&str> = sync.chain(["containers-storage", &from, ""]).collect();
    place.skopeo(&words).success();
    for digest in &common {
        assert_eq!(registry.count(&On::blobs().containing(digest)), 1, "{digest}");
    }
    assert_eq!(place.list("images").len(), images.len());
    assert_eq!(place.list("layers").len(), 2 + images.len());
}

/// Two programs that want the same layers at once: one brings them, and the other waits for it.
#[test]
fn who_comes_second_waits_for_the_layers() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    for driver in DRIVERS {
        let place = Place::new(driver);
        let registry = Registry::start();
        let image = Image::builder(90).layer_size(200_000).layers(2).build();
        image.push(&registry, "ns/app:1");
        let from = format!("{}/ns/app:1", registry.host());
        let before = registry.lines().len();
        let words = ["sync", "--limit-rate=64KiB", "--src-tls-verify=false", "--src", "docker"];
        let words = [&words[..], &["--dest", "containers-storage", &from, ""]].concat();
        let mut first = place.home.command(env!("CARGO_BIN_EXE_skopeo"));
        let mut first = first.args(&words).stdin(Stdio::null()).spawn().unwrap();
        // It has said which layers it brings.
        let locks = place.home.path(format!("running/{driver}-locks"));
        let claimed = || fs_err::read_dir(&locks).map_or(0, Iterator::count);
        while claimed() < 2 {
            assert!(first.try_wait().unwrap().is_none(), "it ended too soon");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let second = ["--debug", "copy", "--src-tls-verify=false"];
        let source = format!("docker://{from}");
        let second = place
            .skopeo(&[&second[..], &[&source, "containers-storage:h.io/second:1"]].concat())
            .success();
        assert!(second.stderr.contains("which another program brings"), "{second}");
        assert!(first.wait().unwrap().success());
        let asked = registry.lines().split_off(before);
        let layers =
            asked.iter().filter(|line| line.starts_with("GET") && line.contains("/blobs/"));
        // Two layers, and the config for each.
        assert_eq!(layers.count(), 4, "{asked:?}");
        assert_eq!(place.list("images")[0]["names"].as_array().unwrap().len(), 2);
        assert_eq!(claimed(), 0);
    }
}

/// All images of a repository come into a store, and all of a store into a layout.
#[test]
fn many_images_are_synced() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    let place = Place::new("overlay");
    let registry = Registry::start();
    let image = |seed: u64| {
        Image::builder(seed)
            .layer_of(1, Compression::Gzip)
            .layer_of(seed, Compression::Gzip)
            .build()
    };
    for number in 1..4 {
        image(300 + number).push(&registry, &format!("ns/app:{number}"));
    }
    let from = format!("{}/ns/app", registry.host());
    let sync = ["sync", "--src-tls-verify=false", "--src", "docker", "--dest"];
    let to_store: Vec<&str> = sync.into_iter().chain(["containers-storage", &from, ""]).collect();
    place.skopeo(&to_store).success();
    assert_eq!(place.list("images").len(), 3);
    assert_eq!(place.list("layers").len(), 4);
    let again = place.skopeo(&to_store).success();
    assert!(again.stderr.contains("3 images"), "{again}");
    let out = ["sync", "--src", "containers-storage", "--dest", "oci", "", "out"];
    place.skopeo(&out).success();
    let listed = place.skopeo(&["list-tags", "oci:out"]).success().json();
    let mut listed: Vec<&str> =
        listed["Tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
    listed.sort_unstable();
    let expected: Vec<String> = (1..4).map(|number| format!("{from}:{number}")).collect();
    assert_eq!(listed, expected);
    let refused = place.skopeo(&["sync", "--src", "containers-storage", "--dest", "oci", "x", "o"]);

    let refused = refused.failure(1);
    assert!(fatal(&refused).contains("\"x\" is not a store"), "{refused}");
}

/// What a mirror deletes in a store are names; an image goes with its last one.
#[test]
fn superfluous_names_are_deleted_in_a_store() {
    if let Some(lack) = lacking(&["podman"]) {
        skip!("{lack}");
    }
    let place = Place::new("overlay");
    let registry = Registry::start();
    for number in 1..5 {
        let image = Image::builder(400 + number)
            .layer_of(1, Compression::Gzip)
            .layer_of(number, Compression::Gzip)
            .build();
        image.push(&registry, &format!("ns/app:{number}"));
    }
    let from = format!("{}/ns/app", registry.host());
    let sync = ["sync", "--src-tls-verify=false", "--src", "docker", "--dest"];
    let mirror: Vec<&str> =
        sync.into_iter().chain(["containers-storage", "--delete", &from, ""]).collect();
    place.skopeo(&mirror).success();
    assert_eq!(place.list("images").len(), 4);
    // Another name keeps the image, and a container does, too.
    place.ask("podman", &["tag", &format!("{from}:2"), "h.io/kept:1"]);
    write(&place.home, &Image::builder(70).layers(1).build(), "own");
    place.skopeo(&["copy", "oci:layout:own", "containers-storage:h.io/own:1"]).success();
    for number in 2..5 {
        let name = registry.docker(&format!("ns/app:{number}"));
        place.skopeo(&["delete", "--tls-verify=false", &name]).success();
    }
    let container = place.ask("podman", &["create", &format!("{from}:4"), "/bin/sh"]);
    let failed = place.skopeo(&mirror).failure(1);
    assert!(failed.stderr.contains("image is in use by a container"), "{failed}");
    let mut names: Vec<String> = place
        .list("images")
        .iter()
        .flat_map(|image| image["names"].as_array().unwrap().clone())
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    names.sort();
    let mut expected =
        vec![format!("{from}:1"), format!("{from}:4"), "h.io/kept:1".into(), "h.io/own:1".into()];
    expected.sort();
    assert_eq!(names, expected);
    place.ask("podman", &["rm", &container]);
    place.skopeo(&mirror).success();
    assert_eq!(place.list("images").len(), 3);
    place.ask("podman", &["image", "exists", "h.io/kept:1"]);
    place.skopeo(&["copy", "containers-storage:h.io/kept:1", "dir:out"]).success();
}
