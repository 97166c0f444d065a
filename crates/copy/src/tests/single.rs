//! Single images.

use bytes::Bytes;
use skopeo_image::{
    Compression, Digest, ImageManifest, Manifest, MediaType, RawManifest, Signature, Which,
};
use skopeo_transport::{KeptSignatures, LayerForm};
use skopeo_trust::Policy;

use super::memory::{Builder, FakeDestination, FakeSource, ImageKind, gzip, tar, unpacked};
use super::{request, run, run_with};
use crate::{
    BlobEvent, CompressTo, Digests, Event, Format, OtherFormats, Outcome, SourceSignatures,
};

const GZ: &MediaType = &MediaType::OCI_LAYER_GZIP;
const TAR: &MediaType = &MediaType::OCI_LAYER;
const DOCKER_GZ: &MediaType = &MediaType::DOCKER_LAYER_GZIP;

fn oci() -> (FakeSource, RawManifest) {
    let mut builder = Builder::new();
    let layers = [(GZ, gzip(&tar(1, 9000))), (GZ, gzip(&tar(2, 9000)))];
    let manifest = builder.image(ImageKind::Oci, &layers);
    (builder.top(&manifest), manifest)
}

fn image(manifest: &RawManifest) -> ImageManifest {
    match manifest.parse().unwrap() {
        Manifest::Image(image) => image,
        Manifest::Index(_) => panic!("a list"),
    }
}

#[tokio::test]
async fn unchanged_is_byte_identical_and_told_in_the_originals_lines() {
    let (source, manifest) = oci();
    let destination = FakeDestination::new();
    let run = run(&source, &destination, &request()).await;
    let layers = image(&manifest).layers();
    assert_eq!(
        run.lines(),
        [
            "Getting image source signatures".to_owned(),
            format!("Copying blob {}", layers[0].blob.digest),
            format!("Copying blob {}", layers[1].blob.digest),
            format!("Copying config {}", image(&manifest).config().unwrap().digest),
            "Writing manifest to image destination".to_owned(),
        ]
    );
    let moved: u64 = run
        .events
        .iter()
        .map(
            |event| if let Event::Blob(BlobEvent::Read { bytes, .. }) = event { *bytes } else { 0 },
        )
        .sum();
    assert_eq!(moved, source.blobs.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    let copied = run.written();
    assert_eq!(copied, manifest);
    let state = destination.state();
    assert_eq!(state.committed.as_ref(), Some(&manifest));
    assert_eq!(state.blobs.len(), 3);
    assert_eq!(state.log.last().unwrap(), "commit");
}

#[tokio::test]
async fn one_layer_listed_four_times_moves_once() {
    let mut builder = Builder::new();
    let layer = gzip(&tar(1, 5000));
    let layers = vec![(GZ, layer.clone()); 4];
    let manifest = builder.image(ImageKind::Oci, &layers);
    let source = builder.top(&manifest);
    let destination = FakeDestination::new();
    let run = run(&source, &destination, &request()).await;
    let digest = Digest::sha256(&layer);
    let line = format!("Copying blob {digest}");
    assert_eq!(run.lines().iter().filter(|it| **it == line).count(), 4);
    run.copied();
    assert_eq!(source.asked(&format!("blob {digest}")), 1);
    assert_eq!(destination.did(&format!("blob {digest}")), 1);
}

#[tokio::test]
async fn what_is_there_is_not_fetched() {
    let (source, manifest) = oci();
    let destination = FakeDestination::new();
    destination.state().blobs = source.blobs.clone().into_iter().collect();
    let run = run(&source, &destination, &request()).await;
    let reused =
        run.events.iter().filter(|it| matches!(it, Event::Blob(BlobEvent::Reused { .. }))).count();
    assert_eq!(reused, 3);
    assert_eq!(run.written(), manifest);
    assert_eq!((source.asked("blob"), destination.did("blob")), (0, 0));
}

#[tokio::test]
async fn the_same_image_is_a_question_each() {
    let (source, manifest) = oci();
    let mut destination = FakeDestination::new();
    destination.present = Some(manifest.digest().unwrap());
    let done = run(&source, &destination, &request()).await;
    assert_eq!(done.lines(), ["Skipping: image already present at destination"]);
    assert_eq!(done.copied().outcome, Outcome::Present);
    assert_eq!(source.asked("manifest") + source.asked("blob"), 1);
    assert_eq!(destination.state().log, ["present"]);

    // Whatever could make another image of it, or judge it, has to be done.
    let mut formatted = request();
    formatted.format = Some(Format::Oci);
    assert_eq!(run(&source, &destination, &formatted).await.copied().outcome, Outcome::Written);
    let policy = Policy::parse(br#"{"default":[{"type":"reject"}]}"#, "p").unwrap();
    let run = run_with(&source, &destination, &request(), &policy).await;
    assert_eq!(
        run.error(),
        "Source image rejected: Running image oci:/:from is rejected by policy."
    );
}

#[tokio::test]
async fn a_new_signature_of_the_same_image_is_copied() {
    let (mut source, manifest) = oci();
    source.signatures.insert(Which::Top, vec![Signature::Simple(Bytes::from_static(b"sig"))]);
    let mut destination = FakeDestination::new();
    destination.present = Some(manifest.digest().unwrap());
    assert_eq!(run(&source, &destination, &request()).await.copied().outcome, Outcome::Written);
    assert_eq!(destination.state().signatures.len(), 1);
    let mut without = request();
    without.signatures = SourceSignatures::Remove;
    assert_eq!(run(&source, &destination, &without).await.copied().outcome, Outcome::Present);
}

#[tokio::test]
async fn plain_layers_are_packed_where_that_is_wanted() {
    let mut builder = Builder::new();
    let (plain, packed) = (tar(1, 50_000), gzip(&tar(2, 5000)));
    let manifest = builder.image(ImageKind::Oci, &[(TAR, plain.clone()), (GZ, packed.clone())]);
    let source = builder.top(&manifest);
    let destination = FakeDestination::wanting(LayerForm::Compressed);
    let copied = run(&source, &destination, &request()).await.written();
    let layers = image(&copied).layers();
    assert_eq!((&layers[0].blob.media_type, &layers[1].blob.media_type), (GZ, GZ));
    assert_eq!(layers[1].blob.digest, Digest::sha256(&packed));
    assert!(unpacked(&destination.state().blobs[&layers[0].blob.digest]) == plain);
    assert_eq!(image(&copied).config(), image(&manifest).config());
}

#[tokio::test]
async fn packed_layers_are_unpacked_where_that_is_wanted() {
    let (source, manifest) = oci();
    let destination = FakeDestination::wanting(LayerForm::Uncompressed);
    let copied = run(&source, &destination, &request()).await.written();
    for (before, after) in image(&manifest).layers().iter().zip(image(&copied).layers()) {
        let expected = unpacked(&source.blobs[&before.blob.digest]);
        assert_eq!(after.blob.digest, Digest::sha256(&expected));
        assert_eq!(&after.blob.media_type, TAR);
    }
    // Unless nothing may change.
    let mut preserve = request();
    preserve.digests = Digests::Preserve;
    let destination = FakeDestination::wanting(LayerForm::Uncompressed);
    assert_eq!(run(&source, &destination, &preserve).await.written(), manifest);
}

#[tokio::test]
async fn layers_are_repacked_as_asked() {
    let mut builder = Builder::new();
    let manifest = builder.image(ImageKind::Docker, &[(DOCKER_GZ, gzip(&tar(1, 50_000)))]);
    let source = builder.top(&manifest);
    let destination = FakeDestination::wanting(LayerForm::Compressed);
    let mut zstd = request();
    zstd.compression =
        Some(CompressTo { format: Compression::Zstd, level: Some(1), others: OtherFormats::Reuse });
    let copied = run(&source, &destination, &zstd).await.written();
    // Only OCI can say so.
    assert_eq!(copied.media_type, MediaType::OCI_MANIFEST);
    let layer = &image(&copied).layers()[0].blob;
    assert_eq!(layer.media_type, MediaType::OCI_LAYER_ZSTD);
    assert!(destination.state().blobs[&layer.digest].starts_with(b"\x28\xb5\x2f\xfd"));

    zstd.format = Some(Format::DockerSchema2);
    assert_eq!(
        run(&source, &destination, &zstd).await.error(),
        "compression using zstd required together with format \
         application/vnd.docker.distribution.manifest.v2+json, which does not support it"
    );
}

#[tokio::test]
async fn a_layer_in_another_format_is_reused_only_if_allowed() {
    let (source, manifest) = oci();
    let first = image(&manifest).layers()[0].blob.digest.clone();
    for (others, fetched) in [(OtherFormats::Reuse, 0), (OtherFormats::Refuse, 1)] {
        let destination = FakeDestination::wanting(LayerForm::Compressed);
        destination.state().blobs.insert(first.clone(), source.blobs[&first].clone());
        let mut zstd = request();
        zstd.compression = Some(CompressTo { format: Compression::Zstd, level: None, others });
        source.asked.lock().unwrap().clear();
        run(&source, &destination, &zstd).await.copied();
        assert_eq!(source.asked(&format!("blob {first}")), fetched, "{others:?}");
    }
}

#[tokio::test]
async fn a_second_copy_in_the_run_knows_what_was_packed() {
    let mut builder = Builder::new();
    let manifest = builder.image(ImageKind::Oci, &[(TAR, tar(1, 50_000))]);
    let source = builder.top(&manifest);
    let destination = FakeDestination::wanting(LayerForm::Compressed);
    let session = super::session(&std::sync::Arc::default());
    let policy = Policy::insecure();
    for fetched in [1, 1] {
        let copied =
            crate::copy(&session, &source, destination.door(), &policy, &request()).await.unwrap();
        assert_ne!(copied.digest, manifest.digest().unwrap());
        let layer = image(&manifest).layers()[0].blob.digest.clone();
        assert_eq!(source.asked(&format!("blob {layer}")), fetched);
    }
}

#[tokio::test]
async fn chunked_zstd_says_where_its_table_is() {
    let mut builder = Builder::new();
    let empty = Bytes::from(vec![0; 1024]);
    let manifest = builder.image(ImageKind::Docker, &[(DOCKER_GZ, gzip(&empty))]);
    let source = builder.top(&manifest);
    let destination = FakeDestination::wanting(LayerForm::Compressed);
    let session = super::session(&std::sync::Arc::default());
    let policy = Policy::insecure();
    let mut chunked = request();
    let others = OtherFormats::Refuse;
    chunked.compression =
        Some(CompressTo { format: Compression::ZstdChunked, level: None, others });
    let mut first = None;
    // The second time the layer is there, and still known for what it is.
    for fetched in [1, 1] {
        let copy = crate::copy(&session, &source, destination.door(), &policy, &chunked);
        let copied = copy.await.unwrap().manifest.unwrap();
        let layer = image(&copied).layers()[0].blob.clone();
        assert_eq!(layer.media_type, MediaType::OCI_LAYER_ZSTD);
        let keys: Vec<_> = layer.annotations.keys().map(|key| key.rsplit_once('.')).collect();
        let keys: Vec<_> = keys.into_iter().map(|key| key.unwrap().1).collect();
        assert_eq!(keys, ["manifest-checksum", "manifest-position", "tarsplit-position"]);
        assert_eq!(*first.get_or_insert_with(|| copied.clone()), copied);
        let digest = image(&manifest).layers()[0].blob.digest.clone();
        assert_eq!(source.asked(&format!("blob {digest}")), fetched);
    }
    // To who wants zstd it is that, and stays with all that is said of it.
    let mut builder = Builder::new();
    let copied = first.unwrap();
    for blob in destination.state().blobs.values() {
        builder.blob(blob.clone());
    }
    let source = builder.top(&copied);
    let mut zstd = request();
    zstd.compression = Some(CompressTo { format: Compression::Zstd, level: None, others });
    let destination = FakeDestination::wanting(LayerForm::Compressed);
    assert_eq!(run(&source, &destination, &zstd).await.written(), copied);
}

#[tokio::test]
async fn converts_for_a_destination_that_takes_another_kind() {
    let mut builder = Builder::new();
    let manifest = builder.image(ImageKind::Docker, &[(DOCKER_GZ, gzip(&tar(1, 5000)))]);
    let source = builder.top(&manifest);
    let destination = FakeDestination::accepting(&[MediaType::OCI_MANIFEST, MediaType::OCI_INDEX]);
    let run = run(&source, &destination, &request()).await;
    assert_eq!(run.lines().len(), 4);
    let copied = run.written();
    assert_eq!(copied.media_type, MediaType::OCI_MANIFEST);
    assert_eq!(&image(&copied).layers()[0].blob.media_type, GZ);
    assert_eq!(image(&copied).config().unwrap().media_type, MediaType::OCI_CONFIG);
}

#[tokio::test]
async fn falls_back_when_a_type_is_rejected() {
    let (source, manifest) = oci();
    let destination = FakeDestination::rejecting(&[MediaType::OCI_MANIFEST]);
    let copied = run(&source, &destination, &request()).await.written();
    assert_eq!(copied.media_type, MediaType::DOCKER_MANIFEST);
    assert_eq!(image(&copied).layers().len(), image(&manifest).layers().len());

    let all = [
        MediaType::OCI_MANIFEST,
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_SCHEMA1_SIGNED,
        MediaType::DOCKER_SCHEMA1,
    ];
    let destination = FakeDestination::rejecting(&all);
    let error = run(&source, &destination, &request()).await.error();
    let prefix = "Uploading manifest failed, attempted the following formats: \
                  application/vnd.oci.image.manifest.v1+json(writing manifest: ";
    assert!(error.starts_with(prefix), "{error}");
    assert!(destination.state().abandoned && destination.state().committed.is_none());

    let mut preserve = request();
    preserve.digests = Digests::Preserve;
    let destination = FakeDestination::rejecting(&[MediaType::OCI_MANIFEST]);
    let error = run(&source, &destination, &preserve).await.error();
    assert!(error.starts_with("writing manifest: "), "{error}");
}

#[tokio::test]
async fn schema1_becomes_something_newer() {
    let mut builder = Builder::new();
    let layer = gzip(&tar(1, 5000));
    let digest = builder.blob(layer.clone());
    let id = Digest::sha256(b"id").hex().to_owned();
    let bytes = format!(
        r#"{{"schemaVersion":1,"name":"library/x","tag":"latest","architecture":"amd64",
        "fsLayers":[{{"blobSum":"{digest}"}}],
        "history":[{{"v1Compatibility":"{{\"id\":\"{id}\",\"created\":\"2020-01-01T00:00:00Z\",\"os\":\"linux\",\"architecture\":\"amd64\"}}"}}]}}"#
    );
    let manifest = RawManifest::new(Some(MediaType::DOCKER_SCHEMA1), bytes.into());
    let source = builder.top(&manifest);
    let only = [MediaType::DOCKER_MANIFEST];
    // What is in the layers has to be hashed, even if they are there.
    for there in [false, true] {
        let destination = FakeDestination::accepting(&only);
        if there {
            destination.state().blobs.insert(digest.clone(), layer.clone());
        }
        let copied = run(&source, &destination, &request()).await.written();
        let config = image(&copied).config().unwrap().digest.clone();
        let config = String::from_utf8(destination.state().blobs[&config].to_vec()).unwrap();
        let diff_id = Digest::sha256(&unpacked(&layer)).to_string();
        assert!(config.contains(&diff_id), "{config}");
    }
    // And if it turns out only when the manifest is written.
    let old = [MediaType::DOCKER_SCHEMA1, MediaType::DOCKER_SCHEMA1_SIGNED];
    let destination = FakeDestination::rejecting(&old);
    let copied = run(&source, &destination, &request()).await.written();
    assert_eq!(copied.media_type, MediaType::DOCKER_MANIFEST);
}

#[tokio::test]
async fn artifacts_are_copied_byte_for_byte() {
    let mut builder = Builder::new();
    let content = tar(9, 4000);
    let digest = builder.blob(content.clone());
    let config = builder.blob(&b"{}"[..]);
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "artifactType":"application/x","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},
        "layers":[{{"mediaType":"{TAR}","digest":"{digest}","size":4000}},{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}}]}}"#
    );
    let manifest = RawManifest::new(Some(MediaType::OCI_MANIFEST), bytes.into());
    let source = builder.top(&manifest);
    let destination = FakeDestination::wanting(LayerForm::Compressed);
    assert_eq!(run(&source, &destination, &request()).await.written(), manifest);
    assert_eq!(destination.did("blob"), 2);
}

#[tokio::test]
async fn foreign_layers_stay_where_they_are_if_they_may() {
    let mut builder = Builder::new();
    let layer = gzip(&tar(1, 5000));
    let image = builder.image(ImageKind::Docker, &[(&MediaType::DOCKER_FOREIGN_LAYER_GZIP, layer)]);
    let text = String::from_utf8(image.bytes.to_vec()).unwrap();
    let with_urls = text.replacen("\"mediaType\": \"application/vnd.docker.image.rootfs.foreign", "\"urls\": [\"https://elsewhere.example/x\"], \"mediaType\": \"application/vnd.docker.image.rootfs.foreign", 1);
    assert_ne!(text, with_urls);
    let manifest = RawManifest::new(Some(MediaType::DOCKER_MANIFEST), with_urls.into());
    let source = builder.top(&manifest);
    for (stays, fetched) in [(true, 1), (false, 2)] {
        let mut destination = FakeDestination::new();
        destination.accepts.foreign_layers = stays;
        source.asked.lock().unwrap().clear();
        assert_eq!(run(&source, &destination, &request()).await.written(), manifest);
        assert_eq!(source.asked("blob"), fetched, "the config, and perhaps the layer");
    }
}

#[tokio::test]
async fn signatures_go_with_the_image_and_freeze_it() {
    let (mut source, manifest) = oci();
    source.signatures.insert(Which::Top, vec![Signature::Simple(Bytes::from_static(b"sig"))]);
    let destination = FakeDestination::wanting(LayerForm::Uncompressed);
    let run_ = run(&source, &destination, &request()).await;
    let lines = run_.lines();
    assert_eq!(
        lines[..2],
        ["Getting image source signatures", "Checking if image destination supports signatures"]
    );
    assert_eq!(lines.last().unwrap(), "Storing signatures");
    assert_eq!(run_.written(), manifest);
    assert_eq!(destination.state().signatures[&Which::Top].len(), 1);

    let mut unable = FakeDestination::new();
    unable.accepts.signatures = KeptSignatures::Nothing("Pushing signatures is not supported");
    assert_eq!(
        run(&source, &unable, &request()).await.error(),
        "Can not copy signatures to oci:/:to: Pushing signatures is not supported"
    );
    let mut without = request();
    without.signatures = SourceSignatures::Remove;
    let run_ = run(&source, &unable, &without).await;
    assert!(!run_.lines().iter().any(|line| line.contains("signatures")));
    run_.copied();
    assert_eq!(source.asked("signatures"), 2);
}

#[tokio::test]
async fn a_digest_in_the_destinations_name_must_be_the_images() {
    let (source, manifest) = oci();
    let mut destination = FakeDestination::new();
    destination.accepts.digest = Some(manifest.digest().unwrap());
    assert_eq!(run(&source, &destination, &request()).await.written(), manifest);
    let mut destination = FakeDestination::new();
    destination.accepts.digest = Some(Digest::sha256(b"other"));
    assert_eq!(
        run(&source, &destination, &request()).await.error(),
        "Digest of source image's manifest would not match destination reference"
    );
}

#[tokio::test]
async fn a_missing_image_is_not_found() {
    let source = FakeSource::default();
    let destination = FakeDestination::new();
    let run = run(&source, &destination, &request()).await;
    assert!(run.result.as_ref().unwrap_err().is_not_found());
    assert_eq!(
        run.error(),
        "initializing source oci:/:from: no descriptor found for reference \"from\""
    );
}
