//! What an exact mirror deletes.

use skopeo_image::{Classify as _, ErrorClass};

use super::{gone, outcomes, run, selected, selection};
use crate::SyncRequest;
use crate::prune::rules::Rules;
use crate::report::Outcome::{Copied, Deleted, Failed};
use crate::testing::Memory;

/// A source with the tags 1 and 2, a mirror with 2, 3 and 4, and another repository beside it.
fn memory() -> Memory {
    let memory = Memory::default();
    for (seed, name) in [
        (1, "from.example/a:1"),
        (2, "from.example/a:2"),
        (2, "to.example/m/a:2"),
        (3, "to.example/m/a:3"),
        (4, "to.example/m/a:4"),
        (5, "to.example/m/other:1"),
    ] {
        memory.push(&format!("docker://{name}"), seed);
    }
    memory
}

fn exact(source: &str) -> SyncRequest {
    let mut request = selected(selection("docker", source));
    request.delete = Some(Rules::default());
    request
}

fn left(memory: &Memory) -> String {
    let prefix = "docker://to.example/m/";
    memory.names(prefix).join(" ").replace(prefix, "")
}

#[tokio::test]
async fn what_the_source_has_not_goes_after_all_was_copied() {
    let memory = memory();
    let (result, record) = run(&memory, &exact("from.example/a")).await;
    result.unwrap();
    assert_eq!(left(&memory), "a:1 a:2 other:1");
    assert_eq!(outcomes(&record.images)[2..], [("a:3", Deleted), ("a:4", Deleted)]);
    let asked = memory.asked("");
    let at = |what: &str| asked.iter().position(|it| it.starts_with(what)).unwrap();
    assert!(at("create docker://to.example/m/a:1") < at("remove"), "{asked:?}");
}

#[tokio::test]
async fn nothing_goes_where_an_image_could_not_be_copied() {
    let memory = memory();
    memory.fault("create docker://to.example/m/a:1", gone("place"));
    let (result, record) = run(&memory, &exact("from.example/a")).await;
    assert_eq!(result.unwrap_err().class(), Some(ErrorClass::Partial));
    assert_eq!(left(&memory), "a:2 a:3 a:4 other:1");
    assert_eq!(record.totals.deleted, 0);
}

#[tokio::test]
async fn nothing_goes_where_only_some_tags_were_named() {
    let memory = memory();
    run(&memory, &exact("from.example/a:1")).await.0.unwrap();
    assert_eq!(left(&memory), "a:1 a:2 a:3 a:4 other:1");
}

#[tokio::test]
async fn nothing_of_a_repository_goes_whose_source_could_not_be_listed() {
    let memory = memory();
    memory.push("docker://from.example/b:1", 6);
    memory.fault("tags docker://from.example/a", gone("a"));
    let mut request = selected(selection("registry", "from.example"));
    request.delete = Some(Rules::default());
    assert_eq!(run(&memory, &request).await.0.unwrap_err().class(), Some(ErrorClass::Partial));
    assert_eq!(left(&memory), "a:2 a:3 a:4 b:1 other:1");
}

#[tokio::test]
async fn more_than_was_allowed_is_none_and_all_is_copied_first() {
    let memory = memory();
    let mut request = exact("from.example/a");
    let mut rules = Rules::default();
    rules.most = Some("1".parse().unwrap());
    request.delete = Some(rules);
    let (result, record) = run(&memory, &request).await;
    let sentence = result.unwrap_err().sentence();
    assert!(sentence.contains("more than --max-delete 1"), "{sentence}");
    assert_eq!(left(&memory), "a:1 a:2 a:3 a:4 other:1");
    assert_eq!(outcomes(&record.images)[0], ("a:1", Copied));
}

#[tokio::test]
async fn what_cannot_be_deleted_is_a_failure_and_the_others_go() {
    let memory = memory();
    memory.fault("remove docker://to.example/m/a:3", gone("a:3"));
    let (result, record) = run(&memory, &exact("from.example/a")).await;
    let gone_already = outcomes(&record.images).contains(&("a:3", Failed));
    assert_eq!(result.is_err(), gone_already, "{record:?}");
    assert!(!left(&memory).contains("a:4"), "{}", left(&memory));
}
