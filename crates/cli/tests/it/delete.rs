//! `skopeo delete`.

use serde_json::json;
use skopeo_testkit::{Home, Image, Registry};

use crate::program::{at_home, fatal};

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
