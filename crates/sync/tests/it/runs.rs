//! What comes of whole runs.

use std::sync::Arc;

use skopeo_image::{Classify as _, ErrorClass};
use skopeo_sync::prune::rules::Rules;
use skopeo_sync::report::Outcome;
use skopeo_sync::select::{Choice, Filter};
use skopeo_sync::{Images, Resume};
use skopeo_testkit::registry::{Fault, On};

use crate::fixture::{Witness, options, outcomes, registry, repository, request, run};
use crate::mirror::mirror;

#[tokio::test]
async fn the_example_mirrors_a_repository() {
    let root = tempfile::tempdir().unwrap();
    let registry = registry(&["a:1", "a:2"]);
    let source = format!("{}/a", registry.host());
    let place = format!("oci:{}", root.path().join("out").display());
    for outcome in [Outcome::Copied, Outcome::Unchanged] {
        let report = mirror(&options(root.path()), &source, &place).await.unwrap();
        report.result.unwrap();
        let done: Vec<_> = report.record.images.iter().map(|it| it.outcome).collect();
        assert_eq!(done, [outcome; 2]);
    }
}

#[tokio::test]
async fn who_watches_is_told_and_may_stop_the_run() {
    let root = tempfile::tempdir().unwrap();
    let registry = registry(&["a:1", "a:2", "a:x"]);
    let place = format!("docker://{}/copies", registry.host());
    let mut selection = repository(&registry, "a", &place);
    selection.choice =
        Choice { filter: Filter::new(&["^[0-9]"], &[], None).unwrap(), ..Choice::default() };
    let request = request(&options(root.path()), Images::Selected(Box::new(selection)));

    let early = Arc::new(Witness { stops_at: Some("found"), ..Witness::default() });
    let report = run(&request, early.clone()).await;
    assert_eq!(report.result.unwrap_err().to_string(), "enough");
    assert_eq!(early.told(), ["chosen 2 of 3", "found 2"]);
    assert_eq!(registry.count(&On::manifests().method("PUT")), 0);
    let told: Vec<_> = report.record.images.iter().map(|it| it.outcome).collect();
    assert_eq!(told, [Outcome::NotBegun; 2]);

    let witness = Arc::new(Witness::default());
    run(&request, witness.clone()).await.result.unwrap();
    let expected = ["0 copied", "1 copied", "chosen 2 of 3", "found 2", "published"];
    assert_eq!(witness.told(), expected);
    assert_eq!(registry.count(&On::manifests().method("PUT")), 2);
}

#[tokio::test]
async fn what_failed_is_done_again_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let registry = registry(&["a:1", "a:2", "a:3"]);
    let place = format!("docker://{}/copies", registry.host());
    let selection = || repository(&registry, "a", &place);
    let options = options(root.path());
    let mut first = request(&options, Images::Selected(Box::new(selection())));
    first.manner.keep_going = true;
    registry.fault(Fault::status(
        On::manifests().method("PUT").containing("copies/a/manifests/2"),
        403,
    ));
    let report = run(&first, Arc::new(())).await;
    let error = report.result.unwrap_err();
    assert_eq!(error.class(), Some(ErrorClass::Partial), "{}", error.sentence());
    let expected = [("a:1", Outcome::Copied), ("a:2", Outcome::Failed), ("a:3", Outcome::Copied)];
    assert_eq!(outcomes(&report.record.images), expected);

    registry.mend();
    registry.forget_requests();
    let resume =
        Resume { record: report.record, file: "report".to_owned(), input: selection().input };
    let again = request(&options, Images::Failed(Box::new(resume)));
    let report = run(&again, Arc::new(())).await;
    report.result.unwrap();
    assert_eq!(outcomes(&report.record.images), [("a:2", Outcome::Copied)]);
    assert_eq!(registry.count(&On::manifests().any_method().containing("copies/a/manifests/1")), 0);
}

#[tokio::test]
async fn an_exact_mirror_deletes_what_the_source_has_not() {
    let root = tempfile::tempdir().unwrap();
    let registry = registry(&["a:1", "copies/a:1", "copies/a:2", "copies/b:1"]);
    let place = format!("docker://{}/copies", registry.host());
    let images = || Images::Selected(Box::new(repository(&registry, "a", &place)));
    let options = options(root.path());
    let mut dry = request(&options, images());
    dry.delete = Some(Rules::default());
    dry.manner.dry_run = true;
    let witness = Arc::new(Witness::default());
    let report = run(&dry, witness.clone()).await;
    report.result.unwrap();
    assert!(witness.told().contains(&"WouldDelete".to_owned()), "{:?}", witness.told());
    assert_eq!(registry.count(&On::manifests().method("DELETE")), 0);

    let mut real = request(&options, images());
    real.delete = Some(Rules::default());
    let report = run(&real, Arc::new(())).await;
    report.result.unwrap();
    let gone: Vec<_> = outcomes(&report.record.images)
        .into_iter()
        .filter(|(_, outcome)| *outcome == Outcome::Deleted)
        .collect();
    assert_eq!(gone, [("a:2", Outcome::Deleted)]);
}
