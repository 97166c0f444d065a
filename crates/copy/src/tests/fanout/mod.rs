//! One reading, several destinations.

mod unlike;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use skopeo_blob::{Blob, StreamError};
use skopeo_image::{Digest, MediaType, RawManifest, Signature, Which};
use skopeo_transport::{
    Accepts, Destination, Error, ImageName, KeptSignatures, LayerForm, LayoutError, Probe,
    PutManifestError, Role, Stored, Wish,
};
use skopeo_trust::Policy;

use super::memory::{Builder, FakeDestination, FakeSource, Fault, ImageKind, State, gzip, tar};
use super::{request, session};
use crate::error::sentence;
use crate::fanout::{Fanout, copy_to_all};
use crate::{BlobEvent, Copied, Event, Lists, Outcome, Request};

/// Where a destination fails, each time or once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Nowhere,
    Reuse,
    /// Before anything is read.
    Begin,
    /// After the first piece.
    Middle,
    /// When all is written.
    End,
    /// The same, and another try may do better; only once.
    EndOnce,
    /// After the first piece, when it has not been heard of for long.
    Stalled,
    Manifest,
    Signatures,
    Commit,
}

/// A destination with a mood.
#[derive(Clone)]
struct Moody {
    inner: FakeDestination,
    fails: At,
    failed: Arc<AtomicBool>,
    slow: bool,
    lies: bool,
}

impl Moody {
    fn new(inner: FakeDestination, fails: At) -> Self {
        Self { inner, fails, failed: Arc::default(), slow: false, lies: false }
    }

    fn slow() -> Self {
        Self { slow: true, ..Self::new(FakeDestination::new(), At::Nowhere) }
    }

    fn door(&self) -> Box<dyn Destination> {
        Box::new(self.clone())
    }

    fn fail(&self, at: At) -> Result<(), Error> {
        let fails = self.fails == at && !self.failed.swap(true, Ordering::Relaxed);
        if fails || (self.fails == at && at != At::EndOnce) {
            return Err(LayoutError::NoSuchReference(format!("{at:?}")).into());
        }
        Ok(())
    }
}

#[async_trait]
impl Probe for Moody {
    fn name(&self) -> &ImageName {
        self.inner.name()
    }

    fn accepts(&self) -> &Accepts {
        self.inner.accepts()
    }

    async fn present(&self) -> Result<Option<Digest>, Error> {
        self.inner.present().await
    }
}

#[async_trait]
impl Destination for Moody {
    async fn reuse(&self, wish: &Wish<'_>) -> Result<Option<Stored>, Error> {
        self.fail(At::Reuse)?;
        self.inner.reuse(wish).await
    }

    async fn put_blob(&self, blob: Blob, role: Role) -> Result<Stored, Error> {
        self.fail(At::Begin)?;
        if matches!(self.fails, At::Middle | At::Stalled) {
            let _ = blob.into_stream().next().await.unwrap()?;
            if self.fails == At::Stalled {
                for _ in 0..2000 {
                    tokio::task::yield_now().await;
                }
            }
            return Err(self.fail(self.fails).unwrap_err());
        }
        let stored = if self.slow {
            let mut stream = blob.into_stream();
            let mut all = Vec::new();
            while let Some(piece) = stream.next().await {
                all.extend_from_slice(&piece?);
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
            }
            self.inner.put_blob(Blob::of_bytes(all.into()), role).await?
        } else if matches!(self.fails, At::End | At::EndOnce)
            && !self.failed.load(Ordering::Relaxed)
        {
            let mut stream = blob.into_stream();
            while let Some(piece) = stream.next().await {
                piece?;
            }
            self.fail(At::End)?;
            self.failed.store(true, Ordering::Relaxed);
            let (source, transient) = ("the line broke".into(), true);
            return Err(Error::Stream(StreamError::Read { source, transient, tried: 1 }));
        } else {
            self.inner.put_blob(blob, role).await?
        };
        if self.lies {
            return Ok(Stored { digest: Digest::sha256(b"else"), ..stored });
        }
        Ok(stored)
    }

    async fn put_manifest(
        &self,
        manifest: &RawManifest,
        which: &Which,
    ) -> Result<(), PutManifestError> {
        self.fail(At::Manifest)?;
        self.inner.put_manifest(manifest, which).await
    }

    async fn put_signatures(&self, signatures: &[Signature], which: &Which) -> Result<(), Error> {
        self.fail(At::Signatures)?;
        self.inner.put_signatures(signatures, which).await
    }

    async fn commit(self: Box<Self>, top: &RawManifest) -> Result<(), Error> {
        self.fail(At::Commit)?;
        Box::new(self.inner).commit(top).await
    }

    async fn abandon(self: Box<Self>) {
        Box::new(self.inner).abandon().await;
    }
}

struct Run {
    results: Vec<Result<Copied, String>>,
    events: Vec<Event>,
}

impl Run {
    /// How many bytes came from the source.
    fn bytes(&self) -> u64 {
        let moved = self.events.iter().filter_map(|event| match event {
            Event::Blob(BlobEvent::Read { bytes, .. }) => Some(*bytes),
            _ => None,
        });
        moved.sum()
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.results.iter().map(|result| result.as_ref().unwrap().outcome).collect()
    }
}

async fn run(source: &FakeSource, to: Vec<Box<dyn Destination>>, request: &Request) -> Run {
    let events = Arc::<Mutex<Vec<_>>>::default();
    let session = session(&events);
    let results = copy_to_all(&session, source, to, &Policy::insecure(), request).await;
    let results = results.into_iter().map(|result| result.map_err(|error| sentence(&error)));
    let events = events.lock().unwrap().clone();
    Run { results: results.collect(), events }
}

fn image(layers: u8) -> (FakeSource, RawManifest, Vec<Digest>) {
    let mut builder = Builder::new();
    // Several pieces, and more than a channel holds.
    let layers: Vec<Bytes> = (0..layers).map(|seed| noise(seed, 600_000)).collect();
    let digests = layers.iter().map(|bytes| Digest::sha256(bytes)).collect();
    let layers: Vec<(&MediaType, Bytes)> =
        layers.into_iter().map(|bytes| (&MediaType::OCI_LAYER_GZIP, bytes)).collect();
    let manifest = builder.image(ImageKind::Oci, &layers);
    (builder.top(&manifest), manifest, digests)
}

/// What looks like gzip and cannot be made shorter.
fn noise(seed: u8, len: usize) -> Bytes {
    let mut state = u64::from(seed) + 1;
    let bytes = (0..len).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    });
    gzip(&bytes.collect::<Vec<u8>>())
}

fn total(source: &FakeSource) -> u64 {
    source.blobs.values().map(|bytes| bytes.len() as u64).sum()
}

#[tokio::test]
async fn what_is_read_once_is_written_to_all() {
    let (source, manifest, digests) = image(3);
    let places = [(); 3].map(|()| FakeDestination::new());
    // Each lacks something else.
    for (place, digest) in places.iter().zip(&digests) {
        place.state().blobs.insert(digest.clone(), source.blobs[digest].clone());
    }
    let slow = Moody::slow();
    let mut doors: Vec<_> = places.iter().map(FakeDestination::door).collect();
    doors.push(slow.door());
    let run = run(&source, doors, &request()).await;
    assert_eq!(run.outcomes(), [Outcome::Written; 4]);
    assert_eq!(run.bytes(), total(&source), "each blob is read once");
    assert_eq!(source.asked("manifest Top"), 1);
    for digest in &digests {
        assert_eq!(source.asked(&format!("blob {digest}")), 1);
    }
    for (at, place) in places.iter().chain([&slow.inner]).enumerate() {
        assert_eq!(place.state().committed.as_ref(), Some(&manifest));
        assert_eq!(place.did("blob"), if at == 3 { 4 } else { 3 }, "what it had is not sent");
    }
}

#[tokio::test]
async fn one_that_fails_does_not_take_the_others_with_it() {
    for (at, error) in [
        (At::Reuse, "trying to reuse blob sha256:"),
        (At::Begin, "writing blob: no descriptor"),
        (At::Middle, "writing blob: no descriptor"),
        (At::Stalled, "writing blob: no descriptor"),
        (At::End, "writing blob: no descriptor"),
        (At::Manifest, "writing manifest: no descriptor"),
        (At::Signatures, "writing signatures: no descriptor"),
        (At::Commit, "committing the finished image: no descriptor"),
    ] {
        let (mut source, manifest, _) = image(2);
        let signature = Signature::Simple(Bytes::from_static(b"signed"));
        source.signatures.insert(Which::Top, vec![signature]);
        let good = [FakeDestination::new(), FakeDestination::new()];
        let bad = Moody::new(FakeDestination::new(), at);
        let run = run(&source, vec![good[0].door(), bad.door(), good[1].door()], &request()).await;
        assert!(run.results[1].as_ref().unwrap_err().starts_with(error), "{:?}", run.results[1]);
        for (at, good) in [(0, &good[0]), (2, &good[1])] {
            assert_eq!(run.results[at].as_ref().unwrap().outcome, Outcome::Written);
            assert_eq!(good.state().committed.as_ref(), Some(&manifest));
            assert_eq!(good.state().signatures.len(), 1);
        }
        assert_eq!(run.bytes(), total(&source), "{at:?}: read once");
        assert!(bad.inner.state().committed.is_none());
        assert!(bad.inner.state().abandoned || at == At::Commit);
    }
}

#[tokio::test]
async fn what_another_try_may_mend_is_tried_alone() {
    let (source, manifest, _) = image(3);
    let good = FakeDestination::new();
    let bad = Moody::new(FakeDestination::new(), At::EndOnce);
    let mut request = request();
    request.parallel = NonZeroUsize::MIN;
    let run = run(&source, vec![bad.door(), good.door()], &request).await;
    assert_eq!(run.outcomes(), [Outcome::Written; 2]);
    assert_eq!(bad.inner.state().committed.as_ref(), Some(&manifest));
    assert_eq!(good.state().committed.as_ref(), Some(&manifest));
    // What the good one was given the bad one did not wait for.
    assert_eq!(good.did("blob"), 4);
    assert!(run.bytes() <= 2 * total(&source));
}

#[tokio::test]
async fn if_all_fail_each_says_why() {
    for (one, other, expected) in [
        (At::Begin, At::Commit, ["writing blob: ", "committing the finished image: "]),
        (At::Commit, At::Commit, ["committing the finished image: "; 2]),
        (At::Middle, At::End, ["writing blob: "; 2]),
        (At::Manifest, At::Manifest, ["writing manifest: "; 2]),
        (At::Reuse, At::Manifest, ["trying to reuse blob", "writing manifest: "]),
    ] {
        let (source, ..) = image(2);
        let places = [one, other].map(|at| Moody::new(FakeDestination::new(), at));
        let run = run(&source, places.iter().map(Moody::door).collect(), &request()).await;
        for (at, place) in [one, other].iter().zip(&places) {
            assert!(place.inner.state().committed.is_none(), "{at:?}");
        }
        for ((result, expected), at) in run.results.iter().zip(expected).zip([one, other]) {
            let error = result.as_ref().unwrap_err();
            let why = format!("no descriptor found for reference \"{at:?}\"");
            assert!(error.starts_with(expected) && error.ends_with(&why), "{error}");
        }
    }
}

#[tokio::test]
async fn a_source_that_fails_fails_for_all() {
    let (source, _, digests) = image(2);
    source.fault(&digests[0], &[Fault::Break(70_000); 9]);
    let places = [FakeDestination::new(), FakeDestination::new()];
    let run = run(&source, places.iter().map(FakeDestination::door).collect(), &request()).await;
    for (result, place) in run.results.iter().zip(&places) {
        let expected = format!("reading blob {} (tried 3 times): connection reset", digests[0]);
        assert_eq!(result.as_ref().unwrap_err(), &expected);
        assert!(place.state().abandoned && place.state().committed.is_none());
        assert!(!place.state().blobs.contains_key(&digests[0]));
    }
    assert_eq!(source.asked(&format!("blob {}", digests[0])), 3);
}

#[tokio::test]
async fn a_source_that_breaks_once_is_read_again_for_all() {
    for fault in [Fault::Break(0), Fault::Break(70_000)] {
        let (source, _, digests) = image(2);
        source.fault(&digests[1], &[fault]);
        let places = [FakeDestination::new(), FakeDestination::new()];
        let doors = places.iter().map(FakeDestination::door).collect();
        assert_eq!(run(&source, doors, &request()).await.outcomes(), [Outcome::Written; 2]);
        assert_eq!(source.asked(&format!("blob {}", digests[1])), 2);
    }
    let (source, _, digests) = image(1);
    source.fault(&digests[0], &[Fault::Corrupt]);
    let places = [FakeDestination::new(), FakeDestination::new()];
    let run = run(&source, places.iter().map(FakeDestination::door).collect(), &request()).await;
    for (result, place) in run.results.iter().zip(&places) {
        assert!(result.as_ref().unwrap_err().contains("Digest did not match"));
        assert!(!place.state().blobs.contains_key(&digests[0]));
    }
}

#[tokio::test]
async fn one_that_refuses_a_type_gets_another() {
    let (source, manifest, _) = image(2);
    let any = FakeDestination::new();
    let old = FakeDestination::rejecting(&[MediaType::OCI_MANIFEST]);
    let run_both = run(&source, vec![any.door(), old.door()], &request()).await;
    assert_eq!(any.state().committed.as_ref(), Some(&manifest));
    assert_eq!(run_both.results[0].as_ref().unwrap().digest, manifest.digest().unwrap());
    let converted = old.state().committed.clone().unwrap();
    assert_eq!(converted.media_type, MediaType::DOCKER_MANIFEST);
    assert_eq!(run_both.results[1].as_ref().unwrap().digest, converted.digest().unwrap());
    assert_eq!(run_both.bytes(), total(&source), "it has the blobs already");

    // What both refuse is converted for both, and read once.
    let (source, ..) = image(2);
    let old = [(); 2].map(|()| FakeDestination::rejecting(&[MediaType::OCI_MANIFEST]));
    let run = run(&source, old.iter().map(FakeDestination::door).collect(), &request()).await;
    assert_eq!(run.outcomes(), [Outcome::Written; 2]);
    let (layers, _): (Vec<_>, Vec<_>) =
        source.asked.lock().unwrap().clone().into_iter().partition(|it| it.starts_with("blob"));
    let once: HashSet<_> = layers.iter().collect();
    assert!(layers.len() <= once.len() + 1, "{layers:?}");
}

#[tokio::test]
async fn one_that_has_the_image_is_left_alone() {
    let (source, manifest, _) = image(2);
    let there = FakeDestination { present: manifest.digest().ok(), ..FakeDestination::new() };
    let fresh = FakeDestination::new();
    for (digest, bytes) in &source.blobs {
        there.state().blobs.insert(digest.clone(), bytes.clone());
    }
    let both = run(&source, vec![there.door(), fresh.door()], &request()).await;
    assert_eq!(both.outcomes(), [Outcome::Present, Outcome::Written]);
    assert_eq!((there.did("manifest"), there.did("blob"), there.did("commit")), (0, 0, 0));

    let source = image(2).0;
    let run = run(&source, vec![there.door(), there.door()], &request()).await;
    assert_eq!(run.outcomes(), [Outcome::Present; 2]);
    assert_eq!((run.bytes(), source.asked("blob")), (0, 0));
}

#[tokio::test]
async fn what_is_packed_on_its_way_is_packed_once_and_the_same_for_all() {
    let mut builder = Builder::new();
    let manifest = builder.image(
        ImageKind::Oci,
        &[(&MediaType::OCI_LAYER, tar(1, 400_000)), (&MediaType::OCI_LAYER, tar(2, 9000))],
    );
    let source = builder.top(&manifest);
    let places = [(); 2].map(|()| FakeDestination::wanting(LayerForm::Compressed));
    let inner = FakeDestination::wanting(LayerForm::Compressed);
    let liar = Moody { lies: true, ..Moody::new(inner, At::Nowhere) };
    let doors = vec![places[0].door(), liar.door(), places[1].door()];
    let run = run(&source, doors, &request()).await;
    assert_eq!(run.bytes(), total(&source));
    let digests: Vec<_> =
        [0, 2].map(|at| run.results[at].as_ref().unwrap().digest.clone()).into_iter().collect();
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], manifest.digest().unwrap());
    let error = run.results[1].as_ref().unwrap_err();
    assert!(error.starts_with("Internal error writing blob sha256:"), "{error}");
}

#[tokio::test]
async fn lists_go_to_all() {
    let mut builder = Builder::new();
    let instances: Vec<_> = (0..3)
        .map(|seed| {
            builder
                .image(ImageKind::Docker, &[(&MediaType::DOCKER_LAYER_GZIP, noise(seed, 90_000))])
        })
        .collect();
    let index = builder.index(
        ImageKind::Docker,
        &[("amd64", &instances[0]), ("arm64", &instances[1]), ("s390x", &instances[2])],
    );
    let source = builder.top(&index);
    let good = [FakeDestination::new(), FakeDestination::new()];
    let bad = Moody::new(FakeDestination::new(), At::Middle);
    let request = Request { lists: Lists::All, ..request() };
    let run = run(&source, vec![bad.door(), good[0].door(), good[1].door()], &request).await;
    assert!(run.results[0].is_err());
    for good in &good {
        assert_eq!(good.state().committed.as_ref(), Some(&index));
        assert_eq!(good.state().manifests.len(), 4);
    }
    assert_eq!(run.bytes(), total(&source));
}
