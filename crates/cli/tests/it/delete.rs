//! `skopeo delete`.

use serde_json::json;
use skopeo_testkit::{Fault, Home, Image, On, Registry, skip};

use crate::program::{at_home, fatal};
use crate::sync_stage::tags;

#[test]
fn deletes_from_a_registry_with_every_tag_of_the_digest() {
    let registry = Registry::start();
    Image::new(1).push(&registry, "a:1");
    Image::new(1).push(&registry, "a:same");
    Image::new(2).push(&registry, "a:2");
    let home = Home::new();
    at_home(&home, &["delete", "--tls-verify=false", &registry.docker("a:1")]).success();
    let left = at_home(&home, &["list-tags", "--tls-verify=false", &registry.docker("a")]);
    assert_eq!(left.success().json()["Tags"], json!(["2"]));
    let again = at_home(&home, &["delete", "--tls-verify=false", &registry.docker("a:1")]);
    let sentence = format!(
        "Unable to delete {}/a:1. Image may not exist or is not stored with a v2 Schema in a v2 registry",
        registry.host()
    );
    assert_eq!(fatal(&again.failure(1)), sentence);
}

#[test]
fn deletes_from_a_layout_and_nowhere_else() {
    let home = Home::new();
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    at_home(&home, &["delete", "oci:layout:x"]).success();
    at_home(&home, &["inspect", "oci:layout:x"]).failure(2);
    let run = at_home(&home, &["delete", "dir:layout"]).failure(1);
    assert_eq!(fatal(&run), "Deleting images not implemented for dir: images");
    let run = at_home(&home, &["delete"]).failure(1);
    assert_eq!(fatal(&run), "Usage: delete imageReference");
    let run = at_home(&home, &["delete", "x"]).failure(1);
    assert!(fatal(&run).starts_with("Invalid source name x: Invalid image name"), "{run}");
}

/// A repository in which 1, same and old are one image.
fn repository() -> (Registry, Home) {
    let registry = Registry::start();
    for (seed, tag) in [(1, "1.0"), (1, "same"), (1, "old"), (2, "1.1"), (3, "2.0"), (4, "latest")]
    {
        Image::new(seed).push(&registry, &format!("a:{tag}"));
    }
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    (registry, home)
}

#[track_caller]
fn left(home: &Home, name: &str) -> String {
    let run = at_home(home, &["list-tags", name]).success();
    let json = run.json();
    let tags = json["Tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned());
    let mut tags: Vec<String> = tags.collect();
    tags.sort();
    tags.join(" ")
}

const ALL: &str = "1.0 1.1 2.0 latest old same";

#[test]
fn says_which_tags_die_with_the_digest() {
    let (registry, home) = repository();
    let (name, image) = (registry.docker("a"), registry.docker("a:1.0"));
    let digest = Image::new(1).digest();
    let run = at_home(&home, &["delete", "--dry-run", &image]).success();
    let said = format!("Would delete {image}, {digest}, and also the tags: old, same\n");
    assert_eq!((run.stdout, run.stderr), (said, String::new()));
    let run = at_home(&home, &["delete", "--dry-run", "--output=json", &image]).success();
    let result = run.json()["results"][0].clone();
    assert_eq!(
        (&result["outcome"], &result["with"]),
        (&json!("would-delete"), &json!(["old", "same"]))
    );
    assert_eq!(result["digest"], digest.to_string());
    at_home(&home, &["delete", "--dry-run", &registry.docker("a:none")]).failure(1);
    let run = at_home(&home, &["delete", "--dry-run", "dir:x"]).failure(1);
    assert_eq!(fatal(&run), "Looking for tags not implemented for dir: images");
    assert!(!registry.lines().iter().any(|line| line.starts_with("DELETE")), "a dry run");
    assert_eq!(left(&home, &name), ALL);
    let run = at_home(&home, &["delete", &image]).success();
    assert!(run.stderr.contains("also deletes the tags of the same digest: old, same"), "{run}");
    assert_eq!(left(&home, &name), "1.1 2.0 latest");
    // That they cannot be known is no failure.
    registry.fault(Fault::status(On::tags(), 403));
    let run = at_home(&home, &["delete", &registry.docker("a:2.0")]).success();
    assert_eq!(run.stderr, "");
}

#[test]
fn a_tag_goes_alone() {
    // Some registries delete tags, some manifests only.
    let no_tags = Fault::status(On::manifests().method("DELETE").containing("/manifests/1.0"), 405);
    for (fault, method) in [(None, "tag"), (Some(no_tags), "placeholder")] {
        let (registry, home) = repository();
        fault.into_iter().for_each(|fault| registry.fault(fault));
        let image = registry.docker("a:1.0");
        let words = ["delete", "--tag-only", "--output=json", &image];
        let run = at_home(&home, &words).success();
        assert_eq!(run.json()["results"][0]["method"], method, "{run}");
        assert_eq!(left(&home, &registry.docker("a")), "1.1 2.0 latest old same");
        let digest = Image::new(1).digest();
        for name in ["a:same".to_owned(), format!("a@{digest}")] {
            let run = at_home(&home, &["copy", "-q", &registry.docker(&name), "oci:there"]);
            run.success();
        }
        let run = at_home(&home, &words).failure(1);
        assert!(fatal(&run).starts_with("Unable to delete "), "{run}");
    }
    let (registry, home) = repository();
    let by_digest = format!("{}@{}", registry.docker("a"), Image::new(1).digest());
    let run = at_home(&home, &["delete", "--tag-only", &by_digest]).failure(1);
    assert_eq!(fatal(&run), "a name without a tag has no tag to delete");
    let run = at_home(&home, &["delete", "--tag-only", "oci:x:y"]).failure(1);
    assert_eq!(fatal(&run), "Deleting tags not implemented for oci: images");
}

#[test]
fn a_tag_that_cannot_go_stays_what_it_was() {
    let (registry, home) = repository();
    registry.fault(Fault::status(On::manifests().method("DELETE"), 405));
    let image = registry.docker("a:1.0");
    let run = at_home(&home, &["delete", "--tag-only", &image]).failure(1);
    assert!(fatal(&run).starts_with("deleting "), "{run}");
    assert_eq!(left(&home, &registry.docker("a")), ALL);
    let run = at_home(&home, &["inspect", "--format={{.Digest}}", &image]).success();
    assert_eq!(run.stdout.trim(), Image::new(1).digest().to_string());
}

#[test]
fn tags_of_a_real_registry_go_alone() {
    let Some(registry) = skopeo_testkit::registry::real::Real::start() else {
        skip!("no docker-registry is installed")
    };
    let home = Home::new();
    home.insecure(&[&registry.host()]);
    Image::new(1).write_oci(&home.path("work/one"), None);
    Image::new(2).write_oci(&home.path("work/two"), None);
    for (from, tag) in [("one", "1"), ("one", "same"), ("two", "2"), ("two", "2-old")] {
        let to = registry.docker(&format!("a:{tag}"));
        at_home(&home, &["copy", "-q", &format!("oci:{from}"), &to]).success();
    }
    let name = registry.docker("a");
    at_home(&home, &["delete", "--tag-only", &format!("{name}:1")]).success();
    assert_eq!(left(&home, &name), "2 2-old same");
    let run = at_home(&home, &["inspect", "--format={{.Digest}}", &format!("{name}:same")]);
    assert_eq!(run.success().stdout.trim(), Image::new(1).digest().to_string());
    at_home(&home, &["delete", "--match=old|same", "--yes", &name]).success();
    assert_eq!(left(&home, &name), "2");
    at_home(&home, &["copy", "-q", &format!("{name}:2"), "oci:there"]).success();
}

#[test]
fn chosen_tags_go_and_take_along_what_nobody_else_needs() {
    for (words, expected) in [
        (&["--match", "^1"][..], "2.0 latest old same"),
        (&["--match", "1.0|old|same"], "1.1 2.0 latest"),
        (&["--semver", "*", "--keep", "1"], "2.0 latest old same"),
        (&["--semver", "*", "--keep", "3"], ALL),
        (&["--match", ".", "--exclude", "latest", "--older-than", "1d"], "latest"),
        (&["--older-than", "9999w"], ALL),
        (&["--match", "^none$"], ALL),
        (&["--match", "^1", "--tag-only"], "2.0 latest old same"),
    ] {
        let (registry, home) = repository();
        let name = registry.docker("a");
        let dry = at_home(&home, &[&["delete", "--dry-run", &name], words].concat()).success();
        assert_eq!(left(&home, &name), ALL, "{words:?}");
        let run = at_home(&home, &[&["delete", "--yes", &name], words].concat()).success();
        assert_eq!(left(&home, &name), expected, "{words:?}");
        let plan = dry.stdout.replace("Would delete: ", "To be deleted: ");
        assert_eq!(plan, run.stdout, "{words:?}");
        for tag in expected.split(' ') {
            let image = format!("{name}:{tag}");
            at_home(&home, &["copy", "-q", &image, &format!("oci:there:{tag}")]).success();
        }
    }
}

#[test]
fn many_tags_are_deleted_only_if_it_is_meant() {
    let (registry, home) = repository();
    let name = registry.docker("a");
    let run = at_home(&home, &["delete", "--match=^1", &name]).failure(1);
    assert_eq!(fatal(&run), "deleting 2 tags needs --yes: there is no terminal to ask");
    assert!(run.stdout.starts_with(&format!("To be deleted: {name}:1.0 ")), "{run}");
    registry.fault(Fault::status(On::tags(), 403));
    let run = at_home(&home, &["delete", "--match=.", "--yes", &name]).failure(1);
    assert!(fatal(&run).starts_with("Error listing repository tags: "), "{run}");
    registry.mend();
    for (words, sentence) in [
        (["--match=(", "--yes"], "parsing the regular expression"),
        (["--older-than=1y", "--yes"], "invalid age \"1y\" for --older-than"),
    ] {
        let run = at_home(&home, &[&["delete", &name], &words[..]].concat()).failure(1);
        assert!(fatal(&run).starts_with(sentence), "{run}");
    }
    let run =
        at_home(&home, &["delete", "--match=.", "--yes", &registry.docker("a:1.0")]).failure(1);
    assert!(fatal(&run).contains("No tag or digest allowed in reference"), "{run}");
    assert_eq!(left(&home, &name), ALL);
    // What fails does not stop the others.
    let digest = Image::new(3).digest();
    registry.fault(Fault::status(On::manifests().method("DELETE").containing(digest), 403));
    let words = ["delete", "--match=2.0|latest", "--yes", "--output=json", &name];
    let run = at_home(&home, &[&words[..], &["--exit-codes=detailed"]].concat()).failure(18);
    let outcomes: Vec<_> = run.json()["results"].as_array().unwrap().clone();
    assert_eq!(
        (&outcomes[0]["outcome"], &outcomes[1]["outcome"]),
        (&json!("failed"), &json!("deleted"))
    );
    assert_eq!(fatal(&run), "1 of 2 tags could not be deleted");
    assert_eq!(left(&home, &name), "1.0 1.1 2.0 old same");
}

#[test]
fn what_an_index_that_stays_lists_stays_too() {
    let (registry, home) = repository();
    let list = Image::platforms(9, 2);
    list.push(&registry, "b:multi");
    let part = list.instances()[0].digest();
    let name = registry.docker("b");
    at_home(&home, &["copy", "-q", &format!("{name}@{part}"), &format!("{name}:part")]).success();
    registry.forget_requests();
    at_home(&home, &["delete", "--match=part", "--yes", &name]).success();
    assert_eq!(left(&home, &name), "multi");
    let deletes = registry.lines().into_iter().filter(|line| line.starts_with("DELETE"));
    let deletes: Vec<_> = deletes.collect();
    assert_eq!(deletes[0], "DELETE /v2/b/manifests/part");
    assert!(!deletes.iter().any(|line| line.contains(part.as_str())), "{deletes:?}");
    at_home(&home, &["copy", "-q", "--all", &format!("{name}:multi"), "oci:there"]).success();
}

/// Tags that go are moved to placeholders first; what cannot be deleted then is moved back.
#[test]
fn chosen_tags_that_cannot_go_are_put_back() {
    let deletions = || On::manifests().method("DELETE");
    let words = ["--match=^(1.0|2.0)$", "--tag-only", "--yes", "--output=json"];
    for code in [403, 405] {
        let (registry, home) = repository();
        let (name, before) = (registry.docker("a"), tags(registry.root()));
        registry.fault(Fault::status(deletions(), code));
        registry.forget_requests();
        let run = at_home(&home, &[&["delete", &name], &words[..]].concat()).failure(1);
        assert_eq!(fatal(&run), "2 of 2 tags could not be deleted");
        let results = run.json()["results"].as_array().unwrap().clone();
        assert!(results.iter().all(|it| it["outcome"] == "failed"), "{results:?}");
        // Each was away, and is what it was.
        for tag in ["1.0", "2.0"] {
            let put = format!("PUT /v2/a/manifests/{tag}");
            let puts = registry.lines().iter().filter(|line| line.starts_with(&put)).count();
            assert_eq!(puts, 2, "{:?}", registry.lines());
        }
        assert_eq!(tags(registry.root()), before);
    }
    // One of them can go, and only the other is put back.
    let (registry, home) = repository();
    let (name, mut before) = (registry.docker("a"), tags(registry.root()));
    registry.fault(Fault::status(deletions().containing("/1.0"), 403));
    let run = at_home(&home, &[&["delete", &name], &words[..]].concat()).failure(1);
    assert_eq!(fatal(&run), "1 of 2 tags could not be deleted");
    before.remove("a:2.0").unwrap();
    assert_eq!(tags(registry.root()), before);
    // What cannot be put back is named, and so is why.
    let (registry, home) = repository();
    let (name, mut before) = (registry.docker("a"), tags(registry.root()));
    registry.fault(Fault::status(deletions().containing("/1.0"), 403));
    let again = On::manifests().method("PUT").containing("/1.0");
    registry.fault(Fault::status(again, 403).skip(1));
    let run = at_home(&home, &[&["delete", &name], &words[..]].concat()).failure(1);
    assert!(run.stderr.contains("restoring 1.0, which the registry deleted"), "{run}");
    let mut after = tags(registry.root());
    assert_ne!(after.remove("a:1.0"), before.remove("a:1.0"));
    before.remove("a:2.0").unwrap();
    assert_eq!(after, before);
}

/// A registry that deletes tags only, and then does not.
#[test]
fn tags_that_went_with_a_chosen_one_are_put_back() {
    for put_back in [true, false] {
        let (registry, home) = repository();
        let (name, mut before) = (registry.docker("a"), tags(registry.root()));
        // With the image in a list its bytes stay, so that it can be put back.
        if put_back {
            Image::list(vec![Image::new(1)]).push(&registry, "a:list");
            before = tags(registry.root());
        }
        registry.fault(Fault::tag_takes_image().skip(2));
        let words = ["delete", "--match=^(1.1|old)$", "--tag-only", "--yes", &name];
        let run = at_home(&home, &words);
        for tag in ["a:1.1", "a:old"] {
            before.remove(tag).unwrap();
        }
        if put_back {
            for tag in ["1.0", "same"] {
                let said =
                    format!("{name}:{tag} was deleted together with another tag, and is restored");
                assert!(run.stderr.contains(&said), "{run}");
            }
            assert_eq!(tags(registry.root()), before);
            run.success();
        } else {
            let said = "2 tags that should stay are gone";
            assert_eq!(fatal(&run.failure(1)), said);
        }
    }
}
