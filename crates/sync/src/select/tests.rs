use super::*;

#[test]
fn tags_are_judged_by_their_words() {
    type Words = Option<&'static str>;
    let rows: &[(Words, Words, Words, &str, &str)] = &[
        (None, None, None, "1.0 1.1-rc 2 latest", "1.0 1.1-rc 2 latest"),
        (Some("1"), None, None, "1.0 a1b 2", "1.0 a1b"),
        (Some("^1"), None, None, "1.0 a1b 2", "1.0"),
        (Some("^v?\\d+$"), None, None, "1 v22 1.0 v", "1 v22"),
        (Some("(?i)LATEST|^x"), None, None, "latest x y", "latest x"),
        (Some("\\Q1.0\\E$"), None, None, "1.0 1x0 v1.0", "1.0 v1.0"),
        (Some("\\Q1.0"), None, None, "1.0 1x0", "1.0"),
        (Some("[[:alpha:]]"), None, None, "1.0 1a", "1a"),
        (None, Some("-(rc|beta)"), None, "1.0 1.1-rc 1.2-beta.1", "1.0"),
        (Some("^1"), Some("rc"), Some(">=1.1"), "1.0 1.1 1.2-rc 2.0 1.2", "1.1 1.2"),
        (None, None, Some("~1.2 || ^3"), "1.2 1.2.9 1.3 3.9 4 latest v3", "1.2 1.2.9 3.9 v3"),
        (None, None, Some(">=1-0"), "0.9 1.0-rc 1.1 sha-1", "1.0-rc 1.1"),
    ];
    for (matching, excluding, range, tags, chosen) in rows {
        let filter = Filter::new(matching.as_slice(), excluding.as_slice(), *range).unwrap();
        let kept: Vec<&str> = tags.split(' ').filter(|tag| filter.evaluate(tag).is_ok()).collect();
        assert_eq!(kept.join(" "), *chosen, "{matching:?} {excluding:?} {range:?}");
    }
}

#[test]
fn it_is_said_why_a_tag_is_dropped() {
    let filter = Filter::new(&["^[0-9l]"], &["rc"], Some("<2")).unwrap();
    for (tag, why) in [
        ("x", "does not match \"^[0-9l]\""),
        ("1-rc", "is excluded by \"rc\""),
        ("latest", "is no version"),
        ("2.1", "is not in the range \"<2\""),
    ] {
        assert_eq!(filter.evaluate(tag).unwrap_err().to_string(), why);
    }
    let newest = Dropped::NotNewest(3).to_string();
    assert_eq!(newest, "is not among the newest 3");
}

#[test]
fn what_is_no_filter_is_refused() {
    let bomb = "((a{100}){100}){100}";
    for (matching, range) in [(Some("("), None), (Some(bomb), None), (None, Some("foo"))] {
        assert!(Filter::new(matching.as_slice(), &[], range).is_err(), "{matching:?} {range:?}");
    }
}

#[test]
fn tags_are_sorted() {
    let time = |seconds| Timestamp::from_unix(seconds, 0);
    let tags = [
        ("1.10", time(30)),
        ("1.9", time(10)),
        ("latest", None),
        ("1.10-rc.1", time(20)),
        ("a", time(10)),
    ];
    for (order, expected) in [
        (Order::AsListed, "1.10 1.9 latest 1.10-rc.1 a"),
        (Order::Name, "1.10 1.10-rc.1 1.9 a latest"),
        (Order::Semver, "a latest 1.9 1.10-rc.1 1.10"),
        (Order::Created, "latest 1.9 a 1.10-rc.1 1.10"),
    ] {
        let mut sorted = tags.map(|(tag, created)| (tag.to_owned(), created));
        order.sort(&mut sorted);
        let names: Vec<&str> = sorted.iter().map(|(tag, _)| tag.as_str()).collect();
        assert_eq!(names.join(" "), expected, "{order:?}");
    }
    let mut tags = vec![1, 2, 3];
    assert_eq!((take_older(&mut tags, 2), tags), (vec![1], vec![2, 3]));
    assert_eq!(take_older(&mut vec![1], 5), Vec::<i32>::new());
}

#[test]
fn several_expressions_are_alternatives() {
    let filter = Filter::new(&["^1\\.", "^latest$"], &["rc", "beta"], None).unwrap();
    for (tag, why) in [
        ("1.0", Ok("matches \"^1\\\\.\"")),
        ("latest", Ok("matches \"^latest$\"")),
        ("1.0-beta", Err("is excluded by \"beta\"")),
        ("2.0", Err("does not match \"^1\\\\.\" or \"^latest$\"")),
    ] {
        let evaluated = filter.evaluate(tag);
        let evaluated =
            evaluated.map(|kept| kept.to_string()).map_err(|dropped| dropped.to_string());
        assert_eq!(evaluated, why.map(str::to_owned).map_err(str::to_owned));
    }
}

#[test]
fn two_filters_choose_what_both_do() {
    let filter = Filter::new(&["^1", "^2"], &["rc"], Some("<2.5")).unwrap();
    let both = filter.and(Filter::new(&["5$"], &["beta"], Some(">=1.5")).unwrap());
    let tags = ["1.5", "1.5-rc.5", "1.5-beta.5", "2.4", "1.0.5", "2.5", "2.0.5"];
    let kept: Vec<_> = tags.into_iter().filter(|tag| both.evaluate(tag).is_ok()).collect();
    assert_eq!(kept, ["1.5", "2.0.5"]);
    assert!(both.wants_versions());
}

#[test]
fn dates_and_ages_are_read() {
    let time = |text: &str| text.parse::<Timestamp>().ok();
    let now = time("2026-03-01T00:00:00Z").unwrap().unix().0;
    for (since, created, expected) in [
        ("2026-01-31", "2026-01-31T00:00:00Z", true),
        ("2026-01-31", "2026-01-30T23:59:59Z", false),
        ("2026-01-31", "2026-01-31T00:30:00+01:00", false),
        ("2026-01-31T12:00:00+01:00", "2026-01-31T11:00:00Z", true),
        ("1d", "2026-02-28T00:00:00Z", true),
        ("24h", "2026-02-27T23:59:59Z", false),
        ("2w", "2026-02-15T00:00:00Z", true),
    ] {
        let since: Since = since.parse().unwrap();
        assert_eq!(since.evaluate(time(created), now).is_ok(), expected, "{since}: {created}");
    }
    assert_eq!("1d".parse::<Since>().unwrap().evaluate(None, now), Err(Dropped::UnknownAge));
    for text in ["", "d", "-1d", "+1d", "1y", "2026-02-30", "2026-1-1", "yesterday", "99999999999w"]
    {
        assert!(text.parse::<Since>().is_err(), "{text}");
    }
}

#[test]
fn every_tag_is_explained() {
    let choice = Choice {
        filter: Filter::new(&["^[0-9]"], &["rc"], Some("<3")).unwrap(),
        since: Some("2026-01-01".parse().unwrap()),
        newest: Some(2),
        order: Order::Semver,
    };
    assert!(choice.needs_times() && !choice.is_all());
    let tags = ["2.0", "1.10", "1.9", "1.2", "latest", "1.1-rc", "3", "1.0", "1.5"];
    let chosen = choice.by_words(tags.map(str::to_owned));
    let time = |tag: &str| match tag {
        "1.0" => None,
        "1.5" => "2025-12-31T00:00:00Z".parse().ok(),
        _ => "2026-02-01T00:00:00Z".parse().ok(),
    };
    let chosen = choice.by_time(chosen, time, 0);
    let all = chosen.kept.iter().map(|(tag, why)| format!("{tag} kept {why}"));
    let dropped = chosen.dropped.iter().map(|(tag, why)| format!("{tag} {why}"));
    insta::assert_snapshot!(all.chain(dropped).collect::<Vec<_>>().join("\n"), @r#"
    2.0 kept matches "^[0-9]", is in the range "<3", was made at 2026-02-01T00:00:00Z, not before 2026-01-01, is among the newest 2
    1.10 kept matches "^[0-9]", is in the range "<3", was made at 2026-02-01T00:00:00Z, not before 2026-01-01, is among the newest 2
    latest does not match "^[0-9]"
    1.1-rc is excluded by "rc"
    3 is not in the range "<3"
    1.0 is of unknown age
    1.5 was made at 2025-12-31T00:00:00Z, before 2026-01-01
    1.9 is not among the newest 2
    1.2 is not among the newest 2
    "#);
}

#[test]
fn times_are_asked_for_only_where_they_count() {
    let newest = |order| Choice { newest: Some(1), order, ..Choice::default() };
    assert!(Choice::default().is_all() && !Choice::default().needs_times());
    assert!(newest(Order::Created).needs_times());
    let choice = newest(Order::Semver);
    assert!(!choice.needs_times());
    let chosen = choice.by_words(["1", "3", "2"].map(str::to_owned));
    let chosen = choice.by_time(chosen, |_| panic!("nobody needs it"), 0);
    assert_eq!(chosen.kept.len(), 1);
    assert_eq!(chosen.kept[0].0, "3");
}
