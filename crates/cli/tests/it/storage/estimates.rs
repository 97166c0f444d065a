//! What a dry run says of copies into a store, and what the copies then read.

use serde_json::Value;
use skopeo_image::Compression::{Gzip, Uncompressed, Zstd};
use skopeo_testkit::{Image, Registry, skip};

use super::{Place, lacking};

/// Images of these layers, as the tags 0, 1, ... of one repository.
type Layers = &'static [&'static [(u64, skopeo_image::Compression)]];

const BASE: (u64, skopeo_image::Compression) = (1, Gzip);

const KINDS: [(&str, Layers); 5] = [
    ("one", &[&[BASE, (2, Zstd)]]),
    ("a base", &[&[BASE, (2, Gzip)], &[BASE, (3, Zstd)], &[BASE, (4, Uncompressed)], &[BASE]]),
    ("twice the same", &[&[BASE, (2, Gzip)], &[BASE, (2, Gzip)]]),
    ("another order", &[&[BASE, (2, Gzip), (3, Gzip)], &[(2, Gzip), BASE, (3, Gzip)]]),
    ("one layer twice", &[&[BASE, (2, Gzip), BASE], &[BASE, (2, Gzip)]]),
];

/// What is in the store before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Missing,
    Empty,
    /// Another image, which has the base.
    Base,
    All,
}

/// How many blobs a registry has sent.
fn sent(registry: &Registry) -> u64 {
    let requests = registry.requests().into_iter();
    let blobs = requests.filter(|seen| seen.method == "GET" && seen.target.contains("/blobs/"));
    u64::try_from(blobs.count()).unwrap()
}

#[test]
fn a_dry_run_tells_what_a_copy_reads() {
    if let Some(lack) = lacking(&[]) {
        skip!("{lack}");
    }
    // With vfs, images that begin at once may fetch a layer twice.
    let driver = "overlay";
    for (what, kinds) in KINDS {
        for before in [Before::Missing, Before::Empty, Before::Base, Before::All] {
            let registry = Registry::start();
            for (number, layers) in kinds.iter().enumerate() {
                let seed = 100 + u64::try_from(number).unwrap();
                let layers = layers.iter().copied();
                let image = layers.fold(Image::builder(seed), |image, (layer, packed)| {
                    image.layer_of(layer, packed)
                });
                image.build().push(&registry, &format!("a/b:{number}"));
            }
            let other = Image::builder(7).layer_of(1, Gzip).build();
            other.push(&registry, "other:1");
            let place = Place::new(driver);
            let from = format!("{}/a/b", registry.host());
            let sync = |more: &[&'static str]| {
                let words = ["sync", "--src-tls-verify=false", "--src=docker"];
                let to = ["--dest=containers-storage", &from, ""];
                place.skopeo(&[&words[..], more, &to].concat()).success()
            };
            let other = registry.docker("other:1");
            let copy = ["copy", "--src-tls-verify=false", &other, "containers-storage:other"];
            match before {
                Before::Missing => {}
                Before::Empty => {
                    place.skopeo(&copy).success();
                    place.skopeo(&["delete", "containers-storage:other"]).success();
                }
                Before::Base => drop(place.skopeo(&copy).success()),
                Before::All => drop(sync(&[])),
            }
            let was_there = place.home.path("store").exists();
            let dry = sync(&["--dry-run", "--output=json"]);
            assert_eq!(place.home.path("store").exists(), was_there);
            let plan: Value = serde_json::from_str(&dry.stdout).unwrap();
            let estimated = plan["plan"]["sum"]["fetch"]["blobs"].as_u64();
            registry.forget_requests();
            sync(&[]);
            let case = format!("{driver}, {what}, {before:?}: {}", plan["plan"]["sum"]);
            assert_eq!(estimated, Some(sent(&registry)), "{case}");
        }
    }
}
