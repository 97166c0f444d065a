//! Lies about lists and what is in them.

use serde_json::{Value, json};
use skopeo_image::{Digest, MediaType};
use skopeo_testkit::{Fault, Image, On};

use super::source::{Kind, Source};
use super::table::{Lie, Part, about_blob};
use super::{FILE, Stage};

/// Lists of two images.
const LISTS: Kind = Kind {
    image: |seed| {
        let instance = |number, architecture| {
            let builder = Image::builder(2 * seed + number).layers(1).layer_size(600);
            builder.platform("linux", architecture, "").build()
        };
        Image::list(vec![instance(0, "amd64"), instance(1, "arm64")])
    },
    push: |image, registry, name| image.push(registry, name),
    lies,
};

/// Sizes that an instance may have, or that nothing has.
const SIZES: [&str; 8] =
    ["0", "1", "512", "70000", "9223372036854775807", "18446744073709551615", "-1", "1e3"];

/// What the types of an instance may be said to be.
const TYPES: [&str; 8] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "text/plain",
    "",
];

fn lies(repository: &str, image: &Image, other: &Image) -> Vec<Lie> {
    let mut lies = about_list(repository, image, other);
    lies.extend(about_instance(repository, image, other));
    lies.extend(about_lists_in_lists(repository, image, other));
    let (first, other) = (&image.instances()[0], &other.instances()[0]);
    // What is in an instance lies no otherwise than what is in an image: some of it.
    let all = about_blob(repository, first, Part::Layer(0), other);
    lies.extend(all.into_iter().step_by(5));
    lies
}

fn manifest(repository: &str, reference: &str) -> On {
    let target = format!("/v2/{repository}/manifests/{reference}");
    On::manifests().any_method().containing(target)
}

/// The tag leads to this, which is there by its digest too.
fn top(repository: &str, text: &str) -> Vec<Fault> {
    let digest = Digest::sha256(text.as_bytes());
    let on = ["t", digest.as_str()].map(|reference| manifest(repository, reference));
    on.map(|on| Fault::instead(on, text.to_owned())).into()
}

fn document(image: &Image) -> Value {
    serde_json::from_slice(&image.manifest().bytes).unwrap()
}

fn about_list(repository: &str, image: &Image, other: &Image) -> Vec<Lie> {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut document = document(image);
        change(&mut document);
        top(repository, &document.to_string())
    };
    let mut lies: Vec<Lie> = Vec::new();
    for size in SIZES {
        let mut document = document(image);
        document["manifests"][1]["size"] = json!("HERE");
        let text = document.to_string().replace("\"HERE\"", size);
        lies.push(("a size of an instance", top(repository, &text)));
    }
    for media_type in TYPES {
        lies.push((
            "a type of an instance",
            changed(&|document| document["manifests"][1]["mediaType"] = json!(media_type)),
        ));
    }
    let others = other.instances()[1].digest();
    let of_another = changed(&|document| {
        document["manifests"][1]["digest"] = json!(others.as_str());
    });
    let mut given = of_another.clone();
    let second = image.instances()[1].manifest().bytes.clone();
    given.push(Fault::instead(manifest(repository, others.as_str()), second));
    lies.extend([
        ("an instance that is not there", of_another),
        ("an instance by the name of another", given),
        ("an instance twice, of two sizes", {
            changed(&|document| {
                let mut again = document["manifests"][0].clone();
                again["size"] = json!(again["size"].as_u64().unwrap() + 9);
                document["manifests"].as_array_mut().unwrap().push(again);
            })
        }),
        ("a list that says it is an image", {
            changed(&|document| document["mediaType"] = json!(MediaType::OCI_MANIFEST.as_str()))
        }),
        ("a list that is an image too", { changed(&|document| document["layers"] = json!([])) }),
        ("a list of another name", vec![Fault::wrong_digest(manifest(repository, "t"))]),
        ("a list with a byte", vec![Fault::corrupt(manifest(repository, "")).after(60)]),
        ("a list packed by gzip", vec![Fault::encoded(manifest(repository, "t"))]),
    ]);
    lies
}

fn about_instance(repository: &str, image: &Image, other: &Image) -> Vec<Lie> {
    let second = &image.instances()[1];
    let on = || manifest(repository, second.digest().as_str());
    let bytes = &second.manifest().bytes;
    let others = other.instances()[1].manifest().bytes.clone();
    // What the list says of it is right, and what it says itself is not.
    let within = |size: u64| {
        let mut document = document(second);
        document["layers"][0]["size"] = json!(size);
        let text = document.to_string();
        let mut list = self::document(image);
        list["manifests"][1]["digest"] = json!(Digest::sha256(text.as_bytes()).as_str());
        list["manifests"][1]["size"] = json!(text.len());
        let mut faults = top(repository, &list.to_string());
        let digest = Digest::sha256(text.as_bytes());
        faults.push(Fault::instead(manifest(repository, digest.as_str()), text));
        faults
    };
    [
        ("an instance of another image", Fault::instead(on(), others)),
        ("an instance of anything", Fault::instead(on(), "the attacker's bytes")),
        ("no bytes of an instance", Fault::instead(on(), "")),
        ("the list in place of an instance", {
            Fault::instead(on(), image.manifest().bytes.clone())
        }),
        ("half an instance", Fault::instead(on(), bytes.slice(..100))),
        ("an instance with a byte", Fault::corrupt(on()).after(40)),
        ("an instance of another name", Fault::wrong_digest(on())),
        ("an instance packed by gzip", Fault::encoded(on())),
        ("halves of an instance", Fault::reversed(on())),
        ("a byte more of an instance", Fault::too_much(on(), 1)),
        ("less of an instance, announced", Fault::content_length(on(), -1)),
        ("less of an instance, not announced", Fault::unannounced(on()).after(100)),
        ("an instance without an end", Fault::endless(on())),
        ("an instance breaks off once", Fault::cut(on()).after(100).once()),
        ("nobody says how long an instance is", Fault::unannounced(on())),
    ]
    .map(|(name, fault)| (name, vec![fault]))
    .into_iter()
    .chain([0, 1, 599, 1 << 40].map(|size| ("a size in an instance", within(size))))
    .collect()
}

fn about_lists_in_lists(repository: &str, image: &Image, other: &Image) -> Vec<Lie> {
    let index = MediaType::OCI_INDEX;
    let list = |entries: Value| {
        json!({"schemaVersion": 2, "mediaType": index.as_str(), "manifests": entries}).to_string()
    };
    let entry = |text: &[u8]| {
        let digest = Digest::sha256(text);
        json!({"mediaType": index.as_str(), "digest": digest.as_str(), "size": text.len()})
    };
    let inner = &image.manifest().bytes;
    let outer = |change: &dyn Fn(&mut Value)| {
        let mut entry = entry(inner);
        change(&mut entry);
        top(repository, &list(json!([entry])))
    };
    let with = |fault: Fault| [outer(&|_| {}), vec![fault]].concat();
    let on_inner = || manifest(repository, image.digest().as_str());
    let on_second = manifest(repository, image.instances()[1].digest().as_str());
    // Each is in the next.
    let deep = |depth: usize| {
        let mut text = String::from_utf8(inner.to_vec()).unwrap();
        let mut faults = Vec::new();
        for _ in 0..depth {
            text = list(json!([entry(text.as_bytes())]));
            let digest = Digest::sha256(text.as_bytes());
            faults.push(Fault::instead(manifest(repository, digest.as_str()), text.clone()));
        }
        faults.extend(top(repository, &text));
        faults
    };
    let itself = {
        let text = list(json!([entry(inner)]));
        let mut faults = top(repository, &text);
        faults.push(Fault::instead(on_inner(), text));
        faults
    };
    vec![
        ("a size of a list in a list", outer(&|entry| entry["size"] = json!(7))),
        ("no size of a list in a list", {
            outer(&|entry| drop(entry.as_object_mut().unwrap().remove("size")))
        }),
        ("a list in a list that is said to be an image", {
            outer(&|entry| entry["mediaType"] = json!(MediaType::OCI_MANIFEST.as_str()))
        }),
        ("a list in a list that is said to be a layer", {
            outer(&|entry| entry["mediaType"] = json!(TYPES[5]))
        }),
        ("another list in a list", {
            with(Fault::instead(on_inner(), other.manifest().bytes.clone()))
        }),
        ("a list in a list with a byte", with(Fault::corrupt(on_inner()).after(60))),
        ("an instance of a list in a list", {
            with(Fault::instead(on_second, other.instances()[1].manifest().bytes.clone()))
        }),
        ("a list that is in itself", itself),
        ("three lists in lists", deep(3)),
        ("ten lists in lists", deep(10)),
    ]
}

#[test]
fn what_is_in_a_list_has_the_bytes_of_its_name() {
    let source = Source::new(&LISTS, |_| true);
    let stage = Stage::of(&source);
    let whole: &[&str] = &["--all"];
    let kinds = ["docker", "dir", "oci", "oci-archive"];
    let together: Vec<_> = kinds.iter().map(|kind| stage.place(kind, 0)).collect();
    let mut runs = vec![(together, whole), (vec![stage.pipe("oci-archive")], whole)];
    runs.extend(["docker", "dir"].map(|kind| (vec![stage.place(kind, 1)], whole)));
    // One image of each.
    runs.push((["dir", "oci", "docker-archive"].map(|kind| stage.place(kind, 2)).into(), &[][..]));
    runs.push((vec![stage.pipe("docker-archive")], &[][..]));
    stage.holds(FILE, &runs);
    assert!(source.lies.len() >= 50, "only {} lies", source.lies.len());
}
