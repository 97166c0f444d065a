//! Other ways to registries: over TLS, over a long line, over a line that gives each connection only
//! so much.

use std::num::NonZeroU64;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use skopeo_testkit::SlowNetwork;

use super::cases::{Case, copy, from, layout, to, words};
use super::measure::measure;
use super::registry::{Kind, Registry};
use super::sync::{make, to_registry};
use super::{Bench, World, median, row};
use crate::image::Layout;

/// A round trip of 50 ms.
const ONE_WAY: Duration = Duration::from_millis(25);

/// What each connection carries in the row of several connections, in bytes a second.
const RATE: NonZeroU64 = NonZeroU64::new(20_000_000).expect("more than nothing");

/// So many tags are synced over the long line: the original takes seconds for each.
const TAGS: usize = 40;

const TLS: [Case; 2] = [
    Case {
        name: "registry to oci, TLS",
        before: None,
        arguments: |world| copy(&[&from(world, "large"), &layout(world)]),
        bare: false,
        goal: "",
    },
    Case {
        name: "inspect -n, TLS",
        before: None,
        arguments: |world| words(&["inspect", "-n", "--tls-verify=false", &from(world, "large")]),
        bare: false,
        goal: "",
    },
];

const FAR: [Case; 3] = [
    Case {
        name: "small image, 50 ms",
        before: None,
        arguments: |world| copy(&[&from(world, "small"), &to(world, "small")]),
        bare: false,
        goal: "",
    },
    Case {
        name: "index --all, 50 ms",
        before: None,
        arguments: |world| copy(&["--all", &from(world, "index"), &to(world, "index")]),
        bare: false,
        goal: "",
    },
    Case {
        name: "sync of 40 tags, 50 ms",
        before: None,
        arguments: to_registry,
        bare: false,
        goal: "crane -j 16: 0.45",
    },
];

/// The name of the row of one large layer.
const CONNECTIONS: &str = "one layer, --blob-connections";

/// The names of the rows that want the images of all others.
pub(super) const NAMES: [&str; 5] =
    [TLS[0].name, TLS[1].name, FAR[0].name, FAR[1].name, FAR[2].name];

/// Prints the rows that want the images of `source`.
pub(super) fn run(place: &Path, bench: &Bench, source: &Registry) -> Result<()> {
    let wanted = |cases: &'static [Case]| -> Vec<&Case> {
        cases.iter().filter(|case| bench.wants(case.name)).collect()
    };
    let (tls, far) = (wanted(&TLS), wanted(&FAR));
    if !tls.is_empty() {
        println!("\nfrom docker-registry over TLS:");
        let mut world = World {
            place: place.to_owned(),
            source: Registry::beside(source, &place.join("tls"), Kind::DockerTls)?,
            destination: Registry::start(&place.join("destination"), Kind::Docker)?,
            serial: 0,
        };
        tls.iter().try_for_each(|case| row(case, &mut world, bench).map(drop))?;
    }
    if !far.is_empty() {
        println!("\nfrom and to docker-registry, 50 ms there and back:");
        let source = Registry::beside(source, &place.join("far"), Kind::Docker)?;
        fill(place, bench, &source)?;
        let destination = Registry::start(&place.join("destination"), Kind::Docker)?;
        let (source, destination) = (source.far(ONE_WAY)?, destination.far(ONE_WAY)?);
        let mut world = World { place: place.to_owned(), source, destination, serial: 0 };
        far.iter().try_for_each(|case| row(case, &mut world, bench).map(drop))?;
    }
    if bench.wants(CONNECTIONS) {
        connections(place, bench)?;
    }
    Ok(())
}

/// Puts the tags of the sync into the registry, by ours.
fn fill(place: &Path, bench: &Bench, registry: &Registry) -> Result<()> {
    let layouts = place.join("far-layouts");
    make(&layouts.join("team/app"), TAGS, 4_000_000)?;
    let mut fill = Command::new(&bench.ours);
    fill.args(["--insecure-policy", "sync", "--quiet", "--dest-tls-verify=false"]);
    fill.args(["--src=oci", "--dest=docker"]);
    fill.arg(layouts.join("team/app")).arg(format!("{}/team", registry.address()));
    crate::shell::output(&mut fill).map(drop)
}

/// One layer over 1, 2, 4 and 8 connections, each of which has its own rate.
fn connections(place: &Path, bench: &Bench) -> Result<()> {
    println!("\none layer, 50 ms there and back, 20 MB/s a connection, ours alone:");
    println!(
        "{:<28} {:>8} {:>8} {:>9} {:>6}",
        "connections", "wall s", "cpu s", "peak MiB", "times"
    );
    let folder = place.join("one-layer");
    let size = (bench.layer * 2).max(40_000_000);
    let mut layout = Layout::create(&folder)?;
    let layer = layout.layer_of_noise(99, size)?;
    layout.tag("one", layout.image("amd64", &[layer])?)?;
    let registry = Registry::start(&place.join("slow"), Kind::Docker)?;
    let mut fill = Command::new(&bench.ours);
    fill.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]);
    fill.arg(format!("oci:{}:one", folder.display()));
    crate::shell::output(fill.arg(format!("docker://{}/one", registry.address())))?;
    let temporary = place.join("temporary");
    fs_err::create_dir_all(&temporary)?;
    let mut alone = None;
    for connections in [1_u32, 2, 4, 8] {
        let (mut wall, mut cpu, mut memory) = (Vec::new(), Vec::new(), 0.0_f64);
        for run in 0..bench.runs.min(3) {
            let way = SlowNetwork::with_rate(registry.address().parse()?, ONE_WAY, Some(RATE));
            let out = place.join(format!("out-connections-{connections}-{run}"));
            let mut command = Command::new(&bench.ours);
            command.args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]);
            command.arg(format!("--blob-connections={connections}"));
            command.arg(format!("docker://{}/one", way.address()));
            let usage = measure(command.arg(format!("oci:{}:one", out.display())), &temporary)?;
            wall.push(usage.wall);
            cpu.push(usage.cpu);
            memory = memory.max(usage.memory);
            fs_err::remove_dir_all(&out)?;
        }
        let wall = median(wall);
        let times = *alone.get_or_insert(wall) / wall;
        println!("{connections:<28} {wall:>8.3} {:>8.3} {memory:>9.1} {times:>6.2}", median(cpu));
    }
    Ok(())
}
