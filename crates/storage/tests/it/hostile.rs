//! Stores that somebody wrote who means harm: an error, and nothing outside is touched.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;
use skopeo_storage::{Driver, NewLayer};

use crate::support::{Place, Sample, Tar, only_root, tree};

/// What would lead out of the store, or to something else in it.
const HOSTILE: [&str; 14] = [
    "../../victim",
    "../victim",
    "a/../../victim",
    "/",
    "",
    ".",
    "..",
    "a\0b",
    "l",
    "tmp",
    "tempdirs",
    "images.json",
    "layers.json",
    "images.lock",
];

/// A store, and beside it what must stay as it is.
fn beside(driver: Driver) -> (Place, Sample, Vec<(String, String)>) {
    let place = Place::new(driver);
    let sample = Sample::of(vec![Tar::new().file("a", b"a").end()]);
    sample.put(&place.store(), &["h.io/x:1"]).unwrap();
    let victim = place.path("victim");
    fs_err::create_dir_all(victim.join("diff/deep")).unwrap();
    fs_err::write(victim.join("diff/deep/file"), "precious").unwrap();
    fs_err::write(victim.join("link"), "precious").unwrap();
    let before = tree(&victim);
    (place, sample, before)
}

fn write(path: &Path, list: &serde_json::Value) {
    fs_err::write(path, list.to_string()).unwrap();
}

#[test]
fn ids_of_layers_do_not_lead_out_of_the_store() {
    only_root!();
    for driver in [Driver::Overlay, Driver::Vfs] {
        for hostile in HOSTILE {
            for flags in [json!({}), json!({"incomplete": true})] {
                let (place, sample, before) = beside(driver);
                let name = driver.as_str();
                let path = place.root().join(format!("{name}-layers/layers.json"));
                let mut list = place.list("layers");
                list.push(json!({"id": hostile, "created": "2024-01-02T03:04:05Z", "flags": flags,
                    "diff-digest": format!("sha256:{}", "a".repeat(64))}));
                write(&path, &json!(list));
                let store = place.store();
                let _ = store.layer(hostile);
                assert!(store.layer_tar(hostile, std::io::sink()).is_err());
                let parent = NewLayer { parent: Some(hostile.to_owned()), ..NewLayer::default() };
                let tar = Tar::new().file("b", b"b").end();
                assert!(store.put_layer(parent, tar.as_slice()).is_err(), "{hostile:?}");

                // An image that says that this is its layer.
                let images = place.root().join(format!("{name}-images/images.json"));
                let mut list = place.list("images");
                list[0]["layer"] = json!(hostile);
                list[0]["mapped-layers"] = json!([hostile]);
                write(&images, &json!(list));
                let _ = store.delete_image(&sample.id());
                assert_eq!(tree(&place.path("victim")), before, "{hostile:?}");
                assert!(store.images().is_ok() && store.layer("a").is_ok());
                if driver == Driver::Overlay {
                    assert!(place.root().join("overlay/l").is_dir(), "{hostile:?}");
                }
            }
        }
    }
}

#[test]
fn ids_of_images_do_not_lead_out_of_the_store() {
    only_root!();
    for hostile in HOSTILE {
        let (place, _, before) = beside(Driver::Overlay);
        let images = place.root().join("overlay-images/images.json");
        let mut list = place.list("images");
        list[0]["id"] = json!(hostile);
        list[0]["big-data-names"] = json!(["link", ".."]);
        list[0]["big-data-digests"] = json!({});
        write(&images, &json!(list));
        let store = place.store();
        assert!(store.image_data(hostile, "link").is_err(), "{hostile:?}");
        assert!(store.image_data(hostile, "..").is_err(), "{hostile:?}");
        assert!(store.delete_image(hostile).is_err(), "{hostile:?}");
        assert!(images.exists());
        assert_eq!(tree(&place.path("victim")), before);
    }
}

#[test]
fn links_in_layers_do_not_lead_out_of_the_store() {
    only_root!();
    // The files of a layer are a link to elsewhere.
    let (place, sample, before) = beside(Driver::Overlay);
    let store = place.store();
    let id = place.list("layers")[0]["id"].as_str().unwrap().to_owned();
    let diff = place.files(&id);
    fs_err::remove_dir_all(&diff).unwrap();
    symlink(place.path("victim/diff"), &diff).unwrap();
    let error = store.layer_tar(&id, std::io::sink()).unwrap_err().to_string();
    assert!(error.contains("additional layer store"), "{error}");
    let child = NewLayer { parent: Some(id), ..NewLayer::default() };
    assert!(store.put_layer(child, &*Tar::new().file("b", b"b").end()).is_err());
    store.delete_image(&sample.id()).unwrap();
    assert_eq!(tree(&place.path("victim")), before);

    // The short name of a layer, and where it leads.
    for link in ["../../../victim", "../x", "/etc/passwd", "A\nB"] {
        let (place, sample, before) = beside(Driver::Overlay);
        let store = place.store();
        let id = place.list("layers")[0]["id"].as_str().unwrap().to_owned();
        fs_err::write(place.root().join("overlay").join(&id).join("link"), link).unwrap();
        let child = NewLayer { parent: Some(id), ..NewLayer::default() };
        let error = store.put_layer(child, &*Tar::new().file("b", b"b").end()).unwrap_err();
        assert!(error.to_string().contains("not a short name"), "{error}");
        store.delete_image(&sample.id()).unwrap();
        assert_eq!(tree(&place.path("victim")), before);
    }

    // The folder of a layer is a link to elsewhere.
    let (place, sample, before) = beside(Driver::Overlay);
    let store = place.store();
    let id = place.list("layers")[0]["id"].as_str().unwrap().to_owned();
    let folder = place.root().join("overlay").join(&id);
    fs_err::remove_dir_all(&folder).unwrap();
    symlink(place.path("victim"), &folder).unwrap();
    assert!(store.layer_tar(&id, std::io::sink()).is_err());
    store.delete_image(&sample.id()).unwrap();
    assert_eq!(tree(&place.path("victim")), before);
}

/// What should be a file is a link to elsewhere, or something that never ends.
#[test]
fn only_files_are_read_as_files() {
    only_root!();
    let secret = |place: &Place| place.path("victim/link");
    for what in ["link", "pipe", "folder"] {
        let put = |place: &Place, path: &Path| {
            fs_err::remove_file(path).unwrap();
            match what {
                "link" => symlink(secret(place), path).unwrap(),
                "pipe" => {
                    let kind = rustix::fs::FileType::Fifo;
                    let mode = rustix::fs::Mode::RUSR;
                    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
                }
                _ => fs_err::create_dir(path).unwrap(),
            }
        };
        let (place, sample, _) = beside(Driver::Overlay);
        let store = place.store();
        let layer = place.list("layers")[0]["id"].as_str().unwrap().to_owned();
        let images = place.root().join("overlay-images");
        put(&place, &images.join(sample.id()).join("manifest"));
        let error = store.image_data(&sample.id(), "manifest").unwrap_err();
        assert!(error.to_string().contains("it is not a file"), "{what}: {error}");
        put(&place, &place.root().join(format!("overlay-layers/{layer}.tar-split.gz")));
        let error = store.layer_tar(&layer, std::io::sink()).unwrap_err();
        assert!(error.to_string().contains("it is not a file"), "{what}: {error}");
        put(&place, &place.root().join("overlay").join(&layer).join("link"));
        let child = NewLayer { parent: Some(layer), ..NewLayer::default() };
        assert!(store.put_layer(child, &*Tar::new().file("b", b"b").end()).is_err(), "{what}");
        put(&place, &images.join("images.json"));
        let error = store.images().unwrap_err();
        assert!(error.to_string().contains("images.json"), "{what}: {error}");
    }
}

#[test]
fn lists_that_are_none_are_errors_that_name_them() {
    only_root!();
    for (list, text) in [
        ("images", "{"),
        ("images", "[{\"id\": 1}]"),
        ("images", "[{\"id\":\"a\",\"digest\":\"sha256:x\"}]"),
        ("images", "[{\"id\":\"a\",\"big-data-digests\":{\"manifest\":\"md5:00\"}}]"),
        ("layers", "\u{0}"),
        ("layers", "[{\"uidset\":[-1]}]"),
        ("layers", "[{\"created\":\"yesterday\"}]"),
    ] {
        let (place, _, _) = beside(Driver::Overlay);
        let path = place.root().join(format!("overlay-{list}/{list}.json"));
        fs_err::write(&path, text).unwrap();
        let store = place.store();
        let error = match list {
            "images" => store.images().unwrap_err(),
            _ => store.layer("a").unwrap_err(),
        };
        assert!(error.to_string().contains(&format!("{list}.json")), "{error}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), text, "it stays as it is");
    }
}

#[test]
fn layers_that_lie_on_themselves_end() {
    only_root!();
    let (place, sample, _) = beside(Driver::Overlay);
    let path = place.root().join("overlay-layers/layers.json");
    let mut list = place.list("layers");
    list[0]["parent"] = list[0]["id"].clone();
    let id = list[0]["id"].as_str().unwrap().to_owned();
    write(&path, &json!(list));
    let store = place.store();
    let error = store.layer_tar(&id, std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("is its own parent"), "{error}");
    let child = NewLayer { parent: Some(id), ..NewLayer::default() };
    assert!(store.put_layer(child, &*Tar::new().end()).is_err());
    store.delete_image(&sample.id()).unwrap();
}
