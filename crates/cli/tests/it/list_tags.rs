//! `skopeo list-tags`.

use skopeo_testkit::{Home, Image, Registry};

use crate::program::{at_home, fatal};

#[test]
fn prints_the_tags_of_a_repository() {
    let registry = Registry::start();
    for tag in ["2", "1", "latest"] {
        Image::new(1).push(&registry, &format!("a/b:{tag}"));
    }
    let name = registry.docker("a/b");
    let run = at_home(&Home::new(), &["list-tags", "--tls-verify=false", &name]).success();
    let expected = format!(
        "{{\n    \"Repository\": \"{}/a/b\",\n    \"Tags\": [\n        \"1\",\n        \"2\",\n        \
         \"latest\"\n    ]\n}}\n",
        registry.host()
    );
    assert_eq!(run.stdout, expected);
    let run = at_home(&Home::new(), &["list-tags", "--tls-verify=false", &registry.docker("no")]);
    assert!(fatal(&run.failure(1)).starts_with("Error listing repository tags: "));
}

#[test]
fn refuses_what_is_no_repository() {
    for (name, sentence) in [
        ("docker://x:tag", "No tag or digest allowed in reference"),
        ("x", "Invalid \"x\": does not specify a transport"),
        (
            "dir:x",
            "Unsupported transport 'dir' for tag listing. Only supported: docker, docker-archive",
        ),
    ] {
        assert_eq!(fatal(&at_home(&Home::new(), &["list-tags", name]).failure(1)), sentence);
    }
    let run = at_home(&Home::new(), &["list-tags"]).failure(1);
    assert_eq!(fatal(&run), "Exactly one non-option argument expected");
    assert!(run.stderr.contains("Usage:\nskopeo list-tags"), "{run}");
}
