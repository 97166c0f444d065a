//! What collections of images promise: layouts and archives.

mod archives;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use skopeo_image::{Digest, MediaType, RawManifest, Which};
use skopeo_transport::{
    Collection, CollectionKind, Destination, Held, How, Options, Role, Wish, collection, held, open,
};

use crate::Sample;
use crate::options::options;
use crate::sample::{blob, descriptor, unverified};

/// A fresh place for many images.
pub(crate) struct Many {
    pub(crate) kind: CollectionKind,
    pub(crate) place: String,
    pub(crate) options: Options,
    pub(crate) folder: tempfile::TempDir,
}

impl Many {
    pub(crate) fn new(kind: CollectionKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = format!("{}/place", folder.path().display());
        Self { kind, place, options: options(folder.path()), folder }
    }

    /// An image of its own for each seed, as such a place can hold it.
    pub(crate) fn sample(&self, seed: u32) -> Sample {
        match self.kind {
            CollectionKind::DockerArchive => crate::docker_archive::sample(seed),
            _ => Sample::new(seed),
        }
    }

    pub(crate) async fn open(&self) -> Box<dyn Collection> {
        collection(self.kind, &self.place, &self.options).await.unwrap()
    }

    pub(crate) async fn held(&self) -> Vec<Held> {
        held(self.kind, &self.place, &self.options).await.unwrap()
    }

    pub(crate) async fn labels(&self) -> Vec<String> {
        let mut labels: Vec<_> = self.held().await.into_iter().map(|held| held.label).collect();
        labels.sort();
        labels
    }

    pub(crate) async fn assert_has(&self, label: &str, sample: &Sample) {
        let held = self.held().await;
        let held = held.iter().find(|held| held.label == label).unwrap();
        // Names can be written down and read again.
        let name = skopeo_transport::ImageName::parse(&held.name.to_string()).unwrap();
        assert_eq!(name, held.name);
        let source = open(&name, &self.options).await.unwrap();
        sample.assert_in(&*source, &Which::Top).await;
    }
}

pub(crate) async fn destination(to: &dyn Collection, label: &str) -> Box<dyn Destination> {
    to.create(&to.name(label).unwrap()).await.unwrap()
}

macro_rules! for_every_collection {
    ($($law:ident)*) => {
        $(mod $law {
            #[tokio::test]
            async fn oci() {
                super::$law(super::Many::new(skopeo_transport::CollectionKind::Oci)).await;
            }
            #[tokio::test]
            async fn oci_archive() {
                super::$law(super::Many::new(skopeo_transport::CollectionKind::OciArchive)).await;
            }
            #[tokio::test]
            async fn docker_archive() {
                let kind = skopeo_transport::CollectionKind::DockerArchive;
                super::$law(super::Many::new(kind)).await;
            }
        })*
    };
}

for_every_collection! {
    many_at_once_read_back
    blobs_are_there_once
    names_are_kept
    names_that_lead_elsewhere_are_refused
    what_is_abandoned_leaves_the_others
    the_same_again_changes_nothing
    another_image_takes_the_name
    lists_of_lists_read_back
    docker_manifests_stay
}

fn label(n: usize) -> String {
    format!("registry.example:5000/team/app-{n}:v{n}")
}

async fn put_all(to: &dyn Collection, samples: &[Sample]) {
    let put = samples
        .iter()
        .enumerate()
        .map(|(n, sample)| async move { sample.put(destination(to, &label(n)).await).await });
    try_join_all(put).await.unwrap();
}

async fn many_at_once_read_back(many: Many) {
    let samples: Vec<_> = (0..12).map(|n| many.sample(n % 5)).collect();
    let to = many.open().await;
    put_all(&*to, &samples).await;
    to.finish().await.unwrap();
    drop(to);
    let mut expected: Vec<_> = (0..12).map(label).collect();
    expected.sort();
    assert_eq!(many.labels().await, expected);
    for (n, sample) in samples.iter().enumerate() {
        many.assert_has(&label(n), sample).await;
    }
}

async fn blobs_are_there_once(many: Many) {
    let sample = many.sample(1);
    let size: usize = sample.blobs().iter().map(|(bytes, _)| bytes.len()).sum();
    let to = many.open().await;
    put_all(&*to, &vec![sample.clone(); 8]).await;
    // The followers find what the first has brought.
    let follower = destination(&*to, "quay.io/x/y:1").await;
    assert!(follower.pool().is_some());
    for (bytes, role) in sample.blobs() {
        if role == Role::Config && many.kind == CollectionKind::DockerArchive {
            continue; // which has to be read
        }
        let from = to.name("quay.io/x/z:1").unwrap();
        let blob = descriptor(&bytes);
        let wish = Wish { blob: &blob, role, from: Some(&from) };
        let stored = follower.reuse(&wish).await.unwrap().unwrap();
        assert_eq!((stored.size, stored.how), (bytes.len() as u64, How::Present));
    }
    drop(follower);
    to.finish().await.unwrap();
    let there: u64 = walk(many.folder.path());
    assert!(there < size as u64 + 100_000, "{there} for {size}");
}

fn walk(path: &std::path::Path) -> u64 {
    let found = fs_err::metadata(path).unwrap();
    if !found.is_dir() {
        return found.len();
    }
    fs_err::read_dir(path).unwrap().map(|entry| walk(&entry.unwrap().path())).sum()
}

async fn names_are_kept(many: Many) {
    let to = many.open().await;
    let sample = many.sample(1);
    let digest = format!("docker.io/library/busybox@{}", sample.digest());
    let mut labels =
        vec!["docker.io/library/busybox:1", "localhost:5000/a/b__c---d:_x..y-", "a.b/c:latest"];
    match to.name(&digest) {
        Ok(_) => labels.push(&digest),
        // There are no manifests that could have digests.
        Err(error) => {
            assert_eq!(many.kind, CollectionKind::DockerArchive);
            assert!(error.to_string().starts_with("reference does not include a tag: "), "{error}");
        }
    }
    for label in &labels {
        sample.put(destination(&*to, label).await).await.unwrap();
    }
    to.finish().await.unwrap();
    for label in &labels {
        many.assert_has(label, &sample).await;
    }
    assert_eq!(many.held().await.len(), labels.len());
}

async fn names_that_lead_elsewhere_are_refused(many: Many) {
    let to = many.open().await;
    for label in
        ["", "../x", "../../etc/x:1", "/x", "a/../b:1", "x:1\n2", "x\u{1b}[2J:1", "a b", "@0"]
    {
        assert!(to.name(label).is_err(), "{label:?}");
    }
    let error = to.create(&skopeo_transport::ImageName::parse("dir:/tmp").unwrap()).await;
    assert!(error.is_err());
    drop(error);
    for place in ["/tmp/a:b", "/tmp/a:b/c"] {
        let opened = collection(many.kind, place, &many.options).await;
        assert!(opened.is_err(), "{place}");
    }
    assert!(held(many.kind, &many.place, &many.options).await.is_err());
}

async fn what_is_abandoned_leaves_the_others(many: Many) {
    let to = many.open().await;
    let (one, two) = (many.sample(1), many.sample(2));
    let broken = async {
        let to = destination(&*to, "a.b/broken:1").await;
        let bytes = Bytes::from(vec![7; 300_000]);
        let wrong = unverified(&bytes).expect(&Digest::sha256(b"other"), Some(300_000));
        to.put_blob(wrong, Role::Layer(0)).await.unwrap_err();
        to.abandon().await;
    };
    let dropped = async {
        let to = destination(&*to, "a.b/dropped:1").await;
        to.put_blob(blob(&two.layers[0]), Role::Layer(0)).await.unwrap();
        to.put_manifest(&two.manifest, &Which::Top).await.unwrap();
    };
    let stopped = async {
        let to = destination(&*to, "a.b/stopped:1").await;
        let bytes = Bytes::from(vec![9; 400_000]);
        let silent = futures_util::StreamExt::chain(
            futures_util::stream::iter([Ok(bytes.slice(..100_000))]),
            futures_util::stream::pending(),
        );
        let silent = skopeo_blob::Unverified::new(Box::pin(silent), Some(400_000));
        let put =
            to.put_blob(silent.expect(&Digest::sha256(&bytes), Some(400_000)), Role::Layer(0));
        let waited = tokio::time::timeout(std::time::Duration::from_millis(50), put).await;
        assert!(waited.is_err());
    };
    let good = async { one.put(destination(&*to, "a.b/good:1").await).await.unwrap() };
    tokio::join!(broken, dropped, stopped, good);
    to.finish().await.unwrap();
    drop(to);
    assert_eq!(many.labels().await, ["a.b/good:1"]);
    many.assert_has("a.b/good:1", &one).await;
    let files: Vec<_> = fs_err::read_dir(many.folder.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

/// The digest that is under a name, if it is the image of this manifest.
async fn there(to: &dyn Destination, manifest: &RawManifest) -> Option<Digest> {
    match to.present().await.unwrap() {
        None => to.equals(manifest).await.unwrap(),
        present => present,
    }
}

async fn the_same_again_changes_nothing(many: Many) {
    let samples: Vec<_> = (0..3).map(|n| many.sample(n)).collect();
    let to = many.open().await;
    put_all(&*to, &samples).await;
    to.finish().await.unwrap();
    drop(to);
    let before = fs_err::metadata(&many.place).unwrap().modified().unwrap();
    let to = many.open().await;
    let present = samples.iter().enumerate().map(|(n, sample)| {
        let to = &to;
        async move {
            let to = destination(&**to, &label(n)).await;
            assert_eq!(there(&*to, &sample.manifest).await, Some(sample.digest()));
            to.commit_referrers().await.unwrap();
        }
    });
    join_all(present).await;
    let other = destination(&*to, "x.y/other:1").await;
    assert_eq!(there(&*other, &samples[0].manifest).await, None);
    let moved = destination(&*to, &label(0)).await;
    assert_ne!(there(&*moved, &samples[1].manifest).await, Some(samples[1].digest()));
    drop((other, moved));
    to.finish().await.unwrap();
    drop(to);
    if many.kind != CollectionKind::Oci {
        assert_eq!(fs_err::metadata(&many.place).unwrap().modified().unwrap(), before);
    }
    for (n, sample) in samples.iter().enumerate() {
        many.assert_has(&label(n), sample).await;
    }
}

async fn another_image_takes_the_name(many: Many) {
    let to = many.open().await;
    let (old, new, kept) = (many.sample(1), many.sample(2), many.sample(3));
    old.put(destination(&*to, "a.b/moves:1").await).await.unwrap();
    kept.put(destination(&*to, "a.b/stays:1").await).await.unwrap();
    to.finish().await.unwrap();
    drop(to);
    let full = walk(many.folder.path());
    let to = many.open().await;
    new.put(destination(&*to, "a.b/moves:1").await).await.unwrap();
    to.finish().await.unwrap();
    drop(to);
    many.assert_has("a.b/moves:1", &new).await;
    many.assert_has("a.b/stays:1", &kept).await;
    assert_eq!(many.held().await.len(), 2);
    // What nobody needs any more is gone.
    assert!(walk(many.folder.path()) < full + 10_000);
}

async fn lists_of_lists_read_back(many: Many) {
    if many.kind == CollectionKind::DockerArchive {
        return; // which has none
    }
    let instances = [Sample::new(1), Sample::new(2)];
    let inner = Sample::index(&instances);
    let outer = {
        let digest = Digest::sha256(&inner.bytes);
        let text = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{0}\",\"manifests\":[{{\"mediaType\":\"{0}\",\
             \"digest\":\"{digest}\",\"size\":{1}}}]}}",
            MediaType::OCI_INDEX,
            inner.bytes.len()
        );
        RawManifest { media_type: MediaType::OCI_INDEX, bytes: text.into() }
    };
    let to = many.open().await;
    let image = destination(&*to, "a.b/nested:1").await;
    for instance in &instances {
        instance.put_blobs(&*image).await.unwrap();
        let which = Which::Instance(instance.digest());
        image.put_manifest(&instance.manifest, &which).await.unwrap();
    }
    let which = Which::Instance(Digest::sha256(&inner.bytes));
    image.put_manifest(&inner, &which).await.unwrap();
    image.put_manifest(&outer, &Which::Top).await.unwrap();
    image.commit(&outer).await.unwrap();
    to.finish().await.unwrap();
    drop(to);
    // Again, without asking anybody for what is there.
    let to = many.open().await;
    many.sample(3).put(destination(&*to, "a.b/other:1").await).await.unwrap();
    let image = destination(&*to, "a.b/nested:1").await;
    assert_eq!(image.present().await.unwrap(), Some(Digest::sha256(&outer.bytes)));
    drop(image);
    to.finish().await.unwrap();
    drop(to);
    let held = many.held().await;
    let held = held.iter().find(|held| held.label == "a.b/nested:1").unwrap();
    let source = open(&held.name, &many.options).await.unwrap();
    assert_eq!(source.manifest(&Which::Top).await.unwrap(), outer);
    assert_eq!(source.manifest(&which).await.unwrap(), inner);
    for instance in &instances {
        instance.assert_in(&*source, &Which::Instance(instance.digest())).await;
    }
}

async fn docker_manifests_stay(many: Many) {
    let sample = match many.kind {
        CollectionKind::DockerArchive => many.sample(1),
        _ => Sample::new(1).as_docker(),
    };
    let to = many.open().await;
    let image = destination(&*to, "a.b/docker:1").await;
    let accepts = &image.accepts().manifests;
    assert!(accepts.is_empty() || accepts.contains(&MediaType::DOCKER_MANIFEST));
    sample.put(image).await.unwrap();
    to.finish().await.unwrap();
    many.assert_has("a.b/docker:1", &sample).await;
}

#[tokio::test]
async fn layouts_are_shared_with_copies_of_single_images() {
    let many = Many::new(CollectionKind::Oci);
    let to = many.open().await;
    let (one, two) = (Sample::new(1), Sample::new(2));
    one.put(destination(&*to, "a.b/one:1").await).await.unwrap();
    // Another process, as it were.
    let name = skopeo_transport::ImageName::parse(&format!("oci:{}:two", many.place)).unwrap();
    two.put(skopeo_transport::create(&name, &many.options).await.unwrap()).await.unwrap();
    Sample::new(3).put(destination(&*to, "a.b/three:1").await).await.unwrap();
    to.finish().await.unwrap();
    assert_eq!(many.labels().await, ["a.b/one:1", "a.b/three:1", "place:two"]);
    many.assert_has("place:two", &two).await;
}
