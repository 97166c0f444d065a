//! What copies would take.

use bytes::Bytes;
use skopeo_image::{Digest, MediaType, RawManifest};
use skopeo_transport::LayerForm;
use skopeo_trust::Policy;

use super::memory::{Builder, FakeDestination, FakeSource, ImageKind, gzip, tar};
use super::{request, session};
use crate::{Amount, Change, Forecast, ImageEstimate, Lists, Request, estimate};

fn layer(seed: u8) -> (&'static MediaType, Bytes) {
    (&MediaType::OCI_LAYER_GZIP, gzip(&tar(seed, 5000)))
}

/// An image with layers of these seeds.
fn image(seeds: &[u8]) -> (FakeSource, RawManifest) {
    let mut builder = Builder::new();
    let layers: Vec<_> = seeds.iter().map(|seed| layer(*seed)).collect();
    let image = builder.image(ImageKind::Oci, &layers);
    (builder.top(&image), image)
}

fn bytes(seed: u8) -> u64 {
    layer(seed).1.len() as u64
}

fn in_place(room: &'static str) -> FakeDestination {
    FakeDestination { place: Some(("pool", room)), ..FakeDestination::new() }
}

async fn estimated(
    source: &FakeSource,
    destination: &FakeDestination,
    request: &Request,
    forecast: &Forecast,
) -> ImageEstimate {
    let session = session(&std::sync::Arc::default());
    let policy = Policy::insecure();
    let estimate =
        estimate(&session, source, destination, &policy, request, forecast).await.unwrap();
    let state = destination.state();
    assert!(state.log.iter().all(|done| done == "present" || done.starts_with("holds")));
    assert_eq!(source.asked("blob"), 0);
    estimate
}

#[tokio::test]
async fn what_is_there_is_not_sent() {
    let (source, image) = image(&[1, 2]);
    let destination = FakeDestination::new();
    destination.state().blobs.insert(Digest::sha256(&layer(1).1), layer(1).1);
    let estimate = estimated(&source, &destination, &request(), &Forecast::default()).await;
    assert_eq!(estimate.change, Change::New);
    assert_eq!(estimate.source, image.digest().unwrap());
    assert_eq!(estimate.present, Amount { blobs: 1, bytes: bytes(1), unknown: 0 });
    assert_eq!(estimate.send.blobs, 2); // a layer and the config
    assert_eq!(estimate.send, estimate.fetch);
    assert_eq!((estimate.mount.blobs, estimate.requests, estimate.exact), (0, 0, true));
}

#[tokio::test]
async fn the_same_is_unchanged_and_another_changed() {
    let (source, image) = image(&[1]);
    let forecast = Forecast::default();
    for (digest, change) in
        [(image.digest().unwrap(), Change::Unchanged), (Digest::sha256(b""), Change::Changed)]
    {
        let destination = FakeDestination { present: Some(digest.clone()), ..in_place("a") };
        let estimate = estimated(&source, &destination, &request(), &forecast).await;
        assert_eq!(estimate.change, change);
        assert_eq!(estimate.destination, Some(digest));
        // HEAD; HEAD, POST and PUT for two blobs, and PUT.
        assert_eq!(estimate.requests, if change == Change::Unchanged { 1 } else { 8 });
        assert_eq!(estimate.send.blobs, if change == Change::Unchanged { 0 } else { 2 });
    }
}

#[tokio::test]
async fn what_an_earlier_image_brings_is_found_by_the_next() {
    let forecast = Forecast::default();
    let (first, _) = image(&[1, 2]);
    let (mut second, _) = image(&[1, 3]);
    second.name = skopeo_transport::ImageName::parse("oci:/:second").unwrap();
    let sent = estimated(&first, &in_place("a"), &request(), &forecast).await;
    assert_eq!((sent.send.blobs, sent.mount.blobs, sent.present.blobs), (3, 0, 0));
    let same_room = estimated(&second, &in_place("a"), &request(), &forecast).await;
    assert_eq!((same_room.send.blobs, same_room.mount.blobs), (2, 0));
    assert_eq!(same_room.present, Amount { blobs: 1, bytes: bytes(1), unknown: 0 });
    let other_room = estimated(&second, &in_place("b"), &request(), &forecast).await;
    // The layer that the first has brought to another room; the others of the second are on their
    // way to both rooms at the same time.
    assert_eq!(
        (other_room.send.blobs, other_room.mount.blobs, other_room.present.blobs),
        (2, 1, 0)
    );
    assert_eq!(other_room.fetch.blobs, 0, "what goes to two places is read once");
    let again = estimated(&second, &in_place("b"), &request(), &forecast).await;
    assert_eq!((again.send.blobs, again.mount.blobs, again.present.blobs), (0, 0, 3));
}

#[tokio::test]
async fn of_a_list_all_or_the_systems() {
    let mut builder = Builder::new();
    let amd64 = builder.image(ImageKind::Oci, &[layer(1), layer(2)]);
    let arm64 = builder.image(ImageKind::Oci, &[layer(1), layer(3)]);
    let index = builder.index(ImageKind::Oci, &[("amd64", &amd64), ("arm64", &arm64)]);
    let source = builder.top(&index);
    // The layer that both share counts once.
    for (lists, sent) in [(Lists::System, 3), (Lists::All, 5), (Lists::IndexOnly, 0)] {
        let request = Request { lists: lists.clone(), ..request() };
        let estimate =
            estimated(&source, &FakeDestination::new(), &request, &Forecast::default()).await;
        assert_eq!(estimate.send.blobs, sent, "{lists:?}");
        assert_eq!(estimate.source, index.digest().unwrap());
    }
    for (lists, there) in [(Lists::System, &amd64), (Lists::All, &index)] {
        let request = Request { lists, ..request() };
        let digest = there.digest().unwrap();
        let destination = FakeDestination { present: Some(digest), ..FakeDestination::new() };
        let estimate = estimated(&source, &destination, &request, &Forecast::default()).await;
        assert_eq!(estimate.change, Change::Unchanged);
        assert_eq!(estimate.fetch, Amount::default());
    }
}

#[tokio::test]
async fn what_is_packed_anew_is_not_known_exactly() {
    let (source, _) = image(&[1]);
    let destination = FakeDestination::wanting(LayerForm::Uncompressed);
    destination.state().blobs.insert(Digest::sha256(&layer(1).1), layer(1).1);
    let estimate = estimated(&source, &destination, &request(), &Forecast::default()).await;
    assert!(!estimate.exact);
    assert_eq!(estimate.fetch.blobs, 2);
}

#[tokio::test]
async fn a_list_without_instances_is_refused_as_a_copy_would() {
    let mut builder = Builder::new();
    let image = builder.image(ImageKind::Oci, &[layer(1)]);
    let index = builder.index(ImageKind::Oci, &[("amd64", &image)]);
    let source = builder.top(&index);
    let policy = Policy::parse(br#"{"default":[{"type":"reject"}]}"#, "p").unwrap();
    for lists in [Lists::IndexOnly, Lists::All] {
        let destination = FakeDestination { sparse: true, ..FakeDestination::new() };
        let request = Request { lists, ..request() };
        let session = session(&std::sync::Arc::default());
        let forecast = Forecast::default();
        let estimate =
            estimate(&session, &source, &destination, &policy, &request, &forecast).await;
        let error = estimate.unwrap_err();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(why) = cause {
            text = format!("{text}: {why}");
            cause = why.source();
        }
        assert!(text.contains("Source image rejected: Running image oci:/"), "{text}");
    }
}
