//! What every transport promises.

use bytes::Bytes;
use futures_util::future::join_all;
use skopeo_blob::StreamError;
use skopeo_image::{Digest, Signature, SignatureKind, Which};
use skopeo_transport::{Error, How, Role, Wish};

use crate::sample::{blob, descriptor, unverified};
use crate::{Place, Sample};

macro_rules! for_every_place {
    ($($law:ident)*) => {
        $(mod $law {
            #[tokio::test]
            async fn dir() {
                super::$law(crate::Place::dir().await).await;
            }
            #[tokio::test]
            async fn docker() {
                super::$law(crate::Place::docker().await).await;
            }
            #[tokio::test]
            async fn archive() {
                super::$law(crate::Place::archive().await).await;
            }
            #[tokio::test]
            async fn bucket() {
                super::$law(crate::Place::bucket().await).await;
            }
            #[tokio::test]
            async fn google_bucket() {
                super::$law(crate::Place::google_bucket().await).await;
            }
            #[tokio::test]
            async fn plain_bucket() {
                super::$law(crate::Place::plain_bucket().await).await;
            }
            #[tokio::test]
            async fn layout() {
                super::$law(crate::Place::layout().await).await;
            }
            #[tokio::test]
            async fn layout_with_shared_blobs() {
                super::$law(crate::Place::layout_with_shared_blobs().await).await;
            }
        })*
    };
}

/// The laws that hold where what was in layers is kept, but not their blobs.
macro_rules! for_stores {
    ($($law:ident)*) => {
        mod stores {
            $(mod $law {
                #[tokio::test]
                async fn overlay() {
                    let Some(place) = crate::Place::store("overlay") else { return };
                    super::super::$law(place).await;
                }
                #[tokio::test]
                async fn vfs() {
                    let Some(place) = crate::Place::store("vfs") else { return };
                    super::super::$law(place).await;
                }
            })*
        }
    };
}

for_stores! {
    what_was_written_reads_back
    signatures_read_back
    nothing_is_visible_before_the_commit
    the_old_image_stays_until_the_commit
    a_corrupt_stream_leaves_nothing
    an_abandoned_copy_leaves_no_image
    reuse_never_lies
    puts_of_one_digest_at_once_are_one_blob
    a_commit_of_another_manifest_is_refused
    what_is_present_is_whole
}

for_every_place! {
    what_was_written_reads_back
    lists_read_back
    signatures_read_back
    nothing_is_visible_before_the_commit
    the_old_image_stays_until_the_commit
    a_corrupt_stream_leaves_nothing
    an_abandoned_copy_leaves_no_image
    reuse_never_lies
    puts_of_one_digest_at_once_are_one_blob
    a_commit_of_another_manifest_is_refused
    what_is_present_is_whole
}

async fn what_was_written_reads_back(place: Place) {
    let sample = place.sample(1);
    sample.put(place.create().await).await.unwrap();
    let source = place.open().await.unwrap();
    if !place.is_store() {
        assert_eq!(source.name(), &place.name);
    }
    sample.assert_in(&*source, &Which::Top).await;
    if let Some(digest) = source.head().await.unwrap().map(|head| head.digest) {
        assert_eq!(digest, sample.digest());
    }
}

async fn lists_read_back(place: Place) {
    let instances = [place.sample(1), place.sample(2)];
    let index = Sample::index(&instances);
    let to = place.create().await;
    for instance in &instances {
        instance.put_blobs(&*to).await.unwrap();
        to.put_manifest(&instance.manifest, &Which::Instance(instance.digest())).await.unwrap();
    }
    to.put_manifest(&index, &Which::Top).await.unwrap();
    to.commit(&index).await.unwrap();

    let source = place.open().await.unwrap();
    assert_eq!(source.manifest(&Which::Top).await.unwrap(), index);
    for instance in &instances {
        instance.assert_in(&*source, &Which::Instance(instance.digest())).await;
    }
    let missing = Which::Instance(Digest::sha256(b"missing"));
    assert!(source.manifest(&missing).await.is_err());
}

async fn signatures_read_back(place: Place) {
    let sample = place.sample(1);
    let mut signatures: Vec<_> = (0..3)
        .map(|n| Signature::Simple(Bytes::from(vec![0xA3, n])))
        .chain([Signature::Sigstore {
            mime_type: "text/plain".into(),
            payload: Bytes::from_static(b"payload"),
            annotations: [("key".to_owned(), "value".to_owned())].into(),
        }])
        .collect();
    if !place.is_folder() {
        signatures.pop(); // needs to be allowed by configuration
    }
    let to = place.create().await;
    let accepted = to.accepts().signatures;
    sample.put_blobs(&*to).await.unwrap();
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    let put = to.put_signatures(&signatures, &Which::Top).await;
    if let Err(sentence) = accepted.require(SignatureKind::Simple) {
        assert_eq!(put.unwrap_err().to_string(), sentence);
        to.put_signatures(&[], &Which::Top).await.unwrap();
        return;
    }
    put.unwrap();
    to.commit(&sample.manifest).await.unwrap();
    let source = place.open().await.unwrap();
    assert_eq!(source.signatures(&Which::Top).await.unwrap(), signatures);
}

async fn nothing_is_visible_before_the_commit(place: Place) {
    let sample = place.sample(1);
    let to = place.create().await;
    assert!(!place.has_image().await);
    sample.put_blobs(&*to).await.unwrap();
    assert!(!place.has_image().await);
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    assert_eq!(place.has_image().await, !place.is_folder());
    to.commit(&sample.manifest).await.unwrap();
    assert!(place.has_image().await);
}

async fn the_old_image_stays_until_the_commit(place: Place) {
    let (old, new) = (place.sample(1), place.sample(2));
    old.put(place.create().await).await.unwrap();
    let to = place.create().await;
    new.put_blobs(&*to).await.unwrap();
    old.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
    to.put_manifest(&new.manifest, &Which::Top).await.unwrap();
    if place.is_folder() {
        old.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
    }
    to.commit(&new.manifest).await.unwrap();
    new.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
}

async fn a_corrupt_stream_leaves_nothing(place: Place) {
    let bytes = place.sample(1).layers.remove(1);
    let other = Digest::sha256(b"other");
    let to = place.create().await;
    let before = place.files();
    for (blob, expected) in [
        (unverified(&bytes).expect(&other, None), "Digest did not match"),
        (unverified(&bytes.slice(1..)).expect(&Digest::sha256(&bytes), None), "Digest did not"),
        (unverified(&bytes).expect(&other, Some(5)), "expected 5 bytes"),
    ] {
        let error = to.put_blob(blob, Role::Layer(0)).await.unwrap_err();
        if place.is_store() {
            // What is no tar may show before it shows that the bytes are others.
            assert!(!place.files().iter().any(|file| file.contains("temp-dir-")), "{error}");
            continue;
        }
        assert!(matches!(
            error,
            Error::Stream(StreamError::Digest { .. } | StreamError::Size { .. })
        ));
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(place.files(), before);
    }
    let wanted = descriptor(&bytes);
    let wish = Wish { blob: &wanted, role: Role::Layer(0), from: Some(&place.name) };
    assert_eq!(to.reuse(&wish).await.unwrap(), None);
}

async fn an_abandoned_copy_leaves_no_image(place: Place) {
    let sample = place.sample(1);
    for dropped in [false, true] {
        let to = place.create().await;
        sample.put_blobs(&*to).await.unwrap();
        if place.is_folder() {
            to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
        }
        if dropped {
            drop(to);
        } else {
            to.abandon().await;
        }
        assert!(!place.has_image().await);
        assert!(!place.files().iter().any(|file| file.contains("put-blob")));
    }
    if place.is_store() {
        assert!(!place.files().iter().any(|file| file.contains("temp-dir-")));
        return;
    }
    if !place.keeps_blobs() {
        assert!(place.files().is_empty());
        return;
    }
    // And the next copy goes on from the blobs that are whole.
    let to = place.create().await;
    for (bytes, role) in sample.blobs() {
        let wanted = descriptor(&bytes);
        let wish = Wish { blob: &wanted, role, from: Some(&place.name) };
        let stored = to.reuse(&wish).await.unwrap().unwrap();
        assert_eq!((stored.digest, stored.how), (wanted.digest, How::Present));
    }
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    to.commit(&sample.manifest).await.unwrap();
    sample.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
}

async fn reuse_never_lies(place: Place) {
    let sample = place.sample(1);
    let to = place.create().await;
    let mut wanted = descriptor(&sample.layers[0]);
    let from = place.name.clone();
    let role = Role::Layer(0);
    let wish = Wish { blob: &wanted, role, from: Some(&from) };
    assert_eq!(to.reuse(&wish).await.unwrap(), None);
    to.put_blob(blob(&sample.layers[0]), role).await.unwrap();
    assert!(to.reuse(&wish).await.unwrap().is_some());
    wanted.size = Some(3);
    let wish = Wish { blob: &wanted, role, from: Some(&from) };
    assert_eq!(to.reuse(&wish).await.unwrap(), None);
}

async fn puts_of_one_digest_at_once_are_one_blob(place: Place) {
    let sample = place.sample(1);
    let to = place.create().await;
    let puts = (0..8).map(|n| to.put_blob(blob(&sample.layers[1]), Role::Layer(n)));
    for stored in join_all(puts).await {
        assert_eq!(stored.unwrap().digest, Digest::sha256(&sample.layers[1]));
    }
    if place.is_folder() && !place.is_store() {
        let hex = Digest::sha256(&sample.layers[1]).hex().to_owned();
        let files = place.files();
        let count = usize::from(place.keeps_blobs());
        assert_eq!(files.iter().filter(|file| file.contains(&hex)).count(), count);
        assert!(!files.iter().any(|file| file.contains("put-blob")));
    }
    sample.put(to).await.unwrap();
    sample.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
}

async fn a_commit_of_another_manifest_is_refused(place: Place) {
    let (sample, other) = (place.sample(1), place.sample(2));
    let to = place.create().await;
    sample.put_blobs(&*to).await.unwrap();
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    assert!(to.commit(&other.manifest).await.is_err());
    assert_eq!(place.has_image().await, !place.is_folder());
}

async fn what_is_present_is_whole(place: Place) {
    let sample = place.sample(1);
    assert_eq!(place.create().await.present().await.unwrap(), None);
    sample.put(place.create().await).await.unwrap();
    let Some(digest) = place.create().await.present().await.unwrap() else { return };
    assert_eq!(digest, sample.digest());
    // In a bucket, that an image has its name says that it is whole.
    let is_folder = place.is_folder() && place.store.is_none() && !place.is_store();
    if !is_folder || place.name.transport() == "oci-archive" {
        return;
    }
    let hex = Digest::sha256(&sample.layers[0]).hex().to_owned();
    let file = place.files().into_iter().find(|file| file.ends_with(&hex)).unwrap();
    fs_err::write(place.folder.path().join(file), "short").unwrap();
    assert_eq!(place.create().await.present().await.unwrap(), None);
}
