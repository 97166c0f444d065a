//! What the tests about bad lines, bad input and sudden ends share: runs that cannot hang, and the
//! question whether what has a name is whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use skopeo_image::{Digest, Manifest, RawManifest};
use skopeo_testkit::{Home, Run};

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// The program.
pub(crate) const SKOPEO: &str = env!("CARGO_BIN_EXE_skopeo");

/// A home in which these registries are reached by plain HTTP.
pub(crate) fn home(hosts: &[&str]) -> Home {
    let home = Home::new();
    home.insecure(hosts);
    home
}

/// Starts the program in a home.
pub(crate) fn start(home: &Home, arguments: &[&str]) -> Child {
    let mut command = home.command(SKOPEO);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs the program to its end; one that hangs fails the test.
#[track_caller]
pub(crate) fn skopeo(home: &Home, arguments: &[&str]) -> Run {
    finish(start(home, arguments), &arguments.join(" "))
}

/// Waits for the end of a program.
#[track_caller]
pub(crate) fn finish(child: Child, what: &str) -> Run {
    let id = rustix::process::Pid::from_child(&child);
    let begun = Instant::now();
    let waiting = std::thread::spawn(move || child.wait_with_output().unwrap());
    while !waiting.is_finished() {
        if begun.elapsed() > PATIENCE {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            let output = waiting.join().unwrap();
            panic!("{what} hangs\n{}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = waiting.join().unwrap();
    Run {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    }
}

/// The sentence of a run that failed as programs should: code 1 or 2, one fatal line.
#[track_caller]
pub(crate) fn sentence(run: &Run) -> String {
    assert!(matches!(run.code, Some(1 | 2)), "{run}");
    let line = run.stderr.lines().find(|line| line.contains(" level=fatal "));
    let (_, message) = line.and_then(|line| line.split_once(" msg=")).unwrap_or_default();
    let message = match message.strip_prefix('"') {
        Some(quoted) => serde_json::from_str(&format!("\"{quoted}")).unwrap_or_default(),
        None => message.to_owned(),
    };
    assert!(!message.is_empty(), "nothing was said\n{run}");
    message
}

/// Does something for each row, some at a time: most rows wait for most of their time.
pub(crate) fn for_each<T: Send>(rows: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
    let rows = Mutex::new(rows.into_iter().collect::<Vec<_>>().into_iter());
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                loop {
                    let row = rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                    let Some(row) = row else { break };
                    work(row);
                }
            });
        }
    });
}

/// What the layout at `folder` has names for, all of it whole: each blob that can be reached is
/// there, and what its digest says.
#[track_caller]
pub(crate) fn whole_layout(folder: &Path) -> BTreeMap<String, Digest> {
    let mut names = BTreeMap::new();
    let Ok(index) = fs_err::read(folder.join("index.json")) else { return names };
    let index: Value = serde_json::from_slice(&index).unwrap();
    for entry in index["manifests"].as_array().unwrap() {
        let digest: Digest = entry["digest"].as_str().unwrap().parse().unwrap();
        let name = entry["annotations"]["org.opencontainers.image.ref.name"].as_str();
        whole_image(&digest, &|digest| {
            fs_err::read(folder.join("blobs/sha256").join(digest.hex())).unwrap()
        });
        names.insert(name.unwrap_or_default().to_owned(), digest);
    }
    names
}

/// The image in the `dir:` folder, whole; `None` if it has no manifest.
#[track_caller]
pub(crate) fn whole_dir(folder: &Path) -> Option<Digest> {
    let bytes = fs_err::read(folder.join("manifest.json")).ok()?;
    let digest = RawManifest::new(None, bytes.clone().into()).digest().unwrap();
    whole_image(&digest, &|wanted| {
        let blob = folder.join(wanted.hex());
        let manifest = folder.join(format!("{}.manifest.json", wanted.hex()));
        match *wanted == digest {
            true => bytes.clone(),
            false => fs_err::read(&blob).or_else(|_| fs_err::read(&manifest)).unwrap(),
        }
    });
    Some(digest)
}

#[track_caller]
fn whole_image(digest: &Digest, read: &dyn Fn(&Digest) -> Vec<u8>) {
    let bytes = checked(digest, read);
    match RawManifest::new(None, bytes.into()).parse().unwrap() {
        Manifest::Image(image) => {
            let layers = image.layers();
            let blobs = layers.iter().map(|layer| &layer.blob).chain(image.config());
            for blob in blobs {
                let bytes = checked(&blob.digest, read);
                assert!(blob.size.is_none_or(|size| size == bytes.len() as u64), "{blob:?}");
            }
        }
        Manifest::Index(list) => {
            for instance in list.instances() {
                // Lists of blobs, as build caches are, are copied as they are.
                match instance.descriptor.media_type.is_blob() {
                    true => drop(checked(&instance.descriptor.digest, read)),
                    false => whole_image(&instance.descriptor.digest, read),
                }
            }
        }
    }
}

#[track_caller]
fn checked(digest: &Digest, read: &dyn Fn(&Digest) -> Vec<u8>) -> Vec<u8> {
    let bytes = read(digest);
    assert_eq!(&Digest::sha256(&bytes), digest, "what is stored as {digest} is not it");
    bytes
}
