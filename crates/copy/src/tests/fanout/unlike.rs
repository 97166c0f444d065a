//! Destinations that take different things.

use super::*;

#[test]
fn only_what_is_written_alike_is_joined() {
    type D = FakeDestination;
    let with = |change: fn(&mut Accepts)| {
        let mut destination = D::new();
        change(&mut destination.accepts);
        destination
    };
    let six = with(|accepts| accepts.concurrency = NonZeroUsize::new(6).unwrap());
    let named = with(|accepts| accepts.embedded_name = Some("registry.example/x:1".to_owned()));
    let unsigned = with(|accepts| accepts.signatures = KeptSignatures::Nothing("no"));
    let foreign = with(|accepts| accepts.foreign_layers = true);
    let pinned = with(|accepts| accepts.digest = Some(Digest::sha256(b"")));
    for (all, expected) in [
        (vec![], vec![]),
        (vec![D::new(), six, named], vec![vec![0, 1, 2]]),
        (vec![D::new(), D::wanting(LayerForm::Compressed), D::new()], vec![vec![0, 2], vec![1]]),
        (
            vec![D::accepting(&[MediaType::OCI_MANIFEST]), D::new(), unsigned, foreign, pinned],
            vec![vec![0], vec![1], vec![2], vec![3], vec![4]],
        ),
    ] {
        let groups = Fanout::groups(all.iter().map(D::door).enumerate());
        let places: Vec<Vec<usize>> =
            groups.into_iter().map(|group| group.into_iter().map(|(at, _)| at).collect()).collect();
        assert_eq!(places, expected);
    }
}

#[tokio::test]
async fn those_that_cannot_share_are_copied_to_one_after_another() {
    let (source, manifest, _) = image(2);
    let alike = [FakeDestination::new(), FakeDestination::new()];
    let plain = FakeDestination::wanting(LayerForm::Uncompressed);
    let run = run(&source, vec![alike[0].door(), plain.door(), alike[1].door()], &request()).await;
    assert_eq!(run.outcomes(), [Outcome::Written; 3]);
    assert_eq!(run.bytes(), 2 * total(&source));
    for alike in &alike {
        assert_eq!(alike.state().committed.as_ref(), Some(&manifest));
    }
    assert_ne!(plain.state().committed.as_ref(), Some(&manifest));
}

/// Places that take images in other forms read one together where it can stay what it is.
#[tokio::test]
async fn unlike_places_share_what_stays_what_it_is() {
    let all = || {
        [
            FakeDestination::wanting(LayerForm::Compressed),
            FakeDestination::new(),
            FakeDestination::accepting(&[MediaType::OCI_MANIFEST, MediaType::OCI_INDEX]),
            FakeDestination::new(),
        ]
    };
    let (source, manifest, _) = image(3);
    let places = all();
    let doors = places.iter().map(FakeDestination::door).collect();
    let copied = run(&source, doors, &request()).await;
    assert_eq!(copied.outcomes(), [Outcome::Written; 4]);
    assert_eq!(copied.bytes(), total(&source), "each blob is read once");
    assert_eq!(source.asked("manifest Top"), 1);
    for place in &places {
        assert_eq!(place.state().committed.as_ref(), Some(&manifest));
    }
    // So do whole lists.
    let mut builder = Builder::new();
    let images: Vec<RawManifest> = (0..3)
        .map(|seed| {
            let layer = noise(seed, 300_000);
            builder.image(ImageKind::Oci, &[(&MediaType::OCI_LAYER_GZIP, layer)])
        })
        .collect();
    let named = ["amd64", "arm64", "s390x"].into_iter().zip(&images);
    let index = builder.index(ImageKind::Oci, &named.collect::<Vec<_>>());
    let source = builder.top(&index);
    let places = all();
    let doors = places.iter().map(FakeDestination::door).collect();
    let request = Request { lists: Lists::All, ..request() };
    let copied = run(&source, doors, &request).await;
    assert_eq!(copied.outcomes(), [Outcome::Written; 4]);
    assert_eq!(copied.bytes(), total(&source));
    for place in &places {
        assert_eq!(place.state().committed.as_ref(), Some(&index));
    }
}

/// What has to change for some is what each would have alone.
#[tokio::test]
async fn what_changes_for_some_changes_for_nobody_else() {
    const OCI: &[MediaType] = &[MediaType::OCI_MANIFEST];
    // A plain layer, which one of them wants packed.
    let mut builder = Builder::new();
    let layer = tar(1, 500_000);
    let manifest = builder.image(ImageKind::Oci, &[(&MediaType::OCI_LAYER, layer)]);
    let plain = builder.top(&manifest);
    // An image of Docker's, which one of them cannot have.
    let mut builder = Builder::new();
    let layer = noise(1, 500_000);
    let manifest = builder.image(ImageKind::Docker, &[(&MediaType::DOCKER_LAYER_GZIP, layer)]);
    let docker = builder.top(&manifest);
    // A layer that some places leave where it is.
    let mut builder = Builder::new();
    let layer = noise(1, 500_000);
    let foreign = MediaType::from("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    let manifest = builder.image(ImageKind::Oci, &[(&foreign, layer)]);
    let mut text: serde_json::Value = serde_json::from_slice(&manifest.bytes).unwrap();
    text["layers"][0]["urls"] = serde_json::json!(["https://layers.example/1"]);
    let bytes = serde_json::to_vec(&text).unwrap().into();
    let foreign = builder.top(&RawManifest { bytes, ..manifest });
    for source in [plain, docker, foreign] {
        let make = || {
            let mut elsewhere = FakeDestination::wanting(LayerForm::Compressed);
            elsewhere.accepts.foreign_layers = true;
            [
                elsewhere,
                FakeDestination::new(),
                FakeDestination::wanting(LayerForm::Compressed),
                FakeDestination::accepting(OCI),
                FakeDestination::new(),
            ]
        };
        let alone = make();
        for place in &alone {
            run(&source, vec![place.door()], &request()).await.outcomes();
        }
        let together = make();
        let doors = together.iter().map(FakeDestination::door).collect();
        let copied = run(&source, doors, &request()).await;
        assert_eq!(copied.outcomes(), [Outcome::Written; 5]);
        // Layers are read as often as there are forms, since those that are alike go on together;
        // configs, which are small, once more.
        let (moved, total) = (copied.bytes(), total(&source));
        assert!(moved <= 4 * total + 4096, "{moved} of {total}");
        for (alone, together) in alone.iter().zip(&together) {
            let (alone, together) = (alone.state(), together.state());
            assert_eq!(alone.committed, together.committed);
            let layers = |it: &State| {
                let large = it.blobs.iter().filter(|(_, bytes)| bytes.len() > 10_000);
                large.map(|(digest, _)| digest.clone()).collect::<Vec<_>>()
            };
            assert_eq!(layers(&alone), layers(&together));
        }
    }
}

#[test]
fn circles_have_a_form_in_common() {
    type D = FakeDestination;
    const LIST: &[MediaType] = &[MediaType::OCI_MANIFEST, MediaType::OCI_INDEX];
    const DOCKER: &[MediaType] = &[MediaType::DOCKER_MANIFEST];
    const BOTH: &[MediaType] = &[MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST];
    let mut unsigned = D::new();
    unsigned.accepts.signatures = KeptSignatures::Nothing("no");
    for (all, expected) in [
        (
            vec![D::new(), D::wanting(LayerForm::Compressed), D::accepting(LIST)],
            vec![vec![0, 1, 2]],
        ),
        (vec![D::accepting(LIST), D::accepting(DOCKER), D::new()], vec![vec![0, 2], vec![1]]),
        (
            vec![D::accepting(BOTH), D::accepting(LIST), D::accepting(DOCKER)],
            vec![vec![0, 1], vec![2]],
        ),
        (vec![D::new(), D::wanting(LayerForm::Uncompressed), unsigned], vec![vec![0, 2], vec![1]]),
    ] {
        let groups = Fanout::unchanged_groups(all.iter().map(D::door).enumerate());
        let places: Vec<Vec<usize>> =
            groups.into_iter().map(|group| group.into_iter().map(|(at, _)| at).collect()).collect();
        assert_eq!(places, expected);
    }
}

/// Where some places have no room for signatures, the others still read together.
#[tokio::test]
async fn signatures_that_one_cannot_keep_part_it_from_the_others() {
    let (mut source, manifest, _) = image(2);
    let signature = Signature::Simple(Bytes::from_static(b"signed"));
    source.signatures.insert(Which::Top, vec![signature]);
    let places = [FakeDestination::new(), FakeDestination::new()];
    let mut unsigned = FakeDestination::wanting(LayerForm::Compressed);
    unsigned.accepts.signatures = KeptSignatures::Nothing("no");
    let doors = vec![places[0].door(), unsigned.door(), places[1].door()];
    let run = run(&source, doors, &request()).await;
    assert!(run.results[1].as_ref().unwrap_err().contains("Can not copy signatures"));
    assert_eq!(run.bytes(), total(&source));
    for place in &places {
        assert_eq!(place.state().committed.as_ref(), Some(&manifest));
        assert_eq!(place.state().signatures.len(), 1);
    }
    assert!(unsigned.state().committed.is_none());
}
