//! This program again, as another process that works on a store: what it shall do comes by
//! standard input.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::{Value, json};
use skopeo_storage::{Driver, Options, Store};

use crate::support::{Place, Sample, tar_digest};

/// What a worker does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Puts the image of a seed into the store, under a name of its own.
    Put(u64),
    /// Deletes it.
    Delete(u64),
    /// Reads all layers.
    Read,
}

/// Not a test: what [`Worker`] starts.
#[test]
#[ignore = "other tests start it"]
fn worker() {
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

/// Another process.
pub(crate) struct Worker(Child);

impl Worker {
    /// Starts one, by `tracer` if that is not empty.
    pub(crate) fn start(place: &Place, work: &[Work], tracer: &[String]) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut command = match tracer.split_first() {
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(own);
                command
            }
            None => Command::new(own),
        };
        command.args(["--ignored", "--exact", "worker::worker", "--nocapture"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let steps: Vec<Value> = work
            .iter()
            .map(|step| match step {
                Work::Put(seed) => json!({"work": "put", "seed": seed}),
                Work::Delete(seed) => json!({"work": "delete", "seed": seed}),
                Work::Read => json!({"work": "read", "seed": 0}),
            })
            .collect();
        let task = json!({
            "driver": place.driver.as_str(),
            "root": place.root(),
            "run": place.path("run"),
            "steps": steps,
            // Who is started by this is root in a user namespace only.
            "rootless": tracer.first().is_some_and(|program| program.ends_with("/unshare")),
        });
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(task.to_string().as_bytes()).unwrap();
        Self(child)
    }

    /// How it ended, and what it said.
    pub(crate) fn wait(self) -> (ExitStatus, String) {
        let output = self.0.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&said).into_owned())
    }

    pub(crate) fn success(self) {
        let (status, said) = self.wait();
        assert!(status.success(), "{said}");
    }
}
