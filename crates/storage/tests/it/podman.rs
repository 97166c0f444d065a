//! podman and buildah as judges: they read what we wrote, and we read what they wrote.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use skopeo_image::Digest;

use crate::support::{
    DRIVERS, Place, Sample, Tar, base, changes, installed, only_root, skip, tree,
};

/// The layers below the one that changes them, and a shell.
fn sample() -> Sample {
    let shell = Tar::new().folder("bin/").program("/bin/sh").end();
    Sample::of(vec![base(), changes(), shell])
}

/// What the second layer makes of the first.
fn check_tree(root: &Path) {
    let read = |name: &str| fs_err::read_to_string(root.join(name)).ok();
    assert_eq!(read("etc/a").as_deref(), Some("a of the second"));
    assert_eq!(read("etc/b"), None);
    assert!(!root.join("gone").exists());
    assert_eq!(read("opaque/below"), None);
    assert_eq!(read("opaque/new").as_deref(), Some("new"));
    assert_eq!(read("deep/file").as_deref(), Some("deep"));
    let trees = tree(root);
    let names: Vec<&str> = trees.iter().map(|(name, _)| name.as_str()).collect();
    assert!(!names.iter().any(|name| name.contains(".wh.")), "{names:?}");
}

#[test]
fn podman_reads_what_we_wrote() {
    only_root!();
    let Some(podman) = installed("podman") else { skip!("podman is not installed") };
    for driver in DRIVERS {
        let place = Place::new(driver);
        let store = place.store();
        let sample = sample();
        let image = sample.put(&store, &["docker.io/library/x:1"]).unwrap();
        let listed = place.ask(
            &podman,
            &["images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"],
        );
        assert_eq!(listed, format!("sha256:{} docker.io/library/x:1", sample.id()));
        let inspected = place.ask(&podman, &["image", "inspect", "docker.io/library/x:1"]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected[0]["Id"], sample.id());
        assert_eq!(inspected[0]["Digest"], sample.digest().as_str());
        assert_eq!(inspected[0]["RootFS"]["Layers"].as_array().unwrap().len(), 3);

        let mounted = place.ask(&podman, &["image", "mount", "docker.io/library/x:1"]);
        check_tree(Path::new(&mounted));
        // While it is mounted, it can be deleted, as the original does.
        if driver == skopeo_storage::Driver::Vfs {
            place.ask(&podman, &["image", "umount", "-a"]);
        }

        // podman makes the tars again, and compares them with the config.
        let out = place.path("saved");
        place.ask(
            &podman,
            &["push", "-q", "docker.io/library/x:1", &format!("dir:{}", out.display())],
        );
        place.ask(&podman, &["tag", "docker.io/library/x:1", "h.io/y:1"]);
        let image_again = store.image("h.io/y:1").unwrap();
        assert_eq!(image_again.names.len(), image.names.len() + 1);

        assert_eq!(store.delete_image(&sample.id()).unwrap().len(), 3);
        assert_eq!(place.ask(&podman, &["images", "-q"]), "");
        place.check();
    }
}

#[test]
fn podman_deletes_what_we_wrote_and_the_reverse() {
    only_root!();
    let Some(podman) = installed("podman") else { skip!("podman is not installed") };
    for driver in DRIVERS {
        let place = Place::new(driver);
        let store = place.store();
        let (ours, theirs) = (Sample::seeded(1), Sample::seeded(2));
        ours.put(&store, &["h.io/ours:1"]).unwrap();
        theirs.write_oci(&place.path("layout"), "1");
        place.ask(&podman, &["pull", "-q", &format!("oci:{}:1", place.path("layout").display())]);
        // The base is shared.
        assert_eq!(place.list("layers").len(), 3);
        place.ask(&podman, &["rmi", "h.io/ours:1"]);
        assert_eq!(store.images().unwrap().len(), 1);
        place.check();
        assert_eq!(store.delete_image(&theirs.id()).unwrap().len(), 2);
        assert_eq!(place.ask(&podman, &["images", "-q"]), "");
        place.check();
        ours.put(&store, &["h.io/ours:1"]).unwrap();
        place.ask(&podman, &["image", "inspect", "h.io/ours:1"]);
    }
}

#[test]
fn we_read_what_podman_wrote() {
    only_root!();
    let Some(podman) = installed("podman") else { skip!("podman is not installed") };
    for driver in DRIVERS {
        let place = Place::new(driver);
        let sample = sample();
        sample.write_oci(&place.path("layout"), "1");
        place.ask(&podman, &["pull", "-q", &format!("oci:{}:1", place.path("layout").display())]);
        let store = place.store();
        let image = store.image(&sample.id()).unwrap();
        assert_eq!(image.digest, Some(sample.digest()));
        assert_eq!(store.image_data(&image.id, "manifest").unwrap(), sample.manifest);
        let config = format!("sha256:{}", sample.id());
        assert_eq!(store.image_data(&image.id, &config).unwrap(), sample.config);
        let (mut next, mut layers) = (image.layer.clone(), sample.layers.iter().rev());
        while let Some(id) = next {
            let expected = layers.next().unwrap();
            let mut tar = Vec::new();
            store.layer_tar(&id, &mut tar).unwrap();
            assert!(tar == *expected);
            next = store.layer(&id).unwrap().unwrap().parent;
        }
        assert!(layers.next().is_none());

        // A container keeps it.
        let container = place.ask(&podman, &["create", &sample.id(), "/bin/sh"]);
        let error = store.delete_image(&sample.id()).unwrap_err().to_string();
        let expected = format!("image used by {container}: image is in use by a container");
        assert_eq!(error, expected);
        place.ask(&podman, &["rm", "-f", &container]);
        store.delete_image(&sample.id()).unwrap();
        place.check();
    }
}

/// A program runs in what we wrote.
#[test]
fn buildah_runs_what_we_wrote() {
    only_root!();
    let Some(buildah) = installed("buildah") else { skip!("buildah is not installed") };
    for driver in DRIVERS {
        let place = Place::new(driver);
        let sample = sample();
        sample.put(&place.store(), &["h.io/x:1"]).unwrap();
        let container = place.ask(&buildah, &["from", "--pull-never", "h.io/x:1"]);
        let words = ["run", "--isolation", "chroot", &container, "--", "/bin/sh", "-c"];
        let said = place.ask(&buildah, &[&words[..], &["read a < /etc/a; echo $a"]].concat());
        assert_eq!(said, "a of the second");
        // What it makes of it is read again, layer by layer.
        let write = "echo more > /etc/more";
        place.ask(&buildah, &[&words[..], &[write]].concat());
        place.ask(&buildah, &["commit", "-q", &container, "h.io/y:1"]);
        place.ask(&buildah, &["rm", &container]);
        place.check();
        assert_eq!(place.list("layers").len(), 4);
        let store = place.store();
        assert_eq!(store.image("h.io/y:1").unwrap().names, ["h.io/y:1"]);
        assert_eq!(store.delete_image(&sample.id()).unwrap(), Vec::<String>::new());
        place.check();
    }
}

/// A podman that runs for long sees at once what we write and what we delete, by the tokens in the
/// locks; and we see what it does.
#[test]
fn a_podman_that_runs_sees_what_we_do() {
    only_root!();
    let Some(podman) = installed("podman") else { skip!("podman is not installed") };
    for driver in DRIVERS {
        let place = Place::new(driver);
        let address = format!("unix://{}", place.path("socket").display());
        let words = ["system", "service", "--time", "0", &address];
        let service = place.command(&podman).args(words).stderr(Stdio::null()).spawn().unwrap();
        let mut service = Ended(service);
        let ask = |words: &[&str]| {
            let mut command = Command::new(&podman);
            command.args(["--remote", "--url", &address]).args(words).output().unwrap()
        };
        while !ask(&["images", "-q"]).status.success() {
            assert!(service.0.try_wait().unwrap().is_none(), "it ended");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let listed = || {
            let output = ask(&["images", "-q", "--no-trunc"]);
            String::from_utf8(output.stdout).unwrap().replace("sha256:", "")
        };
        assert_eq!(listed(), "");
        let (store, first, second) = (place.store(), Sample::seeded(1), Sample::seeded(2));
        first.put(&store, &["h.io/x:1"]).unwrap();
        assert_eq!(listed().trim(), first.id());
        second.put(&store, &["h.io/x:1"]).unwrap();
        let named = ask(&["image", "inspect", "--format", "{{.Id}}", "h.io/x:1"]);
        assert_eq!(String::from_utf8(named.stdout).unwrap().trim(), second.id());
        store.delete_image(&first.id()).unwrap();
        assert_eq!(listed().trim(), second.id());
        // The other way round, with the store that we had open all the time.
        assert!(ask(&["tag", "h.io/x:1", "h.io/y:1"]).status.success());
        assert_eq!(store.image("h.io/y:1").unwrap().id, second.id());
        assert!(ask(&["rmi", "-f", &second.id()]).status.success());
        assert!(store.images().unwrap().is_empty());
        assert!(store.layers_by_diff_digest(&Digest::sha256(&base())).unwrap().is_empty());
        drop(service);
        place.check();
    }
}

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Layers of ours that lie on those of a store that is read only.
#[test]
fn podman_reads_what_lies_on_an_additional_store() {
    only_root!();
    let Some(podman) = installed("podman") else { skip!("podman is not installed") };
    for driver in DRIVERS {
        let (other, place) = (Place::new(driver), Place::new(driver));
        Sample::of(vec![base()]).put(&other.store(), &["h.io/base:1"]).unwrap();
        let mut options = place.options();
        options.additional_stores = vec![other.root()];
        let store = skopeo_storage::Store::open(options).unwrap();
        Sample::of(vec![base(), changes()]).put(&store, &["h.io/x:1"]).unwrap();
        assert_eq!(place.list("layers").len(), 1);
        let option = format!("{}.imagestore={}", driver.as_str(), other.root().display());
        let words = ["--storage-opt", &option];
        let mounted = place.ask(&podman, &[&words[..], &["image", "mount", "h.io/x:1"]].concat());
        check_tree(Path::new(&mounted));
        place.ask(&podman, &[&words[..], &["image", "umount", "-a"]].concat());
        let listed = place.ask(&podman, &[&words[..], &["images", "-q"]].concat());
        assert_eq!(listed.lines().count(), 2, "{listed}");
    }
}

/// What both write of one image is the same but for dates.
#[test]
fn we_write_what_podman_writes() {
    only_root!();
    let Some(podman) = installed("podman") else { skip!("podman is not installed") };
    for driver in DRIVERS {
        let (ours, theirs) = (Place::new(driver), Place::new(driver));
        let sample = Sample::of(vec![base(), changes()]);
        sample.put(&ours.store(), &[]).unwrap();
        sample.write_oci(&theirs.path("layout"), "1");
        let name = format!("oci:{}:1", theirs.path("layout").display());
        theirs.ask(&podman, &["pull", "-q", &name]);
        let mut lists = [ours.list("layers"), theirs.list("layers")];
        for layer in lists.iter_mut().flatten() {
            layer["created"] = Value::Null;
        }
        assert_eq!(lists[0], lists[1]);
        let keys = |place: &Place| {
            let path = place.root().join(format!("{}-layers/layers.json", driver.as_str()));
            let text = fs_err::read_to_string(path).unwrap();
            let names = text.split("\":").filter_map(|it| it.rsplit('"').next().map(str::to_owned));
            names.collect::<Vec<_>>()
        };
        assert_eq!(keys(&ours), keys(&theirs), "the order of members");
        for layer in &lists[0] {
            let id = layer["id"].as_str().unwrap();
            let same = tree(&ours.files(id)) == tree(&theirs.files(id));
            assert!(same, "{:#?}\n{:#?}", tree(&ours.files(id)), tree(&theirs.files(id)));
        }
    }
}
