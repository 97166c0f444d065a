//! The programs that ours is compared with.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::World;
use super::cases::{Case, words};

/// A program, and what its rows are called.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) program: PathBuf,
}

impl Peer {
    /// Of `NAME=PROGRAM`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (name, program) = text.split_once('=').context("--peer needs NAME=PROGRAM")?;
        let program = fs_err::canonicalize(program)?;
        Ok(Self { name: name.to_owned(), program })
    }

    /// Whether it has crane's words and not skopeo's.
    pub(super) fn is_crane(&self) -> bool {
        self.program.file_name().is_some_and(|name| name == "crane")
    }

    /// What it is called with for a case; `None` if it cannot do that.
    pub(super) fn arguments(&self, case: &Case, world: &World) -> Option<Vec<String>> {
        let skopeo = (case.arguments)(world);
        if self.is_crane() { crane(case.name, &skopeo, world) } else { Some(skopeo) }
    }
}

/// The words of crane for those of skopeo. It has no flags for one side: `--insecure` is for both.
fn crane(case: &str, skopeo: &[String], world: &World) -> Option<Vec<String>> {
    let image = |word: &String| word.strip_prefix("docker://").map(str::to_owned);
    let images: Vec<String> = skopeo.iter().filter_map(image).collect();
    let folder = world.folder().display().to_string();
    let archive = format!("{folder}.tar");
    match (case, &images[..]) {
        ("registry to oci" | "registry to oci, TLS", [from]) => {
            Some(words(&["pull", "--insecure", "--format=oci", from, &folder]))
        }
        ("registry to docker-archive" | "registry to packed docker-archive", [from]) => {
            Some(words(&["pull", "--insecure", from, &archive]))
        }
        ("inspect -n" | "inspect -n, TLS", [from]) => Some(words(&["config", "--insecure", from])),
        (_, [from, to]) if skopeo.iter().all(|word| !word.contains("compress")) => {
            Some(words(&["copy", "--insecure", from, to]))
        }
        (
            "sync registry to registry" | "sync again, nothing to do" | "sync of 40 tags, 50 ms",
            [],
        ) => {
            let [.., from, to] = skopeo else { return None };
            // It names the repository itself, where skopeo names what is above it.
            let to = format!("{to}/{}", from.rsplit('/').next()?);
            let jobs: &[&str] = if case.contains("50 ms") { &["--jobs=16"] } else { &[] };
            Some(words(&[&["copy", "--insecure", "--all-tags"], jobs, &[from, &to]].concat()))
        }
        _ => None,
    }
}

/// The share of the processors that others use, from 0 to 1: while nothing is measured.
pub(super) fn busy() -> Result<f64> {
    let times = || -> Result<(f64, f64)> {
        let text = fs_err::read_to_string("/proc/stat")?;
        let line = text.lines().next().context("there is nothing in /proc/stat")?;
        let ticks: Vec<f64> =
            line.split_whitespace().skip(1).filter_map(|it| it.parse().ok()).take(8).collect();
        let [_, _, _, idle, waiting, ..] = ticks[..] else { return Ok((0.0, 0.0)) };
        Ok((ticks.iter().sum(), idle + waiting))
    };
    let (all, idle) = times()?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    let (all_now, idle_now) = times()?;
    let passed = all_now - all;
    Ok(if passed > 0.0 { 1.0 - (idle_now - idle) / passed } else { 0.0 })
}
