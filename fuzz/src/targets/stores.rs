//! The lists of a store of podman, buildah and CRI-O.

use std::io;
use std::path::Path;

use skopeo_storage::{Driver, NewLayer, Options, Store, fuzzing};

/// What layers.json, images.json and containers.json say is believed or refused, and nothing
/// outside of the store is touched, whatever is deleted, read or put onto it. The parts have zeros
/// between them.
pub(super) fn lists(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let parts = ["layers", "images", "containers"].map(|of| (of, parts.next().unwrap_or_default()));
    for (of, bytes) in parts {
        // What is written again is read as the same.
        let Ok(once) = fuzzing::rewrite(of, bytes) else { continue };
        let twice = fuzzing::rewrite(of, &once).expect("we read what we wrote");
        assert_eq!(once.escape_ascii().to_string(), twice.escape_ascii().to_string());
    }

    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let victim = folder.path().join("victim");
    fs_err::create_dir_all(victim.join("diff")).expect("a folder");
    for name in ["diff/file", "link", "images.json"] {
        fs_err::write(victim.join(name), "precious").expect("a file");
    }
    for driver in [Driver::Overlay, Driver::Vfs] {
        let root = folder.path().join("root");
        for (of, bytes) in parts {
            let lists = root.join(format!("{}-{of}", driver.as_str()));
            fs_err::create_dir_all(&lists).expect("a folder");
            fs_err::write(lists.join(format!("{of}.json")), bytes).expect("a file");
        }
        use_everything(driver, &root, folder.path());
        fs_err::remove_dir_all(&root).expect("a folder of ours");
    }
    for name in ["diff/file", "link", "images.json"] {
        let text = fs_err::read_to_string(victim.join(name)).expect("nobody removes it");
        assert_eq!(text, "precious");
    }
    let beside = fs_err::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(beside, 2, "only the victim and the run root");
}

fn use_everything(driver: Driver, root: &Path, folder: &Path) {
    let options = Options {
        driver,
        graph_root: root.to_owned(),
        run_root: folder.join("run"),
        image_store: None,
        additional_stores: Vec::new(),
        transient: false,
        ignore_chown_errors: false,
        force_mask: None,
        mount_program: false,
        rootless: false,
    };
    let store = Store::open(options).expect("a store");
    let images = store.images().unwrap_or_default();
    for image in &images {
        for data in &image.data {
            let _ = store.image_data(&image.id, &data.key);
        }
        for layer in image.layer.iter().chain(&image.mapped_layers) {
            let _ = store.layer(layer);
            let _ = store.layer_tar(layer, io::sink());
            let new = NewLayer { parent: Some(layer.clone()), ..NewLayer::default() };
            let _ = store.put_layer(new, [0; 1024].as_slice());
        }
    }
    for image in &images {
        let _ = store.delete_image(&image.id);
    }
}
