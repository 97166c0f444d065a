//! `sync --delete`: an exact mirror.

use serde_json::json;
use skopeo_testkit::registry::real::Real;
use skopeo_testkit::{Fault, Home, Image, On, Registry, Run, skip};

use crate::program::{at_home, fatal};

/// A source with the tags 1 and 2, and a mirror that has these and 3, 4 and another repository.
struct World {
    from: Registry,
    to: Registry,
    home: Home,
}

impl World {
    fn new() -> Self {
        let (from, to) = (Registry::start(), Registry::start());
        let home = Home::new();
        home.insecure(&[&from.host(), &to.host()]);
        for seed in [1, 2] {
            Image::new(seed).push(&from, &format!("team/a:{seed}"));
        }
        for seed in [1, 2, 3, 4] {
            Image::new(seed).push(&to, &format!("m/a:{seed}"));
        }
        Image::new(9).push(&to, "m/other:1");
        Self { from, to, home }
    }

    fn sync(&self, more: &[&str]) -> Run {
        self.sync_from("team/a", more)
    }

    fn sync_from(&self, source: &str, more: &[&str]) -> Run {
        let source = format!("{}/{source}", self.from.host());
        let place = format!("{}/m", self.to.host());
        let mut arguments = vec!["sync", "--src", "docker", "--dest", "docker", "--delete"];
        arguments.extend(more);
        arguments.extend([source.as_str(), place.as_str()]);
        at_home(&self.home, &arguments)
    }

    fn file(&self, text: &str, more: &[&str]) -> Run {
        let text = text.replace("FROM", &self.from.host()).replace("TO", &self.to.host());
        self.home.write("work/sync.yml", &text);
        let place = format!("{}/m", self.to.host());
        let mut arguments = vec!["sync", "--src", "yaml", "--delete"];
        arguments.extend(more);
        arguments.push("sync.yml");
        if !text.contains("version: 2") {
            arguments.extend(["--dest", "docker", &place]);
        }
        at_home(&self.home, &arguments)
    }

    #[track_caller]
    fn has(&self, repository: &str, tags: &str) {
        assert_eq!(listed(&self.home, &self.to.docker(repository)), tags, "{repository}");
    }
}

#[track_caller]
fn listed(home: &Home, name: &str) -> String {
    let json = at_home(home, &["list-tags", name]).success().json();
    let tags = json["Tags"].as_array().unwrap().iter();
    let mut tags: Vec<&str> = tags.map(|tag| tag.as_str().unwrap()).collect();
    tags.sort_unstable();
    tags.join(" ")
}

#[test]
fn what_the_source_no_longer_has_goes_by_its_tag() {
    let world = World::new();
    // The same image as one that stays: it must not go with its other name.
    Image::new(1).push(&world.to, "m/a:same");
    let run = world.sync(&["--output", "json", "--report", "report.json"]).success();
    world.has("m/a", "1 2");
    let file = fs_err::read(world.home.path("work/report.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    assert_eq!((&file["totals"]["unchanged"], &file["totals"]["deleted"]), (&json!(2), &json!(3)));
    world.has("m/other", "1");
    for (seed, tag) in [(1, "1"), (2, "2")] {
        let name = world.to.docker(&format!("m/a:{tag}"));
        let found = at_home(&world.home, &["inspect", "--no-tags", &name]).success().json();
        assert_eq!(found["Digest"], Image::new(seed).digest().as_str());
    }
    let report = run.json();
    let deleted: Vec<_> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["type"] == "delete")
        .map(|it| (it["outcome"].as_str().unwrap(), it["image"].as_str().unwrap().to_owned()))
        .collect();
    let gone = ["3", "4", "same"].map(|tag| ("deleted", world.to.docker(&format!("m/a:{tag}"))));
    assert_eq!(deleted, gone);
    let again = world.sync(&[]).success();
    assert!(again.stderr.contains("Deleted 0 images"), "{again}");
}

#[test]
fn a_dry_run_says_what_would_go() {
    let world = World::new();
    let run = world.sync(&["--dry-run"]).success();
    for tag in ["3", "4"] {
        let line = format!(
            "\"Would have deleted image\" image=\"{}\"",
            world.to.docker(&format!("m/a:{tag}"))
        );
        assert!(run.stderr.contains(&line), "{run}");
    }
    assert!(run.stderr.contains("Would have deleted 2 images"), "{run}");
    world.has("m/a", "1 2 3 4");
}

#[test]
fn what_is_protected_or_named_otherwise_stays() {
    for (source, more, left) in [
        ("team/a", &["--protect", "^4$"][..], "1 2 4"),
        ("team/a", &["--protect", "^a:"], "1 2 3 4"),
        ("team/a", &["--protect", "^x", "--protect", "^(3|4)$"], "1 2 3 4"),
        ("team/a", &["--include", "^1$"], "1"),
        ("team/a:1", &[], "1 2 3 4"),
    ] {
        let world = World::new();
        world.sync_from(source, more).success();
        world.has("m/a", left);
    }
    let world = World::new();
    for tag in ["1-eu", "3-eu", "eu"] {
        Image::new(5).push(&world.to, &format!("m/a:{tag}"));
    }
    world.sync(&["--append-suffix", "-eu"]).success();
    world.has("m/a", "1 1-eu 2 2-eu 3 4 eu");
}

#[test]
fn too_many_is_none_and_an_error() {
    for (most, goes) in [("1", false), ("2", true), ("49%", false), ("50%", true), ("0", false)] {
        let world = World::new();
        Image::new(7).push(&world.from, "team/a:new");
        for dry in [true, false] {
            let mut more = vec!["--max-delete", most];
            more.extend(dry.then_some("--dry-run"));
            let run = world.sync(&more);
            if goes {
                run.success();
            } else {
                let run = run.failure(1);
                let sentence = format!(
                    "--delete would remove 2 of 4 images, more than --max-delete {most}: nothing was deleted"
                );
                assert_eq!(fatal(&run), sentence);
            }
        }
        world.has("m/a", if goes { "1 2 new" } else { "1 2 3 4 new" });
    }
}

#[test]
fn nothing_goes_of_a_repository_that_is_not_known() {
    let world = World::new();
    Image::new(1).push(&world.from, "team/other:2");
    let file = "FROM:\n  images:\n    team/a: []\n    team/other: []\n";
    let failing = || Fault::status(On::tags().containing("team/a/"), 403);
    world.from.fault(failing());
    let run = world.file(file, &["--keep-going"]).failure(1);
    world.has("m/a", "1 2 3 4");
    world.has("m/other", "2");
    let line = format!(
        "Not deleting anything of a in docker://{}/m: {}/team/a: ",
        world.to.host(),
        world.from.host()
    );
    assert!(run.stderr.contains(&line), "{run}");
    // Without --keep-going it ends there.
    world.file(file, &[]).failure(1);
    world.has("m/a", "1 2 3 4");
    world.from.mend();

    // A selection of nothing is rather a mistake than a wish.
    let none =
        "FROM:\n  images-by-tag-regex:\n    team/a: ^nothing$\n  images:\n    team/other: []\n";
    let run = world.file(none, &[]).failure(1);
    world.has("m/a", "1 2 3 4");
    assert!(
        run.stderr.contains("it has nothing to copy") || run.stderr.contains("No refs"),
        "{run}"
    );

    // Two sources of one repository: both have to be known.
    Image::new(3).push(&world.from, "more/a:3");
    let both = "FROM:\n  images:\n    team/a: []\n    more/a: []\n";
    world.from.fault(failing());
    world.file(both, &["--keep-going"]).failure(1);
    world.has("m/a", "1 2 3 4");
    world.from.mend();
    world.file(both, &[]).success();
    world.has("m/a", "1 2 3");
}

#[test]
fn nothing_goes_if_something_was_not_copied() {
    let world = World::new();
    Image::new(7).push(&world.from, "team/a:new");
    world.to.fault(Fault::status(On::manifests().method("PUT").containing("new"), 403));
    let run = world.sync(&["--keep-going"]).failure(1);
    assert!(run.stderr.contains("Not deleting anything: not all images could be copied"), "{run}");
    world.has("m/a", "1 2 3 4");
}

#[test]
fn a_registry_that_deletes_no_tags_is_told_of_tag_by_tag() {
    let world = World::new();
    world.to.fault(Fault::status(On::manifests().method("DELETE"), 405));
    let run = world.sync(&[]).failure(1);
    for tag in ["3", "4"] {
        let name = world.to.docker(&format!("m/a:{tag}"));
        assert!(run.stderr.contains(&format!("Error deleting \\\"{name}\\\"")), "{run}");
    }
    let failed = run.stderr.lines().find(|line| line.starts_with("failed ")).unwrap();
    assert_eq!(failed.split_whitespace().last(), Some("2"), "{run}");
    world.has("m/a", "1 2 3 4");
}

#[test]
fn signatures_go_with_their_images_only() {
    let world = World::new();
    let tag = |seed: u64, end: &str| {
        format!("{}{end}", Image::new(seed).digest().as_str().replace(':', "-"))
    };
    for (seed, end) in [(2, ".sig"), (3, ".sig"), (3, ".att"), (99, ".sig")] {
        Image::new(50 + seed).push(&world.to, &format!("m/a:{}", tag(seed, end)));
    }
    world.sync(&[]).success();
    let mut left = ["1".to_owned(), "2".to_owned(), tag(2, ".sig"), tag(99, ".sig")];
    left.sort_unstable();
    world.has("m/a", &left.join(" "));
}

#[test]
fn pairs_of_a_file_are_mirrors_each() {
    let world = World::new();
    let file = "version: 2\nimages:\n- from: docker://FROM/team/a\n  to: docker://TO/m/a\n";
    world.file(file, &["--max-delete", "1"]).failure(1);
    world.has("m/a", "1 2 3 4");
    world.file(file, &[]).success();
    world.has("m/a", "1 2");
    world.has("m/other", "1");
}

#[test]
fn folders_and_layouts_are_mirrors_too() {
    for kind in ["dir", "oci"] {
        let world = World::new();
        for seed in [3, 4] {
            Image::new(seed).push(&world.from, &format!("team/a:{seed}"));
        }
        let source = format!("{}/team/a", world.from.host());
        let sync = |more: &[&str]| {
            let mut arguments = vec!["sync", "--src", "docker", "--dest", kind];
            arguments.extend(more);
            arguments.extend([&source, "place"]);
            at_home(&world.home, &arguments)
        };
        sync(&[]).success();
        let place = world.home.path("work/place");
        let before = bytes(&place);
        for tag in ["3", "4"] {
            let name = world.from.docker(&format!("team/a:{tag}"));
            at_home(&world.home, &["delete", "--tag-only", &name]).success();
        }
        let run = sync(&["--delete", "--max-delete", "25%"]).failure(1);
        assert!(fatal(&run).contains("2 of 4 images"), "{run}");
        sync(&["--delete"]).success();
        assert!(bytes(&place) < before, "{kind}: what nobody needs is gone");
        let label = |tag: &str| match kind {
            "dir" => format!("dir:place/a:{tag}"),
            _ => format!("oci:place:{}/team/a:{tag}", world.from.host()),
        };
        for (seed, tag) in [(1, "1"), (2, "2")] {
            let found = at_home(&world.home, &["inspect", &label(tag)]).success().json();
            assert_eq!(found["Digest"], Image::new(seed).digest().as_str());
        }
        for tag in ["3", "4"] {
            assert_ne!(at_home(&world.home, &["inspect", &label(tag)]).code, Some(0));
        }
        if kind == "dir" {
            let left = fs_err::read_dir(&place).unwrap().map(|it| it.unwrap().file_name());
            let mut left: Vec<_> = left.filter_map(|name| name.into_string().ok()).collect();
            left.sort_unstable();
            assert_eq!(left, ["a:1", "a:2"], "no leftovers");
        }
    }
}

fn bytes(folder: &std::path::Path) -> u64 {
    let entries = fs_err::read_dir(folder).unwrap().map(Result::unwrap);
    let sizes = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => bytes(&entry.path()),
        false => entry.metadata().unwrap().len(),
    });
    sizes.sum()
}

#[test]
fn the_real_registry_loses_the_tag_and_nothing_else() {
    let Some(real) = Real::start() else { skip!("no docker-registry is installed") };
    let from = Registry::start();
    let home = Home::new();
    home.insecure(&[&from.host(), &real.host()]);
    for seed in [1, 2, 3] {
        Image::new(seed).push(&from, &format!("team/a:{seed}"));
    }
    Image::new(1).push(&from, "team/a:same");
    let source = format!("{}/team/a", from.host());
    let place = format!("{}/m", real.host());
    let sync = |more: &[&str]| {
        let mut arguments = vec!["sync", "--src", "docker", "--dest", "docker"];
        arguments.extend(more);
        arguments.extend([source.as_str(), place.as_str()]);
        at_home(&home, &arguments)
    };
    sync(&[]).success();
    for tag in ["3", "same"] {
        at_home(&home, &["delete", "--tag-only", &from.docker(&format!("team/a:{tag}"))]).success();
    }
    sync(&["--delete"]).success();
    assert_eq!(listed(&home, &real.docker("m/a")), "1 2");
    let found = at_home(&home, &["inspect", "--no-tags", &real.docker("m/a:1")]).success().json();
    assert_eq!(found["Digest"], json!(Image::new(1).digest().as_str()));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let home = Home::new();
    for (arguments, expected) in [
        (
            &["--dest", "docker", "--max-delete", "1"][..],
            "--max-delete can only be used with --delete",
        ),
        (&["--dest", "docker", "--protect", "x"], "--protect can only be used with --delete"),
        (
            &["--dest", "docker", "--delete", "--max-delete", "ten"],
            "neither a number nor a percentage",
        ),
        (&["--dest", "docker", "--delete", "--protect", "("], "--protect"),
        (
            &["--dest", "docker", "--delete", "--shard", "1/2"],
            "--delete cannot be used with --shard",
        ),
        (
            &["--dest", "docker", "--delete", "--locked", "f"],
            "--delete cannot be used with --locked",
        ),
    ] {
        let mut all = vec!["sync", "--src", "docker"];
        all.extend(arguments);
        all.extend(["r.example/x", "s.example"]);
        let run = at_home(&home, &all).failure(1);
        assert!(fatal(&run).contains(expected), "{run}");
    }
    let world = World::new();
    let source = format!("{}/team/a", world.from.host());
    let arguments =
        ["sync", "--src", "docker", "--dest", "oci-archive", "--delete", &source, "a.tar"];
    let run = at_home(&world.home, &arguments).failure(1);
    assert!(fatal(&run).contains("images cannot be removed from oci-archive:a.tar"), "{run}");
    assert!(!world.home.path("work/a.tar").exists());
}
