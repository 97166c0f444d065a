//! `cargo xtask check --bench`: how many instructions hot work takes, against what is written down. It is
//! the same on a busy machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell::{self, cargo, root};

/// Where the numbers are, in thousands, by the name of the work.
const FILE: &str = "xtask/instructions.json";

/// What is counted: see `crates/blob/examples/instructions.rs`.
const WORK: [&str; 7] = ["nothing", "hash", "inflate", "gzip", "gzip-1", "gzip-6", "write"];

/// How much more may be needed, in percent.
const TOLERATED: u64 = 5;

/// Counts and compares; with `SKOPEO_BLESS`, writes what was counted down.
pub(crate) fn check() -> Result<()> {
    let Some(valgrind) = shell::find("valgrind") else {
        println!("NOT COUNTED: valgrind is not installed, so no instructions are compared");
        return Ok(());
    };
    shell::run(cargo().args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "skopeo-blob",
        "--example",
        "instructions",
    ]))?;
    let folder = shell::target_dir()?;
    let program = folder.join("release/examples/instructions");
    let mut counted = BTreeMap::new();
    for work in WORK {
        counted.insert(work.to_owned(), count(&valgrind, &program, work)?);
    }
    if std::env::var_os("SKOPEO_BLESS").is_some() {
        return Ok(fs_err::write(
            root().join(FILE),
            serde_json::to_string_pretty(&counted)? + "\n",
        )?);
    }
    let expected: BTreeMap<String, u64> =
        serde_json::from_slice(&fs_err::read(root().join(FILE))?)?;
    let slower = compare(&expected, &counted);
    for line in &slower {
        println!("{line}");
    }
    if slower.is_empty() {
        Ok(())
    } else {
        bail!("hot work takes more instructions than {FILE} says")
    }
}

/// The instructions of one run, in thousands.
fn count(valgrind: &Path, program: &Path, work: &str) -> Result<u64> {
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).arg(work);
    let output = command.output().context("running valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("valgrind on {work}: {}", text.trim());
    }
    // `==123== Collected : 456`
    let line = text.lines().find_map(|line| line.split_once("Collected :"));
    let number = line.and_then(|(_, number)| number.trim().parse::<u64>().ok());
    Ok(number.with_context(|| format!("valgrind on {work} collected nothing"))? / 1000)
}

/// What takes more than it may, a line each.
fn compare(expected: &BTreeMap<String, u64>, counted: &BTreeMap<String, u64>) -> Vec<String> {
    let lines = counted.iter().filter_map(|(work, now)| {
        let Some(before) = expected.get(work) else {
            return Some(format!("{work}: {now} thousand instructions, and none are written down"));
        };
        (now * 100 > before * (100 + TOLERATED)).then(|| {
            let more = (*now as f64 / *before as f64 - 1.0) * 100.0;
            format!("{work}: {now} thousand instructions, {more:.1} % more than {before}")
        })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_told_and_less_is_not() {
        let of = |list: &[(&str, u64)]| -> BTreeMap<String, u64> {
            list.iter().map(|(work, count)| ((*work).to_owned(), *count)).collect()
        };
        let expected = of(&[("a", 1000), ("b", 1000), ("c", 1000)]);
        let slower = compare(&expected, &of(&[("a", 1050), ("b", 1051), ("c", 10), ("d", 1)]));
        assert_eq!(
            slower,
            [
                "b: 1051 thousand instructions, 5.1 % more than 1000",
                "d: 1 thousand instructions, and none are written down",
            ]
        );
    }
}
