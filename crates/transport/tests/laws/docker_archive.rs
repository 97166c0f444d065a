//! What `docker-archive:` promises: the laws, as far as a place without manifests can keep them,
//! and what broken and hostile archives come to.

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use serde_json::json;
use skopeo_blob::{Encoder, Recode, StreamError, Unverified, recode};
use skopeo_image::manifest::docker;
use skopeo_image::{Descriptor, Digest, MediaType, RawManifest, Which, go_json};
use skopeo_testkit::Tar;
use skopeo_testkit::tar::octal;
use skopeo_transport::{Destination, Error, How, LayerForm, Role, Wish, open, tags};

use crate::sample::{blob, descriptor, unverified};
use crate::{Place, Sample};

/// An image as an archive can hold it: its config says what is in the layers, and they are plain.
pub(crate) fn sample(seed: u32) -> Sample {
    let Sample { layers, .. } = Sample::new(seed);
    let diff_ids: Vec<String> = layers.iter().map(|it| Digest::sha256(it).to_string()).collect();
    let config = json!({"author": seed, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = Bytes::from(config.to_string());
    let of = |media_type: MediaType, bytes: &Bytes| {
        Descriptor::new(media_type, Digest::sha256(bytes), Some(bytes.len() as u64))
    };
    let described = layers.iter().map(|layer| of(MediaType::DOCKER_LAYER_GZIP, layer)).collect();
    let manifest = docker::Manifest::new(of(MediaType::DOCKER_CONFIG, &config), described);
    let bytes = go_json::to_vec(&manifest).unwrap().into();
    let manifest = RawManifest { media_type: MediaType::DOCKER_MANIFEST, bytes };
    Sample { config, layers, manifest }
}

fn place() -> Place {
    Place::at(|folder| format!("docker-archive:{folder}/image.tar:tag"))
}

#[tokio::test]
async fn what_was_written_reads_back() {
    let place = place();
    sample(1).put(place.create().await).await.unwrap();
    let source = place.open().await.unwrap();
    assert_eq!(source.name(), &place.name);
    sample(1).assert_in(&*source, &Which::Top).await;
    assert_eq!(place.files(), ["image.tar"]);
    let missing = Which::Instance(Digest::sha256(b"missing"));
    assert!(source.manifest(&missing).await.is_err());
}

#[tokio::test]
async fn what_is_unnamed_is_named_when_it_has_come() {
    let place = place();
    let sample = sample(1);
    let to = place.create().await;
    let unpack = |layer: &Bytes| {
        let gzip = recode(blob(layer), Recode::Compress { to: Encoder::Gzip { level: None } });
        recode(gzip, Recode::Decompress { from: skopeo_image::Compression::Gzip })
    };
    // Twice: what is there already is forgotten again.
    for layer in sample.layers.iter().chain(&sample.layers) {
        let stored = to.put_blob(unpack(layer), Role::Layer(0)).await.unwrap();
        assert_eq!((stored.digest, stored.size), (Digest::sha256(layer), layer.len() as u64));
    }
    to.put_blob(blob(&sample.config), Role::Config).await.unwrap();
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    to.commit(&sample.manifest).await.unwrap();
    sample.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
    let size = fs_err::metadata(place.folder.path().join("image.tar")).unwrap().len();
    assert!(size < 700_000, "{size}");
}

#[tokio::test]
async fn nothing_is_visible_before_the_commit() {
    let place = place();
    for (seed, old) in [(1, None), (2, Some(1))] {
        let to = place.create().await;
        sample(seed).put_blobs(&*to).await.unwrap();
        to.put_manifest(&sample(seed).manifest, &Which::Top).await.unwrap();
        match old {
            Some(old) => sample(old).assert_in(&*place.open().await.unwrap(), &Which::Top).await,
            None => assert!(place.open().await.is_err()),
        }
        to.commit(&sample(seed).manifest).await.unwrap();
        sample(seed).assert_in(&*place.open().await.unwrap(), &Which::Top).await;
    }
    // The tag has moved, the image before has none.
    let listed = tags(&place.name, &place.options).await.unwrap();
    assert_eq!(listed, ["@0", "docker.io/library/tag:latest"]);
    let old = open(&place.name("docker-archive:{}/image.tar:@0"), &place.options).await.unwrap();
    sample(1).assert_in(&*old, &Which::Top).await;
}

#[tokio::test]
async fn a_corrupt_stream_leaves_nothing() {
    let place = place();
    let sample = sample(1);
    let bytes = sample.layers[1].clone();
    let to = place.create().await;
    let other = Digest::sha256(b"other");
    for bad in [
        unverified(&bytes).expect(&other, None),
        unverified(&bytes).expect(&other, Some(bytes.len() as u64)),
        unverified(&bytes.slice(1..)).expect(&Digest::sha256(&bytes), None),
        unverified(&bytes).expect(&other, Some(5)),
    ] {
        let error = to.put_blob(bad, Role::Layer(0)).await.unwrap_err();
        let stream =
            matches!(error, Error::Stream(StreamError::Digest { .. } | StreamError::Size { .. }));
        assert!(stream, "{error:?}");
    }
    let wanted = descriptor(&bytes);
    let wish = Wish { blob: &wanted, role: Role::Layer(0), from: Some(&place.name) };
    assert_eq!(to.reuse(&wish).await.unwrap(), None);
    // What had a place and did not come is missed.
    sample.put_blobs(&*to).await.unwrap();
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    assert!(to.commit(&sample.manifest).await.is_err());
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn what_broke_is_written_again() {
    let place = place();
    let sample = sample(1);
    let to = place.create().await;
    for (bytes, role) in sample.blobs() {
        let size = bytes.len() as u64;
        let bad = Unverified::new(skopeo_blob::file::read(&b"short"[..], size), Some(size));
        let bad = bad.expect(&Digest::sha256(&bytes), Some(size));
        to.put_blob(bad, role).await.unwrap_err();
        to.put_blob(blob(&bytes), role).await.unwrap();
    }
    to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
    to.commit(&sample.manifest).await.unwrap();
    sample.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
}

#[tokio::test]
async fn an_abandoned_copy_leaves_nothing() {
    let place = place();
    let to = place.create().await;
    sample(1).put_blobs(&*to).await.unwrap();
    to.put_manifest(&sample(1).manifest, &Which::Top).await.unwrap();
    to.abandon().await;
    drop(place.create().await);
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[tokio::test]
async fn reuse_never_lies() {
    let place = place();
    sample(1).put(place.create().await).await.unwrap();
    let to = place.create().await;
    let mut wanted = descriptor(&sample(1).layers[0]);
    let ask = async |to: &dyn Destination, wanted: &Descriptor, role| {
        let wish = Wish { blob: wanted, role, from: Some(&place.name) };
        to.reuse(&wish).await.unwrap().map(|stored| stored.how)
    };
    assert_eq!(ask(&*to, &wanted, Role::Layer(0)).await, Some(How::Present));
    wanted.size = Some(3);
    assert_eq!(ask(&*to, &wanted, Role::Layer(0)).await, None);
    wanted = descriptor(&sample(2).layers[0]);
    assert_eq!(ask(&*to, &wanted, Role::Layer(0)).await, None);
}

#[tokio::test]
async fn puts_of_one_digest_at_once_are_one_blob() {
    let place = place();
    let sample = sample(1);
    let to = place.create().await;
    let puts = (0..8).map(|n| to.put_blob(blob(&sample.layers[1]), Role::Layer(n)));
    for stored in join_all(puts).await {
        assert_eq!(stored.unwrap().digest, Digest::sha256(&sample.layers[1]));
    }
    sample.put(to).await.unwrap();
    sample.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
}

#[tokio::test]
async fn commits_what_was_put_and_nothing_else() {
    let place = place();
    let to = place.create().await;
    sample(1).put_blobs(&*to).await.unwrap();
    to.put_manifest(&sample(1).manifest, &Which::Top).await.unwrap();
    assert!(to.commit(&sample(2).manifest).await.is_err());
    // Neither a layer nor the config may be missing.
    for missing in 0..3 {
        let to = place.create().await;
        for (at, (bytes, role)) in sample(1).blobs().into_iter().enumerate() {
            if at != missing {
                to.put_blob(blob(&bytes), role).await.unwrap();
            }
        }
        to.put_manifest(&sample(1).manifest, &Which::Top).await.unwrap();
        assert!(to.commit(&sample(1).manifest).await.is_err(), "{missing}");
    }
    let to = place.create().await;
    assert_eq!(to.accepts().layers, LayerForm::Uncompressed);
    assert!(to.put_manifest(&Sample::new(1).manifest, &Which::Top).await.is_err());
    drop(to);
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn takes_one_copy_at_a_time() {
    let place = place();
    // One that is new, and one that is there: the second waits for the first.
    for (seeds, tags_then) in [([1, 2], 2), ([3, 4], 4)] {
        let first = place.create().await;
        let mut second = Box::pin(place.create());
        let waits = tokio::time::timeout(std::time::Duration::from_millis(300), &mut second).await;
        assert!(waits.is_err(), "two have it");
        sample(seeds[0]).put(first).await.unwrap();
        sample(seeds[1]).put(second.await).await.unwrap();
        assert_eq!(tags(&place.name, &place.options).await.unwrap().len(), tags_then);
        sample(seeds[1]).assert_in(&*place.open().await.unwrap(), &Which::Top).await;
    }
}

/// Reads all that an archive says it has.
async fn read(place: &Place) -> Result<(), Error> {
    let source = place.open().await?;
    let manifest = source.manifest(&Which::Top).await?;
    let manifest = docker::Manifest::parse(&manifest.bytes).unwrap();
    for wanted in manifest.layers.iter().chain([&manifest.config]) {
        let read = source.blob(wanted).await?.expect(&wanted.digest, wanted.size);
        read.into_stream().try_for_each(async |_| Ok(())).await?;
    }
    tags(&place.name, &place.options).await.map(drop)
}

fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn broken_and_hostile_archives_are_refused() {
    let layer = b"a layer that is no tar, which nobody minds".repeat(40);
    let diff_id = Digest::sha256(&layer);
    let config = |diff_ids: &[&str]| json!({"rootfs": {"diff_ids": diff_ids}}).to_string();
    let good = config(&[diff_id.as_str()]);
    let item = |config: &str, layers: &[&str]| {
        json!([{"Config": config, "RepoTags": ["tag:latest"], "Layers": layers}]).to_string()
    };
    let manifest = item("c", &["l"]);
    let base = || Tar::new().file("manifest.json", &manifest).file("c", &good);
    let with = |text: String| Tar::new().file("manifest.json", text).file("c", &good);
    let large = " ".repeat(16 << 20);
    let gzip = skopeo_testkit::image::compress(&layer, skopeo_image::Compression::Gzip);
    let rows: Vec<(&str, Tar, &str)> = vec![
        ("whole", base().file("l", &layer), ""),
        ("packed", base().file("l", &gzip), ""),
        ("the last of one name", base().file("l", "old").file("./l", &layer), ""),
        ("a link", base().file("d/x", &layer).symlink("l", "d/./x"), ""),
        ("a hard link", base().file("d/x", &layer).hard_link("l", "d/x"), ""),
        ("an absolute name", base().file("/l", &layer), ""),
        ("no layer", base(), "Some layer tarfiles are missing in the tarball: l"),
        ("another layer", base().file("l", "other"), "Digest did not match"),
        ("another packed", base().file("l", &gzip[..gzip.len() - 9]), "reading \"l\" to find its"),
        ("a loop", base().symlink("l", "m").symlink("m", "l"), "too many links"),
        ("a link out", base().symlink("l", "../../etc/passwd"), "outside of the archive"),
        ("a link to the root", base().symlink("l", "/etc/passwd"), "outside of the archive"),
        ("a folder", base().folder("l/"), "Some layer tarfiles are missing in the tarball: l"),
        ("a fifo", base().link(b'6', "l", ""), "Some layer tarfiles are missing"),
        ("sparse", base().raw(b'S', "l", "", &octal(4), b"abcd"), "sparse"),
        ("longer than it is", base().raw(b'0', "l", "", &octal(4 << 30), b"x"), "is truncated"),
        ("no manifest", Tar::new().file("c", &good), "loading tar component \"manifest.json\""),
        ("no JSON", with("{".into()), "decoding tar manifest.json"),
        ("deep JSON", with("[".repeat(1 << 20)), "decoding tar manifest.json"),
        ("a long manifest", with(large.clone() + "[]"), "more than the limit of 16777216"),
        ("a path out", with(item("../../../etc/passwd", &[])), "file does not exist"),
        ("an absolute path", with(item("/etc/passwd", &[])), "file does not exist"),
        ("no tag", with(item("c", &[]).replace("tag:", "gat:")), "Tag \"docker.io/library/tag"),
        ("a bad tag", with(item("c", &[]).replace("tag:", "TAG:")), "Invalid tag \"TAG:latest\""),
        ("no layers", with(item("c", &[])), "Inconsistent layer count: 0 in manifest, 1 in config"),
        (
            "a long config",
            Tar::new().file("manifest.json", &manifest).file("c", large.repeat(4) + &good),
            "more than the limit of 4194304",
        ),
        (
            "a deep config",
            Tar::new().file("manifest.json", &manifest).file("c", "{\"a\":".repeat(500_000)),
            "decoding tar config \"c\"",
        ),
        (
            "no digest",
            Tar::new().file("manifest.json", &manifest).file("c", config(&["../x"])),
            "decoding tar config \"c\"",
        ),
        (
            "no diff ids",
            Tar::new().file("manifest.json", &manifest).file("c", "{}"),
            "Invalid image config (rootFS is not set): \"c\"",
        ),
        (
            "one file for two",
            Tar::new()
                .file("manifest.json", item("c", &["l", "./l"]))
                .file("c", config(&[diff_id.as_str(), Digest::sha256(b"").as_str()]))
                .file("l", &layer),
            "Layer tarfile \"./l\" used for two different DiffID values",
        ),
    ];
    for (what, tar, sentence) in rows {
        let place = place();
        fs_err::write(place.folder.path().join("image.tar"), tar.end()).unwrap();
        let told = read(&place).await.err().map(|error| chain(&error)).unwrap_or_default();
        assert!(told.contains(sentence), "{what}: {told}");
        assert_eq!(told.is_empty(), sentence.is_empty(), "{what}: {told}");
    }
}

#[tokio::test]
async fn what_is_cut_off_anywhere_is_refused() {
    let place = place();
    sample(1).put(place.create().await).await.unwrap();
    let file = place.folder.path().join("image.tar");
    let whole = fs_err::read(&file).unwrap();
    // Where nothing of an image is missing: `repositories`, of which nobody asks, is the last member.
    let end = whole.len() - 2 * 512;
    let lists = end - 2 * 1024;
    let is_whole = |cut: usize| cut.is_multiple_of(512) && (cut == end - 1024 || cut >= end);
    let ends = (0..whole.len())
        .step_by(512)
        .filter(|end| end.is_multiple_of(32_768) || *end > lists - 8192);
    for end in ends.flat_map(|end| [end, end + 7]) {
        fs_err::write(&file, &whole[..end]).unwrap();
        let result = read(&place).await;
        assert_eq!(result.is_ok(), is_whole(end), "{end} {result:?}");
    }
}
