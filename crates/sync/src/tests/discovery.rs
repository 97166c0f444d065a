//! What there is to copy.

use skopeo_image::{Classify as _, Digest, ErrorClass};

use super::{PLACE, gone, input, outcomes, run, selected, selection, told, twice};
use crate::Selection;
use crate::lockfile::{Lock, to_bytes};
use crate::report::Outcome::Copied;
use crate::select::{Choice, Filter};
use crate::shard::Shard;
use crate::testing::Memory;

fn two_repositories() -> Memory {
    let memory = Memory::default();
    for (seed, name) in (1..).zip(["team/a:1", "team/a:2", "b:1"]) {
        memory.push(&format!("docker://from.example/{name}"), seed);
    }
    memory
}

#[tokio::test]
async fn the_tags_of_a_repository_are_listed_chosen_and_copied() {
    let memory = two_repositories();
    memory.list("docker://from.example/team/a", "-no-tag");
    let mut chosen = selection("docker", "from.example/team/a");
    chosen.choice = Choice { filter: Filter::new(&["2"], &[], None).unwrap(), ..Choice::default() };
    let (result, record, told) = told(&memory, &selected(chosen)).await;
    result.unwrap();
    assert_eq!(outcomes(&record.images), [("a:2", Copied)]);
    assert_eq!(told[0], "chosen 1 of from.example/team/a");
    let there = memory.digest("docker://to.example/m/a:2");
    assert_eq!(there, memory.digest("docker://from.example/team/a:2"));
    assert_eq!(memory.asked("tags"), ["tags docker://from.example/team/a"]);
}

#[tokio::test]
async fn an_image_that_is_named_is_not_looked_for_in_lists() {
    let memory = two_repositories();
    let (result, record) = run(&memory, &selected(selection("docker", "from.example/b:1"))).await;
    result.unwrap();
    assert_eq!(outcomes(&record.images), [("b:1", Copied)]);
    assert_eq!(memory.asked("tags"), Vec::<String>::new());

    let mut chosen = selection("docker", "from.example/b:1");
    chosen.chooses = true;
    let sentence = run(&memory, &selected(chosen)).await.0.unwrap_err().sentence();
    assert_eq!(sentence, "\"from.example/b:1\" is one image, and there is nothing to choose");
}

#[tokio::test]
async fn all_repositories_of_a_registry_are_meant_that_an_expression_matches() {
    for (expression, expected) in [
        (None, vec![("b:1", Copied), ("a:1", Copied), ("a:2", Copied)]),
        (Some("^team/"), vec![("a:1", Copied), ("a:2", Copied)]),
    ] {
        let memory = two_repositories();
        let mut all = selection("registry", "from.example");
        all.repositories = expression.map(str::to_owned);
        let (result, record) = run(&memory, &selected(all)).await;
        result.unwrap();
        assert_eq!(outcomes(&record.images), expected, "{expression:?}");
    }
    let memory = two_repositories();
    let mut none = selection("registry", "from.example");
    none.repositories = Some("^x".to_owned());
    let sentence = run(&memory, &selected(none)).await.0.unwrap_err().sentence();
    assert_eq!(sentence, "No images to sync found in \"from.example\"");
    for host in ["from.example/team", "", "a b"] {
        let error = run(&memory, &selected(selection("registry", host))).await.0.unwrap_err();
        assert_eq!(error.class(), Some(ErrorClass::InvalidInput), "{host}");
    }
}

/// A name that is not valid makes the run a failure, and all others are copied.
#[tokio::test]
async fn a_name_of_a_repository_that_is_none_is_a_failure_of_its_own() {
    let memory = two_repositories();
    memory.list("docker://from.example/UPPER", "x");
    let (result, record) = run(&memory, &selected(selection("registry", "from.example"))).await;
    assert_eq!(result.unwrap_err().class(), Some(ErrorClass::Partial));
    assert_eq!(record.totals.copied, 3);
}

#[tokio::test]
async fn a_source_that_cannot_be_listed_stops_the_run_unless_it_is_to_go_on() {
    let failing = || {
        let memory = two_repositories();
        memory.fault("tags docker://from.example/team/a", gone("team/a"));
        memory
    };
    let memory = failing();
    let (result, record) = run(&memory, &selected(selection("registry", "from.example"))).await;
    assert_eq!(result.unwrap_err().class(), Some(ErrorClass::Partial));
    assert_eq!(outcomes(&record.images), [("b:1", Copied)]);
    let unlisted: Vec<_> =
        record.unlisted.iter().map(|it| (&*it.source, &*it.error.class)).collect();
    assert_eq!(unlisted, [("docker://from.example/team/a", "not-found")]);

    let memory = failing();
    let mut stopping = selected(selection("registry", "from.example"));
    stopping.manner.keep_going = false;
    let (result, record) = run(&memory, &stopping).await;
    assert_eq!(result.unwrap_err().class(), Some(ErrorClass::NotFound));
    assert!(record.images.is_empty() && memory.asked("create").is_empty());
}

#[tokio::test]
async fn a_listing_that_passes_by_is_asked_for_once_more() {
    let memory = two_repositories();
    let passing = skopeo_transport::CommitError::Vanished(Digest::sha256(b"")).into();
    memory.fault("tags docker://from.example/b", passing);
    let mut request = selected(selection("docker", "from.example/b"));
    request.manner.retry = twice();
    run(&memory, &request).await.0.unwrap();
    assert_eq!(memory.asked("tags docker://from.example/b").len(), 2);
}

#[tokio::test]
async fn a_place_gives_what_it_holds() {
    let memory = Memory::default();
    for (name, seed) in [("oci:/x:lib/a:1", 1), ("oci:/x:lib/a:2", 2), ("oci:/y:z:1", 3)] {
        memory.push(name, seed);
    }
    let (result, record) = run(&memory, &selected(selection("oci", "/x"))).await;
    result.unwrap();
    assert_eq!(outcomes(&record.images), [("a:1", Copied), ("a:2", Copied)]);
    let names = memory.names("docker://to.example");
    assert_eq!(names, ["docker://to.example/m/a:1", "docker://to.example/m/a:2"]);
}

#[tokio::test]
async fn nothing_is_an_error_where_one_source_was_named() {
    let memory = Memory::default();
    for (kind, source) in [("docker", "from.example/none"), ("oci", "/none")] {
        let error = run(&memory, &selected(selection(kind, source))).await.0.unwrap_err();
        assert_eq!(error.sentence(), format!("No images to sync found in {source:?}"));
    }
}

#[tokio::test]
async fn what_is_locked_is_copied_whatever_tags_lead_to_now() {
    let memory = two_repositories();
    let mut first = selected(selection("docker", "from.example/team/a"));
    first.pin = true;
    let pinned = run(&memory, &first).await.0.unwrap().unwrap();
    let locked = pinned["docker://from.example/team/a:1"].clone();
    let file = to_bytes(pinned).unwrap();
    // The old image is there still, without a tag.
    memory.push("docker://from.example/team/a:untagged", 1);
    let moved = memory.push("docker://from.example/team/a:1", 9);
    assert_ne!(moved, locked);

    let mut again = Selection::new(input("docker", "from.example/team/a", &["oci:/out"]));
    again.locked = Some(Lock::parse(&file, "lock.json").unwrap());
    let (result, record) = run(&memory, &selected(again)).await;
    result.unwrap();
    assert_eq!(outcomes(&record.images), [("a:1", Copied), ("a:2", Copied)]);
    assert_eq!(memory.digest("oci:/out:from.example/team/a:1"), Some(locked));

    let mut more = selection("docker", "from.example/b");
    more.locked = Some(Lock::parse(&file, "lock.json").unwrap());
    assert!(run(&memory, &selected(more)).await.0.is_err());
}

#[tokio::test]
async fn shards_share_repositories_and_leave_none_out() {
    let memory = Memory::default();
    for number in 0..12 {
        memory.push(&format!("docker://from.example/r{number}:1"), 1);
    }
    let mut seen = Vec::new();
    for part in ["1/3", "2/3", "3/3"] {
        let mut shard = selection("registry", "from.example");
        shard.shard = Some(Shard::parse(part, |_| None).unwrap());
        let (result, record) = run(&memory, &selected(shard)).await;
        result.unwrap();
        seen.extend(record.images.into_iter().map(|it| it.destination));
    }
    seen.sort();
    let expected = memory.names(PLACE);
    assert_eq!((seen, expected.len()), (expected, 12));
}
