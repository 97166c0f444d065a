//! What hangs on an image travels through `oci:` and `oci-archive:`, too.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use skopeo_image::Digest;
use skopeo_testkit::{Home, Image, Registry};

use crate::referrers::{Hung, cosign_tag, listed, notice};
use crate::stage::{home, sentence, skopeo, start};

fn index(folder: &Path) -> Value {
    serde_json::from_slice(&fs_err::read(folder.join("index.json")).unwrap()).unwrap()
}

/// The references in a layout, in their order; `-` for what has none.
fn names(folder: &Path) -> Vec<String> {
    let index = index(folder);
    let name = |entry: &Value| {
        let name = &entry["annotations"]["org.opencontainers.image.ref.name"];
        name.as_str().unwrap_or("-").to_owned()
    };
    index["manifests"].as_array().unwrap().iter().map(name).collect()
}

fn blobs(folder: &Path) -> BTreeSet<String> {
    let entries = fs_err::read_dir(folder.join("blobs/sha256")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[track_caller]
fn copy(home: &Home, from: &str, to: &str) {
    let run = skopeo(home, &["copy", "--all", "--referrers", from, to]).success();
    assert_eq!(run.stderr, "");
}

#[test]
fn everything_travels_through_and_back() {
    let (from, to) = (Registry::start(), Registry::start());
    let home = home(&[&from.host(), &to.host()]);
    let list = Image::platforms(1, 2);
    let (whole, instance) = (Hung::on(list.clone(), 1), Hung::on(list.instances()[1].clone(), 2));
    whole.push(&from, "a", "v1");
    instance.push(&from, "a", "arm64");
    let all: BTreeSet<_> = whole.listed().into_iter().chain(instance.listed()).collect();
    let source = from.docker("a:v1");
    for (at, place) in
        ["oci:named:v1", "oci:bare", "oci-archive:named.tar:v1", "oci-archive:bare.tar"]
            .into_iter()
            .enumerate()
    {
        copy(&home, &source, place);
        assert_eq!(listed(&home, place), all, "{place}");
        let back = to.docker(&format!("b{at}:v1"));
        copy(&home, place, &back);
        assert_eq!(listed(&home, &back), all, "{place}");
        // Without the flag it is said what stays behind.
        let run = skopeo(&home, &["copy", "--all", place, &to.docker("c:v1")]).success();
        let expected = format!("Not copied: 2 referrers and cosign's .sig of {}", list.digest());
        if at == 0 {
            assert!(notice(&run.stderr).is_some_and(|it| it.contains(&expected)), "{run}");
        }
    }
    // From one to the other, which a registry serves.
    fs_err::create_dir(home.path("work/served")).unwrap();
    copy(&home, "oci-archive:bare.tar", "oci:served/d:v1");
    assert_eq!(listed(&home, "oci:served/d"), all);
    let served = Registry::builder().root(home.path("work/served")).start();
    home.insecure(&[&served.host()]);
    assert_eq!(listed(&home, &served.docker("d:v1")), all);
}

#[test]
fn again_nothing_is_written_and_what_is_new_is_added() {
    let from = Registry::start();
    let home = home(&[&from.host()]);
    let hung = Hung::on(Image::new(3), 3);
    hung.push(&from, "a", "v1");
    let (source, folder) = (from.docker("a:v1"), home.path("work/x"));
    copy(&home, &source, "oci:x:v1");
    let fallback = format!("sha256-{}", hung.image.digest().hex());
    let mut expected = vec![
        "v1".to_owned(),
        fallback,
        format!("sha256-{}", hung.sbom.digest().hex()),
        cosign_tag(&hung.image),
    ];
    expected.sort();
    let mut there = names(&folder);
    assert_eq!(there[0], "v1");
    there.sort();
    assert_eq!(there, expected);
    let before = fs_err::read(folder.join("index.json")).unwrap();
    copy(&home, &source, "oci:x:v1");
    assert_eq!(fs_err::read(folder.join("index.json")).unwrap(), before);

    let more = Image::notation(&hung.image, 4);
    more.push(&from, "a");
    copy(&home, &source, "oci:x:v1");
    let mut all = hung.listed();
    all.insert((hung.image.digest().to_string(), more.digest().to_string()));
    assert_eq!(listed(&home, "oci:x:v1"), all);
    assert_eq!(names(&folder).len(), 4);

    // What vanished is brought again.
    fs_err::remove_file(folder.join("blobs/sha256").join(more.layers()[0].digest.hex())).unwrap();
    copy(&home, &source, "oci:x:v1");
    assert!(folder.join("blobs/sha256").join(more.layers()[0].digest.hex()).exists());

    // What others hung there is not lost.
    let other = Registry::start();
    home.insecure(&[&from.host(), &other.host()]);
    hung.image.push(&other, "a:v1");
    let signature = Image::cosign(&hung.image, &[77]);
    signature.push(&other, &format!("a:{}", cosign_tag(&hung.image)));
    let run = skopeo(&home, &["copy", "--referrers", &other.docker("a:v1"), "oci:x:v1"]).failure(1);
    assert!(sentence(&run).contains(&cosign_tag(&hung.image)), "{run}");
    assert_eq!(listed(&home, "oci:x:v1"), all);
}

#[test]
fn what_says_itself_what_it_hangs_on_is_found() {
    // As a registry stores what is pushed: without lists, but for cosign's tags.
    let (from, to) = (Registry::start(), Registry::start());
    let home = home(&[&to.host()]);
    let hung = Hung::on(Image::new(5), 5);
    hung.push(&from, "a", "v1");
    let layout = format!("oci:{}:v1", from.root().join("a").display());
    assert_eq!(listed(&home, &layout), hung.listed());
    let there = to.docker("b:v1");
    copy(&home, &layout, &there);
    assert_eq!(listed(&home, &there), hung.listed());
}

#[test]
fn copies_at_once_into_one_layout_lose_nothing() {
    let registries: Vec<_> = (0..4).map(|_| Registry::start()).collect();
    let hosts: Vec<String> = registries.iter().map(Registry::host).collect();
    let home = home(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
    let image = Image::new(6);
    let mut all = BTreeSet::new();
    for (registry, seed) in registries.iter().zip(10..) {
        image.push(registry, "a:v1");
        let sbom = Image::spdx(&image, seed);
        sbom.push(registry, "a");
        all.insert((image.digest().to_string(), sbom.digest().to_string()));
    }
    let copies: Vec<_> = registries
        .iter()
        .map(|it| start(&home, &["copy", "--referrers", &it.docker("a:v1"), "oci:x:v1"]))
        .collect();
    for copy in copies {
        crate::stage::finish(copy, "copy").success();
    }
    assert_eq!(listed(&home, "oci:x:v1"), all);
}

#[test]
fn deleting_takes_what_hangs_on_nothing_else() {
    let from = Registry::start();
    let home = home(&[&from.host()]);
    let (first, second) = (Hung::on(Image::new(7), 7), Hung::on(Image::new(8), 8));
    first.push(&from, "a", "v1");
    second.push(&from, "b", "v1");
    copy(&home, &from.docker("a:v1"), "oci:both:first");
    copy(&home, &from.docker("b:v1"), "oci:both:second");
    copy(&home, &from.docker("b:v1"), "oci:both:again");
    copy(&home, &from.docker("b:v1"), "oci:alone:second");
    skopeo(&home, &["delete", "oci:both:first"]).success();
    skopeo(&home, &["delete", "oci:both:again"]).success();
    assert_eq!(listed(&home, "oci:both:second"), second.listed());
    assert_eq!(blobs(&home.path("work/both")), blobs(&home.path("work/alone")));
    // The only image goes with all that hangs on it.
    skopeo(&home, &["delete", "oci:alone"]).success();
    assert!(names(&home.path("work/alone")).is_empty());
    assert!(blobs(&home.path("work/alone")).is_empty());
}

#[test]
fn broken_lists_are_errors_and_nothing_gets_a_name() {
    let (from, to) = (Registry::start(), Registry::start());
    let home = home(&[&from.host(), &to.host()]);
    let hung = Hung::on(Image::new(9), 9);
    hung.push(&from, "a", "v1");
    copy(&home, &from.docker("a:v1"), "oci:x:v1");
    let folder = home.path("work/x");
    let name = format!("sha256-{}", hung.image.digest().hex());
    let good = index(&folder);
    let nonsense = b"{\"schemaVersion\":2,\"manifests\":[{}]}";
    let nonsense_digest = Digest::sha256(nonsense);
    fs_err::write(folder.join("blobs/sha256").join(nonsense_digest.hex()), nonsense).unwrap();
    let absent = Digest::sha256(b"absent");
    for (key, value) in [
        ("digest", json!(nonsense_digest.as_str())),
        ("digest", json!(absent.as_str())),
        ("digest", json!("sha256:nonsense")),
        ("mediaType", json!("text/plain")),
    ] {
        let mut broken = good.clone();
        for entry in broken["manifests"].as_array_mut().unwrap() {
            if entry["annotations"]["org.opencontainers.image.ref.name"] == name.as_str() {
                entry[key] = value.clone();
            }
        }
        fs_err::write(folder.join("index.json"), broken.to_string()).unwrap();
        for there in [to.docker("b:v1"), "oci-archive:y.tar".to_owned()] {
            let run = skopeo(&home, &["copy", "--referrers", "oci:x:v1", &there]).failure(1);
            assert!(!run.stderr.contains("panicked"), "{run}");
            assert_ne!(skopeo(&home, &["inspect", "--raw", &there]).code, Some(0));
        }
        // Without the flag nobody minds.
        skopeo(&home, &["copy", "oci:x:v1", "dir:z"]).success();
    }
}
