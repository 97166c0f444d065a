//! What one run of a command used. Measured by a process of its own that has this one child, so
//! that the kernel's sums for children are this child's.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde_json::{Value, json};
use skopeo_testkit::proxy::Client;

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

/// The command that needs a client.
pub(super) const PROXY: &str = "experimental-image-proxy";

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
    let mut measured = Measured::start(program, rest)?;
    let descriptors = format!("/proc/{}/fd", measured.id());
    let over = AtomicBool::new(false);
    let (wall, most) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                let named = super::size(Path::new(temporary)).unwrap_or_default();
                most = most.max(named + unnamed(Path::new(&descriptors)));
                std::thread::sleep(GLANCE);
            }
            most
        });
        let ended = measured.end();
        let wall = start.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        (ended.map(|()| wall), watcher.join().unwrap_or_default())
    });
    let wall = wall.with_context(|| format!("running {program}"))?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6;
    println!("{wall} {cpu} {} {}", usage.max_rss() as f64 / 1024.0, most as f64 / 1e6);
    Ok(())
}

/// What runs: a program alone, or with a client that asks it for an image.
enum Measured {
    Alone(Child),
    Proxy { client: Box<Client>, image: String, whole: bool },
}

impl Measured {
    /// Of a proxy, the last two words say what its client asks for.
    fn start(program: &str, arguments: &[String]) -> Result<Self> {
        let mut command = Command::new(OsString::from(program));
        if let [all @ .., image, how] = arguments
            && all.iter().any(|word| word == PROXY)
        {
            command.args(all);
            let client = Box::new(Client::of(command));
            return Ok(Self::Proxy { client, image: image.clone(), whole: how == "whole" });
        }
        let child = command.args(arguments).stdout(Stdio::null()).spawn();
        Ok(Self::Alone(child.with_context(|| format!("starting {program}"))?))
    }

    fn id(&self) -> u32 {
        match self {
            Self::Alone(child) => child.id(),
            Self::Proxy { client, .. } => client.id(),
        }
    }

    /// Waits until all is done.
    fn end(&mut self) -> Result<()> {
        match self {
            Self::Alone(child) => {
                let status = child.wait()?;
                if !status.success() {
                    bail!("it ended with {status}");
                }
                Ok(())
            }
            Self::Proxy { client, image, whole } => fetch(client, image, *whole),
        }
    }
}

/// Fetches the manifest of an image through a proxy, and its layers if it is to be whole.
fn fetch(client: &mut Client, image: &str, whole: bool) -> Result<()> {
    client.call("Initialize", json!([]));
    let id = client.open(image);
    let (_, manifest) = client.piped("GetManifest", json!([id]));
    let Ok(manifest) = manifest else { bail!("there is no manifest") };
    let manifest: Value = serde_json::from_slice(&manifest)?;
    for layer in manifest["layers"].as_array().into_iter().flatten().filter(|_| whole) {
        let arguments = json!([id, layer["digest"], layer["size"]]);
        let mut answer = client.call("GetBlob", arguments);
        let mut reader = File::from(answer.pipe());
        let reading = std::thread::spawn(move || -> std::io::Result<u64> {
            let (mut all, mut buffer) = (0, vec![0; 128 * 1024]);
            loop {
                match reader.read(&mut buffer)? {
                    0 => return Ok(all),
                    some => all += some as u64,
                }
            }
        });
        client.call("FinishPipe", json!([answer.number()])).value();
        if !reading.join().is_ok_and(|read| read.ok() == layer["size"].as_u64()) {
            bail!("a layer did not come whole");
        }
    }
    let run = client.end();
    if run.code != Some(0) {
        bail!("{run}");
    }
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
