//! Instances that come into an index beside what is there.

use skopeo_image::{Compression, ImageIndex, Instance, Manifest, MediaType, RawManifest, Which};
use skopeo_transport::LayerForm;
use skopeo_trust::Policy;

use super::memory::{Builder, FakeDestination, FakeSource, ImageKind, gzip, tar};
use super::{request, run};
use crate::{CompressTo, Digests, Format, Lists, OtherFormats, Request};

pub(super) fn zstd() -> CompressTo {
    CompressTo { format: Compression::Zstd, level: None, others: OtherFormats::Refuse }
}

fn adding() -> Request {
    Request { lists: Lists::All, added: vec![zstd()], ..request() }
}

fn registry() -> FakeDestination {
    FakeDestination::wanting(LayerForm::Compressed)
}

fn made(kind: ImageKind) -> (FakeSource, RawManifest) {
    let layer = match kind {
        ImageKind::Oci => &MediaType::OCI_LAYER_GZIP,
        ImageKind::Docker => &MediaType::DOCKER_LAYER_GZIP,
    };
    let mut builder = Builder::new();
    let shared = (layer, gzip(&tar(0, 9000)));
    let amd64 = builder.image(kind, &[shared.clone(), (layer, gzip(&tar(1, 900)))]);
    let arm64 = builder.image(kind, &[shared, (layer, gzip(&tar(2, 900)))]);
    let index = builder.index(kind, &[("amd64", &amd64), ("arm64", &arm64)]);
    (builder.top(&index), index)
}

fn parse(manifest: &RawManifest) -> ImageIndex {
    let Manifest::Index(index) = manifest.parse().unwrap() else { panic!("no list") };
    index
}

#[tokio::test]
async fn every_platform_gets_one_behind_those_there_are() {
    for kind in [ImageKind::Oci, ImageKind::Docker] {
        let (source, index) = made(kind);
        let destination = registry();
        let run = run(&source, &destination, &adding()).await;
        let lines = run.lines();
        assert!(lines.contains(&"Copying 4 images generated from 2 images in list".to_owned()));
        assert_eq!(lines.iter().filter(|line| line.starts_with("Replicating image ")).count(), 2);
        let written = run.written();
        assert_eq!(written.media_type, MediaType::OCI_INDEX);
        let (before, after) = (parse(&index).instances(), parse(&written).instances());
        assert_eq!(after.len(), 4);
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(old.descriptor.digest, new.descriptor.digest);
        }
        let zstd: Vec<_> = after.iter().map(Instance::is_zstd).collect();
        assert_eq!(zstd, [false, false, true, true]);
        for (gzip, zstd) in [(0, 2), (1, 3)] {
            let name = |at: usize| after[at].platform.as_ref().unwrap().to_string();
            assert_eq!(name(gzip), name(zstd));
        }
        let state = destination.state();
        for instance in &after[2..] {
            let which = Which::Instance(instance.descriptor.digest.clone());
            let Ok(Manifest::Image(image)) = state.manifests[&which].parse() else { panic!() };
            let layers = image.layers();
            assert!(layers.iter().all(|it| it.blob.media_type == MediaType::OCI_LAYER_ZSTD));
        }
        // The shared layer is packed once; a config that sets nothing is the same for both families.
        assert_eq!(state.log.iter().filter(|it| it.starts_with("blob")).count(), 3 + 3 + 2);
    }
}

#[tokio::test]
async fn what_is_there_is_not_added() {
    let (source, _) = made(ImageKind::Oci);
    let first = registry();
    let written = run(&source, &first, &adding()).await.written();
    // The same copy of the result adds nothing, and so changes nothing.
    let mut again = FakeSource::default();
    again.manifests.clone_from(&first.state().manifests);
    again.blobs.extend(first.state().blobs.clone());
    assert_eq!(run(&again, &registry(), &adding()).await.written(), written);
}

#[tokio::test]
async fn layers_that_are_packed_so_already_make_no_variant() {
    let mut builder = Builder::new();
    let bytes = [b"\x28\xb5\x2f\xfd", &tar(3, 900)[..]].concat(); // nobody unpacks it
    let image = builder.image(ImageKind::Oci, &[(&MediaType::OCI_LAYER_ZSTD, bytes.into())]);
    let other = MediaType::from("application/x");
    let artifact = builder.image(ImageKind::Oci, &[(&other, gzip(&tar(4, 900)))]);
    let index = builder.index(ImageKind::Oci, &[("amd64", &image), ("arm64", &artifact)]);
    let source = builder.top(&index);
    assert_eq!(run(&source, &registry(), &adding()).await.written(), index);
}

#[tokio::test]
async fn where_it_cannot_be_it_is_refused_before_a_byte_moves() {
    let (source, index) = made(ImageKind::Oci);
    let first = parse(&index).instances()[0].descriptor.digest.clone();
    let destination = registry();
    let preserve = Request { digests: Digests::Preserve, ..adding() };
    let docker = Request { format: Some(Format::DockerSchema2), ..adding() };
    let single = Request { lists: Lists::System, ..adding() };
    for (request, sentence) in [
        (
            preserve,
            format!(
                "preparing instances for copy: we should add instance {first} compressed using \
                 zstd to manifest list, but we cannot: Instructed to preserve digests"
            ),
        ),
        (
            docker,
            "compression using zstd required together with format \
             application/vnd.docker.distribution.manifest.list.v2+json, which does not support it"
                .to_owned(),
        ),
        (
            single,
            "adding a variant of an image compressed using zstd: it is not in an index, and alone \
             can have one compression only"
                .to_owned(),
        ),
    ] {
        assert_eq!(run(&source, &destination, &request).await.error(), sentence);
    }
    assert_eq!(destination.did("blob"), 0);
    let policy = Policy::parse(br#"{"default":[{"type":"reject"}]}"#, "p").unwrap();
    let run = super::run_with(&source, &destination, &adding(), &policy).await;
    assert!(run.error().contains("Source image rejected"));
}
