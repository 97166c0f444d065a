//! A registry on a port of its own: Debian's docker-registry, with its access log to count requests
//! by, or our own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::shell::{self, Server};

/// What serves.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Docker,
    /// This program of ours.
    Ours(PathBuf),
}

/// A running registry; it ends with this value.
pub(super) struct Registry {
    folder: PathBuf,
    kind: Kind,
    port: u16,
    server: Option<Server>,
}

impl Registry {
    pub(super) fn start(folder: &Path, kind: Kind) -> Result<Self> {
        let port = shell::free_port()?;
        let mut registry = Self { folder: folder.to_owned(), kind, port, server: None };
        registry.restart_empty()?;
        Ok(registry)
    }

    pub(super) fn address(&self) -> String {
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
            Kind::Docker => self.docker()?,
            Kind::Ours(program) => {
                let mut command = Command::new(program);
                command.args(["serve", "--create", "--listen", &self.address()]).arg(self.data());
                command.stdout(Stdio::null());
                command
            }
        };
        let mut server = Server::start(command.stderr(Stdio::null()))?;
        server.wait_for(&self.address())?;
        self.server = Some(server);
        Ok(())
    }

    fn docker(&self) -> Result<Command> {
        let config = self.folder.join("config.yml");
        fs_err::write(
            &config,
            format!(
                "version: 0.1\n\
                 log:\n  level: error\n\
                 storage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
                 http:\n  addr: {}\n",
                self.data().display(),
                self.address()
            ),
        )?;
        let log = fs_err::File::create(self.log())?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(log.into_file());
        Ok(command)
    }

    /// Where what it holds lies.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
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
