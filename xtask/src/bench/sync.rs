//! Many images at once: beside the installed skopeo on docker-registry and on our own server, and
//! alone where the way is long, or the tags are many.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use skopeo_testkit::SlowNetwork;

use super::cases::{Case, words};
use super::measure::measure;
use super::registry::{Kind, Registry};
use super::{Bench, World, median, row};
use crate::image::Layout;

/// How many tags there are, but for the row of many.
pub(super) const TAGS: usize = 200;

/// How many tags there are in the row of many, and in how many repositories.
const MANY: (usize, usize) = (5000, 50);

/// The way to a registry that is 100 ms there and back.
const ONE_WAY: Duration = Duration::from_millis(50);

const PAIRS: [Case; 4] = [
    Case {
        name: "sync registry to registry",
        before: None,
        arguments: to_registry,
        bare: false,
        goal: "wall 0.3",
    },
    Case {
        name: "sync again, nothing to do",
        before: Some(to_registry),
        arguments: to_registry,
        bare: false,
        goal: "wall 0.1, 2 requests a tag and the list",
    },
    Case {
        name: "sync registry to dir",
        before: None,
        arguments: to_folder,
        bare: false,
        goal: "wall 0.06, stored 0.1",
    },
    Case {
        name: "sync dir to registry",
        before: Some(to_folder),
        arguments: |world| {
            sync("dir", &world.folder().display().to_string(), "docker", &there(world))
        },
        bare: false,
        goal: "wall 0.3",
    },
];

/// Prints the rows of what is wanted.
pub(super) fn run(place: &Path, bench: &Bench) -> Result<()> {
    let Bench { ours, runs, layer, .. } = bench;
    let (runs, layer) = (*runs, *layer);
    let pairs: Vec<&Case> = PAIRS.iter().filter(|case| bench.wants(case.name)).collect();
    let alone = [("sync, 100 ms away", far as Alone), ("sync, 5000 tags", many)];
    let alone: Vec<_> = alone.into_iter().filter(|(name, _)| bench.wants(name)).collect();
    if pairs.is_empty() && alone.is_empty() {
        return Ok(());
    }
    let own = || Kind::Ours(ours.clone());
    let mut source = Registry::start(&place.join("own-source"), own())?;
    make(&source.data().join("team/app"), TAGS, layer)?;
    source.restart()?;
    if !pairs.is_empty() {
        println!("\n{TAGS} tags, from and to docker-registry:");
        let mut world = World {
            place: place.to_owned(),
            source: Registry::start(&place.join("source"), Kind::Docker)?,
            destination: Registry::start(&place.join("destination"), Kind::Docker)?,
            serial: 0,
        };
        let fill = sync("docker", &app(&source), "docker", &format!("{}/team", address(&world)));
        let mut command = Command::new(ours);
        measure(command.arg("--insecure-policy").args(&fill), &place.join("temporary"))?;
        for case in &pairs {
            row(case, &mut world, bench)?;
        }
        println!("\n{TAGS} tags, from and to our own server:");
        world.source = source;
        world.destination = Registry::start(&place.join("own-destination"), own())?;
        for case in &pairs {
            row(case, &mut world, bench)?;
        }
        source = world.source;
    }
    println!("\nours alone, from and to our own server:");
    println!(
        "{:<28} {:>8} {:>8} {:>9} {:>24} {:>22}",
        "case", "wall s", "cpu s", "peak MiB", "connections, most", "MB there and back"
    );
    for (name, work) in alone {
        let target = Registry::start(&place.join("alone"), own())?;
        work(name, place, ours, &mut source, target, runs)?;
    }
    Ok(())
}

type Alone = fn(&str, &Path, &Path, &mut Registry, Registry, usize) -> Result<()>;

/// With a long way to both sides: first all, then again.
fn far(
    name: &str,
    place: &Path,
    ours: &Path,
    source: &mut Registry,
    target: Registry,
    runs: usize,
) -> Result<()> {
    for (what, times) in [("first", 1), ("nothing to do", runs)] {
        measured(&format!("{name}: {what}"), place, ours, source, &target, ONE_WAY, times)?;
    }
    Ok(())
}

/// Thousands of tags, for the memory.
fn many(
    name: &str,
    place: &Path,
    ours: &Path,
    source: &mut Registry,
    target: Registry,
    _runs: usize,
) -> Result<()> {
    let (tags, repositories) = MANY;
    let data = source.data();
    fs_err::remove_dir_all(&data)?;
    for repository in 0..repositories {
        make(&data.join(format!("team/app{repository}")), tags / repositories, 1_000_000)?;
    }
    source.restart()?;
    for what in ["first", "nothing to do"] {
        measured(&format!("{name}: {what}"), place, ours, source, &target, Duration::ZERO, 1)?;
    }
    Ok(())
}

/// One row: the same sync, so many times, counted on its way.
fn measured(
    name: &str,
    place: &Path,
    ours: &Path,
    source: &Registry,
    target: &Registry,
    one_way: Duration,
    times: usize,
) -> Result<()> {
    let (mut wall, mut cpu, mut memory) = (Vec::new(), Vec::new(), 0.0_f64);
    let mut ways = (String::new(), String::new());
    for _ in 0..times {
        let way = |registry: &Registry| -> Result<SlowNetwork> {
            Ok(SlowNetwork::to(registry.address().parse()?, one_way))
        };
        let (from, to) = (way(source)?, way(target)?);
        let file = place.join("sync.yaml");
        fs_err::write(&file, list(&source.data(), &from.address().to_string())?)?;
        let file = file.display().to_string();
        let mut command = Command::new(ours);
        command.arg("--insecure-policy");
        let target = format!("{}/team", to.address());
        command.args(sync("yaml", &file, "docker", &target));
        let temporary = place.join("temporary");
        fs_err::create_dir_all(&temporary)?;
        let usage = measure(&command, &temporary).with_context(|| name.to_owned())?;
        wall.push(usage.wall);
        cpu.push(usage.cpu);
        memory = memory.max(usage.memory);
        let both = |of: &dyn Fn(&SlowNetwork) -> u64| of(&from) + of(&to);
        ways = (
            format!(
                "{}, {}",
                both(&SlowNetwork::connections),
                both(&SlowNetwork::most_connections)
            ),
            format!(
                "{:.1}, {:.1}",
                both(&|way| way.bytes().0) as f64 / 1e6,
                both(&|way| way.bytes().1) as f64 / 1e6
            ),
        );
    }
    println!(
        "{name:<28} {:>8.3} {:>8.3} {memory:>9.1} {:>24} {:>22}",
        median(wall),
        median(cpu),
        ways.0,
        ways.1
    );
    Ok(())
}

/// The file of `--src yaml` that names all repositories of a server's folder.
fn list(data: &Path, host: &str) -> Result<String> {
    let mut text = format!("{host}:\n  tls-verify: false\n  images:\n");
    for entry in fs_err::read_dir(data.join("team"))? {
        text.push_str(&format!("    team/{}: []\n", entry?.file_name().to_string_lossy()));
    }
    Ok(text)
}

/// A repository of so many tags, which share four layers, together a twelfth of `layer`, and have
/// one of their own, a fortieth of that.
pub(super) fn make(repository: &Path, tags: usize, layer: u64) -> Result<()> {
    let size = layer / 12;
    let mut layout = Layout::create(repository)?;
    let mut layers = Vec::new();
    for seed in 1..=4 {
        layers.push(layout.layer_of_noise(seed, size / 4)?);
    }
    let mut named = Vec::new();
    for tag in 0..tags {
        let mut layers = layers.clone();
        layers.push(layout.layer_of_noise(100 + tag as u64, size / 40)?);
        named.push((format!("v1.{tag}"), layout.image("amd64", &layers)?));
    }
    layout.tag_all(named)
}

pub(super) fn to_registry(world: &World) -> Vec<String> {
    sync("docker", &app(&world.source), "docker", &there(world))
}

fn to_folder(world: &World) -> Vec<String> {
    sync("docker", &app(&world.source), "dir", &world.folder().display().to_string())
}

pub(super) fn app(registry: &Registry) -> String {
    format!("{}/team/app", registry.address())
}

fn address(world: &World) -> String {
    world.source.address()
}

fn there(world: &World) -> String {
    format!("{}/team", world.destination.address())
}

pub(super) fn sync(from: &str, source: &str, to: &str, destination: &str) -> Vec<String> {
    words(&[
        "sync",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--src",
        from,
        "--dest",
        to,
        source,
        destination,
    ])
}
