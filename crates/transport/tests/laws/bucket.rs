//! What only layouts in buckets promise: at a store of the test's own, which goes wrong when it is
//! told to. `stores` asks the programs that speak as real stores do.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use skopeo_image::{Classify, Digest, Which};
use skopeo_testkit::s3::{Conditions, SECRET};
use skopeo_testkit::{S3, S3Fault};
use skopeo_transport::{
    CollectionKind, ImageName, Options, Role, collection, create, delete, held,
};

use crate::options::options_with;
use crate::sample::{blob, unverified};
use crate::{Place, Sample};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn name(reference: &str) -> ImageName {
    ImageName::parse(&format!("oci:s3://bucket/a/layout:{reference}")).unwrap()
}

/// Another process: it knows nothing of what the first one knows.
fn elsewhere(place: &Place) -> Options {
    options_with(place.folder.path(), &place.store.as_ref().unwrap().environment())
}

async fn write(options: &Options, reference: &str, sample: &Sample) {
    let to = create(&name(reference), options).await.unwrap();
    sample.put(to).await.unwrap();
}

/// Bytes that take several parts.
fn large(seed: u8) -> Bytes {
    (0..11_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect()
}

async fn twenty_writers_lose_nothing(conditions: Conditions) {
    let place = Place::in_store(S3::with(conditions, Duration::from_millis(5)));
    let writers = (0..20_u32).map(|number| {
        let options = elsewhere(&place);
        async move { write(&options, &format!("tag{number}"), &Sample::new(number)).await }
    });
    join_all(writers).await;
    let options = elsewhere(&place);
    let mut names = skopeo_transport::tags(&name("x"), &options).await.unwrap();
    names.sort();
    let mut expected: Vec<_> = (0..20).map(|number| format!("tag{number}")).collect();
    expected.sort();
    assert_eq!(names, expected);
    for number in 0..20 {
        let source = skopeo_transport::open(&name(&format!("tag{number}")), &options).await;
        Sample::new(number).assert_in(&*source.unwrap(), &Which::Top).await;
    }
    let keys = place.files();
    assert!(!keys.iter().any(|key| key.contains(".lock")), "{keys:?}");
}

#[tokio::test]
async fn twenty_writers_at_once_lose_nothing() {
    twenty_writers_lose_nothing(Conditions::Known).await;
}

#[tokio::test]
async fn nor_where_the_store_writes_whatever_the_conditions_say() {
    twenty_writers_lose_nothing(Conditions::Ignored).await;
}

#[tokio::test]
async fn nor_where_the_store_refuses_conditions() {
    twenty_writers_lose_nothing(Conditions::Refused).await;
}

#[tokio::test]
async fn large_blobs_come_in_parts_and_wrong_ones_leave_nothing() {
    let place = Place::bucket().await;
    let store = place.store.as_ref().unwrap();
    let bytes = large(0);
    let to = place.create().await;
    let wrong = unverified(&bytes).expect(&Digest::sha256(b"other"), None);
    assert!(to.put_blob(wrong, Role::Layer(0)).await.is_err());
    let missing = unverified(&bytes.slice(1..)).expect(&Digest::sha256(&bytes), None);
    assert!(to.put_blob(missing, Role::Layer(0)).await.is_err());
    to.abandon().await;
    assert_eq!((store.keys(), store.uploads()), (Vec::new(), 0));

    let to = place.create().await;
    let stored = to.put_blob(blob(&bytes), Role::Layer(0)).await.unwrap();
    let key = format!("a/layout/blobs/sha256/{}", stored.digest.hex());
    assert_eq!(store.object(&key).unwrap(), bytes);
    assert_eq!(store.uploads(), 0);
}

#[tokio::test]
async fn a_blob_without_a_name_gets_it_at_its_end() {
    use futures_util::StreamExt;
    let place = Place::bucket().await;
    let to = place.create().await;
    let bytes = large(1);
    let pieces: Vec<_> = bytes.chunks(100_000).map(|it| Ok(Bytes::copy_from_slice(it))).collect();
    let unnamed = skopeo_blob::Blob::unnamed(futures_util::stream::iter(pieces).boxed());
    let stored = to.put_blob(unnamed, Role::Layer(0)).await.unwrap();
    assert_eq!(stored.digest, Digest::sha256(&bytes));
    assert_eq!(place.files(), [format!("a/layout/blobs/sha256/{}", stored.digest.hex())]);
}

#[tokio::test]
async fn what_a_store_cannot_do_now_is_tried_again() {
    let place = Place::bucket().await;
    let store = place.store.as_ref().unwrap();
    let bytes = large(2);
    for fault in [
        S3Fault::status("PUT", "partNumber=1", 503).times(2),
        S3Fault::status("PUT", "partNumber=2", 500),
        S3Fault::status("POST", "?uploads", 503),
        S3Fault::status("POST", "?uploadId", 500),
        S3Fault::unanswered("POST", "?uploadId"),
        S3Fault::status("GET", "index.json", 500),
        S3Fault::status("PUT", "index.json", 503),
        // Written, but nobody is told: the next try finds its own.
        S3Fault::unanswered("PUT", "index.json"),
    ] {
        store.fault(fault);
    }
    let to = place.create().await;
    let stored = to.put_blob(blob(&bytes), Role::Layer(0)).await.unwrap();
    assert_eq!(stored.digest, Digest::sha256(&bytes));
    let sample = place.sample(1);
    sample.put(to).await.unwrap();
    sample.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
    assert_eq!(store.uploads(), 0);
}

#[tokio::test]
async fn a_blob_is_read_on_where_the_line_broke() {
    let place = Place::bucket().await;
    let store = place.store.as_ref().unwrap();
    let sample = place.sample(1);
    sample.put(place.create().await).await.unwrap();
    let hex = Digest::sha256(&sample.layers[1]).hex().to_owned();
    store.fault(S3Fault::cut("GET", &hex, 100_000).times(2));
    store.forget();
    sample.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
    let asked = store.asked();
    let parts = asked.iter().filter(|it| it.target.contains(&hex) && it.status == 206).count();
    assert!(parts >= 1, "{asked:?}");
}

#[tokio::test]
async fn what_is_deleted_takes_only_its_own_and_old_leftovers() {
    let place = Place::bucket().await;
    let store = place.store.as_ref().unwrap();
    let (one, two) = (place.sample(1), place.sample(2));
    let options = elsewhere(&place);
    for (reference, sample) in [("one", &one), ("also-one", &one), ("two", &two)] {
        write(&options, reference, sample).await;
    }
    store.begin_upload("a/layout/blobs/sha256/old");
    store.begin_upload("a/layout-of-others/blobs/sha256/old");
    store.write("a/layout/.uploads/old", "x");
    store.age(DAY + Duration::from_secs(60));
    store.begin_upload("a/layout/blobs/sha256/new");
    store.write("a/layout/.uploads/new", "x");

    delete(&name("one"), &elsewhere(&place)).await.unwrap();
    let keys = store.keys();
    assert!(!keys.iter().any(|key| key.ends_with("/.uploads/old")));
    assert!(keys.iter().any(|key| key.ends_with("/.uploads/new")));
    assert_eq!(store.uploads(), 2);
    let options = elsewhere(&place);
    for (reference, sample) in [("also-one", &one), ("two", &two)] {
        let source = skopeo_transport::open(&name(reference), &options).await.unwrap();
        sample.assert_in(&*source, &Which::Top).await;
    }
    delete(&name("also-one"), &options).await.unwrap();
    let hex = Digest::sha256(&one.layers[1]).hex().to_owned();
    assert!(!store.keys().iter().any(|key| key.contains(&hex) || key.contains(".lock")));
    let source = skopeo_transport::open(&name("two"), &elsewhere(&place)).await.unwrap();
    two.assert_in(&*source, &Which::Top).await;
    let gone = delete(&name("one"), &elsewhere(&place)).await.unwrap_err();
    assert!(gone.is_not_found(), "{gone}");
}

/// An image that reuses what is being deleted just then is written whole, or not at all.
#[tokio::test]
async fn who_deletes_and_who_reuses_do_not_miss_each_other() {
    let place = Place::in_store(S3::with(Conditions::Known, Duration::from_millis(3)));
    let sample = place.sample(1);
    for round in 0..5 {
        let old = format!("old{round}");
        write(&elsewhere(&place), &old, &sample).await;
        let (ours, theirs) = (elsewhere(&place), elsewhere(&place));
        let writer = async {
            let to = create(&name("new"), &ours).await.unwrap();
            sample.put(to).await
        };
        let old = name(&old);
        let (written, deleted) = tokio::join!(writer, delete(&old, &theirs));
        deleted.unwrap();
        let options = elsewhere(&place);
        match written {
            Ok(()) => {
                let source = skopeo_transport::open(&name("new"), &options).await.unwrap();
                sample.assert_in(&*source, &Which::Top).await;
                delete(&name("new"), &options).await.unwrap();
            }
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
}

/// Images that are there cost one look at the index, the lock, and the list of blobs; not one
/// request each.
#[tokio::test]
async fn images_that_are_there_cost_no_requests_of_their_own() {
    let place = Place::bucket().await;
    let store = place.store.as_ref().unwrap();
    let options = elsewhere(&place);
    let many = collection(CollectionKind::Oci, "s3://bucket/a/layout", &options).await.unwrap();
    let labels: Vec<String> = (0..30).map(|number| format!("h.io/ns/repo:{number}")).collect();
    try_join_all(labels.iter().enumerate().map(|(number, label)| {
        let (many, sample) = (&many, Sample::new(number as u32));
        async move {
            let to = many.create(&many.name(label)?).await?;
            sample.put(to).await
        }
    }))
    .await
    .unwrap();
    many.finish().await.unwrap();

    store.forget();
    let options = elsewhere(&place);
    let many = collection(CollectionKind::Oci, "s3://bucket/a/layout", &options).await.unwrap();
    for (number, label) in labels.iter().enumerate() {
        let to = many.create(&many.name(label).unwrap()).await.unwrap();
        let digest = to.present().await.unwrap().unwrap();
        assert_eq!(digest, Sample::new(number as u32).digest());
    }
    many.finish().await.unwrap();
    let asked = store.asked();
    let heads = asked.iter().filter(|it| it.method == "HEAD").count();
    // The lock, the first few manifests, and then a page of a hundred after the other.
    assert!(asked.len() <= 20 && heads <= 13, "{asked:#?}");
    let found = held(CollectionKind::Oci, "s3://bucket/a/layout", &options).await.unwrap();
    let found: std::collections::BTreeSet<_> = found.into_iter().map(|held| held.label).collect();
    assert_eq!(found, labels.into_iter().collect());
}

#[tokio::test]
async fn an_image_that_another_replaces_in_a_mirror_goes() {
    let place = Place::bucket().await;
    let store = place.store.as_ref().unwrap();
    let (old, new) = (place.sample(1), place.sample(2));
    for sample in [&old, &new] {
        let options = elsewhere(&place);
        let many = collection(CollectionKind::Oci, "s3://bucket/a/layout", &options).await.unwrap();
        let to = many.create(&many.name("h.io/ns/repo:1").unwrap()).await.unwrap();
        sample.put(to).await.unwrap();
        many.finish().await.unwrap();
    }
    let hex = Digest::sha256(&old.layers[0]).hex().to_owned();
    assert!(!store.keys().iter().any(|key| key.contains(&hex)), "{:?}", store.keys());
    let source = skopeo_transport::open(&name("h.io/ns/repo:1"), &elsewhere(&place)).await.unwrap();
    new.assert_in(&*source, &Which::Top).await;
}

#[tokio::test]
async fn refusals_say_what_was_asked_and_no_secret() {
    let place = Place::bucket().await;
    let store = place.store.as_ref().unwrap();
    let mut variables = store.environment();
    variables.retain(|(name, _)| *name != "AWS_ACCESS_KEY_ID");
    variables.push(("AWS_ACCESS_KEY_ID", "AKIDOTHER".to_owned()));
    let options = options_with(place.folder.path(), &variables);
    let error = create(&name("x"), &options).await.err().unwrap();
    let text = error.to_string();
    assert!(text.starts_with("reading s3://bucket/a/layout/index.json: 403 Forbidden"), "{text}");
    let all = format!("{error:?} {error} {:?}", error.hint());
    assert!(!all.contains(SECRET) && !all.contains("AWS4-HMAC"), "{all}");
    assert!(error.hint().unwrap().contains("AWS_PROFILE"));

    let options = elsewhere(&place);
    let missing = skopeo_transport::open(&name("x"), &options).await.err().unwrap();
    assert_eq!(
        missing.to_string(),
        "reading s3://bucket/a/layout: there is no OCI layout (no index.json)"
    );
    assert!(missing.is_not_found());
    let other = ImageName::parse("oci:s3://other/a:x").unwrap();
    let error = skopeo_transport::open(&other, &options).await.err().unwrap();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test]
async fn blobs_of_a_bucket_are_not_shared_with_a_folder() {
    let mut place = Place::bucket().await;
    place.options.layout.shared_blob_dir = Some(place.folder.path().to_owned());
    let error = create(&place.name, &place.options).await.err().unwrap();
    assert!(error.to_string().contains("cannot be shared"), "{error}");
}
