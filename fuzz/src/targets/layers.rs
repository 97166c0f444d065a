//! Tars that become files, and recipes by which files become tars again.

use std::io::Write;
use std::path::Path;

use skopeo_storage::contents::{Apply, Error, Whiteouts, apply, export};

use super::tars::summed;

/// Whatever a layer says, nothing beside it is touched; and what was taken comes out as it went in,
/// unless an entry took away what another had made. The first byte says how it is applied.
pub(super) fn applied(data: &[u8]) {
    let Some((first, tar)) = data.split_first() else { return };
    let tar = summed(tar);
    let whiteouts = match first % 3 {
        0 => Whiteouts::Overlay,
        1 => Whiteouts::Remove,
        _ => Whiteouts::Files,
    };
    let how = Apply {
        whiteouts,
        rootless: first & 8 != 0,
        ignore_chown_errors: first & 16 != 0,
        force_mask: (first & 32 != 0).then_some(0o700),
        uid_map: &[],
        gid_map: &[],
    };
    within(|root| {
        let mut recipe = Vec::new();
        let Ok(applied) = apply(&*tar, root, &mut recipe, &how) else { return };
        assert_eq!(applied.diff_size, tar.len() as u64);
        let mut again = Vec::new();
        match export(&*recipe, &[root.to_owned()], &mut again) {
            Ok(()) => assert!(again == tar, "another tar came out"),
            Err(Error::Entry { .. } | Error::Changed { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    });
}

/// Whatever a recipe says, nothing beside the layer is read.
pub(super) fn recipe(data: &[u8]) {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(data).expect("memory takes all");
    let packed = packed.finish().expect("memory takes all");
    within(|root| {
        fs_err::create_dir(root.join("d")).expect("a folder");
        fs_err::write(root.join("a"), "a").expect("a file");
        fs_err::write(root.join("d/f"), "text").expect("a file");
        for (link, to) in [("out", "../victim"), ("d/up", ".."), ("file", "../victim/file")] {
            std::os::unix::fs::symlink(to, root.join(link)).expect("a link");
        }
        for bytes in [&packed, data] {
            let mut out = Vec::new();
            _ = export(bytes, &[root.to_owned()], &mut out);
            let secret = b"precious";
            assert!(!out.windows(secret.len()).any(|window| window == secret));
        }
    });
}

/// A folder to work in, beside one that must stay as it is.
fn within(work: impl FnOnce(&Path)) {
    let place = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let (root, victim) = (place.path().join("root"), place.path().join("victim"));
    fs_err::create_dir_all(victim.join("folder")).expect("a folder");
    fs_err::create_dir(&root).expect("a folder");
    fs_err::write(victim.join("file"), "precious").expect("a file");
    work(&root);
    assert_eq!(fs_err::read(victim.join("file")).expect("nobody removes it"), b"precious");
    let count = |folder: &Path| fs_err::read_dir(folder).expect("a folder").count();
    assert_eq!((count(place.path()), count(&victim), count(&victim.join("folder"))), (2, 2, 0));
}
