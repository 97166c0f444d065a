//! A program that a test starts without root: it unpacks layers where less is possible.

#![expect(clippy::unwrap_used, reason = "this is a part of tests")]

#[expect(dead_code, unused_imports, reason = "the tests use more of it")]
#[path = "contents/make.rs"]
mod make;
#[expect(dead_code, unused_imports, unused_macros, reason = "the tests use more of it")]
mod support;

use std::os::unix::fs::MetadataExt as _;

use skopeo_storage::contents::Apply;

#[expect(clippy::wildcard_imports, reason = "the words of layers are read as a language")]
use make::*;
use support::is_root;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("as-nobody") => as_nobody(),
        Some("in-a-user-namespace") => in_a_user_namespace(),
        other => panic!("{other:?} is no task"),
    }
}

fn as_nobody() {
    assert!(!is_root());
    let nobody = rustix::process::geteuid().as_raw();
    let own = |member: Member| Member { owner: (nobody, nobody), ..member };
    let mut layer = Layer::new();
    layer.takes(
        &tar(&[
            own(folder("d")),
            own(file("d/f", "x")),
            own(link(b'2', "s", "d/f")),
            own(link(b'1', "h", "d/f")),
            own(Member { mode: 0o4750, ..file("su", "x") }),
        ]),
        &OVERLAY,
    );
    assert_eq!(fs_err::metadata(layer.path("su")).unwrap().mode() & 0o7777, 0o4750);

    let device = Member { device: (1, 3), ..own(member(b'3', "null")) };
    let error = words(
        &Layer::new().apply_strictly(&tar(std::slice::from_ref(&device)), &OVERLAY).unwrap_err(),
    );
    assert_eq!(error, "making \"null\": Operation not permitted (os error 1)");
    let rootless = Apply { rootless: true, ..OVERLAY };
    let mut layer = Layer::new();
    layer.takes(&tar(&[device]), &rootless);
    assert!(listing(&layer.root).is_empty());

    let others = tar(&[Member { owner: (1, 2), ..file("f", "x") }]);
    let error = words(&Layer::new().apply_strictly(&others, &rootless).unwrap_err());
    assert!(error.starts_with("potentially insufficient UIDs or GIDs available in user namespace (requested 1:2 for \"f\")"), "{error}");
    assert!(error.ends_with("lchown \"f\": Operation not permitted (os error 1)"), "{error}");
    let ignoring = Apply { ignore_chown_errors: true, ..rootless };
    let mut layer = Layer::new();
    layer.takes(&others, &ignoring);
    assert_eq!(fs_err::metadata(layer.path("f")).unwrap().uid(), nobody);

    let mut all = pax(&[("SCHILY.xattr.trusted.a", b"x")]);
    all.extend(own(file("f", "x")).bytes());
    Layer::new().takes(&all, &rootless);
    let error = words(&Layer::new().apply_strictly(&all, &OVERLAY).unwrap_err());
    assert_eq!(
        error,
        "giving an attribute to \"f (trusted.a)\": Operation not permitted (os error 1)"
    );
}

/// Runs as root of a user namespace that has this one id.
fn in_a_user_namespace() {
    assert!(is_root());
    let rootless = Apply { rootless: true, ..OVERLAY };
    let mut layer = Layer::new();
    let mut all = pax(&[("SCHILY.xattr.trusted.a", b"x"), ("SCHILY.xattr.user.b", b"y")]);
    all.extend(file("f", "x").bytes());
    all.extend(Member { device: (1, 3), ..member(b'3', "null") }.bytes());
    all.extend(tar(&[
        Member { mode: 0o000, ..folder("closed") },
        file("closed/in", "x"),
        file(".wh.gone", ""),
        file("d/.wh..wh..opq", ""),
        member(b'6', "fifo"),
    ]));
    layer.takes(&all, &rootless);
    let stat = |path: &str| fs_err::symlink_metadata(layer.path(path)).unwrap();
    assert_eq!((stat("gone").mode(), stat("gone").rdev()), (0o2_0000, 0));
    assert_eq!(attributes(&layer.path("d")), [("user.overlay.opaque".into(), "y".into())]);
    assert_eq!(attributes(&layer.path("f")), [("user.b".into(), "y".into())]);
    assert!(!layer.path("null").exists() && layer.path("fifo").exists());

    let others = tar(&[Member { owner: (1, 2), ..file("f", "x") }]);
    let error = words(&Layer::new().apply(&others, &rootless).unwrap_err());
    let sentence = "potentially insufficient UIDs or GIDs available in user namespace (requested \
        1:2 for \"f\"): Check /etc/subuid and /etc/subgid if configured locally and run \
        \"podman system migrate\": lchown \"f\": Invalid argument (os error 22)";
    assert_eq!(error, sentence);
    let ignoring = Apply { ignore_chown_errors: true, ..rootless };
    Layer::new().takes(&others, &ignoring);
    // That of a whiteout is not ignored by the original either.
    let others = tar(&[Member { owner: (1, 2), ..file(".wh.f", "") }]);
    let error = words(&Layer::new().apply(&others, &ignoring).unwrap_err());
    assert!(error.contains("lchown \".wh.f\""), "{error}");
}
