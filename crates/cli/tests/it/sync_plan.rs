//! What `skopeo sync --dry-run` says, and `skopeo sync --plan` does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use skopeo_image::Digest;
use skopeo_testkit::{Home, Image, On, Registry, Run};

use crate::program::{at_home, fatal};
use crate::sync_names::{images_in, two};

/// Three images with a layer in common, and one that is a list.
fn filled(from: &Registry) -> Vec<Image> {
    let image = |seed| Image::builder(seed).layer_of(9, skopeo_image::Compression::Gzip).build();
    let images = vec![image(1), image(2), image(3), Image::platforms(4, 2)];
    for (at, image) in images.iter().enumerate() {
        image.push(from, &format!("a/b:{at}"));
    }
    images
}

fn sync(home: &Home, from: &Registry, to: &str, words: &[&str]) -> Run {
    let source = format!("{}/a/b", from.host());
    let kind = if to.starts_with('.') { "--dest=dir" } else { "--dest=docker" };
    at_home(home, &[&["sync", "--src=docker", kind, &source, to], words].concat())
}

fn document(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}\n{run}"))
}

/// All files below a folder, with their contents' digests.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Digest> {
    let mut files = BTreeMap::new();
    for entry in fs_err::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.insert(path.clone(), Digest::sha256(b"a folder"));
            files.extend(tree(&path));
        } else {
            files.insert(path.clone(), Digest::sha256(&fs_err::read(&path).unwrap()));
        }
    }
    files
}

fn nothing_was_written(registry: &Registry) {
    let methods = registry.requests().into_iter().map(|seen| seen.method);
    assert!(methods.into_iter().all(|it| it == "GET" || it == "HEAD"), "{:?}", registry.lines());
}

#[test]
fn a_dry_run_says_what_the_run_then_does() {
    let (from, to, home) = two();
    let images = filled(&from);
    images[1].push(&to, "m/b:1");
    Image::new(7).push(&to, "m/b:2");
    let place = format!("{}/m", to.host());
    let before = tree(to.root());
    to.forget_requests();
    let dry = sync(&home, &from, &place, &["--dry-run", "--output=json"]).success();
    nothing_was_written(&to);
    nothing_was_written(&from);
    assert_eq!(tree(to.root()), before);
    assert!(dry.stderr.contains("Would have synced 4 images from 1 sources"), "{dry}");
    assert_eq!(dry.stderr.matches("Would have copied image ref").count(), 3);
    assert_eq!(dry.stderr.matches("Would have skipped image ref").count(), 1);
    let dry = document(&dry);
    let results = dry["results"].as_array().unwrap();
    let outcomes: Vec<_> = results.iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["new", "unchanged", "changed", "new"]);
    assert_eq!(results[0]["source_digest"], images[0].digest().to_string());
    let sum = &dry["plan"]["sum"];
    assert_eq!(
        (&sum["new"], &sum["changed"], &sum["unchanged"]),
        (&2.into(), &1.into(), &1.into())
    );

    from.forget_requests();
    to.forget_requests();
    let run = sync(&home, &from, &place, &["--output=json"]).success();
    let run = document(&run);
    let total = |what: &str| -> u64 {
        run["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["bytes"][what].as_u64().unwrap())
            .sum()
    };
    assert_eq!(total("read"), sum["fetch"]["bytes"].as_u64().unwrap());
    assert_eq!(total("written"), sum["send"]["bytes"].as_u64().unwrap());
    let uploads = to.count(&On::uploads().method("PUT")) as u64;
    assert_eq!(uploads, sum["send"]["blobs"].as_u64().unwrap());
}

#[test]
fn a_dry_run_into_a_folder_makes_none() {
    let (from, _, home) = two();
    filled(&from);
    let before = tree(&home.path("work"));
    let run = sync(&home, &from, "./mirror/deep", &["--dry-run", "--scoped"]).success();
    assert_eq!(tree(&home.path("work")), before);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 6, "{run}");
    assert!(lines[0].starts_with("CHANGE"));
    assert!(lines[1].starts_with("new "), "{run}");
    assert!(lines[5].starts_with("4 new, 0 changed, 0 unchanged: "), "{run}");
    sync(&home, &from, "./mirror/deep", &["--scoped"]).success();
    let run = sync(&home, &from, "./mirror/deep", &["--dry-run", "--scoped"]).success();
    assert!(run.stdout.contains("0 new, 0 changed, 4 unchanged: 0 B (0 blobs) to fetch"), "{run}");
}

#[test]
fn what_cannot_be_had_fails_a_dry_run() {
    let (from, _, home) = two();
    filled(&from);
    let run = sync(&home, &from, "127.0.0.1:9/m", &["--dry-run"]);
    assert_eq!(run.code, Some(1), "{run}");
    assert!(fatal(&run).starts_with("Error pricing ref"), "{run}");
}

#[test]
fn a_plan_is_executed_by_itself() {
    let (from, to, home) = two();
    let images = filled(&from);
    let place = format!("{}/m", to.host());
    let words =
        ["--dry-run", "--output=json", "--all", "--append-suffix=-x", "--src-creds=u:hunter2"];
    let plan = sync(&home, &from, &place, &words).success().stdout;
    assert!(!plan.contains("hunter2"));
    fs_err::write(home.path("work/plan.json"), &plan).unwrap();
    // What comes after the plan is not in it.
    Image::new(8).push(&from, "a/b:9");
    let run = at_home(&home, &["sync", "--plan", "plan.json"]).success();
    assert!(run.stderr.contains("Synced 4 images from 1 sources"), "{run}");
    assert_eq!(images_in(&to), "m/b:0-x m/b:1-x m/b:2-x m/b:3-x");
    let again = at_home(&home, &["sync", "--plan", "plan.json", "--dry-run"]).success();
    assert!(again.stdout.contains("0 new, 0 changed, 4 unchanged"), "{again}");
    // All of the list came.
    let reference = format!("docker://{place}/b@{}", images[3].instances()[1].digest());
    at_home(&home, &["inspect", "--raw", &reference]).success();
    let run = at_home(&home, &["sync", "--plan", "plan.json", "a", "b"]);
    assert_eq!(fatal(&run), "No arguments expected with --plan");
}

#[test]
fn a_plan_is_refused_where_the_source_moved() {
    let (from, to, home) = two();
    let images = filled(&from);
    let place = format!("{}/m", to.host());
    let plan = sync(&home, &from, &place, &["--dry-run", "--output=json"]).success().stdout;
    fs_err::write(home.path("work/plan.json"), &plan).unwrap();
    let moved = Image::new(8);
    moved.push(&from, "a/b:1");
    let run = at_home(&home, &["sync", "--plan", "plan.json", "--keep-going"]);
    assert_eq!(run.code, Some(1), "{run}");
    let sentence =
        format!("a/b:1 has moved: it was {}, and is {} now", images[1].digest(), moved.digest());
    assert!(run.stderr.contains(&sentence), "{run}");
    assert_eq!(images_in(&to), "m/b:0 m/b:2 m/b:3");
    at_home(&home, &["sync", "--plan", "plan.json", "--allow-moved"]).success();
    assert_eq!(images_in(&to), "m/b:0 m/b:1 m/b:2 m/b:3");
}

#[test]
fn what_is_no_plan_is_refused() {
    let home = Home::new();
    for (text, sentence) in [
        ("", "EOF"),
        ("{}", "missing field"),
        (r#"{"version":1,"command":"copy","ok":true,"results":[]}"#, "not a plan of this version"),
        (r#"{"version":1,"command":"sync","ok":true,"results":[]}"#, "there is no plan in it"),
    ] {
        fs_err::write(home.path("work/plan.json"), text).unwrap();
        let run = at_home(&home, &["sync", "--plan", "plan.json"]);
        assert_eq!(run.code, Some(1), "{run}");
        assert!(fatal(&run).contains(sentence), "{run}");
    }
}

#[test]
fn immutable_tags_that_are_there_take_no_request() {
    let (from, to, home) = two();
    filled(&from);
    let place = format!("{}/m", to.host());
    sync(&home, &from, &place, &[]).success();
    Image::new(8).push(&from, "a/b:9");
    from.forget_requests();
    to.forget_requests();
    // A tag that moved is not seen to have: that is what was asked for.
    Image::new(6).push(&from, "a/b:1");
    let words = ["--immutable-tags=^[0-3]$", "--immutable-tags", "^9$"];
    let run = sync(&home, &from, &place, &words).success();
    assert!(run.stderr.contains("Synced 5 images from 1 sources"), "{run}");
    assert_eq!(to.count(&On::tags()), 1);
    let asked = |registry: &Registry| registry.count(&On::manifests().method("HEAD"));
    assert_eq!((asked(&from), asked(&to)), (1, 1), "{:?}", from.lines());
    assert_eq!(images_in(&to), "m/b:0 m/b:1 m/b:2 m/b:3 m/b:9");
    let run = sync(&home, &from, &place, &["--immutable-tags=("]);
    assert_eq!(run.code, Some(1));
    assert!(fatal(&run).starts_with("--immutable-tags: "), "{run}");
}
