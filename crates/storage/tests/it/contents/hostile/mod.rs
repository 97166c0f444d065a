//! Layers that want out of their folder, or too much of the machine.

mod unprivileged;

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags};
use skopeo_storage::contents::{Apply, Error, export};

use super::make::*;
use crate::support::{is_root, skip};

/// A layer beside files that must not change.
struct Guarded {
    layer: Layer,
    before: Vec<String>,
}

impl Guarded {
    fn new() -> Self {
        let layer = Layer::new();
        let outside = layer.place.path().join("outside");
        fs_err::create_dir_all(outside.join("folder")).unwrap();
        fs_err::write(outside.join("secret"), "secret").unwrap();
        let before = listing(&outside);
        Self { layer, before }
    }

    fn outside(&self) -> std::path::PathBuf {
        self.layer.place.path().join("outside")
    }

    /// What it says, if it is refused.
    fn apply(&mut self, members: &[Member], how: &Apply<'_>) -> Result<(), String> {
        let applied = self.layer.apply(&tar(members), how);
        assert_eq!(listing(&self.outside()), self.before);
        assert_eq!(fs_err::read_dir(self.layer.place.path()).unwrap().count(), 2);
        applied.map(drop).map_err(|error| words(&error))
    }
}

#[test]
fn names_do_not_lead_out() {
    for how in [OVERLAY, VFS] {
        for name in ["../new", "../outside/secret", "a/../../outside/secret", "..", "./.."] {
            for make in [file(name, "x"), folder(name), link(b'2', name, "x"), member(b'6', name)] {
                let error = Guarded::new().apply(&[make], &how).unwrap_err();
                assert_eq!(error, format!("a path outside of the layer: {name:?}"));
            }
        }
        let mut guarded = Guarded::new();
        let absolute = guarded.outside().join("secret").display().to_string();
        guarded.apply(&[file("/a", "x"), file(&absolute, "x"), file("/../b", "x")], &how).unwrap();
        assert_eq!(guarded.layer.text("a"), "x");
        assert_eq!(guarded.layer.text("b"), "x");
        assert_eq!(guarded.layer.text(&absolute[1..]), "x");
    }
}

#[test]
fn links_do_not_lead_out() {
    for how in [OVERLAY, VFS] {
        let outside = Guarded::new().outside().display().to_string();
        for to in
            ["../outside", "../../../../../../outside", &outside, "/outside", "up/../../outside"]
        {
            for (place, through) in [("l", "l"), ("a/b/c/l", "a/b/c/l"), ("l", "m")] {
                for last in ["secret", "new", "folder/new", ".wh.secret", ".wh..wh..opq"] {
                    let mut guarded = Guarded::new();
                    let to = to.replace(&outside, guarded.outside().to_str().unwrap());
                    let name = format!("{through}/{last}");
                    let members = [link(b'2', "m", "l"), link(b'2', place, &to), file(&name, "x")];
                    // What it leads to may be made within the layer; more often there is nothing.
                    if let Err(error) = guarded.apply(&members, &how) {
                        assert!(error.contains(&name), "{error}");
                    }
                    let members = [link(b'2', place, &to), link(b'1', "got", &name)];
                    let mut guarded = Guarded::new();
                    let error = guarded.apply(&members, &how).unwrap_err();
                    assert!(error.contains("\"got\""), "{error}");
                }
            }
        }
    }
}

#[test]
fn links_lead_within_as_if_the_layer_were_all() {
    let mut layer = Layer::new();
    layer.takes(
        &tar(&[
            folder("usr"),
            folder("usr/lib"),
            link(b'2', "lib", "usr/lib"),
            link(b'2', "abs", "/usr/lib"),
            link(b'2', "usr/up", "../../../../lib"),
            file("lib/a", "a"),
            file("abs/b", "b"),
            file("usr/up/c/d", "c"),
            link(b'1', "e", "usr/up/c/d"),
        ]),
        &OVERLAY,
    );
    for (path, text) in [("usr/lib/a", "a"), ("usr/lib/b", "b"), ("usr/lib/c/d", "c"), ("e", "c")] {
        assert_eq!(layer.text(path), text);
    }
}

#[test]
fn links_in_circles_end() {
    let error = Guarded::new()
        .apply(&[link(b'2', "a", "b"), link(b'2', "b", "a"), file("a/f", "x")], &OVERLAY);
    assert!(error.unwrap_err().contains("\"a/f\": Too many levels of symbolic links"));
    let members = [link(b'2', "a", "x"), file("a/f", "x")]; // to nothing
    assert!(Guarded::new().apply(&members, &OVERLAY).unwrap_err().contains("\"a/f\""));
}

#[test]
fn a_folder_may_become_a_link_between_entries() {
    for how in [OVERLAY, VFS] {
        let mut guarded = Guarded::new();
        let members = [
            folder("d"),
            file("d/f", "x"),
            link(b'2', "d", "../outside"),
            file("d/secret", "x"),
            file(".wh.d", ""),
        ];
        let error = guarded.apply(&members, &how).unwrap_err();
        assert!(error.contains("\"d\"") || error.contains("\"d/secret\""), "{error}");
    }
    // Those of a layer below.
    let mut guarded = Guarded::new();
    symlink("../outside", guarded.layer.path("d")).unwrap();
    let error = guarded.apply(&[file("d/secret", "x")], &VFS).unwrap_err();
    assert!(error.contains("\"d/secret\""), "{error}");
    symlink(guarded.outside(), guarded.layer.path("gone")).unwrap();
    guarded.apply(&[file(".wh.gone", ""), file(".wh.d", "")], &VFS).unwrap();
    assert!(listing(&guarded.layer.root).is_empty());
}

#[test]
fn second_names_are_for_what_is_within() {
    for to in ["../outside/secret", "a/../../outside/secret", "../../../../../../etc/passwd", ".."]
    {
        let error = Guarded::new().apply(&[link(b'1', "got", to)], &OVERLAY).unwrap_err();
        assert_eq!(error, format!("invalid hardlink \"got\" -> {to:?}"));
    }
    for to in ["/etc/passwd", "nothing", "", ".", "/", "got"] {
        let error = Guarded::new().apply(&[link(b'1', "got", to)], &OVERLAY).unwrap_err();
        assert!(error.contains("\"got\": "), "{error}");
    }
}

#[test]
fn the_root_stays() {
    for how in [OVERLAY, VFS] {
        for name in ["", ".", "/", "./", "a/.."] {
            let error = Guarded::new().apply(&[file(name, "x")], &how).unwrap_err();
            assert_eq!(error, format!("replacing the root of the layer by {name:?}"));
            let made = Guarded::new().apply(&[link(b'2', name, "../outside")], &how);
            assert!(made.is_err(), "{name}");
        }
        for name in [".wh.", ".wh..", ".wh...", "d/.wh..", "d/.wh...", "/.wh..."] {
            let mut guarded = Guarded::new();
            fs_err::write(guarded.layer.path("kept"), "x").unwrap();
            let error = guarded.apply(&[file(name, "")], &how).unwrap_err();
            assert_eq!(error, format!("invalid whiteout {name:?}"));
            assert_eq!(guarded.layer.text("kept"), "x");
        }
    }
    // All that was there may go, but not the place.
    let mut guarded = Guarded::new();
    fs_err::create_dir_all(guarded.layer.path("a/b")).unwrap();
    guarded.apply(&[file(".wh..wh..opq", "")], &VFS).unwrap();
    assert!(listing(&guarded.layer.root).is_empty());
}

#[test]
fn long_names_are_refused_in_few_words() {
    let long = |name: &str, member: Member| {
        let mut all = pax(&[("path", name.as_bytes())]);
        all.extend(member.bytes());
        words(&Layer::new().apply(&all, &OVERLAY).unwrap_err())
    };
    for name in ["n".repeat(300), "n".repeat(10_000), "d/".repeat(5000), "d/".repeat(100_000)] {
        for member in [file("", "x"), folder("")] {
            let error = long(&name, member);
            assert!(error.ends_with(": File name too long (os error 36)"), "{error}");
            assert!(error.contains(&name[..100]) && error.len() < 400, "{error}");
        }
    }
    let mut layer = Layer::new();
    let name = "d/".repeat(2000) + "f";
    let mut all = pax(&[("path", name.as_bytes())]);
    all.extend(file("", "deep").bytes());
    layer.takes(&all, &OVERLAY);
}

#[test]
fn what_is_deeper_than_a_path_can_say_is_removed() {
    let mut layer = Layer::new();
    let deep = "d/".repeat(1000);
    let mut all = Vec::new();
    let mut way = String::from("top");
    for number in 0..4 {
        let name = format!("{way}/{deep}");
        all.extend(pax(&[("path", name.as_bytes())]));
        all.extend(folder("").bytes());
        let shortcut = format!("s{number}");
        all.extend(pax(&[("linkpath", format!("{way}/{deep}").trim_end_matches('/').as_bytes())]));
        all.extend(link(b'2', &shortcut, "").bytes());
        way = shortcut;
    }
    // Links lead through so many folders at once only up to a limit.
    _ = layer.apply(&all, &OVERLAY);
    let mut all: Vec<u8> = file(".wh.top", "").bytes();
    all.extend(file("top", "x").bytes());
    layer.apply(&all, &VFS).unwrap();
    assert_eq!(layer.text("top"), "x");
}

#[test]
fn headers_may_not_be_of_any_size() {
    for kind in [b'x', b'g', b'L', b'K'] {
        for size in [(1 << 20) + 1, 8 << 30] {
            let huge = Member { size: Some(octal(size)), ..member(kind, "h") };
            let error = words(&Layer::new().apply(&huge.bytes(), &OVERLAY).unwrap_err());
            assert_eq!(error, "reading the layer's tar: header field too long after its start");
        }
    }
    let mut all = pax(&[("comment", &[b'x'; 1_000_000])]);
    all.extend(file("f", "x").bytes());
    Layer::new().takes(&all, &OVERLAY);
    let cut = Member { size: Some(octal(8 << 30)), ..file("f", "x") };
    let all = [folder("d").bytes(), cut.bytes()].concat();
    let error = words(&Layer::new().apply(&all, &OVERLAY).unwrap_err());
    assert_eq!(error, "reading the layer's tar: unexpected EOF after \"f\"");
}

#[test]
fn sparse_files_of_any_length_take_no_room() {
    let sparse = |length: &str, map: &str, contents: &str| {
        let mut all = pax(&[
            ("GNU.sparse.major", b"0"),
            ("GNU.sparse.minor", b"1"),
            ("GNU.sparse.size", length.as_bytes()),
            ("GNU.sparse.numblocks", b"1"),
            ("GNU.sparse.map", map.as_bytes()),
        ]);
        all.extend(file("f", contents).bytes());
        let mut layer = Layer::new();
        layer.apply(&all, &OVERLAY).map(|_| fs_err::metadata(layer.path("f")).unwrap().blocks())
    };
    assert!(sparse("1000000000000", "999999999999,1", "x").unwrap() < 100);
    for (length, map, contents) in [
        ("9223372036854775807", "9223372036854775806,1", "x"),
        ("10", "9,2", "xy"),
        ("10", "0,2", "x"),
        ("10", "0,1", "xy"),
        ("-1", "0,1", "x"),
        ("10", "-1,1", "x"),
    ] {
        let error = words(&sparse(length, map, contents).unwrap_err());
        assert!(error.contains("invalid sparse file after") || error.contains("\"f\""), "{error}");
    }
}

#[test]
fn attributes_beyond_what_is_possible_name_the_entry() {
    for (key, value) in [
        ("user.big".to_owned(), vec![b'x'; 70_000]),
        (format!("user.{}", "n".repeat(300)), b"x".to_vec()),
        ("nonsense".into(), b"x".to_vec()),
    ] {
        let mut all = pax(&[(&format!("SCHILY.xattr.{key}"), &value)]);
        all.extend(file("d/f", "x").bytes());
        let made = Layer::new().apply(&all, &OVERLAY);
        match made {
            // The file system knows no attribute of that kind.
            Ok(_) => assert_eq!(key, "nonsense"),
            Err(error) => {
                let error = words(&error);
                assert!(error.starts_with("giving an attribute to \"d/f ("), "{error}");
            }
        }
    }
}

#[test]
fn unknown_types_and_owners_are_named() {
    for kind in *b"VDMNz" {
        let error = Guarded::new().apply(&[member(kind, "odd")], &OVERLAY).unwrap_err();
        assert_eq!(error, format!("\"odd\": unhandled tar header type {kind}"));
    }
    let mut all = pax(&[("uid", b"4294967295")]);
    all.extend(file("f", "x").bytes());
    let error = words(&Layer::new().apply(&all, &OVERLAY).unwrap_err());
    assert_eq!(error, "\"f\": user ID 4294967295 cannot be mapped to a host ID");
}

#[test]
fn every_beginning_of_a_tar_is_refused_or_taken() {
    let mut all = pax(&[("mtime", b"1.5"), ("path", b"d/long")]);
    all.extend(file("d/l", "text").bytes());
    all.extend(Member { contents: b"longer\0".to_vec(), ..member(b'L', "L") }.bytes());
    all.extend(folder("x").bytes());
    all.extend(tar(&[link(b'2', "s", "x")]));
    let near = |block: usize| [0, 1, 100, 500, 511].map(|more| block * 512 + more);
    for length in (0..all.len() / 512).flat_map(near) {
        let mut layer = Layer::new();
        match layer.apply(&all[..length], &OVERLAY) {
            Ok(_) => assert!(layer.export().unwrap().1 == all[..length]),
            Err(error) => assert!(matches!(error, Error::Malformed { .. }), "{length}"),
        }
    }
}

#[test]
fn recipes_that_are_wrong_are_refused() {
    use std::io::Write;
    let packed = |text: &str| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    let layer = Layer::new();
    for text in [
        "nonsense",
        "{\"type\":3,\"payload\":null,\"position\":0}",
        "{\"type\":2,\"payload\":\"###\",\"position\":0}",
        "{\"type\":1,\"name\":\"a\",\"size\":-1,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}",
        "{\"type\":1,\"name\":\"a\",\"size\":1,\"payload\":\"AAAA\",\"position\":0}",
        "{\"type\":1,\"name\":\"a\",\"size\":1,\"payload\":null,\"position\":0}",
        "{\"type\":1,\"name\":\"../a\",\"size\":1,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}",
        "{\"type\":1,\"name_raw\":\"###\",\"position\":0}",
        "[]",
    ] {
        let made = export(&*packed(text), std::slice::from_ref(&layer.root), Vec::new());
        assert!(made.is_err(), "{text}");
    }
    let roots = std::slice::from_ref(&layer.root);
    assert!(export(&b"not gzip"[..], roots, Vec::new()).is_err());
    let whole = packed("{\"type\":2,\"payload\":\"QQ==\",\"position\":0}\n");
    assert!(export(&whole[..whole.len() - 9], roots, Vec::new()).is_err());
    let mut out = Vec::new();
    export(&*whole, roots, &mut out).unwrap();
    assert_eq!(out, b"A");
}
