//! `--blob-connections`: one large layer over several connections.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use skopeo_image::Compression;
use skopeo_testkit::{Fault, Home, Image, On, Registry, SlowNetwork};

use crate::program::at_home;
use crate::stage::{sentence, whole_layout};

/// Half of it is noise: packed it is longer than the 32 MiB from which on blobs come in ranges.
const LAYER: usize = 80 << 20;

const RANGE: u64 = 8 << 20;

/// A registry that has one image with a large layer, whose length and digest these are.
fn large(registry: &Registry, repository: &str) -> (u64, String) {
    let image = Image::builder(1).layer(Compression::Zstd).layer_size(LAYER).build();
    image.push(registry, repository);
    let blobs = image.blobs();
    let (digest, bytes) = blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    assert!(bytes.len() > 34 << 20, "{}", bytes.len());
    (bytes.len() as u64, digest.to_string())
}

fn home(hosts: &[&str]) -> Home {
    let home = Home::new();
    home.insecure(hosts);
    home
}

/// The ranges that were asked for, and how many bytes of the layer came.
fn ranges(registry: &Registry, digest: &str) -> (BTreeSet<String>, usize, u64) {
    let all = registry.requests();
    let asked: Vec<_> =
        all.iter().filter(|it| it.method == "GET" && it.target.contains(digest)).collect();
    let ranges = asked.iter().map(|it| it.header("range").to_owned()).collect();
    (ranges, asked.len(), asked.iter().map(|it| it.sent).sum())
}

#[test]
fn a_large_layer_comes_in_ranges_over_several_connections() {
    let from = Registry::start();
    let (size, digest) = large(&from, "a/b:1");
    // Slow enough that the first range is not there before the others are asked for.
    let rate = NonZeroU64::new(64 << 20);
    let way = SlowNetwork::with_rate(from.address(), Duration::from_millis(5), rate);
    let host = way.address().to_string();
    let to = Registry::start();
    let home = home(&[&host, &to.host()]);
    let source = format!("docker://{host}/a/b:1");
    let layout = home.path("work/layout");
    let place = format!("oci:{}:1", layout.display());
    at_home(&home, &["copy", "-q", "--blob-connections=4", &source, &place]).success();
    assert_eq!(whole_layout(&layout).len(), 1);
    let expected: BTreeSet<String> = (0..size.div_ceil(RANGE))
        .map(|n| format!("bytes={}-{}", n * RANGE, ((n + 1) * RANGE).min(size) - 1))
        .collect();
    let count = expected.len();
    assert_eq!(ranges(&from, &digest), (expected.clone(), count, size));
    assert!((4..=5).contains(&way.most_connections()), "{}", way.most_connections());

    // Into an archive and into another registry, by sync too.
    for words in [
        &["copy", "-q", "--blob-connections=4", &source, "oci-archive:archive.tar:1"][..],
        &["copy", "-q", "--blob-connections=4", &source, &to.docker("x:1")],
        &[
            "sync",
            "--blob-connections=4",
            "--src=docker",
            "--dest=docker",
            &format!("{host}/a/b:1"),
            &format!("{}/m", to.host()),
        ],
    ] {
        from.forget_requests();
        at_home(&home, words).success();
        assert_eq!(ranges(&from, &digest), (expected.clone(), count, size), "{words:?}");
    }

    // Nobody asks for ranges who was not asked to.
    from.forget_requests();
    at_home(&home, &["copy", "-q", &source, "oci:whole:1"]).success();
    assert_eq!(ranges(&from, &digest), (BTreeSet::from([String::new()]), 1, size));
}

#[test]
fn a_registry_that_sends_no_ranges_is_read_once() {
    let from = Registry::start();
    let (size, digest) = large(&from, "a/b:1");
    from.fault(Fault::ignore_range(On::blobs()));
    let home = home(&[&from.host()]);
    let source = from.docker("a/b:1");
    at_home(&home, &["copy", "-q", "--blob-connections=4", &source, "oci:layout:1"]).success();
    assert_eq!(whole_layout(&home.path("work/layout")).len(), 1);
    let (ranges, requests, sent) = ranges(&from, &digest);
    assert_eq!((requests, sent), (1, size), "{ranges:?}");
}

/// Over HTTP/2 all requests share one connection, which would give them one rate.
#[test]
fn ranges_have_connections_of_their_own_over_tls() {
    let from = Registry::builder().tls().start();
    let (size, digest) = large(&from, "a/b:1");
    let home = Home::new();
    let folder = home.path("certs");
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::write(folder.join("ca.crt"), from.ca()).unwrap();
    let trusts = format!("--src-cert-dir={}", folder.display());
    let source = from.docker("a/b:1");
    let words = ["copy", "-q", "--blob-connections=4", &trusts, &source, "oci:layout:1"];
    at_home(&home, &words).success();
    let (_, requests, sent) = ranges(&from, &digest);
    assert_eq!((requests as u64, sent), (size.div_ceil(RANGE), size));
    for seen in from.requests() {
        let ranged = !seen.header("range").is_empty();
        let version = if ranged { http::Version::HTTP_11 } else { http::Version::HTTP_2 };
        assert_eq!(seen.version, version, "{seen:?}");
    }
}

/// The whole is verified, whatever it was put together from.
#[test]
fn a_range_of_other_bytes_is_noticed() {
    let from = Registry::start();
    let (_, digest) = large(&from, "a/b:1");
    from.fault(Fault::corrupt(On::blobs().containing(&digest)).after(100).skip(3).once());
    let home = home(&[&from.host()]);
    let source = from.docker("a/b:1");
    let run = at_home(&home, &["copy", "-q", "--blob-connections=4", &source, "oci:layout:1"]);
    assert!(sentence(&run).contains("Digest did not match"), "{run}");
    assert!(!Path::new(&home.path("work/layout")).join("index.json").exists());
}
