//! What hangs on an image travels with it: `copy --referrers`, `inspect --referrers`.

use std::collections::BTreeSet;

use serde_json::Value;
use skopeo_testkit::registry::real::Real;
use skopeo_testkit::{Fault, Home, Image, On, Registry, skip};

use crate::stage::{home, sentence, skopeo};

/// A registry as they were before the API.
fn without_api() -> Registry {
    without_api_and(None)
}

/// The same with another fault, which comes before.
fn without_api_and(fault: Option<Fault>) -> Registry {
    let builder = fault.into_iter().fold(Registry::builder(), |it, fault| it.fault(fault));
    builder
        .fault(Fault::status(On::referrers(), 404))
        .fault(Fault::no_header(On::manifests().method("PUT"), "oci-subject"))
        .start()
}

/// An image with all that hangs on it.
pub(crate) struct Hung {
    pub(crate) image: Image,
    signature: Image,
    pub(crate) sbom: Image,
    /// On the list of parts.
    signature_of_sbom: Image,
    cosign: Image,
}

impl Hung {
    pub(crate) fn on(image: Image, seed: u64) -> Self {
        let signature = Image::notation(&image, seed);
        let sbom = Image::spdx(&image, seed);
        let signature_of_sbom = Image::notation(&sbom, seed);
        let cosign = Image::cosign(&image, &[seed, seed + 1]);
        Self { image, signature, sbom, signature_of_sbom, cosign }
    }

    pub(crate) fn push(&self, registry: &Registry, repository: &str, tag: &str) {
        self.image.push(registry, &format!("{repository}:{tag}"));
        for referrer in [&self.signature, &self.sbom, &self.signature_of_sbom] {
            referrer.push(registry, repository);
        }
        self.cosign.push(registry, &format!("{repository}:{}", cosign_tag(&self.image)));
    }

    /// What `inspect --referrers` should list.
    pub(crate) fn listed(&self) -> BTreeSet<(String, String)> {
        let pair =
            |subject: &Image, it: &Image| (subject.digest().to_string(), it.digest().to_string());
        BTreeSet::from([
            pair(&self.image, &self.signature),
            pair(&self.image, &self.sbom),
            pair(&self.sbom, &self.signature_of_sbom),
            pair(&self.image, &self.cosign),
        ])
    }
}

pub(crate) fn cosign_tag(image: &Image) -> String {
    format!("sha256-{}.sig", image.digest().hex())
}

/// Subjects and referrers as `inspect --referrers` lists them.
#[track_caller]
pub(crate) fn listed(home: &Home, name: &str) -> BTreeSet<(String, String)> {
    let entries = skopeo(home, &["inspect", "--referrers", name]).success().json();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let entries = entries.as_array().unwrap().iter();
    entries.map(|entry| (text(entry, "Subject"), text(entry, "Digest"))).collect()
}

pub(crate) fn notice(stderr: &str) -> Option<&str> {
    stderr.lines().find(|line| line.contains("level=info") && line.contains("Not copied"))
}

#[test]
fn everything_travels_and_the_name_is_given_last() {
    let (from, to) = (Registry::start(), Registry::start());
    let home = home(&[&from.host(), &to.host()]);
    let hung = Hung::on(Image::new(1), 1);
    hung.push(&from, "a/b", "v1");
    let (source, there) = (from.docker("a/b:v1"), to.docker("c/d:v2"));
    let run = skopeo(&home, &["copy", "--referrers", &source, &there]).success();
    assert_eq!(run.stderr, "");
    for referrer in [&hung.signature, &hung.sbom, &hung.signature_of_sbom, &hung.cosign] {
        let line = format!("Copying referrer {} (", referrer.digest());
        assert!(run.stdout.contains(&line), "{run}");
    }
    assert_eq!(listed(&home, &there), hung.listed());
    assert_eq!(listed(&home, &there), listed(&home, &source));
    let puts: Vec<_> = to.lines().into_iter().filter(|line| line.starts_with("PUT")).collect();
    assert_eq!(puts.last().unwrap(), "PUT /v2/c/d/manifests/v2");
    assert_eq!(puts.iter().filter(|line| line.contains("/manifests/")).count(), 5);
    // Nothing is written under the tag that stands in for the API, which is there.
    assert!(!puts.iter().any(|line| line.contains("manifests/sha256-") && !line.ends_with(".sig")));

    // The second time everything is there, and nothing is written or read but by HEAD and lists.
    to.forget_requests();
    from.forget_requests();
    let run = skopeo(&home, &["copy", "--referrers", &source, &there]).success();
    assert!(run.stdout.starts_with("Skipping: image already present"), "{run}");
    assert!(to.requests().iter().all(|seen| ["GET", "HEAD"].contains(&seen.method.as_str())));
    assert_eq!(from.count(&On::blobs().any_method()), 0);

    // What vanished there is brought again.
    let digest = hung.sbom.digest();
    let gone = to.root().join("c/d/blobs/sha256").join(digest.hex());
    fs_err::remove_file(gone).unwrap();
    skopeo(&home, &["copy", "--referrers", &source, &there]).success();
    assert_eq!(listed(&home, &there), hung.listed());

    // In the same registry blobs are mounted.
    from.forget_requests();
    let other = from.docker("e/f:v1");
    skopeo(&home, &["copy", "--referrers", &source, &other]).success();
    assert_eq!(listed(&home, &other), hung.listed());
    assert_eq!(from.count(&On::blobs()), 0, "{:?}", from.lines());
}

#[test]
fn registries_without_the_api_get_the_list_under_the_tag() {
    let (from, old, to) = (Registry::start(), without_api(), Registry::start());
    let home = home(&[&from.host(), &old.host(), &to.host()]);
    let hung = Hung::on(Image::new(2), 2);
    hung.push(&from, "a", "v1");
    let (source, there) = (from.docker("a:v1"), old.docker("b:v1"));
    skopeo(&home, &["copy", "--referrers", &source, &there]).success();
    assert_eq!(listed(&home, &there), hung.listed());
    let entries = skopeo(&home, &["inspect", "--referrers", &there]).success().json();
    let sbom = entries.as_array().unwrap().iter();
    let sbom = sbom.clone().find(|it| it["Digest"] == hung.sbom.digest().as_str()).unwrap();
    assert_eq!(sbom["Found"], "fallback-tag");
    assert_eq!(sbom["ArtifactType"], "application/spdx+json");
    assert_eq!(sbom["Annotations"]["org.opencontainers.image.created"], "2024-01-02T03:04:05Z");
    // What others have listed stays, and a second copy writes nothing.
    old.forget_requests();
    skopeo(&home, &["copy", "--referrers", &source, &there]).success();
    assert!(old.requests().iter().all(|seen| ["GET", "HEAD"].contains(&seen.method.as_str())));
    let more = Image::notation(&hung.image, 77);
    more.push(&from, "a");
    skopeo(&home, &["copy", "--referrers", &source, &there]).success();
    let mut all = hung.listed();
    all.insert((hung.image.digest().to_string(), more.digest().to_string()));
    assert_eq!(listed(&home, &there), all);
    // From there to where the API is.
    let back = to.docker("c:v1");
    skopeo(&home, &["copy", "--referrers", &there, &back]).success();
    assert_eq!(listed(&home, &back), all);
}

#[test]
fn distributions_registry_gets_them_and_gives_them_back() {
    let Some(real) = Real::start() else { skip!("docker-registry is not installed") };
    let (from, to) = (Registry::start(), Registry::start());
    let home = home(&[&from.host(), &real.host(), &to.host()]);
    let list = Image::platforms(3, 2);
    let hung = Hung::on(list.clone(), 3);
    hung.push(&from, "a", "v1");
    let of_instance = Hung::on(list.instances()[1].clone(), 4);
    of_instance.push(&from, "a", "arm64");
    let all = hung.listed().into_iter().chain(of_instance.listed()).collect();
    let (source, there, back) = (from.docker("a:v1"), real.docker("b:v1"), to.docker("c:v1"));
    for (source, destination) in [(&source, &there), (&there, &back)] {
        skopeo(&home, &["copy", "-q", "--all", "--referrers", source, destination]).success();
        assert_eq!(listed(&home, destination), all);
    }
}

#[test]
fn only_what_is_asked_for() {
    let from = Registry::start();
    let hung = Hung::on(Image::new(5), 5);
    hung.push(&from, "a", "v1");
    let source = from.docker("a:v1");
    let pairs = |images: &[(&Image, &Image)]| -> BTreeSet<_> {
        let texts = |(a, b): &(&Image, &Image)| (a.digest().to_string(), b.digest().to_string());
        images.iter().map(texts).collect()
    };
    let (image, sbom) = (&hung.image, &hung.sbom);
    for (types, expected) in [
        ("sbom", pairs(&[(image, sbom)])),
        ("signature", pairs(&[(image, &hung.signature), (image, &hung.cosign)])),
        (
            "application/spdx*,application/vnd.cncf.notary.signature",
            pairs(&[(image, &hung.signature), (image, sbom), (sbom, &hung.signature_of_sbom)]),
        ),
        ("application/x", pairs(&[])),
        ("sbom,all", hung.listed()),
    ] {
        let to = Registry::start();
        let home = home(&[&from.host(), &to.host()]);
        let there = to.docker("b:v1");
        skopeo(&home, &["copy", &format!("--referrers={types}"), &source, &there]).success();
        assert_eq!(listed(&home, &there), expected, "{types}");
    }
    let home = home(&[]);
    let run = skopeo(&home, &["copy", "--referrers=sig", &source, "dir:x"]).failure(1);
    assert!(sentence(&run).contains("unknown kind of referrer \"sig\""), "{run}");
}

#[test]
fn what_is_left_behind_is_mentioned_once_and_cheaply() {
    let from = Registry::start();
    let home = home(&[&from.host()]);
    let hung = Hung::on(Image::new(6), 6);
    hung.push(&from, "a", "v1");
    Image::new(7).push(&from, "bare:v1");
    let source = from.docker("a:v1");
    let run = skopeo(&home, &["copy", &source, "dir:x"]).success();
    assert_eq!(run.stderr.lines().count(), 1, "{run}");
    let expected = format!(
        "Not copied: 2 referrers and cosign's .sig of {}; --referrers copies them too",
        hung.image.digest()
    );
    assert!(notice(&run.stderr).is_some_and(|line| line.contains(&expected)), "{run}");
    let asked = from.lines().iter().filter(|line| line.contains("referrers")).count();
    let heads = from.lines().iter().filter(|line| line.contains("manifests/sha256-")).count();
    assert_eq!((asked, heads), (1, 3), "{:?}", from.lines());
    for arguments in [
        &["copy", "-q", &source, "dir:y"][..],
        &["copy", &from.docker("bare:v1"), "dir:z"],
        // It is there already: nothing was written, so nothing was left behind now.
        &["copy", &source, &source],
    ] {
        let run = skopeo(&home, arguments).success();
        assert_eq!(run.stderr, "", "{arguments:?}");
    }
    // Whatever goes wrong there, the copy does not mind.
    for fault in [
        Fault::status(On::referrers(), 500),
        Fault::status(On::referrers(), 401),
        Fault::hang_up(On::referrers()),
        Fault::silence(On::referrers()),
        Fault::stall(On::referrers()),
    ] {
        from.mend();
        from.fault(fault);
        let run = skopeo(&home, &["copy", &source, "oci:x:y"]).success();
        assert_eq!(run.stderr, "");
        fs_err::remove_dir_all(home.path("work/x")).unwrap();
    }
    // Without the API, the tag is asked for by HEAD.
    let old = without_api();
    home.insecure(&[&old.host(), &from.host()]);
    from.mend();
    skopeo(&home, &["copy", "-q", "--referrers", &source, &old.docker("a:v1")]).success();
    old.forget_requests();
    let run = skopeo(&home, &["copy", &old.docker("a:v1"), "oci:z:y"]).success();
    assert!(run.stderr.contains("Not copied: referrers and cosign's .sig of sha256:"), "{run}");
    assert_eq!(old.count(&On::manifests().containing("sha256-")), 0, "{:?}", old.lines());
}

#[test]
fn of_a_list_what_can_travel_does() {
    let (from, to) = (Registry::start(), Registry::start());
    let home = home(&[&from.host(), &to.host()]);
    let list = Image::platforms(8, 2);
    let (whole, instance) = (Hung::on(list.clone(), 8), Hung::on(list.instances()[0].clone(), 9));
    whole.push(&from, "a", "v1");
    instance.push(&from, "a", "amd64");
    let source = from.docker("a:v1");
    let one = to.docker("one:v1");
    let arguments = ["--override-arch", "amd64", "--override-os", "linux"];
    let copy = ["copy", "--referrers", &source, &one];
    let run = skopeo(&home, &[&arguments[..], &copy].concat()).success();
    let expected = format!("of the index {}, which is not copied as it is", list.digest());
    assert!(notice(&run.stderr).is_some_and(|line| line.contains(&expected)), "{run}");
    assert_eq!(listed(&home, &one), instance.listed());
    let all = to.docker("all:v1");
    let run = skopeo(&home, &["copy", "--all", "--referrers", &source, &all]).success();
    assert_eq!(run.stderr, "");
    let expected: BTreeSet<_> = whole.listed().into_iter().chain(instance.listed()).collect();
    assert_eq!(listed(&home, &all), expected);
    // What came to the source later is brought to the list that is there.
    let later = Image::spdx(&list.instances()[1], 10);
    later.push(&from, "a");
    skopeo(&home, &["copy", "--all", "--referrers", &source, &all]).success();
    assert_eq!(listed(&home, &all).len(), expected.len() + 1);
}

#[test]
fn what_would_make_it_meaningless_is_refused() {
    let (from, to) = (Registry::start(), Registry::start());
    let home = home(&[&from.host(), &to.host()]);
    let hung = Hung::on(Image::new(11), 11);
    hung.push(&from, "a", "v1");
    Image::new(12).push(&from, "bare:v1");
    let (source, there) = (from.docker("a:v1"), to.docker("b:v1"));
    for (flags, expected) in [
        (
            &["--format", "v2s2"][..],
            "converting it to application/vnd.docker.distribution.manifest",
        ),
        (&["--dest-compress-format", "zstd"], "compressing its layers to zstd would change"),
    ] {
        let copy = [&["copy", "--referrers"][..], flags, &[&source, &there]].concat();
        let run = skopeo(&home, &copy).failure(1);
        assert!(sentence(&run).contains(expected), "{run}");
        assert_eq!(to.count(&On::manifests().method("PUT")), 0);
        // Where nothing hangs, nothing is in the way.
        let bare = from.docker("bare:v1");
        let copy = [&["copy", "--referrers"][..], flags, &[&bare, &there]].concat();
        skopeo(&home, &copy).success();
        to.forget_requests();
    }
    let run = skopeo(&home, &["copy", "--referrers", &source, "dir:x"]).failure(1);
    let expected = "copying referrers to dir:x: images there cannot have referrers";
    assert!(sentence(&run).ends_with(expected), "{run}");
}

#[test]
fn one_that_does_not_come_is_named_and_no_name_is_given() {
    let (from, to) = (Registry::start(), Registry::start());
    let home = home(&[&from.host(), &to.host()]);
    let hung = Hung::on(Image::new(13), 13);
    hung.push(&from, "a", "v1");
    let (source, there) = (from.docker("a:v1"), to.docker("b:v1"));
    let blob = &hung.sbom.layers()[0].digest;
    let list = On::referrers().containing(hung.image.digest());
    for fault in [
        Fault::status(On::manifests().containing(hung.sbom.digest()), 404),
        Fault::corrupt(On::manifests().containing(hung.sbom.digest())),
        Fault::status(On::blobs().containing(blob), 404),
        Fault::corrupt(On::blobs().containing(blob)),
        Fault::status(list.clone(), 403),
        Fault::corrupt(list),
    ] {
        from.mend();
        from.fault(fault);
        let run = skopeo(&home, &["copy", "--referrers", &source, &there]).failure(1);
        let said = sentence(&run);
        let named = format!("copying referrer {} of {}", hung.sbom.digest(), hung.image.digest());
        let asked = format!("reading referrers of {}", hung.image.digest());
        assert!(said.contains(&named) || said.contains(&asked), "{run}");
        assert_eq!(to.count(&On::manifests().method("PUT").containing("/b/manifests/v1")), 0);
    }
    from.mend();
    skopeo(&home, &["copy", "--referrers", &source, &there]).success();
    assert_eq!(listed(&home, &there), hung.listed());
}

#[test]
fn cosigns_tags_lose_nothing() {
    let (from, to) = (Registry::start(), Registry::start());
    let home = home(&[&from.host(), &to.host()]);
    let image = Image::new(14);
    image.push(&from, "a:v1");
    let tag = cosign_tag(&image);
    let (source, there) = (from.docker("a:v1"), to.docker("b:v1"));
    let copy = ["copy", "--referrers", &source, &there];
    for (theirs, ours, expected) in [
        (&[1, 2][..], None, Some(&[1, 2][..])),
        (&[1, 2, 3], None, Some(&[1, 2, 3])), // more than is there
        (&[1, 2], Some(&[1, 2, 9][..]), Some(&[1, 2, 9])), // less
        (&[1, 2], Some(&[1, 9]), None),
    ] {
        Image::cosign(&image, theirs).push(&from, &format!("a:{tag}"));
        if let Some(ours) = ours {
            Image::cosign(&image, ours).push(&to, &format!("b:{tag}"));
        }
        let run = skopeo(&home, &copy);
        let Some(expected) = expected else {
            let said = sentence(&run.failure(1));
            assert!(
                said.ends_with(&format!("writing tag {tag}: the existing contents would be lost"))
            );
            continue;
        };
        run.success();
        let expected = Image::cosign(&image, expected).digest();
        let entries = skopeo(&home, &["inspect", "--referrers", &there]).success().json();
        assert_eq!(entries[0]["Digest"], expected.as_str());
        assert_eq!(entries[0]["Tag"], tag.as_str());
    }
}

#[test]
fn lists_under_tags_that_others_overwrite_are_written_again() {
    let from = Registry::start();
    let image = Image::new(15);
    image.push(&from, "a:v1");
    let mut expected = BTreeSet::new();
    for seed in 0..3 {
        let referrer = Image::notation(&image, seed);
        referrer.push(&from, "a");
        expected.insert((image.digest().to_string(), referrer.digest().to_string()));
    }
    let source = from.docker("a:v1");
    for (lost, succeeds) in [(3, true), (99, false)] {
        // As if somebody else had put back at once what was there before.
        let list = On::manifests().method("PUT").containing("manifests/sha256-");
        let old = without_api_and(Some(Fault::status(list, 201).times(lost)));
        let home = home(&[&from.host(), &old.host()]);
        let there = old.docker("b:v1");
        let run = skopeo(&home, &["copy", "--referrers", &source, &there]);
        if succeeds {
            run.success();
            assert_eq!(listed(&home, &there), expected);
        } else {
            let said = sentence(&run.failure(1));
            assert!(said.contains("others changed it 8 times in the meantime"), "{said}");
            assert_eq!(old.count(&On::manifests().method("PUT").containing("/v1")), 0);
        }
    }
}
