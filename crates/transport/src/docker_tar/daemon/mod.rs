//! `docker-daemon:`: the images of a Docker daemon, over its HTTP API.
//!
//! A daemon gives and takes images as `docker save` writes them. What it gives is put into an
//! unlinked file once, since what the parts mean stands at their end; what it takes is sent while
//! it is made, layers as they come: only one of unknown size waits in a file.

mod client;
mod endpoint;
mod error;
mod load;
mod name;

use std::path::Path;
use std::sync::Arc;

use skopeo_archive::Archive;
use skopeo_blob::file;

use super::name::Item;
use super::saved::Saved;
use super::source::SavedSource;
use crate::docker_tar::DockerTarError;
use crate::{Error, ImageName, Options, files};

pub use error::DaemonError;
pub(crate) use load::create;
pub use name::{DaemonName, DaemonNameError};

use client::Daemon;

/// Has an image given out, and opens it.
pub(crate) async fn open(name: &DaemonName, options: &Options) -> Result<SavedSource, Error> {
    let daemon = Daemon::new(options)?;
    let loading =
        |source| DockerTarError::Daemon { doing: "loading image from docker engine", source };
    let stream = daemon.save(&name.to_string()).await.map_err(loading)?;
    let spool = tempfile::tempfile_in(&options.tmpdir)?;
    let spool = file::spool(stream, spool).await?;
    let (label, most) = (name.to_string(), options.max_unpacked);
    let saved = files::blocking(move || {
        let path = format!("docker-daemon:{label}");
        Saved::read(Archive::of_file(spool, Path::new(&path))?, most)
    })
    .await?;
    Ok(SavedSource::new(ImageName::DockerDaemon(name.clone()), Arc::new(saved), Item::Only))
}
