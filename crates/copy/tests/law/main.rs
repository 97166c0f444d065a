//! The law: what an estimate says is what the copy then does, counted where it happens.
//!
//! A table combines images, destinations in every state, and requests. Beside it, random cases copy
//! several images in one run. What a copy does is counted by its events, and by the requests that
//! registries see.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod random;
mod requests;
mod run;
mod tally;
mod world;

use skopeo_copy::{Referrers, Request};
use skopeo_image::Compression;
use skopeo_testkit::{Format as ImageFormat, Image};

use requests::{requests, usual};
use run::{Held, hold};
use world::{Kind, World};

/// What is at the destination before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing.
    Empty,
    /// The very image, under its name.
    Same,
    /// Another image under the name.
    Another,
    /// The image under another name.
    Blobs,
    /// Another image, with a layer in common, under another name.
    Part,
}

const STATES: [State; 5] = [State::Empty, State::Same, State::Another, State::Blobs, State::Part];

/// Names in a collection.
const HERE: &str = "images:here";
const THERE: &str = "images:there";

/// The images of a source, by the tags that they have there.
fn images() -> Vec<(&'static str, Image)> {
    let gzip = Compression::Gzip;
    let shared = |seed| Image::builder(seed).layer_size(900).layer_of(9, gzip).layer_of(seed, gzip);
    // In every form, and one layer twice.
    let mixed = Image::builder(20).layer_size(900).layer_of(9, Compression::Uncompressed);
    let mixed = mixed.layer_of(21, gzip).layer_of(22, Compression::Zstd).layer_of(21, gzip);
    vec![
        ("oci", shared(1).build()),
        ("other", shared(2).build()),
        ("docker", shared(3).format(ImageFormat::Docker).build()),
        ("index", Image::platforms(4, 2)),
        ("mixed", mixed.build()),
    ]
}

/// Brings the destination into a state.
async fn prepare(world: &World, state: State, tag: &str, request: &Request) {
    // What is there is there, however it came.
    let mut request = request.clone();
    request.referrers = Referrers::Leave;
    match state {
        State::Empty => {}
        State::Same => world.copy(tag, HERE, &request).await,
        State::Another => world.copy("other", HERE, &usual()).await,
        State::Blobs => world.copy(tag, THERE, &request).await,
        State::Part => world.copy("other", THERE, &usual()).await,
    }
}

/// Holds all cases of a kind of destination against the law.
#[tokio::main(flavor = "current_thread")]
async fn hold_all(kind: Kind) {
    let images = images();
    let (mut world, mut held) = (World::new(kind), 0);
    images.iter().for_each(|(tag, image)| world.push(tag, image));
    for (name, request) in requests() {
        for (tag, _) in images.iter().filter(|(tag, _)| *tag != "other") {
            for state in STATES {
                world.next();
                prepare(&world, state, tag, &request).await;
                let case = format!("{state:?}, asking for {name}");
                let end = hold(&world, &[(tag, HERE)], &request, &case).await;
                held += usize::from(end == Held::ToItsEnd);
            }
        }
    }
    // Not all that can be asked for can be had everywhere.
    assert!(held > 60, "{held}");
}

#[test]
fn into_another_registry() {
    hold_all(Kind::Registry);
}

#[test]
fn into_the_same_registry() {
    hold_all(Kind::SameRegistry);
}

#[test]
fn into_folders() {
    hold_all(Kind::Dir);
}

#[test]
fn into_a_layout() {
    hold_all(Kind::Layout);
}

#[test]
fn into_a_layout_in_a_tar() {
    hold_all(Kind::OciArchive);
}

#[test]
fn into_an_archive_of_docker() {
    hold_all(Kind::DockerArchive);
}
