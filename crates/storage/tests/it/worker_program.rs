//! A program that tests start, to work on a store as another process. Its task comes by standard
//! input.

#![expect(clippy::unwrap_used, reason = "this is a part of tests")]

#[expect(dead_code, unused_imports, unused_macros, reason = "the tests use more of it")]
mod support;

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;
use skopeo_storage::{Driver, Options, Store};

use support::{Sample, tar_digest};

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let task: Value = serde_json::from_str(&text).unwrap();
    let path = |key: &str| Path::new(task[key].as_str().unwrap()).to_owned();
    let store = Store::open(Options {
        driver: if task["driver"] == "vfs" { Driver::Vfs } else { Driver::Overlay },
        graph_root: path("root"),
        run_root: path("run"),
        image_store: None,
        additional_stores: Vec::new(),
        transient: false,
        ignore_chown_errors: task["rootless"] == true,
        force_mask: None,
        mount_program: false,
        rootless: task["rootless"] == true,
    })
    .unwrap();
    for step in task["steps"].as_array().unwrap() {
        let seed = step["seed"].as_u64().unwrap();
        let sample = Sample::seeded(seed);
        match step["work"].as_str().unwrap() {
            "put" => drop(sample.put(&store, &[&format!("h.io/x:{seed}")]).unwrap()),
            "delete" => drop(store.delete_image(&sample.id()).unwrap()),
            "read" => {
                for image in store.images().unwrap() {
                    let mut next = image.layer;
                    while let Some(id) = next {
                        // Somebody may delete it meanwhile, as podman may; it is never wrong.
                        let Some(layer) = store.layer(&id).unwrap() else { break };
                        if let Ok(digest) = tar_digest(&store, &id) {
                            assert_eq!(Some(digest), layer.diff_digest);
                        }
                        next = layer.parent;
                    }
                }
            }
            other => panic!("{other}"),
        }
    }
}
