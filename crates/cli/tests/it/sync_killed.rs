//! `sync` that ends at a bad moment, and `sync` beside itself: what has a name is whole, nothing is
//! fetched again that is there, and in the end all is as if nothing had been.

use std::collections::BTreeMap;
use std::process::Child;

use skopeo_image::Compression;
use skopeo_testkit::{Home, Image, On, Registry};

use crate::moments::{AGAIN, FIRST, Moments, asked_again};
use crate::stage::whole_layout;
use crate::sync_stage::{start, whole_folders, whole_registry};

const ROUNDS: usize = 20;

/// Images that share a layer and have one of their own, of about 100 kB each.
fn images() -> Vec<(String, Image)> {
    let image = |repository: u64, tag: u64| {
        let image = Image::builder(1000 + 10 * repository + tag).layer_size(150_000);
        let image = image.layer_of(1, Compression::Gzip);
        let image = image.layer_of(10 + repository, Compression::Gzip);
        image.layer_of(100 + 10 * repository + tag, Compression::Gzip).build()
    };
    let name = |repository, tag| (format!("g/r{repository}:v{tag}"), image(repository, tag));
    (0..3).flat_map(|repository| (0..3).map(move |tag| name(repository, tag))).collect()
}

struct Stage {
    home: Home,
    from: Registry,
    /// Of all the blobs there are.
    blobs: usize,
}

impl Stage {
    fn new() -> Self {
        let (home, from) = (Home::new(), Registry::start());
        let images = images();
        images.iter().for_each(|(name, image)| image.push(&from, name));
        let host = from.host();
        let list = "    g/r0: []\n    g/r1: []\n    g/r2: []\n";
        home.write("work/list.yml", &format!("{host}:\n  tls-verify: false\n  images:\n{list}"));
        let blobs: BTreeMap<_, _> = images.iter().flat_map(|(_, image)| image.blobs()).collect();
        Self { home, from, blobs: blobs.len() }
    }

    /// `agent` is told apart by the registry.
    fn start(&self, agent: &str, kind: &str, place: &str) -> Child {
        let to = format!("--dest={kind}");
        // Few at once, so that some are done while others are not.
        let words = [agent, "sync", "--jobs=2", "--src=yaml", &to, "--dest-tls-verify=false"];
        start(&self.home, &[&words[..], &["list.yml", place]].concat(), "log")
    }

    #[track_caller]
    fn sync(&self, kind: &str, place: &str) {
        let status = self.start(AGAIN, kind, place).wait().unwrap();
        let log = fs_err::read_to_string(self.home.path("log")).unwrap();
        assert!(status.success(), "{log}");
    }

    /// Kills a sync at some moment, twenty times, looks at what there is, and lets another one go
    /// on. `look` says what is there, which has to be whole.
    fn disturbed(
        &self,
        kind: &str,
        seed: u64,
        mut place: impl FnMut(usize) -> Place,
        look: impl Fn(&Place) -> BTreeMap<String, String>,
    ) {
        let undisturbed = place(ROUNDS);
        let mut moments = Moments::new(seed, &self.from, || self.sync(kind, &undisturbed.name));
        let expected = look(&undisturbed);
        assert_eq!(expected.len(), 9);
        let mut between = 0;
        for round in 0..ROUNDS {
            let place = place(round);
            moments.kill(&self.from, || self.start(FIRST, kind, &place.name));
            let found = look(&place);
            between += usize::from(!found.is_empty() && found.len() < 9);
            for (name, digest) in &found {
                assert_eq!(expected.get(name), Some(digest), "{kind}, round {round}: {name}");
            }
            self.from.forget_requests();
            self.sync(kind, &place.name);
            assert_eq!(look(&place), expected, "{kind}, round {round}");
            // Of what has a name, nothing is fetched again.
            let missing = images().into_iter().filter(|(name, _)| {
                let last = name.rsplit('/').next().unwrap();
                !found.keys().any(|found| found.ends_with(last))
            });
            let missing: BTreeMap<_, _> = missing.flat_map(|(_, image)| image.blobs()).collect();
            let fetched = asked_again(&self.from);
            assert!(fetched <= missing.len(), "{kind}, round {round}: {fetched} fetched");
        }
        assert!(between > 0, "{kind}: no kill came in the middle");
    }
}

/// Where a round writes to.
struct Place {
    name: String,
    registry: Option<Registry>,
}

#[test]
fn into_a_registry() {
    let stage = Stage::new();
    let place = |_| {
        let to = Registry::start();
        Place { name: format!("{}/m", to.host()), registry: Some(to) }
    };
    stage.disturbed("docker", 20_261_121, place, |place| {
        whole_registry(place.registry.as_ref().unwrap().root())
    });
}

#[test]
fn into_a_folder() {
    let stage = Stage::new();
    let place = |round| Place { name: format!("folder-{round}"), registry: None };
    stage.disturbed("dir", 77_177, place, |place| {
        whole_folders(&stage.home.path("work").join(&place.name))
    });
}

#[test]
fn into_a_layout() {
    let stage = Stage::new();
    let place = |round| Place { name: format!("layout-{round}"), registry: None };
    stage.disturbed("oci", 424_242, place, |place| {
        let names = whole_layout(&stage.home.path("work").join(&place.name));
        names.into_iter().map(|(name, digest)| (name, digest.to_string())).collect()
    });
}

/// Two at the same time, with the same to do: both end, and all is there.
#[test]
fn beside_itself() {
    let stage = Stage::new();
    let to = Registry::start();
    let registry = format!("{}/m", to.host());
    for (kind, place) in [("docker", registry.as_str()), ("dir", "folder"), ("oci", "layout")] {
        stage.from.forget_requests();
        let words = [
            "sync",
            "--src=yaml",
            &format!("--dest={kind}"),
            "--dest-tls-verify=false",
            "list.yml",
            place,
        ];
        let begun = [0, 1, 2].map(|number| start(&stage.home, &words, &format!("log{number}")));
        for (number, mut child) in begun.into_iter().enumerate() {
            let code = child.wait().unwrap().code();
            let log = fs_err::read_to_string(stage.home.path(format!("log{number}"))).unwrap();
            assert_eq!(code, Some(0), "{kind} {log}");
        }
        let fetched = stage.from.count(&On::blobs());
        assert!(fetched <= 3 * stage.blobs, "{kind}: {fetched}");
    }
    assert_eq!(whole_registry(to.root()).len(), 9);
    let work = stage.home.path("work");
    assert_eq!(whole_folders(&work.join("folder")).len(), 9);
    assert_eq!(whole_layout(&work.join("layout")).len(), 9);
}
