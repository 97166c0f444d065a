//! Random images, states and requests, several images in a run.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use skopeo_copy::{Digests, Format, Lists, OtherFormats, Others, Referrers, Request, Selection};
use skopeo_image::Compression;
use skopeo_testkit::{Format as ImageFormat, Image};
use tokio::runtime::{Builder, Runtime};

use crate::requests::{encrypted, platforms, to, usual};
use crate::run::{Held, hold};
use crate::world::{Kind, World};

/// How many cases of each kind of destination there are.
const CASES: u32 = 48;

/// How many there are where nobody says otherwise.
const USUAL_CASES: u32 = 256;

/// Names in a collection, of two repositories.
const NAMES: [&str; 4] = ["images:a", "images:b", "others:a", "others:b"];

/// A whole case.
#[derive(Clone, Debug)]
struct Case {
    images: Vec<Sort>,
    /// What was copied before, and how.
    before: Vec<(Task, Request)>,
    tasks: Vec<Task>,
    request: Request,
}

/// Which of the images, and the name that it gets.
type Task = (usize, &'static str);

/// The layers of an image: of few seeds, so that images have some in common.
type Layers = Vec<(u64, Compression)>;

/// A sort of image.
#[derive(Clone, Debug)]
enum Sort {
    Single(ImageFormat, Layers),
    Index(ImageFormat, [Layers; 2]),
    Artifact(u64),
}

impl Sort {
    fn image(&self) -> Image {
        match self {
            Self::Single(format, layers) => build(*format, layers, "amd64"),
            Self::Index(format, [one, other]) => {
                Image::list(vec![build(*format, one, "amd64"), build(*format, other, "arm64")])
            }
            Self::Artifact(seed) => {
                let new = Image::builder(2).layer_size(300).artifact("application/vnd.example");
                new.layer_of(*seed, Compression::Gzip).build()
            }
        }
    }
}

fn compressions() -> impl Strategy<Value = Compression> {
    prop::sample::select(vec![Compression::Gzip, Compression::Uncompressed, Compression::Zstd])
}

fn layers() -> impl Strategy<Value = Layers> {
    vec((0_u64..4, compressions()), 1..4)
}

fn build(format: ImageFormat, layers: &[(u64, Compression)], architecture: &str) -> Image {
    let new = Image::builder(1).format(format).layer_size(300);
    let new = new.platform("linux", architecture, "");
    let image = layers.iter().fold(new, |image, (seed, compression)| {
        // Docker has no media type for zstd.
        let is_docker = format == ImageFormat::Docker && *compression == Compression::Zstd;
        image.layer_of(*seed, if is_docker { Compression::Gzip } else { *compression })
    });
    image.build()
}

fn formats() -> impl Strategy<Value = ImageFormat> {
    prop::sample::select(vec![ImageFormat::Oci, ImageFormat::Docker])
}

fn images() -> impl Strategy<Value = Sort> {
    prop_oneof![
        4 => (formats(), layers()).prop_map(|(format, layers)| Sort::Single(format, layers)),
        4 => (formats(), [layers(), layers()]).prop_map(|(format, each)| Sort::Index(format, each)),
        1 => (0_u64..4).prop_map(Sort::Artifact),
    ]
}

fn lists() -> impl Strategy<Value = Lists> {
    prop::sample::select(vec![
        Lists::System,
        Lists::All,
        Lists::All,
        Lists::IndexOnly,
        platforms(Others::Remove),
        platforms(Others::Keep),
    ])
}

/// Requests: of what is seldom asked for seldom anything.
fn requests() -> impl Strategy<Value = Request> {
    let packed = (compressions(), any::<bool>()).prop_map(|(format, reuse)| {
        to(format, if reuse { OtherFormats::Reuse } else { OtherFormats::Refuse })
    });
    let format = prop::sample::select(vec![Format::Oci, Format::DockerSchema2]);
    let seldom = prop::bool::weighted(0.15);
    let flags = (any::<bool>(), seldom, seldom, seldom, seldom);
    let asked = (lists(), prop::option::weighted(0.3, packed), prop::option::weighted(0.3, format));
    (asked, flags).prop_map(|((lists, compression, format), flags)| {
        let (heads_first, preserves, referrers, adds, encrypts) = flags;
        let added = to(Compression::Zstd, OtherFormats::Reuse);
        let mut request = usual();
        request.lists = lists;
        request.compression = compression.filter(|it| it.format != Compression::Uncompressed);
        request.format = format;
        request.heads_first = heads_first;
        request.digests = if preserves { Digests::Preserve } else { Digests::MayChange };
        request.referrers =
            if referrers { Referrers::Copy(Selection::all()) } else { Referrers::Leave };
        request.added = adds.then_some(added).into_iter().collect();
        request.encryption = encrypts.then(encrypted);
        request
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let names = prop::sample::subsequence(NAMES.to_vec(), 1..=3);
    // What has several places is read once for all of them, by another copy than those held here.
    let picked = Just(vec![0_usize, 1, 2]).prop_shuffle();
    let before = vec((0_usize..3, prop::sample::select(NAMES.to_vec()), requests()), 0..3);
    (vec(images(), 3), before, names, picked, requests()).prop_map(
        |(images, before, names, picked, request)| Case {
            images,
            before: before.into_iter().map(|(at, name, request)| ((at, name), request)).collect(),
            tasks: picked.into_iter().zip(names).collect(),
            request,
        },
    )
}

/// Holds one case against the law.
fn hold_case(world: &World, number: usize, case: &Case) -> Held {
    let tag = |at: &usize| format!("{number}-{at}");
    for (at, image) in case.images.iter().enumerate() {
        world.push(&tag(&at), &image.image());
    }
    for ((at, name), request) in &case.before {
        // What was begun in vain ends with its runtime.
        runtime().block_on(world.copy(&tag(at), name, request));
    }
    world.wait();
    let tasks: Vec<(String, &str)> = case.tasks.iter().map(|(at, name)| (tag(at), *name)).collect();
    let tasks: Vec<_> = tasks.iter().map(|(tag, name)| (&**tag, *name)).collect();
    runtime().block_on(hold(world, &tasks, &case.request, &format!("{case:?}")))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Holds random cases of a kind of destination against the law. `PROPTEST_RNG_SEED` and
/// `PROPTEST_CASES` ask for others.
fn hold_random(kind: Kind) {
    let usual = ProptestConfig::default();
    let config = ProptestConfig {
        cases: if usual.cases == USUAL_CASES { CASES } else { usual.cases },
        rng_seed: match usual.rng_seed {
            RngSeed::Random => RngSeed::Fixed(11),
            given @ RngSeed::Fixed(_) => given,
        },
        max_shrink_iters: 200,
        failure_persistence: None,
        ..usual
    };
    let world = std::cell::RefCell::new((World::new(kind), 0, 0));
    let tried = TestRunner::new(config).run(&cases(), |case| {
        let (world, number, held) = &mut *world.borrow_mut();
        world.next();
        *number += 1;
        let end = hold_case(world, *number, &case);
        *held += usize::from(end == Held::ToItsEnd);
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
    let (_, number, held) = world.into_inner();
    // Where no index can be, most requests for one are refused.
    assert!(held * 10 > number, "{held} of {number}");
}

#[test]
fn into_another_registry() {
    hold_random(Kind::Registry);
}

#[test]
fn into_the_same_registry() {
    hold_random(Kind::SameRegistry);
}

#[test]
fn into_folders() {
    hold_random(Kind::Dir);
}

#[test]
fn into_a_layout() {
    hold_random(Kind::Layout);
}

#[test]
fn into_a_layout_in_a_tar() {
    hold_random(Kind::OciArchive);
}

#[test]
fn into_an_archive_of_docker() {
    hold_random(Kind::DockerArchive);
}
