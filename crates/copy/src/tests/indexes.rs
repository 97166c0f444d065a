//! Lists and their instances.

use skopeo_image::{Manifest, MediaType, Platform, RawManifest, Which, wanted_platforms};
use skopeo_transport::LayerForm;
use skopeo_trust::Policy;

use super::memory::{Builder, FakeDestination, FakeSource, ImageKind, gzip, tar};
use super::{request, run, run_with};
use crate::{Digests, Format, Lists, Outcome, Request};

fn layer(kind: ImageKind) -> &'static MediaType {
    match kind {
        ImageKind::Oci => &MediaType::OCI_LAYER_GZIP,
        ImageKind::Docker => &MediaType::DOCKER_LAYER_GZIP,
    }
}

struct Made {
    source: FakeSource,
    index: RawManifest,
    amd64: RawManifest,
    arm64: RawManifest,
}

/// Two images that share a layer.
fn made(kind: ImageKind) -> Made {
    let mut builder = Builder::new();
    let shared = (layer(kind), gzip(&tar(0, 9000)));
    let amd64 = builder.image(kind, &[shared.clone(), (layer(kind), gzip(&tar(1, 900)))]);
    let arm64 = builder.image(kind, &[shared, (layer(kind), gzip(&tar(2, 900)))]);
    let index = builder.index(kind, &[("amd64", &amd64), ("arm64", &arm64)]);
    let source = builder.top(&index);
    Made { source, index, amd64, arm64 }
}

fn all() -> Request {
    Request { lists: Lists::All, ..request() }
}

#[tokio::test]
async fn all_instances_and_the_very_list() {
    let Made { source, index, amd64, arm64 } = made(ImageKind::Oci);
    let destination = FakeDestination::new();
    let run = run(&source, &destination, &all()).await;
    let lines = run.lines();
    assert_eq!(
        lines[..3],
        [
            "Getting image list signatures".to_owned(),
            "Copying 2 images generated from 2 images in list".to_owned(),
            format!("Copying image {} (1/2)", amd64.digest().unwrap()),
        ]
    );
    assert_eq!(
        lines[lines.len() - 2..],
        ["Writing manifest list to image destination", "Storing list signatures"]
    );
    assert_eq!(run.written(), index);
    let state = destination.state();
    assert_eq!(state.manifests[&Which::Instance(arm64.digest().unwrap())], arm64);
    // A shared layer, one of its own each, and one config each: two layers are equal here.
    assert_eq!(state.log.iter().filter(|it| it.starts_with("blob")).count(), 5);
}

#[tokio::test]
async fn the_systems_instance() {
    let Made { source, amd64, arm64, .. } = made(ImageKind::Docker);
    let destination = FakeDestination::new();
    assert_eq!(run(&source, &destination, &request()).await.written(), amd64);
    let host = Platform::new("linux", "amd64", "");
    let platforms = wanted_platforms(None, Some("arm64"), None, &host);
    let other = Request { platforms, ..request() };
    let mut destination = FakeDestination::new();
    assert_eq!(run(&source, &destination, &other).await.written(), arm64);

    // Once it is there, nothing is done but reading the index.
    destination.present = Some(arm64.digest().unwrap());
    source.asked.lock().unwrap().clear();
    assert_eq!(run(&source, &destination, &other).await.copied().outcome, Outcome::Present);
    assert_eq!((source.asked("manifest"), source.asked("blob")), (1, 0));
    let platforms = wanted_platforms(None, Some("s390x"), None, &host);
    let none = Request { platforms, ..request() };
    assert_eq!(
        run(&source, &destination, &none).await.error(),
        "choosing an image from manifest list oci:/:from: no image found in manifest list for \
         architecture \"s390x\", variant \"\", OS \"linux\""
    );
}

#[tokio::test]
async fn a_list_that_is_there_is_done_only_if_the_list_is_wanted() {
    let Made { source, index, amd64, .. } = made(ImageKind::Oci);
    let mut destination = FakeDestination::new();
    destination.present = Some(index.digest().unwrap());
    assert_eq!(run(&source, &destination, &all()).await.copied().outcome, Outcome::Present);
    assert_eq!((source.asked("head"), source.asked("manifest"), source.asked("blob")), (1, 0, 0));
    let copied = run(&source, &destination, &request()).await.written();
    assert_eq!(copied, amd64);
}

#[tokio::test]
async fn the_index_only() {
    let Made { source, index, .. } = made(ImageKind::Oci);
    let mut destination = FakeDestination::new();
    destination.sparse = true;
    let only = Request { lists: Lists::IndexOnly, ..request() };
    let run_ = run(&source, &destination, &only).await;
    assert!(run_.lines().contains(&"Copying 0 images generated from 2 images in list".to_owned()));
    assert_eq!(run_.written(), index);
    assert_eq!(source.asked("blob"), 0);
    // No instance is asked about, so the index is.
    let policy = Policy::parse(br#"{"default":[{"type":"reject"}]}"#, "p").unwrap();
    let run_ = run_with(&source, &destination, &only, &policy).await;
    assert!(run_.error().starts_with("Source image rejected: Running image"));
}

#[tokio::test]
async fn lists_in_lists() {
    let mut builder = Builder::new();
    let deep = builder.image(ImageKind::Oci, &[(layer(ImageKind::Oci), gzip(&tar(1, 900)))]);
    let flat = builder.image(ImageKind::Oci, &[(layer(ImageKind::Oci), gzip(&tar(2, 900)))]);
    let inner = builder.index(ImageKind::Oci, &[("amd64", &deep)]);
    let outer = builder.index(ImageKind::Oci, &[("amd64", &inner), ("arm64", &flat)]);
    let source = builder.top(&outer);
    let destination = FakeDestination::new();
    assert_eq!(run(&source, &destination, &all()).await.written(), outer);
    assert_eq!(destination.state().manifests.len(), 4);
    let destination = FakeDestination::new();
    assert_eq!(run(&source, &destination, &request()).await.written(), deep);
}

#[tokio::test]
async fn lists_in_lists_end() {
    let mut builder = Builder::new();
    let mut index = builder.image(ImageKind::Oci, &[(layer(ImageKind::Oci), gzip(&tar(1, 900)))]);
    for _ in 0..9 {
        index = builder.index(ImageKind::Oci, &[("amd64", &index)]);
    }
    let source = builder.top(&index);
    let destination = FakeDestination::new();
    for request in [all(), request()] {
        let error = run(&source, &destination, &request).await.error();
        assert!(error.ends_with("nested too deeply"), "{error}");
    }
}

#[tokio::test]
async fn lists_are_converted_with_their_instances() {
    let Made { source, .. } = made(ImageKind::Docker);
    let destination = FakeDestination::accepting(&[MediaType::OCI_MANIFEST, MediaType::OCI_INDEX]);
    let copied = run(&source, &destination, &all()).await.written();
    let Manifest::Index(index) = copied.parse().unwrap() else { panic!("no list") };
    for instance in index.instances() {
        assert_eq!(instance.descriptor.media_type, MediaType::OCI_MANIFEST);
    }
    let forced = Request { format: Some(Format::DockerSchema2), ..all() };
    let Made { source, .. } = made(ImageKind::Oci);
    let destination = FakeDestination::new();
    let copied = run(&source, &destination, &forced).await.written();
    assert_eq!(copied.media_type, MediaType::DOCKER_LIST);
}

#[tokio::test]
async fn a_list_falls_back_to_the_other_kind() {
    let Made { source, .. } = made(ImageKind::Docker);
    let destination = FakeDestination::rejecting(&[MediaType::DOCKER_LIST]);
    let copied = run(&source, &destination, &all()).await.written();
    assert_eq!(copied.media_type, MediaType::OCI_INDEX);
    let destination = FakeDestination::rejecting(&[MediaType::DOCKER_LIST, MediaType::OCI_INDEX]);
    let error = run(&source, &destination, &all()).await.error();
    let prefix = "Uploading manifest list failed, attempted the following formats: \
                  application/vnd.docker.distribution.manifest.list.v2+json(";
    assert!(error.starts_with(prefix), "{error}");
}

#[tokio::test]
async fn what_must_not_change_is_refused_in_the_originals_words() {
    let Made { source, index, .. } = made(ImageKind::Docker);
    let preserve = Request { digests: Digests::Preserve, ..all() };
    let destination = FakeDestination::wanting(LayerForm::Uncompressed);
    assert_eq!(run(&source, &destination, &preserve).await.written(), index);
    let oci = FakeDestination::accepting(&[MediaType::OCI_MANIFEST, MediaType::OCI_INDEX]);
    assert_eq!(
        run(&source, &oci, &preserve).await.error(),
        "Manifest list must be converted to type \"application/vnd.oci.image.index.v1+json\" to \
         be written to destination, but we cannot modify it: Instructed to preserve digests"
    );
    let single = FakeDestination::accepting(&[MediaType::OCI_MANIFEST]);
    assert_eq!(
        run(&source, &single, &all()).await.error(),
        "copying multiple images: destination transport \"oci\" does not support copying \
         multiple images as a group"
    );
    let policy = Policy::parse(br#"{"default":[{"type":"reject"}]}"#, "p").unwrap();
    let run = run_with(&source, &FakeDestination::new(), &all(), &policy).await;
    let error = run.error();
    let rejected = "/2 from manifest list: Source image rejected: Running image oci:/";
    assert!(error.starts_with("copying image ") && error.contains(rejected), "{error}");
    assert!(error.ends_with(" is rejected by policy."), "{error}");
}
