//! Where images are: names, and the sources and destinations that they name.
//!
//! Knows the formats in which images lie in folders and registries. Must not know commands or
//! policies. [`ImageName`] is a value; [`open`] and [`create`] turn it into a [`Source`] or a
//! [`Destination`]. Each format is a folder with the same rooms: its name, its source, its
//! destination, and what is peculiar to it.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use skopeo_image::Which;
//! use skopeo_transport::{Connections, ImageName, Options, open};
//!
//! # let folder = tempfile::tempdir()?;
//! # let environment = skopeo_config::Environment::fixed(
//! #     [("PATH", "/usr/bin")], folder.path().join("home"), 1000, folder.path(),
//! # );
//! # let config = skopeo_config::Config::with_environment(Default::default(), environment);
//! # let options = Options::new(std::sync::Arc::new(config), Connections::new());
//! # let layout = folder.path().join("layout");
//! # let image = skopeo_testkit::Image::new(1);
//! # image.write_oci(&layout, Some("busybox:1"));
//! # let layout = layout.display();
//! // `options` come from the machine: `Options::new(Arc::new(Config::new(..)), Connections::new())`.
//! let name = ImageName::parse(&format!("oci:{layout}:busybox:1"))?;
//! let source = open(&name, &options).await?;
//! let manifest = source.manifest(&Which::Top).await?;
//! assert_eq!(manifest.digest()?, image.digest());
//! # Ok(())
//! # }
//! ```

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod atomic;
mod bundles;
mod collection;
mod destination;
mod dir;
mod docker_tar;
mod error;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod inside;
mod invalid_file;
mod kept_signatures;
mod layout;
mod manifest;
mod name;
mod named;
mod options;
mod partial;
mod paths;
mod probe;
mod proof;
mod read_cache;
mod referrer;
mod registry;
mod signature_error;
mod signature_file;
mod source;
mod source_index;
#[cfg_attr(not(all(feature = "storage", target_os = "linux")), path = "storage/absent.rs")]
mod storage;
mod synthetic;
mod table;
mod tar;
mod temporary;
mod writer;

use skopeo_image::Digest;

pub use atomic::{AtomicError, AtomicName, AtomicNameError};
pub use bundles::bundles;
pub use collection::{
    Collection, CollectionError, CollectionKind, Held, base, collection, held, join,
};
pub use destination::{Destination, PutManifestError, Stored};
pub use dir::{DirError, DirName};
pub use docker_tar::{
    DaemonError, DaemonName, DaemonNameError, DockerArchiveName, DockerArchiveNameError,
    DockerTarError, SavedError, SavedImageError, SavedManifestError, SavingError,
};
pub use error::{CommitError, ContentError, Error, FormatError, classified, is_transient};
pub use invalid_file::InvalidFile;
pub use kept_signatures::KeptSignatures;
pub use layout::{ArchiveName, BucketError, BucketName, LayoutError, LayoutName, LayoutNameError};
pub use name::{ImageName, NameError};
pub use options::{
    DaemonOptions, DirOptions, DockerArchiveOptions, LayoutOptions, Options, Overwrite,
    RegistryOptions, StorageOptions,
};
pub use partial::Partial;
pub use paths::PathError;
pub use probe::{Accepts, How, LayerForm, Probe, Role, Wish};
pub use read_cache::ReadCache;
pub use referrer::{CosignTag, FoundBy, Referrer, ReferrerSearch};
pub use registry::{
    Connections, DeletionError, DockerError, DockerName, DockerNameError, KnownBlob, KnownTag,
    Ledger, OpenUpload, Untagged,
};
pub use signature_error::{MalformedSignature, SignaturesError};
pub use skopeo_registry::Credentials;
pub use source::{Head, Source};
pub use source_index::SourceIndexError;
pub use storage::{StorageError, StorageName, StorageNameError};
pub use synthetic::{SifError, SifName, SyntheticError, TarballName, TarballNameError};
pub use table::{TRANSPORTS, Transport, find, offered};

pub use skopeo_archive::squashfs::Error as SquashfsError;
pub use skopeo_archive::{Fault as TarFault, TarError, TarWriteError, UnpackError};
pub use tar::ArchiveError;

/// Opens an image for reading.
///
/// # Errors
/// If the source cannot be read or is not of its kind. Whether the image is there may show only
/// when its manifest is asked for.
pub async fn open(name: &ImageName, options: &Options) -> Result<Box<dyn Source>, Error> {
    Ok(match name {
        ImageName::Docker(name) => Box::new(registry::open(name, options)?),
        ImageName::Dir(name) => Box::new(dir::open(name)?),
        ImageName::Oci(name) => Box::new(layout::open(name, options)?),
        ImageName::Bucket(name) => layout::bucket::open(name, options).await?,
        ImageName::Sif(name) => Box::new(synthetic::open_sif(name, options).await?),
        ImageName::DockerArchive(name) => Box::new(docker_tar::open(name, options).await?),
        ImageName::OciArchive(name) => Box::new(layout::open_archive(name, options).await?),
        ImageName::DockerDaemon(name) => {
            Box::new(docker_tar::open_from_daemon(name, options).await?)
        }
        ImageName::Tarball(name) => Box::new(synthetic::open_tarball(name, options).await?),
        ImageName::Storage(name) => storage::open(name, options).await?,
        ImageName::Atomic(name) => Box::new(atomic::open(name, options).await?),
    })
}

/// Opens a destination for an image.
///
/// # Errors
/// If nothing can be written there, or what is there is not ours to overwrite.
pub async fn create(name: &ImageName, options: &Options) -> Result<Box<dyn Destination>, Error> {
    Ok(match name {
        ImageName::Docker(name) => Box::new(registry::create(name, options).await?),
        ImageName::Dir(name) => Box::new(dir::create(name, &options.dir)?),
        ImageName::Oci(name) => Box::new(layout::create(name, &options.layout)?),
        ImageName::Bucket(name) => layout::bucket::create(name, options).await?,
        ImageName::Sif(_) | ImageName::Tarball(_) => return Err(Error::ReadOnly(name.transport())),
        ImageName::DockerArchive(name) => Box::new(docker_tar::create(name, options).await?),
        ImageName::OciArchive(name) => Box::new(layout::create_archive(name, options).await?),
        ImageName::DockerDaemon(name) => {
            Box::new(docker_tar::create_in_daemon(name, options).await?)
        }
        ImageName::Storage(name) => storage::create(name, options).await?,
        ImageName::Atomic(name) => Box::new(atomic::create(name, options).await?),
    })
}

/// Opens the destination of an image, to find out what writing to it would take: nothing is made
/// there, and nothing can be written.
///
/// # Errors
/// If nothing could be written there. What only writing shows is no error here.
pub async fn look(name: &ImageName, options: &Options) -> Result<Box<dyn Probe>, Error> {
    Ok(match name {
        // That sends no request.
        ImageName::Docker(name) => Box::new(registry::create(name, options).await?),
        ImageName::Atomic(name) => Box::new(atomic::create(name, options).await?),
        ImageName::Dir(name) => Box::new(dir::look(name, &options.dir)?),
        ImageName::Oci(name) => Box::new(layout::look(name, &options.layout)?),
        ImageName::Bucket(name) => layout::bucket::look(name, options).await?,
        ImageName::Sif(_) | ImageName::Tarball(_) => return Err(Error::ReadOnly(name.transport())),
        ImageName::DockerArchive(_) => Box::new(docker_tar::look(name, options)),
        ImageName::OciArchive(name) => Box::new(layout::look_at_archive(name, options)?),
        ImageName::DockerDaemon(_) => Box::new(docker_tar::look_at_daemon(name)),
        ImageName::Storage(name) => storage::look(name, options).await?,
    })
}

/// Deletes an image, with whatever nothing else needs.
///
/// # Errors
/// If it is not there, cannot be deleted, or the transport has no deleting.
pub async fn delete(name: &ImageName, options: &Options) -> Result<(), Error> {
    match name {
        ImageName::Docker(name) => registry::delete(name, options).await,
        ImageName::Oci(name) => layout::delete(name, &options.layout, None).await,
        ImageName::Bucket(name) => layout::bucket::delete(name, options, None).await,
        ImageName::Storage(name) => storage::delete(name, options).await,
        ImageName::OciArchive(_) => {
            Err(Error::Unsupported { transport: "oci", operation: "Deleting images" })
        }
        ImageName::Atomic(_)
        | ImageName::Dir(_)
        | ImageName::DockerArchive(_)
        | ImageName::DockerDaemon(_)
        | ImageName::Sif(_)
        | ImageName::Tarball(_) => {
            Err(Error::Unsupported { transport: name.transport(), operation: "Deleting images" })
        }
    }
}

/// Lists the tags of the repository that a name is in, or what the images of an archive or a layout
/// are called.
///
/// # Errors
/// If the registry does not tell them, or the transport has none.
pub async fn tags(name: &ImageName, options: &Options) -> Result<Vec<String>, Error> {
    match name {
        ImageName::Docker(name) => registry::tags(name, options).await,
        ImageName::DockerArchive(name) => docker_tar::tags(name, options).await,
        ImageName::Oci(name) => layout::names(name, &options.layout).await,
        ImageName::Bucket(name) => layout::bucket::names(name, options).await,
        ImageName::OciArchive(name) => layout::names_in_archive(name, options).await,
        ImageName::Atomic(_)
        | ImageName::Dir(_)
        | ImageName::DockerDaemon(_)
        | ImageName::Sif(_)
        | ImageName::Storage(_)
        | ImageName::Tarball(_) => {
            Err(Error::Unsupported { transport: name.transport(), operation: "Listing tags" })
        }
    }
}

/// Returns the repositories of a registry, by its host, in its own order.
///
/// # Errors
/// If the registry does not tell them; many do not.
pub async fn repositories(host: &str, options: &Options) -> Result<Vec<String>, Error> {
    registry::repositories(host, options).await
}

/// Lists the tags of a repository as [`tags`] does, and apart from them what its registry lists
/// that can be no tag.
///
/// # Errors
/// If the registry does not tell them, or the name is in none.
pub async fn valid_tags(
    name: &ImageName,
    options: &Options,
) -> Result<(Vec<String>, Vec<String>), Error> {
    match name.docker_name() {
        Some(name) => registry::valid_tags(name, options).await,
        None => Err(Error::Unsupported { transport: name.transport(), operation: "Listing tags" }),
    }
}

/// Returns the digest that a name leads to at its own registry, whatever mirrors there are.
///
/// # Errors
/// If it is not there, or the transport has no such thing.
pub async fn resolve(name: &ImageName, options: &Options) -> Result<Digest, Error> {
    match name.docker_name() {
        Some(name) => registry::resolve(name, options).await,
        None => {
            Err(Error::Unsupported { transport: name.transport(), operation: "Asking for digests" })
        }
    }
}

/// Returns the digest that a name leads to, and the other tags of the same repository that lead to
/// it; no tags where there are more than `at_most` to ask about.
///
/// # Errors
/// If it is not there, or the transport has no such thing.
pub async fn siblings(
    name: &ImageName,
    options: &Options,
    at_most: usize,
) -> Result<(Digest, Option<Vec<String>>), Error> {
    match name {
        ImageName::Docker(name) => registry::siblings(name, options, at_most).await,
        ImageName::Oci(name) => {
            let (digest, names) = layout::siblings(name, &options.layout).await?;
            Ok((digest, Some(names)))
        }
        ImageName::Bucket(name) => {
            let (digest, names) = layout::bucket::siblings(name, options).await?;
            Ok((digest, Some(names)))
        }
        _ => Err(Error::Unsupported { transport: name.transport(), operation: "Looking for tags" }),
    }
}

/// Deletes a tag and nothing else. If `expected` is given, only if it leads there.
///
/// # Errors
/// If it is not there, cannot be deleted, or the transport has no tags.
pub async fn untag(
    name: &ImageName,
    options: &Options,
    expected: Option<&Digest>,
) -> Result<Untagged, Error> {
    match name.docker_name() {
        Some(name) => registry::untag(name, options, expected).await,
        None => Err(Error::Unsupported { transport: name.transport(), operation: "Deleting tags" }),
    }
}

/// Gives a tag back to an image that is there by its digest still, unless the tag is there. Gives
/// back whether it was missing.
///
/// # Errors
/// If the image is gone too, the tag cannot be written, or the transport has no tags.
pub async fn retag(name: &ImageName, options: &Options, digest: &Digest) -> Result<bool, Error> {
    match name.docker_name() {
        Some(name) => registry::retag(name, options, digest).await,
        None => Err(Error::Unsupported { transport: name.transport(), operation: "Writing tags" }),
    }
}

/// Returns whether a collection of images, or what stands behind the colon of an image's name, is
/// meant to be in a bucket of an object store.
#[must_use]
pub fn is_bucket(place: &str) -> bool {
    layout::bucket::is_meant(place)
}

/// Opens a bucket for who serves the layout there, with the settings and credentials that images
/// in it are read with.
///
/// # Errors
/// If it names no such place, or what is said about the store cannot be.
#[cfg(feature = "object-stores")]
pub async fn bucket_store(place: &str, options: &Options) -> Result<skopeo_objects::Store, Error> {
    layout::bucket::store(place, options).await
}

/// Returns the path of a layout, or an archive, and what an image is called there: parted by the
/// first colon that does not belong to the path.
#[must_use]
pub fn split_layout(details: &str) -> Option<(&str, &str)> {
    if !is_bucket(details) {
        let (place, label) = paths::split_path(details);
        return Some((place, label?));
    }
    let from = details.find("://")?.saturating_add(3);
    let at = details.get(from..)?.find(':')?.saturating_add(from);
    Some((details.get(..at)?, details.get(at.saturating_add(1)..)?))
}

/// An error with all its sources in one line, for those that are only told of beside another.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
