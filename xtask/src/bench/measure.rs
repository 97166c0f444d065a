//! What one run of a command used. Measured by a process of its own that has this one child, so
//! that the kernel's sums for children are this child's.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
    /// The most that lay in temporary files at once, those without a name included, in MB.
    pub(crate) temporary: f64,
}

/// How often temporary files are looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// Runs `command`, whose temporary files are below `temporary`, once and measures it; a command
/// that does not succeed is an error.
pub(crate) fn measure(command: &Command, temporary: &Path) -> Result<Usage> {
    let mut outer = Command::new(env::current_exe().context("looking for xtask itself")?);
    outer.arg("measure").arg(temporary).arg(command.get_program()).args(command.get_args());
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
        (true, &[wall, cpu, memory, temporary]) => Ok(Usage { wall, cpu, memory, temporary }),
        _ => bail!(
            "{} did not succeed: {}",
            crate::shell::line(command),
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    }
}

/// The inner process: runs the command, prints wall and processor seconds, peak MiB, and the most
/// MB of temporary files.
pub(crate) fn report(arguments: &[String]) -> Result<()> {
    let [temporary, program, rest @ ..] = arguments else { bail!("measure needs a command") };
    let start = Instant::now();
    let mut child = Command::new(OsString::from(program))
        .args(rest)
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let descriptors = format!("/proc/{}/fd", child.id());
    let ended = AtomicBool::new(false);
    let (status, most) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !ended.load(Ordering::Relaxed) {
                let named = super::size(Path::new(temporary)).unwrap_or_default();
                most = most.max(named + unnamed(Path::new(&descriptors)));
                std::thread::sleep(GLANCE);
            }
            most
        });
        let status = child.wait();
        let wall = start.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (status.map(|status| (status, wall)), watcher.join().unwrap_or_default())
    });
    let (status, wall) = status?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6;
    println!("{wall} {cpu} {} {}", usage.max_rss() as f64 / 1024.0, most as f64 / 1e6);
    Ok(())
}

/// The bytes of the files that a process has open and that have no name any more.
fn unnamed(descriptors: &Path) -> u64 {
    let Ok(entries) = fs_err::read_dir(descriptors) else { return 0 };
    let open = entries.filter_map(Result::ok).map(|entry| entry.path());
    let gone = open.filter(|path| {
        let target = fs_err::read_link(path).unwrap_or_default();
        target.to_string_lossy().ends_with(" (deleted)")
    });
    gone.filter_map(|path| fs_err::metadata(path).ok()).map(|file| file.len()).sum()
}
