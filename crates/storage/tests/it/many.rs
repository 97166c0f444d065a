//! Many processes on one store.

use std::process::Command;

use crate::support::{DRIVERS, Place, Sample, installed, only_root, skip};
use crate::worker::{Work, Worker};

/// Processes that write, read and delete: nothing is lost, and a layer is written once.
#[test]
fn processes_share_a_store() {
    only_root!();
    for driver in DRIVERS {
        let place = Place::new(driver);
        let workers: Vec<Worker> = (0..4_u64)
            .map(|number| {
                let seeds = (0..5_u64).map(|step| number * 100 + step);
                let mut work: Vec<Work> = seeds.map(Work::Put).collect();
                work.push(Work::Read);
                work.push(Work::Delete(number * 100));
                Worker::start(&place, &work, &[])
            })
            .collect();
        for worker in workers {
            worker.success();
        }
        let images = place.list("images");
        assert_eq!(images.len(), 16);
        assert!(images.iter().all(|image| image["names"].as_array().unwrap().len() == 1));
        // The base, and one layer for each image.
        assert_eq!(place.list("layers").len(), 17);
        place.check();
    }
}

/// podman beside us: what both write is there afterwards.
#[test]
fn podman_and_we_write_at_once() {
    only_root!();
    let Some(podman) = installed("podman") else { skip!("podman is not installed") };
    const ROUNDS: u64 = 25;
    for driver in DRIVERS {
        let place = Place::new(driver);
        let theirs: Vec<Sample> = (1000..1000 + ROUNDS).map(Sample::seeded).collect();
        for (number, sample) in theirs.iter().enumerate() {
            sample.write_oci(&place.path(&format!("layout-{number}")), "1");
        }
        let ours: Vec<Work> = (0..ROUNDS * 4).map(Work::Put).collect();
        let worker = Worker::start(&place, &ours, &[]);
        for number in 0..theirs.len() {
            let name = format!("oci:{}:1", place.path(&format!("layout-{number}")).display());
            place.ask(&podman, &["pull", "-q", &name]);
        }
        worker.success();
        let listed = place.ask(&podman, &["images", "-q", "--no-trunc"]);
        let all = (0..ROUNDS * 4).map(Sample::seeded).chain(theirs);
        for sample in all {
            assert!(listed.contains(&sample.id()), "{driver:?}: {listed}");
        }
        assert_eq!(place.list("layers").len(), 1 + 5 * 25);
        place.check();
    }
}

/// Root in a user namespace: attributes of overlay are the user's, devices are left out, and the
/// layer is read again as what it was.
#[test]
fn root_of_a_user_namespace_has_a_store() {
    only_root!();
    let Some(unshare) = installed("unshare") else { skip!("unshare is not installed") };
    let words = [unshare.display().to_string(), "--user".to_owned(), "--map-root-user".to_owned()];
    let allowed = Command::new(&unshare).args(["--user", "--map-root-user", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: user namespaces are not allowed here");
        return;
    }
    for driver in DRIVERS {
        let place = Place::new(driver);
        Worker::start(&place, &[Work::Put(1), Work::Put(2), Work::Read], &words).success();
        assert_eq!(place.list("images").len(), 2);
        let base = place.list("layers")[0]["id"].as_str().unwrap().to_owned();
        assert!(!place.files(&base).join("null").exists(), "a device");
        place.check();
        place.check_lists();
        Worker::start(&place, &[Work::Delete(1), Work::Delete(2)], &words).success();
        assert!(place.list("layers").is_empty());
        place.check();
    }
}
