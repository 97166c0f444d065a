//! Many images at once.

use skopeo_image::{Classify as _, ErrorClass};

use super::{PLACE, gone, input, outcomes, run, selected, selection, told};
use crate::report::Outcome::{Copied, Failed, Skipped, Unchanged};
use crate::testing::Memory;
use crate::{Immutable, Selection};

fn memory(count: u8) -> Memory {
    let memory = Memory::default();
    for number in 1..=count {
        memory.push(&format!("docker://from.example/a:{number}"), number);
    }
    memory
}

#[tokio::test]
async fn what_several_places_need_is_read_once() {
    let memory = memory(1);
    let places = [PLACE, "oci:/out", "dir:/out"];
    let several = Selection::new(input("docker", "from.example/a:1", &places));
    run(&memory, &selected(several)).await.0.unwrap();
    // Its config and its layer.
    assert_eq!(memory.read("docker://from.example/a:1"), 2);
    for name in ["docker://to.example/m/a:1", "oci:/out:from.example/a:1", "dir:/out/a:1"] {
        assert_eq!(memory.digest(name), memory.digest("docker://from.example/a:1"), "{name}");
    }
}

#[tokio::test]
async fn what_is_there_is_not_read() {
    let memory = memory(2);
    memory.push("docker://to.example/m/a:1", 1);
    memory.push("docker://to.example/m/a:2", 9);
    let (result, record) = run(&memory, &selected(selection("docker", "from.example/a"))).await;
    result.unwrap();
    assert_eq!(outcomes(&record.images), [("a:1", Unchanged), ("a:2", Copied)]);
    assert_eq!(memory.read("docker://from.example/a:1"), 0);
}

#[tokio::test]
async fn tags_that_never_move_are_not_asked_about() {
    let memory = memory(2);
    memory.push("docker://to.example/m/a:1", 9);
    let mut request = selected(selection("docker", "from.example/a"));
    request.manner.immutable = Immutable::new(&["^[0-9]+$".to_owned()]).unwrap();
    let (result, record, told) = told(&memory, &request).await;
    result.unwrap();
    assert_eq!(outcomes(&record.images), [("a:1", Skipped), ("a:2", Copied)]);
    assert!(told.contains(&"skipped docker://from.example/a:1".to_owned()), "{told:?}");
    assert_eq!(memory.asked("open"), ["open docker://from.example/a:2"]);
    assert_eq!(memory.asked("tags docker://to.example").len(), 1);
}

#[tokio::test]
async fn an_archive_that_cannot_be_finished_takes_its_images_with_it() {
    let memory = memory(2);
    memory.fault("finish oci-archive:/out.tar", gone("disk"));
    let places = ["oci-archive:/out.tar", "oci:/out"];
    let both = Selection::new(input("docker", "from.example/a", &places));
    let (result, record, told) = told(&memory, &selected(both)).await;
    assert_eq!(result.unwrap_err().class(), Some(ErrorClass::Partial));
    let expected = [("a:1", Failed), ("a:1", Copied), ("a:2", Failed), ("a:2", Copied)];
    assert_eq!(outcomes(&record.images), expected);
    let chosen = told.iter().filter(|it| !it.starts_with("chosen")).map(String::as_str);
    assert_eq!(
        chosen.collect::<Vec<_>>(),
        [
            "published oci:/out",
            "lost oci-archive:/out.tar:from.example/a:1",
            "lost oci-archive:/out.tar:from.example/a:2",
        ]
    );
    assert_eq!((record.totals.copied, record.totals.failed), (2, 2));
}

#[tokio::test]
async fn a_place_that_refuses_one_image_gets_the_others_and_so_do_other_places() {
    let memory = memory(2);
    memory.fault("create oci:/out:from.example/a:1", gone("place"));
    let both = Selection::new(input("docker", "from.example/a", &[PLACE, "oci:/out"]));
    let (result, record) = run(&memory, &selected(both)).await;
    assert_eq!(result.unwrap_err().class(), Some(ErrorClass::Partial));
    let expected = [("a:1", Copied), ("a:1", Failed), ("a:2", Copied), ("a:2", Copied)];
    assert_eq!(outcomes(&record.images), expected);
    let failed = record.images.iter().find(|it| it.outcome == Failed).unwrap();
    assert_eq!(failed.error.as_ref().unwrap().class, "not-found");
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_says_what_would_be() {
    let memory = memory(2);
    memory.push("docker://to.example/m/a:1", 1);
    let mut request = selected(selection("docker", "from.example/a"));
    request.manner.dry_run = true;
    let (result, record) = run(&memory, &request).await;
    result.unwrap();
    let outcomes: Vec<_> = record.images.iter().map(|it| it.outcome.as_str()).collect();
    assert_eq!(outcomes, ["unchanged", "would-copy"]);
    assert!(record.dry_run && memory.asked("create").is_empty());
    assert_eq!(memory.names(PLACE), ["docker://to.example/m/a:1"]);
}
