//! What a run has left to be done.

use skopeo_image::{Classify as _, ErrorClass};

use super::{PLACE, gone, input, outcomes, request, run, selected, selection};
use crate::report::Outcome::{Copied, Failed};
use crate::report::{Entry, Outcome, Problem, Record, Unlisted};
use crate::testing::Memory;
use crate::{Images, Resume};

/// A source of three images, and the record of a run in which one of them failed.
async fn failed() -> (Memory, Record) {
    let memory = Memory::default();
    for number in 1..=3 {
        memory.push(&format!("docker://from.example/a:{number}"), number);
    }
    memory.fault("create docker://to.example/m/a:2", gone("place"));
    let (result, record) = run(&memory, &selected(selection("docker", "from.example/a"))).await;
    assert_eq!(result.unwrap_err().class(), Some(ErrorClass::Partial));
    let expected = [("a:1", Copied), ("a:2", Failed), ("a:3", Copied)];
    assert_eq!(outcomes(&record.images), expected);
    (memory, record)
}

fn again(record: Record) -> Images {
    let input = input("docker", "from.example/a", &[PLACE]);
    Images::Failed(Box::new(Resume { record, file: "report".to_owned(), input }))
}

#[tokio::test]
async fn only_what_is_missing_is_asked_for() {
    let (memory, record) = failed().await;
    let before = memory.asked("").len();
    let (result, record) = run(&memory, &request(again(record))).await;
    result.unwrap();
    assert_eq!(outcomes(&record.images), [("a:2", Copied)]);
    let asked = &memory.asked("")[before..];
    let expected = [
        "open docker://from.example/a:2",
        "create docker://to.example/m/a:2",
        "finish docker://to.example/m",
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn what_was_not_begun_or_not_finished_is_missing_too() {
    let (memory, mut record) = failed().await;
    record.images[0].outcome = Outcome::NotBegun;
    record.images[2].outcome = Outcome::Unfinished;
    let (result, record) = run(&memory, &request(again(record))).await;
    result.unwrap();
    let expected = [("a:1", Outcome::Unchanged), ("a:2", Copied), ("a:3", Outcome::Unchanged)];
    assert_eq!(outcomes(&record.images), expected);
}

/// A record is a file that anybody may have written.
#[tokio::test]
async fn a_record_leads_nowhere_but_into_the_places_of_its_run() {
    let (memory, record) = failed().await;
    let with = |change: &dyn Fn(&mut Entry)| {
        let mut record = record.clone();
        change(&mut record.images[1]);
        record
    };
    for (record, said) in [
        (
            with(&|it| it.place = "docker://evil.example".to_owned()),
            "names docker://evil.example, which is no place of the run",
        ),
        (
            with(&|it| it.destination = "docker://evil.example/a:2".to_owned()),
            "is not in docker://to.example/m, where it says that it is",
        ),
        (with(&|it| it.place = "nonsense".to_owned()), "invalid place \"nonsense\""),
        (with(&|it| it.source = Some("docker://a b".to_owned())), "report"),
        (
            with(&|it| it.source = Some("tarball:/etc/shadow".to_owned())),
            "is nothing that sync reads from",
        ),
        (with(&|it| it.platforms = vec!["no platform".to_owned()]), "report"),
    ] {
        let before = memory.asked("create").len();
        let sentence = run(&memory, &request(again(record))).await.0.unwrap_err().sentence();
        assert!(sentence.contains(said), "{sentence}");
        assert_eq!(memory.asked("create").len(), before, "{sentence}");
    }
}

#[tokio::test]
async fn what_could_not_be_listed_stays_a_failure() {
    let (memory, mut record) = failed().await;
    let problem = Problem { class: "network".to_owned(), message: "cut".to_owned() };
    record.unlisted =
        vec![Unlisted { source: "docker://from.example/b".to_owned(), error: problem }];
    let (result, record) = run(&memory, &request(again(record))).await;
    let sentence = result.unwrap_err().sentence();
    assert!(sentence.contains("docker://from.example/b"), "{sentence}");
    assert_eq!(outcomes(&record.images), [("a:2", Copied)]);
}

#[tokio::test]
async fn a_run_that_ended_before_images_were_known_cannot_be_ended() {
    let memory = Memory::default();
    let error = serde_json::json!({"message": "no such host"});
    let record = Record { ok: false, error: Some(error), ..Record::default() };
    let sentence = run(&memory, &request(again(record))).await.0.unwrap_err().sentence();
    assert!(sentence.ends_with("before images were known: no such host"), "{sentence}");
}
