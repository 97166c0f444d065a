use super::*;

fn whole(before: &str, after: &str) -> Writer {
    Writer::Whole { before: before.to_owned(), after: after.to_owned() }
}

fn repository_tags(writers: &[Writer], wanted: &[&str], has: &[&str]) -> RepositoryTags {
    RepositoryTags {
        repository: "m/x".to_owned(),
        wanted: wanted.iter().map(ToString::to_string).collect(),
        writers: writers.iter().cloned().collect(),
        has: has.iter().map(|name| tag(name, "")).collect(),
    }
}

/// A tag; what it leads to is of that text.
fn tag(name: &str, of: &str) -> Tag {
    let digest = (!of.is_empty()).then(|| Digest::sha256(of.as_bytes()));
    Tag { name: name.to_owned(), digest }
}

fn surplus(repository_tags: &RepositoryTags, rules: &Rules) -> Vec<String> {
    let verdicts = evaluate(std::slice::from_ref(repository_tags), rules).unwrap();
    verdicts[0].surplus.iter().map(|tag| tag.name.clone()).collect()
}

#[test]
fn what_the_selection_no_longer_has_goes() {
    let unsure = || Writer::Unsure("a: nobody answers".to_owned());
    for (writers, wanted, has, expected) in [
        (&[whole("", "")][..], &["1"][..], &["1", "2", "3"][..], &["2", "3"][..]),
        (&[whole("", "")], &["1"], &[], &[]),
        (&[whole("", "")], &["1", "2"], &["1"], &[]),
        // Only what this mapping could have written.
        (&[whole("", "-eu")], &["1-eu"], &["1-eu", "2-eu", "2", "-eu", "x-eu-"], &["2-eu"]),
        (&[whole("v", "")], &["v1"], &["v1", "v2", "2", "v"], &["v2"]),
        (&[whole("a-", "-b")], &[], &["a-b", "a--b", "a-1-b"], &["a-1-b"]),
        (&[whole("", "-a"), whole("", "-b")], &[], &["1-a", "1-b", "1-c"], &["1-a", "1-b"]),
        // Named tags are wanted, and that is all.
        (&[], &["1"], &["1", "2"], &[]),
        // One source that is not known protects all, whoever else writes there.
        (&[unsure()], &["1"], &["1", "2"], &[]),
        (&[whole("", ""), unsure()], &["1"], &["1", "2"], &[]),
    ] {
        let repository_tags = repository_tags(writers, wanted, has);
        assert_eq!(surplus(&repository_tags, &Rules::default()), expected, "{repository_tags:?}");
    }
    let repository_tags = repository_tags(&[whole("", ""), unsure()], &[], &["1"]);
    let verdicts = evaluate(&[repository_tags], &Rules::default()).unwrap();
    assert_eq!(verdicts[0].unsure, ["a: nobody answers"]);
}

#[test]
fn what_is_protected_stays() {
    let repository_tags = repository_tags(&[whole("", "")], &["1"], &["1", "latest", "v2", "v20"]);
    for (protect, expected) in [
        (&[][..], &["latest", "v2", "v20"][..]),
        (&["^latest$"], &["v2", "v20"]),
        (&["v2"], &["latest"]),
        (&["^m/x:v2$"], &["latest", "v20"]),
        (&["^m/x:"], &[]),
        (&["^lat", "0$"], &["v2"]),
    ] {
        let protected = protect.iter().map(|regex| Regex::new(regex).unwrap()).collect();
        assert_eq!(
            surplus(&repository_tags, &Rules { protected, most: None }),
            expected,
            "{protect:?}"
        );
    }
}

#[test]
fn what_hangs_on_an_image_goes_with_it_only() {
    let named = |of: &str, suffix: &str| {
        format!("{}{suffix}", Digest::sha256(of.as_bytes()).as_str().replace(':', "-"))
    };
    let signature = |of: &str| tag(&named(of, ".sig"), "a signature");
    for (has, expected) in [
        // Of one that goes, of one that stays, of one that is not here.
        (vec![tag("1", "a"), tag("2", "b"), signature("a")], vec!["2".to_owned()]),
        (
            vec![tag("1", "a"), tag("2", "b"), signature("b")],
            vec!["2".to_owned(), named("b", ".sig")],
        ),
        (vec![tag("1", "a"), signature("c")], vec![]),
        // The image has another name that stays.
        (vec![tag("1", "a"), tag("2", "a"), signature("a")], vec!["2".to_owned()]),
        // Nothing is known of what the tags lead to.
        (vec![tag("1", ""), tag("2", ""), signature("b")], vec!["2".to_owned()]),
        ([".att", ".sbom", ""].map(|end| tag(&named("b", end), "x")).to_vec(), vec![]),
        (
            [tag("2", "b")]
                .into_iter()
                .chain([".att", ".sbom", ""].map(|end| tag(&named("b", end), "x")))
                .collect(),
            ["2".to_owned()]
                .into_iter()
                .chain([".att", ".sbom", ""].map(|end| named("b", end)))
                .collect(),
        ),
    ] {
        let repository_tags =
            RepositoryTags { has, ..repository_tags(&[whole("", "")], &["1"], &[]) };
        assert_eq!(surplus(&repository_tags, &Rules::default()), expected, "{repository_tags:?}");
    }
    for (name, is_one) in [("sha256-abc", false), ("1.2.3", false), ("v1-2", false)] {
        assert_eq!(subject(name).is_some(), is_one, "{name}");
    }
}

#[test]
fn too_many_is_none() {
    // Eight and two; seven of them go.
    let repositories = [
        repository_tags(&[whole("", "")], &["1"], &["1", "2", "3", "4", "5", "6", "7", "8"]),
        repository_tags(&[], &["1"], &["1", "9"]),
    ];
    for (most, fits) in [
        ("7", true),
        ("6", false),
        ("0", false),
        ("70%", true),
        ("69%", false),
        ("100%", true),
        ("0%", false),
    ] {
        let rules = Rules { most: Some(most.parse().unwrap()), ..Rules::default() };
        let evaluated = evaluate(&repositories, &rules);
        assert_eq!(evaluated.is_ok(), fits, "{most}");
        if let Err(error) = evaluated {
            assert!(
                error
                    .to_string()
                    .contains(&format!("7 of 10 images, more than --max-delete {most}:"))
            );
        }
    }
    let nothing = [repository_tags(&[whole("", "")], &["1"], &["1"])];
    for most in ["0", "0%"] {
        let rules = Rules { most: Some(most.parse().unwrap()), ..Rules::default() };
        assert!(evaluate(&nothing, &rules).is_ok());
    }
    for text in ["", "%", "-1", "101%", "1.5%", "ten", "5 %"] {
        assert!(text.parse::<Most>().is_err(), "{text}");
    }
}

#[test]
fn how_tags_are_named_is_read_off_a_label() {
    for (label, expected) in [
        ("x:PROBE", Some(("x", "", ""))),
        ("r:5000/a/x:PROBE-eu", Some(("r:5000/a/x", "", "-eu"))),
        ("x:v-PROBE", Some(("x", "v-", ""))),
        ("x:latest", None),
        ("x-PROBE:latest", None),
        ("x-PROBE:PROBE", None),
        ("PROBE", None),
    ] {
        let expected = expected
            .map(|(repository, before, after)| (repository.to_owned(), whole(before, after)));
        assert_eq!(Writer::of_probe(label, "PROBE"), expected, "{label}");
    }
    for (label, expected) in [
        ("a/x:1", Some(("a/x", "1"))),
        ("r:5000/x", None),
        ("x", None),
        ("x@sha256:00", None),
        (":1", None),
        ("x:", None),
    ] {
        assert_eq!(parted(label), expected, "{label}");
    }
}
