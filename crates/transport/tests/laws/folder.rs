//! What a folder with many `dir:` images promises.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fs_err as fs;
use skopeo_image::{Digest, Which};
use skopeo_testkit::skip;
use skopeo_transport::{
    Collection, CollectionKind, Destination, Error, How, Options, Overwrite, Role, Wish,
    collection, held,
};

use crate::sample::{blob, descriptor};
use crate::{Place, Sample};

/// A folder for many images, and where it is.
struct Folder {
    place: Place,
    root: PathBuf,
    all: Box<dyn Collection>,
}

impl Folder {
    async fn new() -> Self {
        let place = Place::dir().await;
        let root = place.folder.path().join("images");
        let all = open(&root, &place.options).await;
        Self { place, root, all }
    }

    /// The same folder as the next run has it.
    async fn again(&mut self, overwrite: Overwrite) {
        let mut options = self.place.options.clone();
        options.dir.overwrite = overwrite;
        self.all = open(&self.root, &options).await;
    }

    async fn create(&self, label: &str) -> Result<Box<dyn Destination>, Error> {
        self.all.create(&self.all.name(label).unwrap()).await
    }

    /// Writes an image as a copy does, and says how each of its blobs came.
    async fn write(&self, label: &str, sample: &Sample) -> Vec<How> {
        let to = self.create(label).await.unwrap();
        let how = bring(&*to, sample).await;
        to.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
        to.commit(&sample.manifest).await.unwrap();
        how
    }

    async fn present(&self, label: &str) -> Option<Digest> {
        self.create(label).await.unwrap().present().await.unwrap()
    }

    fn file(&self, label: &str, name: &str) -> PathBuf {
        self.root.join(label).join(name)
    }

    fn layer(&self, label: &str, sample: &Sample) -> PathBuf {
        self.file(label, Digest::sha256(&sample.layers[0]).hex())
    }
}

async fn open(root: &Path, options: &Options) -> Box<dyn Collection> {
    collection(CollectionKind::Dir, root.to_str().unwrap(), options).await.unwrap()
}

async fn bring(to: &dyn Destination, sample: &Sample) -> Vec<How> {
    let mut how = Vec::new();
    for (bytes, role) in sample.blobs() {
        let wanted = descriptor(&bytes);
        let from = to.name().clone();
        let wish = Wish { blob: &wanted, role, from: Some(&from) };
        let stored = match to.reuse(&wish).await.unwrap() {
            Some(stored) => stored,
            None => to.put_blob(blob(&bytes), role).await.unwrap(),
        };
        assert_eq!((stored.digest, stored.size), (wanted.digest, bytes.len() as u64));
        how.push(stored.how);
    }
    how
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn nothing_is_made_for_nothing() {
    let images = Folder::new().await;
    let to = images.create("host/name:1").await.unwrap();
    assert_eq!(to.present().await.unwrap(), None);
    assert!(!images.root.exists());
    // And what was begun in vain goes, with the folders above it.
    to.begin().await.unwrap();
    assert!(images.file("host/name:1", "version").exists());
    let other = images.create("host/other:1").await.unwrap();
    other.put_blob(blob(&Bytes::from_static(b"kept")), Role::Config).await.unwrap();
    drop((to, other));
    assert_eq!(names(&images.root.join("host")), ["other:1"]);
    images.all.finish().await.unwrap();
}

#[tokio::test]
async fn blobs_of_other_images_are_links() {
    let mut images = Folder::new().await;
    let sample = Sample::new(1);
    let moved = vec![How::Moved; sample.blobs().len()];
    let linked = vec![How::Linked; sample.blobs().len()];
    assert_eq!(images.write("a:1", &sample).await, moved);
    assert_eq!(images.write("b:1", &sample).await, linked);
    let inodes = ["a:1", "b:1"].map(|it| inode(&images.layer(it, &sample)));
    assert_eq!(inodes[0], inodes[1]);
    // The next run finds them, too, and what is no blob is of each alone.
    images.again(Overwrite::Changed).await;
    assert_eq!(images.write("deep/c:1", &sample).await, linked);
    assert_eq!(inode(&images.layer("deep/c:1", &sample)), inodes[0]);
    assert_eq!(names(&images.root.join("a:1")), names(&images.root.join("deep/c:1")));
    for file in ["version", "manifest.json"] {
        assert_eq!(fs::metadata(images.file("a:1", file)).unwrap().nlink(), 1);
    }
    let place = images.root.to_str().unwrap();
    let held = held(CollectionKind::Dir, place, &images.place.options).await.unwrap();
    let labels: Vec<_> = held.into_iter().map(|it| it.label).collect();
    assert_eq!(labels, ["a:1", "b:1", "deep/c:1"]);
}

#[tokio::test]
async fn a_change_in_one_image_changes_no_other() {
    let mut images = Folder::new().await;
    let (sample, other) = (Sample::new(1), Sample::new(2));
    images.write("a:1", &sample).await;
    images.write("b:1", &sample).await;
    images.again(Overwrite::Changed).await;
    images.write("a:1", &other).await;
    for overwrite in [Overwrite::Changed, Overwrite::Always] {
        images.again(overwrite).await;
        let name = images.all.name("b:1").unwrap();
        let source = skopeo_transport::open(&name, &images.place.options).await.unwrap();
        sample.assert_in(&*source, &Which::Top).await;
        // Written again, byte by byte, beside what others have.
        images.write("a:1", &sample).await;
    }
    let [a, b] = ["a:1", "b:1"].map(|it| inode(&images.layer(it, &sample)));
    assert_ne!(a, b, "`always` trusts nothing that was there");
}

#[tokio::test]
async fn damage_does_not_spread() {
    let mut images = Folder::new().await;
    let sample = Sample::new(1);
    images.write("a:1", &sample).await;
    images.write("b:1", &sample).await;
    let damaged = images.layer("a:1", &sample);
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[0] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    images.again(Overwrite::Changed).await;
    let how = images.write("c:1", &sample).await;
    assert_eq!(how.iter().filter(|how| **how == How::Moved).count(), 1, "{how:?}");
    assert_eq!(fs::read(images.layer("c:1", &sample)).unwrap(), *sample.layers[0]);
    // It is right from now on.
    assert!(images.write("d:1", &sample).await.iter().all(|how| *how == How::Linked));
}

#[tokio::test]
async fn links_to_elsewhere_are_no_blobs() {
    let images = Folder::new().await;
    let sample = Sample::new(1);
    let secret = images.place.folder.path().join("secret");
    fs::write(&secret, &sample.layers[0]).unwrap();
    fs::create_dir_all(images.root.join("a:1")).unwrap();
    fs::os::unix::fs::symlink(&secret, images.layer("a:1", &sample)).unwrap();
    assert!(images.write("b:1", &sample).await.iter().all(|how| *how == How::Moved));
}

/// On another device there are no links to what is here: the bytes are copied, and not fetched.
#[tokio::test]
async fn where_no_links_are_possible_blobs_are_copied() {
    let images = Folder::new().await;
    let sample = Sample::new(1);
    images.write("a:1", &sample).await;
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    if fs::metadata(elsewhere.path()).unwrap().dev() == fs::metadata(&images.root).unwrap().dev() {
        skip!("/dev/shm is no other device: nothing to copy to");
    }
    fs::os::unix::fs::symlink(elsewhere.path(), images.root.join("b:1")).unwrap();
    assert!(images.write("b:1", &sample).await.iter().all(|how| *how == How::Linked));
    let [a, b] = ["a:1", "b:1"].map(|label| fs::metadata(images.layer(label, &sample)).unwrap());
    assert_ne!(a.dev(), b.dev());
    assert_eq!(fs::read(images.layer("b:1", &sample)).unwrap(), *sample.layers[0]);
    assert_eq!(
        (names(elsewhere.path()), b.mode() & 0o777),
        (names(&images.root.join("a:1")), 0o644)
    );
}

#[tokio::test]
async fn only_what_is_whole_and_clean_is_present() {
    let mut images = Folder::new().await;
    let sample = Sample::new(1);
    images.write("a:1", &sample).await;
    images.again(Overwrite::Changed).await;
    assert_eq!(images.present("a:1").await, Some(sample.digest()));
    assert_eq!(images.present("b:1").await, None);

    let layer = images.layer("a:1", &sample);
    let blob = |letter: &str| images.file("a:1", &letter.repeat(64));
    let spoil: &[(&str, &dyn Fn())] = &[
        ("a blob is missing", &|| fs::remove_file(&layer).unwrap()),
        ("a blob is too short", &|| fs::write(&layer, "x").unwrap()),
        ("the manifest is missing", &|| {
            fs::remove_file(images.file("a:1", "manifest.json")).unwrap();
        }),
        ("a signature", &|| fs::write(images.file("a:1", "signature-1"), "x").unwrap()),
        ("a blob of another image", &|| fs::write(blob("a"), "x").unwrap()),
        ("half a blob", &|| fs::write(images.file("a:1", "dir-put-blob123"), "x").unwrap()),
    ];
    for (what, spoil) in spoil {
        spoil();
        assert_eq!(images.present("a:1").await, None, "{what}");
        images.write("a:1", &sample).await;
        assert_eq!(images.present("a:1").await, Some(sample.digest()), "after {what}");
    }
    // What no copy makes is the user's.
    fs::write(images.file("a:1", "README"), "mine").unwrap();
    assert_eq!(images.present("a:1").await, Some(sample.digest()));
}

#[tokio::test]
async fn a_list_is_present_with_all_its_instances() {
    let mut images = Folder::new().await;
    let image = skopeo_testkit::Image::platforms(1, 3);
    image.write_dir(&images.root.join("a:1"));
    images.again(Overwrite::Changed).await;
    assert_eq!(images.present("a:1").await, Some(image.digest()));
    let instance = names(&images.root.join("a:1"));
    let instance = instance.iter().find(|name| name.ends_with(".manifest.json")).unwrap();
    fs::remove_file(images.file("a:1", instance)).unwrap();
    assert_eq!(images.present("a:1").await, None);
}

#[tokio::test]
async fn overwrites_as_it_is_told() {
    let mut images = Folder::new().await;
    let sample = Sample::new(1);
    images.write("a:1", &sample).await;
    images.again(Overwrite::Never).await;
    let refused = images.create("a:1").await.err().unwrap().to_string();
    let folder = images.root.join("a:1");
    assert_eq!(refused, format!("Refusing to overwrite destination directory {folder:?}"));
    images.create("b:1").await.unwrap();
    images.again(Overwrite::Always).await;
    assert_eq!(images.present("a:1").await, None);
    assert!(images.write("a:1", &sample).await.iter().all(|how| *how == How::Moved));
    // What this run has written may be linked.
    assert!(images.write("b:1", &sample).await.iter().all(|how| *how == How::Linked));
}

#[tokio::test]
async fn refuses_folders_of_others_and_keeps_images_below() {
    let images = Folder::new().await;
    let sample = Sample::new(1);
    images.write("a", &sample).await;
    images.write("a/b", &sample).await;
    images.write("a", &Sample::new(2)).await;
    assert!(images.file("a/b", "manifest.json").exists());
    fs::create_dir(images.root.join("mine")).unwrap();
    fs::write(images.file("mine", "thesis"), "important").unwrap();
    let refused = images.create("mine").await.err().unwrap().to_string();
    assert!(refused.starts_with("not a containers image directory"), "{refused}");
}

#[tokio::test]
async fn the_second_waits_for_the_first() {
    let images = Folder::new().await;
    let sample = Sample::new(1);
    let first = images.create("a:1").await.unwrap();
    bring(&*first, &sample).await;
    let second = images.create("a:1").await.unwrap();
    let waiting = async {
        second.begin().await.unwrap();
        assert_eq!(second.present().await.unwrap(), Some(sample.digest()));
    };
    let ending = async {
        tokio::task::yield_now().await;
        first.put_manifest(&sample.manifest, &Which::Top).await.unwrap();
        first.commit(&sample.manifest).await.unwrap();
    };
    tokio::join!(waiting, ending);
    // Nor does it stumble over one that comes to nothing.
    let (first, second) =
        (images.create("b:1").await.unwrap(), images.create("b:1").await.unwrap());
    first.begin().await.unwrap();
    let waiting = async {
        second.begin().await.unwrap();
        bring(&*second, &sample).await;
    };
    tokio::join!(waiting, async {
        tokio::task::yield_now().await;
        drop(first);
    });
    assert!(images.layer("b:1", &sample).exists());
}
