//! Downloads that broke off: the part that came is kept, and the next run asks for the rest.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use skopeo_testkit::registry::SeenRequest;
use skopeo_testkit::{Fault, Home, Image, On, Registry};

use crate::stage::{finish, home, sentence, skopeo, start, whole_dir, whole_layout};

const MIB: u64 = 1 << 20;

/// An image with one large layer, in a registry.
struct Stage {
    source: Registry,
    home: Home,
    image: Image,
    /// The layer's digest in hexadecimal digits, and its size.
    layer: (String, u64),
}

fn stage() -> Stage {
    let image = Image::builder(1).layers(1).layer_size(12_000_000).build();
    let source = Registry::start();
    image.push(&source, "lib/image:v1");
    let home = home(&[&source.host()]);
    let blobs = image.blobs();
    let (digest, bytes) = blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let layer = (digest.hex().to_owned(), bytes.len() as u64);
    assert!(layer.1 > 5 * MIB);
    Stage { source, home, image, layer }
}

impl Stage {
    fn on_layer(&self) -> On {
        On::blobs().containing(&self.layer.0)
    }

    fn copy(&self, to: &str) -> Vec<String> {
        ["copy", "-q", &self.source.docker("lib/image:v1"), to].map(str::to_owned).to_vec()
    }

    /// Begins a copy, and ends it by a signal when 3 MiB have come. How much was kept?
    fn broken_off(&self, arguments: &[String], folder: &Path, signal: Signal) -> u64 {
        self.source.fault(Fault::stall(self.on_layer()).after(3 * MIB));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let child = start(&self.home, &arguments);
        let pid = Pid::from_child(&child);
        while part(folder).is_none_or(|(_, size)| size < 2 * MIB) {
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_process(pid, signal).unwrap();
        finish(child, "a copy that was ended");
        self.source.mend();
        self.source.forget_requests();
        part(folder).unwrap().1
    }

    fn run(&self, arguments: &[String]) -> skopeo_testkit::Run {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        skopeo(&self.home, &arguments)
    }

    /// The requests for the layer: which ranges, and how many bytes came.
    fn asked(&self) -> (Vec<String>, u64) {
        let all = self.source.requests();
        let of_layer =
            |seen: &&SeenRequest| seen.method == "GET" && seen.target.contains(&self.layer.0);
        let asked: Vec<&SeenRequest> = all.iter().filter(of_layer).collect();
        let ranges = asked.iter().map(|seen| seen.header("range").to_owned()).collect();
        (ranges, asked.iter().map(|seen| seen.sent).sum())
    }
}

/// The part of a blob somewhere below a folder, with its length.
pub(crate) fn part(folder: &Path) -> Option<(PathBuf, u64)> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with(".skopeo-partial-sha256-") {
            let size = fs::metadata(&path).ok()?.len();
            return Some((path, size));
        }
        if path.is_dir()
            && let Some(found) = part(&path)
        {
            return Some(found);
        }
    }
    None
}

#[test]
fn a_copy_that_was_ended_goes_on_from_the_part_that_came() {
    for (to, signal) in [
        ("dir:killed", Signal::KILL),
        ("oci:killed-layout:v1", Signal::KILL),
        ("dir:interrupted", Signal::INT),
    ] {
        let stage = stage();
        let folder = stage.home.path("work").join(to.split(':').nth(1).unwrap());
        let copy = stage.copy(to);
        let kept = stage.broken_off(&copy, &folder, signal);
        assert!((2 * MIB..=3 * MIB).contains(&kept), "{to}: {kept}");
        stage.run(&copy).success();
        let size = stage.layer.1;
        let range = format!("bytes={kept}-{}", size - 1);
        assert_eq!(stage.asked(), (vec![range], size - kept), "{to}");
        assert_eq!(part(&folder), None, "{to}");
        let found = match to.starts_with("dir") {
            true => whole_dir(&folder).unwrap(),
            false => whole_layout(&folder)["v1"].clone(),
        };
        assert_eq!(found, stage.image.digest(), "{to}");
    }
}

#[test]
fn a_sync_goes_on_whichever_image_asks_first() {
    let stage = stage();
    stage.image.push(&stage.source, "lib/image:v0");
    let from = format!("{}/lib/image", stage.source.host());
    let sync = |from: &str| {
        ["sync", "--src", "docker", "--dest", "dir", from, "folder"].map(str::to_owned).to_vec()
    };
    let folder = stage.home.path("work/folder");
    let kept = stage.broken_off(&sync(&format!("{from}:v1")), &folder, Signal::KILL);
    stage.run(&sync(&from)).success();
    assert_eq!(stage.asked().1, stage.layer.1 - kept);
    for image in ["image:v0", "image:v1"] {
        assert_eq!(whole_dir(&folder.join(image)), Some(stage.image.digest()));
    }
    assert_eq!(part(&folder), None);
}

/// Something else under the name of a part: it is found out, and nothing is lost but time.
#[test]
fn a_part_that_is_none_does_no_harm() {
    let stage = stage();
    let folder = stage.home.path("work/folder");
    let copy = stage.copy("dir:folder");
    let kept = stage.broken_off(&copy, &folder, Signal::KILL);
    let path = part(&folder).unwrap().0;
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(kept / 2)).unwrap();
    file.write_all(b"something else").unwrap();
    stage.run(&copy).success();
    let size = stage.layer.1;
    let range = format!("bytes={kept}-{}", size - 1);
    assert_eq!(stage.asked(), (vec![range, String::new()], size - kept + size));
    assert_eq!(whole_dir(&folder), Some(stage.image.digest()));
}

#[test]
fn a_registry_without_ranges_gives_all_of_it() {
    let stage = stage();
    let folder = stage.home.path("work/folder");
    let copy = stage.copy("dir:folder");
    stage.broken_off(&copy, &folder, Signal::KILL);
    stage.source.fault(Fault::ignore_range(stage.on_layer()));
    stage.run(&copy).success();
    assert_eq!(stage.asked().1, stage.layer.1);
    assert_eq!(whole_dir(&folder), Some(stage.image.digest()));
}

#[test]
fn what_came_before_a_failure_is_kept_too() {
    let stage = stage();
    let folder = stage.home.path("work/folder");
    let copy = stage.copy("dir:folder");
    stage.source.fault(Fault::cut(stage.on_layer()).after(3 * MIB).times(1));
    stage.source.fault(Fault::status(stage.on_layer(), 404));
    sentence(&stage.run(&copy));
    let kept = part(&folder).unwrap().1;
    stage.source.mend();
    stage.source.forget_requests();
    stage.run(&copy).success();
    assert_eq!(stage.asked().1, stage.layer.1 - kept);
    assert_eq!(whole_dir(&folder), Some(stage.image.digest()));
}

/// What is packed otherwise on its way is never begun in the middle.
#[test]
fn what_changes_on_its_way_leaves_no_part() {
    let stage = stage();
    let mut copy = stage.copy("dir:folder");
    copy.push("--dest-decompress".to_owned());
    stage.source.fault(Fault::cut(stage.on_layer()).after(3 * MIB).times(1));
    stage.source.fault(Fault::status(stage.on_layer(), 404));
    sentence(&stage.run(&copy));
    assert_eq!(part(&stage.home.path("work/folder")), None);
}
