//! A Slurm cluster of one's own, of this machine alone, where one is installed and may be run.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::run::{Run, in_ci, installed};

/// How long the daemons may take to know each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it is made of, with the Debian packages.
const PROGRAMS: [(&str, &str); 4] = [
    ("munged", "munge"),
    ("slurmctld", "slurmctld"),
    ("slurmd", "slurmd"),
    ("sbatch", "slurm-client"),
];

/// A cluster for one test: a controller, one node, their own secret, on loopback. It ends with the
/// value.
#[derive(Debug)]
pub struct Slurm {
    daemons: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Slurm {
    /// Starts one. Use it with [`cannot!`](crate::cannot).
    ///
    /// # Errors
    /// Why there cannot be one here, as text: it wants root.
    ///
    /// # Panics
    /// In CI, if it is not installed.
    pub fn start() -> Result<Self, String> {
        for (program, package) in PROGRAMS {
            if installed(program).is_none() {
                assert!(!in_ci(), "in CI no test may be skipped: {program} is not installed");
                return Err(format!("{program} ({package}) is not installed"));
            }
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if !status.lines().any(|line| line.starts_with("Uid:\t0\t0")) {
            return Err("Slurm's daemons can be run by root only".to_owned());
        }
        // Not below TMPDIR: the path of a socket has 108 bytes at most. What munge trusts must be
        // in folders that all may pass.
        let folder = tempfile::Builder::new()
            .prefix("slurm-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in("/tmp")
            .map_err(|error| error.to_string())?;
        let mut this = Self { daemons: Vec::new(), folder };
        this.launch().map_err(|error| error.to_string())?;
        this.wait_until_it_is_up()?;
        Ok(this)
    }

    fn launch(&mut self) -> std::io::Result<()> {
        let place = |name: &str| self.folder.path().join(name).display().to_string();
        // Fewer bytes than this munge does not take.
        fs::write(
            place("key"),
            format!("{:?}{:?}", tempfile::tempdir()?, Instant::now()).repeat(16),
        )?;
        fs::set_permissions(place("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        for name in ["state", "spool"] {
            fs::create_dir(place(name))?;
        }
        let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
        let host = host.trim().split('.').next().unwrap_or_default();
        let (controller, node) = (free_port()?, free_port()?);
        let root = self.folder.path().display();
        let configuration = format!(
            "ClusterName=mirror\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\n\
             SlurmdUser=root\nAuthType=auth/munge\nAuthInfo=socket={root}/munge.socket\n\
             SlurmctldPort={controller}\nSlurmdPort={node}\nStateSaveLocation={root}/state\n\
             SlurmdSpoolDir={root}/spool\nSlurmctldPidFile={root}/slurmctld.pid\n\
             SlurmdPidFile={root}/slurmd.pid\nProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\nMpiDefault=none\nJobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\nJobCompType=jobcomp/none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\n\
             SchedulerType=sched/builtin\nReturnToService=2\n\
             NodeName={host} NodeAddr=127.0.0.1 Port={node} CPUs=2 State=UNKNOWN\n\
             PartitionName=mirror Nodes={host} Default=YES MaxTime=INFINITE State=UP\n"
        );
        fs::write(self.configuration(), configuration)?;
        let file = self.configuration().display().to_string();
        let socket = place("munge.socket");
        let munge = [
            format!("--socket={socket}"),
            format!("--key-file={}", place("key")),
            format!("--pid-file={}", place("munge.pid")),
            format!("--log-file={}", place("munge.log")),
            format!("--seed-file={}", place("munge.seed")),
        ];
        let munge: Vec<&str> = munge.iter().map(String::as_str).collect();
        self.spawn("munged", &[&["--foreground", "--force"][..], &munge].concat())?;
        let deadline = Instant::now() + PATIENCE;
        while !Path::new(&socket).exists() && Instant::now() < deadline {
            sleep(Duration::from_millis(20));
        }
        self.spawn("slurmctld", &["-D", "-c", "-f", &file])?;
        self.spawn("slurmd", &["-D", "-f", &file, "-N", host])
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) -> std::io::Result<()> {
        let log = fs::File::create(self.folder.path().join(format!("{program}.out")))?;
        let (log, _) = log.into_parts();
        let mut command = Command::new(installed(program).expect("it was there"));
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.daemons.push(command.spawn()?);
        Ok(())
    }

    fn wait_until_it_is_up(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !self.tool("sinfo", &["--noheader", "--format=%T"]).stdout.contains("idle") {
            let ended = self.daemons.iter_mut().any(|it| it.try_wait().ok().flatten().is_some());
            if ended || Instant::now() > deadline {
                let logs = ["munged.out", "slurmctld.out", "slurmd.out"].map(|name| {
                    let log = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
                    log.lines().last().unwrap_or_default().to_owned()
                });
                return Err(format!("Slurm does not start: {}", logs.join(" / ")));
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Returns the file that all its programs find it by, in `SLURM_CONF`.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    /// Runs one of its programs, as `squeue`.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> Run {
        let mut command = Command::new(installed(program).expect("a tool of Slurm's"));
        command.env("SLURM_CONF", self.configuration()).args(arguments).stdin(Stdio::null());
        let output = command.output().expect("it runs");
        Run {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // First what is running in it, then the node, the controller, and munge last.
        let _ = self.tool("scancel", &["--user=root"]);
        for daemon in self.daemons.iter_mut().rev() {
            let id = daemon.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
            let deadline = Instant::now() + PATIENCE;
            while daemon.try_wait().ok().flatten().is_none() {
                if Instant::now() > deadline {
                    let _ = daemon.kill();
                    let _ = daemon.wait();
                }
                sleep(Duration::from_millis(20));
            }
        }
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
