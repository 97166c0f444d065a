//! Programs that end at a bad moment. What has a name is whole, always, and the same command again
//! goes on from the blobs that are whole.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, SystemTime};

use skopeo_image::Digest;
use skopeo_testkit::{Home, Image, Registry};

use crate::moments::{AGAIN, FIRST, Moments, asked_again};
use crate::stage::{finish, home, skopeo, start, whole_dir, whole_layout};

fn image(seed: u64) -> Image {
    Image::builder(seed).layers(5).layer_size(400_000).build()
}

/// All regular files below a folder.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Ok(entries) = fs_err::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path)),
        }
    }
    found
}

/// Moments to kill copies of the image at.
fn moments(seed: u64, home: &Home, source: &Registry) -> Moments {
    let copy = ["copy", "-q", &source.docker("lib/image:v1"), "oci:undisturbed:v1"];
    Moments::new(seed, source, || drop(skopeo(home, &copy).success()))
}

#[test]
fn copies_into_a_layout() {
    let source = Registry::start();
    let (older, image) = (image(2), image(1));
    image.push(&source, "lib/image:v1");
    let home = home(&[&source.host()]);
    let from = source.docker("lib/image:v1");
    let mut moments = moments(20_261_121, &home, &source);
    let mut reused = 0;
    for round in 0..24 {
        let folder = home.path(format!("work/folder-{round}"));
        older.write_oci(&folder, Some("old"));
        older.write_oci(&folder, Some("new"));
        let to = format!("oci:folder-{round}:new");
        let arguments = |agent| [agent, "copy", "-q", &from, &to];
        moments.kill(&source, || start(&home, &arguments(FIRST)));
        let names = whole_layout(&folder);
        assert_eq!(names["old"], older.digest(), "round {round}");
        assert!([older.digest(), image.digest()].contains(&names["new"]), "round {round}");
        // A name that is taken must be that of whole bytes: others trust it without reading.
        let blobs = image.blobs();
        let there = |digest: &Digest| folder.join("blobs/sha256").join(digest.hex());
        let whole = blobs.keys().filter(|digest| there(digest).exists()).count();
        for path in files(&folder.join("blobs")) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let bytes = fs_err::read(&path).unwrap();
            assert_eq!(Digest::sha256(&bytes).hex(), name, "round {round}");
        }
        source.forget_requests();
        skopeo(&home, &arguments(AGAIN)).success();
        assert_eq!(whole_layout(&folder)["new"], image.digest(), "round {round}");
        assert_eq!(asked_again(&source), blobs.len() - whole, "round {round}: {whole} are there");
        reused += whole;
        if round % 6 == 0 {
            no_litter(&home, &folder, &arguments(AGAIN));
        }
    }
    assert!(reused > 0, "no kill came between two blobs");
}

/// Leftovers of the dead go when they are old enough to be nobody's.
fn no_litter(home: &Home, folder: &Path, arguments: &[&str]) {
    let old = SystemTime::now() - Duration::from_secs(3600);
    for path in files(folder) {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    skopeo(home, arguments).success();
    for path in files(folder) {
        let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
        let known = ["index.json", "oci-layout", ".lock"].contains(&name);
        assert!(known || name.starts_with("blobs/sha256/"), "{name} is left");
    }
}

#[test]
fn copies_into_a_folder() {
    let source = Registry::start();
    let image = image(1);
    image.push(&source, "lib/image:v1");
    let home = home(&[&source.host()]);
    let from = source.docker("lib/image:v1");
    let mut moments = moments(7_777, &home, &source);
    let mut unfinished = 0;
    for round in 0..24 {
        let to = format!("dir:folder-{round}");
        let folder = home.path(format!("work/folder-{round}"));
        let arguments = ["copy", "-q", &from, &to];
        moments.kill(&source, || start(&home, &arguments));
        unfinished += usize::from(whole_dir(&folder).is_none() && folder.exists());
        skopeo(&home, &arguments).success();
        assert_eq!(whole_dir(&folder), Some(image.digest()), "round {round}");
        let left = files(&folder).len();
        assert_eq!(left, image.blobs().len() + 2, "round {round}: {:?}", files(&folder));
    }
    assert!(unfinished > 0, "no kill came in the middle");
}

/// A folder that holds an image gets another one, and the copy is killed: no mixture of the two.
#[test]
fn copies_over_a_folder() {
    let source = Registry::start();
    let (older, image) = (image(2), image(1));
    image.push(&source, "lib/image:v1");
    let home = home(&[&source.host()]);
    let from = source.docker("lib/image:v1");
    let mut moments = moments(4_242, &home, &source);
    for round in 0..12 {
        let to = format!("dir:folder-{round}");
        let folder = home.path(format!("work/folder-{round}"));
        older.write_dir(&folder);
        let arguments = ["copy", "-q", &from, &to];
        moments.kill(&source, || start(&home, &arguments));
        let found = whole_dir(&folder);
        let allowed = [None, Some(older.digest()), Some(image.digest())];
        assert!(allowed.contains(&found), "round {round}: {found:?}");
        skopeo(&home, &arguments).success();
        assert_eq!(whole_dir(&folder), Some(image.digest()), "round {round}");
    }
}

#[test]
fn copies_at_the_same_time_lose_nothing() {
    let source = Registry::start();
    let images: Vec<Image> =
        (0..8).map(|seed| Image::platforms(seed / 2, 2 + seed as usize % 2)).collect();
    for (number, image) in images.iter().enumerate() {
        image.push(&source, &format!("lib/image:v{number}"));
    }
    let home = home(&[&source.host()]);
    let mut moments = Moments::seeded(99);
    let copy = |number: usize| {
        let from = source.docker(&format!("lib/image:v{number}"));
        start(&home, &["copy", "-q", "--all", &from, &format!("oci:folder:v{number}")])
    };
    let copies: Vec<Child> = (0..images.len()).map(&copy).collect();
    // Beside them, copies that are killed: they must not take anything with them.
    for number in 0..4 {
        moments.kill_within(copy(number), Duration::from_millis(80));
    }
    for child in copies {
        finish(child, "a copy beside others").success();
    }
    let names = whole_layout(&home.path("work/folder"));
    for (number, image) in images.iter().enumerate() {
        assert_eq!(names[&format!("v{number}")], image.digest());
    }
    assert_eq!(names.len(), images.len());
}

fn end(mut server: Child) {
    server.kill().unwrap();
    server.wait_with_output().unwrap();
}

/// Starts `serve` and waits until it listens: the child, and `127.0.0.1:port`.
fn serve(home: &Home, folder: &str) -> (Child, String) {
    let mut child = start(home, &["serve", "--listen", "127.0.0.1:0", folder]);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let host = line.trim_end().rsplit_once("//").unwrap_or_default().1.to_owned();
    assert!(host.starts_with("127.0.0.1:"), "{line}");
    (child, host)
}

#[test]
fn serve_during_a_push() {
    let home = Home::new();
    let (older, image) = (image(2), image(1));
    image.write_oci(&home.path("work/source"), Some("v1"));
    let mut moments = Moments::seeded(31_337);
    let push = |host: &str| {
        let to = format!("docker://{host}/lib/image:v1");
        start(&home, &["copy", "-q", "--dest-tls-verify=false", "oci:source:v1", &to])
    };
    for round in 0..10 {
        let root = format!("registry-{round}");
        let folder = home.path("work").join(&root).join("lib/image");
        older.write_oci(&folder, Some("v1"));
        let (server, host) = serve(&home, &root);
        let begun = push(&host);
        moments.kill_within(server, Duration::from_millis(150));
        // It ends soon, well or not: nobody listens there any more.
        finish(begun, "a push to a server that was killed");
        let found = whole_layout(&folder)["v1"].clone();
        assert!([older.digest(), image.digest()].contains(&found), "round {round}");
        let (server, host) = serve(&home, &root);
        finish(push(&host), "a push").success();
        end(server);
        assert_eq!(whole_layout(&folder)["v1"], image.digest(), "round {round}");
    }
}
