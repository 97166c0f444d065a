//! What `skopeo sync` chooses: tags, platforms, shards.

use std::collections::BTreeSet;

use skopeo_testkit::{Fault, Home, Image, On, Registry};

use crate::program::{at_home, fatal};
use crate::script::{Script, respond};
use crate::sync_names::{images_in, two};

/// A repository of versions, made one after the other.
fn repository() -> (Registry, Home) {
    let (from, home) = (Registry::start(), Home::new());
    for (at, tag) in ["1.0", "1.1-rc.1", "1.1", "2.0", "latest"].into_iter().enumerate() {
        let time = format!("2026-0{}-01T00:00:00Z", at + 1);
        Image::builder(at as u64).created(&time).build().push(&from, &format!("a:{tag}"));
    }
    (from, home)
}

#[test]
fn tags_are_chosen() {
    let (from, home) = repository();
    let source = format!("{}/a", from.host());
    for (words, expected) in [
        (&[][..], "a:1.0 a:1.1 a:1.1-rc.1 a:2.0 a:latest"),
        (&["--include", "^1", "--include", "^latest$"], "a:1.0 a:1.1 a:1.1-rc.1 a:latest"),
        (&["--exclude", "rc", "--exclude", "^[a-z]{1,9}$"], "a:1.0 a:1.1 a:2.0"),
        (&["--semver", ">=1.1", "--include", "1$"], "a:1.1"),
        (&["--semver", "*", "--newest", "2"], "a:1.1 a:2.0"),
        (&["--newest", "2"], "a:2.0 a:latest"),
        (&["--since", "2026-03-01"], "a:1.1 a:2.0 a:latest"),
        (&["--since", "2026-03-01", "--newest", "5", "--exclude", "^latest$"], "a:1.1 a:2.0"),
        (&["--include", "^none$"], ""),
    ] {
        let to = Registry::start();
        home.insecure(&[&from.host(), &to.host()]);
        let place = to.host();
        let ends = ["sync", "--src=docker", "--dest=docker", &source, &place];
        let run = at_home(&home, &[&ends, words].concat());
        assert_eq!(run.code, Some(i32::from(expected.is_empty())), "{words:?}: {run}");
        assert_eq!(images_in(&to), expected, "{words:?}");
    }
}

#[test]
fn it_is_explained() {
    let (from, home) = repository();
    home.insecure(&[&from.host()]);
    let source = format!("{}/a", from.host());
    let words = ["sync", "--src=docker", "--dest=dir", "--dry-run", "--explain", &source, "d"];
    let more = ["--semver=>=1", "--newest=1", "--exclude=rc"];
    let run = at_home(&home, &[&words[..], &more].concat()).success();
    let said: Vec<_> =
        run.stderr.lines().filter_map(|line| line.strip_prefix(&format!("{source}:"))).collect();
    assert_eq!(
        said,
        [
            "2.0: kept: is in the range \">=1\", is among the newest 1",
            "1.1-rc.1: dropped: is excluded by \"rc\"",
            "latest: dropped: is no version",
            "1.0: dropped: is not among the newest 1",
            "1.1: dropped: is not among the newest 1",
        ]
    );
    // Versions need no times, and a dry run of one image no more than the list of tags.
    assert!(!from.lines().iter().any(|line| line.contains("/blobs/")), "{:?}", from.lines());
}

#[test]
fn what_nobody_knows_the_age_of_is_left_out_and_said_to_be() {
    let (from, to, home) = two();
    let age = |time: &str| Image::builder(1).created(time).build();
    age("2026-05-01T00:00:00Z").push(&from, "a:new");
    age("0001-01-01T00:00:00Z").push(&from, "a:unknown");
    age("2025-05-01T00:00:00Z").push(&from, "a:old");
    let (source, place) = (format!("{}/a", from.host()), to.host());
    let ends = ["sync", "--src=docker", "--dest=docker", &source, &place];
    let run = at_home(&home, &[&ends[..], &["--since=2026-01-01"]].concat()).success();
    assert_eq!(images_in(&to), "a:new");
    assert!(run.stderr.contains("/a:unknown was made, so it is left out"), "{run}");
    assert!(!run.stderr.contains("a:old"), "{run}");
    // What cannot be asked is a failure, and nothing is taken for the newest instead.
    from.fault(Fault::status(On::blobs(), 403));
    let to = Registry::start();
    home.insecure(&[&from.host(), &to.host()]);
    let place = to.host();
    let ends = ["sync", "--src=docker", "--dest=docker", &source, &place, "--newest=1"];
    at_home(&home, &ends).failure(1);
    assert_eq!(images_in(&to), "");
}

#[test]
fn images_of_folders_and_layouts_are_chosen_too() {
    let (from, home) = repository();
    home.insecure(&[&from.host()]);
    let source = format!("{}/a", from.host());
    for (kind, place) in [("dir", "folder"), ("oci", "layout")] {
        let words = ["sync", "--src=docker", "--scoped", "--dest", kind, &source, place];
        at_home(&home, &words).success();
        let to = Registry::start();
        home.insecure(&[&from.host(), &to.host()]);
        let host = to.host();
        let words = ["sync", "--src", kind, "--dest=docker", "--explain", place, &host];
        let more = ["--semver=*", "--newest=2", "--exclude=^1.0$"];
        let run = at_home(&home, &[&words[..], &more].concat()).success();
        assert_eq!(images_in(&to), "a:1.1 a:2.0", "{run}");
        assert!(run.stderr.contains("/a:1.0: dropped: is excluded by \"^1.0$\""), "{run}");
        let run = at_home(&home, &[&words[..], &["--newest=1"]].concat()).failure(1);
        assert!(fatal(&run).contains("only registries are asked when images were made"), "{run}");
    }
}

#[test]
fn what_cannot_be_chosen_is_refused() {
    let (from, home) = repository();
    home.insecure(&[&from.host()]);
    let source = format!("{}/a", from.host());
    let one = format!("{source}:1.0");
    for (source, words, sentence) in [
        (&source, &["--include", "("][..], "parsing the regular expression \"(\""),
        (&source, &["--semver", "x.y"], "parsing the range of versions \"x.y\""),
        (&source, &["--since", "never"], "--since: \"never\" is not a date"),
        (&source, &["--newest", "0"], "--newest must be at least 1"),
        (&source, &["--platform", "amd64"], "invalid platform format \"amd64\" in --platform"),
        (&source, &["--platform", "linux/amd64", "--all"], "Cannot use --all and --platform"),
        (&source, &["--shard", "0/2"], "invalid shard \"0/2\""),
        (&source, &["--shard", "auto/2"], "neither JOB_COMPLETION_INDEX nor"),
        (&one, &["--include", "x"], "is one image, and there is nothing to choose"),
    ] {
        let ends = ["sync", "--src=docker", "--dest=dir", source, "d"];
        let run = at_home(&home, &[&ends[..], words].concat()).failure(1);
        assert!(fatal(&run).contains(sentence), "{words:?}: {run}");
    }
    assert!(!home.path("work/d").exists());
}

#[test]
fn platforms_are_cut_out_of_lists() {
    let (from, to, home) = two();
    Image::platforms(1, 3).push(&from, "a:1");
    let (source, place) = (format!("{}/a", from.host()), to.host());
    let platforms: Vec<String> = Image::platforms(1, 3)
        .instances()
        .iter()
        .map(|it| it.platform().unwrap())
        .map(|it| format!("{}/{}", it.os, it.architecture))
        .collect();
    let two = format!("{},{}", platforms[0], platforms[1]);
    let words = ["sync", "--src=docker", "--dest=docker", "--platform", &two, &source, &place];
    at_home(&home, &words).success();
    let run = at_home(&home, &["inspect", "--raw", &to.docker("a:1")]).success();
    assert_eq!(run.json()["manifests"].as_array().unwrap().len(), 2, "{run}");
}

#[test]
fn what_no_shard_can_see_is_said() {
    let (from, to, home) = two();
    for name in ["a/x:1", "b/x:2", "c/y:1"] {
        Image::new(1).push(&from, name);
    }
    let (host, place) = (from.host(), to.host());
    let ends = ["sync", "--src=registry", "--dest=docker", &host, &place];
    for shard in ["1/2", "2/2"] {
        let run = at_home(&home, &[&ends[..], &["--shard", shard]].concat()).success();
        let sentence = format!(
            "{host}/a/x and {host}/b/x become one repository in docker://{place}, and no shard may"
        );
        assert_eq!(run.stderr.matches(&sentence).count(), 1, "{run}");
        assert!(!run.stderr.contains("c/y become"), "{run}");
    }
    assert_eq!(images_in(&to), "x:1 x:2 y:1");
}

#[test]
fn shards_together_are_the_whole() {
    let (from, to, home) = two();
    let mut all = BTreeSet::new();
    for at in 0..30 {
        for tag in ["1", "2"] {
            Image::new(at % 3).push(&from, &format!("r{at}:{tag}"));
            all.insert(format!("r{at}:{tag}"));
        }
    }
    let (host, place) = (from.host(), to.host());
    let ends = ["sync", "--src=registry", "--dest=docker", "--preserve-path", &host, &place];
    let mut before = 0;
    for shard in ["1/3", "2/3"] {
        at_home(&home, &[&ends[..], &["--shard", shard]].concat()).success();
        let now: BTreeSet<_> = images_in(&to).split(' ').map(str::to_owned).collect();
        assert!(now.len() > before && now.is_subset(&all) && now.len() < all.len(), "{now:?}");
        // Images of a repository stay together.
        assert!(now.iter().all(|it| now.contains(&it.replace(":1", ":2"))), "{now:?}");
        before = now.len();
    }
    // As a pod of an Indexed Job sees it, and as a task of an array.
    let job = Home::new().variable("JOB_COMPLETION_INDEX", "2");
    job.insecure(&[&host, &place]);
    at_home(&job, &[&ends[..], &["--shard", "auto/3"]].concat()).success();
    let now: BTreeSet<_> = images_in(&to).split(' ').map(str::to_owned).collect();
    assert_eq!(now, all);
    let task = Home::new()
        .variable("SLURM_ARRAY_TASK_ID", "3")
        .variable("SLURM_ARRAY_TASK_MIN", "1")
        .variable("SLURM_ARRAY_TASK_COUNT", "3");
    task.insecure(&[&host, &place]);
    let dry = [&ends[..], &["--dry-run", "--shard"]].concat();
    let as_task = at_home(&task, &[&dry[..], &["auto"]].concat()).success();
    let as_flag = at_home(&home, &[&dry[..], &["3/3"]].concat()).success();
    let copied = |run: &skopeo_testkit::Run| {
        let lines = run.stderr.lines().filter_map(|line| line.split_once(" to=\""));
        lines.map(|(_, to)| to.to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(copied(&as_task), copied(&as_flag));
    assert!(!copied(&as_task).is_empty(), "{as_task}");
}

#[test]
fn what_can_be_no_tag_is_skipped_alone() {
    let registry = Script::start(|ask, stream| match ask.target.ends_with("/tags/list") {
        true => respond(stream, "200 OK", &[], b"{\"tags\":[\"../x\",\"good\"]}"),
        false => respond(stream, "404 Not Found", &[], b""),
    });
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    let source = format!("{}/a", registry.host());
    let run = at_home(&home, &["sync", "--src", "docker", "--dest", "dir", &source, "out"]);
    assert!(
        run.stderr.contains("Error creating a tagged reference from registry tag list"),
        "{run}"
    );
    assert!(run.stderr.contains("tag=../x"), "{run}");
    assert!(run.stderr.contains("Copying image ref 1/1"), "{run}");
}
