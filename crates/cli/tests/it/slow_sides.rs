//! A side that is slow does not end the other: a source that stalls, a destination that closes
//! connections over which nothing comes.

use std::time::Duration;

use skopeo_testkit::{Fault, Home, Image, On, Registry, SlowNetwork};

use crate::stage::{sentence, skopeo};
use crate::sync_names::images_in;

/// Longer than what lies in the buffers of both sides.
const LAYER: usize = 12 << 20;

/// An image with one large layer; the digest of that.
fn large(registry: &Registry) -> String {
    let image = Image::builder(1).layers(1).layer_size(LAYER).build();
    image.push(registry, "a/b:1");
    let blobs = image.blobs();
    let (digest, _) = blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    digest.to_string()
}

/// The source stalls in the middle of a layer until its own time is up; meanwhile the destination's
/// connection is closed. The layer is sent again, and all is there.
#[test]
fn a_stalling_source_does_not_lose_the_destination() {
    let (from, to) = (Registry::start(), Registry::start());
    let digest = large(&from);
    from.fault(Fault::stall(On::blobs().containing(&digest)).after(3 << 20).once());
    let way = SlowNetwork::closing_idle(to.address(), Duration::from_millis(300));
    let host = way.address().to_string();
    let home = Home::new();
    home.insecure(&[&from.host(), &host]);
    let (source, place) = (from.docker("a/b:1"), format!("docker://{host}/m:1"));
    let run = skopeo(&home, &["copy", "-q", "--idle-timeout=2s", &source, &place]);
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(images_in(&to), "m:1");
    assert!(way.closed() > 0, "no connection was idle: {:?}", to.lines());
    let asked = |seen: &&skopeo_testkit::SeenRequest| seen.target.contains(&digest);
    assert!(from.requests().iter().filter(asked).count() > 1, "{:?}", from.lines());
}

/// The destination's connection dies in the middle of a layer. What it has of that is not sent
/// again: a registry that says so with `Range` gets the rest.
#[test]
fn an_upload_that_broke_goes_on_where_the_registry_has_it() {
    let (from, to) = (Registry::start(), Registry::start());
    let digest = large(&from);
    let (_, hex) = digest.split_once(':').unwrap();
    // The layer's, not that of the config, which may come first.
    let sending = On::uploads().method("PUT").containing(hex);
    to.fault(Fault::cut_request(sending).after(6 << 20).once());
    let home = Home::new();
    home.insecure(&[&from.host(), &to.host()]);
    let (source, place) = (from.docker("a/b:1"), to.docker("m:1"));
    let run = skopeo(&home, &["copy", "-q", &source, &place]);
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(images_in(&to), "m:1");
    let requests = to.requests();
    let rest: Vec<_> = requests.iter().filter(|seen| seen.method == "PATCH").collect();
    let [rest] = &rest[..] else { panic!("{:?}", to.lines()) };
    let (first, _) = rest.header("content-range").split_once('-').unwrap();
    let first: usize = first.parse().unwrap();
    assert!((1 << 20..LAYER).contains(&first), "{first}");
}

/// An upload is opened when there is something to send.
#[test]
fn no_upload_is_opened_for_a_source_that_sends_nothing() {
    let (from, to) = (Registry::start(), Registry::start());
    let digest = large(&from);
    from.fault(Fault::stall(On::blobs().containing(&digest)));
    let home = Home::new();
    home.insecure(&[&from.host(), &to.host()]);
    let (source, place) = (from.docker("a/b:1"), to.docker("m:1"));
    let run = skopeo(&home, &["copy", "-q", "--idle-timeout=1s", &source, &place]);
    assert!(sentence(&run).contains("nothing received for 1 s"), "{run}");
    // The config came, and is small.
    let opened = to.count(&On::uploads().method("POST"));
    assert!(opened <= 1, "{:?}", to.lines());
    let uploads = to.root().join("m/.uploads");
    let left = fs_err::read_dir(uploads).map_or(0, |files| files.count());
    assert_eq!(left, 0, "{:?}", to.lines());
}
