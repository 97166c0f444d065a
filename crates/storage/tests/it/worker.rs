//! Another process that works on a store: `worker_program`, which gets its task by standard input.

use std::io::Write as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

use crate::support::Place;

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

/// Another process.
pub(crate) struct Worker(Child);

impl Worker {
    /// Starts one, by `tracer` if that is not empty.
    pub(crate) fn start(place: &Place, work: &[Work], tracer: &[String]) -> Self {
        let own = skopeo_testkit::run::example("storage-worker");
        let mut command = match tracer.split_first() {
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(own);
                command
            }
            None => Command::new(own),
        };
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
