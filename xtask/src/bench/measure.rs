//! What one run of a command used. Measured by a process of its own that has this one child, so
//! that the kernel's sums for children are this child's.

use std::env;
use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// What the operating system accounted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of processor time, user and system.
    pub(crate) cpu: f64,
    /// Peak resident memory in MiB.
    pub(crate) memory: f64,
}

/// Runs `command` once and measures it; a command that does not succeed is an error.
pub(crate) fn measure(command: &Command) -> Result<Usage> {
    let mut outer = Command::new(env::current_exe().context("looking for xtask itself")?);
    outer.arg("measure").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    let output = outer.stdin(Stdio::null()).output().context("starting the measurement")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match (output.status.success(), figures.as_slice()) {
        (true, &[wall, cpu, memory]) => Ok(Usage { wall, cpu, memory }),
        _ => bail!(
            "{} did not succeed: {}",
            crate::shell::line(command),
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    }
}

/// The inner process: runs the command, prints wall and processor seconds and peak MiB.
pub(crate) fn report(arguments: &[String]) -> Result<()> {
    let (program, rest) = arguments.split_first().context("measure needs a command")?;
    let start = Instant::now();
    let status = Command::new(OsString::from(program))
        .args(rest)
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("starting {program}"))?;
    let wall = start.elapsed().as_secs_f64();
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6;
    println!("{wall} {cpu} {}", usage.max_rss() as f64 / 1024.0);
    Ok(())
}
