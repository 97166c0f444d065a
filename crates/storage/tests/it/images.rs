//! Images, their names and what is kept of them; and that they go again.

use std::os::unix::fs::MetadataExt as _;

use serde_json::json;
use skopeo_image::{Classify as _, Digest, ErrorClass};
use skopeo_storage::{Driver, Error, Options, Store};

use crate::support::{DRIVERS, Place, Sample, Tar, only_root, tar_digest};

fn sample(seed: u64) -> Sample {
    let layer = |text: &str| Tar::new().file(text, text.as_bytes()).end();
    Sample::of(vec![layer("base"), layer("middle"), layer(&format!("own-{seed}"))])
}

#[test]
fn an_image_is_found_by_id_name_and_digests() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let store = place.store();
    let sample = sample(1);
    sample.put(&store, &["docker.io/library/x:1", "docker.io/library/x:2"]).unwrap();
    for asked in [&sample.id(), "docker.io/library/x:1", "docker.io/library/x:2"] {
        assert_eq!(store.image(asked).unwrap().id, sample.id());
    }
    assert_eq!(store.images_by_digest(&sample.digest()).unwrap().len(), 1);
    assert!(store.images_by_digest(&Digest::sha256(b"other")).unwrap().is_empty());
    for unknown in ["x:1", &sample.id()[..12], "", ".."] {
        let error = store.image(unknown).unwrap_err();
        assert_eq!(error.class(), Some(ErrorClass::NotFound));
        let text = format!("locating image with ID {unknown:?}: image not known");
        assert_eq!(error.to_string(), text);
    }
    let image = store.image(&sample.id()).unwrap();
    assert_eq!(image.digest, Some(sample.digest()));
    assert_eq!(image.names, ["docker.io/library/x:1", "docker.io/library/x:2"]);
    assert_eq!(store.image_data(&sample.id(), "manifest").unwrap(), sample.manifest);
    let error = store.image_data(&sample.id(), "manifest-x").unwrap_err().to_string();
    assert!(error.contains("(consider removing the image to resolve the issue)"), "{error}");

    let record = &place.list("images")[0];
    let config = format!("sha256:{}", sample.id());
    let manifest = format!("manifest-{}", sample.digest());
    assert_eq!(record["big-data-names"], json!([config, manifest, "manifest"]));
    assert_eq!(record["big-data-sizes"][&manifest], sample.manifest.len());
    assert_eq!(record["created"], "2024-01-02T03:04:05Z");
    assert_eq!(record["metadata"], "{}");
    let folder = place.root().join("overlay-images").join(sample.id());
    assert_eq!(fs_err::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs_err::metadata(folder.join("manifest")).unwrap().mode() & 0o7777, 0o600);
    place.check();
}

/// A name belongs to one image; another takes it away.
#[test]
fn names_move() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let store = place.store();
    let (first, second) = (sample(1), sample(2));
    first.put(&store, &["h.io/x:1"]).unwrap();
    let taken = second.put(&store, &["h.io/x:1"]).unwrap();
    assert_eq!(taken.names, ["h.io/x:1"]);
    let loser = store.image(&first.id()).unwrap();
    assert!(loser.names.is_empty());
    assert_eq!(loser.names_history, ["h.io/x:1"]);
    store.add_names(&second.id(), &["h.io/y:1".to_owned(), "h.io/x:1".to_owned()]).unwrap();
    let names = ["h.io/y:1", "h.io/x:1"];
    assert_eq!(store.image(&second.id()).unwrap().names, names);
    let noted = ["h.io/x:1", "h.io/y:1"];
    assert_eq!(store.image("h.io/y:1").unwrap().names_history, noted);
    let error = store.add_names("none", &["h.io/z:1".to_owned()]).unwrap_err();
    assert!(matches!(error, Error::ImageUnknown { .. }));
}

/// An image that is written again keeps its date and its digest.
#[test]
fn an_image_that_is_there_is_added_to() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let store = place.store();
    let sample = sample(1);
    let image = sample.put(&store, &["h.io/x:1"]).unwrap();
    let mut again = sample.record(image.layer.clone(), &["h.io/x:2"]);
    again.created = "2025-01-01T00:00:00Z".parse().unwrap();
    again.metadata = r#"{"signature-sizes":[1]}"#.to_owned();
    let list = b"a list".to_vec();
    let key = format!("manifest-{}", Digest::sha256(&list));
    again.data.insert(0, skopeo_storage::NewData { key: key.clone(), bytes: list, digest: None });
    let second = store.put_image(&again).unwrap();
    assert_eq!((second.created, &second.digest), (image.created, &image.digest));
    assert_eq!(second.names, ["h.io/x:2", "h.io/x:1"]);
    assert_eq!(second.metadata, again.metadata);
    assert!(second.data(&key).is_some());
    assert_eq!(second.data.len(), image.data.len() + 1);
    assert_eq!(store.images_by_digest(&Digest::sha256(b"a list")).unwrap().len(), 1);

    let other = Tar::new().file("other", b"").end();
    let other = store.put_layer(Default::default(), other.as_slice()).unwrap();
    let error = store.put_image(&sample.record(Some(other.id), &[])).unwrap_err();
    assert!(matches!(error, Error::IdInUse { .. }), "{error}");
    let missing = sample.record(Some("0".repeat(64)), &[]);
    assert!(matches!(store.put_image(&missing), Err(Error::LayerUnknown { .. })));
    place.check();
}

/// An image goes with the layers that nobody else needs.
#[test]
fn what_others_need_stays() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let store = place.store();
    let (first, second) = (sample(1), sample(2));
    let image = first.put(&store, &["h.io/x:1"]).unwrap();
    second.put(&store, &["h.io/x:2"]).unwrap();
    assert_eq!(place.list("layers").len(), 4);
    assert_eq!(store.delete_image(&first.id()).unwrap(), [image.layer.unwrap()]);
    assert_eq!(place.list("layers").len(), 3);
    assert!(matches!(store.delete_image(&first.id()), Err(Error::ImageUnknown { .. })));
    place.check();
    assert_eq!(store.delete_image(&second.id()).unwrap().len(), 3);
    assert!(place.list("layers").is_empty());
    assert!(place.list("images").is_empty());
    assert_eq!(place.names("overlay-images"), ["images.json", "images.lock"]);
    place.check();
}

/// Containers keep their image and its layers; layers without an image that lie on others too.
#[test]
fn what_is_used_is_not_deleted() {
    only_root!();
    for list in ["containers.json", "volatile-containers.json"] {
        let place = Place::new(Driver::Overlay);
        let store = place.store();
        let sample = sample(1);
        let image = sample.put(&store, &[]).unwrap();
        let path = place.root().join("overlay-containers").join(list);
        let container = |image: &str, layer: &str| json!([{"id": "c", "image": image, "layer": layer, "created": "2024-01-02T03:04:05Z"}]);
        fs_err::write(&path, container(&sample.id(), "other").to_string()).unwrap();
        let error = store.delete_image(&sample.id()).unwrap_err();
        assert_eq!(error.to_string(), "image used by c: image is in use by a container");
        assert_eq!(error.class(), Some(ErrorClass::Conflict));
        assert_eq!(store.images().unwrap().len(), 1);

        let top = image.layer.unwrap();
        let error = store
            .put_layer(
                skopeo_storage::NewLayer { parent: Some("l".to_owned()), ..Default::default() },
                &*Tar::new().end(),
            )
            .unwrap_err();
        assert!(matches!(error, Error::LayerUnknown { .. }), "{error}");
        fs_err::write(&path, container("none", &top).to_string()).unwrap();
        let new = skopeo_storage::NewLayer { parent: Some(top.clone()), ..Default::default() };
        let error = store.put_layer(new, &*Tar::new().end()).unwrap_err();
        assert!(matches!(error, Error::ParentIsContainer { .. }), "{error}");
        assert_eq!(store.delete_image(&sample.id()).unwrap(), Vec::<String>::new());
        assert!(store.layer(&top).unwrap().is_some());
        place.check();
    }
}

/// Layers with other owners go first.
#[test]
fn mapped_layers_go_with_their_image() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let store = place.store();
    let sample = sample(1);
    let image = sample.put(&store, &[]).unwrap();
    let top = store.layer(&image.layer.unwrap()).unwrap().unwrap();
    let mapped = store
        .put_layer(
            skopeo_storage::NewLayer {
                id: Some("f".repeat(64)),
                parent: top.parent,
                ..Default::default()
            },
            sample.layers[2].as_slice(),
        )
        .unwrap();
    let path = place.root().join("overlay-images/images.json");
    let mut list = place.list("images");
    list[0]["mapped-layers"] = json!([mapped.id]);
    fs_err::write(&path, serde_json::to_vec(&list).unwrap()).unwrap();
    let deleted = store.delete_image(&sample.id()).unwrap();
    assert_eq!(deleted.len(), 4);
    assert_eq!(deleted[0], mapped.id);
    place.check();
}

/// What we do not know of a record outlives our writing.
#[test]
fn what_is_not_known_outlives_a_write() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let store = place.store();
    sample(1).put(&store, &["h.io/x:1"]).unwrap();
    for of in ["images", "layers"] {
        let path = place.root().join(format!("overlay-{of}/{of}.json"));
        let mut list = place.list(of);
        list[0]["tomorrow"] = json!({"a": [1, 2]});
        fs_err::write(path, serde_json::to_vec(&list).unwrap()).unwrap();
    }
    sample(2).put(&store, &["h.io/x:2"]).unwrap();
    for of in ["images", "layers"] {
        assert_eq!(place.list(of)[0]["tomorrow"], json!({"a": [1, 2]}), "{of}");
        assert!(place.list(of).len() > 1);
    }
}

fn with(place: &Place, change: impl FnOnce(&mut Options)) -> Store {
    let mut options = place.options();
    change(&mut options);
    Store::open(options).unwrap()
}

/// Stores that are read only are read, built upon, and never written.
#[test]
fn additional_stores_are_read_and_not_written() {
    only_root!();
    for driver in DRIVERS {
        let (other, place) = (Place::new(driver), Place::new(driver));
        let first = sample(1);
        first.put(&other.store(), &["h.io/x:1"]).unwrap();
        let snapshot = crate::support::tree(&other.root());
        let store = with(&place, |options| {
            options.additional_stores = vec![other.path("not-there"), other.root()];
        });
        let image = store.image("h.io/x:1").unwrap();
        assert!(image.read_only);
        let top = image.layer.clone().unwrap();
        assert!(store.layer(&top).unwrap().unwrap().read_only);
        let digest = tar_digest(&store, &top).unwrap();
        assert_eq!(digest, Digest::sha256(&first.layers[2]));
        assert_eq!(store.image_data(&first.id(), "manifest").unwrap(), first.manifest);
        assert!(matches!(store.delete_image(&first.id()), Err(Error::ReadOnly { .. })));
        assert!(matches!(
            store.add_names(&first.id(), &["h.io/y:1".to_owned()]),
            Err(Error::ReadOnly { .. })
        ));

        // Only the layer that is not there is written, onto one of the other store.
        let second = sample(2);
        let image = second.put(&store, &["h.io/x:2"]).unwrap();
        assert_eq!(place.list("layers").len(), 1);
        let top = image.layer.unwrap();
        let digest = tar_digest(&store, &top).unwrap();
        assert_eq!(digest, Digest::sha256(&second.layers[2]));
        assert_eq!(store.images().unwrap().len(), 2);
        assert_eq!(store.delete_image(&second.id()).unwrap(), [top]);
        assert_eq!(crate::support::tree(&other.root()), snapshot, "{driver:?}");
    }
}

/// `imagestore`: images and their layers lie elsewhere.
#[test]
fn images_lie_elsewhere_if_asked() {
    only_root!();
    for driver in DRIVERS {
        let place = Place::new(driver);
        let elsewhere = place.path("images");
        let store = with(&place, |options| options.image_store = Some(elsewhere.clone()));
        let sample = sample(1);
        let image = sample.put(&store, &["h.io/x:1"]).unwrap();
        let name = driver.as_str();
        for there in [format!("{name}-images/images.json"), format!("{name}-layers/layers.json")] {
            assert!(elsewhere.join(&there).exists(), "{there}");
            assert!(!place.root().join(&there).exists(), "{there}");
        }
        let top = image.layer.unwrap();
        let digest = tar_digest(&store, &top).unwrap();
        assert_eq!(digest, Digest::sha256(&sample.layers[2]));
        assert!(!place.files(&top).exists());
        store.delete_image(&sample.id()).unwrap();
        assert!(store.images().unwrap().is_empty());
        assert!(store.layer(&top).unwrap().is_none());
    }
}

/// With a transient store, containers and their lock lie in the run root.
#[test]
fn containers_of_a_transient_store_are_seen() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let store = with(&place, |options| options.transient = true);
    let sample = sample(1);
    sample.put(&store, &[]).unwrap();
    let folder = place.path("run/overlay-containers");
    assert!(folder.join("containers.lock").exists());
    let container = json!([{"id": "c", "image": sample.id(), "layer": "l"}]).to_string();
    fs_err::write(folder.join("volatile-containers.json"), container).unwrap();
    assert!(matches!(store.delete_image(&sample.id()), Err(Error::ImageInUse { .. })));
}
