//! What files are like that were made of a tar.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use skopeo_storage::contents::{Apply, IdRange, Whiteouts, copy_tree};

use super::make::*;
use crate::support::{is_root, skip};

#[test]
fn every_type_is_made() {
    if !is_root() {
        skip!("owners and devices are for root");
    }
    let mut layer = Layer::new();
    let mut all = Vec::new();
    all.extend(folder("d/").bytes());
    all.extend(pax(&[("mtime", b"1350244992.023960108"), ("SCHILY.xattr.user.a", b"b\0c")]));
    all.extend(Member { mode: 0o4755, owner: (5, 6), ..file("d/f", "text") }.bytes());
    all.extend(link(b'2', "d/s", "../../../etc/passwd").bytes());
    all.extend(
        Member { mode: 0o4755, owner: (5, 6), seconds: 7, ..link(b'1', "h", "d/f") }.bytes(),
    );
    all.extend(Member { device: (1, 3), mode: 0o666, ..member(b'3', "null") }.bytes());
    all.extend(Member { device: (7, 0), mode: 0o660, ..member(b'4', "loop") }.bytes());
    all.extend(Member { mode: 0o622, ..member(b'6', "fifo") }.bytes());
    all.extend(Member { seconds: 77, ..file("a/b/c", "implied") }.bytes());
    let applied = layer.takes(&all, &OVERLAY);
    assert_eq!(applied.uids.into_iter().collect::<Vec<_>>(), [0, 5]);
    assert_eq!(applied.gids.into_iter().collect::<Vec<_>>(), [0, 6]);

    let stat = |path: &str| fs_err::symlink_metadata(layer.path(path)).unwrap();
    let f = stat("d/f");
    assert_eq!((f.mode(), f.uid(), f.gid(), f.nlink()), (0o10_4755, 5, 6, 2));
    // What the second name says of the file is so.
    assert_eq!((f.mtime(), f.mtime_nsec()), (7, 0));
    assert_eq!(attributes(&layer.path("d/f")), [("user.a".into(), "b\\x00c".into())]);
    assert_eq!(layer.text("h"), "text");
    let d = stat("d");
    assert_eq!((d.mode(), d.mtime()), (0o4_0755, 1_000_000_000));
    let s = stat("d/s");
    assert_eq!((s.is_symlink(), s.mtime()), (true, 1_000_000_000));
    let null = stat("null");
    assert!(null.file_type().is_char_device());
    assert_eq!((null.mode() & 0o7777, null.rdev()), (0o666, rustix::fs::makedev(1, 3)));
    let block = stat("loop");
    assert!(block.file_type().is_block_device() && block.mode() & 0o7777 == 0o660);
    let fifo = stat("fifo");
    assert!(fifo.file_type().is_fifo() && fifo.mode() & 0o7777 == 0o622);
    assert_eq!(fifo.mtime(), 1_000_000_000);
    assert!(stat("a/b").is_dir());
    assert_eq!(stat("a/b/c").mtime(), 77);
}

#[test]
fn folders_keep_their_times_in_any_order() {
    for how in [OVERLAY, VFS] {
        let mut layer = Layer::new();
        let aged = |name: &str, seconds| Member { seconds, ..folder(name) };
        layer.takes(
            &tar(&[
                aged("a", 11),
                aged("a/b", 12),
                aged("c", 13),
                file("a/b/late", "x"),
                file("c/f", "x"),
                file("a/later", "x"),
                aged("a/b/e", 14),
                link(b'2', "c/to", "../a/b"),
                file("c/to/through", "x"),
            ]),
            &how,
        );
        for (path, seconds) in [("a", 11), ("a/b", 12), ("c", 13), ("a/b/e", 14)] {
            assert_eq!(fs_err::metadata(layer.path(path)).unwrap().mtime(), seconds, "{path}");
        }
        assert_eq!(layer.text("a/b/through"), "x");
    }
}

#[test]
fn deep_folders_are_made() {
    let mut layer = Layer::new();
    let mut members = Vec::new();
    let mut path = String::new();
    for depth in 0..300 {
        path.push_str("d/");
        members.push((path.clone(), depth));
    }
    let mut all = Vec::new();
    for (path, depth) in &members {
        all.extend(pax(&[("path", path.as_bytes()), ("mtime", depth.to_string().as_bytes())]));
        all.extend(folder("d").bytes());
    }
    // Back in the middle, and deep again.
    for (path, _) in [&members[100], &members[299], &members[3]] {
        all.extend(pax(&[("path", format!("{path}f").as_bytes())]));
        all.extend(file("f", "x").bytes());
    }
    layer.takes(&all, &OVERLAY);
    for (path, depth) in &members {
        assert_eq!(fs_err::metadata(layer.path(path)).unwrap().mtime(), *depth, "{path}");
    }
}

#[test]
fn whiteouts_of_overlay_are_devices_and_an_attribute() {
    if !is_root() {
        skip!("owners and devices are for root");
    }
    for (rootless, attribute) in [(false, "trusted.overlay.opaque"), (true, "user.overlay.opaque")]
    {
        let mut layer = Layer::new();
        let how = Apply { rootless, ..OVERLAY };
        layer.takes(
            &tar(&[
                Member { owner: (3, 4), ..file("d/.wh.gone", "") },
                file("e/.wh..wh..opq", ""),
                file(".wh.f", ""),
                file("f/.wh.in", ""), // within what is gone
                file(".wh..wh.x", ""),
            ]),
            &how,
        );
        let stat = fs_err::symlink_metadata(layer.path("d/gone")).unwrap();
        assert_eq!((stat.mode(), stat.rdev(), stat.uid(), stat.gid()), (0o2_0000, 0, 3, 4));
        assert!(layer.path("f").symlink_metadata().unwrap().file_type().is_char_device());
        assert!(layer.path(".wh.x").symlink_metadata().unwrap().file_type().is_char_device());
        assert_eq!(attributes(&layer.path("e")), [(attribute.into(), "y".into())]);
        assert_eq!(listing(&layer.path("e")), Vec::<String>::new());
    }
}

#[test]
fn whiteouts_stay_for_a_mount_program() {
    let mut layer = Layer::new();
    let how = Apply { whiteouts: Whiteouts::Files, ..OVERLAY };
    layer.takes(&tar(&[file("d/.wh.gone", ""), file("d/.wh..wh..opq", "")]), &how);
    assert_eq!(layer.text("d/.wh.gone"), "");
    assert_eq!(layer.text("d/.wh..wh..opq"), "");
}

#[test]
fn whiteouts_of_vfs_remove() {
    let mut layer = Layer::new();
    for path in ["gone/deep/x", "kept/x", "opaque/old/x", "opaque/sub/old", "opaque/y"] {
        let path = layer.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, "old").unwrap();
    }
    layer.takes(
        &tar(&[
            file("opaque/sub/new", "new"),
            file("opaque/z", "new"),
            file("opaque/.wh..wh..opq", ""),
            file("opaque/later", "new"),
            file(".wh.gone", ""),
            file(".wh.never", ""),
            file("kept/.wh.x", ""),
            file(".wh..wh.aufs", "1234"),
            file(".wh..wh.plnk/1.2", "linked"),
            link(b'1', "one", ".wh..wh.plnk/1.2"),
            link(b'1', "two", ".wh..wh.plnk/1.2"),
        ]),
        &VFS,
    );
    let names: Vec<String> = listing(&layer.root)
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "kept",
            "one",
            "opaque",
            "opaque/later",
            "opaque/sub",
            "opaque/sub/new",
            "opaque/z",
            "two"
        ]
    );
    assert_eq!(layer.text("two"), "linked");
}

#[test]
fn what_is_there_is_replaced_as_the_type_asks() {
    let mut layer = Layer::new();
    fs_err::create_dir_all(layer.path("folder/in")).unwrap();
    fs_err::create_dir_all(layer.path("stays/in")).unwrap();
    fs_err::write(layer.path("file"), "old").unwrap();
    std::os::unix::fs::symlink("stays", layer.path("link")).unwrap();
    std::os::unix::fs::symlink("stays", layer.path("other")).unwrap();
    layer.takes(
        &tar(&[
            file("folder", "now a file"),
            Member { mode: 0o700, ..folder("stays") },
            folder("file"),
            folder("link"),
            file("other", "now a file"),
        ]),
        &VFS,
    );
    assert_eq!(layer.text("folder"), "now a file");
    assert_eq!(fs_err::metadata(layer.path("stays")).unwrap().mode(), 0o4_0700);
    assert!(layer.path("stays/in").is_dir());
    assert!(layer.path("file").is_dir());
    assert!(layer.path("link").symlink_metadata().unwrap().is_dir());
    assert_eq!(layer.text("other"), "now a file");
}

#[test]
fn the_root_is_the_layers_in_vfs_only() {
    let root = Member { mode: 0o711, seconds: 5, ..folder("./") };
    let mut layer = Layer::new();
    layer.takes(&tar(&[root.clone(), file("f", "x")]), &OVERLAY);
    assert_ne!(fs_err::metadata(&layer.root).unwrap().mode() & 0o7777, 0o711);
    let mut layer = Layer::new();
    layer.takes(&tar(&[root, file("f", "x")]), &VFS);
    let stat = fs_err::metadata(&layer.root).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.mtime()), (0o711, 5));
}

#[test]
fn modes_can_be_forced() {
    let mut layer = Layer::new();
    let how = Apply { force_mask: Some(0o700), whiteouts: Whiteouts::Files, ..OVERLAY };
    layer.takes(
        &tar(&[
            Member { mode: 0o711, owner: (1, 2), ..folder("./") },
            Member { mode: 0o4755, owner: (5, 6), ..file("f", "x") },
            Member { mode: 0o750, ..folder("d") },
            Member { device: (1, 3), mode: 0o666, ..member(b'3', "null") },
            Member { mode: 0o666, ..member(b'6', "fifo") },
            link(b'2', "s", "f"),
        ]),
        &how,
    );
    for (path, value) in [
        ("", "1:2:0711:dir"),
        ("f", "5:6:4755:file"),
        ("d", "0:0:0750:dir"),
        ("null", "0:0:0666:char-1-3"),
        ("fifo", "0:0:0666:pipe"),
    ] {
        let found = attributes(&layer.path(path));
        assert_eq!(found, [("user.containers.override_stat".into(), value.into())], "{path}");
    }
    for path in ["f", "null", "fifo"] {
        let stat = fs_err::symlink_metadata(layer.path(path)).unwrap();
        assert!(stat.is_file() && stat.mode() & 0o7777 == 0o700, "{path}");
        assert_eq!(stat.uid(), rustix::process::geteuid().as_raw());
    }
}

#[test]
fn owners_are_mapped_or_the_entry_is_named() {
    if !is_root() {
        skip!("owners and devices are for root");
    }
    let map = [IdRange { container: 0, host: 100_000, size: 10 }];
    let how = Apply { uid_map: &map, gid_map: &map, ..OVERLAY };
    let mut layer = Layer::new();
    let owned = |name: &str, owner| Member { owner, ..file(name, "x") };
    let applied = layer.takes(&tar(&[owned("d/f", (3, 4))]), &how);
    let owner = |path: &str| {
        let stat = fs_err::metadata(layer.path(path)).unwrap();
        (stat.uid(), stat.gid())
    };
    assert_eq!((owner("d/f"), owner("d")), ((100_003, 100_004), (100_000, 100_000)));
    assert_eq!(applied.uids.into_iter().collect::<Vec<_>>(), [3]);
    let error = Layer::new().apply(&tar(&[owned("d/f", (3, 10))]), &how).unwrap_err();
    assert_eq!(words(&error), "\"d/f\": group ID 10 cannot be mapped to a host ID");
}

#[test]
fn capabilities_outlive_a_second_name() {
    if !is_root() {
        skip!("owners and devices are for root");
    }
    let mut layer = Layer::new();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut all = pax(&[("SCHILY.xattr.security.capability", capability)]);
    all.extend(Member { owner: (5, 6), ..file("ping", "x") }.bytes());
    all.extend(Member { owner: (5, 6), seconds: 3, ..link(b'1', "ping4", "ping") }.bytes());
    layer.takes(&all, &OVERLAY);
    let found = attributes(&layer.path("ping4"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "security.capability");
}

#[test]
fn a_copy_is_like_what_it_is_of() {
    let mut layer = Layer::new();
    let mut all = Vec::new();
    let root = is_root();
    let owner = if root { (5, 6) } else { (0, 0) };
    let how = Apply { rootless: !root, ..VFS };
    all.extend(Member { mode: 0o710, ..folder("./") }.bytes());
    all.extend(pax(&[("SCHILY.xattr.user.d", b"on a folder")]));
    all.extend(Member { mode: 0o1777, owner, seconds: 3, ..folder("d") }.bytes());
    all.extend(pax(&[("mtime", b"1.000000002"), ("SCHILY.xattr.user.a", b"")]));
    all.extend(Member { mode: 0o6755, owner, ..file("d/f", &"text".repeat(100_000)) }.bytes());
    all.extend(Member { mode: 0o6755, owner, ..link(b'1', "first", "d/f") }.bytes());
    all.extend(link(b'2', "d/s", "nowhere").bytes());
    all.extend(Member { mode: 0o602, ..member(b'6', "d/e/fifo") }.bytes());
    all.extend(file("d/e/empty", "").bytes());
    if root {
        all.extend(Member { device: (1, 3), ..member(b'3', "null") }.bytes());
        all.extend(pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y")]));
        all.extend(folder("opaque").bytes());
    }
    layer.apply(&all, &how).unwrap();
    let holes = fs_err::File::create(layer.path("d/holes")).unwrap();
    holes.set_len(10_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(holes.file(), b"middle", 5_000_000).unwrap();

    let copy = layer.place.path().join("copy");
    fs_err::create_dir(&copy).unwrap();
    copy_tree(&layer.root, &copy, !root).unwrap();
    let same = listing(&layer.root);
    assert_eq!(listing(&copy), same);
    let times = |path: std::path::PathBuf| {
        let stat = fs_err::symlink_metadata(path).unwrap();
        (stat.mode(), stat.mtime(), stat.mtime_nsec())
    };
    assert_eq!(times(copy.clone()), times(layer.root.clone()));
    assert!(fs_err::metadata(copy.join("d/holes")).unwrap().blocks() < 100);
    // Two names of one file, and not those of the original.
    let stat = |path: &str| fs_err::metadata(copy.join(path)).unwrap();
    assert_eq!((stat("first").ino(), stat("first").nlink()), (stat("d/f").ino(), 2));
    assert_ne!(stat("d/f").ino(), fs_err::metadata(layer.path("d/f")).unwrap().ino());
    fs_err::write(copy.join("d/f"), "changed").unwrap();
    assert_eq!(listing(&layer.root), same);
}
