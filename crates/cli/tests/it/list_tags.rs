//! `skopeo list-tags`.

use skopeo_testkit::{Fault, Home, Image, On, Registry};

use crate::program::{at_home, fatal};

#[test]
fn prints_the_tags_of_a_repository() {
    let registry = Registry::start();
    for tag in ["2", "1", "latest"] {
        Image::new(1).push(&registry, &format!("a/b:{tag}"));
    }
    let name = registry.docker("a/b");
    let run = at_home(&Home::new(), &["list-tags", "--tls-verify=false", &name]).success();
    let expected = format!(
        "{{\n    \"Repository\": \"{}/a/b\",\n    \"Tags\": [\n        \"1\",\n        \"2\",\n        \
         \"latest\"\n    ]\n}}\n",
        registry.host()
    );
    assert_eq!(run.stdout, expected);
    let run = at_home(&Home::new(), &["list-tags", "--tls-verify=false", &registry.docker("no")]);
    assert!(fatal(&run.failure(1)).starts_with("Error listing repository tags: "));
}

#[test]
fn refuses_what_is_no_repository() {
    for (name, sentence) in [
        ("docker://x:tag", "No tag or digest allowed in reference"),
        ("x", "Invalid \"x\": does not specify a transport"),
        (
            "dir:x",
            "Unsupported transport 'dir' for tag listing. Only supported: docker, docker-archive, oci, oci-archive",
        ),
    ] {
        assert_eq!(fatal(&at_home(&Home::new(), &["list-tags", name]).failure(1)), sentence);
    }
    let run = at_home(&Home::new(), &["list-tags"]).failure(1);
    assert_eq!(fatal(&run), "Exactly one non-option argument expected");
    assert!(run.stderr.contains("Usage:\nskopeo list-tags"), "{run}");
}

/// A repository with some tags, of which two are one image, and one is a list.
fn repository() -> (Registry, Home) {
    let registry = Registry::start();
    for (seed, tag) in [(1, "1.9.0"), (2, "1.10.0"), (3, "2.0.0-rc.1"), (3, "nightly"), (4, "v2")] {
        Image::new(seed).push(&registry, &format!("a:{tag}"));
    }
    Image::platforms(9, 3).push(&registry, "a:multi");
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    (registry, home)
}

fn tags(run: &skopeo_testkit::Run) -> String {
    let json = run.json();
    let tags = json["Tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap());
    tags.collect::<Vec<_>>().join(" ")
}

#[test]
fn chooses_and_sorts_by_words_and_versions() {
    let (registry, home) = repository();
    let name = registry.docker("a");
    for (words, expected) in [
        (&["--match", "^1"][..], "1.10.0 1.9.0"),
        (&["--match", "^1", "--sort", "semver"], "1.9.0 1.10.0"),
        (&["--exclude", "[a-z]"], "1.10.0 1.9.0"),
        (&["--semver", ">=1.10"], "1.10.0 v2"),
        (&["--semver", ">=1.10-0", "--sort=semver"], "1.10.0 2.0.0-rc.1 v2"),
        (&["--semver", "*", "--newest", "2"], "1.10.0 v2"),
        (&["--sort", "name", "--newest", "1"], "v2"),
        (&["--match", "^none$"], ""),
    ] {
        registry.forget_requests();
        let run = at_home(&home, &[&["list-tags", &name], words].concat()).success();
        assert_eq!((tags(&run).as_str(), run.stderr.as_str()), (expected, ""), "{words:?}");
        assert_eq!(registry.lines().iter().filter(|line| !line.ends_with("/v2/")).count(), 1);
    }
    let words =
        ["list-tags", &name, "--semver", "<2", "--exclude", "rc", "--newest=1", "--explain"];
    let run = at_home(&home, &words).success();
    assert_eq!(tags(&run), "1.10.0");
    let why = "2.0.0-rc.1: is excluded by \"rc\"\nmulti: is no version\nnightly: is no version\n\
               v2: is not in the range \"<2\"\n1.9.0: is not among the newest 1\n";
    assert_eq!(run.stderr, why);
    for (words, sentence) in [
        (&["--match", "("][..], "parsing the regular expression \"(\": regex parse error:"),
        (
            &["--semver", "x.y"],
            "parsing the range of versions \"x.y\": improper constraint: \"x.y\"",
        ),
        (&["--newest", "0"], "--newest must be at least 1"),
        (&["--sort", "size"], "unknown value \"size\" of --sort"),
    ] {
        let run = at_home(&home, &[&["list-tags", &name], words].concat()).failure(1);
        assert!(fatal(&run).starts_with(sentence), "{run}");
    }
}

#[test]
fn knows_what_tags_lead_to_with_few_requests() {
    let (registry, home) = repository();
    let name = registry.docker("a");
    registry.forget_requests();
    let run = at_home(&home, &["list-tags", "--details", &name]).success();
    let details = run.json()["TagDetails"].clone();
    let detail = |tag: &str| {
        let all = details.as_array().unwrap();
        all.iter().find(|it| it["Tag"] == tag).unwrap_or_else(|| panic!("{run}")).clone()
    };
    let image = Image::new(1);
    assert_eq!(detail("1.9.0")["Digest"], image.digest().to_string());
    let size: u64 = image.blobs().values().map(|blob| blob.len() as u64).sum();
    assert_eq!(detail("1.9.0")["Size"], size, "{run}");
    assert_eq!(detail("1.9.0")["Platforms"].as_array().unwrap().len(), 1, "{run}");
    assert_eq!(detail("1.9.0")["MediaType"], image.media_type().to_string());
    assert_eq!(detail("multi")["Platforms"].as_array().unwrap().len(), 3, "{run}");
    assert_eq!(detail("multi")["Digest"], Image::platforms(9, 3).digest().to_string());
    assert_eq!(detail("nightly")["Digest"], detail("2.0.0-rc.1")["Digest"]);
    // Six tags, five digests, one of them a list: its instance is read, too.
    let count = |method: &str, what: &str| {
        let lines = registry.lines();
        lines.iter().filter(|it| it.starts_with(method) && it.contains(what)).count()
    };
    assert_eq!((count("HEAD", "/manifests/"), count("GET", "/manifests/")), (6, 6));
    assert_eq!(count("GET", "/blobs/"), 5);

    // One that cannot be read is said to be so, and the others are listed.
    registry
        .fault(Fault::status(On::manifests().any_method().containing("v2/a/manifests/v2"), 403));
    let run = at_home(&home, &["list-tags", "--details", &name]).success();
    let details = run.json()["TagDetails"].clone();
    assert_eq!(details.as_array().unwrap().len(), 6);
    assert!(details[5]["Error"].as_str().unwrap().contains("reading manifest v2"), "{run}");
    assert!(run.stderr.contains("Cannot read tag v2: "), "{run}");
}

#[test]
fn the_newest_are_those_made_last() {
    let (registry, home) = repository();
    let name = registry.docker("a");
    let run = at_home(&home, &["list-tags", "--details", "--sort=created", &name]).success();
    let times: Vec<String> = run.json()["TagDetails"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["Created"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(times.is_sorted() && !times[5].is_empty(), "{times:?}");
    let all = tags(&run);
    let newest = at_home(&home, &["list-tags", "--newest=2", &name]).success();
    assert!(all.ends_with(&tags(&newest)) && tags(&newest).contains(' '), "{all}: {newest}");
}
