//! Some platforms of an index.

use serde_json::{Value, json};
use skopeo_image::{Classify as _, Digest, Manifest, MediaType, RawManifest, Signature, Which};

use super::memory::{Builder, FakeDestination, FakeSource, ImageKind, gzip, tar};
use super::{request, run};
use crate::{Digests, Format, Lists, Others, Outcome, Request, SourceSignatures};

fn wanting(platforms: &[&str], others: Others) -> Request {
    let wanted = platforms.iter().map(|text| text.parse().unwrap()).collect();
    Request { lists: Lists::Platforms { wanted, others }, ..request() }
}

fn platform(text: &str) -> Value {
    let mut parts = text.split('/').chain(std::iter::repeat(""));
    let mut next = || parts.next().unwrap();
    json!({ "platform": { "os": next(), "architecture": next(), "variant": next() } })
}

fn attesting(image: &RawManifest) -> Value {
    json!({
        "platform": { "os": "unknown", "architecture": "unknown" },
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest().unwrap(),
        },
    })
}

struct Made {
    source: FakeSource,
    index: RawManifest,
    images: Vec<RawManifest>,
}

/// What `docker buildx build --platform linux/amd64,linux/arm64,linux/arm/v7` pushes.
fn built() -> Made {
    let mut builder = Builder::new();
    let layer = |seed| [(&MediaType::OCI_LAYER_GZIP, gzip(&tar(seed, 900)))];
    let images: Vec<_> = (0..3).map(|it| builder.image(ImageKind::Oci, &layer(it))).collect();
    let in_toto = MediaType::from("application/vnd.in-toto+json");
    let attestations: Vec<_> =
        (10..13).map(|it| builder.image(ImageKind::Oci, &[(&in_toto, tar(it, 90))])).collect();
    let platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"];
    let mut entries: Vec<_> =
        platforms.iter().zip(&images).map(|(it, image)| (platform(it), image)).collect();
    entries.extend(images.iter().map(attesting).zip(&attestations));
    let index = builder.list_of(ImageKind::Oci, &entries);
    Made { source: builder.top(&index), index, images }
}

fn digests(index: &RawManifest) -> Vec<Digest> {
    let Manifest::Index(index) = index.parse().unwrap() else { panic!("no list") };
    index.instances().into_iter().map(|instance| instance.descriptor.digest).collect()
}

#[tokio::test]
async fn the_index_lists_what_was_copied_with_what_attests_it() {
    let Made { source, index, .. } = built();
    let all = digests(&index);
    let destination = FakeDestination::new();
    let request = wanting(&["linux/arm64/v8", "linux/amd64"], Others::Remove);
    let run_ = run(&source, &destination, &request).await;
    assert!(run_.lines().contains(&"Copying 4 images generated from 6 images in list".to_owned()));
    let warnings = run_.warnings();
    let written = run_.written();
    assert_eq!(digests(&written), [0, 1, 3, 4].map(|at| all[at].clone()));
    let expected = format!(
        "The index at the destination lists only what was copied, not attestations, linux/arm/v7: \
         its digest is {}, at the source {}, and no signature of that is good for it",
        written.digest().unwrap(),
        index.digest().unwrap()
    );
    assert_eq!(warnings, [expected]);

    // The same again is nothing to do.
    let mut destination = FakeDestination::new();
    destination.present = Some(written.digest().unwrap());
    assert_eq!(run(&source, &destination, &request).await.copied().outcome, Outcome::Present);
    assert_eq!(destination.did("blob"), 0);
    // What has the whole index has another one.
    destination.present = Some(index.digest().unwrap());
    assert_eq!(run(&source, &destination, &request).await.written(), written);
}

#[tokio::test]
async fn all_platforms_are_the_very_list() {
    let Made { source, index, .. } = built();
    let destination = FakeDestination::new();
    let request = wanting(&["linux/amd64", "linux/arm64", "linux/arm"], Others::Remove);
    let run = run(&source, &destination, &request).await;
    assert!(run.warnings().is_empty());
    assert_eq!(run.written(), index);
}

#[tokio::test]
async fn a_sparse_index_is_the_sources() {
    let Made { source, index, images } = built();
    let mut destination = FakeDestination::new();
    destination.sparse = true;
    let request = Request { digests: Digests::Preserve, ..wanting(&["linux/amd64"], Others::Keep) };
    let run_ = run(&source, &destination, &request).await;
    assert_eq!(
        run_.warnings(),
        ["The index at the destination lists images that were not copied: attestations, \
          linux/arm/v7, linux/arm64"]
    );
    assert_eq!(run_.written(), index);
    assert_eq!(destination.state().manifests.len(), 3);
    let there = Which::Instance(images[0].digest().unwrap());
    assert!(destination.state().manifests.contains_key(&there));

    // That the index is there does not mean that this platform is.
    destination.present = Some(index.digest().unwrap());
    let other = wanting(&["linux/arm64"], Others::Keep);
    assert_eq!(run(&source, &destination, &other).await.written(), index);
    assert_eq!(destination.state().manifests.len(), 5);
}

#[tokio::test]
async fn attestations_follow_an_image_that_changes() {
    let Made { source, .. } = built();
    let destination = FakeDestination::new();
    let mut request = wanting(&["linux/amd64"], Others::Remove);
    request.compression = Some(super::variants::zstd());
    let mut wants = destination.clone();
    wants.accepts.layers = skopeo_transport::LayerForm::Compressed;
    let written = run(&source, &wants, &request).await.written();
    let Manifest::Index(index) = written.parse().unwrap() else { panic!("no list") };
    let instances = index.instances();
    assert_eq!(instances[1].attested(), Some(instances[0].descriptor.digest.clone()));
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_is() {
    let Made { source, .. } = built();
    let destination = FakeDestination::new();
    for asked in ["linux/s390x", "windows/amd64", "linux/arm/v6", "unknown/unknown"] {
        let request = wanting(&["linux/amd64", asked], Others::Remove);
        let run = run(&source, &destination, &request).await;
        assert_eq!(
            run.error(),
            format!(
                "preparing instances for copy: no instances found for platform {asked}: there are \
                 [linux/amd64, linux/arm/v7, linux/arm64]"
            )
        );
        assert_eq!(destination.did("blob"), 0);
    }
}

#[tokio::test]
async fn what_must_not_change_keeps_its_index() {
    let Made { mut source, index, .. } = built();
    let third = digests(&index)[1].clone();
    let refused = |reason| {
        format!(
            "preparing instances for copy: we should delete instance {third} from manifest list, \
             but we cannot: {reason}"
        )
    };
    let plain = wanting(&["linux/amd64"], Others::Remove);
    let preserve = Request { digests: Digests::Preserve, ..plain.clone() };
    let destination = FakeDestination::new();
    let run_ = run(&source, &destination, &preserve).await;
    assert_eq!(run_.error(), refused("Instructed to preserve digests"));
    source.signatures.insert(Which::Top, vec![Signature::Simple("signed".into())]);
    let run_ = run(&source, &destination, &plain).await;
    let reason = "Would invalidate signatures; consider removing them from the multi-platform list";
    assert_eq!(run_.error(), refused(reason));
    assert!(run_.result.unwrap_err().hint().unwrap().contains("--multi-arch-sparse"));
    for signatures in [SourceSignatures::Remove, SourceSignatures::RemoveOfIndexes] {
        let request = Request { signatures, ..plain.clone() };
        let written = run(&source, &FakeDestination::new(), &request).await.written();
        assert_eq!(digests(&written).len(), 2);
    }
    let mut sparse = FakeDestination::new();
    sparse.sparse = true;
    let run = run(&source, &sparse, &wanting(&["linux/amd64"], Others::Keep)).await;
    assert_eq!(run.written(), index);
    assert_eq!(sparse.state().signatures[&Which::Top].len(), 1);
}

#[tokio::test]
async fn docker_lists_too_and_converted() {
    let mut builder = Builder::new();
    let layer = |seed| [(&MediaType::DOCKER_LAYER_GZIP, gzip(&tar(seed, 900)))];
    let amd64 = builder.image(ImageKind::Docker, &layer(1));
    let arm64 = builder.image(ImageKind::Docker, &layer(2));
    let index = builder.index(ImageKind::Docker, &[("amd64", &amd64), ("arm64", &arm64)]);
    let source = builder.top(&index);
    let request = wanting(&["linux/arm64"], Others::Remove);
    let written = run(&source, &FakeDestination::new(), &request).await.written();
    assert_eq!(written.media_type, MediaType::DOCKER_LIST);
    assert_eq!(digests(&written), [arm64.digest().unwrap()]);
    let oci = Request { format: Some(Format::Oci), ..request };
    let written = run(&source, &FakeDestination::new(), &oci).await.written();
    assert_eq!(written.media_type, MediaType::OCI_INDEX);
    assert_eq!(digests(&written).len(), 1);
}

#[tokio::test]
async fn platforms_are_found_in_lists_in_lists() {
    let mut builder = Builder::new();
    let layer = |seed| [(&MediaType::OCI_LAYER_GZIP, gzip(&tar(seed, 900)))];
    let images: Vec<_> = (0..4).map(|it| builder.image(ImageKind::Oci, &layer(it))).collect();
    let one = builder.index(ImageKind::Oci, &[("amd64", &images[0]), ("arm64", &images[1])]);
    let other = builder.index(ImageKind::Oci, &[("s390x", &images[2])]);
    let whole = builder.list_of(ImageKind::Oci, &[(json!({}), &images[3])]);
    let outer = builder.list_of(
        ImageKind::Oci,
        &[(json!({}), &one), (json!({}), &other), (platform("linux/arm64"), &whole)],
    );
    let source = builder.top(&outer);
    let destination = FakeDestination::new();
    let request = wanting(&["linux/arm64"], Others::Remove);
    let written = run(&source, &destination, &request).await.written();
    // The first list is narrowed too, the second is gone, the third is whole.
    let inner = digests(&written);
    assert_eq!(inner.len(), 2);
    let state = destination.state();
    let narrowed = &state.manifests[&Which::Instance(inner[0].clone())];
    assert_eq!(digests(narrowed), [images[1].digest().unwrap()]);
    assert_eq!(inner[1], whole.digest().unwrap());
}

#[tokio::test]
async fn a_single_image_must_be_for_one_of_them() {
    let mut builder = Builder::new();
    let layer = [(&MediaType::OCI_LAYER_GZIP, gzip(&tar(1, 900)))];
    let image = builder.image(ImageKind::Oci, &layer); // its config says linux/amd64
    let source = builder.top(&image);
    let right = wanting(&["linux/arm64", "linux/amd64"], Others::Remove);
    assert_eq!(run(&source, &FakeDestination::new(), &right).await.written(), image);
    let wrong = wanting(&["linux/arm64", "linux/s390x"], Others::Remove);
    let destination = FakeDestination::new();
    assert_eq!(
        run(&source, &destination, &wrong).await.error(),
        "preparing instances for copy: no instances found for platform linux/arm64,linux/s390x: \
         the image is for linux/amd64"
    );
    assert_eq!(destination.did("blob"), 0);
    let lists = Request { signatures: SourceSignatures::RemoveOfIndexes, ..request() };
    assert_eq!(
        run(&source, &destination, &lists).await.error(),
        "RemoveIndexSignatures is not applicable when copying a single instance"
    );
}
