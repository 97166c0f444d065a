//! The law of all destinations: whatever a source says, what has a name afterwards has the bytes of
//! that name, and who was honest is there.

mod hanging;
mod held;
mod lists;
mod places;
mod saved;
mod silence;
mod source;
mod table;

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Mutex;

use serde_json::Value;
use skopeo_testkit::{Home, Image, Registry};

use crate::stage::{self, SKOPEO};
use places::Place;
use source::{HONEST, Kind, Source};

/// Images of two layers.
const SINGLE: Kind = Kind {
    image: |seed| Image::builder(seed).layer_size(2500).layers(2).build(),
    push: |image, registry, name| image.push(registry, name),
    lies: table::lies,
};

/// What a run reads from, in the words of the command line.
#[derive(Clone, Copy, Debug)]
struct From<'a> {
    words: &'a [&'a str],
    /// What comes through the standard input.
    input: &'a [u8],
}

/// The file that names all images of a registry.
const FILE: From<'static> = From { words: &["--src=yaml", "sync.yaml"], input: b"" };

/// Copies all to some places, and asks which are there by the report.
fn sync(home: &Home, number: usize, from: From<'_>, places: &[&Place], more: &[&str]) -> Value {
    let report = format!("report{number}.json");
    let to: Vec<String> = places.iter().map(|place| place.to()).collect();
    let mut command = home.command(SKOPEO);
    command.args(["sync", "--report", &report]);
    command.args(to.iter().flat_map(|place| ["--to", place.as_str()]));
    command.args(more).args(from.words);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // Who has seen enough reads no more.
        scope.spawn(move || drop(stdin.write_all(from.input)));
        child.wait_with_output().unwrap()
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    if let Some(pipe) = places.iter().find(|place| place.is_pipe()) {
        fs_err::write(&pipe.path, &output.stdout).unwrap();
    }
    let text = fs_err::read(home.path(format!("work/{report}")));
    serde_json::from_slice(&text.unwrap_or_else(|error| panic!("{error}: {stderr}"))).unwrap()
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
    fn new() -> Self {
        let (home, to) = (Home::new(), Registry::start());
        home.insecure(&[&to.host()]);
        Self { home, to }
    }

    /// For images out of that registry.
    fn of(source: &Source) -> Self {
        let stage = Self::new();
        stage.home.insecure(&[&source.registry.host(), &stage.to.host()]);
        source.file(&stage.home);
        stage
    }

    fn place(&self, kind: &'static str, at: usize) -> Place {
        let name = format!("{kind}{at}");
        let path = self.home.path(format!("work/{name}"));
        if kind == "docker" {
            let path = self.to.place().join(&name);
            return Place { kind, name: format!("{}/{name}", self.to.host()), path };
        }
        Place { kind, name, path }
    }

    /// An archive that is written to the standard output.
    fn pipe(&self, kind: &'static str) -> Place {
        let path = self.home.path(format!("work/{kind}-of-a-pipe"));
        Place { kind, name: "/dev/stdout".to_owned(), path }
    }

    /// The law for a source that is a file, or comes through a pipe: `at` makes its places its own.
    fn holds_at(&self, at: usize, from: From<'_>) {
        let together: Vec<Place> = KINDS.iter().map(|kind| self.place(kind, at)).collect();
        let mut runs: Vec<(Vec<Place>, &[&str])> = vec![(together, &[])];
        if !from.input.is_empty() {
            // In at one end, and out at the other.
            runs.extend(
                ["oci-archive", "docker-archive"].map(|kind| (vec![self.pipe(kind)], &[][..])),
            );
        }
        self.holds(from, &runs);
    }

    /// The law for runs that all have places of their own; returns what they reported.
    fn holds(&self, from: From<'_>, runs: &[(Vec<Place>, &[&str])]) {
        let reported = Mutex::new(Vec::new());
        stage::for_each(runs.iter().enumerate(), |(number, (places, more))| {
            let places: Vec<&Place> = places.iter().collect();
            let more = [&["--keep-going"][..], *more].concat();
            let report = sync(&self.home, number, from, &places, &more);
            reported.lock().unwrap().push((report, places));
        });
        self.rests();
        for (report, places) in reported.into_inner().unwrap() {
            for place in places {
                honest_are_there(&report, place);
                assert_eq!(place.look(), told(&report, place), "{place:?}");
            }
        }
    }

    /// Waits until nothing is in work in the registry that images go to: then its places are looked at.
    fn rests(&self) {
        let _ = self.to.root();
    }
}

const KINDS: [&str; 5] = ["docker", "dir", "oci", "oci-archive", "docker-archive"];

#[test]
fn what_has_a_name_has_the_bytes_of_that_name() {
    let source = Source::new(&SINGLE, |_| true);
    let stage = Stage::of(&source);
    let keep_going = ["--keep-going"];
    let mut tried = 0;
    // All at once, each alone, and several who write to the same.
    let together: Vec<Place> = KINDS.iter().map(|kind| stage.place(kind, 0)).collect();
    let mut alone: Vec<Place> = KINDS.iter().map(|kind| stage.place(kind, 1)).collect();
    alone.extend(["oci-archive", "docker-archive"].map(|kind| stage.pipe(kind)));
    let shared: Vec<Place> = ["docker", "dir", "oci"].map(|kind| stage.place(kind, 2)).into();
    let mut runs: Vec<Vec<&Place>> = vec![together.iter().collect()];
    runs.extend(alone.iter().map(|place| vec![place]));
    runs.extend(std::iter::repeat_n(shared.iter().collect(), 3));
    let runs: Vec<_> = runs.into_iter().enumerate().collect();
    let reported = Mutex::new(Vec::new());
    stage::for_each(&runs, |(number, places)| {
        let report = sync(&stage.home, *number, FILE, places, &keep_going);
        reported.lock().unwrap().push((report, places));
    });
    stage.rests();
    for (report, places) in reported.into_inner().unwrap() {
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
    }
    for (_, places) in &runs {
        tried += places.len() * source.lies.len();
    }
    for place in &shared {
        assert!(place.look() >= HONEST, "{place:?}");
    }
    assert!(tried >= 2900, "only {tried} combinations");
}

/// The first failure ends the run; what an archive has by then is as good as ever.
#[test]
fn an_archive_that_a_lie_ends_early_is_whole() {
    let rows: Vec<(usize, &'static str)> =
        (0..12).flat_map(|at| [(at, "oci-archive"), (at, "docker-archive")]).collect();
    stage::for_each(rows, |(chosen, kind)| {
        let source = Source::new(&SINGLE, |at| at % 12 == chosen && at < 110);
        let stage = Stage::of(&source);
        let place = stage.place(kind, 0);
        let report = sync(&stage.home, 0, FILE, &[&place], &[]);
        assert_eq!(place.look(), told(&report, &place), "{:?}", source.lies);
    });
}
