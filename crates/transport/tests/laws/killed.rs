//! A copy that is killed at any moment leaves what has a name whole, and the next one goes on.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use skopeo_image::Which;

use crate::{Place, Sample};

/// The seeds of the images that are written until the program is killed.
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
    let mut program = Command::new(skopeo_testkit::run::example("transport-writer"));
    program.arg("kill").arg(place.folder.path()).arg(place.name.to_string());
    program.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}
