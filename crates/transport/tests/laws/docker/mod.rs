//! What `docker:` promises beyond the laws.

mod ways;

use fs_err as fs;
use futures_util::TryStreamExt;
use skopeo_image::{Classify as _, Digest, MediaType, RawManifest, Signature, Which};
use skopeo_registry::Credentials;
use skopeo_testkit::{Fault, On, Registry};
use skopeo_transport::{
    How, ImageName, Options, PutManifestError, Role, Wish, create, delete, open, tags,
};

use crate::sample::{blob, descriptor, unverified};
use crate::{Place, Sample};

fn methods(asked: &[String]) -> Vec<&str> {
    asked.iter().map(|line| line.split(' ').next().unwrap()).collect()
}

fn asked(place: &Place) -> Vec<String> {
    asked_of(place.registry())
}

/// What was asked since the last time, as `METHOD /path`.
fn asked_of(registry: &Registry) -> Vec<String> {
    let lines = registry.lines();
    registry.forget_requests();
    lines
}

#[tokio::test]
async fn nothing_to_do_costs_one_question_a_side() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    sample.put(place.create().await).await.unwrap();
    asked(&place);
    let source = place.open().await.unwrap();
    assert_eq!(source.head().await.unwrap().map(|head| head.digest), Some(sample.digest()));
    assert_eq!(source.head().await.unwrap().map(|head| head.digest), Some(sample.digest()));
    assert_eq!(asked(&place), ["HEAD /v2/ns/repo/manifests/tag"]);
    assert_eq!(place.create().await.present().await.unwrap(), Some(sample.digest()));
    assert_eq!(asked(&place), ["HEAD /v2/ns/repo/manifests/tag"]);
}

#[tokio::test]
async fn stays_with_the_image_that_it_saw_first() {
    let place = Place::docker().await;
    let (old, new) = (Sample::new(1), Sample::new(2));
    old.put(place.create().await).await.unwrap();
    let (headed, read) = (place.open().await.unwrap(), place.open().await.unwrap());
    headed.head().await.unwrap();
    read.manifest(&Which::Top).await.unwrap();
    new.put(place.create().await).await.unwrap();
    asked(&place);
    for source in [headed, read] {
        old.assert_in(&*source, &Which::Top).await;
        assert_eq!(source.head().await.unwrap().map(|head| head.digest), Some(old.digest()));
    }
    let manifests = asked(&place).iter().filter(|line| line.contains("/manifests/")).count();
    assert_eq!(manifests, 1);
}

#[tokio::test]
async fn mounts_from_the_sources_repository() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    sample.put(place.create().await).await.unwrap();
    let to = create(&place.name("docker://{}/other/repo:tag"), &place.options).await.unwrap();
    asked(&place);
    for (bytes, role) in sample.blobs() {
        let wanted = descriptor(&bytes);
        let wish = Wish { blob: &wanted, role, from: Some(&place.name) };
        let stored = to.reuse(&wish).await.unwrap().unwrap();
        assert_eq!((stored.how, stored.size), (How::Mounted, bytes.len() as u64));
    }
    assert_eq!(methods(&asked(&place)), ["POST", "POST", "POST"]);
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    to.commit(&sample.manifest).await.unwrap();
    let name = place.name("docker://{}/other/repo:tag");
    sample.assert_in(&*open(&name, &place.options).await.unwrap(), &Which::Top).await;

    // And from where it was seen in this process, whatever the source is.
    let to = create(&place.name("docker://{}/third:tag"), &place.options).await.unwrap();
    let wanted = descriptor(&sample.layers[0]);
    let from = ImageName::parse("dir:/").unwrap();
    let wish = Wish { blob: &wanted, role: Role::Layer(0), from: Some(&from) };
    assert_eq!(to.reuse(&wish).await.unwrap().unwrap().how, How::Mounted);
}

#[tokio::test]
async fn an_upload_opened_instead_of_a_mount_is_used() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    let to = place.create().await;
    let wanted = descriptor(&sample.layers[1]);
    let from = place.name("docker://{}/empty:tag");
    let wish = Wish { blob: &wanted, role: Role::Layer(0), from: Some(&from) };
    assert_eq!(to.reuse(&wish).await.unwrap(), None);
    assert_eq!(methods(&asked(&place)), ["POST", "HEAD"]);
    to.put_blob(blob(&sample.layers[1]), Role::Layer(0)).await.unwrap();
    assert_eq!(methods(&asked(&place)), ["PUT"]);
}

#[tokio::test]
async fn digests_name_what_is_written_and_read() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    let untagged = place.name("docker://{}/ns/repo@@unknown-digest@@");
    sample.put(create(&untagged, &place.options).await.unwrap()).await.unwrap();
    assert!(tags(&place.name, &place.options).await.unwrap().is_empty());
    let by_digest = place.name(&format!("docker://{{}}/ns/repo@{}", sample.digest()));
    let source = open(&by_digest, &place.options).await.unwrap();
    sample.assert_in(&*source, &Which::Top).await;
    let error = open(&untagged, &place.options).await.err().unwrap().to_string();
    assert!(error.ends_with("without a tag or digest is not supported"), "{error}");
    let to = create(&by_digest, &place.options).await.unwrap();
    assert_eq!(to.accepts().digest, Some(sample.digest()));
}

#[tokio::test]
async fn lists_and_deletes() {
    let place = Place::docker().await;
    let (one, two) = (Sample::new(1), Sample::new(2));
    for (tag, sample) in [("a", &one), ("b", &one), ("c", &two)] {
        let name = place.name(&format!("docker://{{}}/ns/repo:{tag}"));
        sample.put(create(&name, &place.options).await.unwrap()).await.unwrap();
    }
    assert_eq!(tags(&place.name, &place.options).await.unwrap(), ["a", "b", "c"]);
    delete(&place.name("docker://{}/ns/repo:a"), &place.options).await.unwrap();
    assert_eq!(tags(&place.name, &place.options).await.unwrap(), ["c"]);
    let error = delete(&place.name, &place.options).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Unable to delete {}. Image may not exist or is not stored with a v2 Schema in a v2 \
             registry",
            place.name.docker_reference().unwrap()
        )
    );
    assert!(!error.is_not_found());
}

#[tokio::test]
async fn what_is_not_there_is_named_and_known_as_such() {
    let place = Place::docker().await;
    Sample::new(1).put(place.create().await).await.unwrap();
    let name = place.name("docker://{}/ns/repo:none");
    let source = open(&name, &place.options).await.unwrap();
    for error in [source.head().await.unwrap_err(), source.manifest(&Which::Top).await.unwrap_err()]
    {
        assert!(error.is_not_found());
        let host = place.registry().host();
        assert_eq!(error.to_string(), format!("reading manifest none in {host}/ns/repo"));
    }
}

#[tokio::test]
async fn blobs_of_unknown_digest_are_sent_only_if_need_be() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    let unnamed = || {
        let stream = unverified(&sample.layers[1]).expect(&Digest::sha256(&sample.layers[1]), None);
        skopeo_blob::Blob::unnamed(stream.into_stream())
    };
    let mut options: Options = place.options.clone();
    let to = create(&place.name, &options).await.unwrap();
    let stored = to.put_blob(unnamed(), Role::Layer(0)).await.unwrap();
    assert_eq!(stored.digest, Digest::sha256(&sample.layers[1]));
    options.registry.precompute_digests = true;
    options.tmpdir = place.folder.path().to_owned();
    let to = create(&place.name, &options).await.unwrap();
    asked(&place);
    assert_eq!(to.put_blob(unnamed(), Role::Layer(0)).await.unwrap().how, How::Present);
    assert_eq!(methods(&asked(&place)), ["HEAD"]);
    let other = create(&place.name("docker://{}/other:tag"), &options).await.unwrap();
    assert_eq!(other.put_blob(unnamed(), Role::Layer(0)).await.unwrap(), stored);
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn signatures_lie_in_the_lookaside_folder_until_their_image_is_deleted() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    let signature = |n: u8| Signature::Simple(vec![0xA3, n].into());
    for count in [3, 1] {
        let to = place.create().await;
        sample.put_blobs(&*to).await.unwrap();
        to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
        let signatures: Vec<_> = (0..count).map(signature).collect();
        to.put_signatures(&signatures, &Which::Top).await.unwrap();
        to.commit(&sample.manifest).await.unwrap();
        let source = place.open().await.unwrap();
        assert_eq!(source.signatures(&Which::Top).await.unwrap(), signatures);
    }
    let path = format!(
        "home/.local/share/containers/sigstore/ns/repo@sha256={}/signature-1",
        sample.digest().hex()
    );
    assert_eq!(place.files(), [path]);
    delete(&place.name, &place.options).await.unwrap();
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn sigstore_signatures_lie_beside_the_image_where_that_is_allowed() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    let signature = |n: u8| Signature::Sigstore {
        mime_type: "application/vnd.dev.cosign.simplesigning.v1+json".into(),
        payload: vec![n; 20].into(),
        annotations: [("dev.cosignproject.cosign/signature".to_owned(), n.to_string())].into(),
    };
    sample.put(place.create().await).await.unwrap();
    let to = place.create().await;
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    let error = to.put_signatures(&[signature(1)], &Which::Top).await.unwrap_err();
    assert_eq!(error.to_string(), "writing sigstore attachments is disabled by configuration");

    let conf = place.folder.path().join("etc/containers/registries.d");
    fs::create_dir_all(&conf).unwrap();
    fs::write(conf.join("a.yaml"), "default-docker:\n  use-sigstore-attachments: true\n").unwrap();
    let mut options = crate::options::options(place.folder.path());
    options.registry.tls_verify = Some(false);
    for put in [vec![signature(1)], vec![signature(1), signature(2)]] {
        let to = create(&place.name, &options).await.unwrap();
        to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
        to.put_signatures(&put, &Which::Top).await.unwrap();
        let source = open(&place.name, &options).await.unwrap();
        assert_eq!(source.signatures(&Which::Top).await.unwrap(), put);
    }

    // Nobody has that many, and they would all be held in memory.
    let large = |n: u8| match signature(n) {
        Signature::Sigstore { mime_type, annotations, .. } => {
            Signature::Sigstore { mime_type, payload: vec![n; 4 << 20].into(), annotations }
        }
        other => other,
    };
    let to = create(&place.name, &options).await.unwrap();
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    to.put_signatures(&(10..19).map(large).collect::<Vec<_>>(), &Which::Top).await.unwrap();
    let source = open(&place.name, &options).await.unwrap();
    let error = source.signatures(&Which::Top).await.unwrap_err();
    assert!(error.to_string().starts_with("the first 10 signatures take"), "{error}");
}

#[tokio::test]
async fn manifests_that_are_not_what_was_asked_for_are_refused() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    let to = place.create().await;
    let wrong = Which::Instance(Digest::sha256(b"other"));
    assert!(to.put_manifest(&sample.manifest, &wrong).await.is_err());
    let nonsense = RawManifest { media_type: MediaType::OCI_MANIFEST, bytes: "{}".into() };
    let error = to.put_manifest(&nonsense, &Which::Top).await.unwrap_err();
    assert!(matches!(error, PutManifestError::TypeRejected { .. }), "{error:?}");
}

#[tokio::test]
async fn layers_that_lie_elsewhere_are_fetched_there() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    sample.put(place.create().await).await.unwrap();
    let mut wanted = descriptor(&sample.layers[0]);
    let host = place.registry().host();
    wanted.urls = vec![
        "ftp://nowhere/".to_owned(),
        format!("http://{host}/v2/ns/repo/blobs/{}", Digest::sha256(b"none")),
        format!("http://{host}/v2/ns/repo/blobs/{}", wanted.digest),
    ];
    // From another repository of a registry, and from a layout that has nothing but the manifest.
    let mut other = Place::layout().await;
    other.options.registry.tls_verify = Some(false);
    let name = place.name("docker://{}/empty:tag");
    Sample::new(2).put(create(&name, &place.options).await.unwrap()).await.unwrap();
    Sample::new(2).put(other.create().await).await.unwrap();
    for source in [open(&name, &place.options).await.unwrap(), other.open().await.unwrap()] {
        let read = source.blob(&wanted).await.unwrap().expect(&wanted.digest, wanted.size);
        let pieces: Vec<_> = read.into_stream().try_collect().await.unwrap();
        assert!(pieces.concat() == sample.layers[0]);
        let missing = wanted.urls[1..2].to_vec();
        let missing = skopeo_image::Descriptor { urls: missing, ..wanted.clone() };
        let error = source.blob(&missing).await.err().unwrap().to_string();
        assert!(error.starts_with("failed fetching external blob from all urls: "), "{error}");
    }
}

#[tokio::test]
async fn head_requests_are_not_needed() {
    for fault in [
        Fault::head_forbidden(),
        Fault::no_header(On::manifests().any_method(), "docker-content-digest"),
    ] {
        let place = Place::docker().await;
        let sample = Sample::new(1);
        sample.put(place.create().await).await.unwrap();
        place.registry().fault(fault);
        let source = place.open().await.unwrap();
        assert_eq!(source.head().await.unwrap().map(|head| head.digest), Some(sample.digest()));
        sample.assert_in(&*source, &Which::Top).await;
        assert_eq!(place.create().await.present().await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_is_not_what_was_asked_for_is_never_taken() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    sample.put(place.create().await).await.unwrap();
    let name = place.name(&format!("docker://{{}}/ns/repo@{}", sample.digest()));
    place.registry().fault(Fault::corrupt(On::manifests()).after(10));
    for (name, head) in [(&name, false), (&place.name, true)] {
        let source = open(name, &place.options).await.unwrap();
        if head {
            source.head().await.unwrap();
        }
        let error = source.manifest(&Which::Top).await.unwrap_err().to_string();
        let digest = sample.digest();
        assert_eq!(error, format!("Manifest does not match provided manifest digest {digest}"));
    }
}

#[tokio::test]
async fn mounts_that_are_refused_are_uploads() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    sample.put(place.create().await).await.unwrap();
    place.registry().fault(Fault::mount_refused());
    let other = place.name("docker://{}/other:tag");
    let to = create(&other, &place.options).await.unwrap();
    for (bytes, role) in sample.blobs() {
        let wanted = descriptor(&bytes);
        let wish = Wish { blob: &wanted, role, from: Some(&place.name) };
        assert_eq!(to.reuse(&wish).await.unwrap(), None);
    }
    sample.put(to).await.unwrap();
    sample.assert_in(&*open(&other, &place.options).await.unwrap(), &Which::Top).await;
}

#[tokio::test]
async fn an_upload_that_broke_may_be_sent_again() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    let to = place.create().await;
    place.registry().fault(Fault::status(On::uploads().method("PUT"), 503).once());
    let large = &sample.layers[1];
    assert!(large.len() > 256 * 1024);
    let error = to.put_blob(blob(large), Role::Layer(0)).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    to.put_blob(blob(large), Role::Layer(0)).await.unwrap();
    sample.put(to).await.unwrap();
    sample.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
}

#[tokio::test]
async fn a_refused_type_is_told_from_other_refusals() {
    let place = Place::docker().await;
    let sample = Sample::new(1);
    let to = place.create().await;
    sample.put_blobs(&*to).await.unwrap();
    place.registry().fault(Fault::refuse_type(MediaType::OCI_MANIFEST));
    let error = to.put_manifest(&sample.manifest, &Which::Top).await.unwrap_err();
    assert!(
        matches!(&error, PutManifestError::TypeRejected { media_type, .. }
            if *media_type == MediaType::OCI_MANIFEST),
        "{error:?}"
    );
    place.registry().mend();
    place.registry().fault(Fault::status(On::manifests().method("PUT"), 403));
    let error = to.put_manifest(&sample.manifest, &Which::Top).await.unwrap_err();
    assert!(matches!(error, PutManifestError::Other(_)), "{error:?}");
}
