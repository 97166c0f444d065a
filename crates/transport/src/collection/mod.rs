//! Places that hold many images: what `sync` reads from and writes to.
//!
//! A registry, a folder of `dir:` images, a layout, an archive, a store of podman. Each image has a
//! *label* there: what its name says apart from the place, as `docker.io/library/busybox:1`.

mod archive;
#[cfg(feature = "object-stores")]
mod bucket;
mod error;
mod folder;
mod layout;
mod path;
mod registry;
mod saved;
mod store;

use std::fmt;

use async_trait::async_trait;
use skopeo_image::Digest;

use crate::{Destination, Error, ImageName, NameError, Options, Probe};

pub use error::CollectionError;
pub use path::{base, join};

/// The kinds of collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CollectionKind {
    /// A registry, or a path in it.
    Docker,
    /// A folder with folders of `dir:` images in it.
    Dir,
    /// An OCI layout in a folder, or in a bucket of an object store.
    Oci,
    /// An OCI layout in a tar.
    OciArchive,
    /// A tar as `docker save` makes it.
    DockerArchive,
    /// A store of podman and buildah: the part in brackets of its images' names, or nothing.
    Storage,
}

impl CollectionKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Docker, Self::Dir, Self::Oci, Self::OciArchive, Self::DockerArchive, Self::Storage];

    /// Returns the kind that the flags call so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Returns whether images have their names there only when the writing has ended.
    #[must_use]
    pub fn is_archive(self) -> bool {
        matches!(self, Self::OciArchive | Self::DockerArchive)
    }

    /// Returns what the flags call it: the name of the transport of the images in it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Dir => "dir",
            Self::Oci => "oci",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
            Self::Storage => "containers-storage",
        }
    }
}

impl fmt::Display for CollectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An image that was found in a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name, to be opened.
    pub name: ImageName,
    /// What it is called there.
    pub label: String,
}

/// A destination that many images are written to.
#[async_trait]
pub trait Collection: Send + Sync + fmt::Debug {
    /// Returns the name of the image with this label.
    ///
    /// # Errors
    /// If there can be none.
    fn name(&self, label: &str) -> Result<ImageName, NameError>;

    /// Opens the destination of one image; many may be open at the same time.
    ///
    /// # Errors
    /// As [`create`](crate::create).
    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error>;

    /// Opens the destination of one image as [`look`](crate::look) does.
    ///
    /// # Errors
    /// As [`look`](crate::look).
    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error>;

    /// Returns the tags of a repository that there are images of: of all whose labels are this one,
    /// a colon and a tag, as they are written here. None if there is no such repository.
    ///
    /// # Errors
    /// If it cannot be told.
    async fn tags(&self, _repository: &str) -> Result<Vec<String>, Error> {
        Err(CollectionError::NotDeletable.into())
    }

    /// Returns the digest that a name leads to; `None` where nothing can be deleted.
    ///
    /// # Errors
    /// If it is not there, or cannot be asked.
    async fn digest(&self, _name: &ImageName) -> Result<Option<Digest>, Error> {
        Ok(None)
    }

    /// Removes one image, if its name leads to this digest: of a registry, the tag only. Gives back
    /// what stays where it was, as it is no part of the image.
    ///
    /// # Errors
    /// If it is not there, is another one by now, or cannot be removed.
    async fn remove(&self, _name: &ImageName, _expected: &Digest) -> Result<Vec<String>, Error> {
        Err(CollectionError::NotDeletable.into())
    }

    /// Gives a name back to an image of this digest, which is there still, unless something has the
    /// name. Gives back whether nothing had it.
    ///
    /// # Errors
    /// If the image is gone, or has no names apart from itself here.
    async fn give_back(&self, _name: &ImageName, _digest: &Digest) -> Result<bool, Error> {
        Err(CollectionError::NotDeletable.into())
    }

    /// Ends the writing. What has to be whole to have a name, as an archive, gets it only here.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn finish(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Opens a collection for writing; nothing is made yet.
///
/// # Errors
/// If nothing can be written there.
pub async fn collection(
    kind: CollectionKind,
    place: &str,
    options: &Options,
) -> Result<Box<dyn Collection>, Error> {
    Ok(match kind {
        CollectionKind::Docker => Box::new(registry::Registry::new(place, options)),
        CollectionKind::Dir => Box::new(folder::Folder::new(place, options)),
        #[cfg(feature = "object-stores")]
        CollectionKind::Oci if crate::layout::bucket::is_meant(place) => {
            Box::new(bucket::Bucket::new(place, options).await?)
        }
        #[cfg(not(feature = "object-stores"))]
        CollectionKind::Oci if crate::layout::bucket::is_meant(place) => {
            return Err(crate::layout::BucketError::NotBuilt(place.to_owned()).into());
        }
        CollectionKind::Oci => Box::new(layout::Layout::new(place, options)?),
        CollectionKind::OciArchive => Box::new(archive::Archive::new(place, options).await?),
        CollectionKind::DockerArchive => Box::new(saved::Saved::new(place, options).await?),
        CollectionKind::Storage => Box::new(store::Store::new(place, options)?),
    })
}

/// Returns what a collection holds, in its own order. Not for registries, whose repositories are
/// asked for their [tags](crate::tags).
///
/// # Errors
/// If it cannot be read.
pub async fn held(
    kind: CollectionKind,
    place: &str,
    options: &Options,
) -> Result<Vec<Held>, Error> {
    match kind {
        CollectionKind::Dir => folder::held(place).await,
        CollectionKind::Oci if crate::layout::bucket::is_meant(place) => {
            crate::layout::bucket::held(place, options).await
        }
        CollectionKind::Oci => crate::layout::held(place, &options.layout).await,
        CollectionKind::OciArchive => crate::layout::held_in_archive(place, options).await,
        CollectionKind::DockerArchive => crate::docker_tar::held(place, options).await,
        CollectionKind::Storage => store::held(place, options).await,
        CollectionKind::Docker => {
            Err(Error::Unsupported { transport: kind.as_str(), operation: "Listing many images" })
        }
    }
}
