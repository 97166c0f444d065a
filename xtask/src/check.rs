//! `cargo xtask check`: what every commit must pass without running a test.

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
    ]))
}

/// Writes docs/man and docs/commands from the table of flags.
pub(crate) fn man() -> Result<()> {
    shell::run(
        cargo()
            .args(["test", "--quiet", "--package", "skopeo", "--test", "it", "man"])
            .env("SKOPEO_BLESS", "1"),
    )
}
