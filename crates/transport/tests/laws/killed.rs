//! A copy that is killed at any moment leaves what has a name whole, and the next one goes on.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use skopeo_image::Which;
use skopeo_transport::{ImageName, create};

use crate::place::options;
use crate::{Place, Sample};

const SEEDS: u32 = 3;

#[tokio::test]
async fn dir() {
    check(&Place::dir().await).await;
}

#[tokio::test]
async fn archive() {
    let place = Place::archive().await;
    check(&place).await;
    // What the killed left is swept away when nobody can be at it any more; the name has the image.
    let leftovers = place.files().into_iter().filter(|file| file != "image.tar");
    assert!(leftovers.clone().all(|file| file.starts_with(".skopeo-")), "{leftovers:?}");
}

#[tokio::test]
async fn layout() {
    check(&Place::layout().await).await;
}

async fn check(place: &Place) {
    for round in 0_u64..12 {
        let mut child = start(place);
        // Long enough to start, and then somewhere else in the work each time.
        std::thread::sleep(Duration::from_millis(40 + 17 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        if place.has_image().await {
            let source = place.open().await.unwrap();
            let found = source.manifest(&Which::Top).await.unwrap();
            let sample = (0..=SEEDS).map(Sample::new).find(|sample| sample.manifest == found);
            sample.unwrap().assert_in(&*source, &Which::Top).await;
        }
        let next = Sample::new(SEEDS);
        next.put(place.create().await).await.unwrap();
        next.assert_in(&*place.open().await.unwrap(), &Which::Top).await;
    }
}

fn start(place: &Place) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::one_to_be_killed", "--ignored"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let root = place.folder.path().display();
    write!(child.stdin.take().unwrap(), "{root} {}", place.name).unwrap();
    child
}

/// Not a test: what the others run as a process of its own, and kill.
#[tokio::test]
#[ignore = "run by another test"]
async fn one_to_be_killed() {
    let input = std::io::read_to_string(std::io::stdin()).unwrap();
    let Some((root, name)) = input.split_once(' ') else { return };
    let (name, options) = (ImageName::parse(name).unwrap(), options(Path::new(root)));
    for seed in (0..SEEDS).cycle() {
        Sample::new(seed).put(create(&name, &options).await.unwrap()).await.unwrap();
    }
}
