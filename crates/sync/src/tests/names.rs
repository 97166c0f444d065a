//! Names at the destination.

use super::{PLACE, input, run, selected, selection};
use crate::Selection;
use crate::naming::{Naming, Scope};
use crate::testing::Memory;

fn memory(names: &[&str]) -> Memory {
    let memory = Memory::default();
    for (seed, name) in (1..).zip(names) {
        memory.push(name, seed);
    }
    memory
}

#[tokio::test]
async fn images_that_would_have_one_name_are_refused_before_anything_is_written() {
    let memory = memory(&["docker://from.example/x/a:1", "docker://from.example/y/a:1"]);
    let error = run(&memory, &selected(selection("registry", "from.example"))).await.0.unwrap_err();
    let sentence = error.sentence();
    for name in ["docker://from.example/x/a:1", "docker://from.example/y/a:1", "m/a:1"] {
        assert!(sentence.contains(name), "{sentence}");
    }
    assert!(memory.asked("create").is_empty());

    let mut scoped = selection("registry", "from.example");
    scoped.naming = Naming { scope: Scope::Path, ..Naming::default() };
    run(&memory, &selected(scoped)).await.0.unwrap();
    let names = memory.names(PLACE);
    assert_eq!(names, ["docker://to.example/m/x/a:1", "docker://to.example/m/y/a:1"]);
}

#[tokio::test]
async fn an_image_may_not_lie_in_the_folder_of_another() {
    let memory = memory(&["oci:/x:a:1", "oci:/x:a:1/b:1"]);
    let mut nested = Selection::new(input("oci", "/x", &["dir:/out"]));
    nested.naming = Naming { scope: Scope::Full, ..Naming::default() };
    let sentence = run(&memory, &selected(nested)).await.0.unwrap_err().sentence();
    assert!(sentence.contains("/out/a:1"), "{sentence}");
    assert!(memory.asked("create").is_empty());
}

#[tokio::test]
async fn every_image_has_a_name_at_each_of_its_places() {
    let memory = memory(&["docker://from.example/a:1", "docker://from.example/a:2"]);
    let several = Selection::new(input("docker", "from.example/a", &[PLACE, "oci:/out"]));
    let (result, record) = run(&memory, &selected(several)).await;
    result.unwrap();
    assert_eq!(record.totals.copied, 4);
    let names: Vec<_> = record.images.iter().map(|it| it.destination.as_str()).collect();
    let expected = [
        "docker://to.example/m/a:1",
        "oci:/out:from.example/a:1",
        "docker://to.example/m/a:2",
        "oci:/out:from.example/a:2",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_name_that_a_place_cannot_have_says_which() {
    let memory = memory(&["oci:/x:UPPER:1"]);
    let error = run(&memory, &selected(selection("oci", "/x"))).await.0.unwrap_err();
    let sentence = error.sentence();
    let expected = "Cannot obtain a valid image reference for transport \"docker\" and reference \
                    \"//to.example/m/UPPER:1\"";
    assert!(sentence.starts_with(expected), "{sentence}");
}
