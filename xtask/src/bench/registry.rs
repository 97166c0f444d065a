//! Debian's docker-registry on a port of its own, with its access log to count requests by.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::shell::{self, Server};

/// A running docker-registry; it ends with this value.
pub(super) struct Registry {
    folder: PathBuf,
    port: u16,
    server: Option<Server>,
}

impl Registry {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let port = shell::free_port()?;
        let mut registry = Self { folder: folder.to_owned(), port, server: None };
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
        self.port = shell::free_port()?;
        let config = self.folder.join("config.yml");
        fs_err::write(
            &config,
            format!(
                "version: 0.1\n\
                 log:\n  level: error\n\
                 storage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
                 http:\n  addr: {}\n",
                self.folder.join("data").display(),
                self.address()
            ),
        )?;
        let log = fs_err::File::create(self.log())?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stderr(Stdio::null()).stdout(log.into_file());
        let mut server = Server::start(&mut command)?;
        server.wait_for(&self.address())?;
        self.server = Some(server);
        Ok(())
    }

    /// How many requests have come since it was started.
    pub(super) fn requests(&self) -> Result<usize> {
        let text = fs_err::read_to_string(self.log()).context("reading the access log")?;
        Ok(text.lines().filter(|line| line.contains(" HTTP/")).count())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("access.log")
    }
}
