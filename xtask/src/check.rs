//! `cargo xtask check`: what every commit must pass without running a test.

use anyhow::Result;

use crate::shell::{self, cargo};

/// Formatting and lints, warnings being errors.
pub(crate) fn run() -> Result<()> {
    shell::run(cargo().args(["fmt", "--all", "--", "--check"]))?;
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
