//! Layers get into a store, and come out of it byte for byte.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Barrier;

use skopeo_image::{Classify as _, Digest, ErrorClass};
use skopeo_storage::{Below, Driver, Error, NewLayer, Store, layer_id};

use crate::support::{DRIVERS, Place, base, changes, only_root, skip};

fn put(store: &Store, parent: Option<&str>, tar: &[u8]) -> skopeo_storage::Result<String> {
    let new = NewLayer { parent: parent.map(str::to_owned), ..NewLayer::default() };
    store.put_layer(new, tar).map(|layer| layer.id)
}

#[test]
fn a_layer_is_what_it_was() {
    only_root!();
    for driver in DRIVERS {
        let place = Place::new(driver);
        let store = place.store();
        let lower = put(&store, None, &base()).unwrap();
        let upper = put(&store, Some(&lower), &changes()).unwrap();
        assert_eq!(lower, Digest::sha256(&base()).hex());
        assert_eq!(upper, layer_id(Some(&lower), &Digest::sha256(&changes())));
        for (id, tar) in [(&lower, base()), (&upper, changes())] {
            let mut out = Vec::new();
            store.layer_tar(id, &mut out).unwrap();
            let digest = Digest::sha256(&tar);
            assert!(out == tar, "{driver:?} {id}");
            let layer = store.layer(id).unwrap().unwrap();
            assert_eq!(layer.diff_digest, Some(digest.clone()));
            assert_eq!(layer.diff_size, Some(tar.len() as u64));
            assert_eq!(layer.compressed_digest, Some(digest.clone()));
            assert_eq!(store.layers_by_diff_digest(&digest).unwrap().len(), 1);
            assert_eq!(store.layers_by_compressed_digest(&digest).unwrap().len(), 1);
        }
        place.check();
        let records = place.list("layers");
        assert_eq!(records[0]["uidset"], serde_json::json!([0, 7]));
        assert_eq!(records[0]["gidset"], serde_json::json!([0, 8]));
        assert_eq!(records[1]["parent"], lower.as_str());
    }
}

/// What lies in the folder of a layer is what others put there.
#[test]
fn a_layer_of_overlay_has_all_parts() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let store = place.store();
    let mut ids: Vec<String> = Vec::new();
    for number in 0..3_u8 {
        let tar = crate::support::Tar::new().file("a", &[number]).end();
        ids.push(put(&store, ids.last().map(String::as_str), &tar).unwrap());
    }
    let folder = |id: &str| place.root().join("overlay").join(id);
    let read = |id: &str, name: &str| fs_err::read_to_string(folder(id).join(name)).unwrap();
    let links: Vec<String> = ids.iter().map(|id| read(id, "link")).collect();
    for (id, link) in ids.iter().zip(&links) {
        let target = fs_err::read_link(place.root().join("overlay/l").join(link)).unwrap();
        assert_eq!(target.to_str().unwrap(), format!("../{id}/diff"));
        for (name, mode) in [("diff", 0o555), ("work", 0o700), ("merged", 0o700)] {
            let metadata = fs_err::metadata(folder(id).join(name)).unwrap();
            assert_eq!(metadata.mode() & 0o7777, mode, "{name}");
        }
        assert_eq!(fs_err::metadata(folder(id)).unwrap().mode() & 0o7777, 0o700);
    }
    assert!(folder(&ids[0]).join("empty").is_dir());
    assert!(!folder(&ids[0]).join("lower").exists());
    assert!(!folder(&ids[1]).join("empty").exists());
    assert_eq!(read(&ids[1], "lower"), format!("l/{}", links[0]));
    assert_eq!(read(&ids[2], "lower"), format!("l/{}:l/{}", links[1], links[0]));
    assert_eq!(read(&ids[2], "lower-layers"), format!("{}:{}", ids[1], ids[0]));
    place.check();
}

#[test]
fn a_layer_that_is_there_is_left_as_it_is() {
    only_root!();
    for driver in DRIVERS {
        let place = Place::new(driver);
        let store = place.store();
        let id = put(&store, None, &crate::support::Tar::new().file("a", b"1").end()).unwrap();
        let before = fs_err::metadata(place.files(&id)).unwrap().ino();
        let list = place.list("layers");
        let again = put(&store, None, &crate::support::Tar::new().file("a", b"1").end()).unwrap();
        assert_eq!(id, again);
        assert_eq!(fs_err::metadata(place.files(&id)).unwrap().ino(), before);
        assert_eq!(place.list("layers"), list);
        place.check();
    }
}

#[test]
fn what_cannot_be_a_layer_leaves_nothing() {
    only_root!();
    for driver in DRIVERS {
        let place = Place::new(driver);
        let store = place.store();
        let tar = crate::support::Tar::new().file("a", b"1").end();
        let lower = put(&store, None, &tar).unwrap();
        let other = Digest::sha256(b"other");
        let new = NewLayer { expected_diff: Some(other), ..NewLayer::default() };
        let error = store.put_layer(new, tar.as_slice()).unwrap_err();
        assert_eq!(error.class(), Some(ErrorClass::DigestMismatch), "{error}");

        let error = put(&store, Some(&"0".repeat(64)), &tar).unwrap_err();
        assert!(matches!(error, Error::LayerUnknown { .. }), "{error}");
        for hostile in ["..", "a/../../b", "", "/etc"] {
            assert!(put(&store, Some(hostile), &tar).is_err(), "{hostile}");
            let new = NewLayer { id: Some(hostile.to_owned()), ..NewLayer::default() };
            assert!(store.put_layer(new, tar.as_slice()).is_err(), "{hostile}");
        }
        let cut = crate::support::Tar::new().file("a", &[1; 5000]).end();
        assert!(put(&store, Some(&lower), &cut[..2000]).is_err());
        place.check();
        assert_eq!(place.list("layers").len(), 1);
    }
}

/// A layer that is staged is gone with whoever staged it; it was never seen.
#[test]
fn what_is_staged_and_dropped_was_never_there() {
    only_root!();
    for driver in DRIVERS {
        let place = Place::new(driver);
        let store = place.store();
        let staged = store.stage(&Below::Nothing, base().as_slice());
        let Ok(staged) = staged else { skip!("devices are for root") };
        assert_eq!(*staged.diff_digest(), Digest::sha256(&base()));
        assert!(store.layers_by_diff_digest(staged.diff_digest()).unwrap().is_empty());
        drop(staged);
        place.check();
    }
}

/// Threads and clones of one store, and other stores on the same folder.
#[test]
fn many_at_once_write_a_layer_once() {
    only_root!();
    for driver in DRIVERS {
        let place = Place::new(driver);
        let barrier = Barrier::new(6);
        let shared = place.store();
        std::thread::scope(|scope| {
            for number in 0..6_u64 {
                let store = if number % 2 == 0 { shared.clone() } else { place.store() };
                let barrier = &barrier;
                scope.spawn(move || {
                    let tar = crate::support::Tar::new().file("a", b"1").end();
                    barrier.wait();
                    let lower = put(&store, None, &tar).unwrap();
                    let own = crate::support::Tar::new().file("b", &number.to_le_bytes()).end();
                    let upper = put(&store, Some(&lower), &own).unwrap();
                    store.layer_tar(&upper, std::io::sink()).unwrap();
                });
            }
        });
        assert_eq!(place.list("layers").len(), 7);
        place.check();
    }
}

/// Where layers are mounted by a program, whiteouts are files, also for who does not know.
#[test]
fn a_mount_program_is_remembered() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let mut options = place.options();
    options.mount_program = true;
    let store = Store::open(options).unwrap();
    let flag = place.root().join("overlay/.has-mount-program");
    assert_eq!(fs_err::read_to_string(&flag).unwrap(), "true");
    assert_eq!(fs_err::metadata(&flag).unwrap().mode() & 0o7777, 0o600);
    let lower = put(&store, None, &base()).unwrap();
    for store in [store, place.store()] {
        let tar = crate::support::Tar::new().file("etc/.wh.b", b"").end();
        let upper = put(&store, Some(&lower), &tar).unwrap();
        assert!(place.files(&upper).join("etc/.wh.b").exists());
        place.check();
        // Only the first of both makes it; the next layer is another.
        let tar = crate::support::Tar::new().file(".wh.gone", b"").end();
        let upper = put(&store, Some(&upper), &tar).unwrap();
        assert!(place.files(&upper).join(".wh.gone").exists());
    }
}

/// With a forced mode, the root of a layer has it too, and a note of the true one.
#[test]
fn a_forced_mode_is_noted_at_the_root() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let mut options = place.options();
    options.force_mask = Some(0o700);
    let store = Store::open(options).unwrap();
    let lower = put(&store, None, &base()).unwrap();
    let upper = put(&store, Some(&lower), &changes()).unwrap();
    for id in [&lower, &upper] {
        let root = place.files(id);
        assert_eq!(fs_err::metadata(&root).unwrap().mode() & 0o7777, 0o700);
        let mut note = [0; 100];
        let name = "user.containers.override_stat";
        let length = rustix::fs::lgetxattr(&root, name, &mut note).unwrap();
        assert_eq!(note[..length].escape_ascii().to_string(), "0:0:0755:dir");
    }
    place.check();
}

/// The files of a layer are looked at when it is read.
#[test]
fn a_layer_that_was_changed_fails() {
    only_root!();
    for driver in DRIVERS {
        let place = Place::new(driver);
        let store = place.store();
        let tar = crate::support::Tar::new().file("a", b"12").end();
        let id = put(&store, None, &tar).unwrap();
        fs_err::write(place.files(&id).join("a"), b"13").unwrap();
        let error = store.layer_tar(&id, std::io::sink()).unwrap_err();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        assert!(text.contains("file integrity checksum failed for \"a\""), "{text}");
        assert_eq!(error.class(), Some(ErrorClass::DigestMismatch));
        fs_err::remove_file(place.files(&id).join("a")).unwrap();
        assert!(store.layer_tar(&id, std::io::sink()).is_err());
    }
}
