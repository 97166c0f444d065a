//! `cargo xtask check`: what every commit must pass without running a test.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::shell::{self, cargo};
use crate::{book, supply};

/// Formatting, lints (warnings being errors), what the program is made of, and the links of the manual.
pub(crate) fn run() -> Result<()> {
    shell::run(cargo().args(["fmt", "--all", "--", "--check"]))?;
    supply::check()?;
    book::check()?;
    shell::run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "--deny",
        "warnings",
    ]))?;
    smallest()
}

/// Checks the program without its optional parts. All crates are taken at once, so that what they use of
/// others is what it is in the whole program, and need not be checked anew. The fuzz targets need all parts.
fn smallest() -> Result<()> {
    shell::run(cargo().args([
        "check",
        "--workspace",
        "--exclude",
        "skopeo-fuzz",
        "--no-default-features",
        "--quiet",
    ]))
}

/// The other systems that the program is for, as rustc calls them, and the compiler of C that each takes.
const SYSTEMS: [(&str, &str); 2] =
    [("x86_64-pc-windows-gnu", "x86_64-w64-mingw32-gcc"), ("aarch64-apple-darwin", "xcrun")];

/// Checks the program for other systems, where their parts of Rust and a compiler of C are installed. That
/// takes minutes, and CI does not do it.
pub(crate) fn systems() -> Result<()> {
    let sysroot = shell::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let installed = Path::new(sysroot.trim()).join("lib/rustlib");
    for (system, compiler) in SYSTEMS {
        if !installed.join(system).is_dir() {
            eprintln!("SKIPPED: {system}: rustup target add {system}");
        } else if shell::find(compiler).is_none() {
            eprintln!("SKIPPED: {system}: there is no {compiler}");
        } else {
            shell::run(cargo().args(["check", "--package", "skopeo", "--target", system]))?;
        }
    }
    Ok(())
}

/// Writes docs/man and docs/commands from the table of flags.
pub(crate) fn man() -> Result<()> {
    shell::run(
        cargo()
            .args(["test", "--quiet", "--package", "skopeo", "--test", "it", "man"])
            .env("SKOPEO_BLESS", "1"),
    )
}
