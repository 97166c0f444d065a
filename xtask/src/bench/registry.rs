//! A registry on a port of its own: Debian's docker-registry, with its access log to count requests
//! by, or our own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use skopeo_testkit::{Certificate, SlowNetwork};

use crate::shell::{self, Server};

/// What serves.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Docker,
    /// The same over HTTPS, with a certificate of its own.
    DockerTls,
    /// This program of ours.
    Ours(PathBuf),
}

/// A running registry; it ends with this value.
pub(super) struct Registry {
    folder: PathBuf,
    data: PathBuf,
    kind: Kind,
    port: u16,
    server: Option<Server>,
    /// How long everything takes in each direction, and the way that takes it.
    one_way: Option<Duration>,
    way: Option<SlowNetwork>,
}

impl Registry {
    pub(super) fn start(folder: &Path, kind: Kind) -> Result<Self> {
        let mut registry = Self::new(folder, folder.join("data"), kind)?;
        registry.restart_empty()?;
        Ok(registry)
    }

    /// Another server for what `other` holds, which must not change any more.
    pub(super) fn beside(other: &Self, folder: &Path, kind: Kind) -> Result<Self> {
        let mut registry = Self::new(folder, other.data.clone(), kind)?;
        fs_err::create_dir_all(folder)?;
        registry.restart()?;
        Ok(registry)
    }

    fn new(folder: &Path, data: PathBuf, kind: Kind) -> Result<Self> {
        let (port, folder) = (shell::free_port()?, folder.to_owned());
        Ok(Self { folder, data, kind, port, server: None, one_way: None, way: None })
    }

    /// The same at the end of a long way.
    pub(super) fn far(mut self, one_way: Duration) -> Result<Self> {
        self.one_way = Some(one_way);
        self.restart()?;
        Ok(self)
    }

    pub(super) fn address(&self) -> String {
        match &self.way {
            Some(way) => way.address().to_string(),
            None => self.listens(),
        }
    }

    fn listens(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Forgets all images. The port is a new one, so that no client's cache knows the registry.
    pub(super) fn restart_empty(&mut self) -> Result<()> {
        self.server = None;
        if self.folder.exists() {
            fs_err::remove_dir_all(&self.folder)?;
        }
        fs_err::create_dir_all(&self.folder)?;
        self.restart()
    }

    /// Serves what is there, on a new port.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.server = None;
        self.port = shell::free_port()?;
        let mut command = match &self.kind {
            Kind::Docker | Kind::DockerTls => self.docker()?,
            Kind::Ours(program) => {
                let mut command = Command::new(program);
                command.args(["serve", "--create", "--listen", &self.listens()]).arg(self.data());
                command.stdout(Stdio::null());
                command
            }
        };
        let mut server = Server::start(command.stderr(Stdio::null()))?;
        server.wait_for(&self.listens())?;
        self.server = Some(server);
        self.way = match self.one_way {
            Some(one_way) => Some(SlowNetwork::to(self.listens().parse()?, one_way)),
            None => None,
        };
        Ok(())
    }

    fn docker(&self) -> Result<Command> {
        let tls = match self.kind {
            Kind::DockerTls => self.certificate()?,
            _ => String::new(),
        };
        let config = self.folder.join("config.yml");
        fs_err::write(
            &config,
            format!(
                "version: 0.1\n\
                 log:\n  level: error\n\
                 storage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
                 http:\n  addr: {}\n{tls}",
                self.data().display(),
                self.listens()
            ),
        )?;
        let log = fs_err::File::create(self.log())?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(log.into_file());
        Ok(command)
    }

    /// Makes a certificate; gives the lines of the configuration that name it.
    fn certificate(&self) -> Result<String> {
        let made = Certificate::new(&["127.0.0.1"]);
        let (certificate, key) = (self.folder.join("tls.crt"), self.folder.join("tls.key"));
        fs_err::write(&certificate, made.certificate)?;
        fs_err::write(&key, made.key)?;
        let (certificate, key) = (certificate.display(), key.display());
        Ok(format!("  tls:\n    certificate: {certificate}\n    key: {key}\n"))
    }

    /// Where what it holds lies.
    pub(super) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// How many requests have come since it was started, if it says so: ours does not.
    pub(super) fn requests(&self) -> Result<usize> {
        if let Kind::Ours(_) = self.kind {
            return Ok(0);
        }
        let text = fs_err::read_to_string(self.log()).context("reading the access log")?;
        Ok(text.lines().filter(|line| line.contains(" HTTP/")).count())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("access.log")
    }
}
