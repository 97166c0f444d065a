//! `cargo xtask fuzz`: every target for a while, each in a process of its own. A process that dies
//! leaves the input that it died of.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use fs_err as fs;
use serde_json::Value;
use skopeo_image::Digest;

use crate::shell;

/// How long a target runs if nothing is said.
const SECONDS: &str = "60";

/// What was asked for.
#[derive(Debug, Default)]
struct Wanted {
    targets: Vec<String>,
    jobs: usize,
    /// Flags of the program itself.
    passed: Vec<String>,
}

/// Builds the targets and runs them. `rest` is what stands behind the command.
pub(crate) fn run(rest: &[String]) -> Result<()> {
    let wanted = parse(rest)?;
    let mut build = shell::cargo();
    shell::run(build.args(["build", "--profile", "fuzz", "--package", "skopeo-fuzz"]))?;
    let program = shell::target_dir()?.join("fuzz").join("fuzz");
    let known = Command::new(&program).output().context("asking for the targets")?;
    let known = String::from_utf8(known.stdout)?;
    let targets: Vec<String> = match wanted.targets.as_slice() {
        [] => known.lines().map(str::to_owned).collect(),
        some => some.to_vec(),
    };
    if let Some(unknown) = targets.iter().find(|it| !known.lines().any(|name| name == *it)) {
        bail!("no target {unknown}; there are: {}", known.lines().collect::<Vec<_>>().join(", "));
    }
    let artifacts = shell::root().join("fuzz/artifacts");
    fs::create_dir_all(&artifacts)?;
    let waiting = Mutex::new(VecDeque::from(targets));
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..wanted.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(target) = next else { break };
                    let result = one(&program, &target, &wanted.passed, &artifacts);
                    match &result {
                        Ok(row) => println!("{row}"),
                        Err(error) => println!("{target}: {error:#}"),
                    }
                    results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let inputs: u64 = results.iter().flatten().map(|row| row.inputs).sum();
    let failed = results.iter().filter(|it| !matches!(it, Ok(row) if row.kept.is_none())).count();
    println!("{inputs} inputs in {} targets, {failed} findings", results.len());
    if failed > 0 {
        bail!("what was found lies in {}", artifacts.display());
    }
    Ok(())
}

fn parse(words: &[String]) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    let mut words = words.iter();
    while let Some(flag) = words.next() {
        let value = words.next().with_context(|| format!("{flag} wants a value"))?;
        match flag.as_str() {
            "--target" => wanted.targets.push(value.clone()),
            "--jobs" => wanted.jobs = value.parse().context("--jobs wants a number")?,
            "--inputs" | "--seconds" | "--start" => {
                value.parse::<u64>().with_context(|| format!("{flag} wants a number"))?;
                wanted.passed.extend([flag.clone(), value.clone()]);
            }
            _ => bail!("no flag {flag}"),
        }
    }
    if !wanted.passed.iter().any(|flag| flag == "--inputs" || flag == "--seconds") {
        wanted.passed.extend(["--seconds".to_owned(), SECONDS.to_owned()]);
    }
    Ok(wanted)
}

/// What has come of a target.
#[derive(Debug)]
struct Row {
    target: String,
    inputs: u64,
    seconds: f64,
    /// What went wrong, and where the input is.
    kept: Option<(String, PathBuf)>,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { target, inputs, seconds, kept } = self;
        write!(f, "{target}: {inputs} inputs in {seconds:.0} s")?;
        match kept {
            Some((message, path)) => write!(f, ": {message}\n  {}", path.display()),
            None => Ok(()),
        }
    }
}

fn one(program: &Path, target: &str, passed: &[String], artifacts: &Path) -> Result<Row> {
    let current = tempfile::NamedTempFile::new()?;
    let output = Command::new(program)
        .arg(target)
        .args(passed)
        .arg("--current")
        .arg(current.path())
        .stderr(Stdio::piped())
        .output()
        .context("starting it")?;
    let Output { status, stdout, stderr } = output;
    let Ok(said) = serde_json::from_slice::<Value>(&stdout) else {
        let input = kept_input(&fs::read(current.path())?)?;
        let stderr = String::from_utf8_lossy(&stderr);
        let message = format!("ended with {status}: {}", stderr.trim());
        let kept = Some((message, keep(artifacts, target, &input)?));
        return Ok(Row { target: target.to_owned(), inputs: 0, seconds: 0.0, kept });
    };
    let kept = match &said["finding"] {
        Value::Null => None,
        finding => {
            let input: Vec<u8> = serde_json::from_value(finding["input"].clone())?;
            let message = finding["message"].as_str().unwrap_or_default().to_owned();
            Some((message, keep(artifacts, target, &input)?))
        }
    };
    let inputs = said["inputs"].as_u64().unwrap_or_default();
    let seconds = said["seconds"].as_f64().unwrap_or_default();
    Ok(Row { target: target.to_owned(), inputs, seconds, kept })
}

/// The input that a process died of: its length, then its bytes.
fn kept_input(file: &[u8]) -> Result<Vec<u8>> {
    let (length, bytes) = file.split_first_chunk().context("it died before its first input")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    Ok(bytes.get(..length).context("its input was not written whole")?.to_vec())
}

fn keep(artifacts: &Path, target: &str, input: &[u8]) -> Result<PathBuf> {
    let digest = Digest::sha256(input);
    let name = format!("{target}-{}", digest.hex().get(..12).unwrap_or_default());
    let path = artifacts.join(name);
    fs::write(&path, input)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_for_the_program_or_for_us() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let wanted = parse(&words("--target a --jobs 3 --inputs 10 --target b")).unwrap();
        assert_eq!((wanted.targets.len(), wanted.jobs), (2, 3));
        assert_eq!(wanted.passed, ["--inputs", "10"]);
        assert_eq!(parse(&[]).unwrap().passed, ["--seconds", SECONDS]);
        for bad in ["--jobs", "--jobs x", "--inputs -1", "--what 1"] {
            assert!(parse(&words(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_input_is_read_back() {
        let file = [&3_u64.to_le_bytes()[..], b"abcdef"].concat();
        assert_eq!(kept_input(&file).unwrap(), b"abc");
        assert!(kept_input(b"abc").is_err());
        assert!(kept_input(&9_u64.to_le_bytes()).is_err());
    }
}
