use proptest::prelude::*;
use skopeo_transport::join;

use super::*;

use CollectionKind::{Dir, Docker, DockerArchive, Oci, OciArchive};

fn named(naming: &Naming, reference: &str, kind: CollectionKind) -> String {
    let reference = Reference::parse_normalized(reference).unwrap();
    naming.label(Origin::Reference(&reference), kind).unwrap()
}

fn digest() -> String {
    format!("sha256:{}", "0".repeat(64))
}

#[test]
fn images_of_registries_are_named_as_the_original_does() {
    use Scope::{Full, Last};
    for (reference, place, kind, scope, suffix, expected) in [
        ("busybox:1", "/media/usb", Dir, Last, "", "/media/usb/busybox:1"),
        ("busybox:1", "/media/usb/", Dir, Full, "", "/media/usb/docker.io/library/busybox:1"),
        ("busybox:1", "./usb", Dir, Last, "-x", "usb/busybox:1-x"),
        ("quay.io/a/b:1", "r.example/m", Docker, Last, "", "r.example/m/b:1"),
        ("quay.io/a/b:1", "r.example/m/", Docker, Full, "-x", "r.example/m/quay.io/a/b:1-x"),
        // Not as the original, which makes what is no reference.
        ("h:5000/a/b:1", "r.example", Docker, Full, "", "r.example/h_5000/a/b:1"),
        ("h:5000/a/b:1", "d", Dir, Full, "", "d/h:5000/a/b:1"),
    ] {
        let naming = Naming { scope, suffix: suffix.to_owned(), ..Naming::default() };
        assert_eq!(join(place, &named(&naming, reference, kind)), expected);
    }
    let by_digest = format!("quay.io/a/b@{}", digest());
    let naming = Naming { suffix: "-x".to_owned(), ..Naming::default() };
    assert_eq!(named(&naming, &by_digest, Docker), format!("b@{}", digest()));
    assert_eq!(named(&naming, &by_digest, Dir), format!("b@{}-x", digest()));
}

#[test]
fn labels_are_named_as_folders_are() {
    use Scope::{Full, Last, Path};
    for (label, kind, scope, expected) in [
        ("a/b:1", Docker, Full, "a/b:1"),
        ("a/b:1", Docker, Last, "b:1"),
        ("b:1", Docker, Path, "b:1"),
        ("latest", Docker, Last, "latest"),
        ("./m//b:1", Docker, Full, "m/b:1"),
        ("quay.io/a/b:1", Docker, Last, "b:1"),
        ("quay.io/a/b:1", Docker, Path, "a/b:1"),
        ("quay.io/a/b:1", Docker, Full, "quay.io/a/b:1"),
        ("h:5000/a/b:1", Docker, Full, "h_5000/a/b:1"),
        ("docker.io/library/b:1", Docker, Path, "library/b:1"),
        ("docker.io/library/b:1", Dir, Last, "b:1"),
        ("../../etc/x:1", Docker, Last, "x:1"),
        ("a:1/b:2", Dir, Full, "a:1/b:2"),
    ] {
        let naming = Naming { scope, ..Naming::default() };
        let label_there = naming.label(Origin::Label(label), kind).unwrap();
        assert_eq!(label_there, expected, "{label} {scope:?}");
    }
}

#[test]
fn layouts_and_archives_keep_the_whole_reference() {
    let last = Naming::default();
    for kind in [Oci, OciArchive, DockerArchive] {
        assert_eq!(named(&last, "busybox:1", kind), "docker.io/library/busybox:1");
        assert_eq!(named(&last, "h:5000/a:1", kind), "h:5000/a:1");
        let by_digest = format!("quay.io/a/b@{}", digest());
        let naming = Naming { suffix: "-x".to_owned(), ..Naming::default() };
        assert_eq!(named(&naming, &by_digest, kind), by_digest);
        let path = Naming { scope: Scope::Path, ..Naming::default() };
        assert_eq!(named(&path, "busybox:1", kind), "library/busybox:1");
    }
}

#[test]
fn names_are_changed_as_the_flags_say() {
    use Scope::{Full, Last, Path};
    for (reference, scope, [strip, prefix, image, suffix], expected) in [
        ("q.io/a/b/c:1", Path, ["", "", "", ""], "a/b/c:1"),
        ("q.io/a/b/c:1", Path, ["", "", "", "-x"], "a/b/c:1-x"),
        ("q.io/a/b/c:1", Last, ["a", "", "", ""], "b/c:1"),
        ("q.io/a/b/c:1", Last, ["/a/b/", "", "", ""], "c:1"),
        ("q.io/a/b/c:1", Last, ["q.io/a", "", "", ""], "b/c:1"),
        ("q.io/a/b/c:1", Last, ["a/b/c", "", "", ""], "c:1"), // the last part stays
        ("q.io/a/b/c:1", Last, ["q.io/a/b/c", "", "", ""], "c:1"),
        ("q.io/a/b/c:1", Last, ["q.io", "", "", ""], "a/b/c:1"),
        ("q.io/ab/c:1", Last, ["a", "", "", ""], "ab/c:1"), // whole parts only
        ("q.io/a/b/c:1", Last, ["b", "", "", ""], "a/b/c:1"), // in front only
        ("q.io/a/b/c:1", Full, ["a", "", "", ""], "q.io/b/c:1"),
        ("q.io/a/b/c:1", Full, ["q.io/a", "", "", ""], "b/c:1"),
        ("busybox:1", Path, ["docker.io/library", "", "", ""], "busybox:1"),
        ("q.io/a/b/c:1", Last, ["", "m/n", "", ""], "m/n/c:1"),
        ("q.io/a/b/c:1", Path, ["a", "/m/", "p-", "-s"], "m/b/p-c:1-s"),
        ("q.io/a/b/c:1", Last, ["", "", "proj-", ""], "proj-c:1"), // as the field's patch does
    ] {
        let [strip_prefix, prefix, image_prefix, suffix] =
            [strip, prefix, image, suffix].map(str::to_owned);
        let naming = Naming { scope, strip_prefix, prefix, image_prefix, suffix, template: None };
        assert_eq!(named(&naming, reference, Docker), expected, "{naming:?}");
    }
}

#[test]
fn templates_make_names() {
    let all = |fields: &Fields| {
        let Fields { registry, path, name, repository: _, tag, digest: _ } = fields;
        Ok(format!("{registry}/{path}/{name}:{tag}\n"))
    };
    let naming = Naming { template: Some(Template::new(all)), ..Naming::default() };
    assert_eq!(named(&naming, "q.io/a/b/c:1", Docker), "q.io/a/b/c:1");
    assert_eq!(named(&naming, "q.io:1/c:1", Docker), "q.io_1/c:1");
    assert_eq!(named(&naming, "q.io:1/c:1", Dir), "q.io:1/c:1");
    let by_digest = format!("q.io/a/c@{}", digest());
    assert_eq!(named(&naming, &by_digest, Docker), by_digest);
    let label = |label| naming.label(Origin::Label(label), Docker);
    assert_eq!(label("q.io/c:1").unwrap(), "q.io/c:1");
    let reason = |_: &Fields| Err("template: bad".to_owned());
    let naming = Naming { template: Some(Template::new(reason)), ..Naming::default() };
    let error = naming.label(Origin::Label("a"), Docker).unwrap_err();
    assert_eq!(error.to_string(), "naming \"a\": template: bad");
    let seen = |fields: &Fields| {
        assert_eq!(fields.repository, "a/b");
        assert_eq!((fields.tag.as_str(), fields.digest.clone()), ("1", digest()));
        Ok("x".to_owned())
    };
    let naming = Naming { template: Some(Template::new(seen)), ..Naming::default() };
    assert_eq!(named(&naming, &format!("q.io/a/b:1@{}", digest()), Docker), "x");
}

#[test]
fn nothing_leads_out_of_the_place() {
    let full = Naming { scope: Scope::Full, ..Naming::default() };
    let last = Naming::default();
    let suffixed = |suffix: &str| Naming { suffix: suffix.to_owned(), ..Naming::default() };
    let template = |text: &'static str| Naming {
        template: Some(Template::new(move |_| Ok(text.to_owned()))),
        ..Naming::default()
    };
    for (naming, label) in [
        (full.clone(), "../a"),
        (full.clone(), "a/../../b"),
        (full.clone(), "/etc/passwd"),
        (full.clone(), "//etc"),
        (last.clone(), ".."),
        (last.clone(), "a/.."),
        (suffixed("/../x"), "a"),
        (template("/x"), "a"),
        (template("a/../b"), "a"),
    ] {
        let error = naming.label(Origin::Label(label), Dir).unwrap_err();
        assert!(matches!(error, NamingError::Escapes { .. }), "{label}: {error}");
    }
    for (naming, label) in [
        (full.clone(), ""),
        (last, "."),
        (full.clone(), "a\nb"),
        (full, "a\0b"),
        (template(" "), "a"),
    ] {
        let error = naming.label(Origin::Label(label), Dir).unwrap_err();
        assert!(matches!(error, NamingError::NoName { .. }), "{label}: {error}");
    }
}

#[test]
fn images_of_a_repository_have_its_name_in_common() {
    let busybox = Reference::parse_normalized("busybox:1").unwrap();
    assert_eq!(Origin::Reference(&busybox).repository(), "docker.io/library/busybox");
    for label in ["docker.io/library/busybox:2", &format!("docker.io/library/busybox@{}", digest())]
    {
        assert_eq!(Origin::Label(label).repository(), "docker.io/library/busybox");
    }
    assert_eq!(Origin::Label("a/busybox:1").repository(), "a/busybox");
    for (label, tag) in [("q.io/a/b:1", "1"), ("b", ""), ("a/b:x-1", "x-1"), ("", "")] {
        assert_eq!(Origin::Label(label).tag(), tag);
    }
}

#[test]
fn a_name_is_given_once() {
    assert_eq!(clash([("a/x:1", "r/x:1"), ("b/y:1", "r/y:1"), ("a/x:1", "r/x:1")]), Ok(()));
    let found = clash([("a/x:1", "r/x:1"), ("b/x:1", "r/x:1")]).unwrap_err();
    assert_eq!(found.to_string(), "a/x:1 and b/x:1 would both be written to r/x:1");
}

#[test]
fn no_folder_lies_in_another() {
    let apart = [("q.io/a:1", "d/a:1"), ("q.io/a/b:1", "d/a/b:1"), ("q.io/a:1", "d/a:1")];
    assert_eq!(nested(&apart), Ok(()));
    let found = nested(&[("q.io/a/b:1", "d/a/b"), ("q.io/a:1", "d/a")]).unwrap_err();
    let sentence = "q.io/a/b:1 would be written to d/a/b, within q.io/a:1 in d/a";
    assert_eq!(found.to_string(), sentence);
}

proptest! {
    #[test]
    fn no_label_is_outside(label in "[./:@a-c]{0,12}", strip in "[./a-c]{0,4}") {
        for scope in [Scope::Last, Scope::Path, Scope::Full] {
            let naming = Naming { scope, strip_prefix: strip.clone(), ..Naming::default() };
            if let Ok(named) = naming.label(Origin::Label(&label), Dir) {
                let joined = join("/place", &named);
                prop_assert!(joined.starts_with("/place/") && joined.len() > 7);
                prop_assert_eq!(joined, format!("/place/{}", named));
            }
        }
    }
}
