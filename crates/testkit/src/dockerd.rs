//! A Docker daemon of one's own, where one is installed and may be run.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::certificate::Certificate;
use crate::run::{Run, in_ci, installed};

/// How long it may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Docker daemon for one test: its own socket, folders and containerd, no networks, and no trace
/// of it when the value is gone.
#[derive(Debug)]
pub struct Dockerd {
    child: Child,
    /// Where it listens with TLS, if it does, and the folder of `ca.pem`, `cert.pem`, `key.pem`.
    tls: Option<(SocketAddr, PathBuf)>,
    folder: tempfile::TempDir,
}

impl Dockerd {
    /// Starts one on a socket. Use it with [`cannot!`](crate::cannot).
    ///
    /// # Errors
    /// Why there cannot be one here, as text: it wants root, and leave to mount.
    ///
    /// # Panics
    /// In CI, if it is not installed.
    pub fn start() -> Result<Self, String> {
        Self::launch(false)
    }

    /// Starts one on a socket, and on a port of loopback for those who have a certificate.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_tls() -> Result<Self, String> {
        Self::launch(true)
    }

    fn launch(tls: bool) -> Result<Self, String> {
        let Some(program) = installed("dockerd") else {
            assert!(!in_ci(), "in CI no test may be skipped: dockerd (docker.io) is not installed");
            return Err("dockerd (docker.io) is not installed".to_owned());
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t0"));
        if !is_root {
            return Err("dockerd can be run by root only".to_owned());
        }
        // Not below TMPDIR: the path of a socket has 108 bytes at most.
        let folder = tempfile::Builder::new()
            .prefix("dockerd-")
            .tempdir_in("/tmp")
            .map_err(|error| error.to_string())?;
        let place = |name: &str| folder.path().join(name);
        let mut command = Command::new(program);
        command
            .arg("--host")
            .arg(format!("unix://{}", place("socket").display()))
            .arg("--data-root")
            .arg(place("data"))
            .arg("--exec-root")
            .arg(place("exec"))
            .arg("--pidfile")
            .arg(place("pid"))
            .args(["--storage-driver=vfs", "--bridge=none", "--iptables=false"])
            .args(["--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]);
        let tls = tls.then(|| {
            let certificates = place("certificates");
            let address = certificates_and_port(&certificates);
            let file = |name: &str| certificates.join(name);
            command.arg("--host").arg(format!("tcp://{address}")).arg("--tlsverify");
            command.arg("--tlscacert").arg(file("ca.pem"));
            command.arg("--tlscert").arg(file("cert.pem")).arg("--tlskey").arg(file("key.pem"));
            (address, certificates)
        });
        let log = fs::File::create(place("log")).map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.into_parts().0);
        let child = command.spawn().map_err(|error| format!("starting dockerd: {error}"))?;
        let mut this = Self { child, tls, folder };
        this.wait_until_it_listens()?;
        Ok(this)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let listens = |this: &Self| {
            UnixStream::connect(this.folder.path().join("socket")).is_ok()
                && this.tls.as_ref().is_none_or(|(address, _)| TcpStream::connect(address).is_ok())
        };
        while !listens(self) {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(3).collect();
                return Err(format!("dockerd does not start: {}", last.join(" / ")));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Returns `unix:///path`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    /// Returns `tcp://127.0.0.1:port`, and the folder of certificates.
    ///
    /// # Panics
    /// If it does not listen there.
    #[must_use]
    pub fn tls_host(&self) -> (String, &Path) {
        let (address, certificates) = self.tls.as_ref().expect("it was started with start_tls()");
        (format!("tcp://{address}"), certificates)
    }

    /// Returns what `docker` says, asked for this daemon.
    ///
    /// # Panics
    /// If `docker` is not installed beside `dockerd`.
    pub fn docker(&self, arguments: &[&str]) -> Run {
        let output = Command::new(installed("docker").expect("docker beside dockerd"))
            .env("DOCKER_HOST", self.host())
            .env("DOCKER_CONFIG", self.folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("docker");
        Run {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }

    /// Returns its process, to be stopped or killed.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let signal = |signal: &str, process: &str| {
            let _ = Command::new("kill").args([signal, process]).stderr(Stdio::null()).status();
        };
        let process = self.child.id().to_string();
        // A test may have stopped it.
        signal("-CONT", &process);
        signal("-TERM", &process);
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().ok().flatten().is_none() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            sleep(Duration::from_millis(50));
        }
        // One that was killed leaves its own containerd behind.
        let containerd = self.folder.path().join("exec/containerd/containerd.pid");
        if let Ok(process) = fs::read_to_string(containerd) {
            signal("-KILL", process.trim());
        }
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let ours = self.folder.path().display().to_string();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| point.starts_with(&ours)) {
            let _ = Command::new("umount").args(["-l", point]).stderr(Stdio::null()).status();
        }
    }
}

/// Writes what server and client show each other, and finds a port.
fn certificates_and_port(folder: &Path) -> SocketAddr {
    let Certificate { ca, certificate, key } = Certificate::new(&["localhost", "127.0.0.1"]);
    fs::create_dir(folder).expect("a folder");
    for (name, text) in [("ca.pem", ca), ("cert.pem", certificate), ("key.pem", key)] {
        fs::write(folder.join(name), text).expect("a file");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}
