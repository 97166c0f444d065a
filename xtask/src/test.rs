//! `cargo xtask test`: everything, with all its set-up.

use anyhow::Result;

use crate::{check, peers, shell};

/// Installs the peers, checks the lints, runs all tests. `rest` goes to the test runner.
pub(crate) fn run(rest: &[String]) -> Result<()> {
    peers::install()?;
    check::run()?;
    let nextest = shell::find("cargo-nextest").is_some();
    let mut tests = shell::cargo();
    if nextest {
        tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        tests.args(["test", "--workspace", "--no-fail-fast"]);
    }
    shell::run(tests.args(rest))?;
    if nextest && rest.is_empty() {
        // The examples on the front pages, which nextest leaves out.
        return shell::run(shell::cargo().args(["test", "--workspace", "--doc", "--no-fail-fast"]));
    }
    Ok(())
}
