//! `cargo xtask dist`: what users install.
//!
//! Everything is made from three things: the program, files of this project, and a time. So the same
//! commit gives the same bytes in every folder.

mod archive;
mod build;
mod container;
mod deb;
mod licences;
mod parts;
mod rpm;
mod sbom;
mod tree;
mod tried;
mod twice;
mod used;
mod windows;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use fs_err as fs;
use skopeo_image::Digest;

use crate::shell;

/// What the packages are called: Debian's and Fedora's have taken `skopeo`.
const NAME: &str = "skopeo-rs";

/// What it is, in one line.
const SUMMARY: &str = "Copies, inspects, signs, mirrors and serves container images";

/// Where it is at home.
const HOME: &str = "https://github.com/skopeo-rs/skopeo";

/// The original whose place the packages take.
const STANDS_IN_FOR: &str = "1.24.0";

/// A system that is released for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    X86_64,
    Aarch64,
    Windows,
}

impl Target {
    const ALL: [Self; 3] = [Self::X86_64, Self::Aarch64, Self::Windows];

    /// As rustc calls it.
    fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-musl",
            Self::Aarch64 => "aarch64-unknown-linux-musl",
            Self::Windows => "x86_64-pc-windows-gnu",
        }
    }

    /// As rpm, uname and our own files call it.
    fn machine(self) -> &'static str {
        match self {
            Self::X86_64 | Self::Windows => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As Debian, Go and images call it.
    fn architecture(self) -> &'static str {
        match self {
            Self::X86_64 | Self::Windows => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// As our own files call it.
    fn system(self) -> &'static str {
        match self {
            Self::X86_64 | Self::Aarch64 => "linux",
            Self::Windows => "windows",
        }
    }

    /// What the program is called.
    fn program(self) -> &'static str {
        match self {
            Self::X86_64 | Self::Aarch64 => "skopeo",
            Self::Windows => "skopeo.exe",
        }
    }

    /// Whether this machine runs its programs.
    fn is_here(self) -> bool {
        env::consts::OS == self.system() && env::consts::ARCH == self.machine()
    }

    /// The words that name it.
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::X86_64 | Self::Aarch64 => [self.triple(), self.machine(), self.architecture()],
            Self::Windows => [self.triple(), self.system(), "win64"],
        }
    }
}

/// What is asked for.
#[derive(Debug)]
struct Request {
    targets: Vec<Target>,
    /// A program that is there already, for each target that has one: it is not built.
    programs: Vec<(Target, PathBuf)>,
    out: PathBuf,
    profile: String,
    /// Whether to try what was made.
    tries: bool,
    /// Whether to build each program a second time, in another folder, and compare.
    twice: bool,
}

impl Request {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut request = Self {
            targets: Vec::new(),
            programs: Vec::new(),
            out: shell::target_dir()?.join("dist-out"),
            profile: "dist".to_owned(),
            tries: true,
            twice: false,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--target" => request.targets.push(target(value()?)?),
                "--program" => {
                    let value = value()?;
                    let (machine, path) =
                        value.split_once('=').context("--program MACHINE=PATH")?;
                    request.programs.push((target(machine)?, path.into()));
                }
                "--out" => request.out = value()?.into(),
                "--profile" => request.profile = value()?.clone(),
                "--no-try" => request.tries = false,
                "--twice" => request.twice = true,
                _ => bail!("{word:?} is no option of dist"),
            }
        }
        if request.targets.is_empty() {
            request.targets = vec![Target::X86_64, Target::Aarch64];
        }
        Ok(request)
    }
}

fn target(name: &str) -> Result<Target> {
    let found = Target::ALL.into_iter().find(|target| target.names().contains(&name));
    found.with_context(|| format!("{name:?} is no target; x86_64, aarch64 and windows are"))
}

/// Builds the programs, packs them in every way, and tries what this machine can try.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let request = Request::parse(arguments)?;
    let time = time()?;
    if request.out.exists() {
        fs::remove_dir_all(&request.out)?;
    }
    fs::create_dir_all(&request.out)?;
    let place = build::Place::here()?;
    let mut built = Vec::new();
    for target in &request.targets {
        let given = request.programs.iter().find(|(of, _)| of == target);
        let program = match given {
            Some((_, path)) => path.clone(),
            None => build::program(*target, &request.profile, time, &place)?,
        };
        if request.twice {
            twice::compare(*target, &program, &request.profile, time)?;
        }
        built.push((*target, program));
    }
    let runs = built.iter().find(|(target, _)| target.is_here());
    let (_, runs) = runs.context(
        "one of the targets must be this machine's: it writes the scripts of completion",
    )?;
    let mut trees = Vec::new();
    let mut files = Vec::new();
    for (target, program) in &built {
        files.push(sbom::write(*target, &request.out, time)?);
        if *target == Target::Windows {
            files.push(windows::write(program, &request.out, time)?);
            continue;
        }
        let tree = tree::Tree::read(*target, program, runs)?;
        files.push(archive::write(&tree, &request.out, time)?);
        files.push(deb::write(&tree, &request.out, time)?);
        files.push(rpm::write(&tree, &request.out, time)?);
        trees.push(tree);
    }
    files.push(container::write(&trees, runs, &request.out, time)?);
    sums(&request.out, &files)?;
    if request.tries {
        tried::all(&trees, runs, &request.out)?;
        if request.targets.contains(&Target::Windows) {
            windows::try_it(runs, &request.out)?;
        }
    }
    for file in &files {
        let size = fs::metadata(request.out.join(file))?.len();
        println!("{:>9} KiB  {file}", size.div_ceil(1024));
    }
    println!("{}", request.out.display());
    Ok(())
}

/// Our own version.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The time that all files have, in seconds since 1970: `SOURCE_DATE_EPOCH`, else that of the commit.
fn time() -> Result<u64> {
    if let Ok(time) = env::var("SOURCE_DATE_EPOCH") {
        return time.parse().context("SOURCE_DATE_EPOCH is no number");
    }
    let mut git = Command::new("git");
    git.current_dir(shell::root()).args(["log", "-1", "--format=%ct"]);
    let told = shell::output(&mut git).context("without git, set SOURCE_DATE_EPOCH")?;
    told.trim().parse().context("git told no time")
}

/// Writes SHA256SUMS.
fn sums(out: &Path, files: &[String]) -> Result<()> {
    let mut names: Vec<&String> = files.iter().collect();
    names.sort();
    let mut text = String::new();
    for name in names {
        let digest = Digest::sha256(&fs::read(out.join(name))?);
        text.push_str(&format!("{}  {name}\n", digest.hex()));
    }
    Ok(fs::write(out.join("SHA256SUMS"), text)?)
}

#[cfg(test)]
mod tests {
    use super::tree::{File, Tree};
    use super::*;

    fn tree(target: Target) -> Tree {
        let file = |path: &str, mode, text: &str| File::new(path, mode, text.as_bytes().to_vec());
        Tree {
            target,
            files: vec![
                file("usr/bin/skopeo", 0o755, "program"),
                file("usr/share/man/man1/skopeo.1.gz", 0o644, "page"),
            ],
        }
    }

    fn all(out: &Path) -> Vec<String> {
        let tree = tree(Target::X86_64);
        fs::create_dir_all(out).unwrap();
        let program = out.join("program");
        fs::write(&program, "program").unwrap();
        let files = vec![
            windows::write(&program, out, 1_700_000_000).unwrap(),
            archive::write(&tree, out, 1_700_000_000).unwrap(),
            deb::write(&tree, out, 1_700_000_000).unwrap(),
            rpm::write(&tree, out, 1_700_000_000).unwrap(),
        ];
        sums(out, &files).unwrap();
        files
    }

    /// What is packed depends on neither the folder nor the moment.
    #[test]
    fn the_same_files_make_the_same_packages() {
        let tmp = tempfile::tempdir().unwrap();
        let (one, two) = (tmp.path().join("one"), tmp.path().join("a/longer/two"));
        let files = all(&one);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(all(&two), files);
        for file in files.iter().map(String::as_str).chain(["SHA256SUMS"]) {
            assert!(
                fs::read(one.join(file)).unwrap() == fs::read(two.join(file)).unwrap(),
                "{file}"
            );
        }
    }

    #[test]
    fn targets_have_three_names() {
        for name in ["aarch64", "arm64", "aarch64-unknown-linux-musl"] {
            assert_eq!(target(name).unwrap(), Target::Aarch64);
        }
        assert_eq!(target("x86_64").unwrap(), Target::X86_64);
        assert_eq!(target("windows").unwrap(), Target::Windows);
        assert!(target("riscv64").is_err());
    }
}
