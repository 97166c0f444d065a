//! Programs that are ended in the middle of their work, and disks that are full: no half layer is
//! seen, and the next who looks removes the rest.

use skopeo_image::Classify as _;
use std::process::{Command, Stdio};

use skopeo_storage::{Driver, Store};

use crate::support::{DRIVERS, Place, Sample, installed, only_root, skip};
use crate::worker::{Work, Worker};

/// Calls that change what is on disk, by which is counted when a process ends, and of how many of
/// each it is ended at one.
const CALLS: [(&str, usize); 7] = [
    ("rename", 2),
    ("unlinkat", 9),
    ("unlink", 4),
    ("pwrite64", 5),
    ("write", 15),
    ("symlink", 1),
    ("mkdir", 15),
];

/// Whether a process was ended at its n-th call of a kind.
fn killed_at(place: &Place, work: &[Work], call: &str, count: usize) -> bool {
    let words = ["/usr/bin/strace", "-f", "-qq", "-o", "/dev/null", "-e"];
    let trace = [format!("trace={call}"), "-e".to_owned()];
    let inject = format!("inject={call}:signal=KILL:when={count}");
    let words: Vec<String> =
        words.into_iter().map(str::to_owned).chain(trace).chain([inject]).collect();
    let (status, _) = Worker::start(place, work, &words).wait();
    !status.success()
}

/// Ends a process at its n-th call, for calls all over its work.
#[test]
fn whoever_is_ended_leaves_nothing_half() {
    only_root!();
    if installed("strace").is_none() {
        skip!("strace is not installed");
    }
    for driver in DRIVERS {
        let work = [Work::Put(1), Work::Put(2), Work::Delete(1)];
        let (mut ended, mut seen) = (0, 0);
        // What is different with vfs is less than what is the same.
        let (sparse, enough) = if driver == Driver::Vfs { (2, 15) } else { (1, 30) };
        for (call, step) in CALLS {
            for count in (1..).step_by(step * sparse) {
                let place = Place::new(driver);
                let was_ended = killed_at(&place, &work, call, count);
                place.check();
                // An image that is seen is whole, its name too.
                let store = place.store();
                for image in store.images().unwrap() {
                    assert_eq!((image.names.len(), image.data.len()), (1, 3), "{call} {count}");
                    seen += 1;
                }
                if !was_ended {
                    break;
                }
                ended += 1;
                // The next one does something else, and then what the first did not.
                for seed in [3, 1, 2] {
                    Sample::seeded(seed).put(&store, &[&format!("h.io/x:{seed}")]).unwrap();
                    place.check();
                    place.check_lists();
                }
                assert_eq!(store.images().unwrap().len(), 3, "{call} {count}");
            }
        }
        println!("{driver:?}: ended {ended} times, {seen} images seen");
        assert!(ended >= enough && seen > 0, "{ended} {seen}");
    }
}

/// An incomplete layer that cannot be removed is seen by nobody, is no hindrance, and is replaced
/// by the same layer.
#[test]
fn an_incomplete_layer_that_stays_is_no_hindrance() {
    only_root!();
    let place = Place::new(Driver::Overlay);
    let sample = Sample::seeded(1);
    let image = sample.put(&place.store(), &["h.io/x:1"]).unwrap();
    let id = image.layer.unwrap();
    let path = place.root().join("overlay-layers/layers.json");
    let mut list = place.list("layers");
    list[1]["flags"] = serde_json::json!({"incomplete": true});
    list[1]["diff-size"] = 7.into();
    fs_err::write(&path, serde_json::to_vec(&list).unwrap()).unwrap();
    // Where what is removed would lie there is a file.
    let tempdirs = place.root().join("overlay/tempdirs");
    fs_err::remove_dir(&tempdirs).unwrap();
    fs_err::write(&tempdirs, "").unwrap();
    let store = place.store();
    assert!(store.layer(&id).unwrap().is_none());
    assert!(store.layer(&id).unwrap().is_none());
    assert_eq!(place.list("layers").len(), 2);
    fs_err::remove_file(&tempdirs).unwrap();
    sample.put(&store, &["h.io/x:1"]).unwrap();
    assert_eq!(store.layer(&id).unwrap().unwrap().diff_size, Some(sample.layers[1].len() as u64));
    place.check();
    place.check_lists();
}

/// podman cleans up what we left, too.
#[test]
fn podman_is_content_with_what_we_left() {
    only_root!();
    let Some(podman) = installed("podman") else { skip!("podman is not installed") };
    if installed("strace").is_none() {
        skip!("strace is not installed");
    }
    let mut ended = 0;
    for count in [3, 6, 9, 12, 15, 18] {
        let place = Place::new(Driver::Overlay);
        ended += usize::from(killed_at(&place, &[Work::Put(1), Work::Put(2)], "rename", count));
        let store = place.store();
        let ids = place.ask(&podman, &["images", "-q", "--no-trunc"]);
        assert_eq!(ids.lines().count(), store.images().unwrap().len());
        Sample::seeded(1).put(&store, &["h.io/x:1"]).unwrap();
        place.ask(&podman, &["image", "mount", "h.io/x:1"]);
        place.ask(&podman, &["image", "umount", "-a"]);
        place.ask(&podman, &["rmi", "-f", "h.io/x:1"]);
        place.check();
    }
    assert!(ended >= 5, "{ended}");
}

/// We clean up what podman left that was ended while it pulled.
#[test]
fn we_are_content_with_what_podman_left() {
    only_root!();
    let Some(podman) = installed("podman") else { skip!("podman is not installed") };
    let Some(strace) = installed("strace") else { skip!("strace is not installed") };
    for driver in DRIVERS {
        let (mut ended, mut cleaned) = (0, 0);
        for count in 1..=8 {
            let place = Place::new(driver);
            let sample = Sample::seeded(1);
            sample.write_oci(&place.path("layout"), "1");
            let mut command = Command::new(&strace);
            command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat", "-e"]);
            command.arg(format!("inject=renameat:signal=KILL:when={count}"));
            let podman = place.command(&podman);
            command.arg(podman.get_program()).args(podman.get_args());
            let name = format!("oci:{}:1", place.path("layout").display());
            command.args(["pull", "-q", &name]).env("HOME", place.path(""));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            ended += usize::from(!command.status().unwrap().success());
            let list = place.root().join(format!("{}-layers/layers.json", driver.as_str()));
            let list = fs_err::read_to_string(list).unwrap_or_default();
            cleaned += usize::from(list.contains("incomplete"));
            place.check();
            sample.put(&place.store(), &["h.io/x:1"]).unwrap();
            place.check();
            place.check_lists();
        }
        println!("{driver:?}: ended {ended} times, {cleaned} times in the middle of a layer");
        assert!(ended >= 4 && cleaned > 0, "{ended} {cleaned}");
    }
}

/// No room: an error, and the store is as it was.
#[test]
fn a_full_disk_is_an_error_and_nothing_more() {
    only_root!();
    for driver in DRIVERS {
        let place = Place::new(driver);
        fs_err::create_dir(place.root()).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(place.root())
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: no file system can be mounted");
            return;
        }
        let filled = std::panic::catch_unwind(|| fill(&place, &place.store()));
        let _ = Command::new("umount").arg("-l").arg(place.root()).status();
        filled.unwrap();
    }
}

fn fill(place: &Place, store: &Store) {
    let small = |name: &str| crate::support::Tar::new().file(name, b"small").end();
    let sample = Sample::of(vec![small("a")]);
    sample.put(store, &["h.io/x:1"]).unwrap();
    let large: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let large = crate::support::Tar::new().file("large", &large).end();
    let failed = Sample::of(vec![small("a"), large]).put(store, &["h.io/x:2"]).unwrap_err();
    assert_eq!(failed.class(), Some(skopeo_image::ErrorClass::DiskFull), "{failed:?}");
    place.check();
    assert_eq!(store.images().unwrap().len(), 1);

    // So full that not even a list can be written.
    let stuffing = place.root().join("stuffing");
    let _ = fs_err::write(&stuffing, vec![1; 2 << 20]);
    let failed = Sample::of(vec![small("b")]).put(store, &["h.io/x:3"]).unwrap_err();
    assert_eq!(failed.class(), Some(skopeo_image::ErrorClass::DiskFull), "{failed:?}");
    assert_eq!(store.image("h.io/x:1").unwrap().id, sample.id());
    fs_err::remove_file(&stuffing).unwrap();
    place.check();
    Sample::of(vec![small("b")]).put(store, &["h.io/x:3"]).unwrap();
    place.check();
    assert_eq!(store.images().unwrap().len(), 2);
}
