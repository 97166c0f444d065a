//! `sync --to`: one reading, several destinations.

use std::collections::BTreeSet;

use serde_json::Value;
use skopeo_image::{Compression, Digest};
use skopeo_testkit::{Fault, Home, Image, On, Registry, Run};

use crate::program::{at_home, fatal};

const TAGS: [&str; 3] = ["1", "2", "3"];

/// A repository of three tags that share a layer, and how many bytes its blobs have.
fn source() -> (Registry, Vec<Image>, u64) {
    source_of(300_000)
}

fn source_of(layer: usize) -> (Registry, Vec<Image>, u64) {
    let registry = Registry::start();
    let image = |seed| {
        let builder = Image::builder(seed).layer_size(layer).layers(1);
        builder.layer_of(77, Compression::Gzip).build()
    };
    let images: Vec<Image> = (1..=3).map(image).collect();
    for (image, tag) in images.iter().zip(TAGS) {
        image.push(&registry, &format!("team/a:{tag}"));
    }
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    let blobs = images.iter().flat_map(Image::blobs);
    let sizes = blobs.filter(|(digest, _)| seen.insert(digest.clone()));
    let size = sizes.map(|(_, bytes)| bytes.len() as u64).sum();
    registry.forget_requests();
    (registry, images, size)
}

fn home(registries: &[&Registry]) -> Home {
    let home = Home::new();
    let hosts: Vec<String> = registries.iter().map(|registry| registry.host()).collect();
    home.insecure(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
    home
}

/// How many bytes of blobs were read of a registry.
fn read(registry: &Registry) -> u64 {
    let blobs = registry.requests().into_iter().filter(|seen| seen.target.contains("/blobs/"));
    blobs.map(|seen| seen.sent).sum()
}

fn tags(home: &Home, name: &str) -> Vec<String> {
    let listed = at_home(home, &["list-tags", name]).success().json();
    let tags = listed["Tags"].as_array().unwrap();
    tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn has_all(home: &Home, registry: &Registry, repository: &str, images: &[Image]) {
    assert_eq!(tags(home, &registry.docker(repository)), TAGS);
    for (image, tag) in images.iter().zip(TAGS) {
        let name = registry.docker(&format!("{repository}:{tag}"));
        let found = at_home(home, &["inspect", "--no-tags", &name]).success().json();
        assert_eq!(found["Digest"], image.digest().as_str());
    }
}

fn to(registry: &Registry, path: &str) -> [String; 2] {
    ["--to".to_owned(), registry.docker(path)]
}

fn sync(home: &Home, more: &[&str], source: &Registry, goals: &[[String; 2]]) -> Run {
    let repository = format!("{}/team/a", source.host());
    let mut arguments = vec!["sync", "--src", "docker"];
    arguments.extend(more);
    arguments.extend(goals.iter().flatten().map(String::as_str));
    arguments.push(&repository);
    at_home(home, &arguments)
}

#[test]
fn each_blob_is_read_once_for_all_registries() {
    let (from, images, size) = source();
    let goals = [(); 3].map(|()| Registry::start());
    let home = home(&[&from, &goals[0], &goals[1], &goals[2]]);
    let places: Vec<_> = goals.iter().map(|goal| to(goal, "mirror")).collect();
    sync(&home, &[], &from, &places).success();
    let requests = from.count(&On::blobs().method("GET"));
    assert_eq!(read(&from), size, "bytes are read once");
    assert_eq!(requests, 7, "three configs, three layers, and one that all have");
    assert_eq!(from.count(&On::manifests().method("GET")), 3);
    for goal in &goals {
        has_all(&home, goal, "mirror/a", &images);
    }

    // With nothing to do, each side is asked once for each tag.
    from.forget_requests();
    goals.iter().for_each(Registry::forget_requests);
    sync(&home, &[], &from, &places).success();
    assert_eq!(from.count(&On::manifests().any_method()), 3);
    assert_eq!(from.count(&On::manifests().method("HEAD")), 3);
    for goal in &goals {
        let asked: Vec<_> =
            goal.lines().into_iter().filter(|line| !line.ends_with("/v2/")).collect();
        assert!(asked.len() == 3 && asked.iter().all(|line| line.starts_with("HEAD")), "{asked:?}");
    }
}

#[test]
fn what_one_has_is_left_alone_there() {
    let (from, images, size) = source();
    let (old, new) = (Registry::start(), Registry::start());
    let home = home(&[&from, &old, &new]);
    sync(&home, &[], &from, &[to(&old, "m")]).success();
    from.forget_requests();
    old.forget_requests();
    let run = sync(&home, &["--output", "json"], &from, &[to(&old, "m"), to(&new, "m")]);
    let report = run.success().json();
    assert_eq!(read(&from), size);
    assert_eq!(old.count(&On::anything().method("PUT")), 0);
    assert_eq!(old.count(&On::anything().method("POST")), 0);
    has_all(&home, &new, "m/a", &images);
    let results = report["results"].as_array().unwrap();
    let of = |outcome: &str, registry: &Registry| {
        let there = results.iter().filter(|it| {
            let destination = it["destination"].as_str().unwrap();
            it["outcome"] == outcome && destination.starts_with(&registry.docker("m/a:"))
        });
        there.count()
    };
    assert_eq!((of("present", &old), of("copied", &new), results.len()), (3, 3, 6));
    let sum: u64 = results.iter().map(|it| it["bytes"]["read"].as_u64().unwrap()).sum();
    assert_eq!(sum, size, "what was read is counted once");
}

#[test]
fn one_that_fails_does_not_take_the_others_with_it() {
    let denied = || Fault::status(On::uploads().method("POST"), 403);
    let cut = || Fault::cut_request(On::uploads().any_method()).after(100_000);
    let manifests = || Fault::status(On::manifests().method("PUT"), 403);
    for fault in [denied(), cut(), manifests()] {
        let (from, images, size) = source();
        let (good, bad, other) = (Registry::start(), Registry::start(), Registry::start());
        let home = home(&[&from, &good, &bad, &other]);
        let what = format!("{fault:?}");
        bad.fault(fault);
        let goals = [to(&bad, "m"), to(&good, "m"), to(&other, "m")];
        let run = sync(&home, &["--keep-going", "--output", "json"], &from, &goals).failure(1);
        has_all(&home, &good, "m/a", &images);
        has_all(&home, &other, "m/a", &images);
        let report = run.json();
        let failed: Vec<&Value> = report["results"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|result| result["outcome"] == "failed")
            .collect();
        assert_eq!(failed.len(), 3, "{run}");
        let destination = format!("to \\\"{}:", bad.docker("m/a"));
        assert!(run.stderr.contains(&destination), "it says which failed: {run}");
        // The bad one is offered what it lacks with each image; what breaks on its way is tried
        // again, for that one alone.
        let at_most = if what.contains("Status") { 2 * size } else { 8 * size };
        assert!(read(&from) <= at_most, "{what}: {} of {size}", read(&from));
    }
}

#[test]
fn one_that_is_silent_ends_by_its_own_timeout() {
    // More than channels hold, so that the others have to wait for it.
    let (from, images, _) = source_of(3_000_000);
    let (good, silent) = (Registry::start(), Registry::start());
    let home = home(&[&from, &good, &silent]);
    silent.fault(Fault::silence(On::uploads().method("POST")).times(2));
    let goals = [to(&silent, "m"), to(&good, "m")];
    sync(&home, &["--idle-timeout", "1s"], &from, &goals).success();
    has_all(&home, &good, "m/a", &images);
    has_all(&home, &silent, "m/a", &images);
    let unanswered = silent.requests().into_iter().filter(|seen| seen.status == 0);
    assert_eq!(unanswered.count(), 2);
}

#[test]
fn beside_a_destination_and_to_a_folder() {
    let (from, images, size) = source();
    let (one, two) = (Registry::start(), Registry::start());
    let home = home(&[&from, &one, &two]);
    let repository = format!("{}/team/a", from.host());
    let destination = format!("{}/first", one.host());
    let second = two.docker("second");
    let run = at_home(
        &home,
        &[
            "sync",
            "--src",
            "docker",
            "--dest",
            "docker",
            "--to",
            &second,
            "--to",
            "dir:usb",
            &repository,
            &destination,
        ],
    );
    run.success();
    has_all(&home, &one, "first/a", &images);
    has_all(&home, &two, "second/a", &images);
    for (image, tag) in images.iter().zip(TAGS) {
        let name = format!("dir:usb/a:{tag}");
        let found = at_home(&home, &["inspect", &name]).success().json();
        assert_eq!(found["Digest"], image.digest().as_str());
    }
    assert_eq!(read(&from), size, "a folder takes what is packed as a registry does");
    let requests = from.count(&On::blobs().method("GET"));
    assert_eq!(requests, 7, "three configs, three layers, and one that all have");
}

/// A registry, a folder, a layout and an archive of layouts: what all take as it is, is read once.
#[test]
fn unlike_places_share_a_reading() {
    let (from, images, size) = source();
    let registry = Registry::start();
    let home = home(&[&from, &registry]);
    let repository = format!("{}/team/a", from.host());
    let places = [registry.docker("m"), "dir:folder".into(), "oci:layout".into()];
    let mut words = vec!["sync", "--src", "docker", "--dest", "oci-archive"];
    for place in &places {
        words.extend(["--to", place]);
    }
    words.extend([&*repository, "images.tar"]);
    at_home(&home, &words).success();
    assert_eq!(read(&from), size);
    has_all(&home, &registry, "m/a", &images);
    let in_layouts = format!("{repository}:");
    for (image, tag) in images.iter().zip(TAGS) {
        for name in [
            format!("dir:folder/a:{tag}"),
            format!("oci:layout:{in_layouts}{tag}"),
            format!("oci-archive:images.tar:{in_layouts}{tag}"),
        ] {
            let found = at_home(&home, &["inspect", &name]).success().json();
            assert_eq!(found["Digest"], image.digest().as_str(), "{name}");
        }
    }
    // One that fails takes none of the others with it, whatever it is.
    let (from, images, _) = source();
    let (bad, good) = (Registry::start(), Registry::start());
    let home = self::home(&[&from, &bad, &good]);
    bad.fault(Fault::status(On::uploads().method("POST"), 403));
    let repository = format!("{}/team/a", from.host());
    let (bad, to) = (bad.docker("m"), good.docker("m"));
    let mut words = vec!["sync", "--keep-going", "--src", "docker"];
    words.extend(["--to", &bad, "--to", "dir:folder", "--to", &to, "--to", "oci:layout"]);
    words.push(&repository);
    at_home(&home, &words).failure(1);
    has_all(&home, &good, "m/a", &images);
    for (image, tag) in images.iter().zip(TAGS) {
        for name in [format!("dir:folder/a:{tag}"), format!("oci:layout:{repository}:{tag}")] {
            let found = at_home(&home, &["inspect", &name]).success().json();
            assert_eq!(found["Digest"], image.digest().as_str(), "{name}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_asked() {
    let home = Home::new();
    for (arguments, expected) in [
        (&["--to", "docker://r.example", "--to", "docker://r.example", "x"][..], "is given twice"),
        (&["--to", "nowhere", "x"], "invalid place \"nowhere\""),
        (&["--dest", "docker", "--to", "docker://r.example", "x"], "--dest needs a DESTINATION"),
        (
            &["--dest", "docker", "--to", "docker://r.example/m", "x", "r.example/m"],
            "is the same as DESTINATION",
        ),
        (
            &[
                "--dest-creds",
                "a:b",
                "--to",
                "docker://r.example",
                "--to",
                "docker://s.example",
                "x",
            ],
            "the credentials are for one",
        ),
        (&["x"], "Exactly two arguments expected"),
    ] {
        let mut all = vec!["sync", "--src", "docker"];
        all.extend(arguments);
        let run = at_home(&home, &all).failure(1);
        assert!(fatal(&run).contains(expected), "{run}");
    }
}

#[test]
fn a_dry_run_names_all_places() {
    let (from, ..) = source();
    let home = home(&[&from]);
    let goals = ["one", "two"].map(|path| format!("docker://{}/{path}", from.host()));
    let to = goals.clone().map(|goal| ["--to".to_owned(), goal]);
    let run = sync(&home, &["--dry-run"], &from, &to).success();
    for goal in [format!("{}/a:1", goals[0]), format!("{}/a:3", goals[1])] {
        assert!(run.stderr.contains(&goal), "{run}");
        assert!(run.stdout.contains(&format!(" -> {goal}")), "{run}");
    }
}
