//! What reuse proves: docs/decisions/reuse.md, as tests.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use skopeo_image::{Classify as _, Digest, Which};
use skopeo_transport::{
    ArchiveError, CollectionKind, Destination, Error, FormatError, How, InvalidFile, Role, Stored,
    TarWriteError, Wish, create, open,
};

use crate::collection::{Many, destination};
use crate::sample::{blob, descriptor};
use crate::{Place, Sample};

/// The places in folders, with what is above the files of blobs.
async fn places() -> Vec<(&'static str, Place, &'static str)> {
    let mut archive = Place::archive().await;
    archive.options.layout.shared_blob_dir = Some(archive.folder.path().join("shared"));
    vec![
        ("dir", Place::dir().await, "image"),
        ("layout", Place::layout().await, "image/blobs/sha256"),
        ("shared", Place::layout_with_shared_blobs().await, "shared/sha256"),
        ("archive", archive, "shared/sha256"),
    ]
}

async fn reuse(to: &dyn Destination, bytes: &Bytes) -> Option<Stored> {
    let wanted = descriptor(bytes);
    let from = to.name().clone();
    let wish = Wish { blob: &wanted, role: Role::Layer(0), from: Some(&from) };
    to.reuse(&wish).await.unwrap()
}

fn file_in(place: &Place, folder: &str, bytes: &Bytes) -> PathBuf {
    place.folder.path().join(folder).join(Digest::sha256(bytes).hex())
}

/// As many bytes, and others.
fn others(bytes: &Bytes) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

/// Writes to a file, which looks as old as before.
fn write_secretly(path: &Path, bytes: &[u8]) {
    let time = fs_err::metadata(path).unwrap().modified().unwrap();
    let file = fs_err::OpenOptions::new().write(true).truncate(true).open(path).unwrap();
    std::io::Write::write_all(&mut file.file(), bytes).unwrap();
    file.file().set_modified(time).unwrap();
}

#[tokio::test]
async fn bytes_get_a_new_name_only_if_they_are_right() {
    for (what, place, folder) in places().await {
        let sample = Sample::new(1);
        sample.put(place.create().await).await.unwrap();
        let (good, bad) = (&sample.layers[0], &sample.layers[1]);
        write_secretly(&file_in(&place, folder, bad), &others(bad));
        let to = place.create().await;
        let stored = reuse(&*to, good).await.unwrap();
        assert_eq!((stored.size, stored.how), (good.len() as u64, How::Present), "{what}");
        assert_eq!(reuse(&*to, bad).await, None, "{what}: damaged");
        // What comes instead mends it.
        to.put_blob(blob(bad), Role::Layer(1)).await.unwrap();
        assert!(reuse(&*to, bad).await.is_some(), "{what}: written by this run");
        assert_eq!(fs_err::read(file_in(&place, folder, bad)).unwrap(), *bad, "{what}");
        // What this run has written is not believed either, once others have been at it.
        write_secretly(&file_in(&place, folder, bad), &others(bad));
        assert_eq!(reuse(&*to, bad).await, None, "{what}: damaged meanwhile");
    }
}

#[tokio::test]
async fn a_link_is_no_blob() {
    for (what, place, folder) in places().await {
        let sample = Sample::new(1);
        sample.put(place.create().await).await.unwrap();
        let layer = &sample.layers[0];
        let file = file_in(&place, folder, layer);
        let outside = place.folder.path().join("outside");
        fs_err::rename(&file, &outside).unwrap();
        symlink(&outside, &file).unwrap();
        let to = place.create().await;
        assert_eq!(reuse(&*to, layer).await, None, "{what}");
        to.put_blob(blob(layer), Role::Layer(0)).await.unwrap();
        assert!(file.is_file() && !file.is_symlink(), "{what}: in the place of the link");
        assert_eq!(fs_err::read(&outside).unwrap(), *layer, "{what}");
    }
}

#[tokio::test]
async fn nothing_is_written_where_links_in_a_layout_lead() {
    for (place, links) in [
        (Place::layout().await, ["image/blobs", "image/blobs/sha256"]),
        (Place::layout_with_shared_blobs().await, ["shared/sha256", "shared/sha512"]),
    ] {
        for link in links {
            let link = place.folder.path().join(link);
            let outside = place.folder.path().join("outside");
            fs_err::create_dir_all(link.parent().unwrap()).unwrap();
            fs_err::create_dir_all(&outside).unwrap();
            symlink(&outside, &link).unwrap();
            let error = create(&place.name, &place.options).await.err().unwrap();
            assert!(matches!(error, Error::File(InvalidFile::Link(_))), "{error}");
            assert!(error.hint().is_some());
            assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
            fs_err::remove_file(&link).unwrap();
        }
    }
    // Nor is a lock made there.
    let place = Place::layout().await;
    fs_err::create_dir(place.folder.path().join("image")).unwrap();
    let victim = place.folder.path().join("victim");
    symlink(&victim, place.folder.path().join("image/.lock")).unwrap();
    assert!(Sample::new(1).put(place.create().await).await.is_err());
    assert!(!victim.exists());
}

#[tokio::test]
async fn nothing_is_read_where_links_in_a_layout_lead() {
    let place = Place::layout().await;
    let sample = Sample::new(1);
    sample.put(place.create().await).await.unwrap();
    let blobs = place.folder.path().join("image/blobs");
    for link in ["", "sha256"] {
        let link = blobs.join(link);
        let away = place.folder.path().join("away");
        fs_err::rename(&link, &away).unwrap();
        symlink(&away, link.to_str().unwrap().trim_end_matches('/')).unwrap();
        let source = place.open().await.unwrap();
        assert!(source.manifest(&Which::Top).await.is_err());
        assert!(source.blob(&descriptor(&sample.layers[0])).await.is_err());
        fs_err::remove_file(link.to_str().unwrap().trim_end_matches('/')).unwrap();
        fs_err::rename(&away, &link).unwrap();
    }
    sample.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
}

#[tokio::test]
async fn an_image_that_stays_is_believed_by_names_and_lengths_but_its_manifests_are_read() {
    for place in [Place::layout().await, Place::layout_with_shared_blobs().await] {
        let folder = match place.options.layout.shared_blob_dir {
            Some(_) => "shared/sha256",
            None => "image/blobs/sha256",
        };
        let sample = Sample::new(1);
        sample.put(place.create().await).await.unwrap();
        let present = async || place.create().await.present().await.unwrap();
        assert_eq!(present().await, Some(sample.digest()));
        let layer = file_in(&place, folder, &sample.layers[0]);
        write_secretly(&layer, &others(&sample.layers[0]));
        assert_eq!(present().await, Some(sample.digest()), "nothing new is said of it");
        write_secretly(&layer, b"short");
        assert_eq!(present().await, None);
        write_secretly(&layer, &sample.layers[0]);
        assert_eq!(present().await, Some(sample.digest()));
        let away = place.folder.path().join("away");
        fs_err::rename(&layer, &away).unwrap();
        symlink(&away, &layer).unwrap();
        assert_eq!(present().await, None, "a link");
        fs_err::rename(&away, &layer).unwrap();

        // A manifest that says something else, in as many bytes.
        let bytes = &sample.manifest.bytes;
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let other = text.replacen("schemaVersion\":2", "schemaVersion\":3", 1);
        write_secretly(&file_in(&place, folder, bytes), other.as_bytes());
        assert_eq!(present().await, None);
        // Put again, it is right again.
        sample.put(place.create().await).await.unwrap();
        assert_eq!(fs_err::read(file_in(&place, folder, bytes)).unwrap(), *bytes);
        sample.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
    }
}

#[tokio::test]
async fn a_folder_of_images_links_what_it_has_read_and_nobody_has_touched_since() {
    let many = Many::new(CollectionKind::Dir);
    let sample = Sample::new(1);
    let to = many.open().await;
    sample.put(destination(&*to, "a:1").await).await.unwrap();
    let layer = &sample.layers[0];
    let file = |image: &str| Path::new(&many.place).join(image).join(Digest::sha256(layer).hex());
    // Written by this run, known by this run.
    let second = destination(&*to, "a:2").await;
    assert_eq!(reuse(&*second, layer).await.unwrap().how, How::Linked);
    // Another name is no change of what is known; other bytes are, however old they look.
    let third = destination(&*to, "a:3").await;
    assert_eq!(reuse(&*third, layer).await.unwrap().how, How::Linked);
    write_secretly(&file("a:1"), &others(layer));
    let fourth = destination(&*to, "a:4").await;
    assert_eq!(reuse(&*fourth, layer).await, None);
    assert!(!file("a:4").exists());

    // Another run, and an image of which one blob is damaged: its own folder is not believed either.
    let to = many.open().await;
    let again = destination(&*to, "a:1").await;
    assert_eq!(reuse(&*again, layer).await, None);
    again.put_blob(blob(layer), Role::Layer(0)).await.unwrap();
    assert_eq!(fs_err::read(file("a:1")).unwrap(), *layer);
    let fifth = destination(&*to, "a:5").await;
    assert_eq!(reuse(&*fifth, layer).await.unwrap().how, How::Linked);
    assert_eq!(fs_err::read(file("a:5")).unwrap(), *layer);
}

/// What another program has put there meanwhile is not replaced.
#[tokio::test]
async fn an_archive_that_others_wrote_meanwhile_stays() {
    for kind in ["oci-archive", "docker-archive"] {
        for there_before in [false, true] {
            let place = Place::at(|folder| format!("{kind}:{folder}/image.tar:tag"));
            let sample = |seed| match kind {
                "oci-archive" => Sample::new(seed),
                _ => crate::docker_archive::sample(seed),
            };
            if there_before {
                sample(1).put(place.create().await).await.unwrap();
            }
            let to = place.create().await;
            let file = place.folder.path().join("image.tar");
            let new = place.folder.path().join("new");
            fs_err::write(&new, "of somebody else").unwrap();
            fs_err::rename(&new, &file).unwrap();
            let error = sample(2).put(to).await.unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Format(FormatError::Archive(ArchiveError::Write(
                        TarWriteError::Changed(_)
                    )))
                ),
                "{kind}: {error}"
            );
            assert!(error.hint().is_some());
            assert_eq!(fs_err::read(&file).unwrap(), b"of somebody else", "{kind}");
            assert_eq!(place.files(), ["image.tar"], "{kind}");
            // And is not what an image could be added to.
            let error = open(&place.name, &place.options).await.err();
            assert!(error.is_some(), "{kind}");
        }
    }
}
