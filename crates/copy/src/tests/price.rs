//! What copies would take.

use bytes::Bytes;
use skopeo_image::{Digest, MediaType, RawManifest};
use skopeo_transport::LayerForm;
use skopeo_trust::Policy;

use super::shelf::{Builder, FakeDestination, FakeSource, Kind, gzip, tar};
use super::{request, session};
use crate::{Amount, Book, Change, Lists, Price, Request, price};

fn layer(seed: u8) -> (&'static MediaType, Bytes) {
    (&MediaType::OCI_LAYER_GZIP, gzip(&tar(seed, 5000)))
}

/// An image with layers of these seeds.
fn image(seeds: &[u8]) -> (FakeSource, RawManifest) {
    let mut builder = Builder::new();
    let layers: Vec<_> = seeds.iter().map(|seed| layer(*seed)).collect();
    let image = builder.image(Kind::Oci, &layers);
    (builder.top(&image), image)
}

fn bytes(seed: u8) -> u64 {
    layer(seed).1.len() as u64
}

fn in_place(room: &'static str) -> FakeDestination {
    FakeDestination { place: Some(("pool", room)), ..FakeDestination::new() }
}

async fn priced(
    source: &FakeSource,
    destination: &FakeDestination,
    request: &Request,
    book: &Book,
) -> Price {
    let session = session(&std::sync::Arc::default());
    let policy = Policy::insecure();
    let price = price(&session, source, destination, &policy, request, book).await.unwrap();
    let state = destination.state();
    assert!(state.log.iter().all(|done| done == "present" || done.starts_with("holds")));
    assert_eq!(source.asked("blob"), 0);
    price
}

#[tokio::test]
async fn what_is_there_is_not_sent() {
    let (source, image) = image(&[1, 2]);
    let destination = FakeDestination::new();
    destination.state().blobs.insert(Digest::sha256(&layer(1).1), layer(1).1);
    let price = priced(&source, &destination, &request(), &Book::default()).await;
    assert_eq!(price.change, Change::New);
    assert_eq!(price.source, image.digest().unwrap());
    assert_eq!(price.present, Amount { blobs: 1, bytes: bytes(1) });
    assert_eq!(price.send.blobs, 2); // a layer and the config
    assert_eq!(price.send, price.fetch);
    assert_eq!((price.mount.blobs, price.requests, price.exact), (0, 0, true));
}

#[tokio::test]
async fn the_same_is_unchanged_and_another_changed() {
    let (source, image) = image(&[1]);
    let book = Book::default();
    for (digest, change) in
        [(image.digest().unwrap(), Change::Unchanged), (Digest::sha256(b""), Change::Changed)]
    {
        let destination = FakeDestination { present: Some(digest.clone()), ..in_place("a") };
        let price = priced(&source, &destination, &request(), &book).await;
        assert_eq!(price.change, change);
        assert_eq!(price.destination, Some(digest));
        // HEAD; HEAD, POST and PUT for two blobs, and PUT.
        assert_eq!(price.requests, if change == Change::Unchanged { 1 } else { 8 });
        assert_eq!(price.send.blobs, if change == Change::Unchanged { 0 } else { 2 });
    }
}

#[tokio::test]
async fn what_an_earlier_image_brings_is_found_by_the_next() {
    let book = Book::default();
    let (first, _) = image(&[1, 2]);
    let (second, _) = image(&[1, 3]);
    let sent = priced(&first, &in_place("a"), &request(), &book).await;
    assert_eq!((sent.send.blobs, sent.mount.blobs, sent.present.blobs), (3, 0, 0));
    let same_room = priced(&second, &in_place("a"), &request(), &book).await;
    assert_eq!((same_room.send.blobs, same_room.mount.blobs), (2, 0));
    assert_eq!(same_room.present, Amount { blobs: 1, bytes: bytes(1) });
    let other_room = priced(&first, &in_place("b"), &request(), &book).await;
    assert_eq!(
        (other_room.send.blobs, other_room.mount.blobs, other_room.present.blobs),
        (0, 3, 0)
    );
    let again = priced(&first, &in_place("b"), &request(), &book).await;
    assert_eq!((again.send.blobs, again.mount.blobs, again.present.blobs), (0, 0, 3));
}

#[tokio::test]
async fn of_a_list_all_or_the_systems() {
    let mut builder = Builder::new();
    let amd64 = builder.image(Kind::Oci, &[layer(1), layer(2)]);
    let arm64 = builder.image(Kind::Oci, &[layer(1), layer(3)]);
    let list = builder.list(Kind::Oci, &[("amd64", &amd64), ("arm64", &arm64)]);
    let source = builder.top(&list);
    // The layer that both share counts once.
    for (lists, sent) in [(Lists::System, 3), (Lists::All, 5), (Lists::IndexOnly, 0)] {
        let request = Request { lists: lists.clone(), ..request() };
        let price = priced(&source, &FakeDestination::new(), &request, &Book::default()).await;
        assert_eq!(price.send.blobs, sent, "{lists:?}");
        assert_eq!(price.source, list.digest().unwrap());
    }
    for (lists, there) in [(Lists::System, &amd64), (Lists::All, &list)] {
        let request = Request { lists, ..request() };
        let digest = there.digest().unwrap();
        let destination = FakeDestination { present: Some(digest), ..FakeDestination::new() };
        let price = priced(&source, &destination, &request, &Book::default()).await;
        assert_eq!(price.change, Change::Unchanged);
        assert_eq!(price.fetch, Amount::default());
    }
}

#[tokio::test]
async fn what_is_packed_anew_is_not_known_exactly() {
    let (source, _) = image(&[1]);
    let destination = FakeDestination::wanting(LayerForm::Uncompressed);
    destination.state().blobs.insert(Digest::sha256(&layer(1).1), layer(1).1);
    let price = priced(&source, &destination, &request(), &Book::default()).await;
    assert!(!price.exact);
    assert_eq!(price.fetch.blobs, 2);
}

#[tokio::test]
async fn a_list_without_instances_is_refused_as_a_copy_would() {
    let mut builder = Builder::new();
    let image = builder.image(Kind::Oci, &[layer(1)]);
    let list = builder.list(Kind::Oci, &[("amd64", &image)]);
    let source = builder.top(&list);
    let policy = Policy::parse(br#"{"default":[{"type":"reject"}]}"#, "p").unwrap();
    for lists in [Lists::IndexOnly, Lists::All] {
        let destination = FakeDestination { sparse: true, ..FakeDestination::new() };
        let request = Request { lists, ..request() };
        let session = session(&std::sync::Arc::default());
        let book = Book::default();
        let price = price(&session, &source, &destination, &policy, &request, &book).await;
        let error = price.unwrap_err();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(why) = cause {
            text = format!("{text}: {why}");
            cause = why.source();
        }
        assert!(text.contains("Source image rejected: Running image oci:/"), "{text}");
    }
}
