//! Building a program that is linked statically, the same in every folder.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use fs_err as fs;

use super::{Target, sbom};
use crate::shell::{self, cargo};

/// Where something is built.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The root of the sources.
    pub(super) root: PathBuf,
    /// The folder that cargo builds into.
    pub(super) target: PathBuf,
}

impl Place {
    /// This checkout.
    pub(super) fn here() -> Result<Self> {
        Ok(Self { root: shell::root(), target: shell::target_dir()? })
    }
}

/// Builds the program for a target and says where it is.
pub(super) fn program(target: Target, profile: &str, time: u64, place: &Place) -> Result<PathBuf> {
    let folder = shell::target_dir()?;
    let triple = target.triple();
    let compiler = compiler(target, &folder.join("dist-tools"))?;
    let mut command = cargo();
    command.current_dir(&place.root).env("CARGO_TARGET_DIR", &place.target);
    // What the tests of the workspace need of a crate is not in the program.
    command.env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION");
    if auditable(&folder) {
        command.arg("auditable");
    }
    command.args(["rustc", "--locked", "--profile", profile]);
    command.args(["--package", "skopeo", "--bin", "skopeo", "--target", triple]);
    let name = triple.replace('-', "_");
    let home = cargo_home()?;
    // Where it is built must not show.
    let places = [(&place.target, "/target"), (&place.root, "/skopeo"), (&home, "/cargo")];
    let mut rust = Vec::new();
    let mut c = String::from("-fno-sanitize=undefined");
    for (place, instead) in places {
        rust.push(format!("--remap-path-prefix={}={instead}", place.display()));
        c.push_str(&format!(" -ffile-prefix-map={}={instead}", place.display()));
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"));
    command.env(format!("CC_{name}"), &compiler).env(format!("CFLAGS_{name}"), c);
    command.env("SOURCE_DATE_EPOCH", time.to_string());
    if let Ok(commit) = sbom::commit() {
        command.env("SKOPEO_COMMIT", commit.get(..12).unwrap_or(&commit));
    }
    let tools = folder.join("tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(tools).chain(env::split_paths(&path));
    command.env("PATH", env::join_paths(paths)?);
    command.arg("--").args(linking(target));
    shell::run(&mut command)?;
    Ok(place.target.join(triple).join(profile).join(target.program()))
}

/// What rustc is told of linking.
fn linking(target: Target) -> &'static [&'static str] {
    match target {
        // rustc's own linker: no compiler of this machine brings one for another, and the same linker
        // everywhere gives the same bytes. Equal functions become one. What a program that lies
        // anywhere in memory has to be told of its own addresses is packed.
        Target::X86_64 | Target::Aarch64 => &[
            "-Clinker=rust-lld",
            "-Clink-self-contained=yes",
            "-Clink-arg=--icf=safe",
            "-Clink-arg=--pack-dyn-relocs=relr",
        ],
        Target::Windows => &["-Clink-arg=-Wl,--no-insert-timestamp"],
    }
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::var_os("HOME").context("HOME is not set")?;
    Ok(Path::new(&home).join(".cargo"))
}

/// A compiler of C for the target: Debian's for musl and for Windows, else zig, which PyPI has as
/// `ziglang`.
fn compiler(target: Target, tools: &Path) -> Result<PathBuf> {
    if target == Target::Windows {
        let mingw = shell::find("x86_64-w64-mingw32-gcc");
        return mingw.context("there is no compiler for Windows (Debian: gcc-mingw-w64-x86-64)");
    }
    if target.is_here()
        && let Some(musl) = shell::find("musl-gcc")
    {
        return Ok(musl);
    }
    let zig = match shell::find("zig") {
        Some(zig) => format!("{} cc", zig.display()),
        None => {
            let works = Command::new("python3").args(["-m", "ziglang", "version"]).output();
            if !works.is_ok_and(|output| output.status.success()) {
                bail!("there is no compiler of C for {}: pip install ziglang", target.triple());
            }
            "python3 -m ziglang cc".to_owned()
        }
    };
    fs::create_dir_all(tools)?;
    let script = tools.join(format!("cc-{}", target.machine()));
    fs::write(&script, wrapper(&zig, target))?;
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755))?;
    Ok(script)
}

/// zig spells targets in its own way, and takes the oldest machine of each if none is named.
fn wrapper(zig: &str, target: Target) -> String {
    format!(
        "#!/bin/sh\nfor word; do\n    shift\n    case \"$word\" in\n        \
         --target=* | -march=*) ;;\n        *) set -- \"$@\" \"$word\" ;;\n    esac\ndone\n\
         exec {zig} -target {}-linux-musl \"$@\"\n",
        target.machine()
    )
}

/// Whether the list of crates can be written into the program, for scanners: `cargo auditable`, which
/// is built if it is not there.
fn auditable(folder: &Path) -> bool {
    if shell::find("cargo-auditable").is_some()
        || folder.join("tools/bin/cargo-auditable").is_file()
    {
        return true;
    }
    let mut install = cargo();
    install.args(["install", "--quiet", "--locked", "--root"]).arg(folder.join("tools"));
    let installed = shell::run(install.arg("cargo-auditable")).is_ok();
    if !installed {
        eprintln!("SKIPPED: the list of crates in the program: cargo install cargo-auditable");
    }
    installed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the wrapper with `printf` in the place of zig.
    #[test]
    fn the_wrapper_leaves_out_what_zig_does_not_know() {
        let script = wrapper("printf '%s\\n'", Target::Aarch64);
        let words = ["--target=aarch64-unknown-linux-musl", "-O3", "-march=x86-64", "a b.c"];
        let output = Command::new("sh").args(["-c", &script, "cc"]).args(words).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told, "-target\naarch64-linux-musl\n-O3\na b.c\n");
    }
}
