//! `cargo xtask bench`: our release program beside the installed skopeo, and beside others by
//! `--peer NAME=PROGRAM`, on the same registry, in one run, pair by pair. `--json FILE` and
//! `--plot FILE` (an SVG) keep what was measured.

mod cases;
pub(crate) mod measure;
mod peer;
mod record;
mod registry;
mod signed;
mod sync;
mod ways;

use std::cell::RefCell;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use flate2::Compression;

use self::cases::{CASES, Case};
use self::measure::{Usage, measure};
use self::peer::Peer;
use self::record::Row;
use self::registry::{Kind, Registry};
use crate::image::Layout;
use crate::{peers, shell};

/// What the command line asks for.
#[derive(Debug)]
struct Wanted {
    only: Vec<String>,
    runs: usize,
    layer: u64,
    ours: Option<PathBuf>,
    peers: Vec<Peer>,
    /// Whether the installed skopeo is no peer.
    is_installed_left_out: bool,
    json: Option<PathBuf>,
    plot: Option<PathBuf>,
}

impl Wanted {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut wanted = Self {
            only: Vec::new(),
            is_installed_left_out: false,
            runs: 5,
            layer: 100_000_000,
            ours: None,
            peers: Vec::new(),
            json: None,
            plot: None,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--only" => wanted.only.push(rest.next().context("--only needs a name")?.clone()),
                "--not-installed" => wanted.is_installed_left_out = true,
                "--runs" => {
                    wanted.runs = rest.next().context("--runs needs a number")?.parse()?;
                }
                "--ours" => {
                    wanted.ours = Some(rest.next().context("--ours needs a program")?.into());
                }
                "--peer" => {
                    let peer = rest.next().context("--peer needs NAME=PROGRAM")?;
                    wanted.peers.push(Peer::parse(peer)?);
                }
                "--json" => {
                    wanted.json = Some(rest.next().context("--json needs a file")?.into());
                }
                "--plot" => {
                    wanted.plot = Some(rest.next().context("--plot needs a file")?.into());
                }
                "--small" => wanted.layer = 2_000_000,
                "--layer" => {
                    let megabytes: u64 = rest.next().context("--layer needs MB")?.parse()?;
                    wanted.layer = megabytes * 1_000_000;
                }
                other => bail!("unknown argument {other}"),
            }
        }
        if wanted.runs == 0 {
            bail!("--runs needs at least 1");
        }
        Ok(wanted)
    }
}

/// What all cases have in common.
struct Bench {
    ours: PathBuf,
    /// The installed skopeo first, unless it is left out.
    peers: Vec<Peer>,
    only: Vec<String>,
    runs: usize,
    layer: u64,
    rows: RefCell<Vec<Row>>,
}

impl Bench {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.contains(&**only))
    }
}

/// Everything a case may use. The destination registry is a new and empty one for every run.
struct World {
    place: PathBuf,
    source: Registry,
    destination: Registry,
    /// Differs from run to run: for names that must be new.
    serial: usize,
}

/// What is smaller, in bytes, is removed at the end only: for minutes after many files were removed,
/// ext4 looks long for the number of each new one.
const KEPT: u64 = 200_000_000;

impl World {
    /// A folder that is not there yet, for this run.
    fn folder(&self) -> PathBuf {
        self.place.join("out").join(self.serial.to_string())
    }

    /// The bytes that lie in that folder and in the destination registry.
    fn stored(&self) -> Result<u64> {
        let store = self.folder().with_extension("store");
        Ok(size(&self.folder())? + size(&store)? + size(&self.destination.data())?)
    }

    fn fresh(&mut self) -> Result<()> {
        self.serial += 1;
        let out = self.place.join("out");
        release(&out)?;
        if out.exists() && size(&out)? < KEPT {
            // Other worlds in the same place count their runs themselves.
            let mut places = (0..).map(|number| self.place.join(format!("out-{number}")));
            if let Some(kept) = places.find(|place| !place.exists()) {
                fs_err::rename(&out, kept)?;
            }
        } else if out.exists() {
            fs_err::remove_dir_all(&out)?;
        }
        fs_err::create_dir_all(&out)?;
        self.destination.restart_empty()
    }
}

/// Ends the mounts that the original leaves on stores, of a folder onto itself.
fn release(out: &Path) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    for entry in fs_err::read_dir(out)? {
        let folder = entry?.path().join("overlay");
        if folder.is_dir() {
            // Ours leaves none.
            Command::new("umount").arg(&folder).output().context("running umount")?;
        }
    }
    Ok(())
}

/// The bytes of all files below `path`, each once whatever its names; none if it is not there.
fn size(path: &Path) -> Result<u64> {
    size_besides(path, &mut HashSet::new())
}

fn size_besides(path: &Path, linked: &mut HashSet<u64>) -> Result<u64> {
    let Ok(metadata) = fs_err::symlink_metadata(path) else { return Ok(0) };
    if !metadata.is_dir() {
        let is_new = metadata.nlink() == 1 || linked.insert(metadata.ino());
        return Ok(if is_new { metadata.len() } else { 0 });
    }
    let mut sum = 0;
    for entry in fs_err::read_dir(path)? {
        sum += size_besides(&entry?.path(), linked)?;
    }
    Ok(sum)
}

/// One program's figures over all runs of a case.
#[derive(Default)]
struct Runs {
    usage: Vec<Usage>,
    requests: Vec<f64>,
    /// What lies at the destination afterwards, in MB.
    stored: Vec<f64>,
}

/// Runs the benchmark and prints one row a case and peer.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Wanted { only, runs, layer, ours, mut peers, is_installed_left_out, json, plot } =
        Wanted::parse(arguments)?;
    peers::install_debian()?;
    let theirs = shell::find("skopeo").context("there is no installed skopeo to compare with")?;
    let ours = match ours {
        Some(program) => program,
        // As it is given to users.
        None => shell::program("dist")?,
    };
    let place = tempfile::Builder::new().prefix("skopeo-bench-").tempdir_in("/var/tmp")?;
    let mut world = World {
        place: place.path().to_owned(),
        source: Registry::start(&place.path().join("source"), Kind::Docker)?,
        destination: Registry::start(&place.path().join("destination"), Kind::Docker)?,
        serial: 0,
    };
    if !is_installed_left_out {
        peers.insert(0, Peer { name: "installed".to_owned(), program: theirs.clone() });
    }
    let bench = Bench { ours, peers, only, runs, layer, rows: RefCell::default() };
    let cases: Vec<&Case> =
        CASES.iter().filter(|case| bench.wants(case.name) && case.is_possible()).collect();
    if !cases.is_empty() || ways::NAMES.iter().any(|name| bench.wants(name)) {
        println!("making the images ...");
        make_images(&world, layer, &theirs)?;
    }
    let size = fs_err::metadata(&bench.ours)?.len() as f64 / 1e6;
    println!("ours: {} ({size:.1} MB); {runs} pairs, medians", version(&bench.ours)?);
    for peer in &bench.peers {
        let word = if peer.is_crane() { "version" } else { "--version" };
        let version = shell::output(Command::new(&peer.program).arg(word))?;
        println!("{}: {} ({})", peer.name, peer.program.display(), version.trim());
    }
    println!();
    Row::print_names();
    let rows = cases.iter().try_for_each(|case| row(case, &mut world, &bench).map(drop));
    // What is still mounted could not be removed.
    release(&world.place.join("out"))?;
    rows?;
    let World { source, destination, .. } = world;
    drop(destination);
    ways::run(place.path(), &bench, &source)?;
    drop(source);
    signed::run(place.path(), &bench)?;
    sync::run(place.path(), &bench)?;
    let rows = bench.rows.borrow();
    let busy = rows.iter().filter(|row| row.is_busy()).count();
    if busy > 0 {
        println!("\nthe machine was busy with other things before {busy} of {} rows", rows.len());
    }
    if let Some(path) = json {
        record::write_json(&path, &rows)?;
    }
    if let Some(path) = plot {
        record::write_plot(&path, &rows)?;
    }
    Ok(())
}

/// Prints a row for each peer that can do the case. The seconds of processor time of ours and the
/// first.
fn row(case: &Case, world: &mut World, bench: &Bench) -> Result<(f64, f64)> {
    let temporary = world.place.join("temporary");
    fs_err::create_dir_all(&temporary)?;
    let busy = peer::busy()?;
    let able = |peer: &&Peer| peer.arguments(case, world).is_some();
    let peers: Vec<&Peer> = bench.peers.iter().filter(able).collect();
    let ours = Peer { name: "ours".to_owned(), program: bench.ours.clone() };
    let mut figures: Vec<Runs> = (0..=peers.len()).map(|_| Runs::default()).collect();
    // One round first that is not counted: caches of files and pages fill.
    for round in 0..=bench.runs {
        for (program, figures) in [&ours].into_iter().chain(peers.iter().copied()).zip(&mut figures)
        {
            world.fresh()?;
            if let Some(before) = case.before {
                let by = if program.is_crane() { &ours } else { program };
                let mut command = Command::new(&by.program);
                command.arg("--insecure-policy").args(before(world));
                measure(&command, &temporary).with_context(|| format!("before {}", case.name))?;
            }
            let mut command = Command::new(&program.program);
            if !case.bare && !program.is_crane() {
                command.args(["--insecure-policy", "--tmpdir"]).arg(&temporary);
            }
            command.args(program.arguments(case, world).unwrap_or_default());
            let seen = world.source.requests()? + world.destination.requests()?;
            let usage = measure(&command, &temporary)
                .with_context(|| format!("{} by {}", case.name, program.name))?;
            let requests = world.source.requests()? + world.destination.requests()? - seen;
            if round > 0 {
                figures.usage.push(usage);
                figures.requests.push(requests as f64);
                figures.stored.push(world.stored()? as f64 / 1e6);
            }
        }
    }
    let mut cpu = None;
    let [ours, theirs @ ..] = &figures[..] else { return Ok((0.0, 0.0)) };
    for (peer, theirs) in peers.iter().zip(theirs) {
        let row = Row::new((case.name, case.goal), &peer.name, busy, ours, theirs);
        row.print();
        cpu.get_or_insert_with(|| row.cpu());
        bench.rows.borrow_mut().push(row);
    }
    Ok(cpu.unwrap_or_default())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// `large`: 8 layers of files, which unpack to nearly three times as much; `small`: one of 1 MB; `index`: 6 platforms of two layers, one of them shared;
/// `repeat`: one layer four times; `files`: two layers of this machine's programs; `tree`: a layer
/// of many small files.
fn make_images(world: &World, layer: u64, skopeo: &Path) -> Result<()> {
    let folder = world.place.join("made");
    let mut layout = Layout::create(&folder)?;
    // Packed fast: to what size matters less than that it is read as layers are.
    let roots = ["/usr/lib", "/usr/share"];
    let layers = layers_of_files(&layout, &roots, 8, layer * 5 / 2, Compression::fast())?;
    layout.tag("large", layout.image("amd64", &layers)?)?;
    let small = layout.layer_of_noise(9, 1_000_000)?;
    layout.tag("small", layout.image("amd64", std::slice::from_ref(&small))?)?;
    let repeated = vec![layers[0].clone(); 4];
    layout.tag("repeat", layout.image("amd64", &repeated)?)?;
    let mut images = Vec::new();
    for (seed, platform) in (20..).zip(["amd64", "arm64", "ppc64le", "s390x", "riscv64", "386"]) {
        let own = layout.layer_of_noise(seed, layer / 5)?;
        images.push(layout.image(platform, &[small.clone(), own])?);
    }
    layout.tag("index", layout.index(&images)?)?;
    let files = layers_of_files(&layout, &["/usr/bin"], 2, layer, Compression::default())?;
    layout.tag("files", layout.image("amd64", &files)?)?;
    let tree = layout.layer_of_small_files(if layer < 100_000_000 { 500 } else { 20_000 })?;
    layout.tag("tree", layout.image("amd64", &[tree])?)?;
    for name in ["large", "small", "repeat", "index", "files", "tree"] {
        shell::output(
            Command::new(skopeo)
                .args(["--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"])
                .arg(format!("oci:{}:{name}", folder.display()))
                .arg(format!("docker://{}/{name}", world.source.address())),
        )?;
    }
    Ok(())
}

fn version(program: &Path) -> Result<String> {
    Ok(shell::output(Command::new(program).arg("--version"))?.trim().to_owned())
}

/// So many layers of the files below these folders, of about `size` bytes each before they are
/// packed.
fn layers_of_files(
    layout: &Layout,
    roots: &[&str],
    count: usize,
    size: u64,
    level: Compression,
) -> Result<Vec<crate::image::Layer>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for root in roots {
        let most = size.saturating_mul(count as u64);
        collect(Path::new(root), most, &mut files)?;
    }
    let mut rest = files.as_slice();
    let mut layers = Vec::new();
    for _ in 0..count {
        let mut taken = 0;
        let mut length = 0;
        while taken < rest.len() && length < size {
            length += fs_err::metadata(&rest[taken])?.len();
            taken += 1;
        }
        let (now, later) = rest.split_at(taken);
        rest = later;
        let named = |path: &PathBuf| path.to_string_lossy().trim_start_matches('/').to_owned();
        let names: Vec<String> = now.iter().map(named).collect();
        let now: Vec<(&str, &Path)> =
            names.iter().zip(now).map(|(name, path)| (&**name, path.as_path())).collect();
        layers.push(layout.layer_of_files_at(level, &now)?);
    }
    Ok(layers)
}

/// The readable files below a folder in the order of their names, until there are `most` bytes. Gives
/// how many bytes there are.
fn collect(folder: &Path, most: u64, files: &mut Vec<PathBuf>) -> Result<u64> {
    let mut entries = fs_err::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    let mut size = 0;
    for entry in entries {
        let kind = entry.file_type()?;
        if size >= most {
            break;
        }
        if kind.is_dir() {
            size += collect(&entry.path(), most - size, files)?;
        } else if kind.is_file() && fs_err::File::open(entry.path()).is_ok() {
            size += entry.metadata()?.len();
            files.push(entry.path());
        }
    }
    Ok(size)
}
