//! Every way in which a source can lie about one image.

use serde_json::{Value, json};
use skopeo_image::Digest;
use skopeo_testkit::{Fault, Image, On};

/// A lie: its name, and what goes wrong in the source for that.
pub(crate) type Lie = (&'static str, Vec<Fault>);

/// Sizes that a manifest may say, and nothing has; the last are no sizes at all.
const SIZES: [&str; 14] = [
    "0",
    "1",
    "511",
    "512",
    "70000",
    "5368709120",
    "35184372088832",
    "9223372036854775296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551104",
    "18446744073709551615",
    "-1",
    "1e3",
];

/// The part of the image that is lied about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Layer(usize),
    Config,
}

/// All lies about the image in `repository`; `other` is an image that is in the same registry.
pub(crate) fn lies(repository: &str, image: &Image, other: &Image) -> Vec<Lie> {
    let mut lies = Vec::new();
    for part in [Part::Layer(0), Part::Layer(1), Part::Config] {
        lies.extend(about_blob(repository, image, part, other));
        lies.extend(
            SIZES.map(|size| ("a size", manifest_with_size(repository, image, part, size))),
        );
        lies.extend([7_i64, -7].map(|more| {
            let size = bytes_of(image, part).len() as i64 + more;
            let mut faults = manifest_with_size(repository, image, part, &size.to_string());
            // The source says the same as the manifest.
            let blob = blob(repository, &Digest::sha256(&bytes_of(image, part)));
            faults.push(Fault::content_length(blob, more).times(if more > 0 { 1 } else { 9 }));
            ("a size that the source confirms", faults)
        }));
    }
    lies.extend(about_manifest(repository, image, other));
    for part in [Part::Layer(0), Part::Config] {
        lies.extend(about_ranges(repository, image, part));
    }
    lies
}

/// Once broken off, a blob goes on from where it was, which is asked for by a range.
fn about_ranges(repository: &str, image: &Image, part: Part) -> Vec<Lie> {
    let bytes = bytes_of(image, part);
    let digest = Digest::sha256(&bytes);
    let on = || blob(repository, &digest);
    let (len, last) = (bytes.len(), bytes.len() - 1);
    let evil: Vec<u8> = "the attacker's bytes ".bytes().cycle().take(len).collect();
    let range = |text: String| Fault::header(on(), "content-range", &text);
    let broken = |then: Fault| vec![Fault::cut(on()).after(100).once(), then];
    vec![
        ("a range that starts elsewhere", broken(range(format!("bytes 50-{last}/{len}")))),
        ("a range that starts at the begin", broken(range(format!("bytes 0-{last}/{len}")))),
        ("a range of more", broken(range(format!("bytes 100-{last}/{}", len + 7)))),
        ("a range of nobody knows how much", broken(range(format!("bytes 100-{last}/*")))),
        ("a range that ends before", broken(range(format!("bytes 100-110/{len}")))),
        ("no range", broken(range("bytes */0".to_owned()))),
        ("nonsense for a range", broken(range("bytes 18446744073709551615-0/-1".to_owned()))),
        ("a range of other bytes", broken(Fault::corrupt(on()).after(3))),
        ("the rest for all of it", broken(Fault::called(on(), 200, None))),
        ("other bytes for the rest", broken(Fault::instead(on(), evil))),
        ("a part that nobody asked for", {
            vec![Fault::called(on(), 206, Some(&format!("bytes 50-{last}/{len}")))]
        }),
        ("all of it, called a part", {
            vec![Fault::called(on(), 206, Some(&format!("bytes 0-{last}/{len}")))]
        }),
    ]
}

pub(super) fn about_blob(repository: &str, image: &Image, part: Part, other: &Image) -> Vec<Lie> {
    let digest = Digest::sha256(&bytes_of(image, part));
    let on = || blob(repository, &digest);
    let evil = "the attacker's bytes ".repeat(900);
    let others = format!("/v2/good0/blobs/{}", other.layers()[0].digest);
    [
        ("another blob", Fault::instead(on(), evil.clone())),
        ("no bytes", Fault::instead(on(), "")),
        ("another blob of this length", {
            let len = bytes_of(image, part).len();
            Fault::instead(on(), evil.bytes().cycle().take(len).collect::<Vec<u8>>())
        }),
        ("the answer to another question", Fault::answer_of(on(), &others)),
        ("halves in another order", Fault::reversed(on())),
        ("packed by gzip, and said", Fault::encoded(on())),
        ("not packed, and said to be", Fault::header(on(), "content-encoding", "gzip")),
        ("packed by what nobody knows", Fault::header(on(), "content-encoding", "deflate, br")),
        ("a byte", Fault::corrupt(on()).after(3)),
        ("a byte further on", Fault::corrupt(on()).after(400)),
        ("a byte too much", Fault::too_much(on(), 1)),
        ("many bytes too much", Fault::too_much(on(), 200_000)),
        ("too few bytes, announced", Fault::content_length(on(), -1)),
        ("too few bytes, not announced", Fault::unannounced(on()).after(300)),
        ("no end", Fault::endless(on())),
        ("another name", Fault::wrong_digest(on())),
        ("it breaks off once", Fault::cut(on()).after(200).once()),
        ("it breaks off, and ranges are ignored", Fault::cut(on()).after(200).times(2)),
        ("nobody says how long", Fault::unannounced(on())),
    ]
    .map(|(name, fault)| (name, vec![fault]))
    .into()
}

fn about_manifest(repository: &str, image: &Image, other: &Image) -> Vec<Lie> {
    let on = || manifest(repository);
    let document = || -> Value { serde_json::from_slice(&image.manifest().bytes).unwrap() };
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut document = document();
        change(&mut document);
        vec![Fault::instead(on(), document.to_string())]
    };
    let reference = |digest: &Digest| json!(digest.as_str());
    vec![
        ("a manifest of another name", vec![Fault::wrong_digest(on())]),
        ("half a manifest", vec![Fault::instead(on(), image.manifest().bytes.slice(..100))]),
        ("a manifest with a byte", vec![Fault::corrupt(on()).after(40)]),
        ("a manifest packed by gzip", vec![Fault::encoded(on())]),
        ("the answer to another question", {
            vec![Fault::answer_of(on(), "/v2/good0/manifests/t")]
        }),
        (
            "layers in another order",
            changed(&|document| {
                let layers = document["layers"].as_array_mut().unwrap();
                layers.reverse();
            }),
        ),
        (
            "a layer twice, of two sizes",
            changed(&|document| {
                let mut layer = document["layers"][0].clone();
                layer["size"] = json!(layer["size"].as_u64().unwrap() + 9);
                document["layers"].as_array_mut().unwrap().push(layer);
            }),
        ),
        ("a layer that others have, as another", {
            let digest = &other.layers()[0].digest;
            let mut faults = changed(&|document| {
                document["layers"][0]["digest"] = reference(digest);
            });
            let evil = "the attacker's bytes ".repeat(900);
            faults.push(Fault::instead(blob(repository, digest), evil));
            faults
        }),
        ("a layer that others have, of another size", {
            let digest = &other.layers()[0].digest;
            let mut faults = changed(&|document| {
                document["layers"][0]["digest"] = reference(digest);
                document["layers"][0]["size"] = json!(35_184_372_088_832_u64);
            });
            let evil = "the attacker's bytes ".repeat(900);
            faults.push(Fault::instead(blob(repository, digest), evil));
            faults
        }),
        ("a config of other layers", {
            let mut config: Value = serde_json::from_slice(image.config().unwrap()).unwrap();
            config["rootfs"]["diff_ids"][0] = reference(&other.layers()[0].diff_id);
            let config = config.to_string();
            let digest = Digest::sha256(config.as_bytes());
            let mut faults = changed(&|document| {
                document["config"]["digest"] = reference(&digest);
                document["config"]["size"] = json!(config.len());
            });
            faults.push(Fault::instead(blob(repository, &digest), config));
            faults
        }),
    ]
}

/// The manifest with another size for a part, which it has for whoever asks.
fn manifest_with_size(repository: &str, image: &Image, part: Part, size: &str) -> Vec<Fault> {
    let mut document: Value = serde_json::from_slice(&image.manifest().bytes).unwrap();
    let place = match part {
        Part::Layer(at) => &mut document["layers"][at]["size"],
        Part::Config => &mut document["config"]["size"],
    };
    *place = json!("HERE");
    let text = document.to_string().replace("\"HERE\"", size);
    vec![Fault::instead(manifest(repository), text)]
}

pub(super) fn bytes_of(image: &Image, part: Part) -> Vec<u8> {
    match part {
        Part::Layer(at) => image.layers()[at].bytes.to_vec(),
        Part::Config => image.config().unwrap().to_vec(),
    }
}

pub(super) fn blob(repository: &str, digest: &Digest) -> On {
    On::blobs().containing(format!("/v2/{repository}/blobs/{digest}"))
}

fn manifest(repository: &str) -> On {
    On::manifests().any_method().containing(format!("/v2/{repository}/manifests/"))
}
