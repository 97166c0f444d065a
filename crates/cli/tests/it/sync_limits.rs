//! Copying many images where there are limits: one's own, and those of registries that have had
//! enough, whose tokens do not last, or that are away for a moment. Whatever happens: every image
//! arrives, or it is said why not.

use std::time::{Duration, Instant};

use skopeo_image::Compression;
use skopeo_testkit::{Fault, Home, Image, On, Registry, Run, SlowNetwork, TokenAuth};

use crate::stage::{finish, home, sentence, skopeo, start};

const TAGS: usize = 12;

/// As many tags of one repository, which share a layer and have one of their own.
fn fill(registry: &Registry) -> Vec<Image> {
    let images = (0..TAGS).map(|number| {
        let builder = Image::builder(number as u64).layer_size(30_000);
        let builder = builder.layer_of(1000, Compression::Gzip);
        let image = builder.layer_of(2000 + number as u64, Compression::Gzip).build();
        image.push(registry, &format!("team/app:v{number}"));
        image
    });
    images.collect()
}

/// Copies them all from there to the registry `to`, with these flags.
fn sync(home: &Home, from: &str, to: &str, flags: &[&str]) -> Run {
    skopeo(home, &arguments(from, to, flags).iter().map(String::as_str).collect::<Vec<_>>())
}

fn arguments(from: &str, to: &str, flags: &[&str]) -> Vec<String> {
    let mut words = vec!["--insecure-policy", "sync", "--src=docker", "--dest=docker"];
    words.extend(flags);
    let source = format!("{from}/team/app");
    words.extend([source.as_str(), to]);
    words.into_iter().map(str::to_owned).collect()
}

/// Every image is there, whole: its manifest and all that it names.
#[track_caller]
fn all_there(home: &Home, registry: &Registry, images: &[Image]) {
    registry.mend();
    let folder = home.path("check");
    fs_err::create_dir_all(&folder).unwrap();
    for (number, image) in images.iter().enumerate() {
        let place = folder.join(number.to_string());
        let from = registry.docker(&format!("app:v{number}"));
        let to = format!("dir:{}", place.display());
        let run = skopeo(home, &["--insecure-policy", "copy", "-q", &from, &to]);
        assert_eq!(run.code, Some(0), "v{number} {run}");
        assert_eq!(crate::stage::whole_dir(&place), Some(image.digest()));
    }
}

#[test]
fn a_storm_of_refusals_is_weathered() {
    let storm = || Fault::too_many(On::anything(), 1).skip(5).every(3);
    let (from, to) = (Registry::start(), Registry::start());
    let images = fill(&from);
    from.fault(storm().lasting(Duration::from_secs(3)));
    to.fault(storm().lasting(Duration::from_secs(4)));
    let home = home(&[&from.host(), &to.host()]);
    let run = sync(&home, &from.host(), &to.host(), &[]);
    assert_eq!(run.code, Some(0), "{run}");
    all_there(&home, &to, &images);
}

#[test]
fn a_registry_that_wants_to_be_left_alone_for_long_is() {
    let (from, to) = (Registry::start(), Registry::start());
    fill(&from);
    from.fault(Fault::too_many(On::manifests().any_method(), 7200).skip(3));
    let home = home(&[&from.host(), &to.host()]);
    let run = sync(&home, &from.host(), &to.host(), &["--keep-going", "--retry-times=3"]);
    assert_eq!(run.code, Some(1), "{run}");
    assert!(run.stderr.contains("accepts no requests for 2h, until 20"), "{run}");
    let warnings = run.stderr.matches("asks to wait 2h (429)").count();
    assert_eq!(warnings, 1, "{run}");
    // Those that were under way when it said so; none of the others, and none again.
    let refused = from.requests().iter().filter(|seen| seen.status == 429).count();
    assert!((1..=2 * TAGS).contains(&refused), "{:?}", from.lines());
    let asked = from.requests().len();
    let run = sync(&home, &from.host(), &to.host(), &[]);
    assert!(sentence(&run).contains("accepts no requests for 2h"), "{run}");
    assert!(from.requests().len() - asked <= 1 + TAGS, "{:?}", from.lines());
}

#[test]
fn tokens_that_do_not_last_are_fetched_again() {
    let auth = || TokenAuth::new().user("me", "secret").lasts(Duration::from_millis(700));
    let source = Registry::builder().token_auth(auth()).start();
    let target = Registry::builder().token_auth(auth()).start();
    let images = fill(&source);
    // So that it takes longer than a token lasts.
    let way = SlowNetwork::to(source.address(), Duration::from_millis(60));
    let (from, to) = (way.address().to_string(), target.host());
    let home = home(&[&from, &to]);
    let run = sync(&home, &from, &to, &["--dest-creds=me:secret", "--jobs=1"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(source.tokens() > 1, "{}", source.tokens());
    all_there(&home, &target, &images);
}

#[test]
fn a_registry_that_is_away_for_a_moment_is_waited_for() {
    let (from, mut to) = (Registry::start(), Registry::start());
    let images = fill(&from);
    let home = home(&[&from.host(), &to.host()]);
    let arguments = arguments(&from.host(), &to.host(), &["--retry-times=3", "--limit-rate=300kB"]);
    let running = start(&home, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let begun = Instant::now();
    while to.count(&On::uploads().method("PUT")) < 3 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    to.stop();
    std::thread::sleep(Duration::from_millis(500));
    to.restart();
    let run = finish(running, "sync with a restart");
    assert_eq!(run.code, Some(0), "{run}");
    all_there(&home, &to, &images);
}

#[test]
fn no_more_connections_than_allowed() {
    let (source, target) = (Registry::start(), Registry::start());
    let images = fill(&source);
    // Where every answer takes its time, whoever may opens many.
    let way = |registry: &Registry| SlowNetwork::to(registry.address(), Duration::from_millis(10));
    let (from, to) = (way(&source), way(&target));
    let (source_host, target_host) = (from.address().to_string(), to.address().to_string());
    let home = home(&[&source_host, &target_host, &target.host()]);
    let run = sync(&home, &source_host, &target_host, &["--max-connections=2"]);
    assert_eq!(run.code, Some(0), "{run}");
    // Two bodies of blobs may be on their way, and one question beside them.
    let most = (from.most_connections(), to.most_connections());
    assert!(most.0 <= 4 && most.1 <= 4, "{most:?}");
    all_there(&home, &target, &images);
}

/// What is late is late on a slow machine too, but never early.
#[test]
fn rates_are_kept_and_pauses_between_requests_too() {
    let (from, to) = (Registry::start(), Registry::start());
    let images = fill(&from);
    let bytes: usize = images.iter().map(|image| image.layers()[1].bytes.len()).sum();
    let home = home(&[&from.host(), &to.host()]);
    for side in ["--src-limit-rate", "--dest-limit-rate"] {
        let rate = format!("{side}={bytes}");
        let begun = Instant::now();
        let to = Registry::start();
        home.insecure(&[&from.host(), &to.host()]);
        let run = sync(&home, &from.host(), &to.host(), &[&rate]);
        assert_eq!(run.code, Some(0), "{run}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(800), "{rate}: {took:?}");
    }
    home.insecure(&[&from.host(), &to.host()]);
    let begun = Instant::now();
    let (rate, asked) = (10.0, from.requests().len());
    let run = sync(&home, &from.host(), &to.host(), &["--max-requests-per-second=10"]);
    assert_eq!(run.code, Some(0), "{run}");
    let asked = (from.requests().len() - asked) as f64;
    let least = Duration::from_secs_f64((asked - 2.0) / rate);
    assert!(begun.elapsed() >= least, "{asked} requests in {:?}", begun.elapsed());
    all_there(&home, &to, &images);
}

#[test]
fn limits_that_are_none_are_refused() {
    let home = Home::new();
    let run = |flag: &str| {
        let to = format!("dir:{}", home.path("to").display());
        skopeo(&home, &["--insecure-policy", "copy", flag, "dir:/nowhere", &to])
    };
    for (flag, said) in [
        ("--limit-rate=fast", "invalid --limit-rate \"fast\": want bytes in a second"),
        ("--dest-limit-rate=100Mbit/s", "bits are not supported"),
        ("--src-limit-rate=20M", "MB or MiB?"),
        ("--limit-rate=0", "nothing ever arrives"),
        ("--max-requests-per-second=x", "--max-requests-per-second \"x\": want a number"),
        ("--max-requests-per-second=0", "want a number, such as 10 or 0.5"),
        ("--max-connections=-1", "max-connections"),
    ] {
        let run = run(flag);
        assert!(run.stderr.contains(said) || sentence(&run).contains(said), "{flag} {run}");
        assert_ne!(run.code, Some(0), "{flag}");
    }
}
