//! Stores that are not the usual one.

use super::*;

/// A store that is only read lends its images and layers, and stays as it is.
#[test]
fn additional_stores_are_read_and_never_written() {
    if let Some(lack) = lacking(&["podman"]) {
        skip!("{lack}");
    }
    let lender = Place::new("overlay");
    let base = Image::builder(30).layer_of(1, Compression::Gzip).build();
    write(&lender.home, &base, "a");
    lender.skopeo(&["copy", "oci:layout:a", "containers-storage:h.io/base:1"]).success();
    let place = Place::new("overlay");
    let conf = place.home.path("home/.config/containers/storage.conf");
    let text = fs_err::read_to_string(&conf).unwrap();
    let store = lender.home.path("store");
    let more = format!("{text}[storage.options]\nadditionalimagestores = [{store:?}]\n");
    fs_err::write(conf, more).unwrap();
    let found = place.skopeo(&["inspect", "containers-storage:h.io/base:1"]).success();
    assert_eq!(found.json()["Digest"], base.digest().as_str());
    let own =
        Image::builder(31).layer_of(1, Compression::Gzip).layer_of(2, Compression::Gzip).build();
    write(&place.home, &own, "b");
    place.skopeo(&["copy", "oci:layout:b", "containers-storage:h.io/own:1"]).success();
    // The base is lent.
    assert_eq!(place.list("layers").len(), 1);
    place.skopeo(&["copy", "containers-storage:h.io/own:1", "dir:out"]).success();
    place.ask("podman", &["image", "exists", "h.io/own:1"]);
    let mounted = place.ask("podman", &["image", "mount", "h.io/own:1"]);
    assert!(std::path::Path::new(&mounted).is_dir());
    place.ask("podman", &["image", "umount", "h.io/own:1"]);
    let refused = place.skopeo(&["delete", "containers-storage:h.io/base:1"]).failure(1);
    assert!(fatal(&refused).contains("read-only store"), "{refused}");
    assert_eq!(lender.list("images").len(), 1);
    lender.skopeo(&["copy", "containers-storage:h.io/base:1", "dir:out"]).success();
}

/// `imagestore`: images and their layers lie in another folder than containers.
#[test]
fn images_lie_in_a_store_of_their_own() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    for driver in DRIVERS {
        let place = Place::new(driver);
        let elsewhere = place.home.path("images");
        place.configure(&format!("imagestore = {elsewhere:?}\n"));
        let image = sample(60);
        write(&place.home, &image, "a");
        place.skopeo(&["copy", "oci:layout:a", "containers-storage:h.io/a:1"]).success();
        for (kind, listed) in [("images", 1), ("layers", 3)] {
            let below = format!("{driver}-{kind}/{kind}.json");
            let bytes = fs_err::read(elsewhere.join(&below)).unwrap();
            let list: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(list.as_array().unwrap().len(), listed, "{below}");
        }
        assert!(place.list("images").is_empty() && place.list("layers").is_empty());
        assert!(place.folders().is_empty());
        place.skopeo(&["copy", "containers-storage:h.io/a:1", "dir:out"]).success();
        place.skopeo(&["delete", "containers-storage:h.io/a:1"]).success();
        let bytes = fs_err::read(elsewhere.join(format!("{driver}-layers/layers.json"))).unwrap();
        assert_eq!(bytes, b"[]");
    }
}

/// `transient_store`: what is told of containers lies in the run folder; images stay.
#[test]
fn images_stay_in_a_transient_store() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    for driver in DRIVERS {
        let place = Place::new(driver);
        place.configure("transient_store = true\n");
        write(&place.home, &sample(61), "a");
        place.skopeo(&["copy", "oci:layout:a", "containers-storage:h.io/a:1"]).success();
        assert_eq!(place.list("images").len(), 1);
        assert_eq!(place.list("layers").len(), 3);
        let lock = format!("{driver}-containers/containers.lock");
        assert!(place.home.path("running").join(&lock).exists());
        assert!(!place.home.path("store").join(&lock).exists());
        place.skopeo(&["copy", "containers-storage:h.io/a:1", "dir:out"]).success();
        place.skopeo(&["delete", "containers-storage:h.io/a:1"]).success();
        assert!(place.list("layers").is_empty());
    }
}

/// Layers are unpacked while they come, with vfs too: nothing waits in the folder for temporary
/// files, which is not even there.
#[test]
fn nothing_is_written_beside_the_store() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    for driver in DRIVERS {
        let place = Place::new(driver);
        let image = Image::builder(62)
            .layer_of(1, Compression::Gzip)
            .layer_of(2, Compression::Zstd)
            .layer_of(3, Compression::Uncompressed)
            .build();
        write(&place.home, &image, "a");
        let missing = place.home.path("missing").display().to_string();
        let copy = |from: &str, to: &str| place.skopeo(&["--tmpdir", &missing, "copy", from, to]);
        copy("oci:layout:a", "containers-storage:h.io/a:1").success();
        // The first two are there.
        let more = Image::builder(63)
            .layer_of(1, Compression::Gzip)
            .layer_of(2, Compression::Zstd)
            .layer_of(4, Compression::Gzip)
            .build();
        write(&place.home, &more, "b");
        copy("oci:layout:b", "containers-storage:h.io/b:1").success();
        assert_eq!(place.list("layers").len(), 4, "{driver}");
        for name in ["a", "b"] {
            let from = format!("containers-storage:h.io/{name}:1");
            place.skopeo(&["copy", &from, &format!("dir:{name}")]).success();
        }
    }
}
