//! What goes wrong on the way.

use std::num::NonZeroUsize;

use bytes::Bytes;
use skopeo_image::{Digest, MediaType, RawManifest};
use skopeo_transport::LayerForm;

use super::memory::{Builder, FakeDestination, FakeSource, Fault, ImageKind, gzip, tar};
use super::{request, run};
use crate::{BlobEvent, Event};

fn image(layers: u8) -> (FakeSource, RawManifest, Vec<Digest>) {
    let mut builder = Builder::new();
    let layers: Vec<_> = (0..layers).map(|seed| gzip(&tar(seed, 9000))).collect();
    let digests = layers.iter().map(|bytes| Digest::sha256(bytes)).collect();
    let layers: Vec<(&MediaType, Bytes)> =
        layers.into_iter().map(|bytes| (&MediaType::OCI_LAYER_GZIP, bytes)).collect();
    let manifest = builder.image(ImageKind::Oci, &layers);
    (builder.top(&manifest), manifest, digests)
}

#[tokio::test]
async fn a_blob_that_breaks_twice_comes_the_third_time() {
    for form in [LayerForm::AsIs, LayerForm::Uncompressed] {
        let (source, _, digests) = image(2);
        source.fault(&digests[0], &[Fault::Break(10), Fault::Break(0)]);
        let destination = FakeDestination::wanting(form);
        let run = run(&source, &destination, &request()).await;
        let again: Vec<_> = run
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Blob(BlobEvent::Retried { tried, error, .. }) => {
                    Some((*tried, error.as_str()))
                }
                _ => None,
            })
            .collect();
        let reason = format!("reading blob {}: connection reset", digests[0]);
        assert_eq!(again, [(1, reason.as_str()), (2, reason.as_str())]);
        run.copied();
        assert_eq!(source.asked(&format!("blob {}", digests[1])), 1, "the others go on");
        assert!(destination.state().committed.is_some());
    }
}

#[tokio::test]
async fn a_blob_that_keeps_breaking_ends_the_copy() {
    let (source, _, digests) = image(3);
    source.fault(&digests[1], &[Fault::Break(10); 9]);
    let destination = FakeDestination::new();
    let run = run(&source, &destination, &request()).await;
    assert_eq!(
        run.error(),
        format!("reading blob {} (tried 3 times): connection reset", digests[1])
    );
    assert!(run.result.unwrap_err().is_transient());
    let state = destination.state();
    assert!(state.abandoned && state.committed.is_none() && state.manifests.is_empty());
}

#[tokio::test]
async fn what_the_source_has_tried_often_enough_is_not_tried_again() {
    let (source, _, digests) = image(1);
    source.fault(&digests[0], &[Fault::Spent]);
    let run = run(&source, &FakeDestination::new(), &request()).await;
    assert_eq!(run.error(), format!("reading blob {}: connection reset", digests[0]));
    assert_eq!(source.asked(&format!("blob {}", digests[0])), 1);
    assert!(run.result.unwrap_err().is_transient(), "--retry-times is somebody's wish");
}

#[tokio::test]
async fn a_corrupt_blob_leaves_nothing() {
    for form in [LayerForm::AsIs, LayerForm::Compressed] {
        let (source, _, digests) = image(1);
        source.fault(&digests[0], &[Fault::Corrupt; 9]);
        let destination = FakeDestination::wanting(form);
        let run = run(&source, &destination, &request()).await;
        let error = run.error();
        let prefix = format!(
            "reading blob {0}: Digest did not match, expected {0}, got sha256:",
            digests[0]
        );
        assert!(error.starts_with(&prefix), "{error}");
        assert_eq!(source.asked(&format!("blob {}", digests[0])), 1, "it will not get better");
        let state = destination.state();
        assert!(state.abandoned && !state.blobs.contains_key(&digests[0]));
    }
}

#[tokio::test]
async fn the_first_error_stops_the_rest() {
    let (source, _, digests) = image(4);
    // If the silent one were waited for, this test would not end.
    source.fault(&digests[0], &[Fault::Silent]);
    source.fault(&digests[2], &[Fault::Missing]);
    let destination = FakeDestination::new();
    let run = run(&source, &destination, &request()).await;
    assert_eq!(
        run.error(),
        format!("reading blob {}: no descriptor found for reference \"blob\"", digests[2])
    );
    assert!(destination.state().abandoned);
}

#[tokio::test]
async fn no_more_blobs_move_at_once_than_asked() {
    for (parallel, concurrency, expected) in [(3, 32, 3), (6, 2, 2), (1, 32, 1)] {
        let (source, _, _) = image(12);
        let mut destination = FakeDestination::new();
        destination.accepts.concurrency = NonZeroUsize::new(concurrency).unwrap();
        let mut request = request();
        request.parallel = NonZeroUsize::new(parallel).unwrap();
        run(&source, &destination, &request).await.copied();
        assert_eq!(destination.state().most_at_once, expected);
    }
}

#[tokio::test]
async fn a_dropped_copy_leaves_no_name() {
    let (source, _, digests) = image(2);
    source.fault(&digests[0], &[Fault::Silent]);
    let destination = FakeDestination::new();
    let request = request();
    let copy = run(&source, &destination, &request);
    let enough = async {
        while destination.state().blobs.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = copy => panic!("it cannot end"),
        () = enough => {}
    }
    assert!(destination.state().committed.is_none());
}
