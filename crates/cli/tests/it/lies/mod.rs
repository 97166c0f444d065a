//! The law of all destinations: whatever a source says, what has a name afterwards has the bytes of
//! that name, and who was honest is there.

mod places;
mod table;

use std::collections::BTreeMap;

use serde_json::Value;
use skopeo_testkit::{Home, Image, Registry};

use crate::program::at_home;
use crate::stage;
use places::Place;

/// How many images of a run are honest.
const HONEST: usize = 10;

/// A registry in which most images are lied about.
struct Source {
    registry: Registry,
    /// What is lied about them, by repository.
    lies: BTreeMap<String, &'static str>,
}

impl Source {
    /// All lies, or those whose number is one of these.
    fn new(chosen: impl Fn(usize) -> bool) -> Self {
        let registry = Registry::start();
        let image = |seed| Image::builder(seed).layer_size(2500).layers(2).build();
        let honest: Vec<Image> = (0..HONEST as u64).map(|seed| image(seed + 1)).collect();
        for (at, image) in honest.iter().enumerate() {
            image.push(&registry, &format!("good{at}:t"));
        }
        let mut lies = BTreeMap::new();
        let count = table::lies("", &honest[0], &honest[1]).len();
        for at in (0..count).filter(|at| chosen(*at)) {
            let repository = format!("evil{at}");
            let image = image(1000 + at as u64);
            image.push(&registry, &format!("{repository}:t"));
            let other = &honest[at % HONEST];
            let (name, faults) = table::lies(&repository, &image, other).swap_remove(at);
            faults.into_iter().for_each(|fault| registry.fault(fault));
            lies.insert(repository, name);
        }
        Self { registry, lies }
    }

    /// The file that names all images, those that lie first and last.
    fn file(&self, home: &Home) {
        let (first, last): (Vec<_>, Vec<_>) =
            self.lies.keys().enumerate().partition(|(at, _)| at % 3 < 2);
        let mut text = format!("{}:\n  tls-verify: false\n  images:\n", self.registry.host());
        let honest = (0..HONEST).map(|at| format!("good{at}"));
        let first = first.into_iter().map(|(_, name)| name.clone());
        let last = last.into_iter().map(|(_, name)| name.clone());
        for name in first.chain(honest).chain(last) {
            text.push_str(&format!("    {name}: [t]\n"));
        }
        home.write("work/sync.yaml", &text);
    }
}

/// Copies all to some places, and asks which are there by the report.
fn sync(home: &Home, number: usize, places: &[&Place], more: &[&str]) -> Value {
    let report = format!("report{number}.json");
    let to: Vec<String> = places.iter().map(|place| place.to()).collect();
    let mut words = vec!["sync", "--src=yaml", "--report", &report];
    words.extend(to.iter().flat_map(|place| ["--to", place.as_str()]));
    words.extend(more);
    words.push("sync.yaml");
    let run = at_home(home, &words);
    assert_ne!(run.code, Some(0), "{run}");
    let text = fs_err::read(home.path(format!("work/{report}")));
    serde_json::from_slice(&text.unwrap_or_else(|error| panic!("{error}: {run}"))).unwrap()
}

/// How many images the report says are at a place now.
fn told(report: &Value, place: &Place) -> usize {
    let images = report["images"].as_array().unwrap();
    let here = images.iter().filter(|image| image["place"] == place.to());
    here.filter(|image| ["copied", "unchanged"].map(Value::from).contains(&image["outcome"]))
        .count()
}

/// All who were honest are at that place by the report.
#[track_caller]
fn honest_are_there(report: &Value, place: &Place) {
    for at in 0..HONEST {
        let source = format!("/good{at}:t");
        let images = report["images"].as_array().unwrap().iter();
        let mut images = images.filter(|image| image["place"] == place.to());
        let image = images.find(|image| image["source"].as_str().unwrap().ends_with(&source));
        let outcome = &image.unwrap()["outcome"];
        assert!(outcome == "copied" || outcome == "unchanged", "{}: {image:?}", place.to());
    }
}

struct Stage {
    home: Home,
    /// A registry that images go to.
    to: Registry,
}

impl Stage {
    fn new(source: &Source) -> Self {
        let (home, to) = (Home::new(), Registry::start());
        home.insecure(&[&source.registry.host(), &to.host()]);
        source.file(&home);
        Self { home, to }
    }

    fn place(&self, kind: &'static str, at: usize) -> Place {
        let name = format!("{kind}{at}");
        let path = self.home.path(format!("work/{name}"));
        if kind == "docker" {
            let path = self.to.root().join(&name);
            return Place { kind, name: format!("{}/{name}", self.to.host()), path };
        }
        Place { kind, name, path }
    }
}

const KINDS: [&str; 5] = ["docker", "dir", "oci", "oci-archive", "docker-archive"];

#[test]
fn what_has_a_name_has_the_bytes_of_that_name() {
    let source = Source::new(|_| true);
    let stage = Stage::new(&source);
    let keep_going = ["--keep-going"];
    let mut tried = 0;
    // All at once, each alone, and several who write to the same.
    let together: Vec<Place> = KINDS.iter().map(|kind| stage.place(kind, 0)).collect();
    let alone: Vec<Place> = KINDS.iter().map(|kind| stage.place(kind, 1)).collect();
    let shared: Vec<Place> = ["docker", "dir", "oci"].map(|kind| stage.place(kind, 2)).into();
    let mut runs: Vec<Vec<&Place>> = vec![together.iter().collect()];
    runs.extend(alone.iter().map(|place| vec![place]));
    runs.extend(std::iter::repeat_n(shared.iter().collect(), 3));
    let runs: Vec<_> = runs.into_iter().enumerate().collect();
    stage::for_each(&runs, |(number, places)| {
        let report = sync(&stage.home, *number, places, &keep_going);
        for place in places {
            let is_shared = shared.iter().any(|it| it.name == place.name);
            // A folder has one writer at a time, and the others are told.
            if !(is_shared && place.kind == "dir") {
                honest_are_there(&report, place);
            }
            if !is_shared {
                assert_eq!(place.look(), told(&report, place), "{place:?}");
            }
        }
    });
    for (_, places) in &runs {
        tried += places.len() * source.lies.len();
    }
    for place in &shared {
        assert!(place.look() >= HONEST, "{place:?}");
    }
    assert!(tried >= 2000, "only {tried} combinations");
}

/// The first failure ends the run; what an archive has by then is as good as ever.
#[test]
fn an_archive_that_a_lie_ends_early_is_whole() {
    let rows: Vec<(usize, &'static str)> =
        (0..12).flat_map(|at| [(at, "oci-archive"), (at, "docker-archive")]).collect();
    stage::for_each(rows, |(chosen, kind)| {
        let source = Source::new(|at| at % 12 == chosen && at < 110);
        let stage = Stage::new(&source);
        let place = stage.place(kind, 0);
        let report = sync(&stage.home, 0, &[&place], &[]);
        assert_eq!(place.look(), told(&report, &place), "{:?}", source.lies);
    });
}
