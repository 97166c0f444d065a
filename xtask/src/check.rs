//! `cargo xtask check`: what every commit must pass without running a test.

use anyhow::Result;

use crate::shell::{self, cargo};
use crate::supply;

/// Formatting, lints (warnings being errors), and what the program is made of.
pub(crate) fn run() -> Result<()> {
    shell::run(cargo().args(["fmt", "--all", "--", "--check"]))?;
    supply::check()?;
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

/// Writes docs/man and completions from the table of flags.
pub(crate) fn man() -> Result<()> {
    shell::run(
        cargo()
            .args(["test", "--quiet", "--package", "skopeo", "--test", "it", "man"])
            .env("SKOPEO_BLESS", "1"),
    )
}
