//! `docker-archive:`: images in a file as `docker save` makes it; `docker-daemon:`, where such a
//! file is what goes over the line.
//!
//! `manifest.json` lists the images: for each its config, its tags and its layers, which are plain
//! tars. `repositories` and a folder for each layer say the same to Docker before 1.10. There are
//! no manifests: one is made for each image, a schema 2 manifest of the layers as they are when
//! they are not packed.

mod daemon;
mod destination;
mod error;
mod existing;
mod legacy;
mod manifest;
mod many;
mod name;
mod saved;
mod saving;
mod source;

use crate::{Error, Options, files};

pub use daemon::{DaemonError, DaemonName, DaemonNameError};
pub use error::{DockerTarError, SavedError, SavedImageError, SavedManifestError, SavingError};
pub use name::{DockerArchiveName, DockerArchiveNameError};

pub(crate) use daemon::{create as create_in_daemon, open as open_from_daemon};
pub(crate) use destination::{create, look, look_at_daemon};
pub(crate) use many::{ManySaved, held};
pub(crate) use source::open;

pub(crate) use saved::Saved;

/// The tags of all images in an archive, as they are written there; `@N` for an image without.
pub(crate) async fn tags(
    name: &DockerArchiveName,
    options: &Options,
) -> Result<Vec<String>, Error> {
    let (path, scratch) = (name.path().to_owned(), options.scratch());
    files::blocking(move || Ok(manifest::tags(Saved::open(&path, &scratch)?.items())?)).await
}
