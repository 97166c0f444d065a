//! What a store cannot hold is refused before anything is read of it or written there.

use skopeo_image::Digest;
use skopeo_testkit::tar::Member;
use skopeo_testkit::{Tar, skip};

use super::{DRIVERS, Place, lacking};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Writes an image of one layer as a folder; its name.
fn folder(place: &Place, name: &str, config_type: &str, layer_type: &str) -> String {
    let tar = Tar::new().member(&Member::file("a", "abc")).end();
    let layer = Digest::sha256(&tar);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},
            "rootfs":{{"type":"layers","diff_ids":["{layer}"]}}}}"#
    );
    let config_digest = Digest::sha256(config.as_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
            "config":{{"mediaType":"{config_type}","digest":"{config_digest}","size":{}}},
            "layers":[{{"mediaType":"{layer_type}","digest":"{layer}","size":{}}}]}}"#,
        config.len(),
        tar.len()
    );
    let folder = place.home.path("work/images").join(name);
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::write(folder.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    fs_err::write(folder.join("manifest.json"), manifest).unwrap();
    fs_err::write(folder.join(layer.hex()), tar).unwrap();
    fs_err::write(folder.join(config_digest.hex()), config).unwrap();
    format!("dir:images/{name}")
}

/// Takes the layers and the config of an image away: who reads one fails for another reason.
fn empty(place: &Place, name: &str) {
    for entry in fs_err::read_dir(place.home.path("work/images").join(name)).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().len() == 64 {
            fs_err::remove_file(entry.path()).unwrap();
        }
    }
}

#[test]
fn what_a_store_cannot_hold_is_refused_before_it_is_read() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    let encrypted = format!("{TAR}+encrypted");
    let artifact = "unsupported image-specific operation on artifact with type";
    let kinds = [
        ("encrypted", CONFIG, encrypted.as_str(), "would come encrypted", "--decryption-key"),
        ("json", CONFIG, "application/vnd.in-toto+json", "is no tar: its type is", "as it is"),
        ("picture", CONFIG, "image/png", "is no tar: its type is image/png", "as it is"),
        ("artifact", "application/vnd.oci.empty.v1+json", TAR, artifact, "as it is"),
    ];
    for driver in DRIVERS {
        for (name, config_type, layer_type, sentence, hint) in kinds {
            let place = Place::new(driver);
            let from = folder(&place, name, config_type, layer_type);
            empty(&place, name);
            let sync = ["sync", "--src", "dir", "--dest", "containers-storage"];
            let sync = |more: &[&'static str]| [&sync[..], more, &["images", ""]].concat();
            for arguments in [
                vec!["copy", &from, "containers-storage:h.io/a:1"],
                sync(&[]),
                sync(&["--dry-run"]),
            ] {
                let run = place.skopeo(&arguments).failure(1);
                assert!(run.stderr.contains(sentence), "{arguments:?}: {run}");
                assert!(run.stderr.contains(hint), "{arguments:?}: {run}");
            }
            assert!(place.list("images").is_empty() && place.list("layers").is_empty());
            assert!(place.folders().is_empty());
        }
    }
}

/// Nor is a layer encrypted on its way into a store.
#[test]
fn nothing_is_encrypted_into_a_store() {
    if let Some(lack) = lacking(&["openssl"]) {
        skip!("{lack}");
    }
    let place = Place::new("overlay");
    let from = folder(&place, "plain", CONFIG, TAR);
    empty(&place, "plain");
    let key = place.home.work("key.pem");
    place.ask("openssl", &["genrsa", "-out", &key, "2048"]);
    let public = place.home.work("public.pem");
    place.ask("openssl", &["rsa", "-in", &key, "-pubout", "-out", &public]);
    let recipient = format!("jwe:{public}");
    let copy = ["copy", "--encryption-key", &recipient, &from, "containers-storage:h.io/a:1"];
    let run = place.skopeo(&copy).failure(1);
    assert!(run.stderr.contains("would come encrypted"), "{run}");
    assert!(place.list("layers").is_empty());
}

/// A type that says nothing of the form of the bytes, and a layer of which it is said that it lies
/// elsewhere, are tried, as in the original.
#[test]
fn other_types_are_tried() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    for driver in DRIVERS {
        let place = Place::new(driver);
        for (name, layer_type) in [
            ("none", ""),
            ("odd", "application/vnd.example.layer"),
            ("chart", "application/vnd.example.json.v1.tar"),
            ("foreign", "application/vnd.oci.image.layer.nondistributable.v1.tar"),
        ] {
            let from = folder(&place, name, CONFIG, layer_type);
            let to = format!("containers-storage:h.io/{name}:1");
            place.skopeo(&["copy", &from, &to]).success();
        }
        assert_eq!(place.list("layers").len(), 1);
    }
}

/// Of several places only the store is left out.
#[test]
fn other_places_get_what_a_store_cannot_hold() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    let place = Place::new("vfs");
    folder(&place, "json", CONFIG, "application/vnd.in-toto+json");
    let run = place
        .skopeo(&["sync", "--src=dir", "--to=oci:out", "--to=containers-storage:", "images"])
        .failure(1);
    assert!(run.stderr.contains("is no tar: its type is"), "{run}");
    assert!(place.home.path("work/out/index.json").exists(), "{run}");
    assert!(place.list("images").is_empty());
}
