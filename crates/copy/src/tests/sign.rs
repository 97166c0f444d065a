//! New signatures.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use skopeo_image::{MediaType, RawManifest, Reference, Signature, SignatureKind, Which};
use skopeo_transport::KeptSignatures;
use skopeo_trust::sign::{SignError, Signer};

use super::memory::{Builder, FakeDestination, FakeSource, ImageKind, gzip, tar};
use super::{request, run};
use crate::{Lists, Outcome, Request, Signing, SourceSignatures};

/// Signs with its name, and remembers what.
#[derive(Clone, Debug)]
struct Pen {
    name: &'static str,
    refuses: bool,
    signed: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Signer for Pen {
    fn kind(&self) -> SignatureKind {
        SignatureKind::Simple
    }

    fn doing(&self) -> &'static str {
        "Signing with a pen"
    }

    async fn sign(
        &self,
        manifest: &RawManifest,
        reference: &Reference,
    ) -> Result<Signature, SignError> {
        if self.refuses {
            return Err(SignError::Refused("out of ink".into()));
        }
        self.signed.lock().unwrap().push(format!("{reference} {}", manifest.digest()?));
        Ok(Signature::Simple(Bytes::from_static(self.name.as_bytes())))
    }
}

fn pen(name: &'static str) -> Pen {
    Pen { name, refuses: false, signed: Arc::default() }
}

fn by(pens: &[&Pen], identity: Option<&str>) -> Request {
    let signers = pens.iter().map(|pen| Arc::new((*pen).clone()) as Arc<dyn Signer>).collect();
    let identity = identity.map(|text| Reference::parse_normalized(text).unwrap());
    Request { signing: Signing { signers, identity }, ..request() }
}

fn image() -> (FakeSource, RawManifest) {
    let mut builder = Builder::new();
    let manifest =
        builder.image(ImageKind::Oci, &[(&MediaType::OCI_LAYER_GZIP, gzip(&tar(1, 900)))]);
    (builder.top(&manifest), manifest)
}

fn texts(signatures: &[Signature]) -> Vec<String> {
    let text = |it: &Signature| match it {
        Signature::Simple(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Signature::Sigstore { .. } => panic!("{it:?}"),
    };
    signatures.iter().map(text).collect()
}

#[tokio::test]
async fn new_signatures_come_after_those_of_the_source() {
    let (mut source, manifest) = image();
    let old = Signature::Simple(Bytes::from_static(b"old"));
    source.signatures.insert(Which::Top, vec![old]);
    let (one, two) = (pen("one"), pen("two"));
    for (signatures, expected) in [
        (SourceSignatures::Keep, &["old", "one", "two"][..]),
        (SourceSignatures::Remove, &["one", "two"]),
    ] {
        let destination = FakeDestination::new();
        let request = Request { signatures, ..by(&[&one, &two], Some("h/a:1")) };
        let run = run(&source, &destination, &request).await;
        assert_eq!(
            run.lines()[run.lines().len() - 4..],
            [
                "Writing manifest to image destination",
                "Creating signature 1: Signing with a pen",
                "Creating signature 2: Signing with a pen",
                "Storing signatures",
            ]
        );
        assert_eq!(run.written(), manifest);
        assert_eq!(texts(&destination.state().signatures[&Which::Top]), expected);
    }
    let signed = format!("docker.io/h/a:1 {}", manifest.digest().unwrap());
    assert_eq!(*one.signed.lock().unwrap(), [signed.clone(), signed]);
}

#[tokio::test]
async fn what_is_there_already_is_signed() {
    let (source, manifest) = image();
    let mut destination = FakeDestination::new();
    destination.present = Some(manifest.digest().unwrap());
    let request = Request { heads_first: true, ..by(&[&pen("one")], Some("h/a:1")) };
    let copied = run(&source, &destination, &request).await.copied();
    assert_eq!(copied.outcome, Outcome::Written);
    assert_eq!(texts(&destination.state().signatures[&Which::Top]), ["one"]);
}

#[tokio::test]
async fn a_list_and_its_images_are_signed_as_the_same() {
    let mut builder = Builder::new();
    let layer = |seed| (&MediaType::OCI_LAYER_GZIP, gzip(&tar(seed, 900)));
    let amd64 = builder.image(ImageKind::Oci, &[layer(1)]);
    let arm64 = builder.image(ImageKind::Oci, &[layer(2)]);
    let index = builder.index(ImageKind::Oci, &[("amd64", &amd64), ("arm64", &arm64)]);
    let source = builder.top(&index);
    let destination = FakeDestination::new();
    let pen = pen("one");
    let request = Request { lists: Lists::All, ..by(&[&pen], Some("h/a:1")) };
    let run = run(&source, &destination, &request).await;
    assert_eq!(
        run.lines()[run.lines().len() - 3..],
        [
            "Writing manifest list to image destination",
            "Creating signature: Signing with a pen",
            "Storing list signatures",
        ]
    );
    assert_eq!(run.written(), index);
    assert_eq!(destination.state().signatures.len(), 3);
    let mut expected: Vec<String> = [&amd64, &arm64, &index]
        .map(|it| format!("docker.io/h/a:1 {}", it.digest().unwrap()))
        .to_vec();
    let mut signed = pen.signed.lock().unwrap().clone();
    expected.sort();
    signed.sort();
    assert_eq!(signed, expected);
}

#[tokio::test]
async fn what_cannot_be_signed_is_not_begun() {
    let (source, _) = image();
    let nowhere = "Storing signatures is not supported";
    let mut full = FakeDestination::new();
    full.accepts.signatures = KeptSignatures::Nothing(nowhere);
    for (destination, identity, expected) in [
        (
            FakeDestination::new(),
            None,
            "Cannot determine canonical Docker reference for destination oci:/:to",
        ),
        (
            FakeDestination::new(),
            Some("h/a"),
            "Sign identity must be a fully specified reference docker.io/h/a",
        ),
        (full.clone(), Some("h/a:1"), "writing signatures: Storing signatures is not supported"),
        // The name is looked at first.
        (full, None, "Cannot determine canonical Docker reference for destination oci:/:to"),
    ] {
        source.asked.lock().unwrap().clear();
        let run = run(&source, &destination, &by(&[&pen("one")], identity)).await;
        assert_eq!(run.error(), expected);
        assert!(source.asked.lock().unwrap().is_empty());
        assert!(destination.state().manifests.is_empty());
    }
}

#[tokio::test]
async fn a_signer_that_refuses_fails_the_copy() {
    let (source, _) = image();
    let empty = Pen { refuses: true, ..pen("empty") };
    for (pens, expected) in [
        (&[&empty][..], "creating signature: out of ink"),
        (&[&pen("one"), &empty], "creating signature 2: out of ink"),
    ] {
        let destination = FakeDestination::new();
        let run = run(&source, &destination, &by(pens, Some("h/a:1"))).await;
        assert_eq!(run.error(), expected);
        assert!(destination.state().committed.is_none());
        assert!(destination.state().abandoned);
    }
}
