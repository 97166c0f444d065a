//! Sources that fall silent, at the begin or in the middle.

use skopeo_image::Digest;
use skopeo_testkit::{Fault, Image, On};

use super::places::Place;
use super::source::{Kind, Source};
use super::table::{Lie, blob};
use super::{FILE, KINDS, SINGLE, Stage};

fn lies(repository: &str, image: &Image, _: &Image) -> Vec<Lie> {
    let layer = || blob(repository, &image.layers()[1].digest);
    let config = || blob(repository, &Digest::sha256(image.config().unwrap()));
    let manifest = On::manifests().containing(format!("/v2/{repository}/manifests/"));
    let evil = "the attacker's bytes ".repeat(900);
    vec![
        ("no byte of a layer", vec![Fault::stall(layer())]),
        ("the half of a layer", vec![Fault::stall(layer()).after(300)]),
        ("the half of a config", vec![Fault::stall(config()).after(50)]),
        ("a layer, and no end", vec![Fault::content_length(layer(), 9), Fault::stall(layer())]),
        ("no answer about a layer", vec![Fault::silence(layer())]),
        ("the half of a manifest", vec![Fault::stall(manifest).after(50)]),
        ("silence, and the rest", vec![Fault::stall(layer()).after(300).once()]),
        (
            "silence, and other bytes",
            vec![Fault::stall(layer()).after(300).once(), Fault::instead(layer(), evil)],
        ),
        (
            "silence, and a range of other bytes",
            vec![Fault::stall(layer()).after(300).once(), Fault::corrupt(layer()).after(3)],
        ),
    ]
}

#[test]
fn who_falls_silent_spoils_only_what_is_theirs() {
    let source = Source::new(&Kind { lies, ..SINGLE }, |_| true);
    let stage = Stage::of(&source);
    let quick: &[&str] = &["--idle-timeout=2s"];
    let together: Vec<Place> = KINDS.iter().map(|kind| stage.place(kind, 0)).collect();
    let mut runs = vec![(together, quick)];
    let pipes = ["oci-archive", "docker-archive"];
    runs.extend(pipes.map(|kind| (vec![stage.pipe(kind)], quick)));
    stage.holds(FILE, &runs);
}
