//! Lies about what hangs on images.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use skopeo_image::{Digest, MediaType};
use skopeo_testkit::{Fault, Image, On};

use super::source::{HONEST, Kind, Source};
use super::table::{Lie, blob};
use super::{FILE, SINGLE, Stage};

/// Images with signatures and lists of their parts.
const HUNG: Kind = Kind {
    image: |seed| Image::builder(seed).layer_size(300).layers(1).build(),
    push: |image, registry, name| {
        let repository = name.split(':').next().unwrap();
        image.push(registry, name);
        for referrer in referrers(image) {
            referrer.push(registry, repository);
        }
        cosign(image).push(registry, &format!("{repository}:{}", tag(image)));
    },
    lies,
};

/// What refers to an image; the last to the one before.
fn referrers(image: &Image) -> [Image; 3] {
    let parts = Image::spdx(image, 1);
    [Image::notation(image, 1), parts.clone(), Image::notation(&parts, 1)]
}

fn cosign(image: &Image) -> Image {
    Image::cosign(image, &[1, 2])
}

fn tag(image: &Image) -> String {
    format!("sha256-{}.sig", image.digest().hex())
}

fn entry(image: &Image) -> Value {
    let (digest, size) = (image.digest(), image.manifest().bytes.len());
    let media_type = image.media_type();
    json!({"mediaType": media_type.as_str(), "digest": digest.as_str(), "size": size})
}

fn list(entries: Value) -> String {
    let index = MediaType::OCI_INDEX;
    json!({"schemaVersion": 2, "mediaType": index.as_str(), "manifests": entries}).to_string()
}

fn manifest(repository: &str, reference: &str) -> On {
    let target = format!("/v2/{repository}/manifests/{reference}");
    On::manifests().any_method().containing(target)
}

fn lies(repository: &str, image: &Image, other: &Image) -> Vec<Lie> {
    let mut lies = about_lists(repository, image, other);
    lies.extend(about_referrers(repository, image, other));
    lies.extend(about_tags(repository, image, other));
    lies
}

fn about_lists(repository: &str, image: &Image, other: &Image) -> Vec<Lie> {
    let of = |image: &Image| {
        On::referrers().containing(format!("/v2/{repository}/referrers/{}", image.digest()))
    };
    let [signature, parts, deep] = referrers(image);
    let given = |entries: Value| vec![Fault::instead(of(image), list(entries))];
    let with = |key: &str, value: Value| {
        let mut first = entry(&signature);
        first[key] = value;
        given(json!([first, entry(&parts)]))
    };
    let mut lies: Vec<Lie> = Vec::new();
    for size in [json!(0), json!(1), json!(70000), json!(u64::MAX), json!(-1), json!("x")] {
        lies.push(("a size of a referrer", with("size", size)));
    }
    for media_type in [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar",
        "",
    ] {
        lies.push(("a type of a referrer", with("mediaType", json!(media_type))));
    }
    // What refers to another image, which is there under its own name.
    let foreign = Image::notation(other, 9);
    let mut of_another = given(json!([entry(&foreign)]));
    let on = manifest(repository, foreign.digest().as_str());
    of_another.push(Fault::instead(on.clone(), foreign.manifest().bytes.clone()));
    for layer in foreign.layers() {
        of_another.push(Fault::instead(blob(repository, &layer.digest), layer.bytes.clone()));
    }
    let mut by_its_name = given(json!([entry(&foreign)]));
    by_its_name.push(Fault::instead(on, signature.manifest().bytes.clone()));
    let mut twice = entry(&signature);
    twice["size"] = json!(3);
    lies.extend([
        ("a referrer that is not there", {
            given(json!([entry(&Image::notation(image, 5)), entry(&parts)]))
        }),
        ("a referrer of another image", of_another),
        ("a referrer by the name of another", by_its_name),
        ("a referrer twice, of two sizes", given(json!([entry(&signature), twice]))),
        ("the image for its referrer", given(json!([entry(image)]))),
        ("a digest that is none", with("digest", json!("sha256:x"))),
        ("no list", vec![Fault::instead(of(image), "the attacker's bytes")]),
        ("no bytes of a list", vec![Fault::instead(of(image), "")]),
        ("an image for the list", {
            vec![Fault::instead(of(image), image.manifest().bytes.clone())]
        }),
        ("a list with a byte", vec![Fault::corrupt(of(image)).after(30)]),
        ("a list packed by gzip", vec![Fault::encoded(of(image))]),
        ("half a list", vec![Fault::unannounced(of(image)).after(60)]),
        ("a list without an end", vec![Fault::endless(of(image))]),
        ("what hangs on a referrer hangs in a circle", {
            vec![Fault::instead(of(&parts), list(json!([entry(&parts), entry(&signature)])))]
        }),
        ("a size of what hangs on a referrer", {
            let mut entry = entry(&deep);
            entry["size"] = json!(1);
            vec![Fault::instead(of(&parts), list(json!([entry])))]
        }),
    ]);
    lies
}

fn about_referrers(repository: &str, image: &Image, other: &Image) -> Vec<Lie> {
    let [signature, _, deep] = referrers(image);
    let [others, ..] = referrers(other);
    let on = |image: &Image| manifest(repository, image.digest().as_str());
    let layer = || blob(repository, &signature.layers()[0].digest);
    let evil = "the attacker's bytes ".repeat(90);
    // Named and announced as it is, with a size of its blob that is wrong.
    let of_size = |size: Value| {
        let mut document: Value = serde_json::from_slice(&signature.manifest().bytes).unwrap();
        document["layers"][0]["size"] = size;
        let text = document.to_string();
        let digest = Digest::sha256(text.as_bytes());
        let entry = json!({
            "mediaType": MediaType::OCI_MANIFEST.as_str(),
            "digest": digest.as_str(),
            "size": text.len(),
        });
        let target = format!("/v2/{repository}/referrers/{}", image.digest());
        vec![
            Fault::instead(On::referrers().containing(target), list(json!([entry]))),
            Fault::instead(manifest(repository, digest.as_str()), text),
        ]
    };
    let others = || others.manifest().bytes.clone();
    [
        ("a signature of another image", Fault::instead(on(&signature), others())),
        ("no signature", Fault::instead(on(&signature), evil.clone())),
        ("half a signature", Fault::unannounced(on(&signature)).after(90)),
        ("a signature with a byte", Fault::corrupt(on(&signature)).after(90)),
        ("a signature of another name", Fault::wrong_digest(on(&signature))),
        ("a signature packed by gzip", Fault::encoded(on(&signature))),
        ("a signature without an end", Fault::endless(on(&signature))),
        ("what hangs on what hangs", Fault::instead(on(&deep), others())),
        ("a blob of a signature", Fault::instead(layer(), evil)),
        ("a byte of a blob of a signature", Fault::corrupt(layer()).after(9)),
        ("a byte more of a blob of a signature", Fault::too_much(layer(), 1)),
        ("less of a blob of a signature", Fault::unannounced(layer()).after(9)),
        ("no end of a blob of a signature", Fault::endless(layer())),
    ]
    .map(|(name, fault)| (name, vec![fault]))
    .into_iter()
    .chain([json!(0), json!(1_u64 << 40)].map(|size| ("a size in a signature", of_size(size))))
    .collect()
}

fn about_tags(repository: &str, image: &Image, other: &Image) -> Vec<Lie> {
    let on = || manifest(repository, &tag(image));
    let own = cosign(image);
    let layer = || blob(repository, &own.layers()[0].digest);
    let evil = "the attacker's bytes ".repeat(90);
    let sized = |size: u64| {
        let mut document: Value = serde_json::from_slice(&own.manifest().bytes).unwrap();
        document["layers"][0]["size"] = json!(size);
        let text = document.to_string();
        let digest = Digest::sha256(text.as_bytes());
        let by_digest = manifest(repository, digest.as_str());
        vec![Fault::instead(on(), text.clone()), Fault::instead(by_digest, text)]
    };
    let mut lies: Vec<Lie> = [
        ("no signature under a tag", Fault::instead(on(), evil.clone())),
        ("the image under a tag", Fault::instead(on(), image.manifest().bytes.clone())),
        ("half of what is under a tag", Fault::unannounced(on()).after(90)),
        ("a byte under a tag", Fault::corrupt(on()).after(90)),
        ("another name under a tag", Fault::wrong_digest(on())),
        ("a signature of another image under a tag", {
            Fault::instead(on(), cosign(other).manifest().bytes.clone())
        }),
        ("a blob under a tag", Fault::instead(layer(), evil)),
        ("a byte of a blob under a tag", Fault::corrupt(layer()).after(9)),
    ]
    .map(|(name, fault)| (name, vec![fault]))
    .into();
    lies.extend([0, 7, 1 << 40].map(|size| ("a size under a tag", sized(size))));
    lies
}

#[test]
fn what_hangs_on_an_image_has_the_bytes_of_its_name() {
    let source = Source::new(&HUNG, |_| true);
    let stage = Stage::of(&source);
    let along: &[&str] = &["--referrers"];
    let kinds = ["docker", "oci", "oci-archive"];
    let together: Vec<_> = kinds.iter().map(|kind| stage.place(kind, 0)).collect();
    let runs = [(together, along), (vec![stage.pipe("oci-archive")], along)];
    stage.holds(FILE, &runs);
    // Who was honest has all that hangs on them.
    for place in runs.iter().flat_map(|(places, _)| places) {
        let files: BTreeSet<String> = place.files();
        for image in (1..=HONEST as u64).map(HUNG.image) {
            for it in referrers(&image).iter().chain([&cosign(&image)]) {
                assert!(files.contains(it.digest().hex()), "{place:?}: {}", it.digest());
            }
        }
    }
    assert!(source.lies.len() >= 50, "only {} lies", source.lies.len());
}

/// Where nothing can hang on an image, that is said and nothing is there.
#[test]
fn where_nothing_hangs_nothing_gets_a_name() {
    let source = Source::new(&SINGLE, |at| at < 3);
    let stage = Stage::of(&source);
    for kind in ["dir", "docker-archive"] {
        let place = stage.place(kind, 0);
        let more = ["--keep-going", "--referrers"];
        let report = super::sync(&stage.home, 0, FILE, &[&place], &more);
        assert_eq!((super::told(&report, &place), place.look()), (0, 0), "{kind}");
    }
}
